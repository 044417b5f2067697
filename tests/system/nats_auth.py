# SPDX-License-Identifier: Apache-2.0
"""Operator, accounts and users of a nats-server, made on the spot; openssl signs."""

import base64
import json
import struct
import subprocess

from vault import crc16

SEED, OPERATOR, ACCOUNT, USER = 18 << 3, 14 << 3, 0, 20 << 3
PKCS8 = bytes.fromhex("302e020100300506032b657004220420")


def text(data):
    return base64.b32encode(data + struct.pack("<H", crc16(data))).rstrip(b"=").decode()


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    def __init__(self, folder, kind, name):
        self.path = folder / f"{name}.nkey.der"
        self.claims_path = folder / f"{name}.claims"
        self.openssl("genpkey", "-algorithm", "ed25519", "-outform", "DER", "-out", self.path)
        raw = self.path.read_bytes()[len(PKCS8):]
        self.seed = text(bytes([SEED | kind >> 5, (kind & 31) << 3]) + raw)
        self.public = text(bytes([kind]) + self.openssl("pkey", "-inform", "DER", "-in", self.path, "-pubout",
                                                        "-outform", "DER")[-32:])

    @staticmethod
    def openssl(*args):
        return subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=60).stdout

    def jwt(self, subject, kind, **nats):
        """What this key says about a subject."""
        claims = {"jti": subject, "iat": 1700000000, "iss": self.public, "name": kind, "sub": subject,
                  "nats": {"type": kind, "version": 2, **nats}}
        head = url64(b'{"typ":"JWT","alg":"ed25519-nkey"}')
        signed = f"{head}.{url64(json.dumps(claims).encode())}"
        self.claims_path.write_text(signed)
        signature = self.openssl("pkeyutl", "-sign", "-keyform", "DER", "-inkey", self.path, "-rawin", "-in",
                                 self.claims_path)
        return f"{signed}.{url64(signature)}"


class Realm:
    """An operator with a system account and one that may use JetStream, and a user of that."""

    def __init__(self, folder):
        operator, system = Key(folder, OPERATOR, "operator"), Key(folder, ACCOUNT, "system")
        account, user = Key(folder, ACCOUNT, "account"), Key(folder, USER, "user")
        free = {name: -1 for name in ("subs", "data", "payload")}
        limits = free | {name: -1 for name in ("imports", "exports", "conn", "leaf")} | {"wildcards": True}
        jetstream = {name: -1 for name in ("mem_storage", "disk_storage", "streams", "consumer")}
        self.accounts = {system.public: operator.jwt(system.public, "account", limits=limits),
                         account.public: operator.jwt(account.public, "account", limits=limits | jetstream)}
        self.operator, self.system = operator.jwt(operator.public, "operator"), system.public
        self.account = account.public
        self.user_jwt, self.user_seed = account.jwt(user.public, "user", **free), user.seed

    def config(self, accounts=None):
        """The part of a server's configuration."""
        known = "".join(f"  {a}: {jwt}\n" for a, jwt in self.accounts.items() if accounts is None or a in accounts)
        return (f"operator: {self.operator}\nsystem_account: {self.system}\nresolver: MEMORY\n"
                f"resolver_preload: {{\n{known}}}\n")
