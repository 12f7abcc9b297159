"""The channel hash of a real GPU, probed and held against what the driver says: `python3 tests/gpu/probe.py DIST`.

DIST is the folder that `tests/gpu/dist.sh` makes. Probes three times on an idle GPU and once as an MPS client; asks the
kernel driver, without privileges, for the number of L2 slices and the side of each SM, with which the bits of TPCs have
to agree; and tries a GPU that is busy, and one that is full. Tables, pictures and raw answers lie in the folder of --out.
The last line reads `N passed, N failed, N skipped`, and the exit code is 1 if anything failed.
"""
import argparse
import ctypes
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

arguments = argparse.ArgumentParser()
arguments.add_argument("dist", type=Path)
arguments.add_argument("--out", type=Path, default=Path("gpu-probe"))
options = arguments.parse_args()
MISSILE = options.dist.resolve() / "missile"
OUT = options.out.resolve()
OUT.mkdir(parents=True, exist_ok=True)
WORK = Path(tempfile.mkdtemp(prefix="missile-probe-"))
# A region has to be on a tmpfs.
RUN = Path(tempfile.mkdtemp(prefix="missile-probe-", dir="/dev/shm"))
ENV = dict(os.environ, XDG_RUNTIME_DIR=str(RUN), XDG_DATA_HOME=str(WORK / "data"))
rows = []


class Failed(Exception):
    """A check's answer is not what it must be."""


class Skipped(Exception):
    """A check cannot be made on this machine."""


def probe(name, *flags):
    """Runs a probe; the report, the seconds that it took, and what it said."""
    table = OUT / f"{name}.toml"
    command = [str(MISSILE), "probe", "--json", "--out", str(table), "--plot", str(OUT / f"{name}.svg"), *flags]
    begun = time.time()
    process = subprocess.run(command, env=ENV, capture_output=True, text=True, timeout=120)
    seconds = time.time() - begun
    (OUT / f"{name}.log").write_text(f"exit {process.returncode}, {seconds:.1f} s\n{process.stderr}")
    report = json.loads(process.stdout) if process.returncode == 0 else None
    if report:
        (OUT / f"{name}.json").write_text(process.stdout)
    return report, seconds, process


def kernel():
    """What the kernel driver says of the first GPU: the number of L2 slices, and the side of each SM."""
    if kernel.answer is None:
        kernel.answer = ask_kernel()
    return kernel.answer


kernel.answer = None


def ask_kernel():
    libc = ctypes.CDLL(None, use_errno=True)
    control_file, device_file = (os.open(path, os.O_RDWR) for path in ("/dev/nvidiactl", "/dev/nvidia0"))

    def escape(file, number, parameter):
        request = 3 << 30 | len(parameter) << 16 | 0x46 << 8 | number
        if libc.ioctl(file, ctypes.c_ulong(request), parameter):
            raise Skipped(f"the kernel driver refuses request {number:#x}: errno {ctypes.get_errno()}")

    def nvos(pack, file, number, size, *fields):
        parameter = ctypes.create_string_buffer(struct.pack(pack, *fields), size)
        escape(file, number, parameter)
        return struct.unpack(pack, parameter.raw)

    def allocate(root, parent, kind, params):
        params = ctypes.create_string_buffer(params, len(params))
        answer = nvos("<IIIIQII", control_file, 0x2B, 32, root, parent, 0, kind, ctypes.addressof(params), len(params), 0)
        if answer[6]:
            raise Skipped(f"the kernel driver makes no object of class {kind:#x}: status {answer[6]:#x}")
        return answer[2]

    def control(root, subdevice, command, params):
        buffer = ctypes.create_string_buffer(params, len(params))
        address = ctypes.addressof(buffer)
        answer = nvos("<IIIIQII", control_file, 0x2A, 32, root, subdevice, command, 0, address, len(params), 0)
        if answer[6]:
            raise Skipped(f"the kernel driver does not answer {command:#x}: status {answer[6]:#x}")
        return buffer.raw

    escape(device_file, 201, ctypes.create_string_buffer(struct.pack("<i", control_file), 4))
    root = allocate(0, 0, 0x41, struct.pack("<I", 0))
    device = allocate(root, root, 0x80, struct.pack("<II48x", 0, root))
    subdevice = allocate(root, device, 0x2080, struct.pack("<I", 0))
    slices = struct.unpack_from("<III", control(root, subdevice, 0x20801303, struct.pack("<III1016x", 1, 0x23, 0)))[2]
    order = control(root, subdevice, 0x2080121B, bytes(9240))
    count = struct.unpack_from("<H", order, 9216)[0]
    sides = [struct.unpack_from("<H", order, 18 * sm + 12)[0] for sm in range(count)]
    os.close(device_file)
    os.close(control_file)
    return slices, sides


