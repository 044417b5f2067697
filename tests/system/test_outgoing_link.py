# SPDX-License-Identifier: Apache-2.0
"""Requests that components make by a link: wrpc:http/outgoing-handler at its target, which is played here byte by byte, as a
peer that is not ours: no offers, no pacing. The link wins over the host's own client."""

import http.client
import socket
import threading
import unittest

from lattice import Lattice, main, until
from test_outgoing import CODES, COURIER

SUBJECT = "default.peer.wrpc.0.0.1.wrpc:http/outgoing-handler@0.1.0.handle"


def leb(n):
    out = b""
    while n > 0x7f:
        out, n = out + bytes([n & 0x7f | 0x80]), n >> 7
    return out + bytes([n])


def text(s):
    return leb(len(s)) + s


def chunks(data):
    """A stream<u8>'s pieces joined, and whether it ended as it should."""
    out = b""
    while data:
        n = shift = at = 0
        while True:
            n |= (data[at] & 0x7f) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 0x80:
                break
        if n == 0:
            return out, True
        out, data = out + data[at:at + n], data[at + n:]
    return out, False


class Peer:
    """Serves SUBJECT with answer(call), a function that says what goes out on which channel."""

    def __init__(self, port, answer):
        self.answer, self.calls, self.inboxes = answer, [], {}
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.file = self.socket.makefile("rb")
        self.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n'
                  b"SUB " + SUBJECT.encode() + b" peer 1\r\nSUB _INBOX.peer.> 2\r\nPING\r\n")
        while self.file.readline() != b"PONG\r\n":
            pass
        threading.Thread(target=self.run, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def publish(self, subject, data=b"", reply=""):
        self.send(f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")

    def run(self):
        try:
            for line in self.file:
                words = line.decode().split()
                if words[0] in ("MSG", "HMSG"):
                    payload = self.file.read(int(words[-1]) + 2)[:-2]
                    head = int(words[-2]) if words[0] == "HMSG" else 0
                    reply = words[3] if len(words) - (words[0] == "HMSG") == 5 else None
                    self.on_message(words[1], reply, payload[:head], payload[head:])
                elif words[0] == "PING":
                    self.send(b"PONG\r\n")
        except (OSError, ValueError):
            pass

    def on_message(self, subject, reply, headers, data):
        if subject == SUBJECT:
            inbox = f"_INBOX.peer.{len(self.calls)}"
            call = {"to": reply, "headers": headers, "root": data, "body": b"", "trailers": b"", "ended": set()}
            self.calls.append(call)
            self.inboxes[inbox] = call
            self.publish(reply, reply=inbox)
            return
        inbox, _, channel = subject.partition(".params")
        call = self.inboxes[inbox]
        key = {"": "root", ".0.0": "body", ".0.1": "trailers"}[channel]
        if data:
            call[key] += data
        else:
            call["ended"].add(key)
        if call["ended"] == {"root", "body", "trailers"}:
            for where, pieces in self.answer(call):
                for piece in pieces:
                    self.publish(call["to"] + ".results" + where, piece)


def ok(status=200, body=(b"",), trailers=b"\0"):
    """The three channels of a whole response."""
    root = b"\0\0\0" + leb(status) + leb(1) + text(b"x-peer") + leb(1) + text(b"yes")
    data = [leb(len(piece)) + piece for piece in body if piece]
    return [("", [root, b""]), (".0.0", [*data, b"\0", b""]), (".0.1", [trailers, b""])]


class ByLink(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lat = Lattice()
        cls.addClassCleanup(lambda: cls.lat.__exit__(None, None, None))
        cls.lat.start_nats()
        cls.lat.start_host("us-east-1", "--http-allow", "*")
        cls.port = cls.lat.deploy(COURIER, spread={"us-east-1": 100})
        cls.lat.ctl("link", "put", "app", "peer", "wasi", "http", "--interface", "outgoing-handler")
        until(cls.there, 15, "the component")

    @classmethod
    def there(cls):
        try:
            return cls.lat.http(cls.port, timeout=5).status == 400
        except OSError:
            return False

    def ask(self, method="GET", body=None):
        return self.lat.http(self.port, "/", method, body, {"x-target": "http://api.invalid:81/p?q"}, timeout=30)

    def test_a_request_reaches_the_target_and_its_answer_the_guest(self):
        with Peer(self.lat.nats_port, lambda call: ok(201, [b"hello ", b"there"], b"\x01\x01" + text(b"t") + b"\x01\x01v")) as p:
            r = self.ask()
            self.assertEqual((r.status, r.headers["x-peer"], r.body), (201, "yes", b"hello there"))
            call = p.calls[0]
            self.assertTrue(call["root"].startswith(b"\0\0\0\x01" + text(b"/p?q") + b"\x01\0\x01" + text(b"api.invalid:81")))
            self.assertIn(text(b"host") + b"\x01" + text(b"api.invalid:81"), call["root"])
            # some options: what the guest does not say is 600 s
            self.assertTrue(call["root"].endswith(b"\x01" + 3 * (b"\x01" + leb(600_000_000_000))))
            self.assertEqual((call["body"], call["trailers"]), (b"\0", b"\0"))
            self.assertIn(b"source-id: app\r\n", call["headers"])
            self.assertIn(b"link-name: default\r\n", call["headers"])

    def test_bodies_stream_both_ways(self):
        sent = bytes(range(256)) * 8000

        def echo(call):
            body, whole = chunks(call["body"])
            assert whole
            return ok(200, [body[i:i + 100000] for i in range(0, len(body), 100000)])

        with Peer(self.lat.nats_port, echo):
            r = self.ask("POST", sent)
            self.assertEqual((r.status, r.body == sent), (200, True))

    def test_an_error_code_is_handed_on(self):
        with Peer(self.lat.nats_port, lambda call: [("", [bytes([1, CODES["connection-refused"]]), b""])]):
            r = self.ask()
            self.assertEqual((r.status, r.body), (502, b"6 "))

    def test_a_target_that_fails_or_is_absent_is_an_internal_error(self):
        with Peer(self.lat.nats_port, lambda call: [("", [b""])]):
            self.assertTrue(self.ask().body.startswith(b"38 "))
        with Peer(self.lat.nats_port, lambda call: [("", [b"\x07nonsense", b""])]):
            self.assertTrue(self.ask().body.startswith(b"38 "))
        self.assertIn(b"nobody", self.ask().body)

    def test_a_body_that_is_cut_short_breaks_the_answer(self):
        with Peer(self.lat.nats_port, lambda call: [*ok()[:1], (".0.0", [b"\x64only this", b""]), (".0.1", [b"\0", b""])]):
            try:
                self.assertEqual(self.ask().status, 502)
            except (http.client.IncompleteRead, ConnectionError):
                pass


if __name__ == "__main__":
    main()
