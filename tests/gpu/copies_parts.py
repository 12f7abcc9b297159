"""The parts of copies.py. Each starts what it needs, prints a table, and ends what it started."""
import os
import time
from pathlib import Path

import builds
from harness import Failed, script
from setups import Job, Server, Tenant, end, load, median, opened, ratio, shown, together

KIB, MIB = 1, 1 << 10  # as the copier counts
SMALL, PERIOD_US = 256 * KIB, 500
BULKS = (64 * MIB, 4 * MIB, 64 * MIB)
DIRECTIONS = ("to-device", "to-host")
DEPTH = 4
# Weights of copiers of 64 and 4 MiB, and of three.
WEIGHTS = ((1, 1), (2, 1), (4, 1), (1, 4), (10, 1), (3, 2, 1))
# Shares may come in turns of many milliseconds.
SHARES_SECONDS = 1.5
CPU_SECONDS = 5
FLAGS_SECONDS = 20
START_SECONDS = 180
PYTORCH_LOADS = {"bert-graph-io": 200.0, "bert-eager-io": 60.0}
PYTORCH_JOBS = ("pinned", "pageable", "to-host")
BATCH_GB = 64 * (1 << 20) / 1e9


def setups_of(run, name, names):
    options = run.options
    return opened(options.dist, options.out / name, names, options.sim)


def small_copier(place, direction, kib=SMALL, period_us=PERIOD_US, kind="ls"):
    command = [builds.c_program(place.ground, "copier"), "small", kib, direction, period_us]
    return Server(place.start(f"{kind}-{kib}K-{direction}", command, kind))


def bulk_copier(place, direction, kib, number=0, weight=None):
    command = [builds.c_program(place.ground, "copier"), "bulk", kib, direction]
    return Job(place.start(f"be{number}-{kib}K-{direction}", command, "be", weight))


def prepare(tenants, run):
    """Has all tenants take their places on the GPU."""
    for tenant in tenants:
        tenant.answer(run.clock.at_most(START_SECONDS))
    load(tenants, run.clock.at_most(START_SECONDS))


def beside(run, server, jobs, seconds, **fields):
    """One window of a server beside running jobs."""
    run.clock.need(2 * seconds + 1)
    for job in jobs:
        job.go(DEPTH)
    answer, work = server.window(seconds, jobs, **fields)
    for job in jobs:
        job.rest()
    return {"ls": answer, "be": work}


def link_of(run, job, about):
    """What a bulk copier alone gets, in GB/s."""
    windows = []
    for _ in range(min(3, run.options.rounds)):
        run.clock.need(run.options.seconds + 1)
        windows.append(job.alone(DEPTH, run.options.seconds))
        run.keep(part=about, what="link", be=[windows[-1]])
    return median(windows, "gbps")


def ls_median(windows, key):
    return median([window["ls"] for window in windows if window["ls"]["n"]], key)


def rates_of(windows, number, key="gbps"):
    """The median rate of each of so many jobs."""
    return [median([window["be"][which] for window in windows], key) for which in range(number)]


def sensitive(run, names):
    """Small copies of a latency-sensitive tenant beside bulk copiers, in both directions."""
    headings = [
        "setup", "direction", "bulk copiers MiB", "LS p50 us", "p99 us", "x p50", "x p99", "BE GB/s", "sum", "link", "BE part",
    ]
    rows = []
    try:
        with setups_of(run, f"sensitive-{names[0]}", names) as setups:
            for direction in DIRECTIONS:
                sensitive_one_way(run, setups, direction, rows)
    finally:
        run.table(f"LS {SMALL} KiB every {PERIOD_US} us", rows, headings)


def sensitive_one_way(run, setups, direction, rows):
    servers = {name: small_copier(place, direction) for name, place in setups.items()}
    jobs = {
        name: [bulk_copier(place, direction, kib, number) for number, kib in enumerate(BULKS)]
        for name, place in setups.items()
    }
    every = [*servers.values(), *(job for each in jobs.values() for job in each)]
    prepare(every, run)
    found = {(name, count): [] for count in range(len(BULKS) + 1) for name in setups}
    link = None
    try:
        link = link_of(run, jobs[next(iter(setups))][0], f"sensitive {direction}")
        for _ in range(run.options.rounds):
            for (name, count), windows in found.items():
                window = beside(run, servers[name], jobs[name][:count], run.options.seconds)
                windows.append(window)
                run.keep(part="sensitive", setup=name, direction=direction, bulks=count, **window)
    finally:
        for (name, count), windows in found.items():
            rows.append(sensitive_row(name, direction, count, windows, found[name, 0], link))
        end(every)


