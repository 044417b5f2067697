# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by the http-server provider, with curl in front: h2c with prior knowledge, and h2 over TLS by ALPN."""

import hashlib
import subprocess
import threading
import time
import unittest

from lattice import PATIENCE, WORKBENCH, Lattice, children_of, main, sanitized, until
from origin import status_of

DATA = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(20000))  # 640 kB
BIG = 256 << 20


class Http2(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        features = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
        if "HTTP2" not in features:
            raise unittest.SkipTest("this curl has no HTTP/2")
        cls.lat = lat = Lattice()
        cls.cert, key = lat.dir / "cert.pem", lat.dir / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", cls.cert, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        cls.host, = lat.start("us-east-1")
        cls.port = lat.deploy(WORKBENCH, "plain", count=20, spread={"us-east-1": 100})
        cls.tls_port = lat.deploy(WORKBENCH, "secure", spread={"us-east-1": 100})
        lat.ctl("app", "delete", "secure")
        path = lat.dir / "secure.yaml"
        address, indent = f"address: 127.0.0.1:{cls.tls_port}", " " * 20
        path.write_text(path.read_text().replace(
            address, f"{address}\n{indent}tls_cert_file: {cls.cert}\n{indent}tls_priv_key_file: {key}"))
        lat.ctl("app", "deploy", path)
        lat.wait_for_answer(cls.port, app="plain")
        until(lambda: cls.curl("--http1.1", cls.https("/"), check=False)[0] == "200", 20,
              lambda: lat.app_status("secure"))

    @classmethod
    def tearDownClass(cls):
        cls.lat.__exit__(None, None, None)

    @classmethod
    def https(cls, path):
        return f"https://127.0.0.1:{cls.tls_port}{path}"

    @classmethod
    def url(cls, path):
        return f"http://127.0.0.1:{cls.port}{path}"

    @classmethod
    def curl(cls, *args, data=None, check=True):
        """(status, protocol version, body) of one request."""
        done = subprocess.run(["curl", "-sS", "--cacert", cls.cert, "-m", str(60 * PATIENCE),
                               "-w", "\n%{http_code} %{http_version}", *args], input=data, capture_output=True)
        if check and done.returncode != 0:
            raise AssertionError(f"curl: {done.returncode} {done.stderr.decode()}")
        body, _, facts = done.stdout.rpartition(b"\n")
        return *facts.decode().split(), body

    def h2c(self, path, *args, **kw):
        return self.curl("--http2-prior-knowledge", *args, self.url(path), **kw)

    def test_over_plain_tcp(self):
        self.assertEqual(self.h2c("/"), ("200", "2", b"workbench\n"))
        self.assertEqual(self.h2c("/echo", "--data-binary", "@-", data=DATA), ("200", "2", DATA))
        self.assertEqual(self.h2c("/", "-I")[:2], ("200", "2"))
        # an upgrade from HTTP/1.1 is not made (RFC 9113 has none any more): the request is answered as it came
        self.assertEqual(self.curl("--http2", self.url("/")), ("200", "1.1", b"workbench\n"))

    def test_over_tls(self):
        self.assertEqual(self.curl("--http2", self.https("/")), ("200", "2", b"workbench\n"))
        self.assertEqual(self.curl("--http1.1", self.https("/")), ("200", "1.1", b"workbench\n"))
        self.assertEqual(self.curl("--http2", "--data-binary", "@-", self.https("/echo"), data=DATA), ("200", "2", DATA))
        status, version, body = self.curl("--http2", self.https("/big/20000000"))
        self.assertEqual((status, version, len(body)), ("200", "2", 20000000))

    def test_many_at_once_on_one_connection(self):
        urls = [arg for i in range(15) for arg in ("-o", "/dev/null", self.https(f"/sleep/{1500 + i}"))]
        begin = time.monotonic()
        # over TLS: with prior knowledge curl 7.88 spoils its second request at a time
        done = subprocess.run(["curl", "-sS", "-Z", "--parallel-max", "50", "--http2", "--cacert", self.cert,
                               "-w", "%{http_code} %{num_connects}\n", *urls], capture_output=True, text=True, check=True)
        took = time.monotonic() - begin
        rows = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual([r[0] for r in rows], ["200"] * 15)
        self.assertEqual(sum(int(r[1]) for r in rows), 1, "connections")
        self.assertLess(took, 15 * 1.5 / 2, "one after the other")

    def test_the_head_leaves_before_the_body_is_there(self):
        done = subprocess.run(["curl", "-sS", "-N", "--http2-prior-knowledge", "-o", "/dev/null",
                               "-w", "%{time_starttransfer} %{time_total}", self.url("/late")],
                              capture_output=True, text=True, check=True)
        head, whole = map(float, done.stdout.split())
        self.assertGreaterEqual(whole - head, 0.09)

    def test_a_download_and_an_upload_need_no_memory(self):
        """Less than a hundredth of what goes through."""
        pids = [pid for pid, args in children_of(self.host.pid) if "http-server" in args]
        self.h2c("/echo", "--data-binary", "@-", data=DATA)
        before = {pid: status_of(pid, "VmHWM") for pid in pids}
        down = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{size_download}",
                               self.url(f"/big/{BIG}")], capture_output=True, text=True, check=True)
        self.assertEqual(int(down.stdout), BIG)
        source = subprocess.Popen(["head", "-c", str(BIG), "/dev/zero"], stdout=subprocess.PIPE)
        up = subprocess.run(["curl", "-sS", "--http2-prior-knowledge", "-o", "/dev/null", "-w", "%{size_upload} %{size_download}",
                             "-T", "-", "-X", "POST", self.url("/echo")], stdin=source.stdout, capture_output=True,
                            text=True, check=True)
        source.wait()
        source.stdout.close()
        self.assertEqual(up.stdout.split(), [str(BIG)] * 2)
        grown = max(status_of(pid, "VmHWM") - before[pid] for pid in pids)
        print(f"256 MiB down, then up and down: peak +{grown} kB")
        if not sanitized():
            self.assertLess(grown, 12 << 10)

    def test_requests_under_way_outlive_their_link(self):
        port = self.lat.deploy(WORKBENCH, "leaving", spread={"us-east-1": 100})
        self.lat.wait_for_answer(port, app="leaving")
        with subprocess.Popen(["curl", "-sv", "--http2-prior-knowledge", f"http://127.0.0.1:{port}/sleep/8000"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as c:
            for line in c.stderr:
                if line.startswith("> "):  # the request is out
                    break
            self.assertEqual(self.lat.http(port, "/").status, 200)  # and by now it is in
            self.lat.deploy(WORKBENCH, "leaving", port=port, spread={"us-east-1": 100}, link=False)
            body, rest = c.communicate(timeout=30 * PATIENCE)
        self.assertEqual((c.returncode, body), (0, "slept\n"), rest)
        self.assertIn("GOAWAY", rest)  # while it slept

    def test_clients_that_leave_free_their_instances(self):
        """More of them than there are instances."""
        def leave():
            with subprocess.Popen(["curl", "-sS", "--http2-prior-knowledge", self.url("/big/500000000")],
                                  stdout=subprocess.PIPE) as c:
                c.stdout.read(100)
                c.kill()
        threads = [threading.Thread(target=leave) for _ in range(25)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        begin = time.monotonic()
        self.assertEqual(self.h2c("/")[0], "200")
        self.assertLess(time.monotonic() - begin, 8 * PATIENCE)


if __name__ == "__main__":
    main()
