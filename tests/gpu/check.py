"""Every check on a real GPU, in one table: `python3 tests/gpu/check.py DIST [--out FOLDER]`.

DIST is the folder that `tests/gpu/dist.sh` makes; nothing is built here. Each check prints its command and raw answers
into FOLDER. The last line reads `N passed, N failed, N skipped`, and the exit code is 1 if anything failed.
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
arguments.add_argument("--out", type=Path, default=Path("gpu-checks"))
arguments.add_argument("--sim", help="a simulated GPU, to try the checks that need no PyTorch")
arguments.add_argument("--only", help="run the checks whose names contain this")
arguments.add_argument("--rounds", type=int, default=3)
options = arguments.parse_args()
DIST, OUT = options.dist.resolve(), options.out.resolve()
OUT.mkdir(parents=True, exist_ok=True)
MISSILE, COPIER = DIST / "missile", DIST / "examples" / "copier"
PTX = DIST / "ptx" / "latency.ptx"
HERE = Path(__file__).resolve().parent
WORK = Path(tempfile.mkdtemp(prefix="missile-gpu-"))
# On a tmpfs, as a runtime folder is: the driver pins the region's pages for the GPU.
RUN = Path(tempfile.mkdtemp(prefix="missile-gpu-", dir="/dev/shm"))
SIM = ["--sim", options.sim] if options.sim else []
ENV = dict(os.environ, XDG_RUNTIME_DIR=str(RUN), XDG_DATA_HOME=str(WORK / "data"), SIMGPU_STATE=str(WORK / "sim"))
rows = []
found = {}


class Failed(Exception):
    """A check's answer is not what it must be."""


class Skipped(Exception):
    """A check cannot be made on this machine."""


def start(name, command, **env):
    log = open(OUT / f"{name}.log", "w")
    words = [f"{key}={value}" for key, value in env.items()] + [str(word) for word in command]
    log.write("$ " + " ".join(words).replace(f"{Path.cwd()}/", "").replace(sys.executable, "python3") + "\n")
    log.flush()
    return subprocess.Popen(list(map(str, command)), env={**ENV, **env}, stdout=log, stderr=subprocess.STDOUT)


def answer(name):
    """The last line of JSON that a program printed."""
    lines = [line for line in (OUT / f"{name}.log").read_text().splitlines() if line.startswith("{")]
    if not lines:
        raise Failed(f"{name} printed no answer: see {name}.log: " + (OUT / f"{name}.log").read_text()[-300:])
    return json.loads(lines[-1])


def run(name, command, seconds=120, **env):
    process = start(name, command, **env)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Failed(f"{name} took longer than {seconds} s")
    if code:
        raise Failed(f"{name} ended with {code}: " + (OUT / f"{name}.log").read_text()[-400:])


def together(programs, seconds=180):
    """Runs [(name, command, env)] side by side and returns their answers."""
    processes = [(name, start(name, command, **env)) for name, command, env in programs]
    limit = time.time() + seconds
    try:
        for name, process in processes:
            if process.wait(max(1, limit - time.time())):
                raise Failed(f"{name} ended with {process.returncode}: " + (OUT / f"{name}.log").read_text()[-400:])
    except subprocess.TimeoutExpired:
        raise Failed(f"one of {[name for name, *_ in programs]} took longer than {seconds} s")
    finally:
        for _, process in processes:
            process.kill()
    return [answer(name) for name, *_ in programs]


def governed(kind, *command, extra=()):
    return [MISSILE, "run", "--class", kind, *SIM, *extra, "--", *command]


def arbiter(*flags):
    run("up", [MISSILE, "up", "--map-budget", "131072", "--map-tenants", "2", *flags])


def no_arbiter():
    subprocess.run([MISSILE, "down"], env=ENV, capture_output=True, timeout=20)


def mps(on):
    """Starts or ends MPS in a folder of our own. False where there is none."""
    control = shutil.which("nvidia-cuda-mps-control")
    if options.sim or not control:
        return False
    ENV.update(CUDA_MPS_PIPE_DIRECTORY=str(WORK / "mps"), CUDA_MPS_LOG_DIRECTORY=str(WORK / "mps-log"))
    (WORK / "mps").mkdir(exist_ok=True)
    (WORK / "mps-log").mkdir(exist_ok=True)
    if on:
        subprocess.run([control, "-d"], env=ENV, check=True, timeout=30)
    else:
        subprocess.run([control], input=b"quit\n", env=ENV, timeout=30, capture_output=True)
        ENV.pop("CUDA_MPS_PIPE_DIRECTORY"), ENV.pop("CUDA_MPS_LOG_DIRECTORY")
    return True


