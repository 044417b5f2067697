# SPDX-License-Identifier: Apache-2.0
"""Requests that components make, by the host's own client: what passes, what is refused, and every way to fail."""

import concurrent.futures
import hashlib
import http.client
import pathlib
import shutil
import subprocess
import tempfile
import threading
import time
import unittest

from lattice import BIN, PATIENCE, ROOT, Lattice, free_port, main, sanitized, until
from origin import Authority, Origin, Raw, status_of

FETCH = ROOT / "tests/guests/fetch/fetch.wasm"
COURIER = ROOT / "tests/guests/courier/courier.wasm"
CODES = {name: number for number, name in enumerate("""DNS-timeout DNS-error destination-not-found destination-unavailable
    destination-IP-prohibited destination-IP-unroutable connection-refused connection-terminated connection-timeout
    connection-read-timeout connection-write-timeout connection-limit-reached TLS-protocol-error TLS-certificate-error
    TLS-alert-received HTTP-request-denied HTTP-request-length-required HTTP-request-body-size
    HTTP-request-method-invalid HTTP-request-URI-invalid HTTP-request-URI-too-long HTTP-request-header-section-size
    HTTP-request-header-size HTTP-request-trailer-section-size HTTP-request-trailer-size HTTP-response-incomplete
    HTTP-response-header-section-size HTTP-response-header-size HTTP-response-body-size
    HTTP-response-trailer-section-size HTTP-response-trailer-size HTTP-response-transfer-coding
    HTTP-response-content-coding HTTP-response-timeout HTTP-upgrade-failed HTTP-protocol-error loop-detected
    configuration-error internal-error""".split())}


