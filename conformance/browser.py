"""Headless Chromium, driven by the DevTools protocol over a pipe: one page, its requests and what it says."""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--hide-scrollbars",
    "--mute-audio",
    "--window-size=1280,900",
    "--remote-debugging-pipe",
)

# The protocol's pipe is descriptors 3 and 4 of the browser: a small program numbers them so, then becomes it.
NUMBERED = """
import fcntl, os, sys
pair = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 64) for one in sys.argv[1:3]]
for number, one in zip((3, 4), pair):
    os.dup2(one, number)
    os.close(one)
os.execv(sys.argv[3], sys.argv[3:])
"""

WAITED_FOR = ("Document", "XHR", "Fetch", "Image", "Media", "Stylesheet")


class NotDone(AssertionError):
    """What was waited for did not come in time."""


@dataclass(kw_only=True)
class Browser:
    """One page. `requests` and `said` fill while it is talked to."""

    process: subprocess.Popen[bytes]
    to: int
    fro: int
    session: str = ""
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    said: list[tuple[str, str]] = field(default_factory=list)
    buffer: bytes = b""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, method: str, within: float = 60, **parameters: Any) -> dict[str, Any]:
        """The result of a command; what else comes meanwhile is noted."""
        number = self._send(method, parameters, self.session)
        for got in self._messages(within):
            if got.get("id") == number:
                if "error" in got:
                    raise NotDone(f"{method}: {got['error']}")
                result: dict[str, Any] = got["result"]
                return result
        raise NotDone(f"{method} was not answered within {within:g} s")

    def _send(self, method: str, parameters: dict[str, Any], session: str) -> int:
        number = next(self.numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        return number

    def listen(self, seconds: float) -> None:
        """Notes what happens for a while."""
        for _ in self._messages(seconds):
            pass

    def _messages(self, within: float) -> Iterator[dict[str, Any]]:
        deadline = time.monotonic() + within
        while True:
            while b"\0" in self.buffer:
                text, _, self.buffer = self.buffer.partition(b"\0")
                message = json.loads(text)
                self._note(message)
                yield message
            left = deadline - time.monotonic()
            if left <= 0:
                return
            if select.select([self.fro], [], [], left)[0]:
                piece = os.read(self.fro, 1 << 20)
                if not piece:
                    raise NotDone("the browser is gone")
                self.buffer += piece

    def _note(self, message: dict[str, Any]) -> None:
        about = message.get("params", {})
        match message.get("method"):
            case "Target.attachedToTarget":  # a worker
                for domain in ("Network", "Runtime"):
                    self._send(f"{domain}.enable", {}, about["sessionId"])
            case "Network.requestWillBeSent":
                request = about["request"]
                self.requests[about["requestId"]] = {
                    "url": request["url"], "method": request["method"],
                    "accept": request["headers"].get("Accept"),
                    "kind": about.get("type"), "status": None, "failed": None,
                }  # fmt: skip
            case "Network.responseReceived" if about["requestId"] in self.requests:
                self.requests[about["requestId"]]["status"] = about["response"]["status"]
            case "Network.loadingFailed" if about["requestId"] in self.requests:
                if not about.get("canceled"):
                    self.requests[about["requestId"]]["failed"] = about.get("errorText", "") + str(
                        about.get("blockedReason", "")
                    )
            case "Runtime.consoleAPICalled" if about["type"] in ("error", "warning"):
                words = [str(one.get("value", one.get("description", ""))) for one in about["args"]]
                self.said.append((about["type"], " ".join(words)))
            case "Runtime.exceptionThrown":
                details = about["exceptionDetails"]
                thrown = details.get("exception", {}).get("description", "")
                self.said.append(("exception", f"{details.get('text', '')} {thrown}"))
            case "Log.entryAdded" if about["entry"]["level"] in ("error", "warning"):
                entry = about["entry"]
                self.said.append((entry["level"], f"{entry['text']} {entry.get('url', '')}"))

    def open(self, url: str) -> None:
        """Goes to an address, forgetting what was noted before."""
        self.call("Page.navigate", url="about:blank")
        self.requests.clear()
        self.said.clear()
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives, promises awaited."""
        got = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in got:
            raise NotDone(str(got["exceptionDetails"].get("exception", {}).get("description")))
        return got["result"].get("value")

    def wait(self, expression: str, within: float = 60) -> Any:
        """The first true value of an expression; raises NotDone with what the page said meanwhile."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if found := self.value(expression):
                return found
            self.listen(0.2)
        raise NotDone(f"not within {within:g} s: {expression}\n" + "\n".join(map(str, self.said[-8:])))

    def quiet(self, seconds: float = 1.5, within: float = 60) -> None:
        """Waits until no request has been open for some time."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            before = len(self.requests)
            self.listen(seconds)
            if len(self.requests) == before and not self.unanswered():
                return
        raise NotDone(f"requests still open after {within:g} s: {self.unanswered()[:4]}")

    def unanswered(self) -> list[str]:
        """Addresses asked for and not answered yet; of a worker's script no answer is reported here."""
        return [
            one["url"]
            for one in self.requests.values()
            if one["status"] is None and one["failed"] is None and one["kind"] in WAITED_FOR
        ]

    def refused(self) -> list[tuple[int | None, str | None, str]]:
        """Requests that were answered 4xx or 5xx, or failed."""
        return [
            (one["status"], one["failed"], one["url"])
            for one in self.requests.values()
            if one["failed"] or (one["status"] or 0) >= 400
        ]

    def wheel(self, x: float, y: float, by: float) -> None:
        """Turns the wheel over a point."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=by)

    def click(self, x: float, y: float, times: int = 1) -> None:
        """Clicks a point."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=times)

    def picture(self, path: Path | None = None, clip: dict[str, float] | None = None) -> bytes:
        """A PNG of the page, or of a rectangle of it."""
        more = {"clip": {**clip, "scale": 1}} if clip else {}
        png = base64.b64decode(self.call("Page.captureScreenshot", format="png", **more)["data"])
        if path is not None:
            path.write_bytes(png)
        return png


def program() -> str | None:
    """Where Chromium is installed, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextlib.contextmanager
def browsing(folder: Path, *, flags: tuple[str, ...] = ()) -> Iterator[Browser]:
    """A browser with an empty profile in `folder`, for the length of a `with` block."""
    chromium = program()
    assert chromium is not None
    read_here, write_there = os.pipe()
    read_there, write_here = os.pipe()
    command = [chromium, *FLAGS, *flags, f"--user-data-dir={folder}", "about:blank"]
    with (folder.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", NUMBERED, str(read_there), str(write_there), *command],
            pass_fds=(read_there, write_there),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    os.close(read_there)
    os.close(write_there)
    browser = Browser(process=process, to=write_here, fro=read_here)
    try:
        targets = browser.call("Target.getTargets")["targetInfos"]
        page = next(one["targetId"] for one in targets if one["type"] == "page")
        browser.session = browser.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            browser.call(f"{domain}.enable")
        browser.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
        browser.call(
            "Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False
        )
        yield browser
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(write_here)
        os.close(read_here)
