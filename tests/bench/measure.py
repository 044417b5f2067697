# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks that load a lattice share: load generators, and what processes use."""

import base64
import json
import os
import pathlib
import re
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from lattice import BIN  # noqa: E402
from origin import status_of  # noqa: E402

UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


def rss_kb(pid):
    return status_of(pid, "VmRSS")


def cpu_s(pids):
    """User and system time of these processes together, to 10 ms."""
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def wrk(port, connections, seconds, script=None):
    """One thread of wrk; times in microseconds."""
    args = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *(["-s", str(script)] if script else [])]
    out = subprocess.run([*args, f"http://127.0.0.1:{port}/"], text=True, capture_output=True, check=True).stdout

    def us(percent):
        number, unit = re.search(rf"^\s+{percent}%\s+([\d.]+)(\w+)", out, re.MULTILINE).groups()
        return float(number) * UNITS[unit]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return {"requests_per_s": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
            "n": int(re.search(r"(\d+) requests in", out).group(1)),
            "p50_us": us(50), "p99_us": us(99), "bad": int(bad.group(1)) if bad else 0}


def nats_echo(lat, connections, seconds, *subject):
    """NATS's own request and reply with nats.c and nothing of ours; cpu_s is that of requesters and responder."""
    before = os.times()
    out = subprocess.run([str(BIN.parent / "tests/nats_echo"), f"nats://127.0.0.1:{lat.nats_port}", str(connections),
                          str(seconds), *subject], text=True, capture_output=True, check=True).stdout
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    result = json.loads(out)
    return result | {"n": int(result["requests_per_s"] * seconds), "cpu_s": used}


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def start_alone(lat, port):
    """The provider with a shared address and no route: it finds everything missing, and says so itself."""
    data = {"host_id": "NHOST", "lattice_rpc_prefix": "default", "provider_key": "alone", "env_values": {},
            "lattice_rpc_url": f"nats://127.0.0.1:{lat.nats_port}", "link_definitions": [],
            "config": {"routing_mode": "path", "default_address": f"127.0.0.1:{port}"}}
    with open(lat.dir / "alone.log", "wb") as log:
        child = subprocess.Popen([BIN / "http-server"], stdin=subprocess.PIPE, stderr=log)
    child.stdin.write(base64.b64encode(json.dumps(data).encode()) + b"\r\n")
    child.stdin.flush()
    return child
