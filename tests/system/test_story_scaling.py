# SPDX-License-Identifier: Apache-2.0
"""Scaling: a handler that sleeps two seconds; ten requests, five at a time, by one instance and by ten, changed live."""

import concurrent.futures
import time
import unittest

from lattice import WORKBENCH, Lattice, main, until

SLEEP_S, REQUESTS, AT_A_TIME = 2, 10, 5


class Scaling(unittest.TestCase):
    def ten_requests(self, lat, port):
        """Seconds for all of them; each must be answered."""
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
            path = f"/sleep/{1000 * SLEEP_S}"
            replies = list(pool.map(lambda _: lat.http(port, path, timeout=120), range(REQUESTS)))
        self.assertEqual([r.status for r in replies], [200] * REQUESTS)
        return time.monotonic() - begin

    def instances(self, lat, n):
        until(lambda: sum(lat.spread("app").values()) == n, 15, lambda: lat.app_status("app"))

    def one_at_a_time(self, lat, port, how):
        took = self.ten_requests(lat, port)
        print(f"one instance {how}: {took:.1f} s")
        self.assertGreaterEqual(took, REQUESTS * SLEEP_S)

    def five_at_a_time(self, lat, port, how):
        took = self.ten_requests(lat, port)
        print(f"ten instances {how}: {took:.1f} s")
        self.assertGreaterEqual(took, REQUESTS / AT_A_TIME * SLEEP_S)
        self.assertLess(took, REQUESTS * SLEEP_S / 2, "they did not run side by side")

    def test_from_one_to_ten_by_deploy_and_by_scale(self):
        with Lattice() as lat:
            lat.start("us-east-1")
            zone = {"us-east-1": 100}
            port = lat.deploy(WORKBENCH, count=1, spread=zone)
            lat.wait_for_answer(port)
            self.one_at_a_time(lat, port, "deployed")
            lat.deploy(WORKBENCH, count=10, spread=zone, port=port)
            self.instances(lat, 10)
            self.five_at_a_time(lat, port, "deployed over it")
            self.by_hand(lat)

    def by_hand(self, lat):
        """Without an application: nobody sets the number back."""
        host = lat.host_ids()[0]
        lat.ctl("scale", "component", host, f"file://{WORKBENCH}", "byhand", "--max-instances", "1")
        until(lambda: lat.spread("byhand") == {"us-east-1": 1}, 10, lambda: lat.spread("byhand"))
        lat.ctl("scale", "component", host, f"file://{WORKBENCH}", "byhand", "--max-instances", "10")
        until(lambda: lat.spread("byhand") == {"us-east-1": 10}, 10, lambda: lat.spread("byhand"))
        lat.ctl("scale", "component", host, f"file://{WORKBENCH}", "byhand", "--max-instances", "0")
        until(lambda: lat.spread("byhand") == {}, 10, lambda: lat.spread("byhand"))


if __name__ == "__main__":
    main()
