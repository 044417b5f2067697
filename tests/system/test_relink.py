# SPDX-License-Identifier: Apache-2.0
"""Links of the http-server that change while they are used: by deploying a changed manifest, under constant load."""

import http.client
import socket
import ssl
import subprocess
import threading
import unittest

from lattice import HELLO, PATIENCE, WORKBENCH, Lattice, free_port, main, until


def link(name, target, settings):
    rows = "".join(f"""
                    {key}: '{value}'""" for key, value in settings.items())
    return f"""
        - type: link
          properties:
            name: {name}
            target: {target}
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source:
              config:
                - name: {name}
                  properties:{rows}"""


def component(name, image):
    return f"""
    - name: {name}
      type: component
      properties:
        image: file://{image}
        id: {name}
      traits:
        - type: spreadscaler
          properties:
            instances: 50"""


def manifest(links, config=""):
    return f"""apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: app
spec:
  components:{component("hello", HELLO)}{component("bench", WORKBENCH)}
    - name: httpserver
      type: capability
      properties:
        image: ghcr.io/wasmcloud/http-server:0.27.0{config}
      traits:{"".join(links)}
"""


class Load:
    """Clients with a connection each that ask again and again; `wrong` is what they got that was no 200, `connects` how
    many connections they needed."""

    def __init__(self, port, path="/", clients=4):
        self.port, self.path = port, path
        self.answers, self.connects, self.wrong = 0, 0, []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(clients)]
        for t in self.threads:
            t.start()

    def work(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * PATIENCE)
        while not self.over.is_set():
            try:
                self.connects += c.sock is None
                c.request("GET", self.path)
                reply = c.getresponse()
                body = reply.read()
                if reply.status == 200:
                    self.answers += 1
                else:
                    self.wrong.append((reply.status, body))
            except (OSError, http.client.HTTPException) as e:
                self.wrong.append(repr(e))
                c.close()
        c.close()

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join()
        return self


