# SPDX-License-Identifier: Apache-2.0
"""wasi:blobstore of a component over a link to providers of another make, as upstream's blobstore-fs, -nats and -s3 are:
wrpc:blobstore 0.2.0, and 0.1.0 where nobody serves that."""

import hashlib
import unittest

from lattice import ROOT, Lattice, main, sanitized, until
from origin import status_of
from peer import Failed, Peer, Reader, chunks, leb, text, unchunk

ARCHIVE = ROOT / "tests/guests/archive/archive.wasm"
OK = b"\0"


def error(why):
    return b"\1" + text(why)


class Store:
    """Containers in memory. name "broken": reads and writes fail in the middle."""

    def __init__(self, peer, ident, version):
        self.containers = {}
        self.old = version == "0.1.0"
        self.cut = []  # objects whose data ended too early
        simple = {
            "create-container": lambda r: self.containers.setdefault(r.text(), {}) is None or OK,
            "container-exists": lambda r: OK + bytes([r.text() in self.containers]),
            "delete-container": lambda r: self.containers.pop(r.text(), None) is None and error("no such container") or OK,
            "clear-container": lambda r: self.containers[r.text()].clear() or OK,
            "get-container-info": lambda r: OK + leb(1700000000) if r.text() in self.containers else error("no such container"),
            "get-object-info": self.object_info,
            "has-object": lambda r: OK + bytes([self.find(r) is not None]),
            "delete-objects": self.delete_objects,
            "copy-object": self.copy,
            "move-object": self.move,
        }
        functions = {name: self.simple(f) for name, f in simple.items()}
        functions |= {"get-container-data": self.get, "list-container-objects": self.list, "write-container-data": self.write}
        peer.serve(f"default.{ident}", f"wrpc:blobstore/blobstore@{version}", functions)

    def simple(self, function):
        return lambda inv: inv.answer(function(Reader(inv.root)))

    def find(self, r):
        return self.containers.get(r.text(), {}).get(r.text())

    def object_info(self, r):
        data = self.find(r)
        return error("no such object") if data is None else OK + leb(1700000001) + leb(len(data))

    def delete_objects(self, r):
        container = self.containers[r.text()]
        for name in r.list(r.text):
            container.pop(name, None)
        return OK

    def copy(self, r):
        data = self.find(r)
        if data is None:
            return error("no such object")
        self.containers[r.text()][r.text()] = data
        return OK

    def move(self, r):
        start = r.at
        done = self.copy(r)
        r.at = start
        self.containers[r.text()].pop(r.text(), None)
        return done

    def begin(self, inv):
        inv.answer(OK + b"\0" if self.old else OK + b"\0\0")

    def get(self, inv):
        r = Reader(inv.root)
        container, name = r.text(), r.text()
        data = self.containers.get(container, {}).get(name)
        if data is None:
            inv.answer(error("no such object"))
            return
        self.begin(inv)
        start = r.leb()
        pieces = list(chunks(data[start:r.leb()]))
        if name == "broken" and self.old:
            inv.send("0", pieces[:-1])
        elif self.old:
            inv.send("0", pieces)
        else:
            inv.send("0.0", pieces)
            inv.send("0.1", [error("the disk is on fire") if name == "broken" else OK])

    def list(self, inv):
        names = sorted(self.containers[Reader(inv.root).text()])
        self.begin(inv)
        pieces = [leb(2) + text(names[i]) + text(names[i + 1]) for i in range(0, len(names) - 1, 2)]
        pieces += [leb(1) + text(names[-1])] if len(names) % 2 else []
        raw = b"".join(pieces) + b"\0"
        inv.send("0" if self.old else "0.0", [raw[i:i + 7] for i in range(0, len(raw), 7)])
        if not self.old:
            inv.send("0.1", [OK])

    def write(self, inv):
        r = Reader(inv.root)
        container, name = r.text(), r.text()
        if name == "refused":
            inv.answer(error("read-only"))
            return
        if not self.old:
            inv.answer(OK + b"\0")

        def store(raw):
            try:
                self.containers[container][name] = unchunk(raw)
            except EOFError:
                self.cut.append(name)
            status = error("the disk is full") if name == "broken" else OK
            if self.old:
                inv.answer(status)
            else:
                inv.send("0", [status])
        inv.when_ended("1", store)


