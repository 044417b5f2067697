# SPDX-License-Identifier: Apache-2.0
"""HTTPS by the http-server provider: real handshakes, bodies in both directions, and clients that do not know how."""

import concurrent.futures
import http.client
import socket
import ssl
import subprocess
import unittest

from lattice import WORKBENCH, Lattice, main, until


class Tls(unittest.TestCase):
    def setUp(self):
        self.lat = Lattice()
        self.lat.__enter__()
        self.addCleanup(self.lat.__exit__, None, None, None)
        lat, self.cert, key = self.lat, self.lat.dir / "cert.pem", self.lat.dir / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", self.cert, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        lat.start("us-east-1")
        self.port = lat.deploy(WORKBENCH, spread={"us-east-1": 100})
        lat.ctl("app", "delete", "app")
        path = lat.dir / "app.yaml"
        address = f"address: 127.0.0.1:{self.port}"
        indent = " " * 20
        path.write_text(path.read_text().replace(
            address, f"{address}\n{indent}tls_cert_file: {self.cert}\n{indent}tls_priv_key_file: {key}"))
        lat.ctl("app", "deploy", path)
        until(self.answers, 20, lambda: lat.app_status("app") + lat.hosts[0].tail())

    def context(self, **kw):
        c = ssl.create_default_context(cafile=self.cert)
        for name, value in kw.items():
            setattr(c, name, value)
        return c

    def connect(self, **kw):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self.context(**kw))

    def ask(self, path, method="GET", body=None, **kw):
        c = self.connect(**kw)
        try:
            c.request(method, path, body)
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def answers(self):
        try:
            return self.ask("/")[0] == 200
        except OSError:
            return False

    def test_requests_and_bodies(self):
        self.assertEqual(self.ask("/"), (200, b"workbench\n"))
        data = bytes(range(256)) * 40000
        self.assertEqual(self.ask("/echo", "POST", data), (200, data))
        status, body = self.ask("/big/20000000")
        self.assertEqual((status, len(body)), (200, 20000000))
        c = self.connect()
        for _ in range(20):
            c.request("GET", "/")
            self.assertEqual(c.getresponse().read(), b"workbench\n")
        c.close()
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            replies = list(pool.map(lambda _: self.ask("/echo", "POST", data[:100000]), range(60)))
        self.assertTrue(all(r == (200, data[:100000]) for r in replies))

    def test_a_reader_that_sleeps_first(self):
        c = self.connect()
        c.request("GET", "/big/8000000")
        r = c.getresponse()
        got = len(r.read(1000))
        self.assertEqual(self.ask("/")[0], 200, "others are served meanwhile")
        self.assertEqual(got + len(r.read()), 8000000)
        c.close()

    def test_what_is_not_https(self):
        """Plain HTTP, old protocols, half a handshake, protocols we do not speak: closed, and nobody else notices."""
        for bytes_ in (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\x00" * 5000):
            with socket.create_connection(("127.0.0.1", self.port), 10) as s:
                s.sendall(bytes_)
                s.shutdown(socket.SHUT_WR)
                try:
                    self.assertNotIn(b"HTTP/1.1 200", s.recv(10000))
                except ConnectionResetError:
                    pass
        alpn = self.context()
        alpn.set_alpn_protocols(["h2", "http/1.1"])
        with alpn.wrap_socket(socket.create_connection(("127.0.0.1", self.port)), server_hostname="127.0.0.1") as s:
            self.assertEqual(s.selected_alpn_protocol(), "h2")
        alpn.set_alpn_protocols(["spdy/3"])
        with self.assertRaises(ssl.SSLError):
            alpn.wrap_socket(socket.create_connection(("127.0.0.1", self.port)), server_hostname="127.0.0.1")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises(OSError):
            old.wrap_socket(socket.create_connection(("127.0.0.1", self.port)))
        self.assertEqual(self.ask("/"), (200, b"workbench\n"))

    def test_clients_that_leave(self):
        for _ in range(10):
            c = self.connect()
            c.request("GET", "/big/50000000")
            c.getresponse().read(100)
            c.close()
        self.assertEqual(self.ask("/"), (200, b"workbench\n"))


if __name__ == "__main__":
    main()
