#!/usr/bin/env python3
"""Holds the table of governed functions against NVIDIA's headers.

    python3 abi/check_headers.py DIR...

Each DIR holds the cuda.h of one CUDA release (as in the packages `nvidia-cuda-runtime*` of PyPI). It needs `cc`.

The compiler says how large each argument is in the header, whether it is an integer, a pointer or a structure, and what
it points to; the table's types are resolved through the aliases, the handles and the assertions of src/cuda.rs and
src/cuda/*.rs. Reported are rows that no header has, rows that differ from a header, structures laid out differently,
and functions of the governed families that are neither in the table nor left alone below. Exits with 1 if anything is.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent

# The families of which every function must be governed or left alone by decision.
FAMILIES = re.compile(
    r"cu(Init|GetProcAddress|GetExportTable|Mem|Pointer|Launch|Graph(?!ics)|Stream|ThreadExchange|Ctx|GreenCtx"
    r"|DevicePrimaryCtx|Device\w*Mem|DevSm|DevResource|Ipc|Array|Mipmapped|Multicast|LogicalEndpoint|Fabric)"
)

# Functions of those families that Missile does not govern, by reason. A spelling with `_ptsz` or `_ptds` goes with the
# plain one; a `*` stands for any ending.
LEFT_ALONE = {
    "write DRAM from within the device and cross no bus": "cuMemset*",
    "only ask": """
        cuArrayGet* cuArray3DGet* cuMipmappedArrayGet* cuMulticastGetGranularity cuLogicalEndpointGetLimits
        cuLogicalEndpointQuery cuMemGetAccess cuMemGetLocationInfo cuMemHostGetDevicePointer
        cuMemHostGetDevicePointer_v2 cuMemHostGetFlags cuMemRangeGetAttribute cuMemRangeGetAttributes
        cuCtxGetApiVersion cuCtxGetCacheConfig cuCtxGetCurrent cuCtxGetDevResource cuCtxGetDevice cuCtxGetDevice_v2
        cuCtxGetExecAffinity cuCtxGetFlags cuCtxGetId cuCtxGetLimit cuCtxGetSharedMemConfig
        cuCtxGetStreamPriorityRange cuDevicePrimaryCtxGetState cuGraphBatchMemOpNodeGetParams
        cuGraphChildGraphNodeGetGraph cuGraphDebugDotPrint cuGraphEventRecordNodeGetEvent
        cuGraphEventWaitNodeGetEvent cuGraphExecGetFlags cuGraphExecGetId
        cuGraphExternalSemaphoresSignalNodeGetParams cuGraphExternalSemaphoresWaitNodeGetParams cuGraphGetEdges
        cuGraphGetEdges_v2 cuGraphGetId cuGraphGetNodes cuGraphGetRootNodes cuGraphHostNodeGetParams
        cuGraphKernelNodeGetAttribute cuGraphKernelNodeGetParams cuGraphKernelNodeGetParams_v2
        cuGraphMemAllocNodeGetParams cuGraphMemFreeNodeGetParams cuGraphMemcpyNodeGetParams
        cuGraphMemsetNodeGetParams cuGraphNodeFindInClone cuGraphNodeGetContainingGraph cuGraphNodeGetDependencies
        cuGraphNodeGetDependencies_v2 cuGraphNodeGetDependentNodes cuGraphNodeGetDependentNodes_v2
        cuGraphNodeGetEnabled cuGraphNodeGetLocalId cuGraphNodeGetParams cuGraphNodeGetToolsId cuGraphNodeGetType
        cuStreamGetAttribute cuStreamGetCaptureInfo cuStreamGetCaptureInfo_v2 cuStreamGetCaptureInfo_v3
        cuStreamGetCtx cuStreamGetCtx_v2 cuStreamGetDevResource cuStreamGetDevice cuStreamGetFlags
        cuStreamGetGreenCtx cuStreamGetId cuStreamGetPriority cuStreamIsCapturing""",
    "order or wait for work that was governed when it was queued": """
        cuCtxRecordEvent cuCtxWaitEvent cuStreamWaitEvent""",
    "move single words": """
        cuStreamBatchMemOp cuStreamBatchMemOp_v2 cuStreamWaitValue32 cuStreamWaitValue32_v2 cuStreamWaitValue64
        cuStreamWaitValue64_v2 cuStreamWriteValue32 cuStreamWriteValue32_v2 cuStreamWriteValue64
        cuStreamWriteValue64_v2""",
    "act on the caller's own contexts and objects": """
        cuCtxDisablePeerAccess cuCtxSetCacheConfig cuCtxSetFlags cuCtxSetSharedMemConfig
        cuGraphReleaseUserObject cuGraphRetainUserObject cuStreamAttachMemAsync""",
    "undoes what `cuCtxSetLimit`, which is governed, made possible": "cuCtxResetPersistingL2Cache",
}

# What core::ffi and the language give, in bytes. An enum is a `c_uint` in the table.
SCALARS = {"c_int": 4, "c_uint": 4, "c_char": 1, "u64": 8, "usize": 8}
INTEGER, POINTER, STRUCTURE = 1, 5, 12  # what __builtin_classify_type answers

MODES = ([], ["-DCUDA_API_PER_THREAD_DEFAULT_STREAM"], ["-D__CUDA_API_VERSION_INTERNAL"])


def without_suffix(name):
    return re.sub(r"_(ptsz|ptds)$", "", name)


def split(arguments):
    """Splits at the commas of the outermost level."""
    parts, depth, part = [], 0, ""
    for character in arguments:
        depth += (character in "([<") - (character in ")]>")
        if character == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += character
    return [p for p in parts + [part.strip()] if p]


class Table:
    """The rows, and the Rust types that they use."""

    def __init__(self):
        text = (HERE / "src/governed.rs").read_text()
        self.rows = {}
        self.findings = []
        body = text[text.index("$with! {") :]
        for line in body.splitlines()[1:]:
            line = line.strip()
            if not line or line.startswith("//") or line.strip("});") == "":
                continue
            row = re.fullmatch(r"(\w+) (\w+) (cu\w+)\((.*)\);", line)
            if not row:
                self.findings.append(f"table: cannot read `{line}`")
            elif row[3] in self.rows:
                self.findings.append(f"{row[3]}: stands twice in the table")
            else:
                self.rows[row[3]] = [argument.split(":", 1)[1].strip() for argument in split(row[4])]
        source = "".join(p.read_text() for p in [HERE / "src/cuda.rs", *sorted((HERE / "src/cuda").glob("*.rs"))])
        self.aliases = {a: re.sub(r"\s+", " ", b) for a, b in re.findall(r"pub type (\w+) = ([^;]+);", source)}
        # A handle is a type of its own around a pointer, and made by a macro, or around an integer.
        handles = re.search(r"^handles! \{\n(.*?)^\}", source, re.M | re.S)[1]
        self.aliases |= {handle: "*mut c_void" for handle in re.findall(r"^ +(\w+);$", handles, re.M)}
        self.aliases |= dict(re.findall(r"#\[repr\(transparent\)\]\s+pub struct (\w+)\(pub (\w+)\);", source))
        self.sizes = {a: int(b) for a, b in re.findall(r"assert!\(size_of::<(\w+)>\(\) == (\d+)\);", source)}
        self.offsets = re.findall(r"assert!\((?:core::mem::)?offset_of!\((\w+), (?:r#)?(\w+)\) == (\d+)\);", source)

    def has_name(self, rust):
        """Whether a type is one of src/cuda*, and so the header's of the same name."""
        return rust in self.aliases or rust in self.sizes

    def resolve(self, rust):
        """(what C calls its class, size, mutability and type of what it points to) of a Rust type."""
        pointer = re.fullmatch(r"\*(const|mut) (.+)", rust)
        if pointer:
            return POINTER, 8, pointer[1], pointer[2]
        if rust.startswith("Option<"):
            return POINTER, 8, None, None
        if rust in SCALARS:
            return INTEGER, SCALARS[rust], None, None
        if rust in self.aliases:
            # An opaque handle is a pointer of which nothing more is known.
            kind, size, _, _ = self.resolve(self.aliases[rust])
            return kind, size, None, None
        if rust in self.sizes:
            return STRUCTURE, self.sizes[rust], None, None
        raise KeyError(rust)


