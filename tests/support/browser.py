"""A browser without a screen, driven over a pipe by Chromium's DevTools protocol."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ALT, _CONTROL, _SHIFT = 1, 2, 8
_KEYS = {
    "Enter": ("Enter", 13),
    "Escape": ("Escape", 27),
    "Tab": ("Tab", 9),
    " ": ("Space", 32),
    "Delete": ("Delete", 46),
    "ArrowLeft": ("ArrowLeft", 37),
    "ArrowUp": ("ArrowUp", 38),
    "ArrowRight": ("ArrowRight", 39),
    "ArrowDown": ("ArrowDown", 40),
    "+": ("Equal", 187),
    "-": ("Minus", 189),
}

# The protocol's pipes are the descriptors 3 and 4.
_LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """One page, as a person at it acts and sees.

    Attributes:
        complaints: what the browser logged: scripts that failed, resources that its policy refused; not answers of 4xx.
        downloads: where it saves files.
        dialogs: what it asked, each answered with yes.
    """

    def __init__(self, orders: BinaryIO, answers: BinaryIO, downloads: Path) -> None:
        self.complaints: list[Any] = []
        self.dialogs: list[Any] = []
        self.downloads = downloads
        self._stubs: dict[str, tuple[int, str, str]] = {}
        self._orders = orders
        self._answers = answers
        self._number = 0
        self._session: str | None = None
        self._order("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        target = self._order("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._order("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self._order(f"{domain}.enable")

    def open(self, address: str) -> None:
        """Go to an address."""
        self._order("Page.navigate", url=address)
        self.until("document.readyState === 'complete' && location.protocol !== 'about:'")

    def forget(self) -> None:
        """Forget what the browser has kept of pages: the next one is loaded as for the first time."""
        self._order("Network.clearBrowserCache")

    def evaluate(self, expression: str) -> Any:
        """Return the value of JavaScript, promises awaited."""
        answer = self._order("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Return when JavaScript is true."""
        deadline = time.monotonic() + 60
        while not self.evaluate(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.05)

    def choose(self, selector: str, *paths: Path) -> None:
        """Choose files in an input."""
        root = self._order("DOM.getDocument")["root"]["nodeId"]
        node = self._order("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._order("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    def drag(
        self,
        *way: tuple[float, float],
        shift: bool = False,
        alt: bool = False,
        button: Literal["left", "right"] = "left",
    ) -> None:
        """Press the mouse at the first of some points of the window, move over all, let go; one point is a click."""
        for kind, (x, y) in (
            ("mousePressed", way[0]),
            *(("mouseMoved", point) for point in way[1:]),
            ("mouseReleased", way[-1]),
        ):
            self._order(
                "Input.dispatchMouseEvent",
                type=kind,
                x=x,
                y=y,
                button=button,
                buttons=(1 if button == "left" else 2) * (kind != "mouseReleased"),
                clickCount=1,
                modifiers=_SHIFT * shift + _ALT * alt,
            )

    def move(self, x: float, y: float) -> None:
        """Move the mouse to a point of the window."""
        self._order("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def wheel(self, x: float, y: float, by: float) -> None:
        """Turn the mouse's wheel; negative numbers are away from oneself."""
        self._order("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=by)

    def touch(self, kind: Literal["Start", "Move", "End"], *fingers: tuple[float, float]) -> None:
        """Lay fingers on the screen, move them, or take all of them away."""
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(fingers)]
        self._order("Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=points)

    def press(self, *keys: str, control: bool = False, shift: bool = False, alt: bool = False) -> None:
        """Press keys one after the other, by the names that the DOM has for them."""
        for key in keys:
            code, number = _KEYS.get(key, (f"Key{key.upper()}", ord(key[0].upper())))
            plain = len(key) == 1 and not control
            text = {"text": key} if plain else {"text": "\r"} if key == "Enter" else {}
            common = {
                "key": key,
                "code": code,
                "windowsVirtualKeyCode": number,
                "modifiers": _ALT * alt + _CONTROL * control + _SHIFT * shift,
            }
            self._order("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **common, **text)
            self._order("Input.dispatchKeyEvent", type="keyUp", **common)

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """Give the window a size; a phone's has touch and its own density."""
        self._order(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self._order("Emulation.setTouchEmulationEnabled", enabled=phone)

    def scheme(self, name: Literal["light", "dark"]) -> None:
        """Say which colours the system prefers."""
        self._order("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def network(self, *, delay: float = 0.0, rate: float = -1, offline: bool = False) -> None:
        """Slow the network down: `delay` seconds to an answer, `rate` bytes a second, -1 for as many as come."""
        self._order("Network.enable")
        self._order(
            "Network.emulateNetworkConditions",
            offline=offline,
            latency=1000 * delay,
            downloadThroughput=rate,
            uploadThroughput=rate,
        )

    def stub(self, path: str, status: int = 0, kind: str = "", body: str = "") -> None:
        """Answer whatever is asked of a path in the network's place; without a status no more."""
        self._stubs.pop(path, None)
        if status:
            self._stubs[path] = (status, kind, body)
        patterns = [{"urlPattern": f"*{path}*"} for path in self._stubs]
        if patterns:
            self._order("Fetch.enable", patterns=patterns)
        else:
            self._order("Fetch.disable")

    def screenshot(self) -> bytes:
        """Return what is seen, as PNG."""
        return base64.b64decode(self._order("Page.captureScreenshot", format="png")["data"])

    def run_first(self, script: str) -> None:
        """Run JavaScript in every page before its own."""
        self._order("Page.addScriptToEvaluateOnNewDocument", source=script)

    def _order(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = self._send(method, parameters)
        while (message := self._next()).get("id") != number:
            said = message.get("params", {})
            logged = message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")
            if logged and said.get("entry", {}).get("source") != "network":
                self.complaints.append(said)
            if message.get("method") == "Page.javascriptDialogOpening":
                # Until it is answered, the page answers nothing.
                self.dialogs.append(said)
                self._send("Page.handleJavaScriptDialog", {"accept": True})
            if message.get("method") == "Fetch.requestPaused":
                self._answer_in_place(said)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

    def _answer_in_place(self, paused: dict[str, Any]) -> None:
        status, kind, body = next(told for path, told in self._stubs.items() if path in paused["request"]["url"])
        answer = {
            "requestId": paused["requestId"],
            "responseCode": status,
            "responseHeaders": [{"name": "Content-Type", "value": kind}],
            "body": base64.b64encode(body.encode()).decode(),
        }
        self._send("Fetch.fulfillRequest", answer)

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            order["sessionId"] = self._session
        self._orders.write(json.dumps(order).encode() + b"\0")
        return self._number

    def _next(self) -> dict[str, Any]:
        message = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser ended"
            message += byte
        read: dict[str, Any] = json.loads(message)
        return read


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Run a browser until the context ends, its profile and downloads in `folder`; skips where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium here")
    orders, answers = (tuple(_high(end) for end in os.pipe()) for _ in range(2))
    launch = [sys.executable, "-c", _LAUNCH, str(orders[0]), str(answers[1])]
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--window-size=900,1200"]
    process = subprocess.Popen(
        [*launch, program, *options, f"--user-data-dir={folder / 'profile'}"],
        pass_fds=(orders[0], answers[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(orders[0])
    os.close(answers[1])
    with os.fdopen(orders[1], "wb", buffering=0) as writer, os.fdopen(answers[0], "rb") as reader:
        try:
            yield Page(writer, reader, folder / "downloads")
        finally:
            process.terminate()
            process.wait(30)


def _high(descriptor: int) -> int:
    """Return a copy of a descriptor beyond those of the protocol."""
    copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return copy
