"""Call sequences and what the driver answers to them: `python3 tests/gpu/corpus.py FILE`.

FILE gets a head with the driver's version, the GPU and the date, and then a line for each step: the sequence, the step and
the answer, with tabs between them. An answer is a status code, `yes` or `no`, or, for a step that did not come back,
`signal N`; the steps after it are missing then. Every sequence runs in a process of its own that is killed after some
seconds. Needs a CUDA driver and Python, nothing else, and takes less than a minute. Run it without Missile.

A recording of a real GPU belongs into `simgpu/tests/data/corpus/`, where the tests of the simulated driver replay it.
"""
import ctypes
import datetime
import os
import signal
import sys
import threading
import time

# Seconds that a sequence may take; the longest has host functions of some 0.2 s.
LIMIT = 20
POINTER, SIZE, U32, U64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_uint64
MIB = 1 << 20
# cuda.h: CU_STREAM_CAPTURE_MODE_...
MODES = {"global": 0, "thread_local": 1, "relaxed": 2}
BLOCKING, NON_BLOCKING = 0, 1
LEGACY = POINTER(1)
HOST_FUNCTION = ctypes.CFUNCTYPE(None, POINTER)
CALLBACK = ctypes.CFUNCTYPE(None, POINTER, ctypes.c_int, POINTER)(lambda *_: None)


class Driver:
    """The driver's functions by their exported names, each of which answers a status code."""

    def __init__(self, answers):
        self.library = ctypes.CDLL("libcuda.so.1")
        self.answers = answers

    def __getattr__(self, name):
        return getattr(self.library, name)

    def need(self, name, *arguments):
        """Calls a function that prepares a step."""
        code = getattr(self.library, name)(*arguments)
        if code != 0:
            raise RuntimeError(f"{name} answered {code}")

    def step(self, name, answer):
        """Notes what a step was answered."""
        text = {True: "yes", False: "no"}[answer] if isinstance(answer, bool) else str(answer)
        os.write(self.answers, f"{name}\t{text}\n".encode())

    def start(self):
        """Makes the primary context current to this thread."""
        self.context = POINTER()
        self.need("cuInit", 0)
        self.need("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), 0)
        self.attach()

    def attach(self):
        self.need("cuCtxSetCurrent", self.context)

    def made(self, name, *arguments, kind=POINTER):
        """What a function makes, which it writes to its first argument."""
        out = kind()
        self.need(name, ctypes.byref(out), *arguments)
        return out

    def stream(self, flags=NON_BLOCKING):
        return self.made("cuStreamCreate", flags)

    def event(self, flags=0):
        return self.made("cuEventCreate", flags)

    def memory(self, size):
        return self.made("cuMemAlloc_v2", SIZE(size), kind=U64)

    def word(self):
        """A word of pinned host memory, zero: its address, and the word."""
        address = self.made("cuMemHostAlloc", SIZE(4096), 0)
        word = ctypes.cast(address, ctypes.POINTER(ctypes.c_uint32))
        word[0] = 0
        return U64(address.value), word

    def begin(self, mode, flags=NON_BLOCKING):
        """A stream with a capture."""
        stream = self.stream(flags)
        self.need("cuStreamBeginCapture_v2", stream, MODES[mode])
        return stream

    def end(self, stream):
        """Ends a capture; returns the status code."""
        return self.cuStreamEndCapture(stream, ctypes.byref(POINTER()))


SEQUENCES = {}


def sequence(name, *arguments):
    """Has a function run as a sequence of that name."""
    def add(function):
        SEQUENCES[name] = lambda driver: function(driver, *arguments)
        return function
    return add


def elsewhere(driver, call, mode=None):
    """Calls something in another thread, in a capture mode of its own if one is given; returns the answer."""
    answers = []

    def run():
        driver.attach()
        if mode is not None:
            driver.need("cuThreadExchangeStreamCaptureMode", ctypes.byref(U32(MODES[mode])))
        answers.append(call())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return answers[0]


@sequence("before cuInit")
def before_init(driver):
    driver.step("cuDeviceGet", driver.cuDeviceGet(ctypes.byref(ctypes.c_int()), 0))
    driver.step("cuMemAlloc_v2", driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(MIB)))
    driver.step("cuInit with flags", driver.cuInit(1))
    driver.step("cuInit", driver.cuInit(0))
    driver.step("cuDeviceGet of device 99", driver.cuDeviceGet(ctypes.byref(ctypes.c_int()), 99))
    driver.step("cuMemAlloc_v2 without a context", driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(MIB)))
    driver.step("cuCtxSynchronize without a context", driver.cuCtxSynchronize())
    driver.step("cuCtxPopCurrent_v2 without a context", driver.cuCtxPopCurrent_v2(ctypes.byref(POINTER())))


