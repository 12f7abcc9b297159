"""The SMs that launches run on are the promised ones: `python3 tests/gpu/launched.py DIST [--out FOLDER]`.

DIST is the folder that `tests/gpu/dist.sh` makes. A program (programs/launched.py) launches a kernel in every way that there
is, which reads where it runs: bare, and as a best-effort tenant with each value of `--sms`, under MPS. No kind may run on
more SMs than so many (two make a TPC, and are given together), and none on others than the plain launch; `side` stands for
those of one side of the L2, about half of all. A cooperative launch that fits on all SMs only may go without a mask.

`missile run` has no `--sms` yet, and refuses it: until it has, only the bare runs end well.

Counters of `missile top` whose names speak of masks are shown for each run. The exit code is 1 where a promise was not kept.
"""
import argparse
import json
from pathlib import Path

import harness
from harness import Failed, Skipped, python
from setups import Clock, OutOfTime, opened

SECONDS = 60
# A side may be given so large a part of all SMs.
MOST_OF_SIDE = 0.6
MAY_EXCEED = ("cooperative, full",)


def parsed(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dist", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--out", type=Path, default=Path("launched"))
    parser.add_argument("--sim", help="a simulated GPU, to try this out")
    parser.add_argument("--sms", default="16,64,side", metavar="N,N")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--probe", type=Path, metavar="FOLDER", help="keeps the probed table, which masks need, from run to run")
    parser.add_argument("--limit", type=float, default=float("inf"), metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(words)


def ran(setup, name, flags, options):
    """{kind: answer} of one run, how many SMs there are, and the counters of masks."""
    command = python("launched.py", options.dist.resolve() / "ptx" / "latency.ptx", options.rounds)
    program = setup.start(name, command, "be", flags=flags)
    found = {}
    try:
        while "at" not in (answer := program.answer(SECONDS)):
            found[answer["kind"]] = answer
        counters = {}
        if setup.governed:
            row = next((row for row in setup.ground.top()["tenants"] if row["pid"] == program.pid), None)
            if row is None:
                raise Failed(f"no tenant in `missile top`: {name}")
            counters = {key: value for key, value in row.items() if "mask" in key or "sms" in key}
        if program.finish(SECONDS):
            raise Failed(f"{name} ended with {program.process.returncode}: {program.said()}")
    finally:
        program.end()
    return found, answer["of"], counters


def judged(kind, answer, plain, most, bare):
    """The verdict on a kind of launch."""
    if "error" in answer:
        return "ok" if "error" in bare else "FAILED", answer["error"]
    sms = set(answer["sms"])
    if len(sms) > most or not sms <= plain:
        outside = sorted(sms - plain)
        why = f"at most {most:.0f} SMs; not of the plain launch's: {outside[:8] or 'none'}"
        return "without mask" if kind in MAY_EXCEED else "FAILED", why
    return "ok", ""


def compare(setups, options, clock, rows):
    bare, of, _ = ran(setups["mps"], "bare", (), options)
    for kind, answer in bare.items():
        rows.append({"sms": "bare", "kind": kind, "ran": len(answer.get("sms", [])), "verdict": "-", "why": answer.get("error", "")})
    for asked in options.sms.split(","):
        clock.need(SECONDS)
        try:
            found, _, counters = ran(setups["governed-mps"], f"sms-{asked}", ("--sms", asked), options)
        except Failed as reason:
            rows.append({"sms": asked, "kind": "-", "ran": "-", "verdict": "FAILED", "why": str(reason)})
            continue
        most = MOST_OF_SIDE * of if asked == "side" else int(asked) + int(asked) % 2
        plain = set(found["plain"].get("sms", []))
        for kind, answer in found.items():
            verdict, why = judged(kind, answer, plain, most, bare[kind])
            row = {"sms": asked, "kind": kind, "ran": len(answer.get("sms", [])), "verdict": verdict, "why": why}
            rows.append({**row, "on": answer.get("sms")})
        print(f"# --sms {asked}: {counters}", flush=True)


def main():
    options = parsed()
    clock, rows, problems = Clock(options.limit), [], []
    try:
        with opened(options.dist, options.out, ["mps", "governed-mps"], options.sim, options.probe) as setups:
            compare(setups, options, clock, rows)
    except (OutOfTime, Failed, Skipped) as reason:
        problems.append(f"{type(reason).__name__}: {reason}")
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "problems": problems}))
    headings = ["--sms", "kind", "SMs", "verdict", "why"]
    text = [[row["sms"], row["kind"], row["ran"], row["verdict"], row["why"][:200].replace("\n", " ")] for row in rows]
    print(f"\n# {clock.passed():.0f} s\n\n{harness.table(text, headings)}")
    print("\n".join(f"problem: {problem}" for problem in problems))
    return int(bool(problems or any(row["verdict"] == "FAILED" for row in rows)))


if __name__ == "__main__":
    raise SystemExit(main())
