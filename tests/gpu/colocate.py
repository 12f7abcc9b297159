"""A latency-sensitive server beside best-effort jobs on one GPU: `python3 tests/gpu/colocate.py DIST [--out FOLDER]`.

DIST is the folder that `tests/gpu/dist.sh` makes; needs PyTorch, transformers and torchvision. Measures every pair of a
server's load (`--ls`, see colocate_ls.py) and a kind of job (`--be`, see colocate_be.py) at each depth (`--depths`: steps
in flight) in each setup (`--setups`, see setups.py), and each kind of job alone. Setups take turns, window by window.
Figures are medians over `--rounds` windows of `--seconds`:

    p50, p99        the server's latency in ms: `service` from launch to end, `arrival` from the arrival of a request
    x p50, x p99    as a ratio to the server alone: the same process, measured in between
    BE part         the job's rate as a part of its rate alone: the same process
    LS busy         the part of the time in which the server alone serves a request, at the same rate
    BE efficiency   BE part / (1 - LS busy)

With `--two-be KIND:WEIGHT,KIND:WEIGHT` two jobs of these weights run beside the server instead. The last lines name the
governed pairs beyond the bounds. `--json` keeps every window. With `--limit` the measurement ends in so many seconds, with
what was measured until then. The exit code is 1 where something failed or was left out.
"""
import argparse
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import colocate_report as report
from harness import Failed, Skipped, script
from setups import GROUPS, SETUPS, Clock, Job, OutOfTime, Server, end, load, opened, together

LOADS = ("bert-graph", "resnet50-graph", "bert-eager")
KINDS = ("copy", "gemm4096", "gemm16384", "decode", "train")
# Requests a second, unless `--rate` says otherwise: eager ones take several times as long.
RATES = {"graph": 200.0, "eager": 60.0}
# Shares of two jobs may come in long turns.
TWO_SECONDS = 1.5
START_SECONDS = 180


@dataclass
class Pair:
    """The windows of one load beside one job in one setup."""

    ls: str
    be: str
    depth: int
    setup: str
    rate: float
    alone: list = field(default_factory=list)
    beside: list = field(default_factory=list)
    # What the job did beside the server, and alone.
    work: list = field(default_factory=list)
    be_alone: list = field(default_factory=list)


@dataclass
class Two:
    """The windows of one load beside two jobs in one setup."""

    ls: str
    jobs: list
    weights: list
    depth: int
    setup: str
    rate: float
    alone: list = field(default_factory=list)
    beside: list = field(default_factory=list)
    # Two answers a window.
    work: list = field(default_factory=list)
    be_alone: list = field(default_factory=list)


@dataclass
class Results:
    """All that was measured, and what went wrong."""

    pairs: list = field(default_factory=list)
    twos: list = field(default_factory=list)
    # {(kind, depth, setup): windows}
    jobs_alone: dict = field(default_factory=dict)
    problems: list = field(default_factory=list)


def comma_separated(choices):
    def parse(text):
        words = [word for word in text.split(",") if word]
        for word in words:
            if word not in choices:
                raise argparse.ArgumentTypeError(f"{word} is not one of {', '.join(choices)}")
        return words

    return parse


def two_jobs(text):
    """[(kind, weight), (kind, weight)] from KIND:WEIGHT,KIND:WEIGHT."""
    jobs = [word.partition(":") for word in text.split(",")]
    if len(jobs) != 2 or any(kind not in KINDS or not weight.isdigit() for kind, _, weight in jobs):
        raise argparse.ArgumentTypeError(f"{text} is not KIND:WEIGHT,KIND:WEIGHT")
    return [(kind, int(weight)) for kind, _, weight in jobs]


