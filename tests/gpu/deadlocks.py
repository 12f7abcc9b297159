"""The hunt for deadlocks under held launches: `python3 tests/gpu/deadlocks.py DIST [--out FOLDER]`.

DIST is the folder that `tests/gpu/dist.sh` makes; needs a C compiler. Every C program of `tests/paths`, `tests/manners` and
`tests/copies` (deadlock_cases.py) runs bare, and then as a best-effort tenant while a latency-sensitive tenant always has
work on the GPU (programs/busy.c), so that its launches wait as long as ever they may. Both under MPS. It must end with the
same exit code and the same output as bare, and later by at most `MISSILE_HOLD_MAX_MS` for each launch, and `--grace`.
`--hold-max` sets the variable.

Names whose output must differ, such as times, are not compared. Each program's outcome is printed as it comes: `ok`, `HANGS`
(it did not end within `--timeout`), `DIFFERS`, `late`, or `bare fails` where it fails without Missile as well, which
says nothing of Missile. With `--limit` the hunt ends in so many seconds, and says what was left out. The exit code is 1 where
something is not as it must be or was left out.
"""
import argparse
import json
import os
import shutil
import time
from pathlib import Path

import deadlock_cases as cases
import harness
from harness import Failed, Program, Skipped
from setups import Clock, OutOfTime, opened

# What the product holds a launch for unless told otherwise.
HOLD_MAX_MS = 250
# Their values differ from run to run, count what a library beside Missile saw of Missile, or say how many addresses are the
# same by two ways, which is the driver's affair.
UNSTEADY = ("_ms", "ioctls", "mallocs", "interrupted", "as dlsym")
FIRST_SECONDS = 60


