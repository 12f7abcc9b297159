"""The SMs that each kind of launch runs on, read by the kernel itself: launched.py LATENCY_PTX [ROUNDS].

Prints for each kind {"kind": K, "sms": [numbers]}, with those of all rounds together, or {"kind": K, "error": E} where the
driver refuses; then {"at": "done"}, and waits for a line. Plain ctypes over the driver's API.
"""
import ctypes
import json
import sys
import threading
from array import array
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import sides  # noqa: E402

COUNT, REPS, THREADS = 64, 40, 32
MULTIPROCESSORS, CLUSTER, NON_BLOCKING, RELAXED = 16, 4, 1, 2


class Attribute(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint), ("pad", ctypes.c_char * 4), ("value", ctypes.c_uint * 16)]


class Config(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("shared", ctypes.c_uint), ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(Attribute)), ("count", ctypes.c_uint),
    ]


class Launches:
    """The kernel, what it works on, and a way to launch it for each kind."""

    def __init__(self, ptx):
        self.driver = driver = sides.Driver()
        driver.own_context()
        self.context = ctypes.c_void_p()
        driver.call("cuCtxGetCurrent", ctypes.byref(self.context))
        count = ctypes.c_int()
        driver.call("cuDeviceGetAttribute", ctypes.byref(count), MULTIPROCESSORS, 0)
        self.blocks, self.function = 2 * count.value, sides.Latency(driver, ptx).function
        memory = driver.allocate(4096)
        self.lines, self.out = driver.allocate(8 * COUNT), driver.allocate(4 * self.blocks * COUNT)
        self.smids = driver.allocate(4 * self.blocks)
        driver.upload(self.lines, array("Q", [memory + 64 * number for number in range(COUNT)]))
        numbers = (
            ctypes.c_uint64(self.lines), ctypes.c_uint32(COUNT), ctypes.c_uint32(REPS), ctypes.c_uint64(self.out),
            ctypes.c_uint64(self.smids),
        )
        self.numbers = numbers
        self.arguments = (ctypes.c_void_p * len(numbers))(*map(ctypes.addressof, numbers))
        self.stream = ctypes.c_void_p()
        driver.call("cuStreamCreate", ctypes.byref(self.stream), NON_BLOCKING)

    def launch(self, stream, name="cuLaunchKernel", threads=THREADS):
        more = () if "Cooperative" in name else (None,)
        self.driver.call(name, self.function, self.blocks, 1, 1, threads, 1, 1, 0, stream, self.arguments, *more)

    def extended(self, cluster=0):
        attribute = Attribute(id=CLUSTER)
        attribute.value[:3] = [cluster, 1, 1]
        config = Config(
            grid=(self.blocks, 1, 1), block=(THREADS, 1, 1), stream=self.stream, attributes=ctypes.pointer(attribute),
            count=1 if cluster else 0,
        )
        self.driver.call("cuLaunchKernelEx", ctypes.byref(config), self.function, self.arguments, None)

    def captured(self, number=1):
        """A graph of so many launches."""
        graph = ctypes.c_void_p()
        self.driver.call("cuStreamBeginCapture_v2", self.stream, RELAXED)
        for _ in range(number):
            self.launch(self.stream)
        self.driver.call("cuStreamEndCapture", self.stream, ctypes.byref(graph))
        return graph

    def executable(self, graph):
        made = ctypes.c_void_p()
        self.driver.call("cuGraphInstantiateWithFlags", ctypes.byref(made), graph, ctypes.c_uint64(0))
        return made

    def graph(self, number=1, upload=False, update=False):
        made = self.executable(self.captured(number))
        if upload:
            self.driver.call("cuGraphUpload", made, self.stream)
        if update:
            info = (ctypes.c_uint64 * 4)()
            self.driver.call("cuGraphExecUpdate_v2", made, self.captured(number), info)
        self.driver.call("cuGraphLaunch", made, self.stream)
        self.driver.call("cuCtxSynchronize")
        self.driver.call("cuGraphExecDestroy", made)

    def elsewhere(self):
        """From another thread."""
        failed = []

        def run():
            try:
                self.driver.call("cuCtxSetCurrent", self.context)
                self.launch(self.stream)
            except RuntimeError as reason:
                failed.append(reason)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]

    def kinds(self):
        return {
            "plain": lambda: self.launch(None),
            "stream": lambda: self.launch(self.stream),
            "per thread": lambda: self.launch(None, "cuLaunchKernel_ptsz"),
            "other thread": self.elsewhere,
            "extended": self.extended,
            "cluster": lambda: self.extended(2),
            "cooperative": lambda: self.launch(self.stream, "cuLaunchCooperativeKernel"),
            # Has every SM, and does not fit on fewer.
            "cooperative, full": lambda: self.launch(self.stream, "cuLaunchCooperativeKernel", 1024),
            "graph": self.graph,
            "graph of three": lambda: self.graph(3),
            "graph, uploaded": lambda: self.graph(upload=True),
            "graph, updated": lambda: self.graph(update=True),
        }

    def ran_on(self, launch):
        """The SMs that a launch ran on."""
        self.driver.upload(self.smids, array("I", [0xFFFFFFFF] * self.blocks))
        launch()
        self.driver.call("cuCtxSynchronize")
        found = set(self.driver.download(self.smids, self.blocks))
        if 0xFFFFFFFF in found:
            raise RuntimeError("a block did not run")
        return found


def main():
    launches, rounds = Launches(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    for kind, launch in launches.kinds().items():
        try:
            found = set().union(*(launches.ran_on(launch) for _ in range(rounds)))
            print(json.dumps({"kind": kind, "sms": sorted(found)}), flush=True)
        except (RuntimeError, AttributeError) as reason:
            print(json.dumps({"kind": kind, "error": str(reason)}), flush=True)
    print(json.dumps({"at": "done", "of": launches.blocks // 2}), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
