"""Programs and frameworks, bare and governed: `python3 tests/gpu/frameworks.py DIST [--only NAME,NAME] [--out FOLDER]`.

DIST is the folder that `tests/gpu/dist.sh` makes. Each case runs twice, bare and under `missile run --class be`. Both
runs must give the same bytes, `missile top` must have seen every tenant process of the governed run with no call past
the library (`bypassed` = 0), and launches in as many processes as the case has. Where the results differ, the case runs
bare once more, which tells a program that never repeats itself from one that Missile changed.

`--sim` tries the cases that need only the driver's own functions on a simulated GPU.
"""
import argparse
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

import builds
import harness
from harness import Failed, Ground, Skipped, Watch, python


@dataclass(frozen=True)
class Case:
    name: str
    # The command without `--hold`, made on the machine.
    command: Callable
    # In how many processes at least kernels or graphs must have been launched.
    tenants: int = 1
    graphs: bool = False
    simulated: bool = False
    # How long each of the two runs may take.
    seconds: float = 150
    result: Callable = field(default=lambda answer: answer["digest"])


def script(name, *arguments):
    return lambda ground: python(name, *arguments)


def built(variant):
    return lambda ground: [builds.build(ground, variant)]


def in_dist(*parts):
    def command(ground):
        if not (ground.dist / parts[0]).exists():
            raise Skipped(f"there is no {parts[0]} in dist")
        return [ground.dist / parts[0], *parts[1:]]

    return command


def roundtrip(via):
    return Case(
        f"driver_{via.replace('-', '_')}", in_dist("examples/roundtrip", "4M", "20M", "--via", via), simulated=True,
        result=lambda answer: json.dumps(answer["buffers"]),
    )


# Those that take longest come first.
CASES = [
    Case("compile", script("compiled.py"), seconds=180),
    Case("nccl_two_gpus", script("nccl.py", "pair"), tenants=2),
    Case("nccl_alone", script("nccl.py", "alone")),
    Case("cuda_ipc", script("cuda_ipc.py"), tenants=2),
    Case("dataloader_spawn", script("dataloader.py", "spawn")),
    Case("jax", script("jax_steps.py")),
    Case("eager", script("eager.py")),
    Case("dataloader_fork", script("dataloader.py", "fork")),
    Case("cuda_graph", script("cuda_graph.py"), graphs=True),
    Case("expandable_segments", script("allocators.py", "expandable")),
    Case("cuda_malloc_async", script("allocators.py", "async")),
    Case("cupy", script("cupy_arrays.py")),
    Case("nvcc_static", built("static"), graphs=True),
    Case("nvcc_shared", built("shared"), graphs=True),
    Case("nvcc_per_thread", built("per_thread"), graphs=True),
    Case("cudarc", in_dist("examples/cudarc_client"), simulated=True),
    *(roundtrip(via) for via in ("lookup", "proc-address", "nested")),
]
KEYS = ("bypassed", "launches", "graph_launches", "colored_bytes", "uncolored_bytes")


@dataclass
class Run:
    """What one run of a case gave, or why it gave nothing."""

    answer: Optional[dict] = None
    rows: list = field(default_factory=list)
    skipped: Optional[str] = None
    failed: Optional[str] = None
    seconds: float = 0.0


# Asked for, since `auto` colours nobody where the colours are sides.
COLORED = ("--color", "on")


def run(ground, watch, case, how, deadline):
    """Runs a case `bare`, `again` (bare as well) or `governed`."""
    name, begun = f"{case.name}-{how}", time.monotonic()
    result = Run()
    try:
        if ground.sim and not case.simulated:
            raise Skipped("needs a real GPU")
        if time.monotonic() > deadline:
            raise Failed("not run: the time for all cases is used up")
        command = [*case.command(ground), "--hold"]
        command = ground.governed(command, flags=COLORED) if how == "governed" else ground.bare(command)
        with ground.start(name, command, caches(ground, name)) as program:
            answer = program.answer(case.seconds)
            if "skipped" in answer:
                result.skipped = answer["skipped"]
            elif how == "governed":
                watch.look()
                # Now, as it soon frees what it has.
                result.rows = watch.of(name)
            if program.finish(60):
                raise Failed(f"it ended with {program.process.returncode}: {program.said()}")
            result.answer = answer
    except Skipped as reason:
        result.skipped = str(reason)
    except Exception as reason:  # a broken run is a failed one
        result.failed = f"{how}: {type(reason).__name__}: {reason}"
    result.seconds = time.monotonic() - begun
    return result


def caches(ground, name):
    """Nothing that one run compiles helps another."""
    folders = {
        variable: ground.work / "caches" / name / variable.lower()
        for variable in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUPY_CACHE_DIR", "CUDA_CACHE_PATH")
    }
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    return {"TORCHINDUCTOR_COMPILE_THREADS": "4", **{name: str(folder) for name, folder in folders.items()}}


