"""On which side of the L2 each page of a range lies, measured by latency from a kernel.

Plain ctypes over the driver's API, so that it works in any process that has a current context: PyTorch's, or one of its
own. The formula of the table names the sides only: pages of a small stock allocation, whose physical addresses
`missile_extents` tells, show which latency means which side for each block. Every page in question is then timed.
"""
import ctypes
from array import array
from pathlib import Path

PAGE = 4096
BLOCKS = 8
REPS = 12


class Extent(ctypes.Structure):
    _fields_ = [("va", ctypes.c_uint64), ("bytes", ctypes.c_uint64), ("phys", ctypes.c_uint64)]


class Driver:
    def __init__(self):
        self.lib = ctypes.CDLL("libcuda.so.1")

    def call(self, name, *args):
        result = getattr(self.lib, name)(*args)
        if result:
            raise RuntimeError(f"{name} answered {result}")

    def own_context(self):
        """Makes the primary context of device 0 current, for a process that has none."""
        self.call("cuInit", 0)
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)

    def allocate(self, size):
        va = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(va), ctypes.c_size_t(size))
        return va.value

    def free(self, va):
        self.call("cuMemFree_v2", ctypes.c_uint64(va))

    def upload(self, va, data):
        address, count = data.buffer_info()
        self.call("cuMemcpyHtoD_v2", ctypes.c_uint64(va), ctypes.c_void_p(address), ctypes.c_size_t(count * data.itemsize))

    def download(self, va, count):
        data = array("I", bytes(4 * count))
        self.call("cuMemcpyDtoH_v2", ctypes.c_void_p(data.buffer_info()[0]), ctypes.c_uint64(va), ctypes.c_size_t(4 * count))
        return data


class Latency:
    """The kernel of latency.ptx, loaded by the driver."""

    def __init__(self, driver, ptx):
        self.driver = driver
        module = ctypes.c_void_p()
        driver.call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(Path(ptx).read_bytes() + b"\0"))
        self.function = ctypes.c_void_p()
        driver.call("cuModuleGetFunction", ctypes.byref(self.function), module, b"missile_latency")

    def measure(self, addresses, stream=None):
        """A list of BLOCKS lists: cycles of each address seen from each block, which run in the default stream or this."""
        driver, count = self.driver, len(addresses)
        lines, out, smids = driver.allocate(8 * count), driver.allocate(4 * BLOCKS * count), driver.allocate(4 * BLOCKS)
        driver.upload(lines, array("Q", addresses))
        values = [ctypes.c_uint64(lines), ctypes.c_uint32(count), ctypes.c_uint32(REPS), ctypes.c_uint64(out), ctypes.c_uint64(smids)]
        params = (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values])
        null = ctypes.c_void_p()
        # Streams of their own do not wait for copies in the default one.
        driver.call("cuCtxSynchronize")
        driver.call("cuLaunchKernel", self.function, BLOCKS, 1, 1, 32, 1, 1, 0, stream or null, params, null)
        driver.call("cuCtxSynchronize")
        cycles = driver.download(out, BLOCKS * count)
        for va in (lines, out, smids):
            driver.free(va)
        return [cycles[b * count:(b + 1) * count] for b in range(BLOCKS)]


def extents(va, size):
    function = ctypes.CDLL(None).missile_extents
    function.argtypes = [ctypes.c_uint64, ctypes.c_uint64, ctypes.POINTER(Extent), ctypes.c_size_t]
    room = 1 << 16
    found = (Extent * room)()
    count = function(va, size, found, room)
    if not 0 < count <= room:
        raise RuntimeError(f"missile_extents answered {count}")
    return found[:count]


def parity(value):
    return bin(value).count("1") & 1


def reference_pages(driver, mask):
    """Addresses of stock pages of known physical address, with the name that the table gives to their side."""
    size = 1 << 20
    va = driver.allocate(size)
    pages = []
    for extent in extents(va, size):
        first = (-extent.va) % PAGE
        for offset in range(first, extent.bytes - 63, PAGE):
            pages.append((extent.va + offset, parity((extent.phys + offset) & mask)))
    return va, pages


def mean(values):
    return sum(values) / len(values)


def measure_sides(driver, ptx, mask, ranges):
    """Measures every page of `ranges` [(va, bytes)]. Returns (pages on side 0, pages on side 1, gap in cycles)."""
    latency = Latency(driver, ptx)
    reference, named = reference_pages(driver, mask)
    pages = [va + offset for va, size in ranges for offset in range(0, size, PAGE)]
    cycles = latency.measure([va for va, _ in named] + pages)
    votes = [0] * len(pages)
    gaps = []
    for row in cycles:
        sides = [mean([row[i] for i, (_, side) in enumerate(named) if side == wanted]) for wanted in (0, 1)]
        gaps.append(abs(sides[0] - sides[1]))
        middle = sum(sides) / 2
        for i, value in enumerate(row[len(named):]):
            votes[i] += 1 if (value > middle) == (sides[1] > sides[0]) else -1
    driver.free(reference)
    ones = sum(1 for vote in votes if vote > 0)
    zeros = sum(1 for vote in votes if vote < 0)
    return zeros, ones, mean(gaps)
