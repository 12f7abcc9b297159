"""How copies share the bus of a real GPU, governed beside ungoverned: `python3 tests/gpu/copies.py DIST [--out FOLDER]`.

DIST is the folder that `tests/gpu/dist.sh` makes. Every figure is a median of `--rounds` runs; what is governed and what
is not alternate in each round. Prints one table, and keeps every run in FOLDER/copies.jsonl. With `--limit` no round begins
later than so many seconds after the start; lines that begin with `#` tell which rounds and parts were left out for that. The
last line reads `N within, N beyond`: figures within the bounds that the project set itself, and beyond them.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

arguments = argparse.ArgumentParser()
arguments.add_argument("dist", type=Path)
arguments.add_argument("--out", type=Path, default=Path("copies"))
arguments.add_argument("--sim", help="a simulated GPU, to try this out")
arguments.add_argument("--only", default="", help="the parts whose names contain this")
arguments.add_argument("--rounds", type=int, default=5)
arguments.add_argument("--seconds", type=float, default=1.0)
arguments.add_argument("--limit", type=float, default=float("inf"), help="begin no round so many seconds after the start")
options = arguments.parse_args()
DIST, OUT = options.dist.resolve(), options.out.resolve()
OUT.mkdir(parents=True, exist_ok=True)
MISSILE, COPIER, LOADER = DIST / "missile", DIST / "examples" / "copier", Path(__file__).resolve().parent / "programs" / "loader.py"
WORK = Path(tempfile.mkdtemp(prefix="missile-copies-"))
# On a tmpfs, as a runtime folder is: the driver pins the region's pages for the GPU.
RUN = Path(tempfile.mkdtemp(prefix="missile-copies-", dir="/dev/shm"))
SIM = ["--sim", options.sim] if options.sim else []
ENV = dict(os.environ, XDG_RUNTIME_DIR=str(RUN), XDG_DATA_HOME=str(WORK / "data"), SIMGPU_STATE=str(WORK / "sim"), SIMGPU_MPS="1", PYTHONUNBUFFERED="1")
BEGUN = time.monotonic()
log = open(OUT / "copies.jsonl", "w")
table, marks = [], []


def mps(on):
    control = shutil.which("nvidia-cuda-mps-control")
    if options.sim or not control:
        return bool(options.sim)
    if on:
        for name in ("PIPE", "LOG"):
            (WORK / name).mkdir(exist_ok=True)
            ENV[f"CUDA_MPS_{name}_DIRECTORY"] = str(WORK / name)
        subprocess.run([control, "-d"], env=ENV, check=True, timeout=30)
    else:
        subprocess.run([control], input=b"quit\n", env=ENV, timeout=30, capture_output=True)
        ENV.pop("CUDA_MPS_PIPE_DIRECTORY"), ENV.pop("CUDA_MPS_LOG_DIRECTORY")
    return True


def top():
    answer = subprocess.run([MISSILE, "top", "--once", "--json"], env=ENV, capture_output=True, text=True, timeout=20)
    return json.loads(answer.stdout)


def arbiter_seconds(pid):
    """The processor time that the arbiter has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def copier(*words, to_host=False, seconds=None):
    return [COPIER, "--seconds", str(seconds or options.seconds), *(["--to-host"] if to_host else []), *map(str, words)]


