"""What the driver says of what the ferry needs to know: `ferry_check.py FERRY.PTX`. One line of JSON."""
import ctypes
import json
import sys
from pathlib import Path

cuda = ctypes.CDLL("libcuda.so.1")
answers = {"cuInit": cuda.cuInit(0)}
context, number, address = ctypes.c_void_p(), ctypes.c_int(-1), ctypes.c_void_p()
cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
cuda.cuCtxSetCurrent(context)
answers["mps_enabled"] = [cuda.cuDeviceGetAttribute(ctypes.byref(number), 133, 0), number.value]
cuda.cuMemHostAlloc(ctypes.byref(address), ctypes.c_size_t(8 << 20), 0)
device = ctypes.c_uint64()
cuda.cuMemAlloc_v2(ctypes.byref(device), ctypes.c_size_t(8 << 20))
for name, pointer in (("host", address.value + 4096), ("device", device.value + 4096)):
    kinds = (ctypes.c_uint * 6)(2, 3, 8, 9, 11, 12)
    values = [ctypes.c_uint64(0) for _ in kinds]
    places = (ctypes.c_void_p * 6)(*[ctypes.addressof(value) for value in values])
    code = cuda.cuPointerGetAttributes(6, kinds, places, ctypes.c_uint64(pointer))
    answers[name] = [code, hex(pointer), *[hex(value.value) for value in values]]
identity = ctypes.c_uint64()
answers["context"] = [cuda.cuCtxGetId(None, ctypes.byref(identity)), identity.value]
log, size = ctypes.create_string_buffer(4096), 4096
module = ctypes.c_void_p()
options, values = (ctypes.c_int * 2)(5, 6), (ctypes.c_void_p * 2)(ctypes.addressof(log), size)
answers["module"] = [cuda.cuModuleLoadDataEx(ctypes.byref(module), Path(sys.argv[1]).read_bytes() + b"\0", 2, options, values), log.value.decode()[-500:]]
print(json.dumps(answers))
