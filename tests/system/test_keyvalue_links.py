# SPDX-License-Identifier: Apache-2.0
"""Buckets on servers of their own: what the settings of a link ask for is what JetStream shows, credentials, a domain, and a
cluster that loses a member."""

import json
import unittest
import urllib.request

from lattice import ROOT, Lattice, Process, free_port, main, until
from nats_auth import Realm
from origin import Authority

EXAMPLE = ROOT / "deploy/examples/counter"


class Server:
    """A nats-server of its own, which tells on its monitoring port what it keeps."""

    def __init__(self, lat, name, config):
        self.lat, self.name, self.port, self.monitor = lat, name, free_port(), free_port()
        self.folder = lat.dir / name
        self.folder.mkdir()
        self.process = None
        self.start(config)

    def start(self, config):
        path = self.folder / "server.conf"
        path.write_text(f'server_name: {self.name}\nlisten: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.monitor}"\n' + config)
        self.process = Process(["nats-server", "-c", path], self.lat.env, self.folder / "server.log")
        until(self.answers, 20, self.process.tail)

    def stop(self):
        self.process.kill()

    def ask(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}{path}", timeout=5) as r:
            return json.load(r)

    def answers(self):
        try:
            return self.ask("/varz")
        except OSError:
            return False

    def streams(self):
        """name -> configuration"""
        accounts = self.ask("/jsz?accounts=true&streams=true&config=true").get("account_details") or []
        return {s["name"]: s["config"] for a in accounts for s in a.get("stream_detail") or []}


class OwnServers(unittest.TestCase):
    def setUp(self):
        self.lat = Lattice()
        self.lat.__enter__()
        self.addCleanup(self.lat.__exit__, None, None, None)
        self.host, = self.lat.start("us-east-1")
        self.servers = []
        self.addCleanup(lambda: [s.stop() for s in self.servers])

    def server(self, name, config):
        self.servers.append(Server(self.lat, name, config))
        return self.servers[-1]

    def jetstream(self, name, more=""):
        return f'jetstream {{ store_dir: "{self.lat.dir / name / "js"}"{more} }}\n'

    def deploy(self, **settings):
        self.port = free_port()
        text = (EXAMPLE / "wadm.yaml").read_text()
        text = text.replace("file://./counter.wasm", f"file://{EXAMPLE / 'counter.wasm'}")
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{self.port}")
        more = "".join(f'\n{" " * 20}{k}: "{v}"' for k, v in settings.items())
        text = text.replace("bucket: counter\n", f"bucket: counter{more}\n")
        path = self.lat.dir / "wadm.yaml"
        path.write_text(text)
        self.lat.ctl("app", "deploy", path)

    def status(self):
        return self.lat.app_status("counter")

    def refusal(self):
        try:
            reply = self.lat.http(self.port, timeout=15)
        except OSError:
            return b""
        return reply.body if reply.status == 500 else b""

    def count(self, seconds=30):
        def counted():
            try:
                reply = self.lat.http(self.port, timeout=15)
            except OSError:
                return None
            return int(reply.body) if reply.status == 200 else None
        return until(counted, seconds, lambda: self.status() + self.host.tail())

    @unittest.skipUnless(Authority.available(), "openssl is not installed")
    def test_credentials_domain_and_settings(self):
        realm = Realm(self.lat.dir)
        stored = self.jetstream("hub", ", domain: hub")
        hub = self.server("hub", stored + realm.config([realm.system]))  # it does not know the account yet
        self.deploy(cluster_uri=f"nats://127.0.0.1:1, nats://127.0.0.1:{hub.port}", js_domain="hub",
                    client_jwt=realm.user_jwt, client_seed=realm.user_seed, history=5, ttl_ms=3600000, storage="memory")
        until(lambda: self.refusal() == b"access denied\n", 30, self.status)
        for secret in (realm.user_jwt, realm.user_seed):
            self.assertNotIn(secret, self.status() + self.host.text())

        hub.stop()
        hub.start(stored + realm.config())
        self.assertEqual(self.count(), 1)
        self.assertEqual(self.count(), 2)
        config = hub.streams()["KV_counter"]
        self.assertEqual({k: config[k] for k in ("max_msgs_per_subject", "max_age", "storage", "num_replicas")},
                         {"max_msgs_per_subject": 5, "max_age": 3600 * 10**9, "storage": "memory", "num_replicas": 1})

        # in memory is not on disk: the server forgets, and the bucket is made again
        hub.stop()
        hub.start(stored + realm.config())
        self.assertEqual(self.count(60), 1)

    def test_replicas_outlive_a_server(self):
        names, routes = ("n1", "n2", "n3"), {n: free_port() for n in ("n1", "n2", "n3")}
        configs = {n: self.jetstream(n) + f'cluster {{ name: c, listen: "127.0.0.1:{routes[n]}", routes: ['
                   + ", ".join(f'"nats://127.0.0.1:{p}"' for m, p in routes.items() if m != n) + "] }\n" for n in names}
        cluster = [self.server(n, configs[n]) for n in names]
        uris = ",".join(f"nats://127.0.0.1:{s.port}" for s in cluster)
        self.deploy(cluster_uri=uris, replicas=3)
        counts = [self.count(60), self.count()]
        self.assertEqual(cluster[0].streams()["KV_counter"]["num_replicas"], 3)
        for server in cluster:  # whichever leads, and whichever the provider is at
            server.stop()
            counts.append(self.count(60))
            server.start(configs[server.name])
            until(lambda: all("KV_counter" in s.streams() for s in cluster), 30, "every member has it again")
            counts.append(self.count(60))
        self.assertEqual(counts, sorted(set(counts)))  # what was answered is never taken back

    def test_more_replicas_than_servers(self):
        alone = self.server("alone", self.jetstream("alone"))
        self.deploy(cluster_uri=f"nats://127.0.0.1:{alone.port}", replicas=3)
        until(lambda: "replicas > 1 not supported" in self.status(), 30, self.status)


if __name__ == "__main__":
    main()
