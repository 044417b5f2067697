# SPDX-License-Identifier: Apache-2.0
"""The provider of docs/writing-providers.md: asked by a component, its configuration changed, deleted and gone."""

import unittest

from lattice import BIN, WORKBENCH, Lattice, children_of, free_port, main, until

MANIFEST = """apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: example
  annotations: {{version: "{suffix}"}}
spec:
  components:
    - name: bench
      type: component
      properties: {{image: "file://{bench}"}}
      traits:
        - type: spreadscaler
          properties: {{instances: 2}}
        - type: link
          properties:
            namespace: hostd
            package: tests
            interfaces: [oracle]
            target:
              name: oracle
              config: [{{name: words, properties: {{suffix: "{suffix}"}}}}]
    - name: oracle
      type: capability
      properties: {{image: "file://{provider}"}}
    - name: http
      type: capability
      properties: {{image: "ghcr.io/wasmcloud/http-server:0.23.2"}}
      traits:
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source: {{config: [{{name: address, properties: {{address: "127.0.0.1:{port}"}}}}]}}
            target: {{name: bench}}
"""


class Example(unittest.TestCase):
    def test_it_answers_with_its_links_configuration(self):
        with Lattice() as lat:
            host, = lat.start("us-east-1")
            port, path = free_port(), lat.dir / "wadm.yaml"
            for suffix in ("!", ", they say"):
                path.write_text(MANIFEST.format(bench=WORKBENCH, provider=BIN / "example-provider", port=port, suffix=suffix))
                lat.ctl("app", "deploy", path)
                want = f"answer: why{suffix}".encode()
                until(lambda: lat.answers(port) and lat.http(port, "/ask/why").body.strip() == want, 20,
                      lambda: lat.app_status("example") + host.tail())
            lat.ctl("app", "delete", "example")
            until(lambda: not children_of(host.pid), 10, lambda: children_of(host.pid))


if __name__ == "__main__":
    main()
