"""Programs of deadlocks.py: those of `tests/paths`, `tests/manners` and `tests/copies`, and how each is compiled and run.

They are the programs of `tests/harness/ways.rs` and of `tests/copies.rs`, with the same flags and arguments. Left out are
those that need a driver of their own or use none.
"""
import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness import HERE, Failed

# Stand for the driver's path, and for a file beside the program.
DRIVER, BESIDE = "DRIVER", "HERE/"
# Where the sources lie: beside these scripts in a dist folder, and one folder up in the repository.
SOURCES = [HERE, HERE.parent]


@dataclass(frozen=True)
class Case:
    """One program with its arguments."""

    name: str
    program: str
    arguments: tuple = ()
    # How many kernels and graphs it launches, each of which may be held once.
    launches: int = 1
    # A library that is preloaded before Missile's.
    preload: str = None
    flags: tuple = ()
    # Seconds by which it may be later for other reasons than held launches.
    slower: float = 0.0


# {file: (source, flags)}; a library where the name ends in .so.
PROGRAMS = {
    "linked": ("paths/linked.c", ["-Wl,-z,lazy", DRIVER]),
    "linked_now": ("paths/linked.c", ["-Wl,-z,now", DRIVER]),
    "relocated": ("paths/relocated.c", [DRIVER]),
    "opened": ("paths/opened.c", []),
    "default_scope": ("paths/default_scope.c", []),
    "whole_program": ("paths/whole_program.c", ["-Wl,--no-as-needed", DRIVER]),
    "libwrapper.so": ("paths/wrapper.c", []),
    "next": ("paths/next.c", ["-Wl,--no-as-needed", "HERE/libwrapper.so"]),
    "versions": ("paths/versions.c", []),
    "bound_old": ("paths/bound_to.c", ['-DDLSYM="dlsym@GLIBC_2.2.5"']),
    "bound_new": ("paths/bound_to.c", ['-DDLSYM="dlsym@GLIBC_2.34"']),
    "plugin.so": ("paths/plugin.c", [DRIVER]),
    "opening_plugin.so": ("paths/opening_plugin.c", []),
    "host": ("paths/host.c", []),
    "asked": ("paths/asked.c", []),
    "namespace": ("paths/namespace.c", []),
    "libstub.so": ("paths/stub.c", []),
    "stubbed": ("paths/stubbed.c", []),
    "own_stub": ("paths/own_stub.c", ["-rdynamic"]),
    "absent": ("paths/absent.c", []),
    "not_loaded": ("paths/not_loaded.c", []),
    "executing": ("paths/executing.c", []),
    "escaped": ("paths/escaped.c", []),
    "habits": ("manners/habits.c", []),
    "errors": ("manners/errors.c", []),
    "fork": ("manners/fork.c", []),
    "children": ("manners/children.c", []),
    "threads": ("manners/threads.c", []),
    "reopening": ("manners/reopening.c", []),
    "alarms": ("manners/alarms.c", []),
    "beside": ("manners/beside.c", []),
    "ioctls.so": ("manners/ioctls.c", []),
    "mallocs.so": ("manners/mallocs.c", []),
    "tracer.so": ("manners/tracer.c", []),
    "kinds": ("copies/kinds.c", []),
    "held": ("copies/held.c", []),
    "flags": ("programs/flags.c", []),
}

# The copies first: what waits most can hang most.
MEANWHILE = (
    "stream", "event", "context", "query", "fetch", "free", "free_host", "unregister", "unload", "cooperative", "two",
    "late", "await",
)
CASES = [
    *(Case(f"held-{meanwhile}", "held", (meanwhile,)) for meanwhile in MEANWHILE),
    Case("held-again", "held", ("stream", "again")),
    # Large copies go in slices, by turns.
    Case("kinds", "kinds", ("2",), slower=5.0),
    Case("flags-2", "flags", ("2",)),
    Case("flags-3", "flags", ("3",)),
    Case("threads", "threads", launches=8),
    Case("fork", "fork", launches=2),
    Case("children", "children", launches=5),
    Case("alarms", "alarms", launches=20),
    Case("reopening", "reopening"),
    Case("errors", "errors"),
    Case("habits", "habits"),
    Case("habits-cuda", "habits", ("cuda",)),
    *(Case(f"beside-{name}", "beside", preload=f"{name}.so") for name in ("ioctls", "mallocs", "tracer")),
    *(Case(name, name) for name in (
        "linked", "linked_now", "relocated", "opened", "default_scope", "whole_program", "next", "versions", "bound_old",
        "bound_new", "namespace", "stubbed", "own_stub", "absent", "not_loaded", "escaped",
    )),
    Case("executing", "executing", ("HERE/linked",)),
    Case("opened-per-thread", "opened", ("per thread",)),
    Case("absent-next", "absent", ("next",)),
    *(Case("asked-" + "-".join(words), "asked", words) for words in (
        ("1",), ("1", "thread"), ("1", "nested"), ("2",), ("2", "thread"), ("2", "nested", "thread"),
    )),
    Case("plugged", "host", ("plugin.so", "unused")),
    *(
        Case(name + how, "host", words, flags=flags)
        for how, flags in (("", ()), ("-deepbind", ("--deepbind",)))
        for name, words in (
            ("deep-linked", ("plugin.so", "unused", "deep", "first")),
            ("deep-opening", ("opening_plugin.so", "libcuda.so.1", "deep", "first")),
            ("deep-by-path", ("opening_plugin.so", DRIVER, "deep", "first")),
            ("deep-from-the-start", ("plugin.so", "unused", "deep")),
        )
    ),
]


def driver(ground):
    """The path of the driver's library."""
    if ground.sim:
        return str(ground.dist / "lib/sim/libcuda.so.1")
    ctypes.CDLL("libcuda.so.1")
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "/libcuda.so" in line:
            return line.split(maxsplit=5)[5]
    raise Failed("the driver is loaded and has no file")


def filled_in(word, folder, library):
    if word == DRIVER:
        return library
    return str(folder / word[len(BESIDE):]) if word.startswith(BESIDE) else word


def source_of(name):
    for folder in SOURCES:
        if (folder / name).exists():
            return folder / name
    raise Failed(f"there is no {name} beside {HERE}")


def compile_all(folder, library, compiler):
    """Makes every program of `PROGRAMS` in a folder. {file: why it could not be made}."""
    failed = {}
    folder.mkdir(exist_ok=True)
    for file, (source, flags) in PROGRAMS.items():
        shared = ["-shared", "-fPIC"] if file.endswith(".so") else []
        words = [filled_in(flag, folder, library) for flag in flags]
        try:
            compile_one(folder / file, source_of(source), compiler, [*shared, *words])
        except Failed as reason:
            failed[file] = str(reason)
    return failed


def compile_one(made, source, compiler, flags=()):
    """Compiles a C file. The flags come after it, as those for the linker have to."""
    command = [compiler, "-O1", "-w", "-pthread", "-o", made, source, "-Wl,-rpath,$ORIGIN", *flags, "-ldl"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Failed(done.stderr.strip()[-300:])
