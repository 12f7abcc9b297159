"""What Missile costs a tenant that has the GPU for itself: `--alone` of colocate.py.

Two bare processes and a governed one of each load and kind take short turns, in an order that changes each round, so that
clocks and drifts are shared; those that wait do nothing. A round's ratio is the governed figure over the mean of the two
bare ones' in the same round; the two bare ones against each other show what the measurement itself can tell. Latencies are
from launch to end; the p99 is that of all requests of all rounds. `--rounds` times `TURNS` rounds are made, of half
`--seconds` each.
"""
from colocate_ls_figures import quantile
from colocate_tenants import START_SECONDS, imported, job_in, rates_of, server_in
from setups import load, median, ratio, shown

TURNS = 4
MOST_LATENCY, LEAST_RATE = 1.02, 0.98
WHO = ("bare", "again", "governed")


def started(setups, start):
    """A process for each of `WHO`, by `start(setup, suffix)`."""
    bare, governed = (next(setup for setup in setups.values() if setup.governed == want) for want in (False, True))
    return {who: start(governed if who == "governed" else bare, who) for who in WHO}


def turns(rounds):
    """The order of each round."""
    order = list(WHO)
    for number in range(rounds):
        yield order
        order = order[1:] + order[:1] if number % 2 else order[::-1]


def to_bare(rounds, who, key):
    """The median over rounds of a figure against the bare ones' mean; for `again` against the other bare one."""
    ratios = []
    for found in rounds:
        base = found["bare"][key] if who == "again" else (found["bare"][key] + found["again"][key]) / 2
        ratios.append({"ratio": found[who][key] / base})
    return median(ratios, "ratio")


def measure(setups, options, clock, results):
    """Loads and kinds alone, in the setups of one group, which must have a bare and a governed one."""
    if len({setup.governed for setup in setups.values()}) < 2:
        results.problems.append(f"--alone needs both setups of a group, not only {', '.join(setups)}")
        return
    rows, kept = [], results.other.setdefault("alone", [])
    try:
        servers = started(setups, lambda setup, who: server_in(setup, options.ls, f"ls-{who}"))
        kinds = {kind: started(setups, lambda setup, who: job_in(setup, f"{kind}-{who}", kind)) for kind in options.be}
        every = [*servers.values(), *(job for jobs in kinds.values() for job in jobs.values())]
        imported(every, clock)
        load(servers.values(), clock.at_most(START_SECONDS))
        for model in options.ls:
            for rate in rates_of(model, options):
                rows += of_load(servers, model, rate, options, clock, kept, results)
        for kind, jobs in kinds.items():
            load(jobs.values(), clock.at_most(START_SECONDS))
            rows += of_kind(jobs, kind, options, clock, kept, results)
    finally:
        title = f"Alone, to bare: latencies at most {MOST_LATENCY}, rates at least {LEAST_RATE} ({', '.join(setups)})"
        results.table(title, rows, ["tenant", "process", "figure", "bare", "median of rounds", "of all", "verdict"])


def of_load(servers, model, rate, options, clock, kept, results):
    rounds = []
    for number, order in enumerate(turns(options.rounds * TURNS)):
        clock.need(4 * options.seconds + 1)
        seconds = options.seconds / 2
        rounds.append({who: servers[who].window(seconds, load=model, rate=rate, seed=number)[0] for who in order})
    rounds = [found for found in rounds if all(window["n"] for window in found.values())]
    kept.append({"load": model, "rate": rate, "rounds": rounds})
    rows, name = [], f"{model} {rate:.0f}/s"
    for part, key in ((0.5, "service_p50"), (0.99, "service_p99")):
        pooled = {who: quantile([each for found in rounds for each in found[who]["service"]], part) for who in WHO}
        bare = (pooled["bare"] + pooled["again"]) / 2
        for who in WHO[1:]:
            total = ratio(pooled[who], pooled["bare"] if who == "again" else bare)
            each = to_bare(rounds, who, key)
            # The p99 of so short a turn is nearly its longest time: that of all counts.
            judged = each if part == 0.5 else total
            rows.append(row(name, who, f"p{part * 100:.0f} ms", bare, each, total, judged <= MOST_LATENCY, results))
    return rows


def of_kind(jobs, kind, options, clock, kept, results):
    rows = []
    for depth in options.depths:
        rounds = []
        for order in turns(options.rounds * TURNS):
            clock.need(4 * options.seconds + 1)
            rounds.append({who: jobs[who].alone(depth, options.seconds / 2) for who in order})
        kept.append({"kind": kind, "depth": depth, "rounds": rounds})
        bare = median([found["bare"] for found in rounds], "rate")
        for who in WHO[1:]:
            each = to_bare(rounds, who, "rate")
            total = ratio(median([found[who] for found in rounds], "rate"), bare)
            rows.append(row(f"{kind} depth {depth}", who, "rate 1/s", bare, each, total, each >= LEAST_RATE, results))
    return rows


def row(name, who, figure, bare, each, total, within, results):
    """A row of the table, printed as it comes. Only the governed one is judged."""
    outcome = "-" if who != "governed" else "ok" if within else "BEYOND"
    print(f"{name} {who}: {figure} x{shown(each, 4)}, of all x{shown(total, 4)} {outcome}", flush=True)
    if outcome == "BEYOND":
        results.problems.append(f"alone, {name}: {figure} x{shown(each, 4)}, of all x{shown(total, 4)}")
    return [name, who, figure, shown(bare, 3), shown(each, 4), shown(total, 4), outcome]
