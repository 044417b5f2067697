# SPDX-License-Identifier: Apache-2.0
"""A component with several links for one interface chooses among them by name; each goes to a bucket of its own."""

import unittest

from lattice import BIN, ROOT, Lattice, free_port, http_server_part, main, until

CHOOSER = ROOT / "tests/guests/chooser/chooser.wasm"


def manifest(port, names):
    links = "".join(f"""
        - type: link
          properties:
            name: {name}
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
            target:
              name: kv
              config:
                - name: bucket-{name}
                  properties:
                    bucket: bucket-{name}
                    enable_bucket_auto_create: "true\"""" for name in names)
    return f"""apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: chooser
spec:
  components:
    - name: chooser
      type: component
      properties:
        image: file://{CHOOSER}
      traits:
        - type: spreadscaler
          properties:
            instances: 10{links}
    - name: kv
      type: capability
      properties:
        image: ghcr.io/wasmcloud/keyvalue-nats:0.3.1
{http_server_part(port, "chooser")}"""


class LinkNames(unittest.TestCase):
    def test_each_name_is_a_bucket_of_its_own(self):
        if not (BIN / "keyvalue-nats").exists():
            self.fail(f"{BIN / 'keyvalue-nats'} is not built")
        with Lattice() as lat:
            lat.start("us-east-1")
            port = free_port()
            path = lat.dir / "wadm.yaml"
            path.write_text(manifest(port, ("default", "red", "blue")))
            lat.ctl("app", "deploy", path)

            def ask(words):
                r = lat.http(port, "/" + words)
                self.assertEqual(r.status, 200, r)
                return r.body.decode().splitlines()

            def all_linked():
                try:
                    said = lat.http(port, "/+probe/red/+probe/blue/+probe", timeout=5).body.decode().splitlines()
                except OSError:
                    return False
                return [line.isdigit() for line in said] == [True, False, True, False, True]

            until(all_linked, 20, lambda: lat.app_status("chooser"))
            self.assertEqual(ask("+k/+k"), ["1", "2"])
            self.assertEqual(ask("red/+k/+k/+k"), ["", "1", "2", "3"])
            self.assertEqual(ask("blue/+k/red/+k/default/+k"), ["", "1", "", "4", "", "3"])
            # a choice lasts for its call, and what does not exist cannot be chosen
            self.assertEqual(ask("+k"), ["4"])
            self.assertEqual(ask("red/green/+k"), [
                "", "interface `wasi:keyvalue/store` does not have an existing link with name `green`", "5"])
            self.assertEqual(ask("!red/+k/!green/+k"), ["", "6", "", "7"])


if __name__ == "__main__":
    main()
