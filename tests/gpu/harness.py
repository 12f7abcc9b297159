"""What the checks on a real GPU share: folders and an arbiter of their own, and programs that they tell and ask.

A `Ground` has an arbiter in private folders, with a probed table. A `Program` runs in a process group of its own and
carries its name in its environment, so that its children are known by it wherever they go. `Watch` reads `missile top`
again and again and keeps what it says of each program's processes.
"""
import collections
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
        # The arbiter's process, and what is in its environment besides `env`.
        self.arbiter, self.arbiter_env = None, {}
        # For builds.py: a lock for each program, and what came of it.
        self.build_locks, self.built = collections.defaultdict(threading.Lock), {}

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

    def call(self, *arguments, seconds=120, env=None):
        """A `missile` command's output."""
        command = [str(self.missile), *map(str, arguments)]
        env = {**self.env, **(env or {})}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=seconds)
        if done.returncode:
            raise Failed(f"missile {' '.join(command[1:])} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
        return done.stdout

    def up(self, probe=True, flags=(), env=None):
        """Probes a table unless told not to, and starts the arbiter. Returns what the probe found."""
        found = None
        if probe:
            found = json.loads(self.call("probe", "--json", *self.sim))
            (self.out / "probe.json").write_text(json.dumps(found))
        self.arbiter_env = {**(env or {}), MARK: f"{self.mark}-arbiter"}
        budget = ("--map-budget", self.map_budget, "--map-tenants", self.map_tenants)
        self.call("up", *budget, *flags, env=self.arbiter_env)
        self.arbiter = self.top()["arbiter"]["pid"]
        return found

    def down(self):
        """Ends the arbiter, and what it started and left."""
        try:
            env = {**self.env, **self.arbiter_env}
            subprocess.run([self.missile, "down"], env=env, capture_output=True, timeout=30)
        except subprocess.TimeoutExpired:
            pass
        for pid in processes_marked(f"{self.mark}-arbiter"):
            kill(pid)
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
        # Whether it has to be a tenant of the arbiter; told by who starts it.
        self.governed = False
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
    """NVIDIA's MPS in folders of its own. Its log is kept.

    Every program that the ground starts meanwhile is its client; with `everywhere=False` only those that are started with
    its `env`.
    """

    def __init__(self, ground, everywhere=True):
        self.ground, self.everywhere, self.mark = ground, everywhere, f"{ground.mark}/mps"
        self.control = shutil.which("nvidia-cuda-mps-control")
        self.env = mps_env(ground, "mps")

    def __enter__(self):
        if not self.ground.sim:
            if not self.control:
                raise Skipped("there is no MPS")
            # What it starts keeps its outputs, so they must be nobody's who waits for their end.
            nobody = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            env = {**self.ground.env, **self.env, MARK: self.mark}
            subprocess.run([self.control, "-d"], env=env, check=True, timeout=30, **nobody)
        if self.everywhere:
            self.ground.env.update(self.env)
        return self

    def __exit__(self, *_):
        if not self.ground.sim:
            env = {**self.ground.env, **self.env}
            try:
                subprocess.run([self.control], input=b"quit\n", env=env, timeout=20, capture_output=True)
            except subprocess.TimeoutExpired:
                pass
            for pid in processes_marked(self.mark):
                kill(pid)
        if self.everywhere:
            for name in self.env:
                self.ground.env.pop(name, None)


def mps_env(ground, name):
    """Variables for an MPS daemon and its clients, in new folders of that name."""
    if ground.sim:
        return {"SIMGPU_MPS": "1"}
    folders = {"PIPE": ground.work / name, "LOG": ground.out / f"{name}-log"}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    return {f"CUDA_MPS_{which}_DIRECTORY": str(folder) for which, folder in folders.items()}


def python(program, *arguments):
    """The command of one of the programs in Python."""
    return [sys.executable, PROGRAMS / program, *arguments]


def script(name, *arguments):
    """The command of a tenant in Python that has its place beside this file."""
    return [sys.executable, HERE / name, *arguments]


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
