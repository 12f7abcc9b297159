"""Whether Prometheus's own client library reads the page of metrics: `python3 tests/metrics_page.py MISSILE COPIER`.

MISSILE is the program, COPIER the built `examples/copier.rs`. Two tenants copy on a simulated GPU meanwhile.
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

MISSILE, COPIER = map(os.path.abspath, sys.argv[1:])
WORK = Path(tempfile.mkdtemp(prefix="missile-metrics-"))
# A region has to be on a tmpfs.
RUN = Path(tempfile.mkdtemp(prefix="missile-metrics-", dir="/dev/shm"))
ENV = dict(os.environ, XDG_RUNTIME_DIR=str(RUN), XDG_DATA_HOME=str(WORK / "data"), SIMGPU_STATE=str(WORK / "sim"))
SOCKET = WORK / "metrics.sock"
LIMIT_S = 30


def page():
    """The body of the answer, once there is one."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LIMIT_S)
        connection.connect(str(SOCKET))
        connection.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b""
        while part := connection.recv(1 << 16):
            answer += part
    head, body = answer.decode().split("\r\n\r\n", 1)
    assert head.split()[1] == "200", head
    return body


def samples(families, family, name):
    """The values of all samples of that name."""
    return [sample.value for sample in families[family].samples if sample.name == name]


def settled():
    """The families of a page with both tenants, of which the best-effort one has a slice."""
    begun = time.monotonic()
    while True:
        families = {family.name: family for family in text_string_to_metric_families(page())}
        slices = samples(families, "missile_tenant_slice_seconds", "missile_tenant_slice_seconds")
        if any(slices) and len(families["missile_tenant"].samples) == 2:
            return families
        assert time.monotonic() - begun < LIMIT_S, f"no slice was set: {sorted(families)}"
        time.sleep(0.1)


running = [subprocess.Popen([MISSILE, "up", "--foreground", "--metrics", f"unix:{SOCKET}"], env=ENV, stdout=subprocess.DEVNULL)]
try:
    begun = time.monotonic()
    while not SOCKET.exists():
        assert running[0].poll() is None and time.monotonic() - begun < LIMIT_S, "the arbiter does not serve metrics"
        time.sleep(0.02)
    for kind, work in (("be", ["bulk", "8M"]), ("ls", ["ls", "256K", "2000"])):
        command = [MISSILE, "run", "--sim", "h200", "--class", kind, "--color", "off", "--", COPIER, "--seconds", "3600", *work]
        running.append(subprocess.Popen(command, env=ENV, stdout=subprocess.DEVNULL))
    families = settled()
    assert sorted(samples(families, "missile_tenant", "missile_tenant_info")) == [1, 1], families["missile_tenant"]
    print(f"{len(families)} families with {sum(len(family.samples) for family in families.values())} samples")
finally:
    for process in reversed(running):
        process.terminate()
        process.wait()
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.rmtree(RUN, ignore_errors=True)
