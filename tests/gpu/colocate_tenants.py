"""Tenants of colocate.py and its parts: which there are, how often requests come, and how they are started."""
import argparse

from harness import script
from setups import Job, Server

LOADS = ("bert-graph", "resnet50-graph", "bert-eager")
MORE_LOADS = (
    "resnet50-eager", "resnet50x1-graph", "resnet50x1-eager", "decode-graph", "decode-eager",
)
KINDS = ("copy", "gemm4096", "gemm16384", "decode", "train", "graphs")
# Requests a second, unless `--rate` says otherwise: eager ones take several times as long.
RATES = {"graph": 200.0, "eager": 60.0}
START_SECONDS = 180


def comma_separated(choices):
    def parse(text):
        words = [word for word in text.split(",") if word]
        for word in words:
            if word not in choices:
                raise argparse.ArgumentTypeError(f"{word} is not one of {', '.join(choices)}")
        return words

    return parse


def numbers(kind):
    return lambda text: [kind(word) for word in text.split(",")]


def rates(text):
    """{load, or None for every other one: its rates} from RATE:RATE and LOAD=RATE:RATE, separated by commas."""
    found = {}
    for word in text.split(","):
        name, _, values = word.rpartition("=")
        if name and name not in LOADS + MORE_LOADS:
            raise argparse.ArgumentTypeError(f"{name} is not one of {', '.join(LOADS + MORE_LOADS)}")
        try:
            found[name or None] = [float(value) for value in values.split(":")]
        except ValueError:
            raise argparse.ArgumentTypeError(f"{word} is neither RATE:RATE nor LOAD=RATE:RATE") from None
    return found


def rates_of(name, options):
    """The rates at which a load is measured."""
    asked = options.rate or {}
    return asked.get(name) or asked.get(None) or [RATES[name.split("-")[1]]]


def server_in(setup, loads, name="ls", flags=()):
    return Server(setup.start(name, script("colocate_ls.py", ",".join(loads)), "ls", flags=flags))


def job_in(setup, name, kinds, weight=None):
    return Job(setup.start(f"be-{name}", script("colocate_be.py", kinds), "be", weight))


def start_servers(setups, loads):
    return {name: server_in(setup, loads) for name, setup in setups.items()}


def start_jobs(setups, name, kinds, weight=None):
    """A job in each setup. They import PyTorch now and use the GPU when they are asked to."""
    return {setup: job_in(place, name, kinds, weight) for setup, place in setups.items()}


def imported(tenants, clock):
    for tenant in tenants:
        tenant.answer(clock.at_most(START_SECONDS))


def longest_us(jobs):
    """The longest operation of a step in microseconds, `None` where it is not known: asked of an ungoverned job, if any."""
    name = next((name for name in jobs if not name.startswith("governed")), next(iter(jobs)))
    return jobs[name].ask("kernels")["longest_us"]
