# SPDX-License-Identifier: Apache-2.0
"""Nothing is lost by what is done on purpose: under constant load a component is scaled to fewer hosts and back, and one
of two hosts is stopped again and again; every request is answered."""

import http.client
import threading
import time
import unittest

from lattice import HELLO, PATIENCE, Lattice, main, manifest, until

CLIENTS = 8


class Load:
    """Clients that ask without a pause, each on a connection of its own, until stopped."""

    def __init__(self, port):
        self.port, self.answered, self.failed = port, 0, []
        self.lock, self.over = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self):
        self.begun = time.monotonic()
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *args):
        self.over.set()
        for t in self.threads:
            t.join(20 * PATIENCE)
        self.seconds = time.monotonic() - self.begun

    def run(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15 * PATIENCE)
        answered = 0
        while not self.over.is_set():
            try:
                c.request("GET", "/")
                r = c.getresponse()
                text = r.read()
                if r.status == 200:
                    answered += 1
                    continue
                why = f"{r.status} {text[:100]}"
            except (OSError, http.client.HTTPException) as e:
                why = repr(e)
                c.close()
            with self.lock:
                self.failed.append(why)
        with self.lock:
            self.answered += answered
        c.close()


class Drain(unittest.TestCase):
    def setUp(self):
        self.lat = self.enterContext(Lattice())
        self.lat.start("us-east-1", "us-west-1")
        self.port = self.lat.deploy(HELLO, count=10, spread={"us-east-1": 50, "us-west-1": 50})
        self.lat.wait_for_answer(self.port)
        self.wait_for({"us-east-1": 5, "us-west-1": 5})

    def wait_for(self, spread):
        until(lambda: self.lat.spread("app") == spread, 20, lambda: self.lat.spread("app"))

    def scale(self, count, weights, spread):
        path = self.lat.dir / "app.yaml"
        path.write_text(manifest("app", HELLO, count, self.port, weights))
        self.lat.ctl("app", "deploy", path)
        self.wait_for(spread)

    def test_scaling_loses_nothing(self):
        with Load(self.port) as load:
            for _ in range(5):
                self.scale(1, {"us-east-1": 100, "us-west-1": 0}, {"us-east-1": 1})
                self.scale(10, {"us-east-1": 50, "us-west-1": 50}, {"us-east-1": 5, "us-west-1": 5})
        print(f"five times 10 to 1 to 10 instances: {load.answered} answered in {load.seconds:.1f} s, "
              f"{len(load.failed)} failed")
        self.assertEqual(load.failed, [])

    def test_stopping_a_host_loses_nothing(self):
        with Load(self.port) as load:
            for _ in range(3):
                west = self.lat.hosts[-1]
                self.lat.ctl("stop", "host", west.id)
                until(lambda west=west: not west.alive(), 15, west.tail)
                self.assertEqual(west.child.returncode, 0)
                self.lat.start_host("us-west-1")
                until(lambda: self.lat.spread("app").get("us-west-1", 0) > 0, 20, lambda: self.lat.spread("app"))
        print(f"three times one of two hosts stopped: {load.answered} answered in {load.seconds:.1f} s, "
              f"{len(load.failed)} failed")
        self.assertEqual(load.failed, [])


if __name__ == "__main__":
    main()
