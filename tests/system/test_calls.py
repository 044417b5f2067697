# SPDX-License-Identifier: Apache-2.0
"""A component calls another one over a link: wRPC both ways through the bus, whichever hosts they are on."""

import unittest

from lattice import PATIENCE, ROOT, WORKBENCH, Lattice, free_port, main, until

ORACLE = ROOT / "tests/guests/oracle/oracle.wasm"

ORACLE_PART = f"""
    - name: oracle
      type: component
      properties:
        image: file://{ORACLE}
        id: oracle
      traits:
        - type: spreadscaler
          properties:
            instances: 4
            spread:
            - name: west
              requirements:
                zone: us-west-1"""
LINK_PART = """
        - type: link
          properties:
            target: oracle
            namespace: hostd
            package: tests
            interfaces: [oracle]"""


def manifest(port, linked):
    return f"""apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: bench
  annotations: {{description: calls}}
spec:
  components:
    - name: bench
      type: component
      properties:
        image: file://{WORKBENCH}
        id: bench
      traits:
        - type: spreadscaler
          properties:
            instances: 4
            spread:
            - name: east
              requirements:
                zone: us-east-1{LINK_PART if linked else ""}{ORACLE_PART if linked else ""}
    - name: http
      type: capability
      properties:
        image: ghcr.io/wasmcloud/http-server:0.23.2
        id: bench-http
      traits:
        - type: spreadscaler
          properties:
            instances: 1
        - type: link
          properties:
            target: bench
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source:
              config:
                - name: bench-address
                  properties: {{address: "127.0.0.1:{port}"}}
"""


class Calls(unittest.TestCase):
    def open(self, lat, linked):
        lat.start("us-east-1", "us-west-1")
        port = free_port()
        path = lat.dir / "wadm.yaml"
        path.write_text(manifest(port, linked))
        lat.ctl("app", "deploy", path)
        lat.wait_for_answer(port, app="bench")
        return port

    def test_a_linked_component_answers_from_another_host(self):
        with Lattice() as lat:
            port = self.open(lat, True)
            until(lambda: lat.http(port, "/ask/stressed").body == b"answer: desserts", 10,
                  lambda: lat.app_status("bench") + str(lat.http(port, "/ask/stressed")))
            self.assertEqual(lat.http(port, "/ask/").body, b"refused: an empty question")
            long = "ab" * 3000
            self.assertEqual(lat.http(port, "/ask/" + long).body, b"answer: " + long[::-1].encode())
            reply = lat.http(port, "/ask/trap", timeout=20 * PATIENCE)
            self.assertEqual(reply.status, 500, reply)
            self.assertEqual(lat.http(port, "/ask/evil").body, b"answer: live")

    def test_without_a_link_the_call_fails_and_the_log_says_what_to_do(self):
        with Lattice() as lat:
            port = self.open(lat, False)
            reply = lat.http(port, "/ask/anything")
            self.assertEqual(reply.status, 500)
            until(lambda: "no link named default for hostd:tests/oracle" in lat.hosts[0].text(), 5,
                  lat.hosts[0].tail)
            self.assertEqual(lat.http(port, "/").status, 200)


if __name__ == "__main__":
    main()
