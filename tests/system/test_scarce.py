# SPDX-License-Identifier: Apache-2.0
"""Little address space (ulimit -v): hosts choose bounds checks instead of guard pages, say so, and serve all the same."""

import resource
import subprocess
import unittest
from concurrent.futures import ThreadPoolExecutor

from lattice import BIN, HELLO, ROOT, Lattice, main

KBYTES = 262144
COMMAND = ROOT / "tests/guests/c-command/c-command.wasm"


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (KBYTES * 1024, KBYTES * 1024))


class Scarce(unittest.TestCase):
    def setUp(self):
        probe = subprocess.run([str(BIN / "hostd"), "--help"], preexec_fn=limit, capture_output=True, timeout=60)
        if probe.returncode:
            self.skipTest("this build does not start in so little address space (sanitizers do not)")

    def test_a_host_serves_hello(self):
        with Lattice() as lat:
            lat.start_nats()
            host = lat.start_host("us-east-1", preexec_fn=limit)
            self.assertIn("guest memories are bounds-checked", host.text())
            port = lat.deploy(HELLO, name="hello", spread={"us-east-1": 100})
            lat.wait_for_answer(port, app="hello")
            with ThreadPoolExecutor(8) as pool:
                bodies = list(pool.map(lambda i: lat.http(port, f"/{i}").body, range(64)))
            self.assertEqual(bodies, [f"hello from hostd: /{i}\n".encode() for i in range(64)])

    def test_a_host_with_enough_uses_guard_pages(self):
        with Lattice() as lat:
            lat.start_nats()
            self.assertIn("guest memories end in guard pages", lat.start_host("us-east-1").text())

    def test_a_command_runs(self):
        done = subprocess.run([str(BIN / "hostctl"), "run", "--env", "K=V", str(COMMAND), "one"], preexec_fn=limit,
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("arguments one", done.stdout)


if __name__ == "__main__":
    main()
