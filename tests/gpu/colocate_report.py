"""Figures and tables of colocate.py, from the windows that it measured."""
import harness
from setups import median, ratio, shown

# Bounds of a governed pair. Under MPS the first for jobs whose longest kernel takes at most so long is lower, and the other
# does not hold for jobs of longer ones.
MOST_P99, LEAST_EFFICIENCY = 1.35, 0.93
MOST_P99_SHORT, SHORT_US = 1.10, 300.0
# Bound of a governed job alone, as a part of the same without Missile.
LEAST_ALONE = 0.98

PAIR_HEADINGS = [
    "LS", "BE", "kernel us", "depth", "setup", "LS 1/s", "alone p50 ms", "p99 ms", "beside p50 ms", "p99 ms", "x p50", "x p99",
    "arrival alone p99 ms", "beside p99 ms", "x p99", "unserved", "served 1/s", "BE part", "LS busy", "BE efficiency",
]
ALONE_HEADINGS = ["BE alone", "depth", "setup", "rate 1/s", "to ungoverned"]
TWO_HEADINGS = [
    "LS", "BE", "depth", "setup", "LS x p50", "x p99", "arrival x p99", "BE parts", "sum", "LS busy", "efficiency",
    "share of first", "by weight",
]
UNGOVERNED = {"governed": "stock", "governed-mps": "mps"}


def ungoverned(setup):
    """The setup that a governed one, with whatever flags, is compared to; `None` for those themselves."""
    return UNGOVERNED.get(setup.partition("+")[0])


def latencies(case):
    """The server's figures, alone and beside others."""
    found = {}
    for what in ("service", "arrival"):
        for part in ("p50", "p99"):
            key = f"{what}_{part}"
            served = [window for window in case.beside if window["n"]]
            found[f"alone_{key}"], found[key] = median(case.alone, key), median(served, key)
            found[f"x_{key}"] = ratio(found[key], found[f"alone_{key}"])
    found["busy"] = median(case.alone, "busy")
    found["served"] = median([{"rate": window["n"] / window["seconds"]} for window in case.beside], "rate")
    found["unserved"] = sum(window["unserved"] for window in case.beside)
    return found


def efficiency(part, busy):
    """What a job got of the time that the server leaves."""
    return part / (1 - busy) if part is not None and busy is not None and busy < 1 else None


def figures(case):
    """All figures of a pair; `None` for what was not measured."""
    found = latencies(case)
    found["be_part"] = ratio(median(case.work, "rate"), median(case.be_alone, "rate"))
    found["be_efficiency"] = efficiency(found["be_part"], found["busy"])
    return found


def two_figures(case):
    """All figures of two jobs beside a server. Shares are those of the parts, so that kinds compare."""
    found = latencies(case)
    rates = [median([work[which] for work in case.work], "rate") for which in (0, 1)]
    found["parts"] = [ratio(rate, alone["rate"]) for rate, alone in zip(rates, case.be_alone)]
    known = None not in found["parts"] and len(found["parts"]) == 2
    found["sum"] = sum(found["parts"]) if known else None
    found["efficiency"] = efficiency(found["sum"], found["busy"])
    found["share"] = ratio(found["parts"][0], found["sum"]) if known else None
    found["wanted_share"] = case.weights[0] / sum(case.weights)
    return found


def pair_row(case):
    found = figures(case)
    return [
        case.ls, case.be, shown(case.kernel_us, 0), case.depth, case.setup, shown(case.rate, 0),
        shown(found["alone_service_p50"]), shown(found["alone_service_p99"]),
        shown(found["service_p50"]), shown(found["service_p99"]), shown(found["x_service_p50"]), shown(found["x_service_p99"]),
        shown(found["alone_arrival_p99"]), shown(found["arrival_p99"]), shown(found["x_arrival_p99"]), found["unserved"],
        shown(found["served"], 1), shown(found["be_part"]), shown(found["busy"]), shown(found["be_efficiency"]),
    ]


