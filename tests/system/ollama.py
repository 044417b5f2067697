# SPDX-License-Identifier: Apache-2.0
"""Ollama's route on loopback, with a model that answers by rule; it can also stall, break off, talk nonsense or be away."""

import http.server
import json
import threading

MODEL = "tiny"


class FakeOllama:
    """with FakeOllama() as ai: ... ai.url"""

    def __init__(self):
        self.asked = []
        self.behave = None  # a function of the request handler, in place of the model
        self.release = threading.Event()
        ai = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                size = int(self.headers["Content-Length"])
                ai.answer(self, json.loads(self.rfile.read(size)))

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # clients that went
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

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
