# SPDX-License-Identifier: Apache-2.0
"""A policy service says what may start and what may be called: asked once per question, obeyed both ways, changed later;
and without its answer nothing goes."""

import json
import unittest

from lattice import HELLO, Lattice, main, until
from peer import Nats

TOPIC, CHANGES = "rules.ask", "rules.changes"


class Rules(Nats):
    """The service. no(kind, request) -> why not, or None; asked: the requests."""

    def __init__(self, port):
        self.asked = []
        self.no = lambda kind, request: None
        super().__init__(port)
        self.subscribe(TOPIC, self.on_ask)

    def on_ask(self, subject, reply, data, status):
        q = json.loads(data)
        self.asked.append(q)
        why = self.no(q["kind"], q["request"])
        self.publish(reply, json.dumps({"requestId": q["requestId"], "permitted": why is None, "message": why}).encode())

    def change(self, q, permitted):
        self.publish(CHANGES, json.dumps({"requestId": q["requestId"], "permitted": permitted, "message": "changed"}).encode())

    def of(self, kind):
        return [q for q in self.asked if q["kind"] == kind]


class Policy(unittest.TestCase):
    def host(self, lat):
        lat.start_nats()
        rules = Rules(lat.nats_port)
        self.addCleanup(rules.close)
        host = lat.start_host("us-east-1", WASMCLOUD_POLICY_TOPIC=TOPIC, WASMCLOUD_POLICY_CHANGES_TOPIC=CHANGES)
        return host, rules

    def test_what_it_is_asked_and_when_it_changes_its_mind(self):
        with Lattice() as lat:
            host, rules = self.host(lat)
            port = lat.deploy(HELLO)
            lat.wait_for_answer(port)
            for _ in range(5):
                self.assertEqual(lat.http(port).status, 200)

            start = rules.of("startComponent")
            self.assertEqual(len(start), 1, start)
            self.assertEqual(start[0]["version"], "v1")
            self.assertEqual(start[0]["host"]["publicKey"], host.id)
            self.assertEqual(start[0]["host"]["lattice"], "default")
            self.assertEqual(start[0]["host"]["labels"]["zone"], "us-east-1")
            request = start[0]["request"]
            self.assertEqual((request["componentId"], request["claims"]), ("app", None))
            self.assertEqual(request["annotations"]["wasmcloud.dev/appspec"], "app")
            self.assertGreater(request["maxInstances"], 0)
            provider = rules.of("startProvider")[0]["request"]
            self.assertEqual(provider["providerId"], "app-http")
            self.assertIn("http-server", provider["imageRef"])

            call = rules.of("performInvocation")
            self.assertEqual(len(call), 1, call)
            self.assertEqual(call[0]["request"]["interface"], "wrpc:http/incoming-handler@0.1.0")
            self.assertEqual(call[0]["request"]["function"], "handle")
            self.assertEqual(call[0]["request"]["target"]["componentId"], "app")

            rules.change(call[0], False)
            until(lambda: lat.http(port).status == 403, 5, "calls are permitted still")
            rules.change(call[0], True)
            until(lambda: lat.http(port).status == 200, 5, "calls are denied still")

    def test_what_is_denied_does_not_start(self):
        with Lattice() as lat:
            host, rules = self.host(lat)
            rules.no = lambda kind, request: "not on my host" if request.get("componentId") == "bad" else None
            done = lat.ctl("start", "component", f"file://{HELLO}", "bad", check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("does not permit it: not on my host", done.stdout + done.stderr)
            lat.ctl("start", "component", f"file://{HELLO}", "good")
            rules.no = lambda kind, request: "no providers" if kind == "startProvider" else None
            done = lat.ctl("start", "provider", "http-server", "web", check=False)
            self.assertIn("does not permit it: no providers", done.stdout + done.stderr)
            inventory = lat.inventory()[host.id]
            self.assertEqual([c["id"] for c in inventory["components"]], ["good"])
            self.assertEqual(inventory["providers"], [])

            # remembered: asked once, though the service would say yes by now
            rules.no = lambda kind, request: None
            n = len(rules.asked)
            lat.ctl("start", "component", f"file://{HELLO}", "bad", check=False)
            self.assertEqual(len(rules.asked), n)
            rules.change([q for q in rules.of("startComponent") if q["request"]["componentId"] == "bad"][0], True)
            until(lambda: lat.ctl("start", "component", f"file://{HELLO}", "bad", check=False).returncode == 0, 5,
                  "it does not start")

    def test_without_the_service_nothing_goes(self):
        with Lattice() as lat:
            lat.start_nats()
            host = lat.start_host("us-east-1", WASMCLOUD_POLICY_TOPIC=TOPIC)
            done = lat.ctl("start", "component", f"file://{HELLO}", "hello", check=False)
            self.assertIn("ask the policy service", done.stdout + done.stderr)
            self.assertEqual(lat.inventory()[host.id]["components"], [])


if __name__ == "__main__":
    main()
