# SPDX-License-Identifier: Apache-2.0
"""A component that watches a key-value bucket: the keyvalue-nats provider tells it what happens, whatever restarts."""

import base64
import json
import os
import queue
import signal
import unittest

from lattice import BIN, ROOT, Lattice, children_of, free_port, http_server_part, main, until
from peer import Peer, text

COUNTER = ROOT / "deploy/examples/counter/counter.wasm"
WATCHER = ROOT / "tests/guests/watcher/watcher.wasm"


def manifest(port):
    return f"""apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: watched
spec:
  components:
    - name: counter
      type: component
      properties:
        image: file://{COUNTER}
      traits:
        - type: spreadscaler
          properties:
            instances: 10
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
            target:
              name: kv
              config:
                - name: bucket-of-counter
                  properties:
                    bucket: watched
                    enable_bucket_auto_create: "true"
    - name: watcher
      type: component
      properties:
        image: file://{WATCHER}
      traits:
        - type: spreadscaler
          properties:
            instances: 5
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store]
            target:
              name: kv
              config:
                - name: bucket-of-watcher
                  properties:
                    bucket: watched
                    enable_bucket_auto_create: "true"
        - type: link
          properties:
            name: red
            namespace: wasi
            package: keyvalue
            interfaces: [store]
            target:
              name: kv
              config:
                - name: red-bucket-of-watcher
                  properties:
                    bucket: red
                    enable_bucket_auto_create: "true"
    - name: kv
      type: capability
      properties:
        image: ghcr.io/wasmcloud/keyvalue-nats:0.3.1
      traits:
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [watcher]
            target:
              name: watcher
            source:
              config:
                - name: watch
                  properties:
                    bucket: watched
                    watch: "SET@in.>,SET@ready,DEL@in.*"
{http_server_part(port, "counter")}"""


class Watcher(unittest.TestCase):
    def setUp(self):
        if not (BIN / "keyvalue-nats").exists():
            self.fail(f"{BIN / 'keyvalue-nats'} is not built")

    def set(self, key, value):
        self.assertEqual(self.lat.http(self.port, f"/value/{key}", "PUT", value).status, 200)

    def seen(self, key):
        reply = self.lat.http(self.port, f"/value/seen/{key}", timeout=5)
        return reply.body if reply.status == 200 else b""

    def why(self):
        return self.lat.app_status("watched") + "".join(h.tail() for h in self.lat.hosts)

    def wait_until_it_watches(self):
        def told():
            try:
                before = self.seen("ready")
                self.set("ready", b"?")
                return self.seen("ready") not in (b"", before)
            except (OSError, AssertionError):
                return False
        until(told, 30, self.why)

    def expect(self, key, story):
        until(lambda: self.seen(key) == story, 20, lambda: f"{self.seen(key)!r}\n" + self.why())

    def deploy(self):
        self.port = free_port()
        path = self.lat.dir / "wadm.yaml"
        path.write_text(manifest(self.port))
        self.lat.ctl("app", "deploy", path)
        self.wait_until_it_watches()

    def in_red(self, key):
        """The value in the other bucket, past the provider."""
        found = queue.Queue()
        peer = Peer(self.lat.nats_port)
        peer.subscribe("answer", lambda subject, reply, data, status: found.put(json.loads(data)))
        peer.publish("$JS.API.STREAM.MSG.GET.KV_red", json.dumps({"last_by_subj": f"$KV.red.{key}"}).encode(), "answer")
        answer = found.get(timeout=20)
        peer.close()
        return base64.b64decode(answer["message"]["data"]) if "message" in answer else None

    def test_the_bucket_of_other_providers(self):
        """Upstream's say 0 and name no link; a name is taken as it is; with 0 the link's name tells."""
        with Lattice() as self.lat:
            self.lat.start("us-east-1")
            self.deploy()
            peer = Peer(self.lat.nats_port)

            def tell(bucket, value, link):
                root = text(bucket) + text("k") + text(value)
                peer.call("default.watched-watcher", "wrpc:keyvalue/watcher@0.2.0-draft", "on-set", root, link=link)
            tell("0", "1", None)
            tell("default", "2", "red")
            self.expect("k", b"=1;=2;")
            self.assertIsNone(self.in_red("seen/k"))
            tell("0", "3", "red")
            until(lambda: self.in_red("seen/k") == b"=3;", 20, self.why)
            self.expect("k", b"=1;=2;")
            peer.close()

    def test_told_in_order_whatever_restarts(self):
        with Lattice() as self.lat:
            host, = self.lat.start("us-east-1")
            self.deploy()

            for i in range(10):
                self.set("in.a", b"%d" % i)
                self.set("in.b@c", b"x")
                self.set("out", b"x")
            first = b"".join(b"=%d;" % i for i in range(10))
            self.expect("in.a", first)
            self.expect("in.b@c", b"=x;" * 10)
            self.assertEqual(self.seen("out"), b"")

            self.set("in.a", b"trap")  # its guest dies; the next change is told all the same
            self.set("in.a", b"after")
            self.expect("in.a", first + b"=after;")

            # the server goes and comes back, then the provider
            self.lat.nats.stop()
            self.lat.start_nats()
            self.wait_until_it_watches()
            self.set("in.a", b"server")
            self.expect("in.a", first + b"=after;=server;")

            old, = [pid for pid, args in children_of(host.pid) if "keyvalue-nats" in args]
            os.kill(old, signal.SIGKILL)
            self.wait_until_it_watches()
            self.set("in.a", b"provider")
            self.expect("in.a", first + b"=after;=server;=provider;")


if __name__ == "__main__":
    main()
