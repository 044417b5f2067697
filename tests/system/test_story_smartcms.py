# SPDX-License-Identifier: Apache-2.0
"""SmartCMS: stories in a key-value bucket, new ones by a language model, 100 instances over two zones, and its page."""

import concurrent.futures
import json
import os
import pathlib
import re
import unittest

import page
from browser import Browser
from lattice import BIN, GUEST_CACHE, ROOT, Lattice, free_port, main, need_guest, until
from ollama import MODEL, FakeOllama, RealOllama

EXAMPLE = ROOT / "deploy/examples/smartcms"


class SmartCMS(unittest.TestCase):
    def deploy(self, lat, ai_url, image=EXAMPLE / "smartcms.wasm", model=MODEL, timeout_ms=60000, options=None):
        """The example's manifest with its own port, model and image."""
        port = free_port()
        text = (EXAMPLE / "wadm.yaml").read_text()
        text = text.replace("./smartcms.wasm", str(image)).replace("127.0.0.1:8000", f"127.0.0.1:{port}")
        text = text.replace("llama3.2", model).replace("http://127.0.0.1:11434", ai_url)
        text = re.sub(r"( +)model_name: .*\n", rf'\g<0>\1timeout_ms: "{timeout_ms}"\n'
                      + rf"\1options: '{json.dumps(options or {})}'\n", text)
        path = lat.dir / "wadm.yaml"
        path.write_text(text.replace("v0.1.0", f"port-{port}"))
        lat.ctl("app", "deploy", path)
        until(lambda: self.stored(lat, port), 30, lambda: lat.app_status("smartcms"))
        until(lambda: lat.spread("smartcms-smartcms") == {"us-east-1": 80, "us-west-1": 20}, 20,
              lambda: lat.app_status("smartcms"))
        return port

    def stored(self, lat, port):
        try:
            return self.post(lat, port, "create", "probe\nx").status == 200
        except OSError:
            return False

    def post(self, lat, port, route, body=""):
        return lat.http_linked(port, f"/api/{route}", "POST", body.encode(), 60)

    def stories(self, lat, port, ai):
        self.assertEqual(self.post(lat, port, "create", "dawn\nThe sun rose.\nSlowly, ü.").body, b"Stored dawn\n")
        self.assertEqual(self.post(lat, port, "retrieve", "dawn\n").body, "The sun rose.\nSlowly, ü.\n".encode())
        missing = self.post(lat, port, "retrieve", "dusk")
        self.assertEqual((missing.status, missing.body), (404, b"Story not found\n"))
        self.assertEqual(self.post(lat, port, "create", "\n").status, 400)
        self.assertEqual(lat.http(port, "/api/create").status, 405)
        self.assertEqual(lat.http(port, "/nowhere").body, b"Invalid route!\n")
        reply = self.post(lat, port, "generate", "A dog")
        name, story = reply.body.decode().rstrip("\n").split("\n", 1)
        self.assertEqual((name, story), ("generated1", "A dog, said the model to 5 characters."), reply)
        self.assertEqual(self.post(lat, port, "retrieve", name).body.decode(), story + "\n")
        path, message, _ = ai.asked[-1]
        self.assertEqual((path, message["prompt"], message["stream"]), ("/api/generate", "A dog", False))
        self.assertIn(b"Once upon a time", self.post(lat, port, "generate").body)
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            names = list(pool.map(lambda i: self.post(lat, port, "generate", f"n{i}").body.split(b"\n")[0], range(40)))
        self.assertEqual(sorted(int(n[9:]) for n in names), list(range(3, 43)), "every story has a name of its own")

    def test_in_c(self):
        with Lattice() as lat, FakeOllama() as ai:
            lat.start("us-east-1", "us-west-1")
            port = self.deploy(lat, ai.url)
            self.stories(lat, port, ai)
            clients = {client for _, _, client in ai.asked}
            print(f"{len(ai.asked)} requests to the model over {len(clients)} connections")
            self.assertLess(len(clients), len(ai.asked) / 2, "connections are used again")

    def test_in_javascript(self):
        image = GUEST_CACHE / "smartcms-js.wasm"
        need_guest(self, image)
        with Lattice() as lat, FakeOllama() as ai:
            lat.start("us-east-1", "us-west-1")
            self.stories(lat, self.deploy(lat, ai.url, image), ai)

    def test_what_a_model_server_may_do(self):
        """The component gets an error in words, quickly, and the next call is as good as the first."""
        with Lattice() as lat, FakeOllama() as ai:
            lat.start("us-east-1", "us-west-1")
            port = self.deploy(lat, ai.url, timeout_ms=1500)
            for behave, *words in (
                    (lambda r: ai.send(r, 500, {"error": "out of \x1b[31mmemory"}), "500", "out of", "memory"),
                    (lambda r: ai.send(r, 200, None, b"<html>"), "JSON"),
                    (lambda r: ai.send(r, 200, {"model": 1}), "model"),
                    (lambda r: ai.send(r, 200, None, b"x" * (5 << 20)), "4 MiB"),
                    (lambda r: ai.release.wait(30), "1500 ms"),
                    (lambda r: r.connection.close(), "Ollama at"),
                    (lambda r: ai.send(r, 307, {}), "307")):
                ai.behave = behave
                reply = self.post(lat, port, "generate", "x")
                self.assertEqual(reply.status, 502, reply)
                for word in (*words, ai.url, MODEL):
                    self.assertIn(word, reply.body.decode())
                self.assertNotIn("\x1b", reply.body.decode())
            ai.behave = None
            self.assertEqual(self.post(lat, port, "generate", "x").status, 200)

    @unittest.skipUnless(RealOllama.available(), RealOllama.MISSING)
    def test_with_a_real_model(self):
        with Lattice() as lat, RealOllama() as ai:
            lat.start("us-east-1", "us-west-1")
            port = self.deploy(lat, ai.url, model=ai.MODEL, options={"temperature": 0, "num_predict": 24})
            name, story = self.post(lat, port, "generate", "A dog came").body.decode().split("\n", 1)
            said = ai.foreign("A dog came", {"temperature": 0, "num_predict": 24})["whole"]["response"]
            self.assertEqual((name, story), ("generated1", f"A dog came {said}\n"))
            self.assertEqual(self.post(lat, port, "retrieve", name).body.decode(), story)
            with concurrent.futures.ThreadPoolExecutor(10) as pool:
                stories = list(pool.map(lambda _: self.post(lat, port, "generate", "A dog came").body, range(20)))
            self.assertEqual({s.split(b"\n", 1)[1].decode() for s in stories}, {story}, "at temperature 0 it repeats itself")
            print(f"21 stories by a real model; one of them: {story}")

    def test_no_model_and_no_server(self):
        with Lattice() as lat, FakeOllama() as ai:
            lat.start("us-east-1", "us-west-1")
            port = self.deploy(lat, ai.url, model="missing")
            self.assertIn(b"model 'missing' not found", self.post(lat, port, "generate", "x").body)
            port = self.deploy(lat, f"http://127.0.0.1:{free_port()}")
            until(lambda: b"is it running?" in self.post(lat, port, "generate", "x").body, 10,
                  lambda: self.post(lat, port, "generate", "x").body)

    @unittest.skipUnless(Browser.available(), Browser.MISSING)
    def test_the_page_in_a_browser(self):
        """The screenshots go to $HOSTD_ARTEFACTS."""
        with Lattice() as lat, FakeOllama() as ai, Browser(lat) as browser:
            lat.start("us-east-1", "us-west-1")
            port = self.deploy(lat, ai.url)
            shots = pathlib.Path(os.environ.get("HOSTD_ARTEFACTS") or BIN.parent / "artefacts")
            shots.mkdir(exist_ok=True)
            page.use(browser, f"http://127.0.0.1:{port}/", shots)
            print(f"kept, read and generated; by mouse, keyboard and touch; screenshots in {shots}")


if __name__ == "__main__":
    main()
