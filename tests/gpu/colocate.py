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

Instead of pairs it measures, with

    --two-be KIND:WEIGHT,KIND:WEIGHT    two jobs of these weights beside the server
    --slo FACTOR,FACTOR                 targets, and with --switch KIND:KIND a job that changes (colocate_slo.py)
    --groups N,N                        so many servers beside as many jobs (colocate_groups.py)
    --alone                             servers and jobs alone, governed against bare (colocate_alone.py)

With `--curve FLAG=VALUE:VALUE` governed jobs run with each value of a flag of `missile run` as well, as setups of their own.

The last lines name the governed pairs beyond the bounds: under MPS these go by how long the job's longest kernel takes. `--json` keeps every window. With `--limit` the measurement ends in so many seconds, with
what was measured until then. The exit code is 1 where something failed or was left out.
"""
import argparse
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import colocate_alone
import colocate_groups
import colocate_report as report
import colocate_slo
from colocate_tenants import (
    KINDS, LOADS, MORE_LOADS, START_SECONDS, comma_separated, imported, longest_us, numbers, rates, rates_of, start_jobs,
    start_servers,
)
from harness import Failed, Skipped
from setups import GROUPS, SETUPS, Clock, OutOfTime, end, load, opened, together

# Shares of two jobs may come in long turns.
TWO_SECONDS = 1.5


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
    # The longest operation of the job's step; `None` where that is not known.
    kernel_us: float = None


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
    # Of other parts: {part: rows for the JSON}, and tables.
    other: dict = field(default_factory=dict)
    tables: list = field(default_factory=list)
    problems: list = field(default_factory=list)

    def table(self, title, rows, headings):
        """Keeps a table for the end."""
        self.tables.append(f"{title}\n{report.harness.table(rows, headings)}")


def two_jobs(text):
    """[(kind, weight), (kind, weight)] from KIND:WEIGHT,KIND:WEIGHT."""
    jobs = [word.partition(":") for word in text.split(",")]
    if len(jobs) != 2 or any(kind not in KINDS or not weight.isdigit() for kind, _, weight in jobs):
        raise argparse.ArgumentTypeError(f"{text} is not KIND:WEIGHT,KIND:WEIGHT")
    return [(kind, int(weight)) for kind, _, weight in jobs]


def flag_values(text):
    """(flag, values) from FLAG=VALUE:VALUE."""
    flag, _, values = text.partition("=")
    if not flag or not values:
        raise argparse.ArgumentTypeError(f"{text} is not FLAG=VALUE:VALUE")
    return flag, values.split(":")


def varied(setups, options):
    """The setups with the flags asked for; each governed one with each value of a flag, `mps` with each part of the SMs."""
    flags = {"ls": tuple(options.ls_flags.split()), "be": tuple(options.be_flags.split())}
    setups = {name: replace(setup, flags=flags) for name, setup in setups.items()}
    flag, values = options.curve or ("", [])
    more = [setup.varied(flag, value) for setup in setups.values() if setup.governed for value in values]
    if "mps" in setups:
        more += [setups["mps"].limited(percent) for percent in options.mps_percent]
    return {**setups, **{setup.name: setup for setup in more}}


def two_kinds(text):
    """[kind, kind] from KIND:KIND."""
    kinds = text.split(":")
    if len(kinds) != 2 or any(kind not in KINDS for kind in kinds):
        raise argparse.ArgumentTypeError(f"{text} is not KIND:KIND")
    return kinds


def parsed(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dist", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--out", type=Path, default=Path("colocate"))
    parser.add_argument("--ls", type=comma_separated(LOADS + MORE_LOADS), default=list(LOADS))
    parser.add_argument("--be", type=comma_separated(KINDS), default=list(KINDS))
    parser.add_argument("--two-be", type=two_jobs, metavar="KIND:WEIGHT,KIND:WEIGHT")
    parser.add_argument("--slo", type=numbers(float), metavar="FACTOR,FACTOR", help="targets, one server for each")
    parser.add_argument("--switch", type=two_kinds, metavar="KIND:KIND", help="with --slo: a job that changes its kind")
    parser.add_argument("--groups", type=numbers(int), metavar="N,N", help="so many servers beside as many jobs")
    parser.add_argument("--curve", type=flag_values, metavar="FLAG=VALUE:VALUE", help="governed jobs with each value as well")
    parser.add_argument("--ls-flags", default="", help="for `missile run` of governed servers, as one word: '--sms side'")
    parser.add_argument("--be-flags", default="", help="the same of governed jobs")
    parser.add_argument("--mps-percent", type=numbers(int), default=[], metavar="N,N", help="`mps` with parts of the SMs as well")
    parser.add_argument("--alone", action="store_true", help="servers and jobs alone, governed against bare")
    parser.add_argument("--settle", type=float, default=4, metavar="SECONDS", help="with --slo: before it is measured")
    parser.add_argument("--depths", type=numbers(int), default=[2, 12])
    parser.add_argument("--setups", type=comma_separated(SETUPS), default=["stock", "governed"])
    parser.add_argument("--probe", type=Path, metavar="FOLDER", help="keeps the probed table, which masks need, from run to run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6)
    parser.add_argument("--rate", type=rates, metavar="[LOAD=]RATE:RATE,…", help="requests a second, of every load or one")
    parser.add_argument("--limit", type=float, default=float("inf"), metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(words)
    if options.switch and not options.slo:
        parser.error("--switch needs --slo")
    if sum(map(bool, (options.slo, options.groups, options.alone, options.two_be))) > 1:
        parser.error("--slo, --groups, --alone and --two-be are measured one at a time")
    return options


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
    kernel_us = longest_us(jobs)
    print(f"# {kind}: the longest operation of a step takes {report.shown(kernel_us, 0)} us", flush=True)
    jobs_alone(kind, jobs, options, clock, results)
    for depth in options.depths:
        for model, rate in [(model, rate) for model in options.ls for rate in rates_of(model, options)]:
            cases = []
            for setup in jobs:
                case = Pair(model, kind, depth, setup, rate, kernel_us=kernel_us)
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
        for model, rate in [(model, rate) for model in options.ls for rate in rates_of(model, options)]:
            cases = [Two(model, list(kinds), list(weights), depth, setup, rate) for setup in setups]
            for case in cases:
                case.be_alone = alone[case.setup]
            results.twos += cases
            measure_beside(cases, servers, jobs, options, clock, seconds)


def part_of(options):
    """What is measured."""
    if options.slo:
        return colocate_slo.measure
    if options.groups:
        return colocate_groups.measure
    if options.alone:
        return colocate_alone.measure
    return measure_two if options.two_be else measure_pairs


def measure(options, clock, results):
    """Measures all that is asked for, as far as time allows."""
    part = part_of(options)
    for group in GROUPS:
        names = [name for name in group if name in options.setups]
        if not names:
            continue
        try:
            with opened(options.dist, options.out / names[0], names, probe=options.probe) as setups:
                part(varied(setups, options), options, clock, results)
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
        **results.other,
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
