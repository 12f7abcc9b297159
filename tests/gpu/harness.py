"""What the checks on a real GPU share: folders and an arbiter of their own, and programs that they tell and ask.

A `Ground` has an arbiter in private folders, with a probed table. A `Program` runs in a process group of its own and
carries its name in its environment, so that its children are known by it wherever they go. `Watch` reads `missile top`
again and again and keeps what it says of each program's processes.
"""
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
MARK = "MISSILE_GPU_CHECK"


class Failed(Exception):
    """An answer is not what it must be."""


class Skipped(Exception):
    """Something cannot be checked on this machine."""


def processes_marked(mark):
    """The processes that carry this mark in their environment. One that ends in `/` stands for all that begin so."""
    wanted = f"{MARK}={mark}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            for word in environment_of(folder.name):
                if word == wanted or (mark.endswith("/") and word.startswith(wanted)):
                    yield int(folder.name)


def environment_of(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Ground:
    """Private folders, an arbiter in them, and every program that was started on it."""

    def __init__(self, dist, out, sim=None, map_budget=131072, map_tenants=2):
        self.dist, self.out = dist.resolve(), out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.missile = self.dist / "missile"
        if not self.missile.exists():
            raise SystemExit(f"there is no {self.missile}: tests/gpu/dist.sh makes it")
        self.sim = ["--sim", sim] if sim else []
        self.map_budget, self.map_tenants = map_budget, map_tenants
        self.work = Path(tempfile.mkdtemp(prefix="missile-gpu-"))
        # On a tmpfs, as a runtime folder is: the driver pins the region's pages for the GPU.
        self.run = Path(tempfile.mkdtemp(prefix="missile-gpu-", dir="/dev/shm"))
        self.mark = self.work.name
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("MISSILE_")}
        self.env.update(
            XDG_RUNTIME_DIR=str(self.run), XDG_DATA_HOME=str(self.work / "data"), SIMGPU_STATE=str(self.work / "sim")
        )
        self.lock = threading.Lock()
        self.closed = False
        self.arbiter = None
        self.build_locks = {variant: threading.Lock() for variant in BUILDS}
        self.built = {}

    def __enter__(self):
        def stop(number, _frame):
            raise SystemExit(128 + number)

        signal.signal(signal.SIGTERM, stop)
        return self

    def __exit__(self, *_):
        self.stop()
        self.down()
        for folder in (self.work, self.run):
            shutil.rmtree(folder, ignore_errors=True)

    def stop(self):
        """Ends all programs, and starts none any more."""
        with self.lock:
            self.closed = True
        # Twice: a program may have started another one meanwhile.
        for _ in range(2):
            for pid in processes_marked(f"{self.mark}/"):
                kill(pid)

    def call(self, *arguments, seconds=120):
        """A `missile` command's output."""
        command = [str(self.missile), *map(str, arguments)]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=seconds)
        if done.returncode:
            raise Failed(f"missile {' '.join(command[1:])} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
        return done.stdout

    def up(self):
        """Probes a table and starts the arbiter. Returns what the probe found."""
        found = json.loads(self.call("probe", "--json", *self.sim))
        (self.out / "probe.json").write_text(json.dumps(found))
        self.call("up", "--map-budget", self.map_budget, "--map-tenants", self.map_tenants)
        self.arbiter = self.top()["arbiter"]["pid"]
        return found

    def down(self):
        ended = subprocess.run([self.missile, "down"], env=self.env, capture_output=True, timeout=30)
        if ended.returncode and self.arbiter:
            kill(self.arbiter)
        self.arbiter = None

    def top(self):
        return json.loads(self.call("top", "--once", "--json", seconds=20))

    def governed(self, command, kind="be", flags=()):
        """The command as a tenant's."""
        return [self.missile, "run", "--class", kind, *self.sim, *flags, "--", *command]

    def bare(self, command):
        """The command without Missile. A simulated GPU is reached through a library that passes everything on."""
        return ["env", "MISSILE_DISABLE=1", self.missile, "run", *self.sim, "--", *command] if self.sim else list(command)

    def start(self, name, command, env=None):
        return Program(self, name, command, env or {})


class Program:
    """A running program: what it printed, and words for it. Ended with all its children by `end`."""

    def __init__(self, ground, name, command, env):
        self.ground, self.name, self.mark = ground, name, f"{ground.mark}/{name}"
        self.output, self.errors = ground.out / f"{name}.out", ground.out / f"{name}.err"
        words = [str(word) for word in command]
        self.lines = queue.Queue()
        self.begun = time.monotonic()
        with ground.lock:
            if ground.closed:
                raise Failed("the checks have ended")
            with open(self.errors, "w") as errors:
                errors.write("$ " + " ".join([f"{key}={value}" for key, value in env.items()] + words) + "\n")
                errors.flush()
                self.process = subprocess.Popen(
                    words, env={**ground.env, **env, MARK: self.mark}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=errors, text=True, errors="replace", start_new_session=True,
                )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        with open(self.output, "w") as output:
            for line in self.process.stdout:
                output.write(line)
                output.flush()
                self.lines.put(line)
        self.lines.put(None)

    @property
    def pid(self):
        return self.process.pid

    def said(self):
        """The end of what it said on both outputs."""
        return (self.errors.read_text(errors="replace") + self.output.read_text(errors="replace"))[-600:].strip()

    def answer(self, seconds):
        """The next line of JSON that it prints."""
        limit = time.monotonic() + seconds
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, limit - time.monotonic()))
            except queue.Empty:
                raise Failed(f"{self.name} gave no answer within {seconds:.0f} s: {self.said()}") from None
            if line is None:
                try:
                    code = self.process.wait(5)
                except subprocess.TimeoutExpired:
                    code = "no code yet"
                raise Failed(f"{self.name} ended without an answer ({code}): {self.said()}")
            if line.startswith("{"):
                return json.loads(line)

    def tell(self, text):
        try:
            self.process.stdin.write(f"{text}\n")
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # its end is noticed where it is waited for

    def finish(self, seconds):
        """Lets it go and waits. Its exit code."""
        self.tell("")
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        return self.wait(seconds)

    def wait(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {seconds:.0f} s: {self.said()}") from None

    def end(self):
        """Ends it and every process that it left."""
        for pid in processes_marked(self.mark):
            kill(pid)
        if self.process.poll() is None:
            kill(self.pid)
        self.process.wait()
        self.reader.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Watch(threading.Thread):
    """Keeps the last row that `missile top` had of each tenant, by the program that it belongs to."""

    def __init__(self, ground, period=0.5):
        super().__init__(daemon=True)
        self.ground, self.period = ground, period
        self.owners, self.rows = {}, {}
        self.stopped = threading.Event()
        self.look_lock = threading.Lock()

    def run(self):
        while not self.stopped.wait(self.period):
            try:
                self.look()
            except (Failed, OSError, ValueError, subprocess.TimeoutExpired):
                pass  # who needs an answer asks `look` and is told

    def look(self):
        """Reads `missile top` now."""
        with self.look_lock:
            for row in self.ground.top()["tenants"]:
                name = self.owner(row["pid"])
                if name:
                    self.rows.setdefault(name, {})[row["pid"]] = row

    def owner(self, pid):
        """The name of the program that a process belongs to. A process may be gone before its row is."""
        start = f"{MARK}={self.ground.mark}/".encode()
        for word in environment_of(pid):
            if word.startswith(start):
                self.owners[pid] = word[len(start):].decode()
        return self.owners.get(pid)

    def of(self, name):
        """The rows of a program's processes."""
        with self.look_lock:
            return list(self.rows.get(name, {}).values())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()


class Mps:
    """NVIDIA's MPS in folders of its own, for the programs that the ground starts meanwhile. Its log is kept."""

    def __init__(self, ground):
        self.ground, self.mark = ground, f"{ground.mark}/mps"
        self.control = shutil.which("nvidia-cuda-mps-control")

    def __enter__(self):
        if self.ground.sim:
            self.ground.env["SIMGPU_MPS"] = "1"
            return self
        if not self.control:
            raise Skipped("there is no MPS")
        folders = {"PIPE": self.ground.work / "mps", "LOG": self.ground.out / "mps-log"}
        for name, folder in folders.items():
            folder.mkdir(exist_ok=True)
            self.ground.env[f"CUDA_MPS_{name}_DIRECTORY"] = str(folder)
        # What it starts keeps its outputs, so they must be nobody's who waits for their end.
        nobody = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([self.control, "-d"], env={**self.ground.env, MARK: self.mark}, check=True, timeout=30, **nobody)
        return self

    def __exit__(self, *_):
        if self.ground.sim:
            return
        try:
            subprocess.run([self.control], input=b"quit\n", env=self.ground.env, timeout=20, capture_output=True)
        except subprocess.TimeoutExpired:
            pass
        for pid in processes_marked(self.mark):
            kill(pid)
        for name in ("PIPE", "LOG"):
            self.ground.env.pop(f"CUDA_MPS_{name}_DIRECTORY", None)


def python(program, *arguments):
    """The command of one of the programs in Python."""
    return [sys.executable, PROGRAMS / program, *arguments]


def nvcc():
    """CUDA's compiler, if there is one."""
    places = [shutil.which("nvcc"), *(str(path / "bin" / "nvcc") for path in sorted(Path("/usr/local").glob("cuda*")))]
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(name):
            places.append(f"{os.environ[name]}/bin/nvcc")
    for place in places:
        if place and os.access(place, os.X_OK):
            return Path(place)
    raise Skipped("there is no nvcc")


BUILDS = {
    "static": ["-cudart", "static"],
    "shared": ["-cudart", "shared"],
    "per_thread": ["-cudart", "static", "--default-stream", "per-thread"],
    "pte_cost": ["-cudart", "static"],
}
# What is not made of runtime.cu.
SOURCES = {"pte_cost": "pte_cost.cu"}


def build(ground, variant):
    """Compiles a program of `BUILDS`, once for each variant. The program's path."""
    with ground.build_locks[variant]:
        if variant not in ground.built:
            try:
                ground.built[variant] = compiled(ground, variant)
            except (Failed, Skipped) as reason:
                ground.built[variant] = reason
    if isinstance(ground.built[variant], Exception):
        raise ground.built[variant]
    return ground.built[variant]


def compiled(ground, variant):
    compiler = nvcc()
    home = Path(os.path.realpath(compiler)).parent.parent
    flags = list(BUILDS[variant])
    folders = [home / part for part in ("lib64", "lib", "targets/x86_64-linux/lib") if (home / part).is_dir()]
    for folder in folders:
        flags += ["-L", folder]
    if variant == "shared":
        libraries = [path for folder in folders for path in sorted(folder.glob("libcudart.so*"))]
        if not libraries:
            raise Skipped("there is no libcudart.so beside nvcc")
        if not any(path.name == "libcudart.so" for path in libraries):
            # Installed without the link that `-cudart shared` asks for.
            flags = ["-cudart", "none", "-Xlinker", libraries[0], *flags[len(BUILDS[variant]):]]
        flags += ["-Xlinker", "-rpath", "-Xlinker", libraries[0].parent]
    result = ground.work / f"nvcc_{variant}"
    command = [compiler, "-O2", "-std=c++17", "-arch=sm_90", "-Wno-deprecated-declarations", *flags]
    source = PROGRAMS / SOURCES.get(variant, "runtime.cu")
    command = list(map(str, [*command, "-o", result, source, "-lpthread", "-ldl"]))
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    said = done.stdout + done.stderr
    (ground.out / f"build-{variant}.log").write_text("$ " + " ".join(command) + "\n" + said)
    if done.returncode:
        raise Failed(f"nvcc ended with {done.returncode}: {said[-400:]}")
    return result


def table(rows, headings):
    """Rows of text under headings, in columns; the last column may be long."""
    cells = [list(map(str, row)) for row in [headings, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)


def verdict(outcomes):
    """The last line, and the exit code."""
    outcomes = list(outcomes)
    count = {kind: sum(1 for outcome in outcomes if outcome == kind) for kind in ("ok", "FAILED", "skipped")}
    print(f"\n{count['ok']} passed, {count['FAILED']} failed, {count['skipped']} skipped")
    return int(count["FAILED"] > 0)
