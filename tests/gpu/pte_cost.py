"""What page-table entries of 4 KiB cost a kernel: `python3 tests/gpu/pte_cost.py DIST [--out FOLDER]`.

DIST is the folder that `tests/gpu/dist.sh` makes. programs/pte_cost.cu is run twice, each time with a coloured buffer
beside one that is too large to be coloured and so has the driver's pages of 2 MiB:

- `side`: as tenants are coloured. The kernels read as many pages of the stock buffer, all of the same side.
- `entries`: with a table whose mask has one bit, above all VRAM. Every page is then of colour 0, so a coloured buffer is
  its own pages in their own order, and its entries of 4 KiB are all that it differs by.

Passes where streams and GEMMs have `--least` of the stock rate in `entries`. Random reads are told and not judged, since
they are known to suffer; nor is `side`, where cuBLAS has half of the DRAM for one buffer and all of it for the other.
"""
import argparse
import importlib.util
import json
import os
import re
import shutil
import time
import zlib
from pathlib import Path

import builds
import harness
from harness import Failed, Ground, Skipped, Watch

BUFFER = 512 << 20
# Only the first buffer is coloured: not the second, and nothing of cuBLAS.
SIZES = {"MISSILE_COLOR_MIN": "256M", "MISSILE_COLOR_MAX": "600M"}
ABOVE_VRAM = 1 << 45
JUDGED = ("stream", "GEMM")
GEMMS = 3
RUN_SECONDS = 60


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dist", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--out", type=Path, default=Path("gpu-pte-cost"))
    parser.add_argument("--least", type=float, default=0.97, help="the smallest ratio that passes")
    parser.add_argument("--map-budget", type=int, default=131072)
    return parser.parse_args()


def cublas():
    """Where cuBLAS is: beside nvcc, or in Python's packages."""
    folders = []
    try:
        home = Path(os.path.realpath(builds.nvcc())).parent.parent
        folders += [home / part for part in ("lib64", "lib", "targets/x86_64-linux/lib")]
    except Skipped:
        pass
    package = importlib.util.find_spec("nvidia")
    for root in map(Path, package.submodule_search_locations or [] if package else []):
        folders += [root / "cu13" / "lib", root / "cublas" / "lib"]
    for name in ("libcublas.so.13", "libcublas.so.12"):
        for folder in folders:
            if (folder / name).exists():
                return folder / name
    return Path("libcublas.so.13")


def with_mask(text, mask):
    """A table whose pages are coloured by this mask alone. Its first line is the checksum of the rest."""
    content = text.split("\n", 1)[1]
    color_level = re.search(r'^color_level = "(.*)"$', content, re.M).group(1)
    start = "[[levels]]\n"
    head, *levels = content.split(start)
    changed = 0
    for number, level in enumerate(levels):
        if f'name = "{color_level}"\n' in level:
            level, masks = re.subn(r"^masks = \[[^]]*\]$", f'masks = ["{mask:#x}"]', level, flags=re.M)
            # All addresses below its bit are of one class.
            level, units = re.subn(r"^unit_bytes = .*$", f"unit_bytes = {mask & -mask}", level, flags=re.M)
            levels[number], changed = level, changed + masks + units
    if changed != 2:
        raise Failed(f"the table is not as expected: {changed} lines to change")
    content = start.join([head, *levels])
    return f'checksum = "crc32:{zlib.crc32(content.encode()):08x}"\n{content}'


def run(ground, name, program, mask, flags):
    """The program's answer, and the row that `missile top` has of it."""
    library = cublas()
    env = {**SIZES}
    if library.is_absolute():
        env["LD_LIBRARY_PATH"] = ":".join(filter(None, [str(library.parent), os.environ.get("LD_LIBRARY_PATH")]))
    command = ground.governed([program, mask, library], "be", ("--copies", "off", *flags))
    with Watch(ground, period=3600) as watch, ground.start(name, command, env) as running:
        answer = running.answer(RUN_SECONDS)
        if "error" in answer:
            raise Failed(answer["error"])
        watch.look()
        rows = watch.of(name)
        running.finish(20)
    if len(rows) != 1:
        raise Failed(f"`missile top` has {len(rows)} rows")
    return answer, rows[0]


