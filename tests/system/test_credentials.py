# SPDX-License-Identifier: Apache-2.0
"""A NATS server that does not let us in: a host says so and ends, whether that is so from the beginning or from some day
on, for whoever supervises it would otherwise take it for a living one."""

import unittest

from lattice import BIN, Lattice, Process, main, until


def lock(lat):
    """The server, started again with the same data, and now with a password."""
    if lat.nats:
        lat.nats.kill()
    args = ["nats-server", "-js", "-a", "127.0.0.1", "-p", lat.nats_port, "-sd", lat.dir / "jetstream", "--user", "u",
            "--pass", "p"]
    lat.nats = Process(args, lat.env, lat.dir / "nats-locked.log")
    until(lat.nats_answers, 10, lat.nats.tail)


class Credentials(unittest.TestCase):
    def refused(self, host):
        until(lambda: not host.alive(), 20, host.tail)
        self.assertEqual(host.child.wait(), 1, host.tail())
        self.assertIn("the NATS server refuses this host", host.text())

    def test_refused_at_the_start(self):
        with Lattice() as lat:
            lock(lat)
            host = Process([BIN / "hostd"], lat.env, lat.dir / "host.log")
            self.refused(host)
            self.assertNotIn("no NATS server answers", host.text())

    def test_refused_some_day(self):
        with Lattice() as lat:
            host, = lat.start("us-east-1")
            lock(lat)
            self.refused(host)
            lat.hosts.remove(host)


if __name__ == "__main__":
    main()
