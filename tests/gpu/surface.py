#!/usr/bin/env python3
"""Records what the driver's library exports and what its cuGetProcAddress_v2 answers.

    python3 surface.py [--compare FILE] > proc_address.tsv

Needs an NVIDIA driver and binutils (readelf). Prints a line for each name without version and stream suffix: the name,
the answers for the legacy default stream (flags 0 and 1, which must agree), the answers for the per-thread one (flag 2).
An answer is `since:symbol` and holds up to the next one; `-` is null with success and a status that says why. With
--compare, says which lines of FILE (in this format) this driver answers otherwise, and exits with 1 if any.

Also checked: no two exported functions share an address, and every answer is an exported function. Missile tells
functions by their addresses, so it relies on both.
"""

import argparse
import ctypes
import re
import subprocess
import sys

# Those that the recorded answers were asked with.
VERSIONS = [2000, 3020, 4000, 5050, 6050, 7000, 8000, 9000, 9020, 10000, 10020, 11000, 11010, 11020, 11030, 11040, 11060,
            11070, 11080, 12000, 12010, 12020, 12030, 12040, 12050, 12060, 12080, 12090, 13000]


def driver_path():
    """The file that libcuda.so.1 is loaded from."""
    ctypes.CDLL("libcuda.so.1")
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        return next(line.split()[-1] for line in maps if "/libcuda.so" in line)


def exported_functions(path):
    """The names of the functions that the library exports."""
    listing = subprocess.run(["readelf", "-W", "--dyn-syms", path], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listing.splitlines()]
    return sorted({row[7].split("@")[0] for row in rows if len(row) >= 8 and row[3] == "FUNC" and row[6] != "UND"})


def answers(library, names_by_address, newest, name, flag):
    """What the driver answers for a name and a kind of default stream, from version to version."""
    found, last = [], None
    for version in (version for version in VERSIONS if version <= newest):
        function, status = ctypes.c_void_p(), ctypes.c_int(-1)
        code = library.cuGetProcAddress_v2(
            name.encode(), ctypes.byref(function), version, ctypes.c_uint64(flag), ctypes.byref(status))
        if code != 0:
            answer = f"!{code}"
        elif function.value is None:
            answer = "-"
        else:
            answer = names_by_address.get(function.value) or sys.exit(f"{name}: {function.value:#x} is not exported")
        if answer != last:
            found.append(f"{version}:{answer}")
            last = answer
    return " ".join(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--compare", metavar="FILE")
    arguments = parser.parse_args()
    path = driver_path()
    library = ctypes.CDLL(path)
    if library.cuInit(0) != 0:
        sys.exit("cuInit failed: is there a GPU?")
    newest = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(newest))
    functions = exported_functions(path)
    names_by_address = {}
    for function in functions:
        address = ctypes.cast(getattr(library, function), ctypes.c_void_p).value
        other = names_by_address.setdefault(address, function)
        if other != function:
            sys.exit(f"{function} and {other} share an address")
    print(f"# {path}: {len(functions)} functions, each at an address of its own; CUDA {newest.value}", file=sys.stderr)

    lines = {}
    for name in sorted({re.sub(r"(_v\d+)?(_ptds|_ptsz)?$", "", function) for function in functions}):
        legacy, also_legacy, per_thread = (
            answers(library, names_by_address, newest.value, name, flag) for flag in (0, 1, 2))
        if legacy != also_legacy:
            sys.exit(f"{name}: flags 0 and 1 differ")
        lines[name] = f"{name}\t{legacy}\t{per_thread}"
    if not arguments.compare:
        print("\n".join(lines.values()))
        return
    with open(arguments.compare, encoding="ascii") as file:
        expected = [line.rstrip("\n") for line in file if not line.startswith("#")]
    different = [line for line in expected if lines.get(line.split("\t")[0]) != line]
    for line in different:
        print(f"recorded: {line}\nanswered: {lines.get(line.split(chr(9))[0])}")
    print(f"{len(expected) - len(different)} of {len(expected)} names answer as recorded")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
