# SPDX-License-Identifier: Apache-2.0
"""A lattice over TLS: hosts, hostctl, providers and a bucket's own connection trust a test CA, and nothing else will do."""

import unittest

from lattice import BIN, ROOT, Lattice, Process, free_port, main, until
from origin import Authority

EXAMPLE = ROOT / "deploy/examples/counter"


@unittest.skipUnless(Authority.available(), "openssl is not installed")
class NatsTls(unittest.TestCase):
    def setUp(self):
        self.lat = Lattice()
        self.lat.__enter__()
        self.addCleanup(self.lat.__exit__, None, None, None)
        self.ca = Authority(self.lat.dir)
        cert, key = self.ca.certificate()
        self.tls = ["--tls", "--tlscert", cert, "--tlskey", key]
        self.lat.start_nats(*self.tls)

    def trust(self, path):
        """Environment of hosts (WASMCLOUD_...) and of hostctl (WASH_...)."""
        self.lat.env |= {"WASMCLOUD_CTL_TLS_CA_FILE": str(path), "WASMCLOUD_RPC_TLS_CA_FILE": str(path),
                         "WASH_CTL_TLS_CA_FILE": str(path), "WASH_RPC_TLS_CA_FILE": str(path)}

    def deploy(self, **bucket_settings):
        port = free_port()
        text = (EXAMPLE / "wadm.yaml").read_text()
        text = text.replace("file://./counter.wasm", f"file://{EXAMPLE / 'counter.wasm'}")
        text = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        indent = " " * 20
        more = "".join(f"\n{indent}{k}: {v}" for k, v in bucket_settings.items())
        text = text.replace("bucket: counter\n", f"bucket: counter{more}\n")
        path = self.lat.dir / "wadm.yaml"
        path.write_text(text)
        self.lat.ctl("app", "deploy", path)
        return port

    def count(self, port):
        def counted():
            try:
                reply = self.lat.http(port, timeout=5)
            except OSError:
                return None
            return int(reply.body) if reply.status == 200 else None
        return until(counted, 30, lambda: self.lat.app_status("counter") + "".join(h.tail() for h in self.lat.hosts))

    def test_everything_speaks_tls(self):
        self.trust(self.ca.cert)
        host = self.lat.start_host("us-east-1", "--ctl-tls", "--rpc-tls")
        pem = "|\n" + "".join(" " * 22 + line + "\n" for line in self.ca.cert.read_text().splitlines())
        uri = f"tls://127.0.0.1:{self.lat.nats_port}"
        port = self.deploy()
        self.assertEqual(self.count(port), 1)
        for settings in ({"cluster_uri": uri, "tls_ca_file": self.ca.cert}, {"cluster_uri": uri, "tls_ca": pem.rstrip()}):
            before = self.count(port)
            self.lat.ctl("app", "delete", "counter")
            until(lambda: not self.lat.answers(port), 20, host.tail)
            port = self.deploy(**settings)
            self.assertGreater(self.count(port), before)
        self.lat.nats.stop()
        self.lat.start_nats(*self.tls)
        self.assertGreater(self.count(port), before)

    def test_a_bucket_behind_an_unknown_certificate(self):
        self.trust(self.ca.cert)
        self.lat.start_host("us-east-1")
        (self.lat.dir / "other").mkdir()
        other = Authority(self.lat.dir / "other")
        port = self.deploy(cluster_uri=f"nats://127.0.0.1:{self.lat.nats_port}", tls_ca_file=other.cert)

        def said():
            try:
                return b"certificate" in self.lat.http(port).body
            except OSError:
                return False
        until(said, 30, lambda: self.lat.app_status("counter"))

    def test_who_does_not_know_the_server_stays_away(self):
        for trusted in (None, self.ca.cert):
            if trusted:
                (self.lat.dir / "other").mkdir()
                self.trust(Authority(self.lat.dir / "other").cert)
            host = Process([BIN / "hostd"], self.lat.env, self.lat.dir / "host.log")
            self.lat.hosts.append(host)
            until(lambda: not host.alive() or "certificate" in host.text(), 30, host.tail)
            self.assertIn("certificate", host.text())
            host.kill()
            done = self.lat.ctl("get", "hosts", check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("certificate", done.stderr)


if __name__ == "__main__":
    main()
