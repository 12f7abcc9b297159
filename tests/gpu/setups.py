"""Setups of a measurement: the same programs without Missile and under it, without MPS and with it.

    stock         without Missile, without MPS        mps           without Missile, clients of MPS
    governed      under an arbiter, without MPS       governed-mps  under an arbiter, clients of the MPS that it started

`opened` starts what a group of setups needs and ends it, with every program that was started in it. `Clock` ends a
measurement in time.
"""
import json
import statistics
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from harness import Failed, Ground, Mps, Program, mps_env

# Setups that are measured by turns. Those with MPS come after the others, so that no daemon runs beside them.
GROUPS = (("stock", "governed"), ("mps", "governed-mps"))
SETUPS = tuple(name for group in GROUPS for name in group)


class OutOfTime(Exception):
    """The time for the whole measurement is used up."""


class Clock:
    """Counts the seconds since the start against a limit."""

    def __init__(self, limit):
        self.begun, self.limit = time.monotonic(), limit

    def passed(self):
        return time.monotonic() - self.begun

    def at_most(self, seconds):
        """So many seconds, or what is left if that is less."""
        return min(seconds, max(1.0, self.limit - self.passed()))

    def need(self, seconds):
        """Raises `OutOfTime` unless so many seconds are left."""
        if self.passed() + seconds > self.limit:
            raise OutOfTime(f"{self.passed():.0f} of {self.limit:.0f} s are used")


@dataclass(frozen=True)
class Setup:
    """A way to run programs. They end with the setup."""

    name: str
    governed: bool
    env: dict
    ground: Ground
    programs: ExitStack
    # More for `missile run` by class.
    flags: dict = field(default_factory=dict)

    def varied(self, flag, value):
        """The same with a flag for best-effort tenants, by a name that says so."""
        flags = {**self.flags, "be": (*self.flags.get("be", ()), f"--{flag}", value)}
        return replace(self, name=f"{self.name}+{flag}={value}", flags=flags)

    def limited(self, percent):
        """The same with a part of the SMs for every client of MPS, by a name that says so."""
        env = {**self.env, "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": str(percent)}
        return replace(self, name=f"{self.name}+percent={percent}", env=env)

    def start(self, name, command, kind="be", weight=None, flags=(), env=()):
        """Starts a program; where the setup is governed, as a tenant of that class and weight, with these flags."""
        words = self.ground.bare(command)
        if self.governed:
            more = [*self.flags.get(kind, ()), *flags]
            # Memory stays where the driver puts it unless asked for: only the turns on the GPU are measured.
            color = [] if "--color" in more else ["--color", "off"]
            weighed = ["--weight", str(weight)] if weight else []
            words = self.ground.governed(command, kind, [*color, *weighed, *more])
        program = self.ground.start(f"{name}-{self.name}", words, {**self.env, **dict(env)})
        self.programs.enter_context(program)
        program.governed = self.governed
        return program


@contextmanager
def opened(dist, out, names, sim=None, probe=None):
    """Setups of one group by name. With a folder for `probe` they have the table in it, probed where there is none yet."""
    with ExitStack() as stack:
        ground = stack.enter_context(Ground(dist, out, sim))
        if probe:
            ground.env["XDG_DATA_HOME"] = str(probe.resolve())
            if not any(path.is_file() for path in probe.rglob("*")):
                # Before any MPS is there.
                (ground.out / "probe.json").write_text(ground.call("probe", "--json", *ground.sim, seconds=300))
        # A folder without a daemon: an MPS of the machine's must not take the programs.
        env = {name: {"CUDA_MPS_PIPE_DIRECTORY": str(ground.work / "no-mps")} for name in names}
        if "mps" in names:
            env["mps"] = stack.enter_context(Mps(ground, everywhere=False)).env
        if "governed-mps" in names:
            env["governed-mps"] = mps_env(ground, "governed-mps")
            ground.up(probe=False, flags=() if sim else ("--mps",), env=env["governed-mps"])
        elif "governed" in names:
            ground.up(probe=False, env=env["governed"])
        # Entered last, so that programs end before the daemons do.
        programs = stack.enter_context(ExitStack())
        yield {name: Setup(name, name.startswith("governed"), env[name], ground, programs) for name in names}


class Tenant:
    """A program that is asked in lines of JSON and answers in them."""

    def __init__(self, program: Program):
        self.program = program

    def tell(self, what, **fields):
        self.program.tell(json.dumps({"do": what, **fields}))

    def answer(self, seconds=60):
        answer = self.program.answer(seconds)
        if "error" in answer:
            raise Failed(f"{self.program.name}: {answer['error']}")
        return answer

    def ask(self, what, seconds=60, **fields):
        self.tell(what, **fields)
        return self.answer(seconds)


class Server(Tenant):
    """A latency-sensitive tenant that works in windows."""

    def window(self, seconds, beside=(), **fields):
        """The answer for one window, and of each job beside it what it did meanwhile."""
        self.tell("window", seconds=seconds, **fields)
        # Some requests go before the window begins.
        self.answer(seconds + 60)
        try:
            for job in beside:
                job.ask("mark")
        finally:
            answer = self.answer(3 * seconds + 30)
        return answer, [job.ask("read") for job in beside]


def windows_of(servers, seconds, beside, fields):
    """As `Server.window` of several servers at once, each with its own fields: their answers, and the jobs'."""
    for server, own in zip(servers, fields):
        server.tell("window", seconds=seconds, **own)
    for server in servers:
        server.answer(seconds + 60)
    for job in beside:
        job.ask("mark")
    answers = [server.answer(3 * seconds + 30) for server in servers]
    return answers, [job.ask("read") for job in beside]


class Job(Tenant):
    """A best-effort tenant that repeats a step until it is told to rest. At rest it has no work on the GPU."""

    def go(self, depth):
        self.ask("go", depth=depth)

    def rest(self):
        self.ask("rest")

    def alone(self, depth, seconds):
        """What it does in one window without others."""
        self.go(depth)
        try:
            return together([self], seconds)[0]
        finally:
            self.rest()


def together(jobs, seconds):
    """What running jobs do in one window."""
    for job in jobs:
        job.ask("mark")
    time.sleep(seconds)
    return [job.ask("read") for job in jobs]


def at_once(tenants, what, seconds=180):
    """Asks tenants the same at once."""
    for tenant in tenants:
        tenant.tell(what)
    return [tenant.answer(seconds) for tenant in tenants]


def end(tenants):
    """Lets programs end by themselves, and ends those that do not."""
    limit = time.monotonic() + 10
    for tenant in tenants:
        tenant.tell("end")
    for tenant in tenants:
        try:
            tenant.program.wait(max(0.1, limit - time.monotonic()))
        except Failed:
            pass
        tenant.program.end()


def load(tenants, seconds):
    """Has tenants take their places on the GPU. The arbiter must know those that are to be governed."""
    at_once(tenants, "load", seconds)
    governed = [tenant.program for tenant in tenants if tenant.program.governed]
    if governed:
        known = {row["pid"] for row in governed[0].ground.top()["tenants"]}
        strangers = [program.name for program in governed if program.pid not in known]
        if strangers:
            raise Failed(f"no tenants in `missile top`: {', '.join(strangers)}")


def median(windows, key):
    """The median of a figure over windows, `None` where there are none."""
    return statistics.median(window[key] for window in windows) if windows else None


def ratio(one, other):
    return one / other if one is not None and other else None


def shown(value, digits=2):
    """A figure as text; `-` for one that was not measured."""
    return "-" if value is None else f"{value:.{digits}f}"
