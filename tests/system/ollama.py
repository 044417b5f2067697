# SPDX-License-Identifier: Apache-2.0
"""Ollama's route on loopback, with a model that answers by rule; it can also stall, break off, talk nonsense or be away.
And a call of the ollama provider by a peer that plays a component."""

import contextlib
import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import urllib.request

from lattice import GUEST_CACHE, HttpServer
from peer import Reader, leb, text

MODEL = "tiny"
NODE = shutil.which("node", path=f"{GUEST_CACHE}/tools/bin:{os.environ.get('PATH', '')}")  # as tests/guests/tools.sh


class FakeOllama:
    """with FakeOllama() as ai: ... ai.url"""

    def __init__(self, port=0):
        self.asked, self.connections = [], []
        self.behave = None  # a function of the request handler, in place of the model
        self.release = threading.Event()
        ai = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                ai.connections.append(self.connection)

            def do_POST(self):
                size = int(self.headers["Content-Length"])
                ai.answer(self, json.loads(self.rfile.read(size)))

            def log_message(self, *args):
                pass

        self.server = HttpServer(("127.0.0.1", port), Handler)
        self.server.handle_error = lambda *_: None  # clients that went
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:  # those that clients keep, too
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def answer(self, request, message):
        self.asked.append((request.path, message, request.client_address))
        if self.behave:
            self.behave(request)
        elif message["model"] != MODEL:
            self.send(request, 404, {"error": f"model '{message['model']}' not found"})
        else:
            words = f", said the model to {len(message['prompt'])} characters."
            self.send(request, 200, {"model": MODEL, "created_at": "2026-01-01T00:00:00Z", "response": words, "done": True,
                                     "done_reason": "stop", "context": [1, 2, 3], "total_duration": 5, "eval_count": 7})

    @staticmethod
    def send(request, status, value, raw=None):
        body = raw if raw is not None else json.dumps(value).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


class RealOllama:
    """The same routes before a model that llama.cpp runs: with RealOllama() as ai: ... ai.url"""

    MODEL = "untaught"
    CACHE = pathlib.Path(os.environ.get("HOSTD_OLLAMA") or
                         pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "hostd/ollama")
    FOLDER = pathlib.Path(__file__).resolve().parents[1] / "ollama/real"
    MISSING = "no real model here: tests/ollama/real/build fetches one"

    @classmethod
    def available(cls):
        return (cls.CACHE / "untaught.gguf").exists() and NODE is not None

    def __enter__(self):
        args = [NODE, self.FOLDER / "serve.mjs", self.CACHE / "node_modules", f"{self.MODEL}={self.CACHE}/untaught.gguf"]
        self.server = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.server.stdout.readline())}"
        return self

    def __exit__(self, *_):
        self.server.kill()
        self.server.communicate()

    def loaded(self):
        with urllib.request.urlopen(f"{self.url}/api/ps", timeout=20) as reply:
            return [m["name"] for m in json.loads(reply.read())["models"]]

    def foreign(self, prompt, options):
        """What Ollama's own client hears."""
        args = [NODE, self.FOLDER / "client.mjs", self.CACHE / "node_modules", self.url, self.MODEL, prompt]
        done = subprocess.run([*args, json.dumps(options)], capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)


# ---- a call of the provider (wRPC 4.7)


def signed(reader):
    """LEB128 of an s32."""
    at = reader.at
    n = reader.leb()
    bits = 7 * (reader.at - at)
    return n - (1 << bits) if n >> (bits - 1) else n


NUMBERS = ("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration")


def decode(data):
    """The record as a dictionary, or the error as a text."""
    r = Reader(data)
    if r.take(1)[0]:
        return r.text()
    out = {name: r.text() for name in ("model", "created_at", "response")}
    out["done"] = bool(r.take(1)[0])
    out["context"] = r.option(lambda: r.list(lambda: signed(r)))
    for name in NUMBERS:
        out[name] = r.option(r.leb)
    assert r.at == len(data), data
    return out


def generate(peer, provider, source, prompt, images=None):
    """thomastaylor312:ollama/generate.generate of that provider, in the name of a component."""
    params = text(prompt) + (b"\0" if images is None else b"\1" + leb(len(images)) + b"".join(map(text, images)))
    root, _ = peer.call(f"default.{provider}", "thomastaylor312:ollama/generate", "generate", params, source=source)
    return decode(root)