class Relink(unittest.TestCase):
    def setUp(self):
        self.lat = self.enterContext(Lattice())
        self.lat.start("us-east-1")

    def deploy(self, *links, config=""):
        path = self.lat.dir / "wadm.yaml"
        path.write_text(manifest(links, config))
        self.lat.ctl("app", "deploy", path)

    def check_untouched(self, *loads):
        for load in loads:
            load.stop()
            self.assertEqual(load.wrong, [])
            self.assertEqual(load.connects, len(load.threads), "connections were closed")
            self.assertGreater(load.answers, 20)

    def answers_with(self, port, header, value, path="/"):
        try:
            return self.lat.http(port, path, timeout=5).headers.get(header) == value
        except OSError:
            return False

    def is_closed(self, port):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return False
        except OSError:
            return True

    def test_settings_change_and_every_connection_stays(self):
        port, other = free_port(), free_port()
        unchanged = link("two", "bench", {"address": f"127.0.0.1:{other}"})
        self.deploy(link("one", "hello", {"address": f"127.0.0.1:{port}"}), unchanged)
        self.lat.wait_for_answer(port)
        self.lat.wait_for_answer(other)
        loads = Load(port), Load(other)
        for n in range(3):
            self.deploy(link("one", "hello", {"address": f"127.0.0.1:{port}", "cache_control": f"max-age={n}",
                                              "cors_allowed_origins": '["https://a.example"]', "timeout_ms": 9000 + n}),
                        unchanged)
            until(lambda want=f"max-age={n}": self.answers_with(port, "cache-control", want), 20,
                  lambda: self.lat.app_status("app"))
        self.check_untouched(*loads)

    def test_a_port_changes_and_what_is_under_way_is_answered(self):
        old, new = free_port(), free_port()
        self.deploy(link("one", "bench", {"address": f"127.0.0.1:{old}"}))
        self.lat.wait_for_answer(old)
        slow = http.client.HTTPConnection("127.0.0.1", old, timeout=20 * PATIENCE)
        slow.request("GET", "/sleep/3000")
        self.deploy(link("one", "bench", {"address": f"127.0.0.1:{new}"}))
        until(lambda: self.lat.answers(new), 20, lambda: self.lat.app_status("app"))
        until(lambda: self.is_closed(old), 10, "the old port is open still")
        self.assertEqual(slow.getresponse().read(), b"slept\n")
        slow.close()

    def certificate(self, name):
        cert, key = self.lat.dir / f"{name}.pem", self.lat.dir / f"{name}.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        return {"tls_cert_file": cert, "tls_priv_key_file": key}

    def https(self, port, tls):
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=20 * PATIENCE,
                                           context=ssl.create_default_context(cafile=tls["tls_cert_file"]))

    def trusts(self, port, tls):
        c = self.https(port, tls)
        try:
            c.request("GET", "/")
            return c.getresponse().status == 200
        except OSError:
            return False
        finally:
            c.close()

    def test_a_certificate_is_replaced_and_then_none(self):
        port, old, new = free_port(), self.certificate("old"), self.certificate("new")
        address = {"address": f"127.0.0.1:{port}"}
        self.deploy(link("one", "hello", address | old))
        until(lambda: self.trusts(port, old), 20, lambda: self.lat.app_status("app"))
        kept = self.https(port, old)
        kept.request("GET", "/")
        self.assertEqual(kept.getresponse().read(), b"hello from hostd: /\n")
        self.deploy(link("one", "hello", address | new))
        until(lambda: self.trusts(port, new), 20, lambda: self.lat.app_status("app"))
        kept.request("GET", "/")
        self.assertEqual(kept.getresponse().status, 200, "open connections go on with the old certificate")
        kept.close()
        self.deploy(link("one", "hello", address))
        until(lambda: self.lat.answers(port), 20, lambda: self.lat.app_status("app"))

    def link_by_hand(self, **settings):
        self.lat.ctl("config", "put", "by-hand", *(f"{k}={v}" for k, v in settings.items()))
        self.lat.ctl("link", "put", "web", "hello", "wasi", "http", "--interface", "incoming-handler",
                     "--source-config", "by-hand")

    def test_by_hand_a_put_is_enough(self):
        port, other = free_port(), free_port()
        self.lat.ctl("start", "component", HELLO, "hello")
        self.lat.ctl("start", "provider", "http-server", "web")
        self.link_by_hand(address=f"127.0.0.1:{port}")
        self.lat.wait_for_answer(port)
        load = Load(port)
        self.link_by_hand(address=f"127.0.0.1:{port}", cache_control="no-store")
        until(lambda: self.answers_with(port, "cache-control", "no-store"), 20, self.lat.hosts[0].tail)
        self.check_untouched(load)
        self.link_by_hand(address=f"127.0.0.1:{other}")
        until(lambda: self.lat.answers(other) and self.is_closed(port), 20, self.lat.hosts[0].tail)

    def test_a_route_changes_beside_another(self):
        port = free_port()
        config = f"""
        config:
          - name: shared
            properties: {{routing_mode: path, default_address: "127.0.0.1:{port}"}}"""
        unchanged = link("two", "bench", {"path": "/bench"})
        self.deploy(link("one", "hello", {"path": "/a"}), unchanged, config=config)
        until(lambda: self.lat.answers(port, "/a") and self.lat.answers(port, "/bench"), 20,
              lambda: self.lat.app_status("app"))
        loads = Load(port, "/a"), Load(port, "/bench")
        self.deploy(link("one", "hello", {"path": "/a", "cache_control": "no-store"}), unchanged, config=config)
        until(lambda: self.answers_with(port, "cache-control", "no-store", "/a"), 20, lambda: self.lat.app_status("app"))
        self.check_untouched(*loads)
        self.deploy(link("one", "hello", {"path": "/b"}), unchanged, config=config)
        until(lambda: self.lat.answers(port, "/b"), 20, lambda: self.lat.app_status("app"))
        until(lambda: self.lat.http(port, "/a").status == 404, 10, "the old route answers still")


if __name__ == "__main__":
    main()
