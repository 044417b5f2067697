# SPDX-License-Identifier: Apache-2.0
"""Images out of registries: components and provider archives by tag and by digest, mirrors, credentials, a registry that
is away or lies. Whatever goes wrong says which image, where and why."""

import base64
import json
import platform
import re
import socket
import tarfile
import unittest

from lattice import BIN, HELLO, ROOT, Lattice, children_of, free_port, main, until
from registry import FakeRegistry, digest, read, start_registry


ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def make_archive(lat, name="http-server"):
    path = lat.dir / f"{name}.par.gz"
    lat.ctl("par", "create", "--vendor", "hostd", "--name", name, "--binary", BIN / "http-server", "--version", "0.1.0",
            "--compress", "--destination", path)
    return path


class Registry(unittest.TestCase):
    def pull(self, lat, registry, reference, *args, check=True):
        return lat.ctl("pull", f"{registry.authority}/{reference}", "--insecure", "--destination", lat.dir / "out.wasm",
                       *args, check=check)

    def refused(self, lat, registry, reference, *words, args=()):
        done = self.pull(lat, registry, reference, *args, check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse((lat.dir / "out.wasm").exists())
        return done.stderr

    def test_an_application_runs_out_of_a_registry(self):
        """Component by tag, provider by a digest, through a mirror; the references that were given stay visible."""
        with Lattice() as lat:
            authority = start_registry(lat)
            if not authority:
                self.skipTest("docker-registry is not installed")
            lat.ctl("push", f"{authority}/acme/hello:1.0", HELLO, "--insecure")
            pushed = lat.ctl_json("push", f"{authority}/acme/http:0.1", make_archive(lat), "--insecure")
            provider = f"registry.example/acme/http@{pushed['digest']}"
            lat.start("us-east-1", "us-west-1", HOSTD_OCI_MIRRORS=f"registry.example={authority}",
                      WASMCLOUD_OCI_ALLOWED_INSECURE=authority)
            port = free_port()
            path = lat.dir / "app.yaml"
            lat.deploy(HELLO, port=port)  # writes the file, and deploys what we replace at once
            text = path.read_text().replace(f"file://{HELLO}", "registry.example/acme/hello:1.0")
            text = text.replace("ghcr.io/wasmcloud/http-server:0.23.2", provider).replace("name: app\n", "name: two\n", 1)
            lat.ctl("app", "delete", "app")
            path.write_text(text)
            lat.ctl("app", "deploy", path)
            lat.wait_for_answer(port, app="two")
            images = {c["image_ref"] for i in lat.inventory().values() for c in i["components"]}
            self.assertEqual(images, {"registry.example/acme/hello:1.0"})
            providers = [p for i in lat.inventory().values() for p in i["providers"]]
            self.assertEqual([p["image_ref"] for p in providers], [provider])
            programs = [a for h in lat.hosts[1:] for _, a in children_of(h.pid) if "/programs/" in a]
            self.assertEqual(len(programs), 1, "the provider runs from the cache")

    def test_a_provider_archive_from_a_file(self):
        with Lattice() as lat:
            archive = make_archive(lat)
            lat.start("us-east-1")
            port = lat.deploy(HELLO, spread={"us-east-1": 100})
            lat.ctl("app", "delete", "app")
            path = lat.dir / "app.yaml"
            path.write_text(path.read_text().replace("ghcr.io/wasmcloud/http-server:0.23.2", f"file://{archive}"))
            lat.ctl("app", "deploy", path)
            lat.wait_for_answer(port)
            claims = lat.ctl_json("inspect", archive)
            self.assertEqual((claims["name"], claims["vendor"]), ("http-server", "hostd"))
            self.assertEqual((claims["revision"], len(claims["targets"])), ("0", 1))
            self.assertIn("http-server - Capability Provider\n", lat.ctl("inspect", archive).stdout)

    def test_the_world_of_a_component(self):
        """From a registry as from a file, without a signature; what has no world says so."""
        with Lattice() as lat, FakeRegistry() as r:
            r.put("acme/hello", "1.0", read(HELLO))
            world = lat.ctl("inspect", "--wit", HELLO).stdout
            self.assertTrue(world.startswith("package root:component;\n\nworld root {\n  import wasi:"), world)
            self.assertIn("\n  export wasi:http/incoming-handler@0.2", world)
            self.assertIn("\npackage wasi:io@0.2", world)
            there = lat.ctl_json("inspect", "--world", f"{r.authority}/acme/hello:1.0", "--insecure")
            self.assertEqual(there, {"success": True, "wit": world})
            archive, carries = make_archive(lat), lat.dir / "carries.par"
            package = ROOT / "tests/component/data/package"
            with tarfile.open(archive) as old, tarfile.open(carries, "w") as new:
                for entry in old:
                    new.addfile(entry, old.extractfile(entry))
                new.add(f"{package}.wasm", "world.wasm")
            self.assertEqual(lat.ctl("inspect", "--wit", carries).stdout, read(f"{package}.text").decode())
            for what, words in ((archive, "carries no WIT package"), (ROOT / "README.md", "not a WebAssembly file")):
                done = lat.ctl("inspect", "--wit", what, check=False)
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertTrue(words in done.stderr and str(what) in done.stderr, done.stderr)

    def test_a_tampered_archive_does_not_start(self):
        with Lattice() as lat:
            archive = make_archive(lat)
            other = lat.dir / "other.par.gz"
            lat.ctl("par", "create", "--vendor", "x", "--name", "x", "--binary", BIN / "hostctl", "--compress",
                    "--destination", other)
            self.splice(lat, archive, other)
            lat.start("us-east-1")
            done = lat.ctl("start", "provider", f"file://{archive}", "p", check=False)
            self.assertIn("does not match its hash", done.stdout + done.stderr + lat.hosts[0].text())
            self.assertEqual(children_of(lat.hosts[0].pid), [])

    @staticmethod
    def splice(lat, archive, other):
        """The claims of one with the binary of the other."""
        with tarfile.open(archive) as a, tarfile.open(other) as b, tarfile.open(lat.dir / "new.par.gz", "w:gz") as out:
            for source, member in ((a, "claims.jwt"), (b, next(n for n in b.getnames() if n.endswith(".bin")))):
                out.addfile(source.getmember(member), source.extractfile(member))
        (lat.dir / "new.par.gz").rename(archive)

    def test_tokens_and_credentials(self):
        with Lattice() as lat, FakeRegistry("robot", "secret") as r:
            r.put("acme/echo", "1.0", read(HELLO))
            self.pull(lat, r, "acme/echo:1.0", "--user", "robot", "--password", "secret")
            self.assertEqual(read(lat.dir / "out.wasm"), read(HELLO))
            (lat.dir / "out.wasm").unlink()
            self.refused(lat, r, "acme/echo:1.0", "acme/echo:1.0", "credentials")
            self.refused(lat, r, "acme/echo:1.0", "credentials", args=("--user", "robot", "--password", "wrong"))

    def docker_config(self, lat, registry, config, helper=None):
        """The environment of hostctl gets this ~/.docker/config.json, and a program beside it."""
        folder = lat.dir / "docker"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
        if helper:
            program = folder / "docker-credential-test"
            program.write_text(f"#!/bin/sh\n{helper}\n")
            program.chmod(0o755)
        lat.env |= {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:{lat.env['PATH']}"}
        return self.pull(lat, registry, "acme/echo:1.0", check=False)

    def test_credentials_that_docker_keeps(self):
        auth = base64.b64encode(b"robot:secret").decode()
        good = 'read -r server; [ "$server" = "$REGISTRY" ] && [ "$1" = get ] && ' \
               'echo "{\\"Username\\":\\"robot\\",\\"Secret\\":\\"secret\\"}"'
        with Lattice() as lat, FakeRegistry("robot", "secret") as r:
            lat.env["REGISTRY"] = r.authority
            r.put("acme/echo", "1.0", read(HELLO))
            for config, helper in (
                    ({"auths": {r.authority: {"auth": auth}}}, None),
                    ({"auths": {f"https://{r.authority}/v1/": {"username": "robot", "password": "secret"}}}, None),
                    ({"credsStore": "test"}, good),
                    ({"credHelpers": {r.authority: "test"}, "credsStore": "none"}, good),
                    ({"credsStore": "test", "auths": {r.authority: {"auth": auth}}}, "echo not found; exit 1")):
                done = self.docker_config(lat, r, config, helper)
                self.assertEqual(done.returncode, 0, f"{config}: {done.stderr}")
                self.assertEqual(read(lat.dir / "out.wasm"), read(HELLO))
                (lat.dir / "out.wasm").unlink()
            for config, helper in (
                    ({"auths": {"elsewhere.example": {"auth": auth}}}, None),
                    ({"auths": {r.authority: {"auth": "?!"}}}, None),
                    ({"credsStore": "../../bin/sh"}, None),
                    ({"credsStore": "missing"}, None),
                    ({"credsStore": "test"}, "yes"),
                    ({"credsStore": "test"}, "echo '[]'"),
                    ([], None), ("{", None)):
                done = self.docker_config(lat, r, config, helper)
                self.assertEqual(done.returncode, 1, f"{config} {helper}")
                self.assertIn("credentials", done.stderr)
                self.assertNotIn("secret", done.stderr)

    def test_the_cache_is_bounded_and_drained(self):
        """Beyond its size what was used longest ago goes; what runs stays, and starts again without its registry."""
        def component(n):
            return read(HELLO) + bytes([0, 4, 3, ord("p"), ord("a"), n])  # a custom section makes another image

        def blobs():
            return {p.name for p in (lat.dir / "cache/blobs").iterdir() if p.stat().st_size > 2000}

        with Lattice() as lat, FakeRegistry() as r:
            for n in range(5):
                r.put("acme/echo", f"{n}.0", component(n))
            names = [digest(component(n))[7:] for n in range(5)]
            host, = lat.start("z", WASMCLOUD_OCI_ALLOWED_INSECURE=r.authority, HOSTD_IMAGE_CACHE=str(lat.dir / "cache"),
                              HOSTD_IMAGE_CACHE_BYTES=str(int(2.5 * len(component(0)))))

            def start(n):
                lat.ctl("start", "component", f"{r.authority}/acme/echo:{n}.0", f"echo{n}")

            start(0)
            for n in (1, 2, 3):
                start(n)
                lat.ctl("stop", "component", f"echo{n}")
            self.assertEqual(blobs(), {names[0], names[3]}, "the oldest runs; of the others the youngest fits")
            self.assertIn("image cache trimmed", host.text())
            drained = lat.ctl_json("drain", "oci", "--image-cache", lat.dir / "cache")
            self.assertEqual(drained["drained"], [str(lat.dir / "cache/blobs")])
            self.assertEqual(blobs(), {names[0]}, "what runs stays")
            lat.ctl("stop", "component", "echo0")
            r.server.shutdown()
            r.server.server_close()
            start(0)
            lat.ctl("stop", "component", "echo0")
            text = lat.ctl("drain", "all", "--image-cache", lat.dir / "cache").stdout
            self.assertIn(" 0 bytes are in use", text)
            self.assertEqual(blobs(), set())
            self.assertEqual(lat.ctl("drain", "everything", check=False).returncode, 1)

    def test_credentials_do_not_follow_a_redirect(self):
        with Lattice() as lat, FakeRegistry("robot", "secret") as r, FakeRegistry() as elsewhere:
            r.put("acme/echo", "1.0", read(HELLO))
            elsewhere.blobs = r.blobs
            r.redirect_to = f"http://{elsewhere.authority}/elsewhere/"
            self.pull(lat, r, "acme/echo:1.0", "--user", "robot", "--password", "secret")
            self.assertEqual(read(lat.dir / "out.wasm"), read(HELLO))
            self.assertEqual([auth for _, auth in elsewhere.log], [""])

    def test_an_index_is_resolved_for_this_machine(self):
        with Lattice() as lat, FakeRegistry() as r:
            right = r.put("acme/echo", "right", read(HELLO))
            wrong = r.put("acme/echo", "wrong", b"\0asm wrong")
            native = ARCHITECTURES[platform.machine()]
            r.put_index("acme/echo", "1.0", {("windows", native): wrong, ("linux", "s390x"): wrong,
                                             ("linux", native): right})
            self.pull(lat, r, "acme/echo:1.0")
            self.assertEqual(read(lat.dir / "out.wasm"), read(HELLO))
            (lat.dir / "out.wasm").unlink()
            r.put_index("acme/echo", "2.0", {("windows", native): wrong, ("linux", "s390x"): wrong})
            self.refused(lat, r, "acme/echo:2.0", "index", f"linux/{native}")

    def test_what_a_registry_may_not_say(self):
        with Lattice() as lat, FakeRegistry() as r:
            content = read(HELLO)
            r.put("acme/echo", "type", content, kind="text/html")
            self.refused(lat, r, "acme/echo:type", "text/html")
            r.put("acme/echo", "short", content, size=len(content) - 1)
            self.refused(lat, r, "acme/echo:short", "acme/echo:short")
            r.put("acme/echo", "long", content, size=len(content) + 1)
            self.refused(lat, r, "acme/echo:long", "other bytes")
            r.put("acme/echo", "huge", content, size=1 << 60)
            self.refused(lat, r, "acme/echo:huge", "bytes")
            r.put("acme/echo", "lie", content)
            r.blobs[digest(content)] = content[:-1] + b"x"
            self.refused(lat, r, "acme/echo:lie", "other bytes")
            r.manifests["acme/echo/html"] = ("text/html", b"<html>")
            self.refused(lat, r, "acme/echo:html", "JSON")
            r.manifests[f"acme/echo/{digest(b'x')}"] = ("x", b"{}")
            self.refused(lat, r, f"acme/echo@{digest(b'x')}", "another manifest")
            text = self.refused(lat, r, "acme/echo:none", "404", "nothing here")
            self.assertNotIn("\x1b", text)
            self.refused(lat, r, "acme/echo:latest", "latest")

    def start_component(self, lat, registry):
        return lat.ctl("start", "component", f"{registry.authority}/acme/echo:1.0", "echo", check=False)

    def test_a_registry_that_is_away(self):
        """The first pull fails by name; what was pulled once starts again without its registry."""
        with Lattice() as lat, FakeRegistry() as r:
            host, = lat.start("z", WASMCLOUD_OCI_ALLOWED_INSECURE=r.authority)
            port = free_port()
            nowhere = lat.ctl("start", "component", f"127.0.0.1:{port}/acme/echo:1.0", "nowhere", check=False)
            until(lambda: f"127.0.0.1:{port}" in host.text() + nowhere.stderr, 10, host.tail)
            r.put("acme/echo", "1.0", read(HELLO))
            self.start_component(lat, r)
            until(lambda: lat.spread("echo") == {"z": 1}, 10, host.tail)
            lat.ctl("stop", "component", "echo")
            asked = len(r.log)
            self.start_component(lat, r)
            until(lambda: lat.spread("echo") == {"z": 1}, 10, host.tail)
            self.assertEqual([re.search("manifests|blobs", p)[0] for p, _ in r.log[asked:]], ["manifests"])
            lat.ctl("stop", "component", "echo")
            r.server.shutdown()
            r.server.server_close()
            self.start_component(lat, r)
            until(lambda: lat.spread("echo") == {"z": 1}, 20, host.tail)
            self.assertIn("registry not reached", host.text())

    def test_credentials_by_the_control_interface(self):
        with Lattice() as lat, FakeRegistry("robot", "secret") as r:
            host, = lat.start("z", WASMCLOUD_OCI_ALLOWED_INSECURE=r.authority)
            r.put("acme/echo", "1.0", read(HELLO))
            self.start_component(lat, r)
            until(lambda: "credentials" in host.text(), 10, host.tail)
            body = json.dumps({r.authority: {"registryType": "oci", "username": "robot", "password": "secret"}})
            self.publish(lat, "wasmbus.ctl.v1.default.registry.put", body.encode())

            def started():
                self.start_component(lat, r)
                return lat.spread("echo") == {"z": 1}
            until(started, 10, host.tail)
            self.assertNotIn("secret", host.text())

    @staticmethod
    def publish(lat, subject, body):
        with socket.create_connection(("127.0.0.1", lat.nats_port), 5) as s, s.makefile("rwb") as f:
            f.write(f"CONNECT {{}}\r\nPUB {subject} {len(body)}\r\n".encode() + body + b"\r\nPING\r\n")
            f.flush()
            for line in f:
                if line.startswith(b"PONG"):
                    return


if __name__ == "__main__":
    main()
