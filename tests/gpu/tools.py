"""Debuggers and profilers, bare and with Missile: `python3 tests/gpu/tools.py DIST [--only TOOL,TOOL] [--out FOLDER]`.

DIST is the folder that `tests/gpu/dist.sh` makes. Each check runs a tool on a program bare, then with the tool outside
(`missile run -- TOOL PROGRAM`) and, where that makes sense, inside (`TOOL missile run -- PROGRAM`). The exit code and
what the tool reports must be the same, and the program must have been a tenant that launched. A tool that is missing or
fails bare is skipped.
"""
import argparse
import csv
import json
import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

import builds
import harness
from harness import Failed, Ground, Skipped, Watch, python

# How long a program stays after its work, to be seen in `missile top`.
LINGER = ("--linger", "1.5")


@dataclass(frozen=True)
class Check:
    name: str
    # The program's command, made on the machine.
    program: Callable
    # The tool's words before the program's, made for one run of that name.
    tool: Callable
    # What the tool reported, from its output; None where it did not do its work.
    report: Callable
    # None where any exit code will do that is the same with Missile.
    code: Optional[int] = 0
    inside: bool = True
    seconds: float = 120
    # False for a tool that puts itself in the driver's place: the program is then no tenant, as `missile top` shows.
    governed: bool = True


def runtime(*extra):
    return lambda ground: [builds.build(ground, "static"), *extra, *LINGER]


def torch(*extra):
    return lambda ground: python("matmul.py", *extra, *LINGER)


def result_of(text):
    """What the program itself answered."""
    answers = [json.loads(line) for line in text.splitlines() if line.startswith('{"digest"')]
    if not answers:
        return None
    return {key: value for key, value in answers[-1].items() if key != "pid"}


def found(name, *patterns):
    """A tool on the PATH or where CUDA's installers put it."""
    places = [shutil.which(name)]
    for pattern in (f"cuda*/bin/{name}", *patterns):
        for root in ("/usr/local", "/opt/nvidia"):
            places += sorted(map(str, Path(root).glob(pattern)), reverse=True)
    for place in places:
        if place and os.access(place, os.X_OK):
            return place
    raise Skipped(f"there is no {name}")


# compute-sanitizer

def memcheck(ground, name):
    tool = found("compute-sanitizer", "cuda*/compute-sanitizer/compute-sanitizer")
    return [tool, "--tool", "memcheck", "--target-processes", "all", "--error-exitcode", "9"]


def errors_in(text):
    summaries = re.findall(r"ERROR SUMMARY: (\d+) error", text)
    return int(summaries[-1]) if summaries else None


def summed_up(text):
    errors, result = errors_in(text), result_of(text)
    return {"errors": errors, "result": result} if errors is not None and result else None


def clean(text):
    return summed_up(text) if errors_in(text) == 0 else None


def with_fault(text):
    writes = len(re.findall(r"Invalid __global__ write of size 4", text))
    return {"errors": errors_in(text), "invalid writes": writes} if errors_in(text) and writes else None


# cuda-gdb

GDB = ("--batch", "-nx", "-ex", "set pagination off", "-ex", "set debuginfod enabled off")


def gdb_run(ground, name):
    return [found("cuda-gdb"), *GDB, "-ex", "run", "--args"]


def gdb_stop(ground, name):
    stop = ("-ex", "set cuda break_on_launch application", "-ex", "run", "-ex", "info cuda kernels")
    go_on = ("-ex", "set cuda break_on_launch none", "-ex", "continue")
    return [found("cuda-gdb"), *GDB, *stop, *go_on, "--args"]


def ran(text):
    return {"result": result_of(text)} if "exited normally" in text and result_of(text) else None


def stopped_and_ran(text):
    if not re.search(r"Switching focus to CUDA kernel|kernel entry function breakpoint", text) or not ran(text):
        return None
    return {**ran(text), "kernel": "mix" in text}


# Nsight Compute and Nsight Systems