def level(report, name):
    return next((level for level in report["levels"] if level["name"] == name), None)


def check_probe(report, seconds, process):
    if not report:
        raise Failed(process.stderr.strip())
    side, finest = level(report, "side"), report["levels"][-1]
    if not side or side["accuracy"] != 1.0:
        raise Failed(f"the side's accuracy is {side and side['accuracy']}")
    if seconds > 20:
        raise Failed(f"it took {seconds:.1f} s")
    text = f"mask {side['masks'][0]} right on {side['held_out']} of {side['held_out']}, {seconds:.1f} s"
    for of in report["levels"][1:]:
        text += f"; {of['classes']} {of['name']}s {100 * of['accuracy']:.3f} %"
    return text, finest


def check_slices(report):
    slices, _ = kernel()
    if report["slices"] != slices:
        raise Failed(f"{report['slices']} slices, the driver says {slices}")
    finest = report["levels"][-1]
    if not finest["usable"]:
        raise Failed(f"the slices' function holds on {100 * finest['accuracy']:.3f} %")
    return f"{slices} slices, as the driver says; {finest['kind']} right on {100 * finest['accuracy']:.3f} %"


def idle():
    """A probe of an idle GPU finds the side exactly, in under 20 s."""
    idle.report, seconds, process = probe("idle")
    return check_probe(idle.report, seconds, process)[0]


def memory():
    """It took its lines from at least 64 GiB."""
    text = (OUT / "idle.toml").read_text()
    bytes_ = int(next(line for line in text.splitlines() if line.startswith("memory_bytes")).split("=")[1])
    if bytes_ < 64 << 30:
        raise Failed(f"only {bytes_ / 2**30:.1f} GiB")
    return f"{bytes_ / 2**30:.1f} GiB"


def slices():
    """It finds as many slices as the driver says, and a function that foretells them."""
    return check_slices(idle.report)


def sm_sides():
    """The sides of the SMs are those of the driver."""
    _, sides = kernel()
    found = idle.report["sm_side"]
    if found not in (sides, [1 - side for side in sides]):
        raise Failed(f"found {found}, the driver says {sides}")
    return f"{len(sides)} SMs, {sides.count(0)} and {sides.count(1)}"


def tpcs_of(report):
    """The section of TPCs, its bits as numbers."""
    if not report["tpcs"]:
        raise Failed(f"no TPCs: {report['why_no_tpcs']}")
    return [int(side, 16) for side in report["tpcs"]["sides"]], report["tpcs"]["sms_of_each"]


def tpcs():
    """Bits of launches' masks answer for all SMs, as many on each side as the driver says."""
    sides, each = tpcs_of(idle.report)
    counts = [each * side.bit_count() for side in sides]
    if sum(counts) != idle.report["gpu"]["sms"]:
        raise Failed(f"{counts} SMs of {idle.report['gpu']['sms']}")
    if sides[0] & sum(sides[1:]):
        raise Failed(f"bits on both sides: {[hex(side) for side in sides]}")
    _, placed = kernel()
    if counts != [idle.report["sm_side"].count(side) for side in (0, 1)] or sorted(counts) != sorted(
        placed.count(side) for side in (0, 1)
    ):
        raise Failed(f"{counts} SMs by side, the driver says {[placed.count(side) for side in (0, 1)]}")
    if "H200" in idle.report["gpu"]["name"] and counts[0] != counts[1]:
        raise Failed(f"an H200's sides are equal, found {counts}")
    return f"{counts} SMs in TPCs of {each}; bits {', '.join(hex(side) for side in sides)}"


def again():
    """A second probe finds the same levels."""
    report, seconds, process = probe("again")
    text, _ = check_probe(report, seconds, process)
    first, second = (
        [(of["name"], of["classes"], of["usable"]) for of in report["levels"]] for report in (idle.report, report)
    )
    masks = [level(report, "side")["masks"] for report in (idle.report, report)]
    if first != second or masks[0] != masks[1]:
        raise Failed(f"{first} {masks[0]}, then {second} {masks[1]}")
    if tpcs_of(idle.report) != tpcs_of(report):
        raise Failed(f"TPCs {tpcs_of(idle.report)}, then {tpcs_of(report)}")
    return text


def quick():
    """A probe of the sides alone, in which the search for TPCs is what takes long, finds the same TPCs in under 10 s."""
    report, seconds, process = probe("quick", "--quick")
    text, _ = check_probe(report, seconds, process)
    if tpcs_of(idle.report) != tpcs_of(report):
        raise Failed(f"TPCs {tpcs_of(idle.report)}, then {tpcs_of(report)}")
    if seconds > 10:
        raise Failed(f"it took {seconds:.1f} s")
    return text


