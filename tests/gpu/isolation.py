"""What colours are worth where the SMs are parted anyway: `python3 tests/gpu/isolation.py DIST [--out FOLDER]`.

DIST is the folder that `tests/gpu/dist.sh` makes. Under MPS a latency-sensitive tenant serves a BERT to requests that
come at random, and a best-effort tenant copies 1 GiB in a loop; each is confined to the SMs of its own side of the L2.
There are two such pairs: one is coloured, so that its pages are on the sides of its SMs, the other is not. All four
live from the beginning; those whose turn it is not do nothing. The server is measured alone and beside the copier, in
an order that turns round each time. Every figure is a median over the repeats.

Passes where the coloured server's p99 beside the copier is at most `--most` of the uncoloured one's.
"""
import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import harness
from harness import Failed, Ground, Mps, Skipped, Watch

HERE = Path(__file__).resolve().parent
PAIRS = {"uncoloured": ("--color", "off"), "coloured": ("--color", "on")}
# `--color on` gives the classes these colours, which are sides.
SIDES = {"ls": 0, "be": 1}
# A pair, and whether its copier runs.
PHASES = (("uncoloured", False), ("coloured", False), ("uncoloured", True), ("coloured", True))
IMPORT_SECONDS, PARTITION_SECONDS, LOAD_SECONDS = 120, 20, 60
# What of a coloured tenant's memory may stay uncoloured: allocations below 2 MiB, and the driver's own.
MOST_UNCOLORED = 64 << 20


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dist", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--out", type=Path, default=Path("gpu-isolation"))
    parser.add_argument("--seconds", type=float, default=8, help="how long requests come in each phase")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--most", type=float, default=0.70, help="the largest ratio of the p99s that passes")
    parser.add_argument("--limit", type=float, default=170, help="seconds after which no further phase is started")
    parser.add_argument("--map-budget", type=int, default=131072)
    parser.add_argument("--sim", help="a simulated GPU, to try this out where something stands in for PyTorch")
    return parser.parse_args()


class Tenants:
    """The tenants of all pairs. A pair of which one has failed is out."""

    def __init__(self, ground, mask):
        self.programs, self.about, self.out = {}, {}, {}
        for pair, flags in PAIRS.items():
            for role, side in SIDES.items():
                command = [
                    sys.executable, HERE / "isolation_tenant.py", role, "--side", side, "--mask", mask,
                    "--ptx", ground.dist / "ptx" / "latency.ptx",
                ]
                governed = ground.governed(command, role, ("--copies", "off", *flags))
                who = pair, role
                self.programs[who], self.about[who] = ground.start(f"{pair}-{role}", governed), {}

    def living(self):
        return [who for who in self.programs if who[0] not in self.out]

    def fail(self, pair, reason):
        print(f"{pair}: FAILED: {reason}", flush=True)
        self.out.setdefault(pair, str(reason))
        for (of, _), program in self.programs.items():
            if of == pair:
                program.end()

    def ask(self, who, word, seconds):
        if word:
            self.programs[who].tell(word)
        answer = self.programs[who].answer(seconds)
        self.about[who].update(answer)
        return answer

    def every(self, word, seconds, at_once):
        """Gives a word to all that live, at once or one after the other, and waits for their answers."""
        for who in self.living():
            if at_once and word:
                self.programs[who].tell(word)
        for who in self.living():
            try:
                self.ask(who, None if at_once else word, seconds)
            except Failed as reason:
                self.fail(who[0], reason)

    def phase(self, pair, beside, seconds, seed):
        """The server's answer, and how many copies a second the copier made, if it ran."""
        if pair in self.out:
            raise Failed(self.out[pair])
        server, copier = (self.programs[pair, role] for role in ("ls", "be"))
        try:
            if beside:
                copier.tell("run")
                copier.answer(20)
                time.sleep(0.2)
            server.tell(f"serve {seconds} {seed}")
            served, copied = server.answer(seconds + 30), None
            if beside:
                copier.tell("stop")
                copied = copier.answer(20)["per_second"]
        except Failed as reason:
            # One of them may be in the middle of something.
            self.fail(pair, reason)
            raise
        served.pop("latencies_us")
        return {**served, "be_per_second": copied}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for who in self.living():
            self.programs[who].tell("")
        for who in self.living():
            try:
                self.programs[who].wait(15)
            except Failed:
                pass
        for program in self.programs.values():
            program.end()


