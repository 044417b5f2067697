# SPDX-License-Identifier: Apache-2.0
"""wasmcloud:messaging between a component and a provider of another make, as upstream's messaging-nats is: messages in by
handler.handle-message, out by consumer.publish and consumer.request."""

import queue
import unittest

from lattice import ROOT, Lattice, main, until
from peer import Failed, Peer, Reader, leb, text

POSTMAN = ROOT / "tests/guests/postman/postman.wasm"
HANDLER = "wasmcloud:messaging/handler@0.2.0"
CONSUMER = "wasmcloud:messaging/consumer@0.2.0"


def message(subject, body, reply=None):
    return text(subject) + text(body) + (b"\0" if reply is None else b"\1" + text(reply))


def read_message(r):
    return r.text(), r.bytes(), r.option(r.text)


class Messaging(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lat = Lattice()
        cls.lat.start("us-east-1")
        cls.lat.ctl("start", "component", f"file://{POSTMAN}", "postman", "--max-instances", "4")
        cls.lat.ctl("link", "put", "postman", "broker", "wasmcloud", "messaging", "--interface", "consumer")
        cls.published = queue.Queue()
        cls.peer = Peer(cls.lat.nats_port)
        cls.peer.serve("default.broker", CONSUMER, {"publish": cls.on_publish, "request": cls.on_request})
        until(lambda: cls.deliver("refuse", b"there") == b"\1" + text("there"), 10, "the component does not answer")

    @classmethod
    def tearDownClass(cls):
        cls.peer.close()
        cls.lat.__exit__(None, None, None)

    @classmethod
    def on_publish(cls, inv):
        cls.published.put(read_message(Reader(inv.root)))
        inv.answer(b"\0")

    @classmethod
    def on_request(cls, inv):
        r = Reader(inv.root)
        subject, body, timeout_ms = r.text(), r.bytes(), r.leb()
        if subject == "nobody":
            inv.answer(b"\1" + text("no one listens"))
        else:
            inv.answer(b"\0" + message("inbox", body[::-1] + b" %d" % timeout_ms))

    @classmethod
    def deliver(cls, *what):
        try:
            return cls.peer.call("default.postman", HANDLER, "handle-message", message(*what))[0]
        except Failed:
            return None

    def test_a_message_is_answered(self):
        self.assertEqual(self.deliver("a.b", b"hi\0\xff", "_R.1"), b"\0")
        self.assertEqual(self.published.get(timeout=10), ("_R.1", b"hi\0\xff", None))

    def test_a_message_without_reply(self):
        self.assertEqual(self.deliver("a.b", b""), b"\0")
        self.assertEqual(self.published.get(timeout=10), ("postman.lost", b"", "postman.found"))

    def test_a_request_and_its_answer(self):
        self.assertEqual(self.deliver("ask.oracle", b"abc", "_R.2"), b"\0")
        self.assertEqual(self.published.get(timeout=10), ("_R.2", b"cba 1500", None))

    def test_errors_travel_both_ways(self):
        self.assertEqual(self.deliver("refuse.this", b"because"), b"\1" + text("because"))
        self.assertEqual(self.deliver("ask.nobody", b"?"), b"\1" + text("no one listens"))

    def test_a_megabyte(self):
        body = bytes(range(256)) * 4096
        half = len(body) // 2  # more than a NATS message holds, in two pieces
        root = message("a", body, "_R.3")
        self.assertGreater(len(root), 1 << 20)
        out, _ = self.peer.call("default.postman", HANDLER, "handle-message", root[:half], rest=root[half:])
        self.assertEqual(out, b"\0")
        self.assertEqual(self.published.get(timeout=10), ("_R.3", body, None))


if __name__ == "__main__":
    main()
