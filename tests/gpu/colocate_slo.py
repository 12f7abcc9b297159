"""Targets: `--slo FACTOR,FACTOR` of colocate.py, with `--switch KIND:KIND` a job that changes its kind meanwhile.

In each governed setup a server is run for each target (`missile run --class ls --slo FACTOR`). With a job beside it, it has
`--settle` seconds to learn what it has alone and to reach its target; then windows are measured. Reached is the p99 to that
of the same server alone, before and after. `MOST_ABOVE` times the target is within it. With `--switch` the job has the first
kind while that is settled, and changes to the second in a window; the time is told until the p99 of `SPAN` seconds is
within the target from there on, and which part of all such spans after the first that was within are within.
"""
import time

from colocate_ls_figures import quantile
from colocate_tenants import START_SECONDS, imported, job_in, rates_of, server_in
from setups import end, load, median, ratio, shown

MOST_ABOVE = 1.05
# How long p99s are taken over after a change, how far apart these spans begin, and within which time all must be well.
SPAN, STEP, SWITCH_SECONDS = 0.5, 0.1, 2.0
# How long the job is of the first kind in that window, and of the second.
BEFORE, AFTER = 1.0, 4.0
HEADINGS = [
    "LS", "1/s", "BE", "depth", "setup", "target", "alone p99 ms", "p99 ms", "reached", "above %", "BE 1/s", "BE part", "verdict",
]
SWITCH_HEADINGS = ["LS", "1/s", "BE", "depth", "setup", "target", "within after s", "most s", "spans within", "verdict"]


def measure(setups, options, clock, results):
    """Every target in every governed setup of one group."""
    rows = []
    try:
        for name, setup in setups.items():
            if setup.governed:
                of_setup(setup, options, clock, results, rows)
    finally:
        if rows:
            headings = SWITCH_HEADINGS if options.switch else HEADINGS
            results.table(f"Targets: at most {MOST_ABOVE} x the target is within it", rows, headings)


def of_setup(setup, options, clock, results, rows):
    kinds = [",".join(options.switch)] if options.switch else options.be
    jobs = {kind: job_in(setup, kind.replace(",", "-"), kind) for kind in kinds}
    servers = {target: server_in(setup, options.ls, f"ls-{target}", ["--slo", f"{target:.2f}"]) for target in options.slo}
    imported([*jobs.values(), *servers.values()], clock)
    load(jobs.values(), clock.at_most(START_SECONDS))
    depth, alone = options.depths[0], {}
    for kind, job in jobs.items():
        clock.need(2 * options.seconds)
        alone[kind] = job.alone(depth, options.seconds)
    # One at a time is a tenant: another's target must not count.
    for target, server in servers.items():
        load([server], clock.at_most(START_SECONDS))
        for model in options.ls:
            for rate in rates_of(model, options):
                for kind, job in jobs.items():
                    case = {"ls": model, "rate": rate, "be": kind, "depth": depth, "setup": setup.name, "target": target}
                    if options.switch:
                        rows.append(of_switch(server, job, case, options, clock, results))
                    else:
                        rows.append(of_target(server, job, case, alone[kind], options, clock, results))
        end([server])


def own_row(server):
    """The server's row of `missile top`, to be kept."""
    ground = server.program.ground
    return next((row for row in ground.top()["tenants"] if row["pid"] == server.program.pid), None)


def settled(server, job, case, options):
    """Has the job run beside the server until it may be measured."""
    job.go(case["depth"])
    return server.window(options.settle, load=case["ls"], rate=case["rate"], seed=1000)[0]


