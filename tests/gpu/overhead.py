"""What Missile costs a program that has the GPU for itself: `python3 tests/gpu/overhead.py DIST [--out FOLDER]`.

DIST is the folder that `tests/gpu/dist.sh` makes. Four processes run the same network: two bare ones, one under
`missile run --class be --color on`, and one under the same with `--color off`, with the arbiter up. They take turns in short
blocks, in an order that changes each round, so that clocks and drifts are shared; those that wait do nothing. A round's
ratio is a governed block's time over the mean of the two bare blocks' in the same round. The two bare processes against
each other show what the measurement itself can tell. Everything is done in several generations of fresh processes,
since a process keeps the places that its memory got.

The threads that launch share one core, which nothing else of this check uses; `--no-pin` leaves that to the kernel.
A median above `--most` fails.
"""
import argparse
import json
import os
import statistics
import time
from pathlib import Path

import harness
from harness import Failed, Ground, Watch, python

# Each network, and how many inferences a block has.
WORK = {"resnet50-1": 12, "resnet50-32": 12, "bert-8": 12}
GOVERNED = {"governed": ("--color", "on"), "governed, --color off": ("--color", "off")}
BARE = ("bare", "bare again")
READY_SECONDS, BLOCK_SECONDS = 150, 60


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dist", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--out", type=Path, default=Path("gpu-overhead"))
    parser.add_argument("--only", choices=WORK, help="one network")
    parser.add_argument("--rounds", type=int, default=60, help="in each generation")
    parser.add_argument("--generations", type=int, default=3)
    parser.add_argument("--most", type=float, default=1.01, help="the largest median ratio that passes")
    parser.add_argument("--limit", type=float, default=420, help="seconds after which no further generation is started")
    parser.add_argument("--map-budget", type=int, default=131072)
    parser.add_argument("--no-pin", action="store_true")
    parser.add_argument("--list", action="store_true", help="name the networks and stop")
    return parser.parse_args()


def generation(ground, watch, work, number, rounds, core):
    """Fresh processes in turns: seconds for one inference by process and round, and the rows of the governed ones."""
    extra = [] if core is None else ["--core", str(core)]
    command = python("turns.py", work, *extra)
    programs, times, iterations = {}, {}, WORK[work]
    try:
        for who in (*BARE, *GOVERNED):
            words = ground.governed(command, flags=GOVERNED[who]) if who in GOVERNED else ground.bare(command)
            short = who.replace(", --color ", "-").replace(" ", "-")
            programs[who] = ground.start(f"{work}-{number}-{short}", words, {"PYTHONHASHSEED": "0"})
        ready = {who: program.answer(READY_SECONDS) for who, program in programs.items()}
        if len({answer["digest"] for answer in ready.values()}) != 1:
            raise Failed(f"the outputs differ: {[answer['digest'][:8] for answer in ready.values()]}")
        watch.look()
        rows = {who: watch.of(programs[who].name) for who in GOVERNED}
        for who, seen in rows.items():
            if len(seen) != 1 or not seen[0]["launches"]:
                raise Failed(f"{who}: `missile top` has {len(seen)} tenants for it instead of one that launches")
        if not rows["governed"][0]["colored_bytes"]:
            raise Failed(f"nothing is coloured: {rows['governed'][0]['state']}")
        order = list(programs)
        for round_ in range(rounds + 1):
            for who in order:
                programs[who].tell(iterations)
                seconds = programs[who].answer(BLOCK_SECONDS)["seconds"] / iterations
                if round_ > 0:  # the first one warms up
                    times.setdefault(who, []).append(seconds)
            order = order[1:] + order[:1] if round_ % 2 else order[::-1]
        watch.look()
        rows = {who: watch.of(programs[who].name)[0] for who in GOVERNED}
        for program in programs.values():
            if program.finish(60):
                raise Failed(f"{program.name} ended with {program.process.returncode}: {program.said()}")
    finally:
        for program in programs.values():
            program.end()
    return times, rows


def ratios(times):
    """For each comparison the ratios of one generation's rounds."""
    bare, again = times[BARE[0]], times[BARE[1]]
    found = {"bare again": [b / a for a, b in zip(bare, again)]}
    for who in GOVERNED:
        found[who] = [t / ((a + b) / 2) for t, a, b in zip(times[who], bare, again)]
    return found


def report(work, generations, most):
    """The rows of one network, and their outcomes."""
    lines = []
    compared = [ratios(times) for times, _ in generations]
    bare = [seconds for times, _ in generations for who in BARE for seconds in times[who]]
    for who in compared[0]:
        all_ratios = [ratio for found in compared for ratio in found[who]]
        low, median, high = statistics.quantiles(all_ratios, n=4, method="inclusive")
        each = " ".join(f"{statistics.median(found[who]):.4f}" for found in compared)
        outcome, memory = "-", "-"
        if who in GOVERNED:
            outcome = "ok" if median <= most else "FAILED"
            row = generations[-1][1][who]
            memory = f"{row['colored_bytes'] >> 20}+{row['uncolored_bytes'] >> 20}"
            if row.get("bypassed", "no key") != 0:
                memory += f" (bypassed: {row.get('bypassed', 'not told')})"
        lines.append((outcome, [
            work, who, len(all_ratios), f"{statistics.median(bare) * 1e3:.3f}", f"{median:.4f}", f"{low:.4f} to {high:.4f}",
            each, memory, outcome,
        ]))
    return lines


def main():
    options = arguments()
    if options.list:
        print("\n".join(WORK))
        return 0
    if options.rounds < 2 or options.generations < 1:
        raise SystemExit("there must be a generation, of two rounds at least")
    cores = sorted(os.sched_getaffinity(0))
    core = None
    if not options.no_pin and len(cores) > 2:
        core = cores[-1]
        os.sched_setaffinity(0, cores[:-1])
    deadline = time.monotonic() + options.limit
    lines, raw = [], {}
    with Ground(options.dist, options.out, map_budget=options.map_budget) as ground:
        found = ground.up()
        print(f"{found['gpu']['name']}, {found['colors']} colours, launches on core {'any' if core is None else core}", flush=True)
        with Watch(ground, period=3600) as watch:  # `missile top` runs only where it is asked for
            for work in [options.only] if options.only else WORK:
                begun = time.monotonic()
                try:
                    done = []
                    for number in range(options.generations):
                        if time.monotonic() > deadline:
                            raise Failed("the time for all networks is used up")
                        done.append(generation(ground, watch, work, number, options.rounds, core))
                    raw[work] = [{"seconds": times, "rows": rows} for times, rows in done]
                    lines += report(work, done, options.most)
                except Exception as reason:  # a broken measurement is a failed one
                    lines.append(("FAILED", [work, *["-"] * 7, f"FAILED: {type(reason).__name__}: {reason}"]))
                print(f"{work}: {time.monotonic() - begun:.0f} s", flush=True)
    (options.out / "overhead.json").write_text(json.dumps(raw, indent=1))
    headings = [
        "network", "process", "pairs", "bare ms", "median ratio", "quartiles", "medians by generation",
        "MiB coloured+not", "verdict",
    ]
    text = harness.table([[*row[:-1], str(row[-1])[:400].replace("\n", " ")] for _, row in lines], headings)
    (options.out / "table.txt").write_text(text + "\n")
    print("\n" + text)
    return harness.verdict(outcome for outcome, _ in lines)


if __name__ == "__main__":
    raise SystemExit(main())