def side_of(result, own, what):
    pages = result["side0"] + result["side1"]
    there = result[f"side{own}"]
    if there != pages or pages == 0:
        raise Failed(f"{what}: {there} of {pages} pages on side {own}")
    return f"{there} of {pages} pages on side {own} (gap {result['gap_cycles']:.0f} cycles)"


def probe():
    """The probe finds the side mask, exact on every held-out page, in under 60 s."""
    begun = time.time()
    process = subprocess.run([MISSILE, "probe", "--json", *SIM], env=ENV, capture_output=True, text=True, timeout=120)
    seconds = time.time() - begun
    (OUT / "probe.json").write_text(process.stdout)
    (OUT / "probe.log").write_text(f"$ missile probe --json {' '.join(SIM)}\nexit {process.returncode}, {seconds:.1f} s\n{process.stderr}")
    if process.returncode:
        raise Failed(process.stderr.strip())
    result = json.loads(process.stdout)
    if result["colors"] < 2:
        raise Failed(f"no colours: {result['why_not']}")
    level = result["levels"][0]
    found["mask"] = level["masks"][0]
    if level["accuracy"] != 1.0 or seconds > 60:
        raise Failed(f"accuracy {level['accuracy']}, {seconds:.1f} s")
    return f"{result['gpu']['name']}: mask {found['mask']}, {level['held_out']} held out, accuracy 1.0, {seconds:.1f} s"


def need_mask():
    if "mask" not in found:
        raise Skipped("no mask: the probe failed")
    return found["mask"]


def plain_pages():
    """Plain allocations are coloured and hold what was written; the same measurement finds both sides without Missile."""
    tenant = [sys.executable, HERE / "alloc_tenant.py", "--ptx", PTX, "--mask", need_mask()]
    arbiter()
    try:
        run("alloc-stock", governed("ls", *tenant, extra=["--color", "off"]))
        stock = answer("alloc-stock")
        if min(stock["side0"], stock["side1"]) < 100:
            raise Failed(f"the stock run should have pages on both sides: {stock}")
        said = []
        for own, kind in enumerate(["ls", "be"]):
            run(f"alloc-{kind}", governed(kind, *tenant, extra=["--color", "on"]))
            result = answer(f"alloc-{kind}")
            if not result["contents"]:
                raise Failed("contents differ")
            said.append(f"{kind}: " + side_of(result, own, kind) + f", allocated in {result['alloc_seconds']:.2f} s")
    finally:
        no_arbiter()
    return f"stock {stock['side0']}+{stock['side1']}; " + "; ".join(said)


def bert():
    """Two PyTorch BERTs under MPS have every page on their own side, and the bare run's output."""
    if options.sim:
        raise Skipped("PyTorch does not run on a simulated GPU")
    mask = need_mask()

    def tenant(name, folder, tenants):
        (WORK / folder).mkdir(exist_ok=True)
        return [sys.executable, HERE / "bert_tenant.py", "--name", name, "--ptx", PTX, "--mask", mask, "--meet", WORK / folder, "--tenants", tenants]

    arbiter()
    had_mps = mps(True)
    try:
        run("bert-stock", governed("ls", *tenant("stock", "meet-stock", 1), extra=["--color", "off", "--copies", "off"]), 180)
        stock = answer("bert-stock")
        ls, be = together([
            ("bert-ls", governed("ls", *tenant("ls", "meet", 2), extra=["--color", "on"]), {}),
            ("bert-be", governed("be", *tenant("be", "meet", 2), extra=["--color", "on"]), {}),
        ], 240)
    finally:
        if had_mps:
            mps(False)
        no_arbiter()
    run("bert-bare", [*tenant("bare", "meet-bare", 1), "--bare"], 180)
    bare = answer("bert-bare")
    if not bare["finite"] or {stock["output"], ls["output"], be["output"]} != {bare["output"]}:
        raise Failed(f"outputs differ: bare {bare['output'][:8]}, stock {stock['output'][:8]}, ls {ls['output'][:8]}, be {be['output'][:8]}")
    return (f"{'under MPS' if had_mps else 'NO MPS'}; stock {stock['side0']}+{stock['side1']}; ls: " + side_of(ls, 0, "ls") + "; be: " + side_of(be, 1, "be")
            + f"; {ls['bytes'] >> 20} MiB each, output equal; load {bare['load_seconds']:.1f} s bare, {ls['load_seconds']:.1f} s coloured")