def of_target(server, job, case, alone, options, clock, results):
    fields = {"load": case["ls"], "rate": case["rate"]}
    clock.need((options.rounds + 4) * options.seconds + options.settle + 2)
    without, beside, work = [], [], []
    for index in range(2):
        without.append(server.window(options.seconds, seed=index, **fields)[0])
    settling = settled(server, job, case, options)
    for index in range(options.rounds):
        answer, done = server.window(options.seconds, [job], seed=index, **fields)
        beside.append(answer)
        work += done
    top = own_row(server)
    job.rest()
    for index in range(2, 4):
        without.append(server.window(options.seconds, seed=index, **fields)[0])
    p99, before = median([each for each in beside if each["n"]], "service_p99"), median(without, "service_p99")
    rate, reached = median(work, "rate"), ratio(p99, before)
    kept = {"alone": without, "settling": settling, "beside": beside, "work": work, "be_alone": alone, "top": top}
    results.other.setdefault("slo", []).append({**case, **kept, "reached": reached})
    outcome = "ok" if reached is not None and reached <= MOST_ABOVE * case["target"] else "BEYOND"
    name = f"{case['ls']} {case['rate']:.0f}/s beside {case['be']} {case['setup']}"
    print(f"{name}: target {case['target']}, reached {shown(reached, 3)}, BE {shown(rate, 1)}/s {outcome}", flush=True)
    if outcome != "ok":
        results.problems.append(f"{name}: target {case['target']}, reached {shown(reached, 3)}")
    above = (reached / case["target"] - 1) * 100 if reached is not None else None
    return [
        case["ls"], shown(case["rate"], 0), case["be"], case["depth"], case["setup"], case["target"], shown(before), shown(p99),
        shown(reached, 3), shown(above, 1), shown(rate, 1), shown(ratio(rate, alone["rate"])), outcome,
    ]


def spans(window, since, most):
    """[(begin after the change, whether the p99 of that span is within)], of those in which requests ended."""
    found, begin = [], 0.0
    while since + begin + SPAN <= window["seconds"]:
        inside = [
            service for end_, service in zip(window["ends"], window["service"])
            if since + begin <= end_ < since + begin + SPAN
        ]
        if inside:
            found.append((begin, quantile(inside, 0.99) <= most))
        begin = round(begin + STEP, 3)
    return found


def of_switch(server, job, case, options, clock, results):
    first, second = options.switch
    fields = {"load": case["ls"], "rate": case["rate"]}
    windows, took, parts = [], [], []
    without = [server.window(options.seconds, seed=index, **fields)[0] for index in range(3)]
    most = median(without, "service_p99") * case["target"] * MOST_ABOVE
    for index in range(options.rounds):
        clock.need(options.settle + 2 * (BEFORE + AFTER) + 2)
        job.ask("change", kind=first)
        settled(server, job, case, options)
        server.tell("window", seconds=BEFORE + AFTER, seed=index, **fields)
        server.answer()
        begun = time.monotonic()
        time.sleep(BEFORE)
        job.ask("change", kind=second)
        since = time.monotonic() - begun
        window = server.answer(3 * (BEFORE + AFTER) + 30)
        job.rest()
        after = spans(window, since, most)
        # Two in a row: one may be within by chance before the second kind's first step is there.
        well = [now and then for (_, now), (_, then) in zip(after, after[1:])]
        first_well = well.index(True) if True in well else None
        windows.append({**window, "since": since, "spans": after})
        took.append({"s": after[first_well][0] if first_well is not None else AFTER})
        rest = after[first_well:] if first_well is not None else []
        parts.append(sum(within for _, within in rest) / len(rest) if rest else 0.0)
    middle, worst, part = median(took, "s"), max(each["s"] for each in took), min(parts)
    results.other.setdefault("switch", []).append({**case, "alone": without, "windows": windows, "took": took, "parts": parts})
    outcome = "ok" if middle <= SWITCH_SECONDS else "BEYOND"
    name = f"{case['ls']} beside {first}, then {second} {case['setup']}"
    print(f"{name}: target {case['target']}, within after {middle:.1f} s, {part:.2f} of the rest {outcome}", flush=True)
    if outcome != "ok":
        results.problems.append(f"{name}: target {case['target']}, within only after {middle:.1f} s")
    return [
        case["ls"], shown(case["rate"], 0), f"{first}, then {second}", case["depth"], case["setup"], case["target"],
        shown(middle, 1), shown(worst, 1), shown(part), outcome,
    ]
