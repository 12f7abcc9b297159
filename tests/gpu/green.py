"""Streams that are confined to the SMs of one side of the L2, by green contexts over the driver's API.

The SMs are split into groups of eight; a group is of the side whose pages its SMs reach sooner. Under MPS an SM's number
is virtual, so latency alone tells, and only while nothing else runs. What is left over by the split can be of both sides
and stays out.
"""
import ctypes
from pathlib import Path

import sides

# cuda.h, CUDA 13.0: CU_DEV_RESOURCE_TYPE_SM, CU_GREEN_CTX_DEFAULT_STREAM, CU_STREAM_NON_BLOCKING.
SM, DEFAULT_STREAM, NON_BLOCKING = 1, 1, 1
GROUP = 8
# Near and far are about 170 cycles apart; less than this says nothing.
LEAST_GAP = 40


class SmResource(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint) for name in ("count", "least_partition", "coscheduled")]


class Kind(ctypes.Union):
    _fields_ = [("sm", SmResource), ("room", ctypes.c_ubyte * 48)]


class Resource(ctypes.Structure):
    """CUdevResource."""

    _fields_ = [("type", ctypes.c_int), ("private", ctypes.c_ubyte * 92), ("kind", Kind)]


assert (ctypes.sizeof(Resource), Resource.kind.offset) == (144, 96)


class Green:
    """A green context over some groups, and a stream in it."""

    def __init__(self, driver, groups):
        self.driver = driver
        self.context, self.stream = ctypes.c_void_p(), ctypes.c_void_p()
        resources, description = (Resource * len(groups))(*groups), ctypes.c_void_p()
        driver.call("cuDevResourceGenerateDesc", ctypes.byref(description), resources, len(groups))
        driver.call("cuGreenCtxCreate", ctypes.byref(self.context), description, 0, DEFAULT_STREAM)
        driver.call("cuGreenCtxStreamCreate", ctypes.byref(self.stream), self.context, NON_BLOCKING, 0)

    def sms(self):
        """How many SMs it has been given."""
        given = Resource()
        self.driver.call("cuGreenCtxGetDevResource", self.context, ctypes.byref(given), SM)
        return given.kind.sm.count

    def close(self):
        # What it measured stands, whether it goes or not.
        self.driver.lib.cuStreamDestroy_v2(self.stream)
        self.driver.lib.cuGreenCtxDestroy(self.context)


class Latency(sides.Latency):
    """The kernel of latency.ptx as part of no context, so that it runs in that of each stream."""

    def __init__(self, driver, ptx):
        self.driver = driver
        library, none = ctypes.c_void_p(), ctypes.c_void_p()
        self.code = Path(ptx).read_bytes() + b"\0"
        driver.call("cuLibraryLoadData", ctypes.byref(library), ctypes.c_char_p(self.code), none, none, 0, none, none, 0)
        self.function = ctypes.c_void_p()
        driver.call("cuLibraryGetKernel", ctypes.byref(self.function), library, b"missile_latency")


def split(driver):
    """The groups of SMs of device 0, and how many SMs there are in all."""
    every, rest, count = Resource(), Resource(), ctypes.c_uint()
    driver.call("cuDeviceGetDevResource", 0, ctypes.byref(every), SM)
    ask = (ctypes.byref(count), ctypes.byref(every), ctypes.byref(rest), 0, GROUP)
    driver.call("cuDevSmResourceSplitByCount", None, *ask)
    groups = (Resource * count.value)()
    driver.call("cuDevSmResourceSplitByCount", groups, *ask)
    return list(groups)[:count.value], every.kind.sm.count


def side_of(cycles, named):
    """The side that all blocks of a measurement are near to, `None` where they are not of one mind, and the gaps."""
    gaps = []
    for row in cycles:
        zero, one = (sides.mean([row[i] for i, (_, side) in enumerate(named) if side == of]) for of in (0, 1))
        gaps.append(zero - one)
    if min(gaps) > LEAST_GAP:
        return 1, gaps
    return (0 if max(gaps) < -LEAST_GAP else None), gaps


def confined(driver, ptx, mask, side):
    """A green context over all groups of a side, and what was found: each group's side and the gaps of its blocks."""
    latency = Latency(driver, ptx)
    scratch, named = sides.reference_pages(driver, mask)
    groups, total = split(driver)
    found, gaps = [], []
    for group in groups:
        green = Green(driver, [group])
        try:
            of, seen = side_of(latency.measure([va for va, _ in named], green.stream), named)
        finally:
            green.close()
        found.append(of)
        gaps.append([round(gap) for gap in seen])
    driver.free(scratch)
    own = [group for group, of in zip(groups, found) if of == side]
    pattern = "".join("?" if of is None else str(of) for of in found)
    if not own:
        raise RuntimeError(f"no group of SMs is on side {side}: {pattern}, gaps {gaps}")
    green = Green(driver, own)
    about = {"sms": green.sms(), "all_sms": total, "groups": pattern, "group_sms": [g.kind.sm.count for g in groups], "gaps": gaps}
    return green, about
