"""What it takes to allocate and to free, by size: the driver's own functions, timed one by one.

For each size in MiB one line of JSON, while the allocation is held; each is freed after a line on standard input.
"""
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import sides

driver = sides.Driver()
driver.own_context()
# The first allocation makes the pager try itself.
begun = time.perf_counter()
first = driver.allocate(2 << 20)
first_s = time.perf_counter() - begun
driver.free(first)
for mib in map(int, sys.argv[1:]):
    begun = time.perf_counter()
    va = driver.allocate(mib << 20)
    allocated = time.perf_counter()
    print(json.dumps({"mib": mib, "first_s": first_s, "allocating_s": allocated - begun}), flush=True)
    sys.stdin.readline()
    begun = time.perf_counter()
    driver.free(va)
    print(json.dumps({"mib": mib, "freeing_s": time.perf_counter() - begun}), flush=True)
    sys.stdin.readline()
