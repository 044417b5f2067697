# SPDX-License-Identifier: Apache-2.0
"""The limits of one component, which come with the command that scales it: they hold, after an update of its image and
after a change of their own too. No tool of ours sends them, so the commands here are plain messages."""

import json
import shutil
import socket
import unittest

from lattice import WORKBENCH, Lattice, free_port, main, until
from peer import Nats

SLOW = "/sleep/2500"


def request(lat, subject, body):
    """The answer of a host's control interface."""
    data = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", lat.nats_port), 10) as s, s.makefile("rwb") as f:
        f.write(b"CONNECT {}\r\nSUB answer 1\r\nPUB %s answer %d\r\n%s\r\n" % (subject.encode(), len(data), data))
        f.flush()
        for line in f:
            if line.startswith(b"MSG"):
                return json.loads(f.read(int(line.split()[-1])))
    return None


def running(lat, host):
    """The component as the host describes it."""
    found = [c for c in lat.inventory()[host.id]["components"] if c["id"] == "bench"]
    return found[0] if found else None


def scale(lat, host, count, limits=None):
    body = {"component_id": "bench", "component_ref": f"file://{WORKBENCH}", "count": count}
    if limits:
        body["component_limits"] = limits
    answer = request(lat, f"wasmbus.ctl.v1.default.component.scale.{host.id}", body)
    assert answer["success"], answer
    until(lambda: (running(lat, host) or {}).get("max_instances") == count, 10, host.tail)


class Limits(unittest.TestCase):
    def test_parameters_that_never_end_keep_no_instance(self):
        with Lattice() as lat:
            host, = lat.start("us-east-1")
            port = lat.deploy(WORKBENCH, count=1, spread={"us-east-1": 100})
            until(lambda: lat.answers(port), 20, host.tail)
            peer = Nats(lat.nats_port)
            peer.subscribe("half.>", lambda *_: None)
            for i in range(3):
                peer.publish("default.app.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle", b"\0", f"half.{i}")
            until(lambda: lat.answers(port), 20, host.tail)
            until(lambda: host.text().count("parameters did not come in time") == 3, 20, host.tail)
            peer.close()

    def test_an_execution_limit_outlives_updates_and_can_be_changed(self):
        with Lattice() as lat:
            host, = lat.start("us-east-1")
            port = free_port()
            scale(lat, host, 2, {"max_execution_time": "1"})
            lat.ctl("config", "put", "address", f"address=127.0.0.1:{port}")
            lat.ctl("start", "provider", "ghcr.io/wasmcloud/http-server:0.23.2", "web")
            lat.ctl("link", "put", "web", "bench", "wasi", "http", "--interface", "incoming-handler",
                    "--source-config", "address")
            lat.wait_for_answer(port)
            self.assertEqual(lat.http(port, SLOW).status, 504)

            other = lat.dir / "other.wasm"
            shutil.copy(WORKBENCH, other)
            lat.ctl("update", "component", "bench", f"file://{other}", "--host-id", host.id)
            until(lambda: running(lat, host)["image_ref"] == f"file://{other}", 10, host.tail)
            self.assertEqual(running(lat, host)["limits"], {"max_execution_time": "1"})
            self.assertEqual(lat.http(port, SLOW).status, 504)

            scale(lat, host, 3, {"max_execution_time": "60"})
            self.assertEqual(running(lat, host)["image_ref"], f"file://{other}")
            self.assertEqual(running(lat, host)["limits"], {"max_execution_time": "60"})
            self.assertEqual(lat.http(port, SLOW).status, 200)

            scale(lat, host, 4)
            self.assertIsNone(running(lat, host).get("limits"))


if __name__ == "__main__":
    main()