H2_SERVER = """
import http2 from "node:http2";
import fs from "node:fs";
const [cert, key] = process.argv.slice(2).map((f) => fs.readFileSync(f));
const server = http2.createSecureServer({ cert, key }, (req, res) => {
  if (req.url === "/bytes") return res.end(Buffer.alloc(3000000, "z"));
  if (req.url === "/forever") {
    const more = () => { while (res.write(Buffer.alloc(65536))); };
    res.on("drain", more);
    return more();
  }
  let n = 0;
  req.on("data", (d) => (n += d.length));
  req.on("end", () => res.end(`${req.httpVersion} ${req.method} ${n}`));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


@unittest.skipUnless(Authority.available(), "openssl is not installed")
class Outgoing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lat = Lattice()
        cls.addClassCleanup(lambda: cls.lat.__exit__(cls.failed, None, None))
        cls.failed = None
        cls.ca = Authority(cls.lat.dir)
        cls.lat.start_nats()
        # `denied` resolves on no machine, so nothing leaves this one even if it were allowed
        cls.host = cls.lat.start_host("us-east-1", "--http-allow", "localhost,127.0.0.1,*.invalid", "--http-ca", cls.ca.cert,
                                      NO_PROXY="", HTTP_PROXY="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9",
                                      http_proxy="http://127.0.0.1:9")
        cls.port = cls.lat.deploy(COURIER, spread={"us-east-1": 100})
        until(lambda: cls.lat.http(cls.port).status == 400 if cls.listening() else False, 15, "the component")

    @classmethod
    def listening(cls):
        try:
            cls.lat.http(cls.port, timeout=5)
            return True
        except OSError:
            return False

    def run(self, result=None):
        before = len(result.errors) + len(result.failures)
        super().run(result)
        if len(result.errors) + len(result.failures) > before:
            type(self).failed = AssertionError  # so that the logs are shown

    def ask(self, url, method="GET", body=None, **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()} | {"x-target": url}
        return self.lat.http(self.port, "/", method, body, headers, timeout=60)

    def fails(self, code, url, **kw):
        r = self.ask(url, **kw)
        self.assertEqual(r.status, 502, r)
        self.assertEqual(int(r.body.split()[0]), CODES[code], r.body)
        return r.body.partition(b" ")[2].decode()

    def breaks(self, url, **kw):
        """A response that ends in the middle: seen as such, or as 502 when nothing of it had left yet."""
        try:
            self.assertEqual(self.ask(url, **kw).status, 502)
        except (http.client.IncompleteRead, ConnectionError):
            pass

    def test_requests_and_responses_pass(self):
        with Origin() as o:
            r = self.ask(o.url("/echo?a=%20b&c"), authorization="Basic dTpw", x_two="2")
            text = r.body.decode().lower()
            self.assertEqual((r.status, r.headers["x-one"]), (200, "1"))
            self.assertIn("get /echo?a=%20b&c", text)
            self.assertIn(f"host: localhost:{o.port}", text)
            self.assertIn("authorization: basic dtpw", text)
            self.assertIn("x-two: 2", text)
            for name in ("user-agent: curl", "expect:", "transfer-encoding", "content-length"):
                self.assertNotIn(name, text)
            self.assertIn("authorization: Bearer t0ken", self.ask(o.url("/echo"), authorization="Bearer t0ken").body.decode())
            self.assertTrue(self.ask(o.url("/echo"), "POST", b"{}").body.endswith(b"\n{}"))
            self.assertIn(b"DELETE /echo", self.ask(o.url("/echo"), "DELETE").body)
            self.assertIn(b"content-length: 0", self.ask(o.url("/echo"), "PUT", b"").body.lower())
            self.assertEqual(self.ask(o.url("/echo"), "HEAD").status, 200)
            for status in (204, 302, 404, 503):  # a redirect is an answer like any other
                self.assertEqual(self.ask(o.url(f"/status/{status}")).status, status)
            self.assertEqual(self.ask(o.url("/early")).body, b"after hints")
            self.assertNotIn("/elsewhere", [path for _, path, _, _ in o.requests])

    def test_connections_are_kept(self):
        with Origin() as o:
            for _ in range(20):
                self.assertEqual(self.ask(o.url("/echo")).status, 200)
            self.assertLessEqual(len({port for *_, port in o.requests}), 2)

    def test_https_is_verified(self):
        with Origin(self.ca.certificate()) as good, Origin(self.ca.certificate("DNS:elsewhere.invalid")) as other, \
                Origin(Authority(self.lat.dir, "stranger").certificate()) as stranger:
            self.assertIn(b"GET /echo", self.ask(good.url("/echo")).body)
            self.assertIn(b"GET /echo", self.ask(good.url("/echo", "127.0.0.1")).body)
            self.fails("TLS-certificate-error", other.url("/echo"))
            self.fails("TLS-certificate-error", stranger.url("/echo"))
            self.assertEqual((other.requests, stranger.requests), ([], []))
        with Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as plain:
            self.fails("TLS-protocol-error", plain.url("https"))

    @unittest.skipUnless(shutil.which("node"), "node, whose server speaks HTTP/2, is not installed")
    def test_http2_where_tls_agrees(self):
        cert, key = self.ca.certificate()
        script = self.lat.dir / "h2.mjs"
        script.write_text(H2_SERVER)
        server = subprocess.Popen(["node", script, cert, key], stdout=subprocess.PIPE)
        self.addCleanup(lambda: (server.kill(), server.wait(), server.stdout.close()))
        url = f"https://localhost:{int(server.stdout.readline())}"
        r = self.ask(url + "/count", "POST", b"x" * 1000000)
        self.assertEqual((r.status, r.body), (200, b"2.0 POST 1000000"))
        r = self.upload(url + "/count", 4 << 20, b"y" * 65536)
        self.assertEqual(r, b"2.0 POST 4194304")
        self.assertEqual(self.ask(url + "/bytes").body, b"z" * 3000000)
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            for r in pool.map(lambda _: self.ask(url + "/count", "POST", b"abc"), range(100)):
                self.assertEqual(r.body, b"2.0 POST 3")
        self.assertEqual(self.ask(url + "/forever", x_drop="response").status, 204)

    def test_what_is_not_allowed_is_denied(self):
        with Origin() as o:
            for host in ("[::1]", "localhost.localdomain", "0x7f000001", "127.1"):
                self.fails("HTTP-request-denied", o.url("/echo", host))
            self.assertEqual(o.requests, [])
        self.assertIn("is not among the servers that may be asked", self.host.text())
        self.fails("DNS-error", "http://nobody.invalid/")

    def test_bad_requests_are_refused(self):
        self.fails("HTTP-request-URI-invalid", "http://user@localhost/")
        self.fails("HTTP-request-URI-invalid", "http://localhost:0/")
        self.fails("HTTP-request-URI-invalid", "http://localhost:99999/")

    def test_servers_that_fail(self):
        self.fails("connection-refused", f"http://localhost:{free_port()}/")
        with Raw(b"") as r:
            self.fails("connection-terminated", r.url())
        with Raw(b"SSH-2.0-nonsense\r\n" * 50) as r:
            self.fails("HTTP-protocol-error", r.url())
        with Raw(b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n") as r:
            self.fails("HTTP-protocol-error", r.url())
        with Raw(b"\x15\x03\x01\x00\x02\x02\x28") as r:
            self.fails("TLS-alert-received", r.url("https"))
        with Raw(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300000) as r:
            self.fails("HTTP-response-header-section-size", r.url())
        with Origin() as o:
            self.fails("HTTP-response-header-section-size", o.url("/fields/300/1"))
            self.fails("HTTP-response-header-section-size", o.url("/fields/90/1000"))
            self.assertEqual(self.ask(o.url("/fields/50/1000")).status, 200)
            self.breaks(o.url("/cut"))

    def test_servers_that_stall(self):
        with Origin() as o:
            begun = time.monotonic()
            self.fails("connection-read-timeout", o.url("/stall-head"), x_first_byte_ms="200")
            self.breaks(o.url("/stall-body"), x_between_ms="200")
            self.assertLess(time.monotonic() - begun, 5 * PATIENCE)

    def test_trailers_pass_both_ways(self):
        with Origin() as o:
            c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            c.putrequest("POST", "/")
            for name, value in (("x-target", o.url("/echo")), ("transfer-encoding", "chunked"), ("trailer", "x-sum")):
                c.putheader(name, value)
            c.endheaders()
            c.send(b"3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n")
            self.assertIn(b"trailers: x-sum: 6;\nabc", c.getresponse().read())
            c.putrequest("GET", "/")
            c.putheader("x-target", o.url("/trailers"))
            c.endheaders()
            c.sock.settimeout(20)
            seen = b""
            while not seen.endswith(b"\r\n\r\n") or b"0\r\n" not in seen:
                seen += c.sock.recv(65536)
            self.assertIn(b"\r\n0\r\nx-sum: 6\r\n", seen)
            c.close()

    def test_bodies_stream_in_constant_memory(self):
        size, block = 64 << 20, bytes(range(256)) * 256
        with Origin(self.ca.certificate()) as o:
            self.ask(o.url("/bytes/1000000"))
            before = status_of(self.host.pid, "VmRSS")
            r = self.upload(o.url("/count"), size, block)
            self.assertEqual(r.split()[0], str(size).encode())
            digest = hashlib.sha256()
            for _ in range(size // len(block)):
                digest.update(block)
            self.assertEqual(r.split()[1].decode(), digest.hexdigest())
            n = self.download(o.url(f"/bytes/{size}"), digest.hexdigest())
            self.assertEqual(n, size)
            grown = status_of(self.host.pid, "VmHWM") - before
            print(f"64 MiB up and down by HTTPS: peak +{grown} kB")
            if not sanitized():
                self.assertLess(grown, 24 << 10)

    def upload(self, url, size, block):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        c.request("POST", "/", (block for _ in range(size // len(block))), {"x-target": url}, encode_chunked=True)
        try:
            return c.getresponse().read()
        finally:
            c.close()

    def download(self, url, expected):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        c.request("GET", "/", headers={"x-target": url})
        r, n, digest = c.getresponse(), 0, hashlib.sha256()
        while piece := r.read(65536):
            n += len(piece)
            digest.update(piece)
        c.close()
        self.assertEqual(digest.hexdigest(), expected)
        return n

    def test_what_nobody_wants_is_cancelled(self):
        with Origin() as o:
            self.assertEqual(self.ask(o.url("/forever"), x_drop="response").status, 204)
            until(lambda: "/forever" in o.broken, 10, "the server's connection breaks")
            self.assertEqual(self.ask(o.url("/stall-head"), x_drop="future").status, 204)

    def test_waiting_requests_cost_no_threads(self):
        with Origin() as o:
            before = status_of(self.host.pid, "Threads")
            waiting = [threading.Thread(target=self.ask, args=(o.url("/stall-head"),), daemon=True) for _ in range(10)]
            for t in waiting:
                t.start()
            until(lambda: len(o.requests) == len(waiting), 10, lambda: o.requests)
            self.assertLessEqual(status_of(self.host.pid, "Threads"), before + 1)
            o.release.set()
            for t in waiting:
                t.join(20)


@unittest.skipUnless(Authority.available(), "openssl is not installed")
class InTheTerminal(unittest.TestCase):
    """The same client under `hostctl run`."""

    def run_guest(self, *args, status=0):
        done = subprocess.run([BIN / "hostctl", "run", *map(str, args)], capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, status, done)
        return done.stdout

    def test_a_command_asks_servers_that_are_allowed(self):
        with tempfile.TemporaryDirectory() as folder:
            ca = Authority(pathlib.Path(folder))
            with Origin(ca.certificate()) as o:
                where = ("https", f"localhost:{o.port}")
                allow = ("--http-allow", "https://localhost", "--http-allow", "example.org", "--http-ca", ca.cert)
                out = self.run_guest(*allow, FETCH, *where, "/echo?x")
                self.assertTrue(out.startswith(b"200\nGET /echo?x\n"), out)
                out = self.run_guest(*allow, FETCH, *where, "/count", "x" * 100000)
                self.assertEqual(out.split()[:2], [b"200", b"100000"])
                out = self.run_guest(*allow, FETCH, *where, "/bytes/3000000")
                self.assertEqual(len(out), 3000004)
                denied = f"error {CODES['HTTP-request-denied']}\n".encode()
                self.assertEqual(self.run_guest(*allow, FETCH, "http", "localhost:80", "/", status=1), denied)
                self.assertEqual(self.run_guest(*allow, FETCH, "http", "localhost:80", "/", "body", status=1), denied)
                self.assertEqual(self.run_guest(FETCH, *where, "/echo", status=1), denied)
                self.assertEqual(self.run_guest("--http-allow", "*", FETCH, *where, "/echo", status=1),
                                 f"error {CODES['TLS-certificate-error']}\n".encode())
                self.run_guest("--timeout", "300ms", *allow, FETCH, *where, "/stall-head", status=124)
                bad = subprocess.run([BIN / "hostctl", "run", "--http-allow", "a b", FETCH], capture_output=True, text=True,
                                     check=False)
                self.assertIn("is no pattern", bad.stderr)


if __name__ == "__main__":
    main()
