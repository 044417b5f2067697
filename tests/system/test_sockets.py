# SPDX-License-Identifier: Apache-2.0
"""Sockets of components on a real host: requests that wait for a TCP server hold no thread, and what --net-allow does not
name is refused."""

import concurrent.futures
import socket
import threading
import unittest

from lattice import PATIENCE, ROOT, Lattice, free_port, main, manifest, until

RELAY = ROOT / "tests/guests/rust-relay/rust-relay.wasm"
WORKERS, READERS = 2, 40


class Server:
    """Answers what it was sent in capitals, to nobody before `want` clients are there."""

    def __init__(self, want):
        self.all_there = threading.Barrier(want)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=READERS)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, client):
        with client:
            said = b""
            while piece := client.recv(65536):
                said += piece
            self.all_there.wait(20 * PATIENCE)
            client.sendall(said.upper())


class Sockets(unittest.TestCase):
    def deploy(self, lat):
        port = free_port()
        path = lat.dir / "wadm.yaml"
        path.write_text(manifest("relay", RELAY, READERS, port, {"us-east-1": 100}))
        lat.ctl("app", "deploy", path)
        until(lambda: self.there(lat, port), 20, lambda: lat.app_status("relay"))
        return port

    def there(self, lat, port):
        """The component answers, if only that it cannot."""
        try:
            return lat.http(port, "/?127.0.0.1:1").status == 502
        except OSError:
            return False

    def test_many_requests_wait_for_a_server(self):
        server = Server(READERS)
        with Lattice() as lat:
            lat.start_nats()
            host = lat.start_host("us-east-1", "--net-allow", f"127.0.0.1:{server.port},127.0.0.1:1",
                                  "--workers", str(WORKERS))
            port = self.deploy(lat)
            threads = self.threads(host)
            with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
                ask = lambda i: lat.http(port, f"/word-{i}?127.0.0.1:{server.port}", timeout=30 * PATIENCE)
                replies = list(pool.map(ask, range(READERS)))
            for i, reply in enumerate(replies):
                self.assertEqual((reply.status, reply.body), (200, f"/WORD-{i}".encode()), host.tail(5))
            self.assertEqual(self.threads(host), threads)
            self.assertEqual(lat.http(port, "/?127.0.0.1:1").body, b"ConnectionRefused\n")
            self.assertEqual(lat.http(port, f"/?127.0.0.1:{free_port()}").body, b"PermissionDenied\n")
            self.assertEqual(lat.http(port, f"/?localhost:{server.port}").body, b"PermissionDenied\n")
            until(lambda: self.sockets(host, server.port) == 0, 10, "connections stay")
        server.socket.close()

    def test_a_host_gives_none_by_itself(self):
        with Lattice() as lat:
            lat.start("us-east-1")
            port = self.deploy(lat)
            self.assertEqual(lat.http(port, "/?127.0.0.1:1").body, b"PermissionDenied\n")

    def threads(self, host):
        with open(f"/proc/{host.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("Threads"))

    def sockets(self, host, port):
        """Connections to the port that are open in any state but TIME_WAIT."""
        with open(f"/proc/{host.pid}/net/tcp") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        return sum(row[2].endswith(f":{port:04X}") and row[3] != "06" for row in rows)


if __name__ == "__main__":
    main()
