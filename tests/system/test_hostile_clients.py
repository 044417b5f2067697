# SPDX-License-Identifier: Apache-2.0
"""The http-server before clients that are slow, greedy, gone or very many: they are sent away, and the others are served."""

import contextlib
import resource
import selectors
import socket
import threading
import time
import unittest

from lattice import PATIENCE, WORKBENCH, Lattice, children_of, free_port, main, manifest, sanitized, until
from origin import forget_peak, status_of

IDLE_CONNECTIONS = 8000
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


def deploy(lat, count, **settings):
    port = free_port()
    address = f"address: 127.0.0.1:{port}"
    rows = "".join(f"\n{' ' * 20}{key}: '{value}'" for key, value in settings.items())
    path = lat.dir / "app.yaml"
    path.write_text(manifest("app", WORKBENCH, count, port, {"us-east-1": 100}).replace(address, address + rows))
    lat.ctl("app", "deploy", path)
    lat.wait_for_answer(port)
    return port


def provider_pid(host):
    return until(lambda: [p for p, args in children_of(host.pid) if "http-server" in args], 5, "a provider")[0]


class Crowd:
    """Many connections of one thread: each sends `first`, then `more` again and again. `got` is what each received until
    it was closed."""

    def __init__(self, port, n, first, more=b""):
        self.more, self.got, self.selector = more, [], selectors.DefaultSelector()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if more else 0)
        for _ in range(n):
            s = socket.create_connection(("127.0.0.1", port), 10 * PATIENCE)
            s.sendall(first)
            s.setblocking(False)
            self.selector.register(s, events, bytearray())

    def end(self, key):
        self.selector.unregister(key.fileobj)
        key.fileobj.close()
        self.got.append(bytes(key.data))

    def turn(self, key, mask):
        try:
            if mask & selectors.EVENT_READ:
                data = key.fileobj.recv(65536)
                key.data.extend(data)
                if not data:
                    self.end(key)
                    return
            if mask & selectors.EVENT_WRITE and not key.data:
                key.fileobj.send(self.more)
        except BlockingIOError:
            pass
        except OSError:
            self.end(key)

    def run(self, seconds, pause=0.1):
        """Until all have been closed by the server; returns how many have not."""
        end = time.monotonic() + seconds * PATIENCE
        while self.selector.get_map() and time.monotonic() < end:
            for key, mask in self.selector.select(pause):
                self.turn(key, mask)
            time.sleep(pause)  # the clients' own pace
        return len(self.selector.get_map())

    def close(self):
        for key in list(self.selector.get_map().values()):
            self.end(key)


