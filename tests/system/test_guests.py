# SPDX-License-Identifier: Apache-2.0
"""Guests from every toolchain on a real host, their answers byte for byte. Those over 200 kB are not in the tree:
tests/guests/build makes them; those that it did not are skipped by name."""

import http.server
import subprocess
import threading
import unittest

from lattice import BIN, GUEST_CACHE, PATIENCE, ROOT, HttpServer, Lattice, free_port, main, need_guest, until

GUESTS = ROOT / "tests/guests"
LONG = bytes(range(32, 127)) * 1000
NUMBERS = b'{"big":"1180591620717411303424","pi":3.141592653589793,"words":["a","b","c","z"]}'
BANK = b"""owner /ann
deposited 70: 70
withdrawn 9: the other has only 5
open 2
absorbed: 75
open 1
open 0
"""
# file -> (request body or None for GET, target, status, answer)
HTTP = {
    GUESTS / "c-http/c-http.wasm": [
        (None, "/a?b", 200, b"hello from libc: /a?b\nserved 1, pi 3.1416, mode none, clock runs\n"),
        (None, "/", 200, b"hello from libc: /\nserved 1, pi 3.1416, mode none, clock runs\n")],
    GUESTS / "c-bank/composition.wasm": [(None, "/ann", 200, BANK)],
    GUESTS / "rust-http/rust-http.wasm": [
        (None, "/hello?a=b", 200, b"hello from rust: a=b\n"),
        (None, "/count?rust", 200, b"count 1\n"),
        (None, "/count?rust", 200, b"count 2\n"),
        (LONG, "/echo", 200, LONG),
        (None, "/nope", 404, b"no such route\n")],
    GUEST_CACHE / "js-http.wasm": [
        (None, "/hello?a=b", 200, b"hello from javascript: /hello?a=b\n"),
        (None, "/count?js", 200, b"count 1\n"),
        (None, "/count?js", 200, b"count 2\n"),
        ("zwölf Boxkämpfer \U0001f94a".encode(), "/keep?text", 200, "kept zwölf Boxkämpfer \U0001f94a\n".encode()),
        (LONG, "/echo", 200, LONG),
        (None, "/sleep", 200, b"slept true\n"),
        (None, "/nope", 404, b"no such route\n")],
    GUEST_CACHE / "js-quickjs.wasm": [
        (None, "/hello?a=b", 200, b"hello from quickjs: a=b\n"),
        (None, "/count?quickjs", 200, b"count 1\n"),
        (LONG, "/echo", 200, LONG),
        (None, "/numbers?z,c,b,a", 200, NUMBERS),
        (None, "/nope", 404, b"no such route\n")],
    GUEST_CACHE / "go-http.wasm": [
        (None, "/hello?a=b", 200, b"hello from go: a=b\n"),
        (None, "/count?go", 200, b"count 1\n"),
        (None, "/count?go", 200, b"count 2\n"),
        (LONG, "/echo", 200, LONG),
        (None, "/query?b=2&a=%C3%A9&b=3", 200, '{"a":["é"],"b":["2","3"]}\n'.encode()),
        (None, "/together", 200, b"one two three\n"),
        (None, "/nope", 404, b"no such route\n")],
    GUEST_CACHE / "python-http.wasm": [
        (None, "/hello?a=b", 200, b"hello from python: a=b\n"),
        (None, "/count?python", 200, b"count 1\n"),
        (LONG, "/echo", 200, LONG),
        (b"[3, 1, 2.5]", "/numbers", 200, b'{"sum": 6.5, "sorted": [1, 2.5, 3], "repr": "6.5"}'),
        (None, "/nope", 404, b"no such route\n")],
}
COMMANDS = [GUESTS / "c-command/c-command.wasm", GUESTS / "rust-command/rust-command.wasm",
            GUEST_CACHE / "go-command.wasm"]
STORY = """arguments story.txt,two words
environment A=1,B=x=y
line ABC
woken true
file "once upon a time\\n"
"""


class Origin(http.server.BaseHTTPRequestHandler):
    """What a guest asks: says who asked, by which path."""

    def do_GET(self):
        body = f"{self.path} asked by {self.headers['x-asked-by']}\n".encode()
        self.send_response(203)
        self.send_header("content-type", "text/x-origin")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Guests(unittest.TestCase):
    def deploy(self, lat, guest):
        """As the counter example is, with a bucket of its own."""
        port = free_port()
        text = (ROOT / "deploy/examples/counter/wadm.yaml").read_text()
        text = text.replace("file://./counter.wasm", "IMAGE").replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        text = text.replace("counter", guest.stem).replace("IMAGE", f"file://{guest}")
        path = lat.dir / f"{guest.stem}.yaml"
        path.write_text(text)
        lat.ctl("app", "deploy", path)
        return port

    def test_http_guests_answer(self):
        with Lattice() as lat:
            host, = lat.start("us-east-1")
            for guest in HTTP:
                with self.subTest(guest.stem):
                    need_guest(self, guest)
                    self.check_answers(lat, host, guest)

    def check_answers(self, lat, host, guest):
        port = self.deploy(lat, guest)
        until(lambda: "Deployed" in lat.app_status(guest.stem), 30, lambda: lat.app_status(guest.stem) + host.tail())
        until(lambda: self.there(lat, port), 20, lambda: lat.app_status(guest.stem) + host.tail())
        for body, target, status, answer in HTTP[guest]:
            reply = lat.http_linked(port, target, "GET" if body is None else "POST", body, 20 * PATIENCE)
            self.assertEqual((reply.status, reply.body), (status, answer), f"{target}\n{host.tail(5)}")
        lat.ctl("app", "delete", guest.stem)

    def test_javascript_fetches(self):
        """Only what the host's list of servers allows."""
        guest = GUEST_CACHE / "js-http.wasm"
        need_guest(self, guest)
        with HttpServer(("127.0.0.1", 0), Origin) as origin, Lattice() as lat:
            threading.Thread(target=origin.serve_forever, daemon=True).start()
            there = origin.server_address[1]
            lat.start_nats()
            host = lat.start_host("us-east-1", "--http-allow", f"127.0.0.1:{there}")
            port = self.deploy(lat, guest)
            until(lambda: self.there(lat, port), 30, lambda: lat.app_status(guest.stem) + host.tail())
            reply = lat.http(port, f"/fetch?url=http://127.0.0.1:{there}/some/path")
            self.assertEqual((reply.status, reply.body), (200, b"203 text/x-origin /some/path asked by js-http\n"))
            reply = lat.http(port, f"/fetch?url=http://127.0.0.1:{free_port()}/")
            self.assertEqual(reply.status, 500, reply)
            origin.shutdown()

    def there(self, lat, port):
        """Something answers, if only that there is no such thing."""
        try:
            return lat.http(port, "/probe").status != 503
        except OSError:
            return False

    def test_commands_run(self):
        with Lattice() as lat:
            folder = lat.dir / "files"
            folder.mkdir()
            (folder / "story.txt").write_text("once upon a time\n")
            for guest in COMMANDS:
                with self.subTest(guest.stem):
                    need_guest(self, guest)
                    done = subprocess.run([BIN / "hostctl", "run", "--dir", f"{folder}::/", "-e", "B=x=y", "-e", "A=1", guest,
                                           "story.txt", "two words"], input="abc\n", env=lat.env, text=True,
                                          capture_output=True, timeout=60 * PATIENCE)
                    self.assertEqual((done.stdout, done.stderr, done.returncode), (STORY, "ends\n", 1))


if __name__ == "__main__":
    main()
