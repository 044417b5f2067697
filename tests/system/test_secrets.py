# SPDX-License-Identifier: Apache-2.0
"""Secrets from a backend to those who may have them: a component, a provider, a link; in the open nowhere. And why somebody
does not get any."""

import json
import os
import re
import signal
import subprocess
import unittest

from lattice import BIN, ROOT, Lattice, Process, children_of, free_port, main, until
from peer import Nats, Peer
from vault import TOPIC, Vault, claims

KEEPER = ROOT / "tests/guests/keeper/keeper.wasm"
CHOOSER = ROOT / "tests/guests/chooser/chooser.wasm"
TEXT, FIELD, BYTES, LOGIN = "Pa55word of the keeper", "T0ken of the keeper", b"\0\xff\x01blob", "L0gin-of-the-link"
UNTOLD = "N0body asked for this"


def manifest(keeper, kv, ports):
    return f"""apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: vaulted
spec:
  policies:
    - name: vault
      type: policy.secret.wasmcloud.dev/v1alpha1
      properties:
        backend: vault
        mount: deep/down
  components:
    - name: keeper
      type: component
      properties:
        image: file://{keeper}
        config:
          - name: plain
            properties:
              colour: blue
        secrets:
          - name: password
            properties: {{policy: vault, key: keeper/password}}
          - name: token
            properties: {{policy: vault, key: keeper/fields, field: token, version: "7"}}
          - name: blob
            properties: {{policy: vault, key: keeper/blob}}
          - name: untold
            properties: {{policy: vault, key: keeper/untold}}
      traits:
        - type: spreadscaler
          properties: {{instances: 5}}
    - name: chooser
      type: component
      properties:
        image: file://{CHOOSER}
      traits:
        - type: spreadscaler
          properties: {{instances: 5}}
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
            target:
              name: kv
              config:
                - name: kv-wrong
                  properties:
                    bucket: a-secret-of-that-name-wins
              secrets:
                - name: bucket
                  properties: {{policy: vault, key: kv/bucket}}
                - name: cluster_uri
                  properties: {{policy: vault, key: kv/uri}}
    - name: kv
      type: capability
      properties:
        image: file://{kv}
        secrets:
          - name: enable_bucket_auto_create
            properties: {{policy: vault, key: kv/create}}
      traits:
        - type: spreadscaler
          properties: {{instances: 1}}
    - name: http-server
      type: capability
      properties:
        image: ghcr.io/wasmcloud/http-server:0.23.2
      traits:""" + "".join(f"""
        - type: link
          properties:
            name: {name}
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source:
              config:
                - name: http-{name}
                  properties:
                    address: 127.0.0.1:{port}
            target:
              name: {name}""" for name, port in ports.items()) + "\n"


def copies(pid, text):
    """How often it is in the memory of a process."""
    n = 0
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            size = int(m[2], 16) - int(m[1], 16) if m else 0
            if 0 < size < 1 << 30:
                try:
                    memory.seek(int(m[1], 16))
                    n += memory.read(size).count(text.encode())
                except OSError:
                    pass  # gone meanwhile
    return n


class Sniffer(Nats):
    """Everything that passes the server."""

    def __init__(self, port):
        self.seen = []
        super().__init__(port)
        self.subscribe(">", lambda subject, reply, data, status: self.seen.append((subject, self.head + data)))


