# SPDX-License-Identifier: Apache-2.0
"""Upstream's own provider executables on a host of ours: http-server, blobstore-fs, messaging-nats. They are not ours to
ship: $HOSTD_UPSTREAM names a folder that holds them, as built from wasmCloud v1.9.2 by

  cargo build --locked --no-default-features --features provider-http-server,provider-blobstore-fs,provider-messaging-nats \\
      --bin http-server-provider --bin blobstore-fs-provider --bin messaging-nats-provider

Without it the test is skipped."""

import hashlib
import os
import pathlib
import queue
import sys
import unittest

from lattice import ROOT, WORKBENCH, Lattice, free_port, main, sanitized, until
from origin import status_of
from peer import Nats

UPSTREAM = pathlib.Path(os.environ.get("HOSTD_UPSTREAM", "/nowhere"))
ARCHIVE = ROOT / "tests/guests/archive/archive.wasm"
POSTMAN = ROOT / "tests/guests/postman/postman.wasm"
DATA = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(1 << 16)) * 32  # 64 MiB


def part(name, kind, image, links=()):
    """links: (target, package, interface, settings of the source, settings of the target)"""
    def config(name, settings):
        pairs = ", ".join(f'{k}: "{v}"' for k, v in settings.items())
        return f"config: [{{name: {name}, properties: {{{pairs}}}}}]" if settings else "config: []"
    text = f"""
    - name: {name}
      type: {kind}
      properties: {{image: "file://{image}", id: {name}}}
      traits:
        - type: spreadscaler
          properties: {{instances: {4 if kind == "component" else 1}}}"""
    for i, (target, package, interface, source, of_target) in enumerate(links):
        namespace, package = package.split(":")
        text += f"""
        - type: link
          properties:
            name: {f"link-{i}" if i else "default"}
            target: {{name: {target}, {config(f"{name}-{i}-target", of_target)}}}
            namespace: {namespace}
            package: {package}
            interfaces: [{interface}]
            source: {{{config(f"{name}-{i}-source", source)}}}"""
    return text


class UpstreamProviders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lat = Lattice()
        cls.host, = cls.lat.start("us-east-1")
        cls.bench, cls.archive = free_port(), free_port()
        nats = {"cluster_uris": f"127.0.0.1:{cls.lat.nats_port}"}
        root = cls.lat.dir / "blobs"
        root.mkdir()
        http = ("wasi:http", "incoming-handler")
        parts = [
            part("bench", "component", WORKBENCH),
            part("archive", "component", ARCHIVE, [("files", "wasi:blobstore", "blobstore", {}, {"root": root})]),
            part("postman", "component", POSTMAN, [("broker", "wasmcloud:messaging", "consumer", {}, nats)]),
            part("files", "capability", UPSTREAM / "blobstore-fs-provider"),
            part("broker", "capability", UPSTREAM / "messaging-nats-provider",
                 [("postman", "wasmcloud:messaging", "handler", {"subscriptions": "post.>"} | nats, {})]),
            part("web", "capability", UPSTREAM / "http-server-provider",
                 [("bench", *http, {"address": f"127.0.0.1:{cls.bench}"}, {}),
                  ("archive", *http, {"address": f"127.0.0.1:{cls.archive}"}, {})]),
        ]
        path = cls.lat.dir / "upstream.yaml"
        path.write_text("apiVersion: core.oam.dev/v1beta1\nkind: Application\nmetadata: {name: upstream, annotations: "
                        "{description: theirs on ours}}\nspec:\n  components:" + "".join(parts) + "\n")
        cls.lat.ctl("app", "deploy", path)
        until(lambda: cls.lat.answers(cls.bench), 20, lambda: cls.lat.app_status("upstream") + cls.host.tail())
        until(lambda: cls.ask("/make/shelf") == b"done\n", 20, lambda: cls.lat.app_status("upstream") + cls.host.tail())

    @classmethod
    def tearDownClass(cls):
        cls.lat.__exit__(None, None, None)

    @classmethod
    def ask(cls, path, body=b""):
        try:
            return cls.lat.http(cls.archive, path, "POST", body, timeout=120).body
        except OSError:
            return None

    def grown(self, act):
        before = status_of(self.host.pid, "VmRSS")
        act()
        grown = status_of(self.host.pid, "VmHWM") - before
        print(f"peak +{grown} kB")
        if not sanitized():
            self.assertLess(grown, 48 << 10)

    def test_an_upload_through_their_http_server(self):
        def upload():
            reply = self.lat.http(self.bench, "/echo/2000", "POST", DATA, timeout=120)
            self.assertTrue(reply.status == 200 and reply.body == DATA, f"{reply.status}, {len(reply.body)} bytes")
        self.grown(upload)

    def test_objects_in_their_store(self):
        def there_and_back():
            self.assertEqual(self.ask("/put/shelf/huge", DATA), b"done\n")
            self.assertTrue(self.ask("/get/shelf/huge") == DATA)
        self.grown(there_and_back)
        for path, answer in (("/stat/shelf/huge", b"shelf huge 67108864\n"), ("/copy/shelf/huge/shelf/two", b"done\n"),
                             ("/rm/shelf/huge", b"done\n"), ("/list/shelf/9", b"two .\n"), ("/has/shelf/huge", b"no\n"),
                             ("/empty/shelf/none", b"done\n"), ("/read/shelf/none", b""),
                             ("/part/shelf/two/2/6", DATA[2:6]), ("/clear/shelf", b"done\n"), ("/list/shelf/9", b".\n")):
            self.assertEqual(self.ask(path), answer, path)

    def test_messages_by_their_broker(self):
        got = queue.Queue()
        nats = Nats(self.lat.nats_port)
        nats.subscribe("answers.>", lambda subject, reply, data, _: got.put((subject, data)))
        until(lambda: nats.publish("post.a", b"hello", "answers.1") or not got.empty(), 20, self.host.tail)
        self.assertEqual(got.get(), ("answers.1", b"hello"))
        nats.close()


if __name__ == "__main__":
    if not (UPSTREAM / "http-server-provider").exists():
        print("skipped: HOSTD_UPSTREAM does not name a folder of upstream's providers")
        sys.exit(77)
    main()
