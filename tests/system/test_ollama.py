# SPDX-License-Identifier: Apache-2.0
"""The ollama provider between a caller that is not ours and a server: what is set and said arrives there, what the server
says comes back, whatever it does. With a real model where tests/ollama/real/build has been run, else with a scripted one."""

import base64
import json
import time
import unittest

from lattice import BIN, PATIENCE, Lattice, free_port, main, until
from ollama import MODEL, NUMBERS, FakeOllama, RealOllama, generate
from peer import Peer

IMAGE = base64.b64encode(bytes(range(256))).decode()
WHOLE = {"model": MODEL, "created_at": "2026-01-01T00:00:00Z", "response": "r", "done": True, "context": [1, -1, 128009],
         "total_duration": 5_000_000_000, "load_duration": 7, "prompt_eval_count": 26, "prompt_eval_duration": 130_000_000,
         "eval_count": 298, "eval_duration": 9}


class Provider(unittest.TestCase):
    """Links come and go on one provider; a component with the id `app` is played by the test."""

    @classmethod
    def setUpClass(cls):
        if not (BIN / "ollama").exists():
            raise AssertionError(f"{BIN / 'ollama'} is not built")
        cls.lat = Lattice()
        cls.addClassCleanup(lambda: cls.lat.__exit__(None, None, None))
        cls.lat.start("us-east-1")
        cls.lat.ctl("config", "put", "own", "url=http://127.0.0.1:9", "model_name=nobody's")
        cls.lat.ctl("start", "provider", "wasmcloud+builtin://ollama", "ai", "--config", "own")
        cls.links = 0
        cls.peer = Peer(cls.lat.nats_port)
        cls.addClassCleanup(cls.peer.close)

    def link(self, **settings):
        """A new link with these settings alone, served when this returns; returns the component's id."""
        cls = type(self)
        cls.links += 1
        source, name = f"app{cls.links}", f"settings{cls.links}"
        self.lat.ctl("config", "put", name, *(f"{k}={v}" for k, v in settings.items()))
        self.lat.ctl("link", "put", source, "ai", "thomastaylor312", "ollama", "--interface", "generate",
                     "--target-config", name)
        return source

    def ask(self, source, prompt="why?", images=None):
        def served():
            answer = generate(self.peer, "ai", source, prompt, images)
            return None if "no link to this provider" in answer else answer
        return until(served, 10, f"no link of {source}")


class WithAScript(Provider):
    def test_what_is_set_and_said_arrives(self):
        with FakeOllama() as ai:
            source = self.link(model_name=MODEL, url=ai.url + "/base", options='{"seed":7,"stop":["."]}', keep_alive="5m")
            self.assertIsInstance(self.ask(source, "ü?", [IMAGE, ""]), dict)
            path, message, _ = ai.asked[-1]
            self.assertEqual(path, "/base/api/generate")
            self.assertEqual(message, {"model": MODEL, "prompt": "ü?", "stream": False, "images": [IMAGE, ""],
                                       "options": {"seed": 7, "stop": ["."]}, "keep_alive": "5m"})
            self.ask(self.link(host=ai.url, model_name=MODEL), "x" * 900_000)
            self.assertEqual(ai.asked[-1][1], {"model": MODEL, "prompt": "x" * 900_000, "stream": False})

    def test_what_the_link_does_not_say_the_provider_was_told(self):
        answer = self.ask(self.link(timeout_ms=5000))
        for word in ("http://127.0.0.1:9", "nobody's", "is it running?"):
            self.assertIn(word, answer)

    def test_a_whole_answer_comes_back_field_by_field(self):
        with FakeOllama() as ai:
            source = self.link(model_name=MODEL, host=ai.url)
            ai.behave = lambda r: ai.send(r, 200, WHOLE | {"done_reason": "stop", "unknown": {}})
            self.assertEqual(self.ask(source), WHOLE)
            ai.behave = lambda r: ai.send(r, 200, WHOLE | {"context": None, "eval_count": 70000, "load_duration": None})
            self.assertEqual(self.ask(source), WHOLE | {"context": None, "eval_count": None, "load_duration": None},
                             "what does not fit the interface's 16 bits has no value")

    def test_hostile_servers(self):
        """Each is an error in words, in time, and the next call is as good as the first."""
        def drip(request):
            request.send_response(200)
            request.end_headers()
            while not ai.release.wait(0.05):
                request.wfile.write(b" ")

        def claim(n):
            def send(request):
                request.send_response(200)
                request.send_header("Content-Length", n)
                request.end_headers()
                request.wfile.write(b"{")
                request.connection.close()
            return send

        cases = {
            "never ends": (drip, "1500 ms"),
            "a length that is not one": (claim("-1"), "Ollama at"),
            "breaks off": (claim("1000"), "Ollama at"),
            "headers without end": (lambda r: r.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000), "Ollama at"),
            "not HTTP": (lambda r: r.wfile.write(b"\0\1\2 SSH-2.0\r\n\r\n"), "Ollama at"),
            "deep": (lambda r: ai.send(r, 200, None, b"[" * 100_000), "JSON"),
            "not UTF-8": (lambda r: ai.send(r, 200, None, b'{"model":"\xff"}'), "JSON"),
            "a number without end": (lambda r: ai.send(r, 200, None, json.dumps(WHOLE).encode().replace(b" 298", b"9" * 99)),
                                     "JSON"),
            "an error in a 200": (lambda r: ai.send(r, 200, {"error": "cuda"}), "model"),
            "too much": (lambda r: ai.send(r, 200, None, b" " * (5 << 20)), "4 MiB"),
        }
        with FakeOllama() as ai:
            source = self.link(model_name=MODEL, host=ai.url, timeout_ms=1500)
            for name, (behave, word) in cases.items():
                with self.subTest(name):
                    ai.behave = behave
                    begun = time.monotonic()
                    answer = self.ask(source)
                    self.assertIsInstance(answer, str)
                    self.assertIn(word, answer)
                    self.assertLess(time.monotonic() - begun, 8 * PATIENCE)
                    ai.behave = None
                    self.assertIsInstance(self.ask(source), dict, f"after: {name}")

    def test_a_server_that_restarts_is_found_again(self):
        with FakeOllama() as ai:
            port = ai.server.server_port
            source = self.link(model_name=MODEL, host=ai.url, timeout_ms=3000)
            self.assertIsInstance(self.ask(source), dict)
        self.assertIn("is it running?", self.ask(source))
        with FakeOllama(port):
            self.assertIsInstance(self.ask(source), dict)


