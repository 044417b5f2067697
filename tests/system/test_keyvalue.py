# SPDX-License-Identifier: Apache-2.0
"""A component that counts in a key-value bucket, through the keyvalue-nats provider: the count survives whatever dies."""

import concurrent.futures
import os
import re
import signal
import socket
import unittest

from lattice import BIN, ROOT, Lattice, children_of, free_port, main, until

EXAMPLE = ROOT / "deploy/examples/counter"


def provider_pids(host):
    return [pid for pid, args in children_of(host.pid) if "keyvalue-nats" in args]


def remove_bucket(lat, name):
    with socket.create_connection(("127.0.0.1", lat.nats_port), 5) as s, s.makefile("rwb") as f:
        f.write(f"CONNECT {{}}\r\nSUB done 1\r\nPUB $JS.API.STREAM.DELETE.KV_{name} done 0\r\n\r\n".encode())
        f.flush()
        for line in f:
            if b'"success":true' in line:
                return


class KeyValue(unittest.TestCase):
    def setUp(self):
        if not (BIN / "keyvalue-nats").exists():
            self.fail(f"{BIN / 'keyvalue-nats'} is not built")

    def deploy(self, lat, bucket_settings=""):
        """The example, with its image and port made the test's own."""
        port = free_port()
        text = (EXAMPLE / "wadm.yaml").read_text()
        text = text.replace("file://./counter.wasm", f"file://{EXAMPLE / 'counter.wasm'}")
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        text = re.sub(r"( +)bucket: counter\n", rf"\g<0>{bucket_settings}", text)
        path = lat.dir / "wadm.yaml"
        path.write_text(text)
        lat.ctl("app", "deploy", path)
        self.wait_until_it_counts(lat, port)
        return port

    def wait_until_it_counts(self, lat, port):
        def stored():
            try:
                return lat.http(port, "/value/probe", "PUT", b"x", timeout=5).status == 200
            except OSError:
                return False
        until(stored, 20, lambda: lat.app_status("counter") + "".join(h.tail() for h in lat.hosts))

    def count(self, lat, port, path="/"):
        reply = lat.http(port, path)
        self.assertEqual(reply.status, 200, reply)
        return int(reply.body)

    def test_the_count_goes_up_and_survives(self):
        with Lattice() as lat:
            host, = lat.start("us-east-1")
            port = self.deploy(lat)
            self.assertEqual([self.count(lat, port) for _ in range(3)], [1, 2, 3])
            self.assertEqual(self.count(lat, port, "/other?a=b c".replace(" ", "%20")), 1)

            old, = provider_pids(host)
            os.kill(old, signal.SIGKILL)
            until(lambda: provider_pids(host) not in ([], [old]), 15, host.tail)
            self.wait_until_it_counts(lat, port)
            self.assertEqual(self.count(lat, port), 4)

            host.kill()
            lat.hosts.remove(host)
            lat.start_host("us-east-1")
            self.wait_until_it_counts(lat, port)
            self.assertEqual(self.count(lat, port), 5)

            lat.hosts[0].stop()
            lat.hosts.clear()
            lat.nats.stop()
            lat.start_nats()
            lat.start_host("us-east-1")
            self.wait_until_it_counts(lat, port)
            self.assertEqual(self.count(lat, port), 6)

    def test_concurrent_increments_lose_nothing(self):
        with Lattice() as lat:
            lat.start("us-east-1", "us-west-1")
            port = self.deploy(lat)
            with concurrent.futures.ThreadPoolExecutor(50) as pool:
                counts = list(pool.map(lambda _: self.count(lat, port, "/many"), range(50)))
            self.assertEqual(sorted(counts), list(range(1, 51)))
            self.assertEqual(lat.http(port, "/value//many").body, b"50")

    def test_values_over_a_connection_of_the_link(self):
        with Lattice() as lat:
            lat.start("us-east-1")
            uri = f"nats://127.0.0.1:{lat.nats_port}"
            port = self.deploy(lat, f"\\1cluster_uri: {uri}\n\\1history: \"5\"\n")
            self.assertEqual(lat.http(port, "/value/missing").status, 404)
            value = bytes(range(256)) * 100
            for key in ("plain.key", "user@example.com", ".dots..", "*"):
                self.assertEqual(lat.http(port, f"/value/{key}", "PUT", value).body, b"stored\n")
                self.assertEqual(lat.http(port, f"/value/{key}").body, value)
            self.assertEqual(lat.http(port, "/text", "POST", b"").status, 405)
            lat.http(port, "/value//text", "PUT", b"not a number")
            reply = lat.http(port, "/text")
            self.assertEqual(reply.status, 500)
            self.assertIn(b"'not a number' is not a decimal number", reply.body)

    def test_a_bucket_that_was_removed_is_made_again(self):
        with Lattice() as lat:
            lat.start("us-east-1")
            port = self.deploy(lat)
            self.assertEqual(self.count(lat, port), 1)
            remove_bucket(lat, "counter")
            self.assertEqual(lat.http(port).status, 500)
            self.wait_until_it_counts(lat, port)
            self.assertEqual(self.count(lat, port), 1)


if __name__ == "__main__":
    main()