@sequence("arguments")
def arguments(driver):
    driver.start()
    driver.step("cuMemAlloc_v2 of nothing", driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(0)))
    driver.step("cuMemAlloc_v2 without a place", driver.cuMemAlloc_v2(None, SIZE(MIB)))
    driver.step("cuMemAlloc_v2 of too much", driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(1 << 50)))
    driver.step("cuMemFree_v2 of null", driver.cuMemFree_v2(U64(0)))
    memory = driver.memory(4 * MIB)
    driver.step("cuMemFree_v2 of the middle", driver.cuMemFree_v2(U64(memory.value + MIB)))
    driver.step("cuMemFree_v2", driver.cuMemFree_v2(memory))
    driver.step("cuMemFree_v2 again", driver.cuMemFree_v2(memory))
    driver.step("cuStreamCreate with unknown flags", driver.cuStreamCreate(ctypes.byref(POINTER()), 0x80))
    driver.step("cuEventCreate with unknown flags", driver.cuEventCreate(ctypes.byref(POINTER()), 0x80))
    page = ctypes.create_string_buffer(3 * 4096)
    start = POINTER((ctypes.addressof(page) + 4095) & ~4095)
    driver.step("cuMemHostUnregister of what is not", driver.cuMemHostUnregister(start))
    driver.step("cuMemHostRegister_v2", driver.cuMemHostRegister_v2(start, SIZE(4096), 0))
    driver.step("cuMemHostRegister_v2 again", driver.cuMemHostRegister_v2(start, SIZE(4096), 0))
    driver.step("cuMemHostUnregister", driver.cuMemHostUnregister(start))
    module = driver.made("cuModuleLoadData", b".version 6.0\n.target sm_60\n.address_size 64\n.visible .entry k() { ret; }\n")
    driver.step("cuModuleGetFunction of no kernel", driver.cuModuleGetFunction(ctypes.byref(POINTER()), module, b"none"))
    driver.step("cuModuleLoadData of no module", driver.cuModuleLoadData(ctypes.byref(POINTER()), b"text"))
    driver.step("cuStreamBeginCapture_v2 in an unknown mode", driver.cuStreamBeginCapture_v2(driver.stream(), 9))


@sequence("events")
def events(driver):
    driver.start()
    never, untimed, timed = driver.event(), driver.event(2), driver.event()
    milliseconds = ctypes.byref(ctypes.c_float())
    driver.step("cuEventQuery before a recording", driver.cuEventQuery(never))
    driver.step("cuEventSynchronize before a recording", driver.cuEventSynchronize(never))
    stream, (gate, word) = driver.stream(), driver.word()
    driver.need("cuEventRecord", timed, stream)
    driver.need("cuEventRecord", untimed, stream)
    driver.need("cuStreamSynchronize", stream)
    driver.step("cuEventElapsedTime before a recording", driver.cuEventElapsedTime(milliseconds, timed, never))
    driver.step("cuEventElapsedTime without timing", driver.cuEventElapsedTime(milliseconds, timed, untimed))
    driver.step("cuEventElapsedTime", driver.cuEventElapsedTime(milliseconds, timed, timed))
    driver.need("cuStreamWaitValue32_v2", stream, gate, 1, 0)
    pending = driver.event()
    driver.need("cuEventRecord", pending, stream)
    driver.step("cuEventQuery of what is to come", driver.cuEventQuery(pending))
    driver.step("cuEventElapsedTime of what is to come", driver.cuEventElapsedTime(milliseconds, timed, pending))
    driver.step("cuStreamQuery with work to come", driver.cuStreamQuery(stream))
    word[0] = 1
    driver.need("cuEventSynchronize", pending)
    driver.step("cuEventQuery afterwards", driver.cuEventQuery(pending))
    driver.need("cuStreamSynchronize", stream)
    driver.step("cuStreamQuery afterwards", driver.cuStreamQuery(stream))


def after_destroy(driver, make, destroy, use):
    driver.start()
    handle = make(driver)
    driver.need(destroy, handle)
    driver.step(f"{use.__name__} after {destroy}", use(driver, handle))


def cuStreamQuery(driver, stream):
    return driver.cuStreamQuery(stream)


def cuStreamDestroy_v2(driver, stream):
    return driver.cuStreamDestroy_v2(stream)


def cuEventQuery(driver, event):
    return driver.cuEventQuery(event)


def cuCtxSetCurrent(driver, context):
    return driver.cuCtxSetCurrent(context)