def copies():
    """LS copies of 256 KiB beside a bulk copier of 64 MiB: governed their p99 is less than a quarter of stock."""
    table = []
    had_mps = mps(True)
    try:
        arbiter()
        for round_ in range(options.rounds):
            for how in ("off", "on"):
                tag = f"copy-{how}-{round_}"
                flags = ["--color", "off", "--copies", how]
                ls, be = together([
                    (f"{tag}-ls", governed("ls", COPIER, "--seconds", "3", "ls", "256K", "500", extra=flags), {}),
                    (f"{tag}-be", governed("be", COPIER, "--seconds", "4", "bulk", "64M", extra=flags), {}),
                ], 60)
                table.append((how, ls["p50_us"], ls["p99_us"], be["gbps"]))
        no_arbiter()
        run("copy-alone-ls", [MISSILE, "run", *SIM, "--", COPIER, "--seconds", "3", "ls", "256K", "500"], MISSILE_DISABLE="1")
        run("copy-alone-be", [MISSILE, "run", *SIM, "--", COPIER, "--seconds", "3", "bulk", "64M"], MISSILE_DISABLE="1")
    finally:
        no_arbiter()
        if had_mps:
            mps(False)
    alone = answer("copy-alone-ls")
    text = "copies ls_p50_us ls_p99_us be_gbps\n" + "\n".join(f"{how} {p50:.1f} {p99:.1f} {rate:.1f}" for how, p50, p99, rate in table)
    (OUT / "copies.txt").write_text(text + f"\nalone ls p50 {alone['p50_us']:.1f} p99 {alone['p99_us']:.1f}, bulk {answer('copy-alone-be')['gbps']:.1f} GB/s\n")
    p99 = {how: statistics.median(row[2] for row in table if row[0] == how) for how in ("off", "on")}
    bulk = {how: statistics.median(row[3] for row in table if row[0] == how) for how in ("off", "on")}
    said = f"LS p99 {p99['off']:.0f} us ungoverned, {p99['on']:.0f} us governed, {alone['p99_us']:.0f} us alone; BE {bulk['off']:.1f} and {bulk['on']:.1f} GB/s"
    if p99["on"] * 4 >= p99["off"]:
        raise Failed(said)
    return said


def dead_arbiter():
    """kill -9 of the arbiter while two tenants copy: both go on, and no copy hangs."""
    arbiter()
    flags = ["--color", "off"]
    ls = start("orphan-ls", governed("ls", COPIER, "--seconds", "4", "ls", "256K", "500", extra=flags))
    be = start("orphan-be", governed("be", COPIER, "--seconds", "4", "bulk", "64M", extra=flags))
    try:
        time.sleep(2)
        top = json.loads(subprocess.run([MISSILE, "top", "--once", "--json"], env=ENV, capture_output=True, text=True, timeout=20).stdout)
        os.kill(top["arbiter"]["pid"], 9)
        if ls.wait(20) or be.wait(20):
            raise Failed(f"the copiers ended with {ls.returncode} and {be.returncode}")
    finally:
        ls.kill()
        be.kill()
        no_arbiter()
    worst = max(answer("orphan-ls")["max_us"], answer("orphan-be")["max_us"])
    if worst > 100_000:
        raise Failed(f"a copy took {worst:.0f} us")
    return f"the longest copy took {worst / 1000:.1f} ms"


def demo():
    """The demo on this GPU, under MPS where there is one: it runs, and says what it sees."""
    had_mps = mps(True)
    try:
        process = subprocess.run([MISSILE, "demo", "--json", "--seconds", "3", *SIM], env=ENV, capture_output=True, text=True, timeout=150)
    finally:
        if had_mps:
            mps(False)
    (OUT / "demo.json").write_text(process.stdout)
    (OUT / "demo.log").write_text(process.stderr)
    if process.returncode:
        raise Failed(process.stderr[-300:])
    result = {row["setup"]: row for row in json.loads(process.stdout)["rows"]}
    said = "; ".join(f"{name} p99 {row['ls_p99_ms']:.2f} ms" for name, row in result.items() if row["ls_p99_ms"])
    return f"{'under MPS' if had_mps else 'no MPS'}; {said}"


CHECKS = [probe, plain_pages, bert, copies, dead_arbiter, demo]
try:
    for check in CHECKS:
        if options.only and check is not probe and options.only not in check.__name__:
            continue
        begun = time.time()
        try:
            outcome, said = "ok", check()
        except Skipped as reason:
            outcome, said = "skipped", str(reason)
        except Exception as reason:  # a broken check is a failed one
            outcome, said = "FAILED", f"{type(reason).__name__}: {reason}"
        rows.append((check.__name__, outcome, time.time() - begun, said))
        print(f"{check.__name__}: {outcome} ({time.time() - begun:.0f} s): {said}", flush=True)
finally:
    no_arbiter()
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.rmtree(RUN, ignore_errors=True)

print()
for name, outcome, seconds, said in rows:
    print(f"{name:<14} {outcome:<8} {seconds:6.1f} s  {said[:400]}")
counts = {kind: sum(1 for row in rows if row[1] == kind) for kind in ("ok", "FAILED", "skipped")}
print(f"\n{counts['ok']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped")
sys.exit(counts["FAILED"] > 0)
