# SPDX-License-Identifier: Apache-2.0
"""A lattice that a wadm manages already: our scheduler holds still and leaves the manifest API to it. What gives a wadm
away is somebody waiting at its durable consumer, so a test needs no more of it than that."""

import json
import socket
import unittest

from lattice import Lattice, main, until

STREAM = "wadm_event_consumer"
CONSUMER = f"{STREAM}-default"


class Waiter:
    """Its consumer, and a pull request that stays open as long as this does."""

    def __init__(self, port):
        self.link = socket.create_connection(("127.0.0.1", port), 10)
        self.lines = self.link.makefile("rb")
        self.link.sendall(b"CONNECT {}\r\nSUB answers 1\r\n")
        self.ask(f"STREAM.CREATE.{STREAM}", {"name": STREAM, "subjects": [f"{STREAM}.evt.>"]})
        self.ask(f"CONSUMER.DURABLE.CREATE.{STREAM}.{CONSUMER}",
                 {"stream_name": STREAM, "config": {"durable_name": CONSUMER, "ack_policy": "explicit"}})
        self.send(f"CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}", {"batch": 1, "expires": 600 * 10**9})

    def send(self, operation, body):
        data = json.dumps(body)
        self.link.sendall(f"PUB $JS.API.{operation} answers {len(data)}\r\n{data}\r\n".encode())

    def ask(self, operation, body):
        self.send(operation, body)
        for line in self.lines:
            if line.startswith(b"MSG"):
                answer = json.loads(self.lines.read(int(line.split()[-1])))
                assert "error" not in answer, answer
                return


class BesideWadm(unittest.TestCase):
    def test_the_scheduler_holds_still(self):
        with Lattice() as lat:
            lat.start_nats()
            wadm = Waiter(lat.nats_port)
            host = lat.start_host("us-east-1")
            until(lambda: "a wadm manages this lattice" in host.text(), 10, host.tail)
            done = lat.ctl("app", "list", "--timeout-ms", "500", check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("no scheduler answers", done.stderr)
            wadm.link.close()


if __name__ == "__main__":
    main()