def ncu(ground, name):
    tool = found("ncu", "nsight-compute/*/ncu", "cuda*/nsight-compute*/ncu")
    # The clocks stay as they are.
    flags = ["--target-processes", "all", "--clock-control", "none", "--metrics", "sm__cycles_elapsed.max"]
    return [tool, *flags, "--launch-count", "5", "--csv", "--page", "raw"]


def kernels_counted(text):
    """The kernels that have a value, from ncu's lines of CSV."""
    lines = [line for line in text.splitlines() if line.startswith('"')]
    rows = [row for row in csv.DictReader(lines) if (row.get("ID") or "").isdigit()]
    values = [row.get("sm__cycles_elapsed.max") or row.get("Metric Value") for row in rows]
    if not rows or not all(re.fullmatch(r"[\d.,]+", value or "") for value in values) or not result_of(text):
        return None
    return {"kernels": [row["Kernel Name"] for row in rows], "result": result_of(text)}


def nsys(ground, name):
    tool = found("nsys", "nsight-systems/*/bin/nsys", "nsight-compute/*/host/target-linux-x64/nsys")
    report = ground.out / f"{name}.nsys"
    return [tool, "profile", "--trace", "cuda", "--sample", "none", "--force-overwrite", "true", "--output", str(report)]


def kernels_traced(text):
    """The kernels in the report that nsys says it wrote."""
    reports = re.findall(r"(/\S+\.nsys-rep)", text)
    if not reports or not Path(reports[-1]).exists() or not result_of(text):
        return None
    tool = found("nsys", "nsight-systems/*/bin/nsys", "nsight-compute/*/host/target-linux-x64/nsys")
    command = [tool, "stats", "--force-export", "true", "--report", "cuda_gpu_kern_sum", "--format", "csv", reports[-1]]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    lines = listed.splitlines()
    heads = [i for i, line in enumerate(lines) if line.startswith("Time (%)")]
    if not heads:
        return None
    rows = list(csv.DictReader(lines[heads[0]:]))
    kernels = sorted((row["Name"], row["Instances"]) for row in rows if row.get("Name"))
    return {"kernels": kernels, "result": result_of(text)} if kernels else None


# PyTorch's profiler, which uses CUPTI

def nothing(ground, name):
    return []


def kernels_profiled(text):
    result = result_of(text)
    return result if result and result["kernels"] else None


TOOLS = {
    "compute-sanitizer": [
        Check("memcheck nvcc", runtime(), memcheck, clean),
        Check("memcheck fault", runtime("--fault"), memcheck, with_fault, code=9),
        # PyTorch makes calls that the driver refuses, which count as errors.
        Check("memcheck torch", torch(), memcheck, summed_up, code=None, inside=False, seconds=180),
    ],
    "ncu": [
        Check("ncu nvcc", runtime(), ncu, kernels_counted, governed=False),
        Check("ncu torch", torch(), ncu, kernels_counted, inside=False, governed=False),
    ],
    "nsys": [
        Check("nsys nvcc", runtime(), nsys, kernels_traced),
        Check("nsys torch", torch(), nsys, kernels_traced, inside=False),
    ],
    "torch.profiler": [Check("torch.profiler", torch("--profile"), nothing, kernels_profiled, inside=False)],
    "cuda-gdb": [
        Check("cuda-gdb nvcc", runtime(), gdb_run, ran),
        Check("cuda-gdb kernel", runtime(), gdb_stop, stopped_and_ran),
        Check("cuda-gdb torch", torch(), gdb_run, ran, inside=False, seconds=180),
    ],
}
# A debugger stops the GPU under others.
ALONE = "cuda-gdb"


def words(ground, check, how, name):
    program, tool = check.program(ground), check.tool(ground, name)
    if how == "bare":
        return ground.bare([*tool, *program])
    return ground.governed([*tool, *program]) if how == "outside" else [*tool, *ground.governed(program)]


def observe(ground, watch, check, how):
    """Runs a check one way: its exit code and the tool's report."""
    name = f"{check.name.replace(' ', '-')}-{how}"
    with ground.start(name, words(ground, check, how, name), {"DEBUGINFOD_URLS": ""}) as program:
        program.tell("")
        code = program.wait(check.seconds)
        program.reader.join(10)
        text = program.output.read_text(errors="replace") + program.errors.read_text(errors="replace")
    report = check.report(text)
    if report is None or check.code not in (None, code):
        raise Failed(f"exit code {code}, report {report}: {program.said()[-300:]}")
    if how != "bare" and check.governed and not any(row["launches"] + row["graph_launches"] for row in watch.of(name)):
        raise Failed("the tool worked, but the program was seen as no tenant that launches")
    return {**report, "exit code": code}


