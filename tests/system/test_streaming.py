# SPDX-License-Identifier: Apache-2.0
"""Bodies stream both ways through client, provider, bus and guest."""

import hashlib
import http.client
import socket
import threading
import time
import unittest

from lattice import PATIENCE, WORKBENCH, Lattice, children_of, main, sanitized
from origin import forget_peak, status_of
from peer import Peer


class Streaming(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lat = Lattice()
        cls.host, = cls.lat.start("us-east-1")
        cls.port = cls.lat.deploy(WORKBENCH, "bench", count=20, spread={"us-east-1": 100})
        cls.lat.wait_for_answer(cls.port, app="bench")

    @classmethod
    def tearDownClass(cls):
        cls.lat.__exit__(None, None, None)

    def test_an_upload_comes_back_byte_for_byte(self):
        data = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(20000))  # 640 kB
        reply = self.lat.http(self.port, "/echo", "POST", data, timeout=60)
        self.assertEqual(hashlib.sha256(reply.body).hexdigest(), hashlib.sha256(data).hexdigest())

    def test_a_chunked_upload_of_unknown_length(self):
        def pieces():
            for i in range(50):
                yield b"piece %d\n" % i
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        c.request("POST", "/echo", pieces(), {"transfer-encoding": "chunked"}, encode_chunked=True)
        self.assertEqual(c.getresponse().read(), b"".join(pieces()))
        c.close()

    def test_an_echo_answers_while_the_upload_is_still_open(self):
        with socket.create_connection(("127.0.0.1", self.port), 10 * PATIENCE) as s:
            s.sendall(b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            got = b""
            while b"first" not in got:
                more = s.recv(4096)
                self.assertTrue(more, got)
                got += more
            s.sendall(b"6\r\nsecond\r\n0\r\n\r\n")
            while b"0\r\n\r\n" not in got:
                more = s.recv(4096)
                self.assertTrue(more, got)
                got += more
            self.assertIn(b"second", got)

    def test_the_head_leaves_before_the_body_is_there(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        begin = time.monotonic()
        c.request("GET", "/late")
        r = c.getresponse()
        head = time.monotonic() - begin
        body = r.read()
        whole = time.monotonic() - begin
        c.close()
        self.assertEqual(body, b"piece\n" * 3)
        self.assertGreaterEqual(whole - head, 0.09)

    def test_a_download_of_32_megabytes(self):
        n = 32 << 20
        reply = self.lat.http(self.port, f"/big/{n}", timeout=120)
        self.assertEqual(len(reply.body), n)
        self.assertEqual(reply.body[:27], b"abcdefghijklmnopqrstuvwxyza")

    def test_a_slow_reader_does_not_slow_the_others(self):
        with socket.create_connection(("127.0.0.1", self.port), 10) as slow:
            slow.sendall(b"GET /big/50000000 HTTP/1.1\r\nhost: x\r\n\r\n")
            slow.recv(100)  # and then nothing more
            for _ in range(20):
                self.assertEqual(self.lat.http(self.port, "/").status, 200)

    def test_keep_alive_and_pipelining(self):
        with socket.create_connection(("127.0.0.1", self.port), 10 * PATIENCE) as s:
            s.sendall(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n" * 5)
            got = b""
            while got.count(b"workbench\n") < 5:
                more = s.recv(65536)
                self.assertTrue(more, got)
                got += more
        self.assertEqual(got.count(b"HTTP/1.1 200"), 5)

    def test_a_client_that_leaves_harms_nobody(self):
        def leave():
            s = socket.create_connection(("127.0.0.1", self.port), 10)
            s.sendall(b"GET /sleep/300 HTTP/1.1\r\nhost: x\r\n\r\n")
            s.close()
        threads = [threading.Thread(target=leave) for _ in range(10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(self.lat.http(self.port, "/").status, 200)

    def test_abandoned_downloads_free_their_instances(self):
        """More of them than there are instances; and what waits in the queue for nobody never begins."""
        for _ in range(25):
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            c.request("GET", "/big/50000000")
            c.getresponse().read(100)
            c.close()
        begin = time.monotonic()
        self.assertEqual(self.lat.http(self.port, "/").status, 200)
        self.assertLess(time.monotonic() - begin, 8 * PATIENCE)

    def grown_kb(self, transfer):
        """What the host and the provider need more at their peaks than before."""
        pids = {"hostd": self.host.pid} | {"http-server": p for p, a in children_of(self.host.pid) if "http-server" in a}
        before = {name: status_of(pid, "VmRSS") for name, pid in pids.items()}
        for pid in pids.values():
            forget_peak(pid)
        transfer()
        return {name: status_of(pid, "VmHWM") - before[name] for name, pid in pids.items()}

    def test_64_mebibytes_up_and_down_in_bounded_memory(self):
        """However much it is: bodies wait where they come from. tests/bench/bodies does it with 1 GiB."""
        n, block = 64 << 20, bytes(1 << 16)

        def upload():
            reply = self.lat.http(self.port, "/count", "POST", (block for _ in range(n // len(block))),
                                  {"content-length": str(n)}, timeout=120)
            self.assertEqual(reply.body, b"%d\n" % n)

        def download():
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            c.request("GET", f"/big/{n}")
            r = c.getresponse()
            self.assertEqual(sum(iter(lambda: len(r.read(1 << 16)), 0)), n)
            c.close()

        for transfer in (upload, download):
            grown = self.grown_kb(transfer)
            print(f"64 MiB {transfer.__name__}: peaks grow by {grown} kB")
            if not sanitized():
                self.assertLess(max(grown.values()), 16 << 10)

    def test_an_upload_that_nobody_paces_arrives_whole(self):
        """From a peer of another make, to a guest that first sleeps: it waits in a file, not in memory."""
        data = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(1 << 16)) * 32  # 64 MiB
        peer = Peer(self.lat.nats_port)
        self.assertEqual(peer.handle("default.bench", "POST", "/echo", b"small"), (200, b"small"))
        peer.pause = 0.005
        before = status_of(self.host.pid, "VmRSS")
        forget_peak(self.host.pid)
        status, body = peer.handle("default.bench", "POST", "/echo/2000", data)
        grown = status_of(self.host.pid, "VmHWM") - before
        peer.close()
        self.assertEqual(status, 200)
        self.assertEqual(len(body), len(data))
        self.assertEqual(hashlib.sha256(body).digest(), hashlib.sha256(data).digest())
        print(f"64 MiB unpaced: peak +{grown} kB")
        if not sanitized():
            self.assertLess(grown, 48 << 10)


if __name__ == "__main__":
    main()
