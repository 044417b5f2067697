# SPDX-License-Identifier: Apache-2.0
"""Callers that leave end their calls, whatever the component is at: with one instance, the next call needs that one."""

import http.client
import os
import signal
import subprocess
import time
import unittest

from lattice import PATIENCE, ROOT, WORKBENCH, Lattice, children_of, free_port, http_server_part, main, until
from peer import Peer

ORACLE = ROOT / "tests/guests/oracle/oracle.wasm"
SOON = 1.0  # the promise is one second


def part(name, image, more=""):
    return f"""    - name: {name}
      type: component
      properties:
        image: file://{image}
        id: {name}
      traits:
        - type: spreadscaler
          properties:
            instances: 1
{more}"""


ASKS = """        - type: link
          properties:
            target: oracle
            namespace: hostd
            package: tests
            interfaces: [oracle]
"""


class Departure(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lat = Lattice()
        cls.host, = cls.lat.start("us-east-1")
        cls.port = free_port()
        path = cls.lat.dir / "wadm.yaml"
        path.write_text("apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata:\n  name: app\n  annotations:"
                        " {description: callers that leave}\nspec:\n  components:\n"
                        + part("bench", WORKBENCH, ASKS) + part("oracle", ORACLE) + http_server_part(cls.port, "bench"))
        cls.lat.ctl("app", "deploy", path)
        cls.lat.wait_for_answer(cls.port)
        until(lambda: cls.ask(b"ever") == b"answer: reve", 10, cls.host.tail)
        cls.calls = {"bench": 0, "oracle": 0}
        cls.peer = Peer(cls.lat.nats_port)
        for name in cls.calls:
            cls.peer.subscribe(f"default.{name}.wrpc.>", lambda *_, name=name: cls.count(name))
        until(lambda: cls.ask(b"ever") and all(cls.calls.values()), 10, cls.host.tail)  # both subscriptions are there

    @classmethod
    def count(cls, name):
        cls.calls[name] += 1

    @classmethod
    def tearDownClass(cls):
        cls.peer.close()
        cls.lat.__exit__(None, None, None)

    @classmethod
    def ask(cls, question):
        return cls.lat.http(cls.port, f"/ask/{question.decode()}").body

    def begin(self, path, body=None, called="bench"):
        """A request that has reached the component: its call went by."""
        before = self.calls[called]
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        c.request("POST" if body else "GET", path, body, {"content-length": "1000000"} if body else {})
        until(lambda: self.calls[called] > before, 10, self.host.tail)
        return c

    def assert_free_soon(self, within=SOON):
        begin = time.monotonic()
        self.assertEqual(self.lat.http(self.port, "/", timeout=60).status, 200)
        self.assertLess(time.monotonic() - begin, within * PATIENCE)

    def test_a_guest_that_sleeps(self):
        self.begin("/sleep/60000").close()
        self.assert_free_soon()

    def test_a_guest_that_runs(self):
        self.begin("/loop").close()
        self.assert_free_soon()

    def test_a_guest_that_waits_for_another(self):
        self.begin("/ask/loop", called="oracle").close()
        self.assert_free_soon()
        begin = time.monotonic()
        self.assertEqual(self.ask(b"ever"), b"answer: reve")
        self.assertLess(time.monotonic() - begin, SOON * PATIENCE)

    def test_an_upload_that_breaks_off(self):
        self.begin("/echo/60000", b"the beginning").close()
        self.assert_free_soon()

    def test_a_stream_of_http2_that_is_reset(self):
        if "HTTP2" not in subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout:
            self.skipTest("this curl has no HTTP/2")
        done = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "-m", "0.5", f"http://127.0.0.1:{self.port}/loop"],
                              capture_output=True)
        self.assertEqual(done.returncode, 28)  # its time was up
        self.assert_free_soon()

    def test_callers_that_wait_in_the_queue(self):
        first = self.begin("/sleep/60000")
        waiting = [self.begin("/loop") for _ in range(3)]
        for c in [*waiting, first]:
            c.close()
        self.assert_free_soon()

    def test_a_provider_that_dies(self):
        """Nobody can say a word for it: the host notices within 15 s, without which the guest would run on."""
        pid, = [p for p, args in children_of(self.host.pid) if "http-server" in args]
        loop = self.begin("/loop")
        os.kill(pid, signal.SIGKILL)
        loop.close()
        until(lambda: self.lat.answers(self.port), 20, self.host.tail)


if __name__ == "__main__":
    main()
