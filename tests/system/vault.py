# SPDX-License-Identifier: Apache-2.0
"""A secrets backend for one test, and the sealed boxes it speaks: X25519, XSalsa20 and Poly1305 written out, so that ours
are held against another make. Not for secrets that are any: nothing here takes constant time."""

import base64
import json
import os
import re
import struct

from peer import Nats

TOPIC = "test.secrets"


# ---- nkeys of curve type

def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xffff
    return crc


def public_text(raw):
    data = bytes([23 << 3]) + raw
    return base64.b32encode(data + struct.pack("<H", crc16(data))).rstrip(b"=").decode()


def public_raw(text):
    data = base64.b32decode(text + "=" * (-len(text) % 8))
    if data[0] != 23 << 3 or struct.pack("<H", crc16(data[:-2])) != data[-2:]:
        raise ValueError("not a public curve key")
    return data[1:-2]


# ---- crypto_box

P25519 = 2 ** 255 - 19


def x25519(private, public):
    k = int.from_bytes(private, "little") & ~(7 | 1 << 255) | 1 << 254
    x1 = int.from_bytes(public, "little") & ~(1 << 255)
    x2, z2, x3, z3 = 1, 0, x1, 1
    for bit in reversed(range(255)):
        swap = k >> bit & 1
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        x3, z3 = (da + cb) ** 2 % P25519, x1 * (da - cb) ** 2 % P25519
        e = aa - bb
        x2, z2 = aa * bb % P25519, e * (aa + 121665 * e) % P25519
        if swap:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, P25519 - 2, P25519) % P25519).to_bytes(32, "little")


def salsa_rounds(state):
    s = list(state)
    columns = [(0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)]
    rows = [(0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)]
    for _ in range(10):
        for a, b, c, d in columns + rows:
            for to, x, y, n in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
                v = s[x] + s[y] & 0xffffffff
                s[to] ^= (v << n | v >> 32 - n) & 0xffffffff
    return s


def salsa_state(key, block):
    k, n, c = struct.unpack("<8I", key), struct.unpack("<4I", block), struct.unpack("<4I", b"expand 32-byte k")
    return (c[0], *k[:4], c[1], *n, c[2], *k[4:], c[3])


def hsalsa20(key, block):
    s = salsa_rounds(salsa_state(key, block))
    return struct.pack("<8I", *(s[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)))


def xsalsa20(key, nonce, n):
    key, out = hsalsa20(key, nonce[:16]), b""
    for counter in range((n + 63) // 64):
        state = salsa_state(key, nonce[16:] + struct.pack("<Q", counter))
        out += struct.pack("<16I", *(a + b & 0xffffffff for a, b in zip(state, salsa_rounds(state))))
    return out[:n]


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff
    sum_ = 0
    for at in range(0, len(message), 16):
        sum_ = (sum_ + int.from_bytes(message[at:at + 16] + b"\1", "little")) * r % (2 ** 130 - 5)
    return (sum_ + int.from_bytes(key[16:], "little") & 2 ** 128 - 1).to_bytes(16, "little")


class Key:
    """A curve key pair."""

    def __init__(self, seed=None):
        self.seed = seed or os.urandom(32)
        self.raw = x25519(self.seed, b"\x09" + bytes(31))
        self.public = public_text(self.raw)

    def stream(self, other, nonce, n):
        return xsalsa20(hsalsa20(x25519(self.seed, other), bytes(16)), nonce, n + 32)

    def seal(self, to, message):
        nonce = os.urandom(24)
        stream = self.stream(public_raw(to), nonce, len(message))
        box = bytes(a ^ b for a, b in zip(message, stream[32:]))
        return b"xkv1" + nonce + poly1305(stream[:32], box) + box

    def open(self, sender, sealed):
        if sealed[:4] != b"xkv1":
            raise ValueError("not a sealed box")
        nonce, tag, box = sealed[4:28], sealed[28:44], sealed[44:]
        stream = self.stream(public_raw(sender), nonce, len(box))
        if poly1305(stream[:32], box) != tag:
            raise ValueError("the box was changed")
        return bytes(a ^ b for a, b in zip(box, stream[32:]))


# ---- the backend

def claims(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


class Vault(Nats):
    """Answers for TOPIC's backend `name`. secrets: key -> text or bytes; asked: the requests, opened; denied: subjects of
    JWTs that get nothing; twist(sealed) may change an answer."""

    def __init__(self, port, name, secrets):
        self.secrets, self.asked, self.denied = secrets, [], set()
        self.twist = lambda sealed: sealed
        self.key = Key()
        super().__init__(port)
        self.subscribe(f"{TOPIC}.v1alpha1.{name}.server_xkey",
                       lambda subject, reply, data, status: self.publish(reply, self.key.public.encode()))
        self.subscribe(f"{TOPIC}.v1alpha1.{name}.get", self.on_get)

    def on_get(self, subject, reply, data, status):
        host_key = re.search(r"^WasmCloud-Host-Xkey: *(\S+)", self.head.decode(), re.MULTILINE)[1]
        request = json.loads(self.key.open(host_key, data))
        self.asked.append(request)
        context = request["context"]
        entity, host = claims(context["entity_jwt"]), claims(context["host_jwt"])
        assert host["sub"].startswith("N") and host["wascap"]["labels"] == {"self_signed": "true"}, host
        if entity["sub"] in self.denied:
            self.publish(reply, json.dumps({"error": "Unauthorized"}).encode())
            return
        value = self.secrets.get(request["key"])
        if isinstance(value, dict):
            value = value.get(request["field"])
        if value is None:
            self.publish(reply, json.dumps({"error": {"Other": "no such thing here"}}).encode())
            return
        secret = {"version": request["version"] or "1", "string_secret": None, "binary_secret": None}
        if isinstance(value, str):
            secret["string_secret"] = value
        else:
            secret["binary_secret"] = list(value)
        answer_key = Key()
        sealed = answer_key.seal(host_key, json.dumps({"secret": secret}).encode())
        self.publish(reply, self.twist(sealed), headers={"Server-Response-Xkey": answer_key.public})
