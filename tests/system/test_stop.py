# SPDX-License-Identifier: Apache-2.0
"""A host that is told to stop: what runs is answered first; what cannot end in time, or a dead bus, does not hold it."""

import http.client
import signal
import time
import unittest

from lattice import PATIENCE, WORKBENCH, Lattice, main, until


class Call:
    """A request that has reached the guest, its answer not yet read. The provider reads connections in turn, so what
    was sent before another call's answer came is under way, too."""

    def __init__(self, lat, port, path):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.request("GET", path)
        assert lat.http(port, "/sleep/1").status == 200

    def status(self):
        try:
            return self.connection.getresponse().status
        finally:
            self.connection.close()


class Stop(unittest.TestCase):
    def start(self, lat, count=2, **env):
        host, = lat.start("us-east-1", **env)
        port = lat.deploy(WORKBENCH, "bench", count=count, spread={"us-east-1": 100})
        lat.wait_for_answer(port, app="bench")
        return host, port

    def test_a_running_call_is_answered(self):
        with Lattice() as lat:
            host, port = self.start(lat)
            call = Call(lat, port, "/sleep/500")
            host.child.send_signal(signal.SIGTERM)
            self.assertEqual(call.status(), 200)
            self.assertEqual(host.stop(), 0)

    def test_the_stop_command_lets_it_finish_too(self):
        with Lattice() as lat:
            host, port = self.start(lat)
            call = Call(lat, port, "/sleep/500")
            lat.ctl("stop", "host", host.id)
            self.assertEqual(call.status(), 200)
            until(lambda: not host.alive(), 10, host.tail)

    def test_what_does_not_end_is_ended(self):
        with Lattice() as lat:
            host, port = self.start(lat)
            call = Call(lat, port, "/loop")
            begin = time.monotonic()
            self.assertEqual(host.stop(15), 0)
            self.assertLess(time.monotonic() - begin, 10 * PATIENCE)
            self.assertGreaterEqual(call.status(), 500)
            self.assertIn("ending invocations that still run", host.text())

    def test_without_nats_it_stops_at_once(self):
        with Lattice() as lat:
            host, _ = self.start(lat)
            lat.nats.kill()
            until(lambda: "NATS connection lost" in host.text(), 10, host.tail)
            begin = time.monotonic()
            self.assertEqual(host.stop(), 0)
            self.assertLess(time.monotonic() - begin, 2 * PATIENCE)


if __name__ == "__main__":
    main()