@unittest.skipUnless(RealOllama.available(), RealOllama.MISSING)
class WithARealModel(Provider):
    """llama.cpp's answer, token by token the one that Ollama's own client gets from the same server."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ai = cls.enterClassContext(RealOllama())

    def real(self, keep_alive="5m", **options):
        return self.link(model_name="untaught", url=self.ai.url, options=json.dumps(options), keep_alive=keep_alive)

    def test_it_says_what_the_foreign_client_hears(self):
        options = {"temperature": 0, "num_predict": 24}
        answer = self.ask(self.real(**options), "A dog came home")
        foreign = self.ai.foreign("A dog came home", options)
        self.assertEqual(answer["response"], foreign["whole"]["response"])
        self.assertEqual(answer["response"], foreign["streamed"])
        self.assertEqual(foreign["models"], ["untaught"])
        self.assertEqual((answer["model"], answer["done"], answer["eval_count"]), ("untaught", True, 24))
        self.assertEqual(answer["context"], foreign["whole"]["context"])
        self.assertGreater(answer["prompt_eval_count"], 0)
        self.assertTrue(all(answer[name] is not None for name in NUMBERS), answer)
        rate = answer["eval_count"] / answer["eval_duration"] * 1e9
        print(f"\n{answer['eval_count']} tokens, {rate:.0f}/s: {answer['response']}")

    def test_options_reach_the_model(self):
        said = {seed: self.ask(self.real(temperature=1.5, seed=seed, num_predict=16))["response"] for seed in (1, 2)}
        self.assertNotEqual(said[1], said[2])
        self.assertEqual(self.ask(self.real(temperature=1.5, seed=1, num_predict=16))["response"], said[1])
        self.assertEqual(self.ask(self.real(num_predict=3))["eval_count"], 3)

    def test_images_are_base64_to_it(self):
        source = self.real(num_predict=2)
        self.assertEqual(self.ask(source, "what is this?", [IMAGE])["eval_count"], 2)
        self.assertIn("400: illegal base64", self.ask(source, "what is this?", ["???"]))

    def test_how_long_it_stays_loaded(self):
        self.ask(self.real(keep_alive="-1", num_predict=1))
        self.assertEqual(self.ai.loaded(), ["untaught"])
        self.ask(self.real(keep_alive="0", num_predict=1))
        until(lambda: self.ai.loaded() == [], 10, "it is still loaded")
        self.assertIn("400: time: invalid duration", self.ask(self.real(keep_alive="soon")))

    def test_a_model_that_is_not_there(self):
        answer = self.ask(self.link(model_name="missing", url=self.ai.url))
        self.assertIn("404: model 'missing' not found (is the model there? `ollama pull` fetches one)", answer)

    def test_what_takes_too_long(self):
        source = self.link(model_name="untaught", url=self.ai.url, timeout_ms=1, options='{"num_predict":400}')
        self.assertIn("no answer within 1 ms", self.ask(source))

    def test_without_the_server(self):
        self.assertIn("is it running?", self.ask(self.link(model_name="untaught", url=f"http://127.0.0.1:{free_port()}")))


del Provider

if __name__ == "__main__":
    main()
