# SPDX-License-Identifier: Apache-2.0
"""A private lattice for one test: nats-server, hosts and hostctl on loopback with random ports, everything below one
temporary folder, nothing left behind. No fixed sleeps: until() polls for a condition with a bound."""

import http.client
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("HOSTD_BIN", ROOT / "build" / "bin"))
HELLO = ROOT / "deploy/examples/hello/hello.wasm"
WORKBENCH = ROOT / "tests/guests/workbench/workbench.wasm"
# Guests over 200 kB, and the tools that made them: tests/guests/build
GUEST_CACHE = pathlib.Path(os.environ.get("HOSTD_GUESTS") or
                           pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "hostd/guests")
# Sanitizer builds are several times slower: waiting bounds only, never a measured limit.
PATIENCE = float(os.environ.get("HOSTD_TEST_PATIENCE", "4"))


def need_guest(test, file):
    """Skips this test or subtest when the guest is one of those that may be missing."""
    if not file.exists():
        test.skipTest(f"no {file.name}: tests/guests/build {file.stem} makes it")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def sanitized():
    """Such a host keeps what it has freed: its size says nothing."""
    return b"__asan_" in (BIN / "hostd").read_bytes()


def until(condition, seconds, what):
    """Polls until condition() is true and returns its value; fails with `what` after `seconds` times PATIENCE."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds * PATIENCE:.0f} s: {what() if callable(what) else what}")
        time.sleep(0.02)


class Process:
    def __init__(self, args, env, log, **kw):
        self.log = pathlib.Path(log)
        with open(self.log, "ab") as out:
            self.child = subprocess.Popen([str(a) for a in args], env=env, stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=out, **kw)

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child.poll() is None

    def kill(self):
        if self.alive():
            self.child.kill()
        return self.child.wait()

    def stop(self, seconds=10):
        if self.alive():
            self.child.terminate()
        try:
            return self.child.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise AssertionError(f"did not stop on SIGTERM; its log ends:\n{self.tail()}") from None

    def text(self):
        return self.log.read_text(errors="replace")

    def tail(self, lines=30):
        return "\n".join(self.text().splitlines()[-lines:])


class HttpServer(http.server.ThreadingHTTPServer):
    """For crowds: of more clients than wait in its queue (5, if not told), the kernel may reset some."""

    request_queue_size = 1024
    daemon_threads = True


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r}"


class Lattice:
    """with Lattice() as lat: ..."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hostd-test-"))
        self.nats_port = free_port()
        self.nats = None
        self.hosts = []
        keep = ("PATH", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")
        self.env = {k: v for k, v in os.environ.items() if k in keep}
        self.env["PATH"] = f"{BIN}:{self.env.get('PATH', '/usr/bin:/bin')}"
        for name in ("HOME", "TMPDIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
            folder = self.dir / name.lower()
            folder.mkdir()
            self.env[name] = str(folder)
        self.env |= {"WASMCLOUD_NATS_HOST": "127.0.0.1", "WASMCLOUD_NATS_PORT": str(self.nats_port),
                     "WASMCLOUD_CTL_HOST": "127.0.0.1", "WASMCLOUD_CTL_PORT": str(self.nats_port)}

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            for host in self.hosts:
                if host.alive():
                    host.child.terminate()
            for host in self.hosts:
                host.stop()
            if self.nats:
                self.nats.kill()
            self.check_sanitizers(kind)
            if kind and kind is not unittest.SkipTest:
                for log in sorted(self.dir.glob("*.log")):
                    sys.stderr.write(f"---- {log.name}\n{''.join(log.read_text(errors='replace')[-6000:])}\n")
        finally:
            for process in [*self.hosts, *filter(None, [self.nats])]:
                process.kill()
            shutil.rmtree(self.dir, ignore_errors=True)

    def check_sanitizers(self, failed):
        """A report in any log fails the test, whatever the process did afterwards."""
        for log in self.dir.rglob("*.log"):
            text = log.read_text(errors="replace")
            for sign in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "WARNING: ThreadSanitizer"):
                if sign in text:
                    sys.stderr.write(text[max(0, text.index(sign) - 500):][:6000])
                    if not failed:
                        raise AssertionError(f"{sign} in {log.name}")

    # ---- processes

    def start_nats(self, *more):
        args = ["nats-server", "-js", "-a", "127.0.0.1", "-p", self.nats_port, "-sd", self.dir / "jetstream", *more]
        self.nats = Process(args, self.env, self.dir / "nats.log")
        until(self.nats_answers, 10, self.nats.tail)
        return self.nats

    def nats_answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.nats_port), 1) as s:
                return s.recv(4) == b"INFO"
        except OSError:
            return False

    def start_host(self, zone, *args, preexec_fn=None, **env):
        """A host labelled zone=..., ready when this returns. File images are allowed."""
        n = len(self.hosts) + 1
        full = self.env | {"WASMCLOUD_LABEL_zone": zone, "WASMCLOUD_ALLOW_FILE_LOAD": "true"} | env
        before = set(self.host_ids())
        host = Process([BIN / "hostd", *args], full, self.dir / f"host-{n}-{zone}.log", preexec_fn=preexec_fn)
        self.hosts.append(host)
        host.zone = zone

        def is_there():
            if not host.alive():
                raise AssertionError(f"the host ended at once:\n{host.tail()}")
            return set(self.host_ids()) - before

        host.id = until(is_there, 10, host.tail).pop()
        return host

    def start(self, *zones, **env):
        self.start_nats()
        return [self.start_host(z, **env) for z in zones]

    # ---- hostctl

    def ctl(self, *args, check=True, timeout=30 * PATIENCE, cwd=None):
        done = subprocess.run([str(BIN / "hostctl"), *map(str, args)], env=self.env, text=True, capture_output=True,
                              timeout=timeout, stdin=subprocess.DEVNULL, cwd=cwd)
        if check and done.returncode:
            raise AssertionError(f"hostctl {args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def ctl_json(self, *args):
        return json.loads(self.ctl(*args, "--output", "json").stdout)

    def host_ids(self):
        done = self.ctl("get", "hosts", "--output", "json", "--timeout-ms", "300", check=False)
        return [h["id"] for h in json.loads(done.stdout)["hosts"]] if done.returncode == 0 else []

    def inventory(self):
        """host id -> inventory"""
        return {i["host_id"]: i for i in self.ctl_json("get", "inventory")["inventories"]}

    def spread(self, component):
        """zone -> sum of max_instances of this component"""
        out = {}
        for inv in self.inventory().values():
            for c in inv["components"]:
                if c["id"] == component:
                    zone = inv["labels"]["zone"]
                    out[zone] = out.get(zone, 0) + c["max_instances"]
        return out

    def app_status(self, name):
        return self.ctl("app", "status", name, check=False).stdout

    def deploy(self, image, name="app", count=10, port=None, spread=None, link=True):
        """Writes a manifest of one component and an http-server, deploys it; returns the port."""
        port = port or free_port()
        path = self.dir / f"{name}.yaml"
        path.write_text(manifest(name, image, count, port, spread or {"us-east-1": 80, "us-west-1": 20}, link))
        self.ctl("app", "deploy", path)
        return port

    # ---- HTTP

    def http(self, port, path="/", method="GET", body=None, headers=None, timeout=15 * PATIENCE):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return Reply(r.status, dict(r.getheaders()), r.read())
        finally:
            c.close()

    def http_linked(self, port, path="/", method="GET", body=None, timeout=15 * PATIENCE):
        """The same once the component's providers serve it: they may be up a moment before they know its links, and the
        component a moment before them."""
        def ask():
            reply = self.http(port, path, method, body, timeout=timeout)
            early = b"no link to this provider" in reply.body or b"the component failed" in reply.body
            return None if early else reply
        return until(ask, 10, lambda: f"still {self.http(port, path, method, body, timeout=timeout)}")

    def answers(self, port, path="/"):
        try:
            return self.http(port, path, timeout=2 * PATIENCE).status == 200
        except OSError:
            return False

    def wait_for_answer(self, port, seconds=15, app="app"):
        until(lambda: self.answers(port), seconds, lambda: f"no answer on port {port}\n{self.app_status(app)}")


def manifest(name, image, count, port, spread, link=True):
    rows = "".join(f"""
            - name: {zone}
              weight: {weight}
              requirements:
                zone: {zone}""" for zone, weight in spread.items())
    traits = f"""
        - type: link
          properties:
            target: {name}
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source:
              config:
                - name: {name}-address
                  properties:
                    address: 127.0.0.1:{port}""" if link else ""
    return f"""apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: {name}
  annotations:
    description: a system test
spec:
  components:
    - name: {name}
      type: component
      properties:
        image: file://{image}
        id: {name}
      traits:
        - type: spreadscaler
          properties:
            instances: {count}
            spread:{rows}
    - name: httpserver
      type: capability
      properties:
        image: ghcr.io/wasmcloud/http-server:0.23.2
        id: {name}-http
      traits:
        - type: spreadscaler
          properties:
            instances: 1
            spread:
            - name: http
              requirements:
                zone: us-east-1{traits}
"""


def http_server_part(port, target):
    """Of a manifest: the provider that serves a component at a port of this machine."""
    return f"""    - name: http-server
      type: capability
      properties:
        image: ghcr.io/wasmcloud/http-server:0.23.2
      traits:
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source:
              config:
                - name: http
                  properties:
                    address: 127.0.0.1:{port}
            target:
              name: {target}
"""


def children_of(pid):
    done = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)], text=True, capture_output=True, check=False)
    return [(int(line.split(None, 1)[0]), line.split(None, 1)[1]) for line in done.stdout.splitlines()]


def main():
    if not shutil.which("nats-server"):
        print("skipped: nats-server is not installed")
        sys.exit(77)
    for program in ("hostd", "hostctl", "http-server"):
        if not (BIN / program).exists():
            sys.exit(f"{BIN / program} is not built")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unittest.main(verbosity=2)
