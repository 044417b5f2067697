# SPDX-License-Identifier: Apache-2.0
"""The main job by hand: up, up, deploy, look, answer, delete, down; every command a new user types."""

import json
import os
import pathlib
import re
import unittest

from lattice import HELLO, ROOT, Lattice, free_port, main, manifest, until


def processes_below(folder):
    """Processes whose environment names this test's folder: whatever was started and detached."""
    found = []
    for p in pathlib.Path("/proc").iterdir():
        if p.name.isdigit() and int(p.name) != os.getpid():
            try:
                if str(folder).encode() in (p / "environ").read_bytes():
                    found.append((int(p.name), (p / "cmdline").read_bytes().replace(b"\0", b" ").decode()))
            except OSError:
                pass
    return found


class Hello(unittest.TestCase):
    def test_from_up_to_down(self):
        with Lattice() as lat:
            try:
                self.whole_story(lat)
            finally:
                lat.ctl("down", "--all", check=False)
            until(lambda: not processes_below(lat.dir), 10, lambda: f"still running: {processes_below(lat.dir)}")

    def whole_story(self, lat):
        first = lat.ctl("up", "--label", "zone=us-east-1", "-d")
        self.assertIn("up completed successfully", first.stdout)
        until(lambda: len(lat.host_ids()) == 1, 10, "the first host")

        again = lat.ctl("up", "--label", "zone=us-east-1", "-d")
        self.assertIn("already running", again.stdout)
        self.assertEqual(len(lat.host_ids()), 1)

        lat.ctl("up", "--multi-local", "--label", "zone=us-west-1", "-d")
        until(lambda: len(lat.host_ids()) == 2, 10, "the second host")

        port = free_port()
        path = lat.dir / "wadm.yaml"
        path.write_text(manifest("hello", HELLO, 10, port, {"us-east-1": 80, "us-west-1": 20}))
        lat.ctl("app", "deploy", path)
        lat.wait_for_answer(port, app="hello")
        reply = lat.http(port, "/some/path?x=1")
        self.assertEqual(reply.body, b"hello from hostd: /some/path?x=1\n")
        self.assertEqual(reply.headers.get("content-type"), "text/plain")

        until(lambda: lat.spread("hello") == {"us-east-1": 8, "us-west-1": 2}, 10, lambda: lat.spread("hello"))
        until(lambda: "Deployed" in lat.app_status("hello"), 10, lambda: lat.app_status("hello"))
        self.assertIn("hello", lat.ctl("app", "list").stdout)
        self.assertIn("zone", lat.ctl("get", "inventory").stdout)
        for host in lat.hosts:  # by its whole id, and by its beginning
            for name in (host.id, host.id[:12]):
                self.assertEqual(re.findall(r"\bN[A-Z2-7]{55}\b", lat.ctl("get", "inventory", name).stdout), [host.id])
        self.assertIn("hello-http", lat.ctl("get", "links").stdout)
        inventory = lat.inventory()
        providers = [p for i in inventory.values() for p in i["providers"]]
        self.assertEqual([p["image_ref"] for p in providers], ["ghcr.io/wasmcloud/http-server:0.23.2"])

        self.calls_by_hand(lat)

        lat.ctl("app", "delete", "hello")
        until(lambda: not any(i["components"] or i["providers"] for i in lat.inventory().values()), 15,
              lambda: json.dumps(lat.inventory(), indent=1))
        self.assertNotIn("hello", lat.ctl("app", "list").stdout)

    def calls_by_hand(self, lat):
        """hostctl call: the handler without its HTTP server; what cannot be called says why."""
        handler = "wasi:http/incoming-handler.handle"
        where = ("--rpc-port", lat.nats_port)
        reply = lat.ctl_json("call", "hello", handler, *where, "--http-method", "POST", "--http-body", "x")["response"]
        self.assertEqual((reply["status"], reply["body"]), (200, "hello from hostd: /\n"))
        self.assertEqual(reply["headers"]["content-type"], "text/plain")
        shown = json.loads(lat.ctl("call", "hello", handler, *where).stdout)
        self.assertEqual(shown["status"], 200)
        self.assertIn("hello from hostd: /", shown["body"])
        for component, function, word in (("nobody", handler, "is it running?"), ("hello", "handle", "of the form"),
                                          ("hello", "a:b/c.d", "nobody serves")):
            done = lat.ctl("call", component, function, *where, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(word, done.stderr)

    def test_the_example_manifest_is_a_plain_one(self):
        text = (ROOT / "deploy/examples/hello/wadm.yaml").read_text()
        for part in ("core.oam.dev/v1beta1", "spreadscaler", "ghcr.io/wasmcloud/http-server:0.23.2", "address:"):
            self.assertIn(part, text)


if __name__ == "__main__":
    main()
