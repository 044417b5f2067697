# SPDX-License-Identifier: Apache-2.0
"""A real browser without a window: Debian's Chromium, driven by WebDriver (W3C), which chromium-driver speaks. Elements are
what CSS selectors find; clicks, keys and taps are those of a person, not of a script. Ends with all its processes."""

import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import unittest

from lattice import PATIENCE, Process, until

# --no-sandbox: for root; --disable-dev-shm-usage: where /dev/shm is small
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900", "--disable-gpu",
             "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync"]
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # WebDriver, 11: the name of a reference in JSON
KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Control": "\ue009", "Space": " "}
PHONE = {"deviceMetrics": {"width": 360, "height": 740, "pixelRatio": 2, "touch": True, "mobile": True}}


class Browser:
    """with Browser(lattice) as b: ... The processes, and one page after the other."""

    MISSING = "chromium and chromedriver (Debian's chromium-driver) are not installed"

    @staticmethod
    def available():
        return bool(shutil.which("chromium") and shutil.which("chromedriver"))

    def __init__(self, lat):
        self.driver = Process(["chromedriver", "--port=0"], lat.env, lat.dir / "chromedriver.log", start_new_session=True)

    def __enter__(self):
        """A machine on which no browser starts, not even with an empty page, skips the test: that is no fault of ours."""
        try:
            started = until(lambda: re.search(r"started successfully on port (\d+)", self.driver.text()), 10, self.driver.tail)
            self.port = int(started[1])
            self.page().__exit__()
        except (AssertionError, OSError) as e:
            self.__exit__()
            raise unittest.SkipTest(f"chromium does not start here: {str(e).splitlines()[0]}") from e
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.driver.pid, signal.SIGKILL)  # the browsers, too
        self.driver.kill()

    def page(self, **more):
        """A new window; more: options of chromium-driver."""
        options = {"binary": shutil.which("chromium"), "args": ARGUMENTS, **more}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        return Page(self.port, self.call("POST", "", {"capabilities": {"alwaysMatch": wanted}})["sessionId"])

    def call(self, method, path, message=None):
        return call(self.port, method, f"/session{path}", message)


def call(port, method, path, message=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30 * PATIENCE)
    try:
        connection.request(method, path, None if message is None else json.dumps(message))
        reply = connection.getresponse()
        value = json.loads(reply.read())["value"]
    finally:
        connection.close()
    if reply.status != 200:
        raise AssertionError(f"{method} {path} {str(message)[:60]}: {value['error']}: {value['message']}")
    return value


class Page:
    """with browser.page() as p: ... one window and what a person does in it."""

    def __init__(self, port, session):
        self.port, self.session = port, session

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.call("DELETE", "")

    def call(self, method, path, message=None):
        return call(self.port, method, f"/session/{self.session}{path}", message)

    def goto(self, url):
        self.call("POST", "/url", {"url": url})

    # ---- looking

    def all(self, css):
        found = self.call("POST", "/elements", {"using": "css selector", "value": css})
        return [one[ELEMENT] for one in found]

    def one(self, css):
        found = self.all(css)
        assert len(found) == 1, f"{len(found)} elements are {css}"
        return found[0]

    def field(self, css, label):
        """The one whose accessible name is that: what a screen reader says, and a click on the label means."""
        found = [e for e in self.all(css) if self.call("GET", f"/element/{e}/computedlabel") == label]
        assert len(found) == 1, f"{len(found)} of {css} are called {label}"
        return found[0]

    def text(self, css):
        return self.call("GET", f"/element/{self.one(css)}/text")

    def says(self, css, text):
        until(lambda: text in self.text(css), 20, lambda: f"{css} says {self.text(css)!r}, not {text!r}")

    def value(self, element):
        return self.call("GET", f"/element/{element}/property/value")

    def run(self, script, *elements):
        """What the page's own JavaScript makes of them."""
        return self.call("POST", "/execute/sync", {"script": script, "args": [{ELEMENT: e} for e in elements]})

    def errors(self):
        """Of scripts, since the last time; that a request was answered with an error is not one."""
        log = self.call("POST", "/se/log", {"type": "browser"})
        return [line["message"] for line in log if line["level"] == "SEVERE" and line["source"] == "javascript"]

    def screenshot(self, file):
        file.write_bytes(base64.b64decode(self.call("GET", "/screenshot")))

    def colour_scheme(self, scheme):
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def devtools(self, command, **params):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    # ---- doing

    def click(self, element):
        self.call("POST", f"/element/{element}/click", {})

    def fill(self, element, text):
        self.call("POST", f"/element/{element}/clear", {})
        self.call("POST", f"/element/{element}/value", {"text": text})

    def press(self, *names):
        """These keys together, wherever the focus is."""
        keys = [KEYS[name] for name in names]
        self.act("key", [{"type": "keyDown", "value": k} for k in keys] + [{"type": "keyUp", "value": k} for k in reversed(keys)])

    def type(self, text):
        self.act("key", [{"type": way, "value": c} for c in text for way in ("keyDown", "keyUp")])

    def tap(self, element):
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        self.act("pointer", [{"type": "pointerMove", "origin": {ELEMENT: element}, "x": 0, "y": 0},
                             {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}],
                 parameters={"pointerType": "touch"})

    def act(self, kind, actions, **more):
        self.call("POST", "/actions", {"actions": [{"type": kind, "id": kind, "actions": actions, **more}]})
