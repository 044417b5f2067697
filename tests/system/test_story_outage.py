# SPDX-License-Identifier: Apache-2.0
"""Outage: 100 requests a second while hosts are stopped and killed in turn; what was answered was counted."""

import statistics
import threading
import time
import unittest

from lattice import ROOT, Lattice, free_port, main, until

EXAMPLE = ROOT / "deploy/examples/counter"
RATE = 100
BACK_WITHIN_S = 6

MANIFEST = """apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: counter
spec:
  components:
    - name: counter
      type: component
      properties: {{image: "file://{image}"}}
      traits:
        - type: spreadscaler
          properties:
            instances: 10
            spread:
              - {{name: east, weight: 80, requirements: {{zone: us-east-1}}}}
              - {{name: west, weight: 20, requirements: {{zone: us-west-1}}}}
        - type: link
          properties:
            namespace: wasi
            package: keyvalue
            interfaces: [store, atomics]
            target:
              name: kvnats
              config: [{{name: bucket, properties: {{bucket: counter, enable_bucket_auto_create: "true"}}}}]
    - name: kvnats
      type: capability
      properties: {{image: "ghcr.io/wasmcloud/keyvalue-nats:0.3.1"}}
      traits: [{{type: daemonscaler, properties: {{instances: 1}}}}]
    - name: http-server
      type: capability
      properties: {{image: "ghcr.io/wasmcloud/http-server:0.23.2"}}
      traits:
        - type: spreadscaler
          properties: {{instances: 1}}
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source: {{config: [{{name: address, properties: {{address: "127.0.0.1:{port}"}}}}]}}
            target: {{name: counter}}
"""


class Load:
    """A request every 10 ms, whatever became of those before."""

    def __init__(self, lat, port):
        self.lat, self.port = lat, port
        self.lock, self.over = threading.Lock(), threading.Event()
        self.done = []  # (when it ended, seconds it took, answered?)
        self.open = 0
        self.clock = threading.Thread(target=self.run)

    def __enter__(self):
        self.clock.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.clock.join()
        until(lambda: self.open == 0, 15, lambda: f"{self.open} requests never ended")

    def run(self):
        due = time.monotonic()
        while not self.over.is_set():
            with self.lock:
                self.open += 1
            threading.Thread(target=self.one, daemon=True).start()
            due += 1 / RATE
            self.over.wait(max(0, due - time.monotonic()))

    def one(self):
        begin = time.monotonic()
        try:
            good = self.lat.http(self.port, "/counted", timeout=10).status == 200
        except OSError:
            good = False
        with self.lock:
            self.open -= 1
            self.done.append((time.monotonic(), time.monotonic() - begin, good))

    def since(self, when):
        with self.lock:
            return [d for d in self.done if d[0] >= when]

    def answered(self):
        with self.lock:
            return sum(good for _, _, good in self.done)

    def failed(self):
        with self.lock:
            return sum(not good for _, _, good in self.done)


class Outage(unittest.TestCase):
    def carrier(self, lat):
        """The host that has the HTTP provider."""
        ids = {i["host_id"] for i in lat.inventory().values() if any("http-server" in p["image_ref"] for p in i["providers"])}
        return next((h for h in lat.hosts if h.id in ids), None)

    def whole(self, lat):
        inventory = lat.inventory().values()
        return (lat.spread("counter-counter") == {"us-east-1": 8, "us-west-1": 2} and self.carrier(lat) and len(inventory) == 2
                and all(any("kvnats" in p["id"] for p in i["providers"]) for i in inventory))

    def end(self, lat, host, how):
        """Ends the host; returns the moment and how many requests were open then."""
        with_requests = self.load.open
        when = time.monotonic()
        if how == "killed":
            host.kill()
        else:
            host.stop()
        lat.hosts.remove(host)
        return when, max(with_requests, self.load.open)

    def settle(self, lat):
        """Whole again, and answering."""
        until(lambda: self.whole(lat), 40, lambda: lat.ctl("get", "inventory").stdout + lat.app_status("counter"))
        self.settle_on(lat, "both")

    def outage(self, lat, host, how, carries_http):
        before = self.load.failed()
        when, in_flight = self.end(lat, host, how)
        zone = {"us-east-1": "us-west-1", "us-west-1": "us-east-1"}[host.zone]
        until(lambda: list(lat.spread("counter-counter")) == [zone], 20, lambda: lat.spread("counter-counter"))
        self.settle_on(lat, zone)
        failed = self.load.failed() - before
        answers = [when, *(end for end, _, good in self.load.since(when) if good)]
        silence = max(later - earlier for earlier, later in zip(answers, answers[1:]))
        print(f"{host.zone} {how}{' with http-server' if carries_http else ''}: {in_flight} in flight, {failed} failed, "
              f"no answer for {silence:.2f} s")
        return silence, failed, in_flight

    def settle_on(self, lat, zone):
        """Half a second in which every request was answered."""
        def steady():
            last = self.load.since(time.monotonic() - 0.5)
            return len(last) > RATE / 4 and all(good for _, _, good in last)
        until(steady, 20,
              lambda: f"no steady answers from {zone}\n{lat.app_status('counter')}")

    def one_of_two(self, lat, how):
        carrier = self.carrier(lat)
        other = next(h for h in lat.hosts if h is not carrier)
        _, failed, in_flight = self.outage(lat, other, how, False)
        self.assertLessEqual(failed, in_flight + (2 if how == "killed" else 0))
        lat.start_host(other.zone)
        self.settle(lat)
        silence, _, _ = self.outage(lat, carrier, how, True)
        self.assertLess(silence, BACK_WITHIN_S)
        lat.start_host(carrier.zone)
        self.settle(lat)

    def test_each_host_stopped_and_killed(self):
        with Lattice() as lat:
            lat.start("us-east-1", "us-west-1")
            port = free_port()
            path = lat.dir / "wadm.yaml"
            path.write_text(MANIFEST.format(image=EXAMPLE / "counter.wasm", port=port))
            lat.ctl("app", "deploy", path)
            lat.wait_for_answer(port, 20, "counter")
            until(lambda: self.whole(lat), 20, lambda: lat.app_status("counter"))
            start = int(lat.http_linked(port, "/counted").body)
            with Load(lat, port) as self.load:
                self.settle_on(lat, "both")
                for how in ("stopped", "killed"):
                    self.one_of_two(lat, how)
            counted = int(lat.http(port, "/counted").body) - start - 1
            answered, failed = self.load.answered(), self.load.failed()
            took = statistics.median(t for _, t, good in self.load.done if good)
            print(f"{answered} answered (median {took * 1000:.1f} ms), {failed} failed, {counted} counted")
            self.assertGreaterEqual(counted, answered, "something that was answered was not counted")
            self.assertLessEqual(counted, answered + failed)


if __name__ == "__main__":
    main()