def perform(ground, watch, check, deadline):
    """One check: its outcome, and a word for each way to run it."""
    begun = time.monotonic()
    ways = {"bare": "-", "outside": "-", "inside": "-"}
    try:
        if time.monotonic() > deadline:
            raise Failed("not run: the time for all tools is used up")
        try:
            bare = observe(ground, watch, check, "bare")
        except Failed as reason:
            raise Skipped(f"fails without Missile too: {reason}") from None
        ways["bare"] = "ok"
        problems = []
        for how in ("outside", "inside") if check.inside else ("outside",):
            try:
                report = observe(ground, watch, check, how)
                ways[how] = "same" if report == bare else "DIFFERS"
                if report != bare:
                    problems.append(f"{how}: {report} instead of {bare}")
            except Failed as reason:
                ways[how] = "FAILED"
                problems.append(f"{how}: {reason}")
        outcome, said = ("FAILED", "; ".join(problems)) if problems else ("ok", brief(bare))
    except Skipped as reason:
        outcome, said = "skipped", str(reason)
    except Exception as reason:  # a broken check is a failed one
        outcome, said = "FAILED", f"{type(reason).__name__}: {reason}"
    said = said.replace("\n", " ")
    print(f"{check.name}: {outcome} ({time.monotonic() - begun:.0f} s): {said[:400]}", flush=True)
    return outcome, [check.name, *ways.values(), f"{outcome}: {said[:300]}"]


def brief(report):
    """What a tool reported, for the table."""
    parts = []
    for key, value in report.items():
        if key not in ("result", "digest", "exit code"):
            parts.append(f"{len(value)} {key}" if isinstance(value, list) else f"{key} {value}")
    return ", ".join(parts) or "ran"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dist", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--out", type=Path, default=Path("gpu-tools"))
    parser.add_argument("--only", help="these tools, with commas between")
    parser.add_argument("--jobs", type=int, default=2, help="how many tools run at a time")
    parser.add_argument("--limit", type=float, default=420, help="seconds after which no further check is started")
    parser.add_argument("--map-budget", type=int, default=131072)
    parser.add_argument("--list", action="store_true", help="name the checks and stop")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else list(TOOLS)
    if unknown := set(wanted) - set(TOOLS):
        parser.error(f"no such tool: {', '.join(sorted(unknown))}; there are: {', '.join(TOOLS)}")
    return options, [tool for tool in TOOLS if tool in wanted]


def main():
    options, tools = arguments()
    if options.list:
        print("\n".join(f"{tool}: {check.name}" for tool in tools for check in TOOLS[tool]))
        return 0
    deadline = time.monotonic() + options.limit
    rows = []
    with Ground(options.dist, options.out, map_budget=options.map_budget) as ground:
        detected = ground.up()
        print(f"{detected['gpu']['name']}, {detected['colors']} colours", flush=True)

        def all_of(tool):
            return [perform(ground, watch, check, deadline) for check in TOOLS[tool]]

        with Watch(ground, period=0.2) as watch, ThreadPoolExecutor(options.jobs) as pool:
            try:
                others = [pool.submit(all_of, tool) for tool in tools if tool != ALONE]
                for future in others:
                    rows += future.result()
                if ALONE in tools:
                    rows += all_of(ALONE)
            except BaseException:
                # The pool waits for what it runs, so that has to end.
                pool.shutdown(wait=False, cancel_futures=True)
                ground.stop()
                raise
    text = harness.table([row for _, row in rows], ["check", "bare", "outside", "inside", "verdict"])
    (options.out / "table.txt").write_text(text + "\n")
    print("\n" + text)
    return harness.verdict(outcome for outcome, _ in rows)


if __name__ == "__main__":
    raise SystemExit(main())
