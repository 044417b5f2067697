# SPDX-License-Identifier: Apache-2.0
"""Two zones: instances spread 80 to 20 over labelled hosts; more of them, more hosts, and a zone without any."""

import unittest

from lattice import HELLO, Lattice, main, until

EAST, WEST = "us-east-1", "us-west-1"


class Zones(unittest.TestCase):
    def by_host(self, lat):
        """(zone, instances) of every host, sorted."""
        return sorted((i["labels"]["zone"], sum(c["max_instances"] for c in i["components"]))
                      for i in lat.inventory().values())

    def expect(self, lat, *hosts):
        until(lambda: self.by_host(lat) == sorted(hosts), 20, lambda: f"{self.by_host(lat)}\n{lat.app_status('app')}")

    def test_the_spread_follows_the_hosts(self):
        with Lattice() as lat:
            lat.start(EAST, WEST)
            port = lat.deploy(HELLO, count=10)
            self.expect(lat, (EAST, 8), (WEST, 2))
            lat.wait_for_answer(port)
            lat.deploy(HELLO, count=100, port=port)
            self.expect(lat, (EAST, 80), (WEST, 20))
            print("10 instances: 8 and 2; 100: 80 and 20")
            third = lat.start_host(WEST)
            self.assertTrue(lat.answers(port))
            lat.deploy(HELLO, count=10, port=port)
            until(lambda: lat.spread("app") == {EAST: 8, WEST: 2}, 20, lambda: lat.app_status("app"))
            print(f"with a third host: {self.by_host(lat)}")
            for host in (third, lat.hosts[1]):
                host.stop()
                lat.hosts.remove(host)
            until(lambda: lat.spread("app") == {EAST: 8}, 20, lambda: lat.app_status("app"))
            until(lambda: WEST in lat.app_status("app") and "Deployed" not in lat.app_status("app").splitlines()[0], 40,
                  lambda: lat.app_status("app"))
            print(lat.app_status("app"))
            self.assertTrue(lat.answers(port), "the zone that is there goes on")
            lat.start_host(WEST)
            self.expect(lat, (EAST, 8), (WEST, 2))


if __name__ == "__main__":
    main()
