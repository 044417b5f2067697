# SPDX-License-Identifier: Apache-2.0
"""What comes for a component that is busy waits, whole and in bounded memory."""

import hashlib
import http.client
import threading
import unittest

from lattice import WORKBENCH, Lattice, main, sanitized, until
from origin import forget_peak, status_of
from peer import Failed, Peer

DATA = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(1 << 16)) * 32  # 64 MiB


class Backlog(unittest.TestCase):
    def setUp(self):
        self.lat = Lattice()
        self.addCleanup(self.lat.__exit__, None, None, None)

    def open(self, *args):
        """One instance, and peers of another make: they do not pace what they send."""
        self.lat.start_nats()
        self.host = self.lat.start_host("us-east-1", *args)
        self.port = self.lat.deploy(WORKBENCH, "bench", count=1, spread={"us-east-1": 100})
        self.lat.wait_for_answer(self.port, app="bench")

    def peer(self):
        peer = Peer(self.lat.nats_port)
        peer.pause = 0.005
        self.addCleanup(peer.close)
        return peer

    def busy(self, ms):
        """The one instance is, from when this returns on."""
        sleeping = []  # of each call that went by
        self.peer().subscribe("default.bench.wrpc.>", lambda _, __, data, ___: sleeping.append(b"/sleep/" in data))
        until(lambda: self.lat.http(self.port, "/") and sleeping, 10, self.host.tail)
        sleep = threading.Thread(target=lambda: self.lat.http(self.port, f"/sleep/{ms}"))
        sleep.start()
        self.addCleanup(sleep.join)
        until(lambda: True in sleeping, 10, self.host.tail)

    def test_an_upload_to_a_busy_component_arrives_whole(self):
        self.open()
        peer = self.peer()
        self.assertEqual(peer.handle("default.bench", "POST", "/echo", b"small"), (200, b"small"))
        before = status_of(self.host.pid, "VmRSS")
        forget_peak(self.host.pid)
        self.busy(1500)
        status, body = peer.handle("default.bench", "POST", "/echo", DATA)
        grown = status_of(self.host.pid, "VmHWM") - before
        self.assertEqual(status, 200)
        self.assertEqual(hashlib.sha256(body).digest(), hashlib.sha256(DATA).digest())
        print(f"64 MiB to a busy component: peak +{grown} kB")
        if not sanitized():
            self.assertLess(grown, 48 << 10)

    def test_four_uploads_wait_at_once(self):
        self.open()
        before = status_of(self.host.pid, "VmRSS")
        forget_peak(self.host.pid)
        self.busy(1500)
        counts = []

        def upload():
            counts.append(self.peer().handle("default.bench", "POST", "/count", DATA[:16 << 20]))
        threads = [threading.Thread(target=upload) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        grown = status_of(self.host.pid, "VmHWM") - before
        self.assertEqual(counts, [(200, b"%d\n" % (16 << 20))] * 4)
        print(f"4 x 16 MiB to a busy component: peak +{grown} kB")
        if not sanitized():
            self.assertLess(grown, 48 << 10)

    def test_parameters_that_wait_are_bounded_together(self):
        self.open("--max-queue-bytes", "60000")
        self.busy(1500)
        waiting = []
        headers = {f"x-{i}": "y" * 8000 for i in range(5)}
        for _ in range(3):
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            c.request("GET", "/", headers=headers)
            waiting.append(c)
        replies = [c.getresponse() for c in waiting]
        self.assertEqual(sorted(r.status for r in replies), [200, 503, 503])
        self.assertTrue(all(r.getheader("retry-after") for r in replies if r.status == 503))
        for c in waiting:
            c.close()
        self.assertEqual(self.lat.http(self.port, "/", headers=headers).status, 200)  # what left counts no more

    def test_what_is_over_the_bound_fails_alone(self):
        self.open("--max-unread-bytes", "1000000")
        self.busy(1500)
        try:
            self.assertNotEqual(self.peer().handle("default.bench", "POST", "/count", DATA[:4 << 20])[1], b"4194304\n")
        except Failed:
            pass  # the guest may answer what it has got, or end
        until(lambda: "body cut" in self.host.text(), 10, self.host.tail)
        self.assertEqual(self.lat.http(self.port, "/count", "POST", b"small").body, b"5\n")


if __name__ == "__main__":
    main()