def parsed(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dist", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--out", type=Path, default=Path("colocate"))
    parser.add_argument("--ls", type=comma_separated(LOADS + ("resnet50-eager",)), default=list(LOADS))
    parser.add_argument("--be", type=comma_separated(KINDS), default=list(KINDS))
    parser.add_argument("--two-be", type=two_jobs, metavar="KIND:WEIGHT,KIND:WEIGHT")
    parser.add_argument("--depths", type=lambda text: [int(word) for word in text.split(",")], default=[2, 12])
    parser.add_argument("--setups", type=comma_separated(SETUPS), default=["stock", "governed"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--rate", type=float, help="requests a second of every load")
    parser.add_argument("--limit", type=float, default=float("inf"), metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(words)


def rate_of(name, options):
    return options.rate or RATES[name.split("-")[1]]


def alone_in(index, rounds):
    """Whether the server is measured alone before this round: at the beginning and in the middle."""
    return index in (0, rounds // 2)


def serve(server, case, seconds, seed, beside=()):
    return server.window(seconds, beside, load=case.ls, rate=case.rate, seed=seed)


def measure_beside(cases, servers, jobs, options, clock, seconds):
    """Fills cases of several setups by turns: the server alone now and then, and beside the jobs of its setup."""
    for index in range(options.rounds):
        for case in cases:
            server, beside = servers[case.setup], jobs[case.setup]
            if alone_in(index, options.rounds):
                clock.need(2 * seconds + 1)
                case.alone.append(serve(server, case, seconds, index)[0])
            clock.need(2 * seconds + 1)
            for job in beside:
                job.go(case.depth)
            answer, work = serve(server, case, seconds, index, beside)
            for job in beside:
                job.rest()
            case.beside.append(answer)
            case.work.append(work if len(work) > 1 else work[0])


def start_jobs(setups, name, kind, weight=None):
    """A job in each setup. They import PyTorch now and use the GPU when they are asked to."""
    command = script("colocate_be.py", kind)
    return {setup: Job(place.start(f"be-{name}", command, "be", weight)) for setup, place in setups.items()}


def start_servers(setups, loads):
    command = script("colocate_ls.py", ",".join(loads))
    return {setup: Server(place.start("ls", command, "ls")) for setup, place in setups.items()}


def imported(tenants, clock):
    for tenant in tenants:
        tenant.answer(clock.at_most(START_SECONDS))


def jobs_alone(kind, jobs, options, clock, results):
    """The rates of a job alone in each setup, by turns."""
    for depth in options.depths:
        for _ in range(2):
            for setup, job in jobs.items():
                clock.need(2 * options.seconds + 1)
                windows = results.jobs_alone.setdefault((kind, depth, setup), [])
                windows.append(job.alone(depth, options.seconds))


def measure_kind(kind, jobs, servers, options, clock, results):
    """All pairs with one kind of job."""
    load(jobs.values(), clock.at_most(START_SECONDS))
    jobs_alone(kind, jobs, options, clock, results)
    for depth in options.depths:
        for model in options.ls:
            cases = []
            for setup in jobs:
                case = Pair(model, kind, depth, setup, rate_of(model, options))
                case.be_alone = results.jobs_alone[kind, depth, setup]
                cases.append(case)
            results.pairs += cases
            measure_beside(cases, servers, {setup: [job] for setup, job in jobs.items()}, options, clock, options.seconds)
            for case in cases:
                print(report.pair_line(case), flush=True)


def measure_pairs(setups, options, clock, results):
    """All pairs of one group of setups."""
    servers = start_servers(setups, options.ls)
    kinds = {kind: start_jobs(setups, kind, kind) for kind in options.be}
    imported([*servers.values(), *(job for jobs in kinds.values() for job in jobs.values())], clock)
    load(servers.values(), clock.at_most(START_SECONDS))
    for kind, jobs in kinds.items():
        print(f"# {kind}: {', '.join(setups)} at {clock.passed():.0f} s", flush=True)
        try:
            measure_kind(kind, jobs, servers, options, clock, results)
        except Failed as reason:
            results.problems.append(f"{kind} in {', '.join(setups)}: {reason}")
            print(f"# {results.problems[-1]}", flush=True)
        end(jobs.values())


def measure_two(setups, options, clock, results):
    """Two jobs of different weights beside each load."""
    servers = start_servers(setups, options.ls)
    started = [start_jobs(setups, f"{number}-{kind}", kind, weight) for number, (kind, weight) in enumerate(options.two_be)]
    jobs = {setup: [each[setup] for each in started] for setup in setups}
    every = [*servers.values(), *(job for each in jobs.values() for job in each)]
    imported(every, clock)
    load(every, clock.at_most(START_SECONDS))
    seconds = max(TWO_SECONDS, options.seconds)
    kinds, weights = zip(*options.two_be)
    for depth in options.depths:
        alone = {}
        for setup, pair in jobs.items():
            clock.need(6 * seconds)
            alone[setup] = [job.alone(depth, options.seconds) for job in pair]
            for job in pair:
                job.go(depth)
            print(report.two_alone_line(setup, depth, kinds, weights, alone[setup], together(pair, seconds)), flush=True)
            for job in pair:
                job.rest()
        for model in options.ls:
            cases = [Two(model, list(kinds), list(weights), depth, setup, rate_of(model, options)) for setup in setups]
            for case in cases:
                case.be_alone = alone[case.setup]
            results.twos += cases
            measure_beside(cases, servers, jobs, options, clock, seconds)


def measure(options, clock, results):
    """Measures all that is asked for, as far as time allows."""
    for group in GROUPS:
        names = [name for name in group if name in options.setups]
        if not names:
            continue
        try:
            with opened(options.dist, options.out / names[0], names) as setups:
                (measure_two if options.two_be else measure_pairs)(setups, options, clock, results)
        except OutOfTime as reason:
            results.problems.append(f"out of time: {reason}")
            break
        except (Failed, Skipped) as reason:
            results.problems.append(f"{', '.join(names)}: {reason}")


def write(path, options, results):
    alone = [
        {"be": kind, "depth": depth, "setup": setup, "windows": windows}
        for (kind, depth, setup), windows in results.jobs_alone.items()
    ]
    found = {
        "options": {key: str(value) for key, value in vars(options).items()},
        "pairs": [{**asdict(case), "figures": report.figures(case)} for case in results.pairs],
        "twos": [{**asdict(case), "figures": report.two_figures(case)} for case in results.twos],
        "be_alone": alone,
        "problems": results.problems,
    }
    path.write_text(json.dumps(found))


def main():
    options = parsed()
    clock, results = Clock(options.limit), Results()
    try:
        measure(options, clock, results)
    finally:
        if options.json:
            write(options.json, options, results)
        print(f"\n# {clock.passed():.0f} s\n\n{report.text(results)}", flush=True)
    return int(bool(results.problems))


if __name__ == "__main__":
    raise SystemExit(main())