def measure(options, tenants, began):
    """The answers of every phase, by pair and whether the copier ran."""
    found = {phase: [] for phase in PHASES}
    for repeat in range(options.repeats):
        for pair, beside in PHASES[::-1] if repeat % 2 else PHASES:
            label = f"{repeat} {pair} {'beside' if beside else 'alone'}"
            try:
                if time.monotonic() - began + options.seconds > options.limit:
                    raise Failed("no time left")
                # The same arrivals for both pairs.
                answer = tenants.phase(pair, beside, options.seconds, 100 * repeat + beside)
            except Failed as reason:
                print(f"{label}: {reason}", flush=True)
                continue
            found[pair, beside].append(answer)
            copied = f", {answer['be_per_second']:.0f} copies/s" if beside else ""
            print(f"{label}: p50 {answer['p50_ms']:.2f} p99 {answer['p99_ms']:.2f} ms, service {answer['service_ms']:.2f} ms{copied}", flush=True)
    return found


def median(answers, key):
    return statistics.median(answer[key] for answer in answers)


def check_partition(tenants):
    """All tenants see the same groups, and those of a pair share none."""
    seen = {who: tenants.about[who].get("groups") for who in tenants.programs}
    if None in seen.values():
        raise Failed(f"not every tenant was confined: {seen}")
    if len(set(seen.values())) != 1:
        raise Failed(f"the tenants disagree on the sides of the groups: {seen}")
    sms = {role: {tenants.about[pair, role]["sms"] for pair in PAIRS} for role in SIDES}
    if any(len(counts) != 1 for counts in sms.values()):
        raise Failed(f"the pairs have not the same SMs: {sms}")
    ls, be = (counts.pop() for counts in sms.values())
    return f"groups {next(iter(seen.values()))}: {ls} and {be} of {tenants.about['coloured', 'ls']['all_sms']} SMs"


def check_memory(rows, tenants):
    """Coloured tenants are coloured as a whole, the others not at all."""
    said = []
    for (pair, role), about in tenants.about.items():
        seen = rows.get((pair, role), [])
        if len(seen) != 1 or "reserved" not in about:
            raise Failed(f"{pair} {role}: `missile top` has {len(seen)} rows, {'' if 'reserved' in about else 'not '}loaded")
        row, reserved = seen[0], about["reserved"]
        share = about["on_side"]
        text = f"{pair} {role} {row['colored_bytes'] >> 20}+{row['uncolored_bytes'] >> 20} MiB of {reserved >> 20}, {row['maps']} maps, on its side "
        text += "unknown" if share is None else f"{share:.4f}"
        whole = row["colored_bytes"] >= 0.98 * reserved and row["uncolored_bytes"] <= MOST_UNCOLORED and share == 1
        if pair == "coloured" and not whole:
            raise Failed(f"{text}; passed: {row.get('passed')}")
        if pair == "uncoloured" and row["colored_bytes"]:
            raise Failed(text)
        said.append(text)
    return "; ".join(said)


def check_output(tenants):
    """Colours change no bit of what the server computes, and the copier copies."""
    outputs = {pair: tenants.about[pair, "ls"].get("output") for pair in PAIRS}
    if None in outputs.values() or len(set(outputs.values())) != 1:
        raise Failed(f"outputs: {outputs}")
    if not tenants.about["coloured", "ls"]["finite"] or not all(tenants.about[pair, "be"].get("right") for pair in PAIRS):
        raise Failed(f"wrong results: {[about.get('right') for about in tenants.about.values()]}")
    return f"equal ({outputs['coloured'][:8]})"


def check_p99(found, most):
    off, on = found["uncoloured", True], found["coloured", True]
    if not off or not on:
        raise Failed("nothing to compare")
    ratio = median(on, "p99_ms") / median(off, "p99_ms")
    pairs = " ".join(f"{b['p99_ms'] / a['p99_ms']:.3f}" for a, b in zip(off, on))
    copies = median(on, "be_per_second") / median(off, "be_per_second")
    said = f"coloured to uncoloured: p99 {ratio:.3f} (at most {most}; each repeat {pairs}), "
    said += f"p50 {median(on, 'p50_ms') / median(off, 'p50_ms'):.3f}, copies/s {copies:.3f}"
    if ratio > most:
        raise Failed(said)
    return said