def pair_line(case):
    """One pair as it is measured."""
    found = figures(case)
    return (
        f"{case.ls} {case.rate:.0f}/s beside {case.be} depth {case.depth} {case.setup}: service p99 {shown(found['service_p99'])} ms"
        f" x{shown(found['x_service_p99'])}, arrival x{shown(found['x_arrival_p99'])},"
        f" BE part {shown(found['be_part'])} efficiency {shown(found['be_efficiency'])}"
    )


def two_row(case):
    found = two_figures(case)
    return [
        case.ls, ",".join(f"{kind}:{weight}" for kind, weight in zip(case.jobs, case.weights)), case.depth, case.setup,
        shown(found["x_service_p50"]), shown(found["x_service_p99"]), shown(found["x_arrival_p99"]),
        " + ".join(map(shown, found["parts"])), shown(found["sum"]), shown(found["busy"]), shown(found["efficiency"]),
        shown(found["share"]), shown(found["wanted_share"]),
    ]


def two_alone_line(setup, depth, kinds, weights, alone, both):
    """Two jobs beside each other without a server."""
    parts = [ratio(work["rate"], rate["rate"]) for work, rate in zip(both, alone)]
    names = " and ".join(f"{kind}:{weight}" for kind, weight in zip(kinds, weights))
    return f"{names} depth {depth} {setup}, no LS: parts {' + '.join(map(shown, parts))}"


def alone_rows(results):
    """Each kind of job alone, governed against ungoverned, with a mark where it loses."""
    rows = []
    for (kind, depth, setup), windows in results.jobs_alone.items():
        rate = median(windows, "rate")
        other = median(results.jobs_alone.get((kind, depth, ungoverned(setup))), "rate")
        part = ratio(rate, other)
        loses = " LOSES" if part is not None and part < LEAST_ALONE else ""
        rows.append([kind, depth, setup, shown(rate, 1), shown(part, 3) + loses])
    return rows


def bounds(case):
    """The most that the p99 may be as a ratio, and the least efficiency or `None`. A kernel of unknown length is long."""
    if not case.setup.startswith("governed-mps"):
        return MOST_P99, LEAST_EFFICIENCY
    if case.kernel_us is not None and case.kernel_us <= SHORT_US:
        return MOST_P99_SHORT, LEAST_EFFICIENCY
    return MOST_P99, None


def misses(pairs):
    """The governed pairs beyond the bounds, one a line."""
    lines = []
    for case in pairs:
        found, beyond = figures(case), []
        most, least = bounds(case)
        if found["x_service_p99"] is not None and found["x_service_p99"] > most:
            beyond.append(f"service p99 x{found['x_service_p99']:.2f}, at most {most}")
        if least is not None and found["be_efficiency"] is not None and found["be_efficiency"] < least:
            beyond.append(f"efficiency {found['be_efficiency']:.2f}, at least {least}")
        if beyond and ungoverned(case.setup):
            lines.append(f"  {case.ls} {case.rate:.0f}/s beside {case.be} depth {case.depth} {case.setup}: {', '.join(beyond)}")
    return lines


def text(results):
    """All tables, then the misses and what went wrong."""
    parts = []
    if results.jobs_alone:
        parts.append(harness.table(alone_rows(results), ALONE_HEADINGS))
    if results.pairs:
        parts.append(harness.table([pair_row(case) for case in results.pairs], PAIR_HEADINGS))
        judged = [case for case in results.pairs if ungoverned(case.setup) and case.beside]
        beyond = misses(judged)
        asked = (
            f"service p99 at most {MOST_P99} x alone, under MPS {MOST_P99_SHORT} beside kernels up to {SHORT_US:.0f} us;"
            f" BE efficiency at least {LEAST_EFFICIENCY}, under MPS of such kernels"
        )
        parts.append(f"{len(beyond)} of {len(judged)} governed pairs miss: {asked}\n" + "\n".join(beyond))
    if results.twos:
        parts.append(harness.table([two_row(case) for case in results.twos], TWO_HEADINGS))
    parts += results.tables
    parts += [f"problem: {problem}" for problem in results.problems]
    return "\n\n".join(parts)