def words():
    """`missile table` explains it."""
    process = subprocess.run([MISSILE, "table", OUT / "idle.toml"], env=ENV, capture_output=True, text=True, timeout=20)
    if process.returncode:
        raise Failed(process.stderr.strip())
    (OUT / "idle.txt").write_text(process.stdout)
    return f"{len(process.stdout.splitlines())} lines"


def mps(on):
    control = shutil.which("nvidia-cuda-mps-control")
    if not control:
        raise Skipped("there is no MPS")
    if on:
        ENV.update(CUDA_MPS_PIPE_DIRECTORY=str(WORK / "mps"), CUDA_MPS_LOG_DIRECTORY=str(WORK / "mps-log"))
        (WORK / "mps").mkdir(exist_ok=True)
        (WORK / "mps-log").mkdir(exist_ok=True)
        subprocess.run([control, "-d"], env=ENV, check=True, timeout=30)
    else:
        subprocess.run([control], input=b"quit\n", env=ENV, timeout=30, capture_output=True)


def mps_client():
    """A probe as an MPS client finds the same, but no TPCs, and says why."""
    mps(True)
    mps_client.report, seconds, process = probe("mps")
    text = check_probe(mps_client.report, seconds, process)[0]
    if level(mps_client.report, "side")["masks"] != level(idle.report, "side")["masks"]:
        raise Failed(f"another mask: {text}")
    sides = [[report["sm_side"].count(side) for side in (0, 1)] for report in (idle.report, mps_client.report)]
    if sorted(sides[0]) != sorted(sides[1]):
        raise Failed(f"SMs by side: {sides[0]} without MPS, {sides[1]} in the client")
    if mps_client.report["tpcs"] or "MPS" not in mps_client.report["why_no_tpcs"]:
        raise Failed(f"TPCs in the client: {mps_client.report['tpcs']}, {mps_client.report['why_no_tpcs']}")
    return f"{text}; {check_slices(mps_client.report)}"


COPY_LOOP = """
import sys, time, torch
a = torch.empty(1 << 28, device="cuda"); b = torch.empty_like(a); b.copy_(a); torch.cuda.synchronize()
print("copying", flush=True)
end = time.time() + float(sys.argv[1])
while time.time() < end:
    for _ in range(20): b.copy_(a)
    torch.cuda.synchronize()
"""
HOLD = """
import sys, time, torch
free, _ = torch.cuda.mem_get_info()
a = torch.empty(free - (3 << 30), dtype=torch.uint8, device="cuda"); torch.cuda.synchronize()
print("holding", flush=True); time.sleep(float(sys.argv[1]))
"""


def beside(program, name, *flags):
    """A probe beside another program."""
    other = subprocess.Popen([sys.executable, "-c", program, "25"], env=ENV, stdout=subprocess.PIPE, text=True)
    try:
        if not other.stdout.readline():
            raise Skipped("PyTorch does not run here")
        return probe(name, *flags)
    finally:
        other.kill()
        other.wait()


def refused(name, report, process, part):
    lines = [line for line in process.stderr.splitlines() if line]
    if report or process.returncode != 1 or len(lines) != 1 or part not in lines[0]:
        raise Failed(f"exit {process.returncode}: {process.stderr.strip()}")
    if list(OUT.glob(f"{name}.toml*")) or list(OUT.glob(f"{name}.svg")) or list(OUT.glob(".*-*")):
        raise Failed("it left a file")
    return lines[0]


def busy():
    """Beside a copy loop under MPS it says how busy the GPU is and refuses."""
    report, _, process = beside(COPY_LOOP, "busy")
    return refused("busy", report, process, "too busy")


def full():
    """Where another program holds most of the memory it refuses."""
    mps(False)
    ENV.pop("CUDA_MPS_PIPE_DIRECTORY", None)
    report, _, process = beside(HOLD, "full")
    return refused("full", report, process, "address bits")


def main():
    gpu = subprocess.run(
        ["nvidia-smi", "--query-gpu=name,uuid,driver_version", "--format=csv,noheader"], capture_output=True, text=True
    )
    print(gpu.stdout.strip())
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    for check in (idle, memory, slices, sm_sides, tpcs, again, quick, words, mps_client, busy, full):
        try:
            outcome, text = "passed", check()
        except Failed as error:
            outcome, text = "failed", str(error)
        except (Skipped, FileNotFoundError) as error:
            outcome, text = "skipped", str(error)
        except Exception as error:  # A check that breaks must not hide the others.
            outcome, text = "failed", repr(error)
        counts[outcome] += 1
        rows.append(f"{outcome:8}{check.__doc__}\n        {text}")
        print(rows[-1], flush=True)
    mps(False) if shutil.which("nvidia-cuda-mps-control") else None
    (OUT / "checks.txt").write_text(gpu.stdout + "\n".join(rows) + "\n")
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    sys.exit(1 if counts["failed"] else 0)


main()