def cuMemRelease(driver, handle):
    return driver.cuMemRelease(handle)


def create_context(driver):
    return driver.made("cuCtxCreate_v2", 0, 0)


def create_memory(driver):
    return driver.made("cuMemCreate", SIZE(granularity(driver)), properties(), U64(0), kind=U64)


# Each in a process of its own: the driver's manual calls some of it undefined.
for number, (make, destroy, use) in enumerate([
    (Driver.stream, "cuStreamDestroy_v2", cuStreamQuery),
    (Driver.stream, "cuStreamDestroy_v2", cuStreamDestroy_v2),
    (Driver.event, "cuEventDestroy_v2", cuEventQuery),
    (create_context, "cuCtxDestroy_v2", cuCtxSetCurrent),
    (create_memory, "cuMemRelease", cuMemRelease),
]):
    sequence(f"use after destroy {number}", make, destroy, use)(after_destroy)


def properties():
    """Pinned memory of device 0: a `CUmemAllocationProp`, of which all else is zero."""
    return (ctypes.c_uint * 8)(1, 0, 1, 0)


def granularity(driver):
    return driver.made("cuMemGetAllocationGranularity", properties(), 0, kind=SIZE).value


@sequence("handles of memory")
def handles(driver):
    driver.start()
    size = granularity(driver)
    handle = create_memory(driver)
    address = driver.made("cuMemAddressReserve", SIZE(2 * size), SIZE(0), U64(0), U64(0), kind=U64)
    retained = U64()
    retain = lambda at: driver.cuMemRetainAllocationHandle(ctypes.byref(retained), POINTER(at))
    driver.step("cuMemRetainAllocationHandle where nothing is mapped", retain(address.value))
    driver.step("cuMemMap of half a granule", driver.cuMemMap(address, SIZE(size // 2), SIZE(0), handle, U64(0)))
    driver.need("cuMemMap", address, SIZE(size), SIZE(0), handle, U64(0))
    driver.step("cuMemMap where memory is", driver.cuMemMap(address, SIZE(size), SIZE(0), handle, U64(0)))
    driver.step("cuMemRetainAllocationHandle", retain(address.value))
    driver.step("the retained handle is the mapped one", retained.value == handle.value)
    driver.need("cuMemRetainAllocationHandle", ctypes.byref(retained), POINTER(address.value + size // 2))
    driver.step("so is one by an address in the middle", retained.value == handle.value)
    driver.step("cuMemAddressFree of what is mapped", driver.cuMemAddressFree(address, SIZE(2 * size)))
    for time_of_it in ("first", "second", "third"):
        driver.step(f"cuMemRelease for the {time_of_it} time", driver.cuMemRelease(handle))
    driver.step("cuMemRetainAllocationHandle after the last release", retain(address.value))
    driver.step("that handle is the mapped one", retained.value == handle.value)
    driver.step("cuMemUnmap", driver.cuMemUnmap(address, SIZE(size)))
    driver.step("cuMemUnmap again", driver.cuMemUnmap(address, SIZE(size)))
    driver.step("cuMemRelease after it", driver.cuMemRelease(handle))
    driver.step("cuMemAddressFree", driver.cuMemAddressFree(address, SIZE(2 * size)))


def waits_for(driver, flags, name, wait):
    """Whether a call waits for the work of a stream that was destroyed before the work was done."""
    driver.start()
    done = []

    def work(_):
        time.sleep(0.2)
        done.append(True)

    function, stream = HOST_FUNCTION(work), driver.stream(flags)
    driver.need("cuLaunchHostFunc", stream, function, None)
    driver.step("cuStreamDestroy_v2", driver.cuStreamDestroy_v2(stream))
    driver.step(name, wait(driver))
    driver.step("it waited", bool(done))
    while not done:
        time.sleep(0.01)


def cuCtxSynchronize(driver):
    return driver.cuCtxSynchronize()


def synchronize_legacy(driver):
    return driver.cuStreamSynchronize(LEGACY)


sequence("cuCtxSynchronize and a destroyed stream", NON_BLOCKING, "cuCtxSynchronize", cuCtxSynchronize)(waits_for)
sequence("cuCtxSynchronize and a destroyed blocking stream", BLOCKING, "cuCtxSynchronize", cuCtxSynchronize)(waits_for)
sequence("the legacy stream and a destroyed blocking stream", BLOCKING, "cuStreamSynchronize", synchronize_legacy)(waits_for)


def questions(driver):
    """Calls that have nothing to do with any capture, by their names."""
    other, before, memory = driver.stream(), driver.event(), driver.memory(4 * MIB)
    host = ctypes.create_string_buffer(4096)
    driver.need("cuEventRecord", before, other)
    driver.need("cuStreamSynchronize", other)
    pool = driver.made("cuDeviceGetDefaultMemPool", 0)
    return {
        "cuEventQuery": lambda: driver.cuEventQuery(before),
        "cuEventSynchronize": lambda: driver.cuEventSynchronize(before),
        "cuStreamQuery": lambda: driver.cuStreamQuery(other),
        "cuStreamSynchronize": lambda: driver.cuStreamSynchronize(other),
        "cuEventRecord": lambda: driver.cuEventRecord(before, other),
        "cuMemAlloc_v2": lambda: driver.cuMemAlloc_v2(ctypes.byref(U64()), SIZE(4096)),
        "cuMemFree_v2": lambda: driver.cuMemFree_v2(memory),
        "cuMemAllocAsync": lambda: driver.cuMemAllocAsync(ctypes.byref(U64()), SIZE(4096), other),
        "cuMemPoolTrimTo": lambda: driver.cuMemPoolTrimTo(pool, SIZE(0)),
        "cuMemHostAlloc": lambda: driver.cuMemHostAlloc(ctypes.byref(POINTER()), SIZE(4096), 0),
        "cuMemHostRegister_v2": lambda: driver.cuMemHostRegister_v2(host, SIZE(4096), 0),
        "cuMemcpyHtoDAsync_v2": lambda: driver.cuMemcpyHtoDAsync_v2(memory, host, SIZE(64), other),
        "cuMemcpyHtoD_v2": lambda: driver.cuMemcpyHtoD_v2(memory, host, SIZE(64)),
        "cuMemGetInfo_v2": lambda: driver.cuMemGetInfo_v2(ctypes.byref(SIZE()), ctypes.byref(SIZE())),
        "cuStreamCreate": lambda: driver.cuStreamCreate(ctypes.byref(POINTER()), NON_BLOCKING),
        "cuEventCreate": lambda: driver.cuEventCreate(ctypes.byref(POINTER()), 0),
        "cuCtxSynchronize": driver.cuCtxSynchronize,
    }


def beside_capture(driver, captured, asking, from_elsewhere):
    """Each call beside a capture of its own, and how that capture ends."""
    driver.start()
    for name, call in questions(driver).items():
        stream = driver.begin(captured)
        driver.step(name, elsewhere(driver, call, asking) if from_elsewhere else call())
        driver.step(f"{name}: the capture's end", driver.end(stream))


for mode in MODES:
    sequence(f"beside a {mode} capture of the thread", mode, None, False)(beside_capture)
    sequence(f"beside a {mode} capture of another thread", mode, None, True)(beside_capture)
for mode in ("thread_local", "relaxed"):
    sequence(f"in a {mode} thread beside a global capture of another thread", "global", mode, True)(beside_capture)


def inside_capture(driver, mode):
    """Calls about what is captured, each with a capture of its own."""
    driver.start()
    milliseconds, before = ctypes.byref(ctypes.c_float()), driver.event()
    driver.need("cuEventRecord", before, LEGACY)
    driver.need("cuCtxSynchronize")
    for name, call in {
        "cuStreamQuery of the stream": lambda stream, _: driver.cuStreamQuery(stream),
        "cuStreamSynchronize of the stream": lambda stream, _: driver.cuStreamSynchronize(stream),
        "cuEventQuery of an event in it": lambda _, event: driver.cuEventQuery(event),
        "cuEventSynchronize of an event in it": lambda _, event: driver.cuEventSynchronize(event),
        "cuEventElapsedTime of an event in it": lambda _, event: driver.cuEventElapsedTime(milliseconds, before, event),
        "cuStreamBeginCapture_v2 again": lambda stream, _: driver.cuStreamBeginCapture_v2(stream, MODES[mode]),
        "cuStreamWaitEvent for an event from before": lambda stream, _: driver.cuStreamWaitEvent(stream, before, 0),
        "cuStreamAddCallback": lambda stream, _: driver.cuStreamAddCallback(stream, CALLBACK, None, 0),
        "cuStreamDestroy_v2 of an unrelated stream": lambda _s, _e: driver.cuStreamDestroy_v2(driver.stream()),
    }.items():
        stream, event = driver.begin(mode), driver.event()
        driver.need("cuEventRecord", event, stream)
        driver.step(name, call(stream, event))
        driver.step(f"{name}: the capture's end", driver.end(stream))
    stream = driver.begin(mode)
    driver.step("cuStreamEndCapture in another thread", elsewhere(driver, lambda: driver.end(stream)))
    driver.step("cuStreamEndCapture afterwards", driver.end(stream))
    driver.step("cuStreamEndCapture without a capture", driver.end(stream))


def legacy_stream(driver, mode, from_elsewhere):
    """The legacy stream while a stream is captured that it would wait for."""
    driver.start()
    memory, host = driver.memory(4096), ctypes.create_string_buffer(64)
    for name, call in {
        "cuStreamIsCapturing": lambda: driver.cuStreamIsCapturing(LEGACY, ctypes.byref(U32())),
        "cuStreamQuery": lambda: driver.cuStreamQuery(LEGACY),
        "cuStreamSynchronize": lambda: driver.cuStreamSynchronize(LEGACY),
        "cuMemsetD8Async": lambda: driver.cuMemsetD8Async(memory, 0, SIZE(64), LEGACY),
        "cuMemcpyHtoDAsync_v2": lambda: driver.cuMemcpyHtoDAsync_v2(memory, host, SIZE(64), LEGACY),
        "cuEventRecord": lambda: driver.cuEventRecord(driver.event(), LEGACY),
    }.items():
        stream = driver.begin(mode, BLOCKING)
        driver.step(name, elsewhere(driver, call) if from_elsewhere else call())
        driver.step(f"{name}: the capture's end", driver.end(stream))


for mode in MODES:
    sequence(f"inside a {mode} capture", mode)(inside_capture)
    sequence(f"the legacy stream beside a {mode} capture", mode, False)(legacy_stream)
    sequence(f"the legacy stream in another thread beside a {mode} capture", mode, True)(legacy_stream)


@sequence("forks of a capture")
def forks(driver):
    driver.start()
    other, fork = driver.stream(), driver.event()
    memory = driver.memory(4096)
    driver.step("a capture of the legacy stream", driver.cuStreamBeginCapture_v2(LEGACY, 0))

    origin = driver.begin("global")
    driver.need("cuEventRecord", fork, origin)
    driver.need("cuStreamWaitEvent", other, fork, 0)
    driver.need("cuMemsetD8Async", memory, 0, SIZE(64), other)
    driver.step("the end with work that did not join", driver.end(origin))

    origin = driver.begin("global")
    driver.need("cuEventRecord", fork, origin)
    driver.need("cuStreamWaitEvent", other, fork, 0)
    driver.step("the end in a stream that joined", driver.end(other))
    driver.step("the end afterwards", driver.end(origin))

    origin, second = driver.begin("global"), driver.begin("global")
    driver.need("cuEventRecord", fork, origin)
    driver.step("a wait for another capture's event", driver.cuStreamWaitEvent(second, fork, 0))
    driver.step("the end of the one", driver.end(origin))
    driver.step("the end of the other", driver.end(second))


def run(name):
    """Runs a sequence in a process of its own; returns its steps and answers."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        # What a stuck driver call does not let Python see.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIMIT)
        try:
            SEQUENCES[name](Driver(write))
        except Exception as error:  # The parent has to know, whatever it was.
            os.write(write, f"failed\t{error}\n".encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answers:
        steps = [line.rstrip("\n").split("\t") for line in answers]
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        steps.append(["end", f"signal {os.WTERMSIG(status)}"])
    return steps


def identity():
    """The driver's version and the GPU's name."""
    version, name = ctypes.c_int(), ctypes.create_string_buffer(100)
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        sys.exit(f"corpus.py: no driver here: {error}")
    code = library.cuInit(0) or library.cuDriverGetVersion(ctypes.byref(version)) or library.cuDeviceGetName(name, 100, 0)
    if code != 0:
        sys.exit(f"corpus.py: the driver finds no GPU (error {code})")
    try:
        with open("/sys/module/nvidia/version") as file:
            module = file.read().strip()
    except OSError:
        module = "unknown"
    return f"{module}, CUDA {version.value // 1000}.{version.value % 1000 // 10}", name.value.decode()


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: python3 tests/gpu/corpus.py FILE")
    # In a process of its own, as sequences have to begin without a driver.
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, "\t".join(identity()).encode())
        os._exit(0)
    os.close(write)
    found = os.fdopen(read).read()
    os.wait()
    if not found:
        sys.exit(3)
    driver, gpu = found.split("\t")
    with open(sys.argv[1], "w") as file:
        file.write(f"# driver: {driver}\n# gpu: {gpu}\n# date: {datetime.date.today()}\n")
        for name in SEQUENCES:
            for step, answer in run(name):
                file.write(f"{name}\t{step}\t{answer}\n")


if __name__ == "__main__":
    main()