def compile_c(directory, mode, text, *options):
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch) / "check.c"
        source.write_text(f'#include "cuda.h"\n#include <stddef.h>\n{text}')
        command = ["cc", "-xc", "-std=gnu11", *options, *mode, f"-I{directory}", str(source)]
        return subprocess.run(command, capture_output=True, text=True)


def functions(directory, mode):
    """Every function that the header declares to return CUresult, with its parameters as text."""
    done = compile_c(directory, mode, "", "-E", "-P")
    if done.returncode:
        sys.exit(f"{directory}/cuda.h does not compile:\n{done.stderr}")
    found = {}
    for name, parameters in re.findall(r"\bCUresult\s+(cu\w+)\s*\(([^;{}]*)\)\s*;", done.stdout):
        parameters = split(" ".join(parameters.split()))
        found[name] = [] if parameters == ["void"] else parameters
    return found


def type_of(parameter):
    """A parameter without its name."""
    return re.sub(r"\b\w+$", "", parameter).strip()


def assertions(table, name, parameters):
    """C assertions that a header's function has the types of its row; as (text, complaint)."""
    for at, (parameter, rust) in enumerate(zip(parameters, table.rows[name]), 1):
        c = type_of(parameter)
        what = f"{name}: argument {at} is `{parameter}`, the table has `{rust}`"
        try:
            kind, size, mutability, pointee = table.resolve(rust)
        except KeyError as unknown:
            yield None, f"{name}: argument {at}: {unknown} has no size in src/cuda*"
            continue
        yield f"__builtin_classify_type(*({c} *)0) == {kind} && sizeof({c}) == {size}", what
        if table.has_name(rust):
            yield f"__builtin_types_compatible_p({c}, {rust})", what + " (name)"
        elif kind == INTEGER:
            signed = rust == "c_int"
            yield f"(({c})-1 < ({c})1) == {signed:d}", what + " (sign)"
        if pointee:
            if ("const" in parameter.split("*")[0].split()) != ("*const" in rust):
                yield None, what + " (const)"
            inner = f"*({c})0"
            if table.has_name(pointee):
                yield f"__builtin_types_compatible_p(__typeof__({inner}), {pointee})", what + " (pointee)"
            elif pointee != "c_void":
                kind, size, _, _ = table.resolve(pointee)
                yield f"__builtin_classify_type({inner}) == {kind} && sizeof({inner}) == {size}", what + " (pointee)"