class Secrets(unittest.TestCase):
    def sign(self, lat, path, out):
        done = lat.ctl("claims", "sign", path, "--name", "keeper", "--destination", out, "--output", "json")
        return json.loads(done.stdout)["subject"]

    uri = "nats://nowhere"

    def guarded_nats(self, lat):
        """A second server, that wants a password."""
        port = free_port()
        server = Process(["nats-server", "-js", "-a", "127.0.0.1", "-p", port, "-sd", lat.dir / "guarded", "--user", "kv",
                          "--pass", LOGIN], lat.env, lat.dir / "guarded.log")
        self.addCleanup(server.kill)
        self.uri = f"nats://kv:{LOGIN}@127.0.0.1:{port}"
        self.guarded = port

    def vault(self, lat):
        vault = Vault(lat.nats_port, "vault", {"keeper/password": TEXT, "keeper/fields": {"token": FIELD},
                                               "keeper/blob": BYTES, "keeper/untold": UNTOLD, "kv/bucket": "sealed-bucket",
                                               "kv/create": "true", "kv/uri": self.uri})
        self.addCleanup(vault.close)
        return vault

    def host(self, lat, **env):
        lat.start_nats()
        return lat.start_host("us-east-1", WASMCLOUD_SECRETS_TOPIC=TOPIC, **env)

    def test_a_manifest_with_secrets(self):
        with Lattice() as lat:
            host = self.host(lat)
            self.guarded_nats(lat)
            keeper, kv = lat.dir / "keeper_s.wasm", lat.dir / "kv.par.gz"
            subject = self.sign(lat, KEEPER, keeper)
            lat.ctl("par", "create", "--vendor", "us", "--name", "kv", "--binary", BIN / "keyvalue-nats",
                    "--compress", "--destination", kv)
            ports = {"keeper": free_port(), "chooser": free_port()}
            path = lat.dir / "wadm.yaml"
            path.write_text(manifest(keeper, kv, ports))
            lat.ctl("app", "deploy", path)

            # the backend comes late: until then somebody says why nothing starts
            until(lambda: "ask for its key" in lat.app_status("vaulted"), 15, lambda: lat.app_status("vaulted"))
            sniffer, vault = Sniffer(lat.nats_port), self.vault(lat)
            lat.wait_for_answer(ports["keeper"], 30, "vaulted")

            # a link and a provider: the bucket of the secret is the one that counts, and it may be made
            until(lambda: self.bucket_exists(lat, "sealed-bucket"), 15, lambda: lat.app_status("vaulted"))
            self.assertEqual(lat.http_linked(ports["chooser"], "/+hits").body, b"1\n")
            self.assertFalse(self.bucket_exists(lat, "a-secret-of-that-name-wins"))
            self.in_the_open_nowhere(lat, host, sniffer)
            # one copy for the component that may ask for it, none of what went to a provider
            until(lambda: copies(host.pid, UNTOLD) == 1, 5, lambda: f"{copies(host.pid, UNTOLD)} copies of a secret")
            until(lambda: copies(host.pid, LOGIN) == 0, 5, lambda: f"{copies(host.pid, LOGIN)} copies of a link's secret")

            # a component
            body = lat.http(ports["keeper"], "/password/token/blob/nothing/~colour/~password").body.decode().splitlines()
            self.assertEqual(body, [f"string {TEXT}", f"string {FIELD}", f"bytes {BYTES.hex()}", "not found", "blue", "unset"])

            # what the backend was told
            asked = {q["key"]: q for q in vault.asked}
            self.assertEqual(set(asked), set(vault.secrets))
            context = asked["keeper/password"]["context"]
            self.assertEqual(claims(context["entity_jwt"])["sub"], subject)
            self.assertEqual(claims(context["host_jwt"])["sub"], host.id)
            self.assertEqual(context["application"]["name"], "vaulted")
            self.assertEqual(json.loads(context["application"]["policy"])["properties"], {"mount": "deep/down"})
            self.assertEqual((asked["keeper/fields"]["field"], asked["keeper/fields"]["version"]), ("token", "7"))
            self.assertTrue(claims(asked["kv/bucket"]["context"]["entity_jwt"])["sub"].startswith("V"))

            self.rotate(lat, host, vault)

            lat.ctl("app", "delete", "vaulted")
            until(lambda: copies(host.pid, UNTOLD) == 0, 15, lambda: f"{copies(host.pid, UNTOLD)} copies are left")

    def in_the_open_nowhere(self, lat, host, sniffer):
        shown = lat.ctl("get", "inventory", "--output", "json").stdout + lat.ctl("get", "links", "--output", "json").stdout
        kv = [p["id"] for p in lat.inventory()[host.id]["providers"] if p["id"].endswith("kv")][0]
        seen = list(sniffer.seen)
        self.assertGreater(len(seen), 100)
        for secret in (TEXT, FIELD, LOGIN, UNTOLD):
            self.assertNotIn(secret, host.text())  # which has the providers' lines, too
            self.assertNotIn(secret, shown)
            self.assertEqual([subject for subject, data in seen if secret.encode() in data], [])
        # nor does the link go where every provider of old reads it
        subjects = {subject for subject, _ in seen}
        self.assertNotIn(f"wasmbus.rpc.default.{kv}.linkdefs.put", subjects)
        self.assertIn(f"wasmbus.rpc.default.{kv}.health", subjects)

    def rotate(self, lat, host, vault):
        """A provider that is started again gets what the secrets are by then."""
        vault.secrets["kv/bucket"] = "another-bucket"
        pid = [pid for pid, args in children_of(host.pid) if "http-server" not in args][0]
        os.kill(pid, signal.SIGKILL)
        until(lambda: self.bucket_exists(lat, "another-bucket"), 15, "the provider does not use the new secret")

    def bucket_exists(self, lat, name):
        nats = Nats(self.guarded, user="kv", **{"pass": LOGIN})
        answers = []
        nats.subscribe("answer.bucket", lambda subject, reply, data, status: answers.append(data))
        nats.publish(f"$JS.API.STREAM.INFO.KV_{name}", b"", "answer.bucket")
        until(lambda: answers, 5, "no answer of JetStream")
        nats.close()
        return b'"error"' not in answers[0]

    def start(self, lat, image, name, secret):
        done = lat.ctl("start", "component", f"file://{image}", name, "--config", secret, check=False)
        return done.stdout + done.stderr

    def test_who_does_not_get_any(self):
        with Lattice() as lat:
            host = self.host(lat)
            vault = self.vault(lat)
            keeper = lat.dir / "keeper_s.wasm"
            subject = self.sign(lat, KEEPER, keeper)
            for name, backend, key in (("good", "vault", "keeper/password"), ("gone", "vault", "keeper/gone"),
                                       ("silent", "nobody", "x")):
                lat.ctl("secrets", "put", name, backend, key, "--property", "a=b")
            self.assertIn("keeper/password", lat.ctl("secrets", "get", "good").stdout)
            lat.ctl("config", "put", "SECRET_fake", "a=b", check=False)

            self.assertIn("only a signed component", self.start(lat, KEEPER, "unsigned", "SECRET_good"))
            self.assertIn("no such thing here", self.start(lat, keeper, "gone", "SECRET_gone"))
            self.assertIn("nobody", self.start(lat, keeper, "silent", "SECRET_silent"))
            self.assertIn("no such secret reference", self.start(lat, keeper, "absent", "SECRET_absent"))
            vault.denied.add(subject)
            self.assertIn("Unauthorized", self.start(lat, keeper, "denied", "SECRET_good"))
            vault.denied.clear()
            vault.twist = lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1])
            self.assertIn("does not open", self.start(lat, keeper, "twisted", "SECRET_good"))
            vault.twist = lambda sealed: sealed
            self.assertEqual(lat.inventory()[host.id]["components"], [])
            lat.ctl("config", "put", "colours", "colour=blue")
            lat.ctl("start", "component", f"file://{keeper}", "well", "--config", "SECRET_good,colours")
            self.assertEqual([c["id"] for c in lat.inventory()[host.id]["components"]], ["well"])
            self.later(lat, host, vault, keeper)
            self.assertNotIn(TEXT, host.text())
            lat.ctl("secrets", "del", "good")
            self.assertNotEqual(lat.ctl("secrets", "get", "good", check=False).returncode, 0)

    def later(self, lat, host, vault, keeper):
        """A changed configuration leaves the secrets, another list of names asks again."""
        peer = Peer(lat.nats_port)
        self.addCleanup(peer.close)

        def says(path):
            return peer.handle("default.well", "GET", path, b"")[1].decode()
        self.assertEqual(says("/good/~colour"), f"string {TEXT}\nblue\n")
        asked = len(vault.asked)
        lat.ctl("config", "put", "colours", "colour=green")
        until(lambda: says("/~colour") == "green\n", 10, "the old configuration stays")
        self.assertEqual(says("/good"), f"string {TEXT}\n")
        self.assertEqual(len(vault.asked), asked)
        lat.ctl("secrets", "put", "second", "vault", "keeper/fields", "--field", "token")
        lat.ctl("scale", "component", host.id, f"file://{keeper}", "well", "--config", "SECRET_second")
        until(lambda: says("/second/good") == f"string {FIELD}\nnot found\n", 10, "the old secrets stay")

    def test_a_host_without_a_backend(self):
        with Lattice() as lat:
            lat.start("us-east-1")
            keeper = lat.dir / "keeper_s.wasm"
            self.sign(lat, KEEPER, keeper)
            lat.ctl("secrets", "put", "good", "vault", "x")
            self.assertIn("--secrets-topic", self.start(lat, keeper, "k", "SECRET_good"))

    def test_a_topic_that_is_none(self):
        done = subprocess.run([BIN / "hostd", "--secrets-topic", "a.*"], capture_output=True, text=True, timeout=20, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("--secrets-topic", done.stderr)


if __name__ == "__main__":
    main()
