# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in real life: guests that trap, hang or say nothing; processes that die; a bus that restarts."""

import http.client
import os
import pathlib
import re
import signal
import socket
import threading
import time
import unittest

from lattice import PATIENCE, WORKBENCH, HELLO, Lattice, children_of, free_port, main, until


def runs(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rsplit(") ", 1)[1][0] != "Z"


class Guests(unittest.TestCase):
    """One lattice for all: what one guest does must not touch the next."""

    @classmethod
    def setUpClass(cls):
        cls.lat = Lattice()
        cls.host, = cls.lat.start("us-east-1", WASMCLOUD_MAX_EXECUTION_TIME_MS="1500")
        cls.port = cls.lat.deploy(WORKBENCH, "bench", count=8, spread={"us-east-1": 100})
        cls.lat.wait_for_answer(cls.port, app="bench")

    @classmethod
    def tearDownClass(cls):
        cls.lat.__exit__(None, None, None)

    def test_a_trap_is_500_with_a_request_id_and_the_log_names_the_function(self):
        reply = self.lat.http(self.port, "/trap")
        self.assertEqual(reply.status, 500)
        found = re.search(rb"[0-9A-HJKMNP-TV-Z]{26}", reply.body)
        self.assertTrue(found, reply)
        request = found.group().decode()
        line = until(lambda: [x for x in self.host.text().splitlines() if request in x], 5, self.host.tail)[0]
        self.assertIn("unreachable", line)
        self.assertRegex(line, r"handle|func \d+|trap_here")

    def test_returning_without_an_answer_is_500(self):
        self.assertEqual(self.lat.http(self.port, "/silent").status, 500)

    def test_a_trap_in_the_body_is_never_a_whole_answer(self):
        """The head was 200 already: cut short where it left, an error where it had not."""
        try:
            self.assertGreaterEqual(self.lat.http(self.port, "/trap-body").status, 500)
        except (http.client.HTTPException, ConnectionError):
            pass

    def test_a_loop_is_504_and_others_do_not_notice(self):
        replies = []
        loops = [threading.Thread(target=lambda: replies.append(self.lat.http(self.port, "/loop"))) for _ in range(3)]
        for t in loops:
            t.start()
        slowest = 0
        while any(t.is_alive() for t in loops):
            begin = time.monotonic()
            self.assertEqual(self.lat.http(self.port, "/").status, 200)
            slowest = max(slowest, time.monotonic() - begin)
        for t in loops:
            t.join()
        self.assertEqual([r.status for r in replies], [504] * 3)
        self.assertLess(slowest, 1.0 * PATIENCE)

    def test_more_sleepers_than_threads_and_instances(self):
        begin = time.monotonic()
        statuses = []
        threads = [threading.Thread(target=lambda: statuses.append(self.lat.http(self.port, "/sleep/200").status))
                   for _ in range(16)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(statuses, [200] * 16)
        self.assertGreaterEqual(time.monotonic() - begin, 0.4)  # 16 calls, 8 at a time

    def test_stderr_goes_to_the_log_with_the_component(self):
        self.assertEqual(self.lat.http(self.port, "/log").status, 200)
        until(lambda: re.search(r'bench.*workbench was here', self.host.text()), 5, self.host.tail)


class Processes(unittest.TestCase):
    def provider_pid(self, host):
        return until(lambda: [p for p, args in children_of(host.pid) if "http-server" in args], 5, "a provider")[0]

    def test_a_killed_provider_is_back_and_answers(self):
        with Lattice() as lat:
            host, = lat.start("us-east-1")
            port = lat.deploy(HELLO, count=2, spread={"us-east-1": 100})
            lat.wait_for_answer(port)
            pid = self.provider_pid(host)
            begin = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            until(lambda: not lat.answers(port) or self.provider_pid(host) != pid, 2, "its end")
            lat.wait_for_answer(port, 2)
            self.assertLess(time.monotonic() - begin, 2 * PATIENCE)
            self.assertNotEqual(self.provider_pid(host), pid)

    def test_the_other_zone_goes_on_when_a_host_dies(self):
        with Lattice() as lat:
            east, west = lat.start("us-east-1", "us-west-1", WASMCLOUD_HEARTBEAT_INTERVAL="1")
            port = lat.deploy(HELLO)
            lat.wait_for_answer(port)
            until(lambda: lat.spread("app") == {"us-east-1": 8, "us-west-1": 2}, 10, lambda: lat.spread("app"))
            west.kill()
            lost = sum(not lat.answers(port) for _ in range(100))
            self.assertLessEqual(lost, 1, "more than nats-server handed to the dead before it saw the end of their connection")
            until(lambda: list(lat.inventory()) == [east.id], 10, "one host left")
            until(lambda: "us-west-1" in lat.app_status("app") and "Deployed" not in
                  lat.app_status("app").splitlines()[0], 30, lambda: lat.app_status("app"))

    def test_a_dead_host_takes_its_provider_along(self):
        with Lattice() as lat:
            host, = lat.start("us-east-1")
            port = lat.deploy(HELLO, count=2, spread={"us-east-1": 100})
            lat.wait_for_answer(port)
            pid = self.provider_pid(host)
            host.kill()
            until(lambda: not runs(pid), 5, "the provider outlived its host")

    def test_nats_restarts_and_everything_goes_on(self):
        with Lattice() as lat:
            host, = lat.start("us-east-1")
            port = lat.deploy(HELLO, count=2, spread={"us-east-1": 100})
            lat.wait_for_answer(port)
            lat.nats.kill()
            lat.start_nats()
            lat.wait_for_answer(port, 15)
            until(lambda: lat.host_ids() == [host.id], 10, "the host on the new connection")
            second = lat.deploy(HELLO, "second", count=1, spread={"us-east-1": 100})
            lat.wait_for_answer(second, app="second")

    def test_before_any_instance_is_there_it_is_503_at_once(self):
        with Lattice() as lat:
            lat.start("us-east-1")
            port = lat.deploy("/nonexistent/image.wasm", count=1, spread={"us-east-1": 100})
            reply = until(lambda: self.reply_or_none(lat, port), 10, lambda: lat.app_status("app"))
            begin = time.monotonic()
            reply = lat.http(port)
            self.assertEqual(reply.status, 503)
            self.assertLess(time.monotonic() - begin, PATIENCE)
            until(lambda: "/nonexistent/image.wasm" in lat.app_status("app"), 10, lambda: lat.app_status("app"))

    def reply_or_none(self, lat, port):
        try:
            return lat.http(port)
        except OSError:
            return None

    def test_an_address_in_use_is_shown_in_the_status(self):
        with Lattice() as lat, socket.socket() as taken:
            taken.bind(("127.0.0.1", free_port()))
            taken.listen()
            lat.start("us-east-1")
            lat.deploy(HELLO, count=1, spread={"us-east-1": 100}, port=taken.getsockname()[1])
            until(lambda: "in use" in lat.app_status("app"), 20, lambda: lat.app_status("app"))


if __name__ == "__main__":
    main()