def entries(ground, options, program):
    """Runs under an arbiter of its own, whose tables have the other mask."""
    with Ground(options.dist, options.out / "entries", map_budget=options.map_budget) as other:
        folder = Path("data") / "missile" / "tables"
        shutil.copytree(ground.work / folder, other.work / folder)
        for table in (other.work / folder).glob("*.toml"):
            table.write_text(with_mask(table.read_text(), ABOVE_VRAM))
            shutil.copy(table, other.out)
        other.call("up", "--map-budget", options.map_budget)
        other.arbiter = other.top()["arbiter"]["pid"]
        return run(other, "pte-entries", program, "0", ("--color", "0"))


def memory(name, answer, row):
    """The coloured buffer is coloured as a whole, of one side, and, for `entries`, in its own order."""
    extents = "{} and {} extents".format(*answer["extents"])
    said = f"{row['colored_bytes'] >> 20}+{row['uncolored_bytes'] >> 20} MiB, {row['maps']} maps, {extents}, "
    said += f"{answer['a_on_side']:.4f} of A on one side"
    if row["colored_bytes"] != BUFFER or answer["a_on_side"] != 1:
        raise Failed(f"{said}; {row['state']}, passed: {row.get('passed')}")
    # Two maps keep the kernel to small pages, and the pages are all the buffer's own.
    if name == "entries" and (row["maps"] != 2 or answer["extents"][0] != 1):
        raise Failed(said)
    if answer["refused"]:
        raise Failed(f"{said}; cuBLAS answered {answer['refused']}")
    return said


def main():
    options, began = arguments(), time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    found, rows, checks = {}, [], []

    def check(name, act, *given):
        """Keeps what came of it; its result."""
        result = None
        try:
            result = act(*given)
            outcome, said = "ok", result if isinstance(result, str) else "done"
        except Skipped as reason:
            outcome, said = "skipped", str(reason)
        except Exception as reason:  # a broken check is a failed one
            outcome, said = "FAILED", f"{type(reason).__name__}: {reason}"
        checks.append((outcome, [name, outcome, said.replace("\n", " ")[:600]]))
        print(f"{name}: {outcome} ({time.monotonic() - began:.0f} s): {said[:600]}", flush=True)
        return result

    with Ground(options.dist, options.out, map_budget=options.map_budget) as ground:
        probed = ground.up()
        level = next(level for level in probed["levels"] if level["name"] == probed["color_level"])
        if len(level["masks"]) != 1:
            raise SystemExit(f"pages are coloured by {level['masks']}: this needs one mask of sides")
        print(f"{probed['gpu']['name']}, side mask {level['masks'][0]}", flush=True)
        program = check("build", builds.build, ground, "pte_cost")
        if program:
            found["side"] = check("side", run, ground, "pte-side", program, level["masks"][0], ("--color", "on"))
            found["entries"] = check("entries", entries, ground, options, program)
    for name, result in found.items():
        if not result:
            continue
        answer, row = result
        check(f"{name}, memory", memory, name, answer, row)
        if sum(work["name"].startswith("GEMM") for work in answer["works"]) != GEMMS:
            check(f"{name}, cuBLAS", missing, answer["cublas"])
        for work in answer["works"]:
            outcome = "-"
            if name == "entries" and work["name"].startswith(JUDGED):
                outcome = "ok" if work["ratio"] >= options.least else "FAILED"
            spread = [f"{min(work[each]):.0f} to {max(work[each]):.0f}" for each in ("each_a", "each_b")]
            rows.append((outcome, [name, work["name"], f"{work['a']:.1f}", f"{work['b']:.1f}", work["unit"], f"{work['ratio']:.4f}", *spread, outcome]))
    raw = {name: {"answer": result[0], "row": result[1]} for name, result in found.items() if result}
    (options.out / "pte_cost.json").write_text(json.dumps(raw, indent=1))
    headings = ["run", "work", "4 KiB entries", "2 MiB entries", "unit", "ratio", "range", "range", "verdict"]
    text = harness.table([row for _, row in checks], ["check", "verdict", "found"]) + "\n\n" + harness.table([row for _, row in rows], headings)
    (options.out / "table.txt").write_text(text + "\n")
    print(f"\n{time.monotonic() - began:.0f} s\n\n{text}")
    return harness.verdict([outcome for outcome, _ in (*checks, *rows)])


def missing(reason):
    raise Failed(f"not every GEMM ran: cuBLAS {reason}")


if __name__ == "__main__":
    raise SystemExit(main())
