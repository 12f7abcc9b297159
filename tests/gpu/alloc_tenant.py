"""A tenant that allocates plain buffers, checks their contents and measures their sides. No PyTorch needed."""
import argparse
import json
import time
from array import array

import sides

arguments = argparse.ArgumentParser()
arguments.add_argument("--ptx", required=True)
arguments.add_argument("--mask", required=True, type=lambda text: int(text, 16))
arguments.add_argument("--mib", type=int, nargs="+", default=[2, 20, 64])
options = arguments.parse_args()

driver = sides.Driver()
driver.own_context()
started = time.time()
ranges = [(driver.allocate(mib << 20), mib << 20) for mib in options.mib]
seconds = time.time() - started
right = True
for number, (va, size) in enumerate(ranges):
    data = array("I", range(number, number + size // 4))
    driver.upload(va, data)
for number, (va, size) in enumerate(ranges):
    right &= driver.download(va, size // 4) == array("I", range(number, number + size // 4))
zeros, ones, gap = sides.measure_sides(driver, options.ptx, options.mask, ranges)
for va, _ in ranges:
    driver.free(va)
print(json.dumps({"side0": zeros, "side1": ones, "gap_cycles": gap, "contents": right, "alloc_seconds": seconds}))
