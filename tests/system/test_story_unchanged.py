# SPDX-License-Identifier: Apache-2.0
"""Unchanged manifests: references and spellings as they were published for upstream deploy as they are."""

import unittest

from lattice import BIN, HELLO, ROOT, Lattice, children_of, free_port, main, until
from ollama import FakeOllama
from registry import FakeRegistry, read, start_registry

COUNTER = ROOT / "deploy/examples/counter/counter.wasm"
SMARTCMS = ROOT / "deploy/examples/smartcms/smartcms.wasm"

# The spelling since wadm 0.14: source and target are objects with named configuration.
NEW = """apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: hello-world
  annotations:
    version: v0.0.1
    description: HTTP hello world
    wasmcloud.dev/authors: somebody
spec:
  components:
    - name: http-component
      type: component
      properties:
        image: ghcr.io/wasmcloud/components/http-hello-world:0.1.0
      traits:
        - type: spreadscaler
          properties:
            instances: 1
    - name: httpserver
      type: capability
      properties:
        image: ghcr.io/wasmcloud/http-server:0.26.0
      traits:
        - type: link
          properties:
            target:
              name: http-component
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source:
              config:
                - name: default-http
                  properties:
                    address: 127.0.0.1:{port}
"""

# The spelling before it: target is a name, configuration in lists beside it; numbers and truths without quotes.
OLD = """apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: http-keyvalue
  annotations:
    version: 0.0.2
    description: 'A counter: component, HTTP server and key-value store'
spec:
  components:
    - name: counter
      type: component
      properties:
        image: ghcr.io/wasmcloud/components/http-keyvalue-counter:0.1.0
      traits:
        - type: spreadscaler
          properties:
            replicas: 2
        - type: link
          properties:
            target: keyvalue
            namespace: wasi
            package: keyvalue
            interfaces: [atomics, store]
            target_config:
              - name: wasi-keyvalue-config
                properties:
                  bucket: old
                  enable_bucket_auto_create: 'true'
    - name: keyvalue
      type: capability
      properties:
        image: ghcr.io/wasmcloud/keyvalue-nats:0.3.1
    - name: httpserver
      type: capability
      properties:
        image: ghcr.io/wasmcloud/http-server:0.20.0
      traits:
        - type: link
          properties:
            target: counter
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source_config:
              - name: default-http
                properties:
                  address: 127.0.0.1:{port}
"""

# Both spellings in one manifest; a provider of somebody else's with configuration of its own.
MIXED = """apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: stories
  annotations:
    version: v0.0.1
    description: "Stories by a language model"
spec:
  components:
    - name: http-component
      type: component
      properties:
        image: ghcr.io/wasmcloud/components/smart-cms:0.1.0
      traits:
        - type: spreadscaler
          properties:
            instances: 1
        - type: link
          properties:
            target: ollama
            namespace: thomastaylor312
            package: ollama
            interfaces: [generate]
            target_config:
              - name: ollama-conf
                properties:
                  model_name: tiny
        - type: link
          properties:
            target:
              name: kvnats
              config:
                - name: stories-bucket
                  properties:
                    bucket: stories
                    enable_bucket_auto_create: "true"
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
    - name: ollama
      type: capability
      properties:
        image: ghcr.io/thomastaylor312/ollama-provider:0.1.0
        config:
          - name: ollama-defaults
            properties:
              url: {ollama}
    - name: kvnats
      type: capability
      properties:
        image: ghcr.io/wasmcloud/keyvalue-nats:0.2.0
    - name: httpserver
      type: capability
      properties:
        image: ghcr.io/wasmcloud/http-server:0.23.2
      traits:
        - type: link
          properties:
            target: http-component
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source_config:
              - name: default-http
                properties:
                  address: 127.0.0.1:{port}
"""

IMAGES = {"wasmcloud/components/http-hello-world": HELLO, "wasmcloud/components/http-keyvalue-counter": COUNTER,
          "wasmcloud/components/smart-cms": SMARTCMS}


class Unchanged(unittest.TestCase):
    def deploy(self, lat, name, text, **values):
        port = free_port()
        path = lat.dir / f"{name}.yaml"
        path.write_text(text.format(port=port, **values))
        lat.ctl("app", "deploy", path)
        lat.wait_for_answer(port, 20, name)
        return port

    def story(self, lat, authority):
        host, = lat.start("us-east-1", HOSTD_OCI_MIRRORS=f"ghcr.io={authority}",
                          WASMCLOUD_OCI_ALLOWED_INSECURE=authority)
        hello = self.deploy(lat, "hello-world", NEW)
        self.assertIn(b"hello from hostd", lat.http(hello).body)
        counter = self.deploy(lat, "http-keyvalue", OLD)
        first = int(lat.http(counter, "/x").body)
        self.assertEqual([int(lat.http(counter, "/x").body) for _ in range(3)], [first + 1, first + 2, first + 3])
        with FakeOllama() as ai:
            stories = self.deploy(lat, "stories", MIXED, ollama=ai.url)
            reply = lat.http_linked(stories, "/api/generate", "POST", b"A dog")
            self.assertEqual(reply.body, b"generated1\nA dog, said the model to 5 characters.\n")
            self.assertEqual(ai.asked[-1][1]["model"], "tiny")
        inventory = lat.inventory()[host.id]
        self.assertEqual({c["image_ref"] for c in inventory["components"]},
                         {f"ghcr.io/{name}:0.1.0" for name in IMAGES})
        self.assertEqual({p["image_ref"].rsplit(":", 1)[0] for p in inventory["providers"]},
                         {"ghcr.io/wasmcloud/http-server", "ghcr.io/wasmcloud/keyvalue-nats",
                          "ghcr.io/thomastaylor312/ollama-provider"})
        own = [args for _, args in children_of(host.pid) if str(BIN) in args]
        self.assertEqual(len(own), 6, "the providers are ours, by their aliases")
        for name in ("hello-world", "http-keyvalue", "stories"):
            until(lambda: "Deployed" in lat.app_status(name).splitlines()[0], 15, lambda: lat.app_status(name))
        print(f"3 manifests as published, new and old link spelling: {len(IMAGES)} components pulled through a mirror, "
              f"{len(own)} providers by alias")

    def test_with_a_registry_that_we_filled(self):
        with Lattice() as lat:
            authority = start_registry(lat)
            if not authority:
                self.skipTest("docker-registry is not installed")
            for name, path in IMAGES.items():
                lat.ctl("push", f"{authority}/{name}:0.1.0", path, "--insecure")
            self.story(lat, authority)

    def test_with_artifacts_of_older_tools(self):
        """The layer type that was used before application/wasm."""
        with Lattice() as lat, FakeRegistry() as r:
            for name, path in IMAGES.items():
                r.put(name, "0.1.0", read(path), "application/vnd.module.wasm.content.layer.v1+wasm")
            self.story(lat, r.authority)


if __name__ == "__main__":
    main()
