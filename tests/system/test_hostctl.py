# SPDX-License-Identifier: Apache-2.0
"""What hostctl does beside deploying: logs of detached hosts, contexts, spying on calls, keys, completions."""

import http.server
import json
import shutil
import subprocess
import threading
import unittest

from lattice import BIN, HELLO, HttpServer, Lattice, Process, free_port, main, manifest, until
from registry import FakeRegistry, read


class Hostctl(unittest.TestCase):
    def up(self, lat, *args):
        return lat.ctl_json("up", "-d", "--label", "zone=us-east-1", *args)["host_id"]

    def down(self, lat):
        lat.ctl("down", "--all")

    def test_logs(self):
        with Lattice() as lat:
            self.assertIn("no logs", lat.ctl("logs", check=False).stderr)
            first = self.up(lat)
            try:
                lat.deploy(HELLO, spread={"us-east-1": 100})
                until(lambda: " http-server: " in lat.ctl("logs").stdout, 15, lambda: lat.ctl("logs").stdout)
                shown = lat.ctl_json("logs", first[:8], "--program", "http-server", "--lines", "1")
                self.assertEqual((shown["id"], len(shown["lines"])), (first, 1))
                self.assertIn(" http-server: ", shown["lines"][0])
                self.assertNotIn(" http-server: ", lat.ctl("logs", "--program", "hostd").stdout)
                self.assertEqual(lat.ctl("logs", "-n", "0").stdout, "")
                self.assertEqual(len(lat.ctl("logs", "-n", "2").stdout.splitlines()), 2)
                self.assertIn("Server is ready", lat.ctl("logs", "nats", "-n", "1000").stdout)
                second = self.up(lat, "--multi-local")
                which = lat.ctl("logs", check=False)
                self.assertEqual(which.returncode, 1)
                self.assertTrue(first in which.stderr and second in which.stderr, which.stderr)
                self.assertEqual(lat.ctl("logs", "X", check=False).returncode, 1)
                self.follow(lat, second)
                self.assertIn(f"{second} (has ended)", lat.ctl("logs", "X", check=False).stderr)
                self.assertIn("host stopped", lat.ctl("logs", second).stdout)
            finally:
                self.down(lat)
            self.assertTrue(lat.ctl_json("logs")["lines"], "the last one, though it has ended")

    def follow(self, lat, host):
        """Lines come as they are written; the end of the host is the end."""
        seen = []
        process = subprocess.Popen([BIN / "hostctl", "logs", host, "--follow", "--lines", "1"], env=lat.env, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        reader = threading.Thread(target=lambda: seen.extend(process.stdout))
        reader.start()
        try:
            until(lambda: seen, 30, "the last line so far")
            lat.ctl("stop", "host", host)
            process.wait(30)
        finally:
            process.kill()
            reader.join()
            errors = process.stderr.read()
            process.stderr.close()
            process.stdout.close()
        self.assertEqual(process.returncode, 0, errors)
        self.assertIn("host stopped", seen[-1])
        self.assertIn("has ended", errors)

    def test_a_lattice_without_hosts(self):
        with Lattice() as lat:
            lat.start_nats()
            for command in (("get", "links"), ("get", "claims"), ("get", "inventory"), ("config", "get", "x"),
                            ("link", "del", "a", "b", "c"), ("link", "put", "a", "b", "c", "d", "--interface", "e")):
                done = lat.ctl(*command, check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn("no host answers on lattice 'default'; `hostctl up` starts one", done.stderr)

    def test_inspecting_what_is_not_there(self):
        with Lattice() as lat:
            for path in ("/nowhere.wasm", "./nowhere.wasm"):
                self.assertIn("No such file", lat.ctl("inspect", path, check=False).stderr)
            text = lat.dir / "text.wasm"
            text.write_text("words")
            self.assertIn(f"'{text}': not a WebAssembly binary", lat.ctl("inspect", text, check=False).stderr)

    def test_components_of_this_folder(self):
        """What names a file is one, also without file://; what only could be one is not asked of a registry."""
        with Lattice() as lat:
            lat.start("z")
            shutil.copy(HELLO, lat.dir / "hello.wasm")
            shutil.copy(HELLO, lat.dir / "next.wasm")
            there = f"file://{(lat.dir / 'hello.wasm').resolve()}"
            for name, path in (("a", "hello.wasm"), ("b", "./hello.wasm"), ("c", "file://hello.wasm")):
                said = lat.ctl("start", "component", path, name, cwd=lat.dir).stdout
                self.assertIn(f"Component [{name}] (ref: [{there}]) started", said)
            lat.ctl("update", "component", "a", "next.wasm", cwd=lat.dir)
            until(lambda: any(c["image_ref"].endswith("/next.wasm") for i in lat.inventory().values()
                              for c in i["components"]), 10, lat.inventory)
            for command in (("start", "component"), ("start", "provider")):
                for path in ("./none.wasm", "none.wasm", "../none", "file://./none.par.gz"):
                    done = lat.ctl(*command, path, "d", check=False, cwd=lat.dir)
                    self.assertEqual(done.returncode, 1)
                    self.assertIn(f"'{path}', which is no image of a registry: No such file", done.stderr)
            done = lat.ctl("start", "component", "hello.wasm", "b", check=False, cwd=lat.dir)
            self.assertIn("does not run that id yet", done.stderr)

    def test_an_update_of_every_host(self):
        """One after the other; when the command returns, the new image runs. What one host refuses ends it."""
        with Lattice() as lat:
            lat.start("y", "z")
            for name in ("old", "new"):
                shutil.copy(HELLO, lat.dir / f"{name}.wasm")
            (lat.dir / "bad.wasm").write_text("no component")
            nothing = lat.ctl("update", "component", "a", "new.wasm", "--all-hosts", check=False, cwd=lat.dir)
            self.assertIn("no component 'a' runs anywhere", nothing.stderr)
            for host in lat.host_ids():
                lat.ctl("start", "component", "old.wasm", "a", "--host-id", host, cwd=lat.dir)
            one = lat.ctl("update", "component", "a", "new.wasm", check=False, cwd=lat.dir)
            self.assertIn("runs on 2 hosts", one.stderr)
            said = json.loads(lat.ctl("update", "component", "a", "new.wasm", "--all-hosts", "-o", "json", cwd=lat.dir).stdout)
            self.assertEqual(said["result"].count("updated to [new.wasm] on host"), 2)
            images = [c["image_ref"] for i in lat.inventory().values() for c in i["components"]]
            self.assertEqual([i.rpartition("/")[2] for i in images], ["new.wasm"] * 2)
            for args in (("--all-hosts",), ("--wait", "--host-id", lat.host_ids()[0])):
                bad = lat.ctl("update", "component", "a", "bad.wasm", *args, check=False, cwd=lat.dir)
                self.assertEqual((bad.returncode, bad.stdout), (1, ""))
                self.assertIn("not a WebAssembly binary", bad.stderr)

    def test_labels(self):
        with Lattice() as lat:
            lat.start("z")
            host = lat.host_ids()[0]
            done = lat.ctl_json("label", host, "a=1,b=2", "c=3")
            self.assertEqual(done["processed"], [["a", "1"], ["b", "2"], ["c", "3"]])
            lat.ctl("label", host, "a", "b,c", "--delete")
            self.assertFalse({"a", "b", "c"} & set(lat.inventory()[host]["labels"]))

    def test_results_are_those_of_wash(self):
        """Members and kinds of values, where scripts may look at them."""
        with Lattice() as lat:
            lat.start("z")
            lat.ctl("secrets", "put", "s", "nats-kv", "key")
            self.assertIs(lat.ctl_json("secrets", "get", "s")["success"], True)
            lat.ctl("config", "put", "c", "a=b")
            self.assertEqual(lat.ctl_json("config", "get", "c"), {"a": "b"})
            self.assertEqual(lat.ctl_json("app", "undeploy", "--all")["results"], "No applications undeployed")
            signed, seed = lat.dir / "signed.wasm", lat.dir / "issuer.nk"
            issuer = lat.ctl_json("keys", "gen", "account")
            seed.write_text(issuer["seed"] + "\n")
            lat.ctl("claims", "sign", HELLO, "--destination", signed, "--issuer", seed, "--rev", 3, "-t", "a", "-t", "b")
            claims = lat.ctl_json("inspect", signed)
            self.assertEqual((claims["account"], claims["tags"], claims["revision"]), (issuer["public_key"], "a,b", 3))
            self.assertRegex(lat.ctl("inspect", signed).stdout, r"- Component\n(.*\n)+Version +0\.0\.0 \(3\)\nEmbedded WIT +true")

    def test_a_context_instead_of_options(self):
        with Lattice() as lat:
            lat.start("z")
            for name in ("WASMCLOUD_CTL_HOST", "WASMCLOUD_CTL_PORT"):
                del lat.env[name]
            lat.ctl("ctx", "new", "here")
            path = next(lat.dir.glob("xdg_config_home/hostctl/contexts/here.json"))
            context = json.loads(path.read_text())
            path.write_text(json.dumps(context | {"ctl_port": lat.nats_port}))
            self.assertEqual(len(lat.ctl_json("get", "hosts", "--context", "here")["hosts"]), 1)
            lat.ctl("ctx", "default", "here")
            self.assertEqual(len(lat.ctl_json("get", "hosts")["hosts"]), 1)
            self.assertEqual(lat.ctl_json("ctx", "list")["contexts"], ["here", "host_config"])

    def test_up_as_a_leaf(self):
        """The server that `up` starts joins a remote one: who connects there sees the hosts here."""
        with Lattice() as lat:
            leaf_port, join_port = free_port(), free_port()
            config = lat.dir / "hub.conf"
            config.write_text(f"host: 127.0.0.1\nport: {lat.nats_port}\nleafnodes {{ host: 127.0.0.1, port: {join_port} }}\n")
            lat.nats = Process(["nats-server", "-c", config], lat.env, lat.dir / "hub.log")
            until(lat.nats_answers, 10, lat.nats.tail)
            self.assertIn("goes with", lat.ctl("up", "--nats-credsfile", "x", check=False).stderr)
            self.assertIn("already", lat.ctl("up", "--nats-remote-url", "nats-leaf://x", check=False).stderr)
            host = self.up(lat, "--nats-port", leaf_port, "--nats-remote-url", f"nats-leaf://127.0.0.1:{join_port}")
            try:
                until(lambda: lat.host_ids() == [host], 10, lat.nats.tail)
            finally:
                lat.ctl("down", "--all", "--ctl-port", leaf_port)

    def test_manifests_from_a_server(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                pages = {"/app.yaml": (200, "", manifest("app", HELLO, 1, 8000, {"z": 100}, False).encode()),
                         "/moved": (302, "/app.yaml", b""), "/around": (301, "/around", b""),
                         "/big": (200, "", b"a: b\n" * 300_000), "/relative": (302, "elsewhere", b"")}
                status, location, body = pages.get(self.path, (404, "", b"no"))
                self.send_response(status)
                self.send_header("Location", location)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        with Lattice() as lat, HttpServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                lat.start("z")
                url = f"http://127.0.0.1:{server.server_port}"
                self.assertIn('Deployed application "app"', lat.ctl("app", "deploy", f"{url}/moved").stdout)
                self.assertTrue(lat.ctl_json("app", "validate", f"{url}/app.yaml")["valid"])
                for path, *words in (("/none", "404"), ("/around", "5 times"), ("/big", "1048576"), ("/relative", "302")):
                    done = lat.ctl("app", "validate", url + path, check=False)
                    self.assertEqual(done.returncode, 1)
                    for word in (path, *words):
                        self.assertIn(word, done.stderr)
                done = lat.ctl("app", "deploy", f"http://127.0.0.1:{free_port()}/x.yaml", check=False)
                self.assertIn("connection-refused", done.stderr)
            finally:
                server.shutdown()

    def test_are_the_images_there(self):
        with Lattice() as lat, FakeRegistry() as r:
            r.put("acme/echo", "1.0", read(HELLO))
            path = lat.dir / "app.yaml"

            def check(image):
                text = manifest("app", HELLO, 1, 8000, {"z": 100}, False)
                path.write_text(text.replace(f"file://{HELLO}", image))
                done = lat.ctl("app", "validate", path, "--check-image-refs", "--insecure", "-o", "json", check=False)
                result = json.loads(done.stdout)
                self.assertEqual((done.returncode == 0, result["errors"] == []), (result["valid"], result["valid"]))
                return " ".join(e["msg"] for e in result["errors"])

            self.assertEqual(check(f"{r.authority}/acme/echo:1.0"), "")
            self.assertEqual(check(f"file://{HELLO}"), "")
            self.assertIn("404", check(f"{r.authority}/acme/echo:2.0"))
            self.assertIn("app.yaml:12:16", check(f"{r.authority}/acme/echo:2.0"))
            self.assertIn("nothing.wasm", check("file://./nothing.wasm"))
            self.assertIn("latest", check(f"{r.authority}/acme/echo:latest"))

    def test_where_an_application_runs(self):
        with Lattice() as lat:
            east, west = lat.start("us-east-1", "us-west-1")
            lat.wait_for_answer(lat.deploy(HELLO))
            until(lambda: lat.spread("app") == {"us-east-1": 8, "us-west-1": 2}, 10, lambda: lat.app_status("app"))
            name = {h["id"]: h["friendly_name"] for h in lat.ctl_json("get", "hosts")["hosts"]}
            placement = lat.ctl_json("app", "status", "app", "--wide")["placement"]
            self.assertEqual(placement, {"app": {name[east.id]: 8, name[west.id]: 2}, "app-http": {name[east.id]: 1}})
            self.assertIn(f"{name[west.id]}=2", lat.ctl("app", "status", "app", "--wide").stdout)
            self.assertNotIn("placement", lat.ctl_json("app", "status", "app"))

    def test_watching(self):
        with Lattice() as lat:
            lat.start("us-east-1")
            process = subprocess.Popen([BIN / "hostctl", "app", "list", "--watch", "20ms", "-o", "json"], env=lat.env,
                                       text=True, stdout=subprocess.PIPE)
            try:
                self.assertEqual(json.loads(process.stdout.readline())["applications"], [])
                lat.deploy(HELLO)
                for line in process.stdout:
                    if [a["name"] for a in json.loads(line)["applications"]] == ["app"]:
                        break
            finally:
                process.kill()
                process.communicate()

    def test_spy(self):
        with Lattice() as lat:
            lat.start("us-east-1")
            port = lat.deploy(HELLO, spread={"us-east-1": 100})
            lat.wait_for_answer(port)
            process = subprocess.Popen([BIN / "hostctl", "spy", "app", "--count", "2", "-o", "json"], env=lat.env, text=True,
                                       stdout=subprocess.PIPE)
            try:
                until(lambda: lat.http(port).status == 200 and process.poll() is not None, 10, "it saw nothing")
                calls = [json.loads(line) for line in process.communicate()[0].splitlines()]
            finally:
                process.kill()
            self.assertEqual(len(calls), 2)
            self.assertEqual((calls[0]["from"], calls[0]["to"]), ("app-http", "app"))
            self.assertEqual(calls[0]["operation"], "wrpc:http/incoming-handler@0.1.0.handle")

    def test_keys(self):
        with Lattice() as lat:
            folder = lat.dir / "keys"
            lat.env["WASH_KEYS"] = str(folder)
            self.assertEqual(lat.ctl_json("keys", "list")["keys"], [])
            lat.ctl("par", "create", "--vendor", "v", "--name", "n", "--binary", BIN / "hostctl", "--destination",
                    lat.dir / "n.par")
            names = lat.ctl_json("keys", "list")["keys"]
            self.assertEqual(len(names), 2)
            for name in names:
                seed = (folder / f"{name}.nk").read_text()
                self.assertEqual(lat.ctl_json("keys", "get", name)["seed"], seed)
                self.assertEqual(lat.ctl("keys", "get", f"{name}.nk").stdout, seed + "\n")
            self.assertEqual(lat.ctl("keys", "get", "../keys/x", check=False).returncode, 1)
            (folder / "bad.nk").write_text("nothing")
            self.assertIn("bad.nk", lat.ctl("keys", "get", "bad", check=False).stderr)

    def test_completions(self):
        with Lattice() as lat:
            for shell, file in (("bash", "hostctl.bash"), ("zsh", "_hostctl"), ("fish", "hostctl.fish"),
                                ("power-shell", "_hostctl.ps1")):
                path = lat.ctl_json("completions", "-d", lat.dir, shell)["path"]
                self.assertEqual(path, str(lat.dir / file))
            for line, words in (("hostctl ''", "logs"), ("hostctl app ''", "deploy"), ("hostctl up -d --nats-p", "--nats-port"),
                                ("hostctl update ''", "component"), ("hostctl app deploy x --wa", "--wait")):
                script = f"source {lat.dir}/hostctl.bash; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); " \
                         "_hostctl; echo ${COMPREPLY[@]}"
                done = subprocess.run(["bash", "-c", script], text=True, capture_output=True, check=True)
                self.assertIn(words, done.stdout.split(), line)
            for shell in ("zsh", "fish"):
                if shutil.which(shell):
                    file = {"zsh": "_hostctl", "fish": "hostctl.fish"}[shell]
                    subprocess.run([shell, "-n", lat.dir / file], check=True)


if __name__ == "__main__":
    main()
