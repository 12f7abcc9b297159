"""Colours on a real GPU: `python3 tests/gpu/colors.py DIST [--out FOLDER] [--mib N]`.

DIST is the folder that `tests/gpu/dist.sh` makes. Checked are: that every page of a program's weights and activations
lies on the tenant's side by measured latency, whoever allocates in it; what allocating and freeing cost; that a thousand
random cycles leave every word right and nothing behind; and that what does not fit the map budget works uncoloured.
The last line reads `N passed, N failed, N skipped`.
"""
import argparse
import json
import statistics
import subprocess
from pathlib import Path

from harness import Failed, Ground, Skipped, python

arguments = argparse.ArgumentParser()
arguments.add_argument("dist", type=Path)
arguments.add_argument("--out", type=Path, default=Path("gpu-colors"))
arguments.add_argument("--mib", type=int, default=1500, help="weights and activations, as far as the map budget goes")
arguments.add_argument("--sim", help="a simulated GPU, to try what needs no framework")
arguments.add_argument("--only", help="what has this in its name")
options = arguments.parse_args()
rows = []
# Asked for, since `auto` colours nobody where the colours are sides.
COLORED = ("--color", "on")


def check(name, body):
    if options.only and options.only not in name:
        return
    try:
        rows.append((name, "passed", body()))
    except Skipped as reason:
        rows.append((name, "skipped", str(reason)))
    except (Failed, OSError, KeyError, ValueError, subprocess.TimeoutExpired) as failure:
        rows.append((name, "FAILED", f"{type(failure).__name__}: {failure}"))
    print(f"{rows[-1][1]:8} {name}: {rows[-1][2]}", flush=True)


def tenant(ground, pid):
    for row in ground.top()["tenants"]:
        if row["pid"] == pid:
            return row
    raise Failed(f"`missile top` has no tenant {pid}")


def mode(ground, mask, name, env, mib):
    """Every page on the tenant's own side, and the results those of a bare run."""
    command = python("colored.py", "--mode", name, "--ptx", ground.dist / "ptx" / "latency.ptx", "--mask", mask, "--mib", str(mib))
    with ground.start(f"mode-{name}", ground.governed(command, flags=COLORED), env) as program:
        answer = program.answer(100)
        shown = tenant(ground, program.pid)
        program.finish(60)
    own = answer[f"side{shown['color']}"]
    if not answer["checks"][1]:
        raise Failed(f"the results are not finite: {answer['checks']}")
    if own != answer["pages"]:
        raise Failed(f"{own} of {answer['pages']} pages on side {shown['color']}: {json.dumps(answer)} {json.dumps(shown)}")
    gib = shown["colored_bytes"] / 2**30
    return (
        f"{own} of {answer['pages']} pages on side {shown['color']} (gap {answer['gap_cycles']:.0f} cycles), "
        f"{gib:.2f} GiB coloured, {shown['uncolored_bytes'] >> 20} MiB not, {shown['maps']} maps"
    )


def cost(ground):
    """Microseconds a map call and seconds a GiB, to allocate and to free."""
    sizes = ["2"] * 5 + ["20"] * 5 + ["256"] * 3 + ["1024"] * 2
    if options.sim:
        sizes = ["2", "2", "4"]
    table = {}
    for colors in ("on", "off"):
        command = ground.governed(python("cost.py", *sizes), flags=["--color", colors])
        with ground.start(f"cost-{colors}", command) as program:
            for _ in sizes:
                held = program.answer(60)
                maps = tenant(ground, program.pid)["maps"]
                program.tell("")
                freed = program.answer(60)
                program.tell("")
                row = table.setdefault((held["mib"], colors), [])
                row.append((held["allocating_s"], freed["freeing_s"], maps, held["first_s"]))
            program.finish(30)
    lines, worst = [], 0
    for mib in sorted({mib for mib, _ in table}):
        took, freeing, maps, first = (statistics.median(column) for column in zip(*table[mib, "on"]))
        stock, stock_free, none, _ = (statistics.median(column) for column in zip(*table[mib, "off"]))
        if none or not maps:
            raise Failed(f"{mib} MiB: {maps} maps coloured, {none} uncoloured")
        gib = mib / 1024
        worst = max(worst, took / gib)
        lines.append(
            f"{mib} MiB: {maps:.0f} maps, {took * 1e3:.1f} ms to allocate ({1e6 * (took - stock) / maps:.1f} us a map, {took / gib:.2f} s/GiB), "
            f"{freeing * 1e3:.1f} ms to free ({freeing / gib:.2f} s/GiB); uncoloured {stock * 1e3:.2f} and {stock_free * 1e3:.2f} ms"
        )
    lines.append(f"the first allocation, with the self-test: {first * 1e3:.1f} ms")
    (ground.out / "cost.txt").write_text("\n".join(lines) + "\n")
    for line in lines:
        print(f"         {line}", flush=True)
    return f"worst {worst:.2f} s/GiB; see cost.txt"