def together(label, governed, programs, keep_top=False):
    """Runs [(class, weight, command)] side by side; their answers. `governed` is "off" for copies as without Missile, or
    what MISSILE_COPIES is to be."""
    gate = RUN / f"go-{time.monotonic_ns()}"
    running = []
    for kind, weight, command in programs:
        words = [MISSILE, "run", *SIM, "--class", kind, "--weight", str(weight), "--color", "off", "--copies", governed, "--", *command]
        running.append(subprocess.Popen([*map(str, words), "--after", str(gate)], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    limit = time.monotonic() + 60
    say_so = sum(sys.executable in command for _, _, command in programs)
    while True:
        state = top()
        # Each makes one copy, then waits for the others; PyTorch's tenants say when they have warmed up.
        if (sum(tenant["h2d_bytes"] + tenant["d2h_bytes"] > 0 for tenant in state["tenants"]) >= len(programs)
                and len(list(RUN.glob(f"{gate.name}.*"))) >= say_so):
            break
        if time.monotonic() > limit or any(process.poll() for process in running):
            break
        time.sleep(0.05)
    time.sleep(0.2)
    pid = state["arbiter"]["pid"]
    before, begun = arbiter_seconds(pid), time.monotonic()
    gate.touch()
    seen = None
    if keep_top:
        time.sleep(options.seconds * 0.6)
        seen = top()
    answers = []
    for process in running:
        try:
            out, err = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err += " took too long"
        lines = [line for line in out.splitlines() if line.startswith("{")]
        answers.append(json.loads(lines[-1]) if lines else {"error": err.strip()[-300:]})
    for file in RUN.glob(f"{gate.name}*"):
        file.unlink()
    cpu = (arbiter_seconds(pid) - before) / (time.monotonic() - begun)
    log.write(json.dumps({"label": label, "copies": governed, "answers": answers, "arbiter_cores": round(cpu, 3), "top": seen}) + "\n")
    log.flush()
    for answer in answers:
        if "error" in answer:
            raise SystemExit(f"{label}: {answer['error']}")
    return [*answers, cpu]


class NoTime(Exception):
    """Not even one round could begin."""


def numbers(label):
    """The numbers of the rounds, as many as there is time for."""
    for index in range(options.rounds):
        if time.monotonic() - BEGUN > options.limit:
            if index == 0:
                raise NoTime(label)
            print(f"# {label}: {index} of {options.rounds} rounds, as there was no more time", flush=True)
            return
        yield index


def rounds(label, programs, governs=("off", "on"), keep_top=False):
    """The answers of all rounds: {how governed: [answers of one run]}."""
    found = {govern: [] for govern in governs}
    for index in numbers(label):
        for govern in governs:
            found[govern].append(together(f"{label} {index}", govern, programs, keep_top and index == 0))
    return found


def median(runs, which, key):
    return statistics.median(run[which][key] for run in runs)


def row(what, *cells):
    table.append((what, *cells))
    print(f"{what:44} " + "  ".join(cells), flush=True)


def mark(what, value, bound, at_most=True):
    within = value <= bound if at_most else value >= bound
    marks.append(within)
    return f"{what} {value:.3f} ({'within' if within else 'BEYOND'} {bound})"


def alone():
    """Alone: bulk copies at their full rate, small ones as soon."""
    for way in (False, True):
        name = "to host" if way else "to device"
        bulk = rounds(f"alone-bulk {name}", [("be", 1024, copier("bulk", "64M", to_host=way))])
        rate = {govern: median(bulk[govern], 0, "gbps") for govern in bulk}
        row(f"alone, 64 MiB {name}", f"GB/s ungated {rate['off']:.2f} gated {rate['on']:.2f}", mark("ratio", rate["on"] / rate["off"], 0.99, False))
        small = rounds(f"alone-small {name}", [("be", 1024, copier("ls", "4K", 100, to_host=way))])
        p50 = {govern: median(small[govern], 0, "p50_us") for govern in small}
        row(f"alone, 4 KiB {name}", f"p50 us ungated {p50['off']:.2f} gated {p50['on']:.2f}", mark("longer by", p50["on"] - p50["off"], 1.0))


def sensitive(setup, ways):
    """A latency-sensitive tenant beside a bulk copier."""
    for way in ways:
        name = "to host" if way else "to device"
        small, bulk = copier("ls", "256K", 500, to_host=way), copier("bulk", "64M", to_host=way, seconds=options.seconds + 0.3)
        ls = rounds(f"{setup} ls-alone {name}", [("ls", 1024, small)], ("off", "on"))
        whole = rounds(f"{setup} be-alone {name}", [("be", 1024, bulk)], ("off",))
        # To the host everything goes by the engine.
        governs = ("off", "on") if way else ("off", "engine", "on")
        both = rounds(f"{setup} ls-beside-be {name}", [("ls", 1024, small), ("be", 1024, bulk)], governs, keep_top=True)
        for govern in ("off", "on"):
            row(f"{setup}, 256 KiB {name} alone, copies {govern}", f"p50 {median(ls[govern], 0, 'p50_us'):.1f} p99 {median(ls[govern], 0, 'p99_us'):.1f} us")
        left = median(whole["off"], 0, "gbps") - median(both["on"], 0, "gbps")
        row(f"{setup}, 64 MiB {name} alone", f"{median(whole['off'], 0, 'gbps'):.2f} GB/s")
        for govern, runs in both.items():
            p99, rate = median(runs, 0, "p99_us"), median(runs, 1, "gbps")
            row(f"{setup}, beside each other, copies {govern}", f"p50 {median(runs, 0, 'p50_us'):.1f} p99 {p99:.1f} us, bulk {rate:.2f} GB/s, arbiter {statistics.median(run[-1] for run in runs):.2f} cores",
                *([] if govern != "on" else [mark("p99 to alone", p99 / median(ls["off"], 0, "p99_us"), 1.5), mark("bulk to what is left", rate / left, 0.9, False)]))


def large():
    """A latency-sensitive tenant whose copies are large themselves, beside a bulk copier."""
    programs = [("ls", 1024, copier("ls", "16M", 2000)), ("be", 1024, copier("bulk", "64M", seconds=options.seconds + 0.3))]
    alone = rounds("large alone", programs[:1], ("off",))["off"]
    row("16 MiB of a latency-sensitive tenant alone", f"p50 {median(alone, 0, 'p50_us'):.0f} p99 {median(alone, 0, 'p99_us'):.0f} us")
    for govern, runs in rounds("large beside be", programs, ("off", "on")).items():
        row(f"beside each other, copies {govern}", f"p50 {median(runs, 0, 'p50_us'):.0f} p99 {median(runs, 0, 'p99_us'):.0f} us, bulk {median(runs, 1, 'gbps'):.2f} GB/s")


def shares():
    """Bulk copiers share by weight, whatever the sizes of their copies."""
    both = [("64M", 1, "4M", 1), ("64M", 2, "4M", 1), ("64M", 4, "4M", 1), ("64M", 1, "4M", 4)]
    for one, weight, other, other_weight in both:
        programs = [("be", weight * 1000, copier("bulk", one)), ("be", other_weight * 1000, copier("bulk", other))]
        found = rounds(f"shares {one}:{weight} {other}:{other_weight}", programs, keep_top=True)
        text = []
        for govern in ("off", "on"):
            rates = [median(found[govern], which, "gbps") for which in (0, 1)]
            share = statistics.median(run[0]["gbps"] / (run[0]["gbps"] + run[1]["gbps"]) for run in found[govern])
            text.append(f"{'gated' if govern == 'on' else 'ungated'} {rates[0]:.1f} + {rates[1]:.1f} GB/s, share {share:.3f}")
        wanted = weight / (weight + other_weight)
        row(f"{one} at {weight}, {other} at {other_weight}", *text, mark("off by", abs(share - wanted), 0.03), f"arbiter {statistics.median(run[-1] for run in found['on']):.2f} cores")
    programs = [("be", weight * 1000, copier("bulk", "64M")) for weight in (3, 2, 1)]
    found = rounds("shares 3:2:1", programs)
    for govern in ("off", "on"):
        rates = [median(found[govern], which, "gbps") for which in range(3)]
        parts = [rate / sum(rates) for rate in rates]
        worst = max(abs(part - weight / 6) for part, weight in zip(parts, (3, 2, 1)))
        row(f"three of 64M at 3, 2, 1, copies {govern}", " + ".join(f"{rate:.1f}" for rate in rates) + " GB/s", *([mark("off by at most", worst, 0.03)] if govern == "on" else []))


def directions():
    """The two directions do not disturb each other."""
    programs = [("be", 1000, copier("bulk", "64M")), ("be", 1000, copier("bulk", "64M")), ("be", 1000, copier("bulk", "64M", to_host=True)), ("be", 1000, copier("bulk", "64M", to_host=True))]
    one = rounds("two one way", programs[:2])
    both = rounds("two each way", programs)
    for govern in ("off", "on"):
        there = sum(median(one[govern], which, "gbps") for which in (0, 1))
        rates = [median(both[govern], which, "gbps") for which in range(4)]
        row(f"two each way, copies {govern}", f"to device {rates[0]:.1f} + {rates[1]:.1f}, to host {rates[2]:.1f} + {rates[3]:.1f} GB/s; one way alone {there:.1f}")


def first():
    """What a stream's first copy costs its caller, beside a latency-sensitive tenant."""
    programs = [("ls", 1024, copier("ls", "256K", 500)), ("be", 1024, [*copier("first", "8M"), "12"])]
    found = rounds("first", programs, ("off", "engine", "on"))
    for govern, runs in found.items():
        middle = {which: [call for run in runs for call in run[1][f"{which}_calls_us"]] for which in ("first", "second")}
        row(f"the call of a stream's copy, copies {govern}", "  ".join(f"{which}: median {statistics.median(calls):.0f} longest {max(calls):.0f} us" for which, calls in middle.items()))


def pytorch():
    """An inference server with pinned inputs and outputs beside a data-loading job, and beside copies to the host."""
    if options.sim:
        return
    seconds = options.seconds * 2
    server = [sys.executable, LOADER, "serve", str(seconds)]
    half = lambda runs, model, key: statistics.median(run[0][model][key] for run in runs)
    job = lambda memory: [sys.executable, LOADER, memory, str(seconds + 0.5)]
    setups = [("alone", None, ("off",)), ("beside a pinned job", job("pinned"), ("off", "on")), ("beside a pageable job", job("pageable"), ("off", "on")),
              ("beside copies to the host", copier("bulk", "64M", to_host=True, seconds=seconds + 0.5), ("off", "on"))]
    found = {}
    # By turns, round by round: the host's own speed varies.
    for index in numbers("pytorch"):
        for name, beside, governs in setups:
            for govern in governs:
                run = together(f"pytorch {name} {index}", govern, [("ls", 1024, server), *([("be", 1024, beside)] if beside else [])], keep_top=True)
                found.setdefault((name, govern), []).append(run)
    for model in ("eager", "graph"):
        alone = half(found["alone", "off"], model, "p99_us")
        for (name, govern), runs in found.items():
            cells = [f"p50 {half(runs, model, 'p50_us'):.0f} p99 {half(runs, model, 'p99_us'):.0f} us"]
            if name != "alone":
                right = all(run[1].get("right", True) for run in runs)
                cells.append(f"job {median(runs, 1, 'gbps'):.2f} GB/s, contents {'right' if right else 'WRONG'}")
            if govern != "off":
                cells.append(mark("p99 to alone", half(runs, model, "p99_us") / alone, 1.2))
            row(f"PyTorch {model} {name}, copies {govern}", *cells)


def measure(name, part):
    """Measures a part, as far as there is time for it."""
    try:
        part()
        print(f"# {name}: {time.monotonic() - BEGUN:.0f} s", flush=True)
    except NoTime as none:
        print(f"# {none}: left out with all behind it in {name}, as there was no time", flush=True)


PARTS = [("alone", alone), ("sensitive-to-device", lambda: sensitive("MPS", (False,))), ("sensitive-to-host", lambda: sensitive("MPS", (True,))), ("large", large), ("shares", shares), ("directions", directions), ("first", first), ("pytorch", pytorch)]
had_mps = mps(True)
try:
    subprocess.run([MISSILE, "up"], env=ENV, check=True, timeout=60, capture_output=True)
    if not options.sim:
        print(subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True).stdout.strip())
    for name, part in PARTS:
        if options.only in name:
            measure(name, part)
finally:
    subprocess.run([MISSILE, "down"], env=ENV, capture_output=True, timeout=20)
    if had_mps:
        mps(False)
if "sliced" in options.only or not options.only:
    subprocess.run([MISSILE, "up"], env=ENV, check=True, timeout=60, capture_output=True)
    try:
        ENV["SIMGPU_MPS"] = "0"
        measure("time-sliced", lambda: sensitive("time-sliced", (False,)))
    finally:
        subprocess.run([MISSILE, "down"], env=ENV, capture_output=True, timeout=20)
shutil.rmtree(RUN, ignore_errors=True)
print(f"\n{sum(marks)} within, {len(marks) - sum(marks)} beyond")
