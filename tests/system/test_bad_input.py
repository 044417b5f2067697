# SPDX-License-Identifier: Apache-2.0
"""Bad input gets a message naming what, where and why, and leaves nothing half done."""

import socket
import unittest

from lattice import BIN, HELLO, ROOT, WORKBENCH, Lattice, main, manifest, until

GOOD = {"us-east-1": 80, "us-west-1": 20}


class Manifests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lat = Lattice()
        cls.lat.start("us-east-1")

    @classmethod
    def tearDownClass(cls):
        cls.lat.__exit__(None, None, None)

    def refused(self, text, *parts):
        path = self.lat.dir / "bad.yaml"
        path.write_text(text)
        done = self.lat.ctl("app", "deploy", path, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        for part in ("bad.yaml", *parts):
            self.assertIn(part, done.stderr)
        self.assertNotIn("bad-app", self.lat.ctl("app", "list").stdout)

    def base(self):
        return manifest("bad-app", HELLO, 10, 8000, GOOD)

    def line_of(self, text, needle):
        return str(next(n for n, line in enumerate(text.splitlines(), 1) if needle in line))

    def test_yaml_errors_name_line_and_column(self):
        self.refused("apiVersion: core.oam.dev/v1beta1\nkind: [Application\nmetadata: x\n", ":3:")

    def test_an_unknown_trait_is_named_with_its_line(self):
        text = self.base().replace("type: spreadscaler", "type: spreadscalar", 1)
        self.refused(text, "spreadscalar", ":" + self.line_of(text, "spreadscalar"))

    def test_a_bad_weight_is_named(self):
        text = self.base().replace("weight: 80", "weight: lots")
        self.refused(text, "weight", ":" + self.line_of(text, "lots"))

    def test_a_missing_image_is_named(self):
        text = self.base().replace(f"image: file://{HELLO}", "config: []")
        self.refused(text, "image")

    def test_a_link_to_an_unknown_name_is_named(self):
        self.refused(self.base().replace("target: bad-app", "target: nobody"), "nobody")

    def test_a_file_that_is_not_there(self):
        done = self.lat.ctl("app", "deploy", "/nonexistent/wadm.yaml", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/wadm.yaml", done.stderr)


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lat = Lattice()
        cls.lat.start("us-east-1")

    @classmethod
    def tearDownClass(cls):
        cls.lat.__exit__(None, None, None)

    def shown(self, name, image, *parts):
        self.lat.deploy(image, name, count=1, spread={"us-east-1": 100})
        for part in parts:
            until(lambda p=part: p in self.lat.app_status(name), 15, lambda: self.lat.app_status(name))
        self.assertEqual(self.lat.spread(name), {})

    def write(self, name, data):
        path = self.lat.dir / name
        path.write_bytes(data)
        return path

    def test_not_wasm(self):
        self.shown("notwasm", self.write("notwasm.bin", b"#!/bin/sh\necho no\n"), "notwasm.bin")

    def test_a_core_module(self):
        self.shown("coremodule", self.write("core.wasm", b"\0asm\1\0\0\0"), "core.wasm", "component")

    def test_cut_short(self):
        data = WORKBENCH.read_bytes()
        self.shown("cutshort", self.write("cut.wasm", data[:len(data) // 2]), "cut.wasm")

    def test_an_import_that_cannot_travel(self):
        self.shown("untravelled", ROOT / "tests/guests/untravelled/untravelled.wasm", "cannot travel")


class Nats(unittest.TestCase):
    def test_connect_only_without_a_server(self):
        with Lattice() as lat:
            done = lat.ctl("up", "--nats-connect-only", "-d", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(str(lat.nats_port), done.stderr)

    def test_no_nats_server_installed(self):
        with Lattice() as lat:
            lat.env["PATH"] = str(BIN)
            done = lat.ctl("up", "-d", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("nats-server", done.stderr)
            self.assertEqual(lat.host_ids(), [])

    def test_a_port_taken_by_something_else(self):
        with Lattice() as lat, socket.socket() as taken:
            taken.bind(("127.0.0.1", lat.nats_port))
            taken.listen()
            done = lat.ctl("up", "-d", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(str(lat.nats_port), done.stderr)
            lat.ctl("down", "--all", check=False)

    def test_commands_without_a_lattice_say_so(self):
        with Lattice() as lat:
            done = lat.ctl("get", "hosts", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"127.0.0.1:{lat.nats_port}", done.stderr)


if __name__ == "__main__":
    main()