def judge(case, bare, governed, again):
    """The row of a case, and its outcome. `again` runs the case bare once more."""
    rows = governed.rows
    total = {key: sum(row[key] for row in rows) if rows and all(key in row for row in rows) else "-" for key in KEYS}
    equal = "-"
    problems = [run.failed for run in (bare, governed) if run.failed]
    skipped = bare.skipped or governed.skipped
    if not problems and not skipped:
        results = [case.result(run.answer) for run in (bare, governed)]
        equal = "yes" if results[0] == results[1] else "NO"
        if equal == "NO":
            third = again()
            same = third.answer is not None and case.result(third.answer) == results[0]
            problems.append("other output than bare" if same else "bare runs differ among themselves")
        problems += why_not_governed(case, governed)
    outcome = "FAILED" if problems else "skipped" if skipped else "ok"
    plain = sorted({row["state"] for row in rows if row["launches"] and not row["colored_bytes"]})
    ok = "yes" if bare.answer and not bare.skipped else "-" if skipped else "NO"
    launches = "-" if not rows else f"{total['launches']}+{total['graph_launches']}"
    said = f"{outcome}: {'; '.join(problems) or skipped}" if problems or skipped else "ok"
    if plain:
        said += f" (memory of one was not coloured: {', '.join(plain)})"
    return outcome, [case.name, ok, equal, total["bypassed"], launches, total["colored_bytes"], said]


def why_not_governed(case, governed):
    """What is wrong with the rows of the governed run."""
    rows = governed.rows
    if not rows:
        return ["no tenant was seen"]
    if any("bypassed" not in row for row in rows):
        return ["`missile top` does not tell `bypassed`"]
    problems = []
    for row in rows:
        if row["bypassed"]:
            by = row.get("bypassed_by")
            last = f", the last {by}" if by else ""
            problems.append(f"{row['bypassed']} calls bypassed in {row['pid']} {row['name']}{last}")
    working = sum(1 for row in rows if row["launches"] + row["graph_launches"] > 0)
    if working < case.tenants:
        problems.append(f"launches in {working} processes instead of {case.tenants}")
    if case.graphs and not any(row["graph_launches"] for row in rows):
        problems.append("no graph launch was seen")
    return problems


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dist", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--out", type=Path, default=Path("gpu-frameworks"))
    parser.add_argument("--only", help="the cases with these names, with commas between")
    parser.add_argument("--jobs", type=int, default=4, help="how many programs run at a time")
    parser.add_argument("--limit", type=float, default=420, help="seconds after which no further program is started")
    parser.add_argument("--map-budget", type=int, default=131072)
    parser.add_argument("--sim", help="a simulated GPU")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    options = parser.parse_args()
    names = [case.name for case in CASES]
    wanted = options.only.split(",") if options.only else names
    if unknown := set(wanted) - set(names):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    return options, [case for case in CASES if case.name in wanted]


def main():
    options, cases = arguments()
    if options.list:
        print("\n".join(case.name for case in cases))
        return 0
    deadline = time.monotonic() + options.limit
    rows, raw = [], {}
    with Ground(options.dist, options.out, options.sim, options.map_budget) as ground:
        found = ground.up()
        print(f"{found['gpu']['name']}, {found['colors']} colours", flush=True)
        with Watch(ground) as watch, ThreadPoolExecutor(options.jobs) as pool:
            try:
                runs = [
                    (case, [pool.submit(run, ground, watch, case, how, deadline) for how in ("bare", "governed")])
                    for case in cases
                ]
                for case, futures in runs:
                    bare, governed = (future.result() for future in futures)
                    outcome, row = judge(case, bare, governed, lambda: run(ground, watch, case, "again", deadline))
                    rows.append((outcome, row))
                    raw[case.name] = {"outcome": outcome, "bare": vars(bare), "governed": vars(governed)}
                    took = f"{bare.seconds:.0f} s bare, {governed.seconds:.0f} s governed"
                    print(f"{case.name}: {row[-1]} ({took})", flush=True)
            except BaseException:
                # The pool waits for what it runs, so that has to end.
                pool.shutdown(wait=False, cancel_futures=True)
                ground.stop()
                raise
    (options.out / "frameworks.json").write_text(json.dumps(raw, indent=1))
    headings = ["case", "bare digest ok", "equal", "bypassed", "launches+graphs", "colored bytes", "verdict"]
    text = harness.table([[*row[:-1], row[-1][:300].replace("\n", " ")] for _, row in rows], headings)
    (options.out / "table.txt").write_text(text + "\n")
    print("\n" + text)
    return harness.verdict(outcome for outcome, _ in rows)


if __name__ == "__main__":
    raise SystemExit(main())
