"""How tenants share the copy engines of a real GPU, governed and not: `python3 tests/gpu/copies.py DIST [--out FOLDER]`.

DIST is the folder that `tests/gpu/dist.sh` makes. Every figure is a median over `--rounds` windows of `--seconds`; setups
take turns, window by window. Parts (`--only NAME,NAME`):

    sensitive      256 KiB of a latency-sensitive tenant every 500 us, each direction, alone and beside one to three bulk
                   copiers (64, 4, 64 MiB), governed and not; sensitive-mps the same under MPS
    shares         bulk copiers by weight, without a latency-sensitive tenant
    pytorch        a BERT server with pinned inputs beside jobs that copy; needs PyTorch and transformers
    alone          one best-effort tenant, governed and not
    cpu            the arbiter's time on the processor, with three tenants that copy
    flags          streams that wait for flags of the host, under MPS: they end governed where they end ungoverned

The link is what one bulk copier of 64 MiB gets alone and ungoverned in the same run. `BE part` is what the bulk copiers
get together, as a part of the link less what the latency-sensitive tenant copied. `--json` keeps every window. With
`--limit` the measurement ends in so many seconds, with what was measured until then. The exit code is 1 where something
failed or was left out.
"""
import argparse
import json
import subprocess
from pathlib import Path

import copies_parts as parts
import harness
from harness import Failed, Skipped
from setups import Clock, OutOfTime

PARTS = {
    "sensitive": lambda run: parts.sensitive(run, ("stock", "governed")),
    "sensitive-mps": lambda run: parts.sensitive(run, ("mps", "governed-mps")),
    "shares": parts.shares,
    "alone": parts.alone,
    "cpu": parts.cpu,
    "flags": parts.flags,
    "pytorch": parts.pytorch,
}


class Run:
    """What the parts share: the options, the time, and what was found."""

    def __init__(self, options):
        self.options, self.clock = options, Clock(options.limit)
        self.windows, self.tables, self.problems = [], [], []

    def keep(self, **window):
        """Keeps a window for the JSON."""
        self.windows.append(window)

    def table(self, title, rows, headings):
        """Prints a table, and once more at the end."""
        text = f"{title}\n{harness.table(rows, headings)}"
        self.tables.append(text)
        print(f"\n{text}", flush=True)

    def perform(self, name):
        """One part. False where the time is used up."""
        print(f"# {name} at {self.clock.passed():.0f} s", flush=True)
        try:
            PARTS[name](self)
        except OutOfTime as reason:
            self.problems.append(f"{name}: out of time: {reason}")
            return False
        except Skipped as reason:
            print(f"# {name}: skipped: {reason}", flush=True)
        except (Failed, OSError, subprocess.SubprocessError) as reason:
            self.problems.append(f"{name}: {type(reason).__name__}: {reason}")
            print(f"# {self.problems[-1]}", flush=True)
        return True


def parsed(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dist", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--out", type=Path, default=Path("copies"))
    parser.add_argument("--sim", help="a simulated GPU, to try this out")
    parser.add_argument("--only", default=",".join(PARTS), metavar="NAME,NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--limit", type=float, default=float("inf"), metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(words)
    if unknown := set(options.only.split(",")) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    return options


def main():
    run = Run(parsed())
    wanted = run.options.only.split(",")
    try:
        for name in PARTS:
            if name in wanted and not run.perform(name):
                break
    finally:
        if run.options.json:
            options = {key: str(value) for key, value in vars(run.options).items()}
            found = {"options": options, "windows": run.windows, "tables": run.tables, "problems": run.problems}
            run.options.json.write_text(json.dumps(found))
    print(f"\n# {run.clock.passed():.0f} s\n")
    print("\n\n".join(run.tables + [f"problem: {problem}" for problem in run.problems]))
    return int(bool(run.problems))


if __name__ == "__main__":
    raise SystemExit(main())