def parsed(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dist", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--out", type=Path, default=Path("deadlocks"))
    parser.add_argument("--sim", help="a simulated GPU, to try this out")
    parser.add_argument("--only", metavar="TEXT,TEXT", help="cases whose names begin so")
    parser.add_argument("--probe", type=Path, metavar="FOLDER", help="keeps the probed table, which masks need, from run to run")
    parser.add_argument("--hold-max", type=int, metavar="MS", help="instead of the default")
    parser.add_argument("--grace", type=float, default=1.5, help="seconds that a tenant's start may take longer")
    parser.add_argument("--timeout", type=float, default=45, help="seconds after which a program hangs")
    parser.add_argument("--limit", type=float, default=float("inf"), metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    return parser.parse_args(words)


def chosen(only):
    starts = tuple(only.split(",")) if only else ("",)
    return [case for case in cases.CASES if case.name.startswith(starts)]


def steady(output):
    """The output without what may differ: JSON as it is but for unsteady values, other text as it is."""
    lines = []
    for line in output.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if isinstance(found, dict):
            line = json.dumps({key: value for key, value in found.items() if not key.endswith(UNSTEADY)})
        lines.append(line)
    return lines


def told(errors):
    """What the program itself said on standard error: without the command, and without lines of Missile."""
    return [line for line in errors.splitlines()[1:] if not line.startswith("missile:")]


def ended(place, case, words, options):
    """How a case ends in a setup: its exit code (`None` where it hangs), seconds, output and errors."""
    env = {"LD_PRELOAD": str(options.folder / case.preload)} if case.preload else {}
    if options.hold_max is not None:
        env["MISSILE_HOLD_MAX_MS"] = str(options.hold_max)
    program = place.start(case.name, words, "be", flags=case.flags if place.governed else (), env=env)
    try:
        code = program.finish(options.timeout)
    except Failed:
        code = None
    seconds = time.monotonic() - program.begun
    program.end()
    return {
        "code": code, "seconds": seconds, "output": program.output.read_text(errors="replace"),
        "errors": program.errors.read_text(errors="replace"),
    }


def outcome(case, bare, governed, options):
    """The verdict of a case, and why."""
    if bare["code"] is None or bare["code"] != 0:
        same = governed["code"] == bare["code"]
        return "bare fails" if same else "DIFFERS", f"bare ends with {bare['code']}, governed with {governed['code']}"
    if governed["code"] is None:
        return "HANGS", f"after {governed['seconds']:.0f} s: {(governed['errors'] + governed['output'])[-300:]}"
    if governed["code"] != bare["code"]:
        return "DIFFERS", f"exit {governed['code']}: {governed['errors'][-300:]}"
    for what, one, other in (
        ("output", steady(bare["output"]), steady(governed["output"])), ("errors", told(bare["errors"]), told(governed["errors"])),
    ):
        if one != other:
            lines = [pair for pair in zip(one, other) if pair[0] != pair[1]] or [(f"{len(one)} lines", f"{len(other)} lines")]
            return "DIFFERS", f"{what}: {lines[0][0][:150]} | {lines[0][1][:150]}"
    later = governed["seconds"] - bare["seconds"]
    hold = HOLD_MAX_MS if options.hold_max is None else options.hold_max
    most = case.launches * hold / 1e3 + options.grace + case.slower
    return ("late", f"later by {later:.2f} s, at most {most:.2f}") if later > most else ("ok", "")


class Busy:
    """The tenant that always has work. Fails where it stopped."""

    def __init__(self, place, program, options):
        self.place = place
        self.program: Program = place.start("busy", [program], "ls")
        self.program.answer(FIRST_SECONDS)
        self.before = 0

    def check(self):
        """That it has launched since the last time."""
        for row in self.place.ground.top()["tenants"]:
            if row["pid"] == self.program.pid and row["launches"] > self.before:
                self.before = row["launches"]
                return
        raise Failed(f"the busy tenant is not busy: {self.program.said()}")


def hunt(options, clock, rows):
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if not compiler:
        raise Skipped("there is no C compiler")
    with opened(options.dist, options.out, ["mps", "governed-mps"], options.sim, options.probe) as setups:
        mps, governed = setups["mps"], setups["governed-mps"]
        ground = mps.ground
        options.folder = ground.work / "deadlocks"
        library = cases.driver(ground)
        failed = cases.compile_all(options.folder, library, compiler)
        for file, why in failed.items():
            print(f"# {file} is not made: {why}", flush=True)
        busy_program = ground.work / "busy"
        cases.compile_one(busy_program, harness.PROGRAMS / "busy.c", compiler)
        # Bare ones first: the busy tenant slows them by what is none of Missile's.
        wanted = [case for case in chosen(options.only) if case.program not in failed]
        bare = {}
        commands = {}
        for case in wanted:
            clock.need(options.timeout)
            words = [cases.filled_in(word, options.folder, library) for word in case.arguments]
            commands[case.name] = [options.folder / case.program, *words]
            bare[case.name] = ended(mps, case, commands[case.name], options)
        print(f"# {len(bare)} programs bare at {clock.passed():.0f} s", flush=True)
        busy = Busy(governed, busy_program, options)
        for case in wanted:
            clock.need(options.timeout)
            busy.check()
            found = ended(governed, case, commands[case.name], options)
            verdict, why = outcome(case, bare[case.name], found, options)
            rows.append({"case": case.name, "verdict": verdict, "why": why, "bare": bare[case.name], "governed": found})
            print(line(rows[-1]), flush=True)
        busy.check()
        if busy.program.finish(FIRST_SECONDS):
            raise Failed(f"the busy tenant: {busy.program.said()}")
        if failed:
            raise Failed(f"not made: {', '.join(failed)}")


def line(row):
    seconds = f"bare {row['bare']['seconds']:.2f} s, governed {row['governed']['seconds']:.2f} s"
    return f"{row['case']}: {row['verdict']}, {seconds}{': ' + row['why'] if row['why'] else ''}"


def main():
    options = parsed()
    if options.list:
        print("\n".join(case.name for case in cases.CASES))
        return 0
    clock, rows, problems = Clock(options.limit), [], []
    try:
        hunt(options, clock, rows)
    except OutOfTime as reason:
        problems.append(f"out of time: {reason}; {len(rows)} of {len(chosen(options.only))} cases are done")
    except Skipped as reason:
        problems.append(f"skipped: {reason}")
    except Failed as reason:
        problems.append(str(reason))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "problems": problems}))
    wrong = [row for row in rows if row["verdict"] not in ("ok", "bare fails")]
    later = sorted(row["governed"]["seconds"] - row["bare"]["seconds"] for row in rows)
    print(f"\n# {clock.passed():.0f} s\n")
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in sorted({row["verdict"] for row in rows})}
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "nothing was run")
    if later:
        print(f"later than bare: median {later[len(later) // 2]:.2f} s, most {later[-1]:.2f} s")
    print("\n".join([line(row) for row in wrong] + [f"problem: {problem}" for problem in problems]))
    return int(bool(wrong or problems))


if __name__ == "__main__":
    raise SystemExit(main())