def measured(found):
    for (pair, beside), answers in found.items():
        what = f"{pair}, {'beside the copier' if beside else 'server alone'}"
        if not answers:
            yield [what, 0, *["-"] * 7]
            continue
        p50, p99, longest, service = (f"{median(answers, key):.2f}" for key in ("p50_ms", "p99_ms", "max_ms", "service_ms"))
        copied = f"{median(answers, 'be_per_second'):.0f}" if beside else "-"
        each = " ".join(f"{answer['p99_ms']:.2f}" for answer in answers)
        yield [what, len(answers), p50, p99, each, longest, service, sum(answer["unserved"] for answer in answers), copied]


def main():
    options, began = arguments(), time.monotonic()
    rows, found, raw = {}, {phase: [] for phase in PHASES}, {}
    outcomes, tenants = [], None

    def check(name, act, *given):
        try:
            outcome, said = "ok", act(*given)
        except Skipped as reason:
            outcome, said = "skipped", str(reason)
        except Exception as reason:  # a broken check is a failed one
            outcome, said = "FAILED", f"{type(reason).__name__}: {reason}"
        outcomes.append((outcome, [name, outcome, said.replace("\n", " ")[:700]]))

    with Ground(options.dist, options.out, options.sim, options.map_budget) as ground:
        probed = ground.up()
        level = next(level for level in probed["levels"] if level["name"] == probed["color_level"])
        if len(level["masks"]) != 1:
            raise SystemExit(f"pages are coloured by {level['masks']}: this needs one mask of sides")
        print(f"{probed['gpu']['name']}, side mask {level['masks'][0]}; {time.monotonic() - began:.0f} s", flush=True)
        try:
            # `missile top` runs only where it is asked for.
            with Mps(ground), Watch(ground, period=3600) as watch, Tenants(ground, level["masks"][0]) as tenants:
                # All have imported before the first looks for its SMs, and none works before the last has found them.
                tenants.every(None, IMPORT_SECONDS, at_once=True)
                tenants.every("partition", PARTITION_SECONDS, at_once=False)
                tenants.every("load", LOAD_SECONDS, at_once=True)
                watch.look()
                rows = {who: watch.of(program.name) for who, program in tenants.programs.items()}
                (options.out / "top.json").write_text(json.dumps(ground.top(), indent=1))
                print(f"all have loaded; {time.monotonic() - began:.0f} s", flush=True)
                found = measure(options, tenants, began)
        except Exception as reason:  # what was measured before is still told
            outcome = "skipped" if isinstance(reason, Skipped) else "FAILED"
            print(f"{outcome}: {type(reason).__name__}: {reason}", flush=True)
            outcomes.append((outcome, ["run", outcome, str(reason)[:700]]))
    if tenants:
        check("partition", check_partition, tenants)
        check("memory", check_memory, rows, tenants)
        check("output", check_output, tenants)
        raw = {"about": {" ".join(who): about for who, about in tenants.about.items()}, "rows": {" ".join(who): seen for who, seen in rows.items()}}
    check("p99", check_p99, found, options.most)
    raw["phases"] = {f"{pair} {'beside' if beside else 'alone'}": answers for (pair, beside), answers in found.items()}
    (options.out / "isolation.json").write_text(json.dumps(raw, indent=1))
    headings = ["memory and load", "repeats", "p50 ms", "p99 ms", "p99 of each", "longest", "service ms", "unserved", "copies/s"]
    text = harness.table(measured(found), headings) + "\n\n" + harness.table([row for _, row in outcomes], ["check", "verdict", "found"])
    (options.out / "table.txt").write_text(text + "\n")
    print(f"\n{time.monotonic() - began:.0f} s\n\n{text}")
    return harness.verdict(outcome for outcome, _ in outcomes)


if __name__ == "__main__":
    raise SystemExit(main())
