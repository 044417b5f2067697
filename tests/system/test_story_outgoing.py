# SPDX-License-Identifier: Apache-2.0
"""Messages to a database over HTTP: events of a game client to a Kafka REST proxy behind TLS."""

# The example deploy/examples/events as it stands, its manifest with the addresses of this test; the database is played by
# a server with a certificate of a test CA.

import base64
import json
import unittest

from lattice import ROOT, Lattice, free_port, main, until
from origin import Authority, Handler, Origin, Raw
from test_outgoing import CODES

EXAMPLE = ROOT / "deploy/examples/events"
LOGIN = "Basic " + base64.b64encode("game:gehëim ✓".encode()).decode()


class KafkaRest(Handler):
    def serve_topics(self, topic):
        body = b"".join(self.chunks())
        if self.headers["authorization"] != LOGIN:
            self.reply(401, b'{"error_code":40101}', content_type="application/json", www_authenticate="Basic")
        elif self.headers["content-type"] != "application/vnd.kafka.json.v2+json":
            self.reply(415, b"{}")
        else:
            self.server.topics.setdefault(topic, []).extend(r["value"] for r in json.loads(body)["records"])
            self.reply(200, b'{"offsets":[{"partition":0,"offset":1}]}', content_type="application/vnd.kafka.v2+json")


@unittest.skipUnless(Authority.available(), "openssl is not installed")
class Story(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lat = Lattice()
        cls.addClassCleanup(lambda: cls.lat.__exit__(None, None, None))
        cls.ca = Authority(cls.lat.dir)
        cls.lat.start_nats()
        cls.lat.start_host("us-east-1", "--http-allow", "https://localhost", "--http-ca", cls.ca.cert)

    def deploy(self, name, authority, password="gehëim ✓"):
        """The example under another name; returns its port."""
        port = free_port()
        text = (EXAMPLE / "wadm.yaml").read_text()
        for old, new in (("name: events\n", f"name: {name}\n"), ("name: http-server\n", f"name: {name}-server\n"),
                         ("events-database", f"{name}-database"), ("events-http", f"{name}-http"),
                         ("file://./events.wasm", f"file://{EXAMPLE}/events.wasm"), ("127.0.0.1:8000", f"127.0.0.1:{port}"),
                         ("kafka-rest.example.org\n              topic", f"{authority}\n              topic"),
                         ("change-me", password)):
            self.assertIn(old, text)
            text = text.replace(old, new)
        path = self.lat.dir / f"{name}.yaml"
        path.write_text(text)
        self.lat.ctl("app", "deploy", path)
        until(lambda: self.up(port), 15, lambda: self.lat.app_status(name))
        return port

    def up(self, port):
        try:
            return self.lat.http(port, "/events", "OPTIONS", timeout=5).status == 204
        except OSError:
            return False

    def send(self, port, event):
        r = self.lat.http(port, "/events", "POST", json.dumps(event), {"content-type": "application/json"})
        self.assertEqual(r.headers["access-control-allow-origin"], "https://game.example.org")
        self.assertEqual(r.headers["content-type"], "application/json")
        return r.status, json.loads(r.body)

    def unreachable(self, name, authority, code, **kw):
        status, answer = self.send(self.deploy(name, authority, **kw), {"a": 1})
        self.assertEqual((status, answer),
                         (502, {"error": f"the database cannot be reached: error-code {CODES[code]}"}))

    def test_events_reach_the_topic(self):
        with Origin(self.ca.certificate(), KafkaRest) as o:
            o.topics = {}
            port = self.deploy("events", f"localhost:{o.port}")
            preflight = self.lat.http(port, "/events", "OPTIONS")
            self.assertEqual((preflight.status, preflight.body), (204, b""))
            self.assertEqual(preflight.headers["access-control-allow-methods"], "POST, OPTIONS")
            events = [{"player": f"Zoë {i}", "score": i, "note": "x" * i * 500} for i in range(100)]
            for event in events:
                self.assertEqual(self.send(port, event), (202, {"accepted": True}))
            self.assertEqual(o.topics, {"game-events": events})
            self.assertEqual(self.lat.http(port, "/events", "POST", b"").status, 400)
            self.assertEqual(self.lat.http(port, "/events", "POST", b"1" * 60001).status, 413)
            self.assertEqual(self.lat.http(port, "/events").status, 405)
            self.assertEqual(len(o.topics["game-events"]), 100)

    def test_a_refused_login_is_told(self):
        with Origin(self.ca.certificate(), KafkaRest) as o:
            port = self.deploy("login", f"localhost:{o.port}", password="wrong")
            self.assertEqual(self.send(port, {"a": 1}), (502, {"error": "the database answered 401"}))

    def test_only_the_allowed_server_is_asked(self):
        with Origin(self.ca.certificate(), KafkaRest) as o:
            self.unreachable("denied", f"127.0.0.1:{o.port}", "HTTP-request-denied")
            self.assertEqual(o.requests, [])

    def test_a_certificate_of_a_stranger_is_refused(self):
        with Origin(Authority(self.lat.dir, "stranger").certificate(), KafkaRest) as o:
            self.unreachable("stranger", f"localhost:{o.port}", "TLS-certificate-error")
            self.assertEqual(o.requests, [])

    def test_an_absent_server_is_told(self):
        self.unreachable("absent", f"localhost:{free_port()}", "connection-refused")

    def test_a_server_that_never_answers_is_given_up(self):
        class Stalled(Handler):
            def serve_topics(self, topic):
                self.serve_stall_head()

        with Origin(self.ca.certificate(), Stalled) as o:
            self.unreachable("stalled", f"localhost:{o.port}", "connection-read-timeout")

    def test_garbage_is_told(self):
        with Raw(b"garbage" * 100) as r:
            self.unreachable("garbage", f"localhost:{r.port}", "TLS-protocol-error")

    def test_too_large_headers_are_told(self):
        class Large(Handler):
            def serve_topics(self, topic):
                list(self.chunks())
                self.serve_fields("90", "1000")

        with Origin(self.ca.certificate(), Large) as o:
            self.unreachable("large", f"localhost:{o.port}", "HTTP-response-header-section-size")


if __name__ == "__main__":
    main()