def sensitive_row(name, direction, count, windows, alone, link):
    p50, p99 = ls_median(windows, "p50"), ls_median(windows, "p99")
    rates = rates_of(windows, count) if windows else []
    moved = ls_median(windows, "gbps")
    part = sum(rates) / (link - moved) if rates and link and moved is not None else None
    return [
        name, direction, " + ".join(str(kib // MIB) for kib in BULKS[:count]) or "none", shown(p50, 1), shown(p99, 1),
        shown(ratio(p50, ls_median(alone, "p50"))), shown(ratio(p99, ls_median(alone, "p99"))),
        " + ".join(shown(rate, 1) for rate in rates) or "-", shown(sum(rates) if rates else None, 1), shown(link, 1),
        shown(part, 3),
    ]


def shares(run):
    """Bulk copiers of different weights beside each other, governed."""
    headings = ["bulk copiers MiB", "weights", "GB/s", "shares", "by weight", "off by", "sum to link"]
    rows = []
    try:
        with setups_of(run, "shares", ("stock", "governed")) as setups:
            copier = bulk_copier(setups["stock"], "to-device", BULKS[0])
            prepare([copier], run)
            link = link_of(run, copier, "shares")
            end([copier])
            for weights in WEIGHTS:
                shares_of(run, setups["governed"], weights, link, rows)
    finally:
        run.table(f"Shares by weight, windows of {max(SHARES_SECONDS, run.options.seconds)} s", rows, headings)


def shares_of(run, place, weights, link, rows):
    """Adds the row of copiers with these weights."""
    seconds = max(SHARES_SECONDS, run.options.seconds)
    jobs = [bulk_copier(place, "to-device", kib, number, weight) for number, (kib, weight) in enumerate(zip(BULKS, weights))]
    prepare(jobs, run)
    windows = []
    try:
        for _ in range(run.options.rounds):
            run.clock.need(seconds + 1)
            for job in jobs:
                job.go(DEPTH)
            windows.append({"be": together(jobs, seconds)})
            for job in jobs:
                job.rest()
            run.keep(part="shares", weights=weights, **windows[-1])
    finally:
        if windows:
            rows.append(share_row(weights, windows, link))
    end(jobs)


def share_row(weights, windows, link):
    rates = rates_of(windows, len(weights))
    total = sum(rates)
    parts = [rate / total if total else 0 for rate in rates]
    wanted = [weight / sum(weights) for weight in weights]
    return [
        ", ".join(str(kib // MIB) for kib in BULKS[: len(weights)]), ":".join(map(str, weights)),
        " + ".join(shown(rate, 1) for rate in rates), " ".join(map(shown, parts)), " ".join(map(shown, wanted)),
        shown(max(abs(part - wish) for part, wish in zip(parts, wanted)), 3), shown(ratio(total, link), 3),
    ]


def alone(run):
    """One best-effort tenant, governed against ungoverned: bulk copies, and how long a small one takes."""
    rows = []
    try:
        with setups_of(run, "alone", ("stock", "governed")) as setups:
            for direction in DIRECTIONS:
                alone_one_way(run, setups, direction, rows)
    finally:
        run.table("One best-effort tenant alone", rows, ["direction", "what", "stock", "governed", "ratio", "difference"])


def alone_one_way(run, setups, direction, rows):
    bulk = {name: bulk_copier(place, direction, BULKS[0]) for name, place in setups.items()}
    small = {name: small_copier(place, direction, 4 * KIB, 100, "be") for name, place in setups.items()}
    every = [*bulk.values(), *small.values()]
    prepare(every, run)
    copied, took = {name: [] for name in setups}, {name: [] for name in setups}
    try:
        for _ in range(run.options.rounds):
            for name in setups:
                run.clock.need(2 * run.options.seconds + 2)
                copied[name].append(bulk[name].alone(DEPTH, run.options.seconds))
                took[name].append(small[name].window(run.options.seconds)[0])
                run.keep(part="alone", setup=name, direction=direction, bulk=copied[name][-1], small=took[name][-1])
    finally:
        figures = (("64 MiB, GB/s", copied, "gbps"), ("4 KiB p50, us", took, "p50"), ("4 KiB p99, us", took, "p99"))
        for what, windows, key in figures:
            stock, governed = (median(windows[name], key) for name in setups)
            more = governed - stock if stock is not None and governed is not None else None
            rows.append([direction, what, shown(stock), shown(governed), shown(ratio(governed, stock), 3), shown(more)])
    end(every)


def processor_seconds(pid):
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu(run):
    """The arbiter's time on the processor while two tenants copy beside a latency-sensitive one."""
    run.clock.need(CPU_SECONDS + 5)
    with setups_of(run, "cpu", ("governed",)) as setups:
        place = setups["governed"]
        server = small_copier(place, "to-device")
        jobs = [bulk_copier(place, "to-device", kib, number) for number, kib in enumerate(BULKS[:2])]
        prepare([server, *jobs], run)
        pid = place.ground.arbiter
        rows = []
        for what, running in (("nobody copies", False), ("two bulk copiers beside an LS", True)):
            seconds = CPU_SECONDS if running else 1
            before, begun = processor_seconds(pid), time.monotonic()
            if running:
                beside(run, server, jobs, seconds)
            else:
                time.sleep(seconds)
            part = (processor_seconds(pid) - before) / (time.monotonic() - begun)
            run.keep(part="cpu", what=what, cores=part)
            rows.append([what, shown(part, 3)])
        run.table("The arbiter's time", rows, ["while", "cores"])


def flags(run):
    """Streams that wait for flags of the host, ungoverned and as a best-effort tenant beside a latency-sensitive one."""
    rows, hung = [], []
    with setups_of(run, "flags", ("mps", "governed-mps")) as setups:
        program = builds.c_program(setups["mps"].ground, "flags")
        server = small_copier(setups["governed-mps"], "to-device")
        prepare([server], run)
        for streams in (2, 3):
            ended = {}
            for name, place in setups.items():
                run.clock.need(FLAGS_SECONDS)
                if place.governed:
                    server.tell("window", seconds=3)
                    server.answer()
                ended[name] = flags_once(run, place, program, streams)
                if place.governed:
                    server.answer()
                rows.append([streams, name, *ended[name]])
            if ended["mps"][0] == "right" and ended["governed-mps"][0] != "right":
                hung.append(f"{streams} streams")
    run.table("Streams that wait for flags", rows, ["streams", "setup", "ended", "free ms", "all ms"])
    if hung:
        raise Failed(f"ends ungoverned but not governed: {', '.join(hung)}")


def flags_once(run, place, program, streams):
    """How the program ended, and its times."""
    flagged = Tenant(place.start(f"flags-{streams}", [program, streams]))
    try:
        answer = flagged.answer(FLAGS_SECONDS)
    except Failed as reason:
        answer = {"failed": "no end" if flagged.program.process.poll() is None else "failed", "why": str(reason)}
    flagged.program.end()
    run.keep(part="flags", setup=place.name, streams=streams, answer=answer)
    if "failed" in answer:
        print(f"# {place.name}, {streams} streams: {answer['why']}", flush=True)
        return [answer["failed"], "-", "-"]
    return ["right" if answer["right"] else "WRONG", shown(answer["free_ms"]), shown(answer["all_ms"])]


def pytorch(run):
    """A BERT server with pinned inputs and outputs beside jobs that copy batches."""
    headings = ["server", "beside", "setup", "p50 ms", "p99 ms", "x p50", "x p99", "job GB/s", "contents"]
    found, right = {}, {}
    try:
        with setups_of(run, "pytorch", ("stock", "governed")) as setups:
            command = script("colocate_ls.py", ",".join(PYTORCH_LOADS))
            servers = {name: Server(place.start("server", command, "ls")) for name, place in setups.items()}
            jobs = {
                (kind, name): Job(place.start(f"job-{kind}", script("colocate_be.py", kind)))
                for kind in PYTORCH_JOBS for name, place in setups.items()
            }
            prepare([*servers.values(), *jobs.values()], run)
            for index in range(run.options.rounds):
                for model, rate in PYTORCH_LOADS.items():
                    for kind in ("none", *PYTORCH_JOBS):
                        for name in setups:
                            others = [jobs[kind, name]] if kind != "none" else []
                            window = beside(run, servers[name], others, run.options.seconds, load=model, rate=rate, seed=index)
                            found.setdefault((model, kind, name), []).append(window)
                            run.keep(part="pytorch", load=model, job=kind, setup=name, **window)
            for key, job in jobs.items():
                right[key] = job.ask("check")["right"]
    finally:
        run.table("A BERT server with pinned inputs", [pytorch_row(key, found, right) for key in found], headings)
    if not all(right.values()):
        raise Failed(f"contents are wrong: {[key for key, value in right.items() if not value]}")


def pytorch_row(key, found, right):
    model, kind, name = key
    windows, alone_ = found[key], found[model, "none", name]
    p50, p99 = ls_median(windows, "service_p50"), ls_median(windows, "service_p99")
    rate = rates_of(windows, 1, "rate")[0] * BATCH_GB if kind != "none" else None
    contents = {True: "right", False: "WRONG", None: "-"}[right.get((kind, name))]
    return [
        model, kind, name, shown(p50), shown(p99), shown(ratio(p50, ls_median(alone_, "service_p50"))),
        shown(ratio(p99, ls_median(alone_, "service_p99"))), shown(rate, 1), contents,
    ]
