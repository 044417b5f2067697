# SPDX-License-Identifier: Apache-2.0
"""A NATS server that does not let us in: a host says so and ends, whether that is so from the beginning or from some day
on, for whoever supervises it would otherwise take it for a living one."""

import unittest

from lattice import BIN, HELLO, Lattice, Process, main, until
from nats_auth import Realm
from origin import Authority


def lock(lat):
    """The server, started again with the same data, and now with a password."""
    if lat.nats:
        lat.nats.kill()
    args = ["nats-server", "-js", "-a", "127.0.0.1", "-p", lat.nats_port, "-sd", lat.dir / "jetstream", "--user", "u",
            "--pass", "p"]
    lat.nats = Process(args, lat.env, lat.dir / "nats-locked.log")
    until(lat.nats_answers, 10, lat.nats.tail)


CREDS = """-----BEGIN NATS USER JWT-----
{}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{}
------END USER NKEY SEED------
"""


class Credentials(unittest.TestCase):
    @unittest.skipUnless(Authority.available(), "openssl is not installed")
    def test_a_file_serves_the_providers_too(self):
        with Lattice() as lat:
            realm, config, creds = Realm(lat.dir), lat.dir / "server.conf", lat.dir / "user.creds"
            config.write_text(realm.config())
            creds.write_text(CREDS.format(realm.user_jwt, realm.user_seed))
            lat.env |= {"WASMCLOUD_NATS_CREDS": str(creds), "WASH_CTL_CREDS": str(creds)}
            lat.start_nats("-c", config)
            host = lat.start_host("us-east-1")
            port = lat.deploy(HELLO, spread={"us-east-1": 100})
            until(lambda: lat.answers(port), 20, host.tail)
            self.assertNotIn(realm.user_seed, host.text())

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
