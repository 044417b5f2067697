# SPDX-License-Identifier: Apache-2.0
"""Hello and counter: up, deploy, every request counts; down and up again, and it goes on where it was."""

import unittest

from lattice import ROOT, Lattice, free_port, main, until

EXAMPLE = ROOT / "deploy/examples/counter"


class Counter(unittest.TestCase):
    def count(self, lat, port):
        reply = lat.http(port)
        return int(reply.body) if reply.status == 200 else 0

    def test_the_count_survives_down_and_up(self):
        with Lattice() as lat:
            try:
                self.story(lat)
            finally:
                lat.ctl("down", "--all", check=False)

    def story(self, lat):
        lat.ctl("up", "-d", "--label", "zone=us-east-1")
        port = free_port()
        manifest = (EXAMPLE / "wadm.yaml").read_text()
        path = lat.dir / "wadm.yaml"
        path.write_text(manifest.replace("./counter.wasm", str(EXAMPLE / "counter.wasm"))
                        .replace("127.0.0.1:8000", f"127.0.0.1:{port}"))
        lat.ctl("app", "deploy", path)
        lat.wait_for_answer(port, 20, "counter")
        before = [self.count(lat, port) for _ in range(5)]
        self.assertEqual(before, list(range(before[0], before[0] + 5)))
        links = lat.ctl("get", "links").stdout
        self.assertIn("keyvalue", links)
        lat.ctl("down", "--all")
        until(lambda: not lat.answers(port), 10, "it still answers after down")
        lat.ctl("up", "-d", "--label", "zone=us-east-1")
        after = until(lambda: lat.answers(port) and self.count(lat, port), 20, lambda: lat.app_status("counter"))
        print(f"counted to {before[-1]}, down, up, and on from {after}")
        self.assertGreater(after, before[-1])
        self.assertLessEqual(after, before[-1] + 100, "it goes on and does not start anew")


if __name__ == "__main__":
    main()