class Blobstore(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lat = Lattice()
        cls.host, = cls.lat.start("us-east-1")
        cls.peer, cls.client = Peer(cls.lat.nats_port), Peer(cls.lat.nats_port)
        cls.stores = {"archive": Store(cls.peer, "store", "0.2.0"), "archive-old": Store(cls.peer, "old-store", "0.1.0")}
        for component, target in (("archive", "store"), ("archive-old", "old-store"), ("lonely", None), ("lost", "nobody")):
            cls.lat.ctl("start", "component", f"file://{ARCHIVE}", component, "--max-instances", "4")
            if target:
                cls.lat.ctl("link", "put", component, target, "wasi", "blobstore", "--interface", "blobstore")
        for component in cls.stores:
            until(lambda component=component: cls.is_up(component), 10, lambda: cls.host.tail())

    @classmethod
    def tearDownClass(cls):
        cls.peer.close()
        cls.client.close()
        cls.lat.__exit__(None, None, None)

    @classmethod
    def is_up(cls, component):
        try:
            return cls.client.handle(f"default.{component}", "GET", "/there/nothing", b"")[1] == b"no\n"
        except Failed:
            return False

    def ask(self, component, path, body=b""):
        return self.client.handle(f"default.{component}", "POST", path, body)

    def both(self):
        for component, store in self.stores.items():
            store.containers = {}
            yield component, store

    def test_containers(self):
        for c, store in self.both():
            self.assertEqual(self.ask(c, "/make/shelf"), (200, b"done\n"))
            self.assertEqual(self.ask(c, "/open/shelf"), (200, b"done\n"))
            self.assertEqual(self.ask(c, "/there/shelf"), (200, b"yes\n"))
            self.assertEqual(self.ask(c, "/about/shelf"), (200, b"shelf since 1700000000\n"))
            self.assertEqual(self.ask(c, "/open/none"), (500, b"error: container does not exist\n"))
            self.assertEqual(self.ask(c, "/unmake/shelf"), (200, b"done\n"))
            self.assertEqual(self.ask(c, "/unmake/shelf"), (500, b"error: no such container\n"))
            self.assertEqual(store.containers, {})

    def test_objects(self):
        for c, store in self.both():
            store.containers = {"a": {"x": b"some bytes", "y": b"", "z": b"3"}, "b": {}}
            self.assertEqual(self.ask(c, "/has/a/x"), (200, b"yes\n"))
            self.assertEqual(self.ask(c, "/has/a/q"), (200, b"no\n"))
            self.assertEqual(self.ask(c, "/stat/a/x"), (200, b"a x 10\n"))
            self.assertEqual(self.ask(c, "/stat/a/q"), (500, b"error: no such object\n"))
            self.assertEqual(self.ask(c, "/copy/a/x/b/w"), (200, b"done\n"))
            self.assertEqual(self.ask(c, "/move/a/x/b/v"), (200, b"done\n"))
            self.assertEqual(self.ask(c, "/rm/a/y"), (200, b"done\n"))
            self.assertEqual(store.containers, {"a": {"z": b"3"}, "b": {"w": b"some bytes", "v": b"some bytes"}})
            self.assertEqual(self.ask(c, "/rm2/b/w/none"), (200, b"done\n"))
            self.assertEqual(self.ask(c, "/clear/a"), (200, b"done\n"))
            self.assertEqual(store.containers, {"a": {}, "b": {"v": b"some bytes"}})

    def test_reading(self):
        big = hashlib.sha256(b"seed").digest() * 30000  # 960 kB
        for c, store in self.both():
            store.containers = {"a": {"big": big, "none": b"", "ten": b"0123456789"}}
            self.assertEqual(self.ask(c, "/get/a/big"), (200, big))
            self.assertEqual(self.ask(c, "/read/a/big"), (200, big))
            self.assertEqual(self.ask(c, "/get/a/none"), (200, b""))
            self.assertEqual(self.ask(c, "/read/a/none"), (200, b""))
            self.assertEqual(self.ask(c, "/part/a/ten/2/5"), (200, b"234"))
            self.assertEqual(self.ask(c, "/read/a/q"), (500, b"error: no such object\n"))

    def test_reading_fails_in_the_middle(self):
        for c, store in self.both():
            store.containers = {"a": {"broken": b"half of it"}}
            why = b"the target ended get-container-data too early" if store.old else b"the disk is on fire"
            self.assertEqual(self.ask(c, "/read/a/broken"), (500, b"error: " + why + b"\n"))
            self.assertRaises(EOFError, self.ask, c, "/get/a/broken")

    def test_listing(self):
        names = [f"object-{i:03}" for i in range(101)]
        for c, store in self.both():
            store.containers = {"a": {n: b"" for n in names}, "none": {}}
            self.assertEqual(self.ask(c, "/list/a/1000"), (200, " ".join(names).encode() + b" .\n"))
            self.assertEqual(self.ask(c, "/list/a/50"), (200, (" ".join(names[:50]) + " / " + " ".join(names[50:100]) + " / "
                                                               + names[100] + " .\n").encode()))
            self.assertEqual(self.ask(c, "/list/none/5"), (200, b".\n"))
            self.assertEqual(self.ask(c, "/skip/a/40"), (200, b"61\n"))

    def test_writing(self):
        big = hashlib.sha256(b"tree").digest() * 30000
        for c, store in self.both():
            store.containers = {"a": {}}
            # one of 0.1.0 answers when it has it all: a guest that then first writes waits for itself, as it does upstream
            self.assertEqual(self.ask(c, "/early/a/big", big), (200, b"done\n"))
            self.assertEqual(store.containers["a"]["big"], big)
            self.assertEqual(self.ask(c, "/early/a/none", b""), (200, b"done\n"))
            self.assertEqual(store.containers["a"]["none"], b"")
            if not store.old:
                self.assertEqual(self.ask(c, "/put/a/late", big), (200, b"done\n"))
                self.assertEqual(store.containers["a"]["late"], big)
                self.assertEqual(self.ask(c, "/empty/a/none"), (200, b"done\n"))
                self.assertEqual(store.containers["a"]["none"], b"")
            self.assertEqual(self.ask(c, "/early/a/refused", b"x"), (500, b"error: read-only\n"))
            self.assertEqual(self.ask(c, "/early/a/broken", b"x"), (500, b"error: the disk is full\n"))

    def test_a_trap_in_the_middle_stores_nothing(self):
        store = self.stores["archive"]
        store.containers = {"a": {}}
        self.assertRaises(Failed, self.ask, "archive", "/cut/a/half", b"x" * 100000)
        until(lambda: store.cut == ["half"], 10, lambda: store.containers)
        self.assertEqual(store.containers, {"a": {}})

    def test_large_objects_do_not_stay_in_memory(self):
        store, data = self.stores["archive"], bytes(range(256)) * (1 << 18)  # 64 MiB
        store.containers = {"a": {}}
        self.ask("archive", "/put/a/warm", data[:1 << 20])
        before = status_of(self.host.pid, "VmRSS")
        self.client.pause = self.peer.pause = 0.005
        self.assertEqual(self.ask("archive", "/put/a/big", data), (200, b"done\n"))
        self.assertTrue(store.containers["a"]["big"] == data)
        status, body = self.ask("archive", "/get/a/big")
        self.client.pause = self.peer.pause = 0
        grown = status_of(self.host.pid, "VmHWM") - before
        self.assertTrue(status == 200 and body == data)
        print(f"64 MiB in and out of a container: peak +{grown} kB")
        if not sanitized():
            self.assertLess(grown, 48 << 10)

    def test_without_a_link_or_target(self):
        status, body = self.ask("lonely", "/make/a")
        self.assertEqual(status, 500)
        self.assertIn(b"component lonely has no link named default for wasi:blobstore/blobstore", body)
        self.assertEqual(self.ask("lost", "/make/a"), (500, b"error: nobody serves this function\n"))


if __name__ == "__main__":
    main()
