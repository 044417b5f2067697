# SPDX-License-Identifier: Apache-2.0
"""Servers on the internet, as far as a component can tell: HTTP and HTTPS on loopback, well-behaved and not, with
certificates of a test CA made on the spot."""

import hashlib
import http.server
import pathlib
import shutil
import socket
import ssl
import subprocess
import threading

from lattice import HttpServer


class Authority:
    """A CA in a folder; certificate(names) gives a certificate and key for them."""

    def __init__(self, folder, name="ca"):
        self.folder = folder
        self.cert, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        self.made = 0
        self.run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN=test {name}", "-keyout",
                 self.key, "-out", self.cert, "-addext", "basicConstraints=critical,CA:TRUE",
                 "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    @staticmethod
    def available():
        return shutil.which("openssl")

    @staticmethod
    def run(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=60)

    def certificate(self, names="DNS:localhost,IP:127.0.0.1"):
        self.made += 1
        stem = self.folder / f"{self.cert.stem}-{self.made}"
        ext = stem.with_suffix(".ext")
        ext.write_text(f"subjectAltName={names}\n")
        self.run("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=server", "-keyout", f"{stem}.key", "-out",
                 f"{stem}.csr")
        self.run("x509", "-req", "-in", f"{stem}.csr", "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days",
                 "2", "-extfile", ext, "-out", f"{stem}.pem")
        return f"{stem}.pem", f"{stem}.key"


class Handler(http.server.BaseHTTPRequestHandler):
    """/echo the request as text · /count its body's length and hash · /bytes/N · /trailers · /cut · /stall-head ·
    /stall-body · /status/N · /fields/N/SIZE · /slow"""
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def chunks(self):
        """The request's body in pieces, then its trailers in self.trailers."""
        self.trailers = ""
        if self.headers.get("transfer-encoding") == "chunked":
            while n := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(n)
                self.rfile.readline()
            while line := self.rfile.readline().strip():
                self.trailers += line.decode() + ";"
        else:
            left = int(self.headers.get("content-length", 0))
            while left > 0:
                piece = self.rfile.read(min(left, 65536))
                left -= len(piece)
                yield piece

    def reply(self, status, body, **headers):
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def serve(self):
        self.server.requests.append((self.command, self.path, dict(self.headers), self.client_address[1]))
        try:
            words = self.path.split("?")[0].strip("/").split("/")
            getattr(self, "serve_" + words[0].replace("-", "_"))(*words[1:])
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True
            self.server.broken.append(self.path)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = serve  # noqa: N815

    def serve_echo(self):
        body = b"".join(self.chunks())
        text = f"{self.command} {self.path}\n{self.headers}trailers: {self.trailers}\n"
        self.reply(200, text.encode() + body, content_type="text/plain", x_one="1")

    def serve_count(self):
        n, digest = 0, hashlib.sha256()
        for piece in self.chunks():
            n += len(piece)
            digest.update(piece)
        self.reply(200, f"{n} {digest.hexdigest()}".encode())

    def serve_bytes(self, n):
        left = int(n)
        self.send_response_only(200)
        self.send_header("content-length", n)
        self.end_headers()
        block = bytes(range(256)) * 256
        while left > 0:
            self.wfile.write(block[:left])
            left -= min(left, len(block))

    def serve_trailers(self):
        self.send_response_only(200)
        self.send_header("transfer-encoding", "chunked")
        self.send_header("trailer", "x-sum")
        self.end_headers()
        self.wfile.write(b"3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n")

    def serve_status(self, status):
        list(self.chunks())
        self.reply(int(status), b"" if status in ("204", "304") else b"status", location="/elsewhere")

    def serve_early(self):
        self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        self.reply(200, b"after hints")

    def serve_cut(self):
        self.send_response_only(200)
        self.send_header("content-length", "100")
        self.end_headers()
        self.wfile.write(b"only this")
        self.close_connection = True

    def serve_stall_head(self):
        self.server.release.wait(60)
        self.close_connection = True

    def serve_stall_body(self):
        self.send_response_only(200)
        self.send_header("content-length", "100")
        self.end_headers()
        self.wfile.write(b"then nothing")
        self.wfile.flush()
        self.server.release.wait(60)
        self.close_connection = True

    def serve_fields(self, n, size):
        self.reply(200, b"x", **{f"x-{i}": "v" * int(size) for i in range(int(n))})

    def serve_forever(self):
        self.send_response_only(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 65536)


class Origin(HttpServer):
    """with Origin() as o: ... o.url("/echo")"""

    def __init__(self, cert=None, handler=Handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.requests, self.broken = [], []
        self.release = threading.Event()
        self.tls = None
        if cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*cert)

    def get_request(self):
        s, address = super().get_request()
        return (self.tls.wrap_socket(s, server_side=True, do_handshake_on_connect=False) if self.tls else s), address

    def handle_error(self, request, client_address):
        pass  # a client that refuses our certificate is what some tests are about

    @property
    def port(self):
        return self.server_address[1]

    def url(self, path, host="localhost"):
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}"

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *args):
        self.release.set()
        self.shutdown()
        self.server_close()


class Raw:
    """Answers every connection with the same bytes, then closes it (or keeps it until the end)."""

    def __init__(self, data, close=True, wait_for_request=True):
        self.data, self.close, self.wait = data, close, wait_for_request
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.open = []

    def __enter__(self):
        threading.Thread(target=self.run, daemon=True).start()
        return self

    def run(self):
        while True:
            try:
                s, _ = self.socket.accept()
                if self.wait:
                    s.recv(65536)
                s.sendall(self.data)
                if self.close:
                    s.close()
                else:
                    self.open.append(s)
            except OSError:
                if self.socket.fileno() < 0:
                    return

    def url(self, scheme="http"):
        return f"{scheme}://localhost:{self.port}/"

    def __exit__(self, *args):
        self.socket.close()
        for s in self.open:
            s.close()


def status_of(pid, key):
    """A number of /proc/PID/status: VmRSS and VmHWM in kB, Threads."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise KeyError(key)


def forget_peak(pid):
    """VmHWM counts from now on."""
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