def churn(ground):
    """A thousand random cycles in three threads and three ways of allocating."""
    program = ground.work / "churn"
    source = Path(__file__).resolve().parent / "coloring" / "churn.c"
    libraries = [flag for folder in driver_folders(ground) for flag in ("-L", folder)]
    command = ["cc", "-O1", "-pthread", "-o", program, source, *libraries, "-l:libcuda.so.1"]
    built = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    if built.returncode:
        raise Failed(built.stderr[-400:])
    with ground.start("churn", ground.governed([program, "1000", "3", "16"], flags=COLORED)) as program:
        answer = program.answer(150)
        shown = tenant(ground, program.pid)
        program.finish(30)
    left = {key: shown[key] for key in ("maps", "colored_bytes", "uncolored_bytes")}
    if answer["wrong"] or answer["lost"] or any(left.values()):
        raise Failed(f"{json.dumps(answer)} {json.dumps(left)}")
    gib = answer["bytes"] / 2**30
    return (
        f"{answer['cycles']} cycles, {gib:.1f} GiB, no word wrong, nothing lost, {json.dumps(left)}; "
        f"{answer['taking_s'] / gib:.2f} s/GiB to take and {answer['giving_s'] / gib:.2f} to give back, waits for others included; "
        f"passed {json.dumps(shown['passed'])}"
    )


def vram():
    """Bytes of the GPU's memory."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.split()[0]) << 20


def driver_folders(ground):
    """Where the driver's library is, for the linker."""
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True).stdout
    found = {Path(line.split("=> ")[1]).parent for line in listed.splitlines() if "libcuda.so.1 (libc6,x86-64" in line}
    return sorted(found) + ([ground.dist / "sim"] if options.sim else [])


def over_budget(ground):
    """More than the budget: as fast as without Missile, and uncoloured."""
    with ground.start("over-budget", ground.governed(python("cost.py", "6144"), flags=COLORED)) as program:
        held = program.answer(60)
        shown = tenant(ground, program.pid)
        program.tell("")
        program.answer(60)
        program.finish(30)
    if shown["maps"] or shown["colored_bytes"] or shown["uncolored_bytes"] < 6144 << 20:
        raise Failed(json.dumps(shown))
    return f"6 GiB uncoloured in {held['allocating_s'] * 1e3:.1f} ms, no maps held: {json.dumps(shown['passed'])}"


with Ground(options.dist, options.out, options.sim, map_tenants=1) as ground:
    found = ground.up()
    mask = next(level["masks"][0] for level in found["levels"] if level["name"] == "side")
    print(f"{found['gpu']['name']}, side mask {mask}", flush=True)
    share = 0 if options.sim else (options.mib << 20) / vram()
    modes = [] if options.sim else [
        ("native", {}),
        ("expandable", {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}),
        ("async", {"PYTORCH_CUDA_ALLOC_CONF": "backend:cudaMallocAsync"}),
        ("jax", {"XLA_PYTHON_CLIENT_PREALLOCATE": "true", "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{1.1 * share:.4f}"}),
        ("cupy", {}),
    ]
    check("cost", lambda: cost(ground))
    check("churn", lambda: churn(ground))
    check("over-budget", lambda: over_budget(ground))
    for name, env in modes:
        check(f"mode-{name}", lambda: mode(ground, mask, name, env, options.mib))
counts = [sum(outcome == wanted for _, outcome, _ in rows) for wanted in ("passed", "FAILED", "skipped")]
print(f"{counts[0]} passed, {counts[1]} failed, {counts[2]} skipped")
raise SystemExit(1 if counts[1] else 0)
