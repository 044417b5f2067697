# SPDX-License-Identifier: Apache-2.0
"""A lattice member of another make: wRPC 0.0.1 by hand over a plain NATS connection. It offers and minds no pacing, sends
and expects every empty message, and takes all that comes, as upstream's do."""

import json
import queue
import re
import secrets
import socket
import threading
import time

CHUNK = 256 << 10
WAIT = 60


# ---- values as they travel

def leb(n):
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes([*out, n])


def text(s):
    s = s.encode() if isinstance(s, str) else s
    return leb(len(s)) + s


class Reader:
    def __init__(self, data):
        self.data = bytes(data)
        self.at = 0

    def take(self, n):
        self.at += n
        if self.at > len(self.data):
            raise EOFError("the value is cut short")
        return self.data[self.at - n:self.at]

    def leb(self):
        n = shift = 0
        while True:
            byte = self.take(1)[0]
            n |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return n

    def bytes(self):
        return self.take(self.leb())

    def text(self):
        return self.bytes().decode()

    def option(self, read):
        return read() if self.take(1)[0] else None

    def list(self, read):
        return [read() for _ in range(self.leb())]


def chunks(data):
    """A stream<u8>: its chunks and its end."""
    for at in range(0, len(data), CHUNK):
        yield text(data[at:at + CHUNK])
    yield b"\0"


def unchunk(raw):
    """The data of a whole stream<u8>; EOFError where it was cut short."""
    r, out = Reader(raw), []
    while n := r.leb():
        out.append(r.take(n))
    return b"".join(out)


# ---- NATS

class Nats:
    """on_message functions run on a thread of their own, one after the other."""

    def __init__(self, port, **login):
        self.sock = socket.create_connection(("127.0.0.1", port), 10)
        self.sock.settimeout(None)
        self.file = self.sock.makefile("rb", 1 << 20)
        self.lock = threading.Lock()
        self.subs = {}
        self.head = b""
        json.loads(self.file.readline().split(b" ", 1)[1])
        hello = {"verbose": False, "headers": True, "no_responders": True, "lang": "python", "version": "1", **login}
        self.send(b"CONNECT " + json.dumps(hello).encode() + b"\r\n")
        threading.Thread(target=self.read, daemon=True).start()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the server was faster
        self.sock.close()

    def send(self, *parts):
        with self.lock:
            self.sock.sendall(b"".join(parts))

    def publish(self, subject, data=b"", reply="", headers=None):
        if not headers:
            self.send(f"PUB {subject} {reply} {len(data)}\r\n".encode(), data, b"\r\n")
            return
        head = b"NATS/1.0\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items()) + b"\r\n"
        self.send(f"HPUB {subject} {reply} {len(head)} {len(head) + len(data)}\r\n".encode(), head, data, b"\r\n")

    def subscribe(self, subject, on_message, group=""):
        """on_message(subject, reply, data, status or None)"""
        sid = str(len(self.subs) + 1)
        self.subs[sid] = on_message
        self.send(f"SUB {subject} {group} {sid}\r\n".encode())

    def read(self):
        try:
            while line := self.file.readline():
                words = line.split()
                if words[0] == b"PING":
                    self.send(b"PONG\r\n")
                elif words[0] in (b"MSG", b"HMSG"):
                    self.message(words)
        except (OSError, ValueError):
            pass  # closed

    def message(self, words):
        sizes = 2 if words[0] == b"HMSG" else 1
        subject, sid = words[1].decode(), words[2].decode()
        reply = words[3].decode() if len(words) > 3 + sizes else ""
        data = self.file.read(int(words[-1]) + 2)[:-2]
        status = None
        if sizes == 2:
            n = int(words[-2])
            found = re.match(rb"NATS/1\.0 (\d+)", data[:n])
            self.head = data[:n]  # of the message under way
            status, data = int(found[1]) if found else None, data[n:]
        self.subs[sid](subject, reply, data, status)


# ---- wRPC

class Failed(Exception):
    pass


