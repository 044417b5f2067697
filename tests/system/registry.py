# SPDX-License-Identifier: Apache-2.0
"""Registries for tests: Debian's docker-registry, and one of our own that wants tokens and can lie."""

import base64
import hashlib
import http.server
import json
import pathlib
import shutil
import threading

from lattice import HttpServer, Process, free_port, until

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def start_registry(lat):
    """A docker-registry with an empty store; its authority, or None when it is not installed."""
    if not shutil.which("docker-registry"):
        return None
    authority = f"127.0.0.1:{free_port()}"
    config = lat.dir / "registry.yml"
    config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {lat.dir / 'registry'}}}}}\n"
                      f"http: {{addr: {authority}}}\n")
    process = Process(["docker-registry", "serve", config], lat.env, lat.dir / "registry.log")
    lat.hosts.append(process)  # ended with the lattice
    until(lambda: "listening on" in process.text(), 10, process.tail)
    return authority


class FakeRegistry:
    """with FakeRegistry() as r: r.put("acme/echo", "1.0", content) ..."""

    def __init__(self, user=None, password=None):
        self.blobs, self.manifests, self.log = {}, {}, []
        self.login = base64.b64encode(f"{user}:{password}".encode()).decode() if user else None
        self.redirect_to = None  # where blobs are said to be
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                registry.answer(self)

            def log_message(self, *args):
                pass

        self.server = HttpServer(("127.0.0.1", 0), Handler)
        self.authority = f"127.0.0.1:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    # ---- content

    def put_manifest(self, name, tag, manifest, kind=MANIFEST_TYPE):
        data = json.dumps(manifest).encode()
        for reference in (tag, digest(data)):
            self.manifests[f"{name}/{reference}"] = (kind, data)
        return digest(data)

    def put(self, name, tag, content, kind="application/wasm", **layer):
        self.blobs[digest(content)] = content
        return self.put_manifest(name, tag, {"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": [
            {"mediaType": kind, "digest": digest(content), "size": len(content)} | layer]})

    def put_index(self, name, tag, platforms):
        """platforms: (os, architecture) -> digest"""
        return self.put_manifest(name, tag, {"schemaVersion": 2, "manifests": [
            {"mediaType": MANIFEST_TYPE, "digest": d, "size": 1, "platform": {"os": o, "architecture": a}}
            for (o, a), d in platforms.items()]}, INDEX_TYPE)

    # ---- protocol

    def answer(self, request):
        path, auth = request.path, request.headers.get("Authorization", "")
        self.log.append((path, auth))
        if path.startswith("/token"):
            good = auth == f"Basic {self.login}"
            self.send(request, 200 if good else 401, json.dumps({"token": "let-me-in"}).encode() if good else b"{}")
        elif self.login and auth != "Bearer let-me-in" and not path.startswith("/elsewhere"):
            challenge = f'Bearer realm="http://{self.authority}/token",service="fake",scope="repository:x:pull"'
            self.send(request, 401, b"{}", {"WWW-Authenticate": challenge})
        elif "/manifests/" in path and (found := self.manifests.get(path[4:].replace("/manifests/", "/"))):
            self.send(request, 200, found[1], {"Content-Type": found[0]})
        elif "/blobs/" in path and self.redirect_to:
            self.send(request, 307, b"", {"Location": self.redirect_to + path.rsplit("/", 1)[1]})
        elif (blob := self.blobs.get(path.rsplit("/", 1)[1])) is not None:
            self.send(request, 200, blob)
        else:
            self.send(request, 404, b'{"errors":[{"code":"X","message":"nothing here\\u001b[31m"}]}')

    @staticmethod
    def send(request, status, body, headers=None):
        request.send_response(status)
        for key, value in (headers or {}).items():
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)


def read(path):
    return pathlib.Path(path).read_bytes()