class Slow(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lat = Lattice()
        cls.host, = cls.lat.start("us-east-1")
        cls.port = deploy(cls.lat, 4, header_timeout_ms=1000, body_timeout_ms=1000, write_timeout_ms=2000)

    @classmethod
    def tearDownClass(cls):
        cls.lat.__exit__(None, None, None)

    def check_served_meanwhile(self, crowd, seconds):
        left = []
        t = threading.Thread(target=lambda: left.append(crowd.run(seconds)))
        t.start()
        while t.is_alive():
            self.assertEqual(self.lat.http(self.port, "/").status, 200)
            t.join(0.1)
        crowd.close()
        self.assertEqual(left, [0], "connections are open still")

    def test_heads_that_dribble_in(self):
        crowd = Crowd(self.port, 200, b"GET / HTTP/1.1\r\na: ", b"x")
        self.check_served_meanwhile(crowd, 6)
        self.assertTrue(all(got.startswith(b"HTTP/1.1 408 ") for got in crowd.got), set(crowd.got))

    def test_bodies_that_stop(self):
        """No more of them than there are instances: the component waits for each."""
        crowd = Crowd(self.port, 3, b"POST /count HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
        self.check_served_meanwhile(crowd, 6)
        self.assertTrue(all(got.startswith(b"HTTP/1.1 408 ") for got in crowd.got), set(crowd.got))

    def test_readers_that_do_not_read(self):
        """More of them than there are instances."""
        crowd = Crowd(self.port, 12, b"GET /big/50000000 HTTP/1.1\r\nhost: x\r\n\r\n")
        until(self.served_soon, 20, "the instances wait for nobody")
        crowd.close()

    def served_soon(self):
        with contextlib.suppress(OSError):
            return self.lat.http(self.port, "/", timeout=1).status == 200

    def test_floods_of_header_fields(self):
        pid = provider_pid(self.host)
        before = status_of(pid, "VmRSS")
        forget_peak(pid)
        crowd = Crowd(self.port, 100, b"GET / HTTP/1.1\r\nhost: x\r\n", b"a: 1\r\nbc: 23456\r\n" * 5)
        self.check_served_meanwhile(crowd, 6)
        self.assertTrue(all(got.startswith(b"HTTP/1.1 431 ") for got in crowd.got), set(crowd.got))
        grown = status_of(pid, "VmHWM") - before
        print(f"100 floods of header fields: peak grows by {grown} kB")
        if not sanitized():
            self.assertLess(grown, 16 << 10)


class Many(unittest.TestCase):
    def test_8000_idle_connections(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        need = IDLE_CONNECTIONS + 500
        if hard != resource.RLIM_INFINITY and hard < need:
            self.skipTest(f"{need} open files are needed, the hard limit is {hard} (ulimit -Hn)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, need), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with Lattice() as lat:
            host, = lat.start("us-east-1")
            port = deploy(lat, 10, idle_timeout_ms=600000)
            pid = provider_pid(host)
            before = status_of(pid, "VmRSS")
            with contextlib.ExitStack() as stack:
                for _ in range(IDLE_CONNECTIONS):
                    s = stack.enter_context(socket.create_connection(("127.0.0.1", port), 10 * PATIENCE))
                    s.sendall(GET)  # each has been used, as idle ones have
                    self.assertTrue(s.recv(4096).startswith(b"HTTP/1.1 200 "))
                each = (status_of(pid, "VmRSS") - before) * 1024 / IDLE_CONNECTIONS
                print(f"{IDLE_CONNECTIONS} idle connections: {each:.0f} bytes each")
                self.assertEqual(lat.http(port).status, 200)
                if not sanitized():
                    self.assertLess(each, 8192)
                s.sendall(GET)
                self.assertTrue(s.recv(4096).startswith(b"HTTP/1.1 200 "))
            until(lambda: lat.answers(port), 10, "an answer after they left")


class Busy(unittest.TestCase):
    """One instance, and whoever else waits for it."""

    def open(self, **env):
        lat = self.enterContext(Lattice())
        self.host, = lat.start("us-east-1", **env)
        return lat, deploy(lat, 1)

    def begin(self, port, path):
        s = socket.create_connection(("127.0.0.1", port), 20 * PATIENCE)
        s.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        return s

    def test_a_full_queue_is_503_and_says_when_to_come_again(self):
        lat, port = self.open(HOSTD_MAX_QUEUE="2")
        clients = [self.begin(port, "/sleep/1000") for _ in range(8)]
        answers = [s.recv(4096) for s in clients]
        for s in clients:
            s.close()
        refused = [a for a in answers if a.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after: 1\r\n" in a]
        self.assertEqual(len(refused), 5, answers)
        self.assertEqual(sum(a.startswith(b"HTTP/1.1 200 ") for a in answers), 3, answers)
        self.assertEqual(lat.http(port).status, 200)

    def test_calls_of_clients_that_left_never_begin(self):
        lat, port = self.open()
        running = self.begin(port, "/sleep/1000")
        for s in [self.begin(port, "/sleep/60000") for _ in range(5)]:
            s.close()
        self.assertEqual(lat.http(port, timeout=20 * PATIENCE).status, 200)
        running.close()


if __name__ == "__main__":
    main()
