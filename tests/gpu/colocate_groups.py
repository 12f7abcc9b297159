"""Several servers beside as many jobs: `--groups N,N` of colocate.py.

Servers take the loads of `--ls` by turns, and jobs the kinds of `--be`. In each setup the servers are measured among
themselves, and then with the jobs beside them; each job's part is that of its rate alone. A server's p99 may be at most
`MOST_P99` times what it has among the servers alone, and nobody may starve: a server must serve all but `MOST_UNSERVED` of
what comes, and a job must get `LEAST_OF_MEAN` of the mean part.
"""
from colocate_tenants import START_SECONDS, imported, job_in, rates_of, server_in
from setups import load, median, ratio, shown, windows_of

MOST_P99, MOST_UNSERVED, LEAST_OF_MEAN = 1.25, 0.01, 0.25
HEADINGS = ["group", "setup", "tenant", "1/s", "among p99 ms", "beside p99 ms", "x p99", "unserved", "BE part", "verdict"]


def measure(setups, options, clock, results):
    """Groups of every size in the setups of one group."""
    most = max(options.groups)
    loads = [options.ls[number % len(options.ls)] for number in range(most)]
    kinds = [options.be[number % len(options.be)] for number in range(most)]
    servers = {
        name: [server_in(setup, [model], f"ls{number}-{model}") for number, model in enumerate(loads)]
        for name, setup in setups.items()
    }
    jobs = {
        name: [job_in(setup, f"{number}-{kind}", kind) for number, kind in enumerate(kinds)]
        for name, setup in setups.items()
    }
    every = [tenant for tenants in (*servers.values(), *jobs.values()) for tenant in tenants]
    imported(every, clock)
    load(every, clock.at_most(START_SECONDS))
    depth = options.depths[0]
    clock.need(len(setups) * most * (options.seconds + 0.5))
    alone = {name: [job.alone(depth, options.seconds) for job in own] for name, own in jobs.items()}
    rows = []
    try:
        for size in options.groups:
            found = {name: {"among": [], "beside": [], "work": []} for name in setups}
            fields = [{"load": model, "rate": rates_of(model, options)[0]} for model in loads[:size]]
            try:
                for index in range(options.rounds):
                    for name in setups:
                        clock.need(4 * options.seconds + 2)
                        one_round(found[name], servers[name][:size], jobs[name][:size], fields, index, depth, options.seconds)
            finally:
                for name, windows in found.items():
                    if windows["beside"]:
                        group = {"size": size, "setup": name, "loads": loads[:size], "kinds": kinds[:size], "alone": alone[name]}
                        results.other.setdefault("groups", []).append({**group, **windows})
                        rows += report(group, windows, fields, results)
    finally:
        results.table(f"Groups at depth {depth}", rows, HEADINGS)


def one_round(windows, servers, jobs, fields, index, depth, seconds):
    """The servers among themselves, and with the jobs beside them."""
    own = [{**each, "seed": 100 * index + number} for number, each in enumerate(fields)]
    windows["among"].append(windows_of(servers, seconds, [], own)[0])
    for job in jobs:
        job.go(depth)
    answers, work = windows_of(servers, seconds, jobs, own)
    for job in jobs:
        job.rest()
    windows["beside"].append(answers)
    windows["work"].append(work)


def report(group, windows, fields, results):
    """Rows of one group in one setup, printed as they come. Governed ones are judged."""
    name, judged = f"{group['size']} + {group['size']}", group["setup"].startswith("governed")
    rows = []

    def add(tenant, rate, among, beside, part, unserved, wrong):
        outcome = "-" if not judged else "BEYOND" if wrong else "ok"
        x = ratio(beside, among)
        rows.append([name, group["setup"], tenant, rate, shown(among), shown(beside), shown(x), unserved, shown(part), outcome])
        print(f"{name} {group['setup']} {tenant}: x p99 {shown(x)}, BE part {shown(part)} {outcome}", flush=True)
        if outcome == "BEYOND":
            results.problems.append(f"{name} {group['setup']} {tenant}: x p99 {shown(x)}, part {shown(part)}, unserved {unserved}")

    for number, model in enumerate(group["loads"]):
        among, beside = ([each[number] for each in windows[key] if each[number]["n"]] for key in ("among", "beside"))
        unserved = sum(each[number]["unserved"] for each in windows["beside"])
        served = sum(each["n"] for each in beside)
        before, after = median(among, "service_p99"), median(beside, "service_p99")
        x = ratio(after, before)
        wrong = x is None or x > MOST_P99 or unserved > MOST_UNSERVED * (served + unserved)
        add(model, shown(fields[number]["rate"], 0), before, after, None, unserved, wrong)
    parts = [
        ratio(median([each[number] for each in windows["work"]], "rate"), group["alone"][number]["rate"])
        for number in range(len(group["kinds"]))
    ]
    mean = sum(part or 0 for part in parts) / len(parts)
    for kind, part in zip(group["kinds"], parts):
        add(kind, "-", None, None, part, "-", not part or part < LEAST_OF_MEAN * mean)
    return rows
