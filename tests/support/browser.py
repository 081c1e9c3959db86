"""A browser without a screen, driven over a pipe by Chromium's DevTools protocol."""

from __future__ import annotations

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
from typing import Any, BinaryIO

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_SHIFT = 8

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
    """

    def __init__(self, orders: BinaryIO, answers: BinaryIO, downloads: Path) -> None:
        self.complaints: list[Any] = []
        self.downloads = downloads
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

    def choose(self, selector: str, path: Path) -> None:
        """Choose a file in an input."""
        root = self._order("DOM.getDocument")["root"]["nodeId"]
        node = self._order("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._order("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def drag(self, *way: tuple[float, float], shift: bool = False) -> None:
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
                button="left",
                buttons=int(kind != "mouseReleased"),
                clickCount=1,
                modifiers=_SHIFT * shift,
            )

    def _order(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            order["sessionId"] = self._session
        self._orders.write(json.dumps(order).encode() + b"\0")
        while (message := self._next()).get("id") != self._number:
            said = message.get("params", {})
            logged = message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")
            if logged and said.get("entry", {}).get("source") != "network":
                self.complaints.append(said)
        assert "error" not in message, message
        result: dict[str, Any] = message["result"]
        return result

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