class Invocation:
    """Of a function that is served: its root is complete."""

    def __init__(self, peer, inbox, first, function):
        self.peer, self.inbox, self.function = peer, inbox, function
        self.root = bytearray(first)
        self.here = f"_INBOX.{secrets.token_hex(11)}.{secrets.token_hex(11)}"
        self.streams = {}  # path -> raw bytes so far
        self.ended = set()
        self.wanted = {}  # path -> function of its raw bytes
        peer.subscribe(f"{self.here}.>", self.on_message)
        peer.publish(inbox, reply=self.here)

    def on_message(self, subject, _reply, data, _status):
        path = subject[len(self.here) + len(".params."):]
        if not path and data:
            self.root += data
        elif not path:
            self.function(self)
        elif data:
            self.streams.setdefault(path, bytearray()).extend(data)
        elif path not in self.ended:
            self.ended.add(path)
            self.tell(path)

    def tell(self, path):
        if path in self.wanted and path in self.ended:
            self.wanted.pop(path)(bytes(self.streams.pop(path, b"")))

    def when_ended(self, path, function):
        self.wanted[path] = function
        self.tell(path)

    def answer(self, root):
        """None: fails the call."""
        if root:
            self.peer.publish(f"{self.inbox}.results", root)
        self.peer.publish(f"{self.inbox}.results")

    def send(self, path, pieces):
        self.peer.stream(f"{self.inbox}.results.{path}", pieces)


class Peer(Nats):
    """A client of components, and a server of functions for them. pause: seconds after each piece of a stream, where a
    test measures what waits for a guest and not what waits for a busy machine."""

    pause = 0

    def stream(self, subject, pieces):
        for piece in pieces:
            self.publish(subject, piece)
            time.sleep(self.pause)
        self.publish(subject)

    def call(self, prefix, instance, function, root, streams=None, results=(), rest=b"", link="default",
             source="peer"):
        """Invokes, sends the rest of the parameters and the streams' raw bytes (path -> iterable), and waits until the root
        and the channels named in results have ended, these unless the root is an error. Returns root, path -> raw bytes."""
        inbox = f"_INBOX.{secrets.token_hex(11)}.{secrets.token_hex(11)}"
        got = {"results": bytearray(), **{f"results.{p}": bytearray() for p in results}}
        open_, events = set(got), queue.Queue()

        def on_message(subject, reply, data, status):
            channel = subject[len(inbox) + 1:]
            if not channel:
                events.put(("status", status) if status else ("handshake", reply))
            elif channel in open_ and data:
                got[channel] += data
            elif channel in open_:
                open_.discard(channel)
                if not open_ or (channel == "results" and got[channel][:1] == b"\1"):
                    events.put(("end", None))

        self.subscribe(inbox, on_message)
        self.subscribe(f"{inbox}.>", on_message)
        self.publish(f"{prefix}.wrpc.0.0.1.{instance}.{function}", root, inbox,
                     {"source-id": source, **({"link-name": link} if link else {})})
        kind, value = events.get(timeout=WAIT)
        if kind != "handshake":
            raise Failed(f"{kind} {value} instead of a handshake")
        if rest:
            self.publish(f"{value}.params", rest)
        self.publish(f"{value}.params")
        for path, pieces in (streams or {}).items():
            self.stream(f"{value}.params.{path}", pieces)
        while kind != "end":
            kind, _ = events.get(timeout=WAIT)
        return bytes(got.pop("results")), {k[8:]: bytes(v) for k, v in got.items()}

    def serve(self, prefix, instance, functions):
        """functions: name -> function of an Invocation, called when the root of its parameters is complete."""
        for name, function in functions.items():
            self.subscribe(f"{prefix}.wrpc.0.0.1.{instance}.{name}",
                           lambda _, reply, data, __, function=function: Invocation(self, reply, data, function))

    def handle(self, prefix, method, path, body):
        """wasi:http/incoming-handler of a component: status and body."""
        methods = ["GET", "HEAD", "POST", "PUT", "DELETE"]
        root = b"\0\0" + leb(methods.index(method)) + b"\1" + text(path) + b"\1\0" + b"\1" + text("here") + b"\0"
        root, streams = self.call(prefix, "wrpc:http/incoming-handler@0.1.0", "handle", root,
                                  {"0.0": chunks(body), "0.1": [b"\0"]}, ["0.0", "0.1"])
        if root[:1] != b"\0":
            raise Failed(f"error-code {root[1:].hex()}")
        r = Reader(root[3:])
        return r.leb(), unchunk(streams["0.0"])