def check(table, directory):
    """What is wrong with one header, and the names that it has."""
    known, findings = set(), []
    for mode in MODES:
        found = functions(directory, mode)
        claims = []
        for name, parameters in found.items():
            if name not in table.rows or name in known:
                continue
            known.add(name)
            if len(parameters) != len(table.rows[name]):
                findings.append(f"{name}: {len(parameters)} arguments, the table has {len(table.rows[name])}")
            else:
                claims += assertions(table, name, parameters)
        if mode is MODES[0]:
            header = (pathlib.Path(directory) / "cuda.h").read_text(errors="replace")
            for name, size in table.sizes.items():
                # Ours only is the name of a structure without one in the header.
                if re.search(rf"\b{name};", header):
                    claims.append((f"sizeof({name}) == {size}", f"{name}: its size is not {size}"))
                    claims += [
                        (f"offsetof({name}, {field}) == {offset}", f"{name}.{field}: its offset is not {offset}")
                        for struct, field, offset in table.offsets
                        if struct == name
                    ]
        findings += [complaint for claim, complaint in claims if claim is None]
        claims = [c for c in claims if c[0]]
        text = "".join(f'_Static_assert({claim}, "claim {at}.");\n' for at, (claim, _) in enumerate(claims))
        done = compile_c(directory, mode, text, "-fsyntax-only", "-fmax-errors=0", "-w")
        failed = sorted({int(at) for at in re.findall(r"claim (\d+)\.", done.stderr)})
        findings += [claims[at][1] for at in failed]
        if done.returncode and not failed:
            findings.append(f"the check itself does not compile:\n{done.stderr}")
        known |= {name for name in found if FAMILIES.match(name)}  # so that one left out of the table is seen
    return findings, known


def main(directories):
    if not directories:
        sys.exit(__doc__)
    table = Table()
    findings = list(table.findings)
    seen = set()
    for directory in directories:
        wrong, names = check(table, directory)
        findings += [f"{directory}: {line}" for line in wrong]
        seen |= names
        print(f"{directory}: {len(names & table.rows.keys())} of {len(table.rows)} rows")
    findings += [f"{name}: in no header" for name in table.rows if name not in seen]
    left = [word for text in LEFT_ALONE.values() for word in text.split()]
    alone = {word: re.compile(re.escape(word).replace(r"\*", r"\w*") + "$") for word in left}
    plain = {without_suffix(name) for name in seen}
    for name in sorted(seen - table.rows.keys()):
        if not any(pattern.match(without_suffix(name)) for pattern in alone.values()):
            findings.append(f"{name}: neither governed nor left alone")
    for word, pattern in alone.items():
        if not any(pattern.match(name) for name in plain):
            findings.append(f"{word}: left alone, but in no header")
        findings += [f"{row}: governed and left alone" for row in table.rows if pattern.match(without_suffix(row))]
    print("\n".join(findings) or "all agree")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
