"""The console in a browser, as a person at it acts and sees."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tests.support.browser import Page

DESK, PHONE = (1440, 900), (390, 844)


class Console:
    """One tab of a browser with the console of a gateway.

    Args:
        page: of the browser.
        address: of the gateway.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address

    def open(self, view: str = "", *, phone: bool = False, scheme: Literal["light", "dark"] = "light") -> None:
        """Load the console anew and show a view, at the size of a desk or of a phone."""
        self.page.size(*(PHONE if phone else DESK), phone=phone)
        self.page.scheme(scheme)
        self.page.network()
        # Of two addresses that differ behind the hash alone, the second loads nothing.
        self.page.open(f"{self.address}/healthz")
        self.page.open(f"{self.address}/console/#/{view}")
        self.page.until("document.querySelector('main').childElementCount > 0")

    def state(self, view: str) -> Any:
        """Return what the console keeps of a view, without what is no data."""
        kept = f"JSON.stringify(maskgate.state()[{json.dumps(view)}], (key, value) => key === 'picture' ? null : value)"
        return json.loads(self.page.evaluate(kept))

    def text(self, selector: str) -> str:
        """Return what the elements of a selector say."""
        said: str = self.page.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(one => one.textContent).join('\\n')"
        )
        return said

    def has(self, text: str, selector: str = "main") -> None:
        """Wait until an element says something."""
        self.page.until(f"!!document.querySelector({json.dumps(selector)})?.innerText.includes({json.dumps(text)})")

    def press(self, label: str, selector: str = "button") -> None:
        """Press the button of a label, once it can be pressed."""
        found = (
            f"[...document.querySelectorAll({json.dumps(selector)})].find(one => !one.disabled && one.offsetParent && "
            f"(one.textContent.trim() === {json.dumps(label)} || one.ariaLabel === {json.dumps(label)}))"
        )
        self.page.until(f"!!{found}")
        self.page.evaluate(f"{found}.click()")

    def choose(self, part: str, path: Path) -> None:
        """Choose the file of a part."""
        self.page.choose(f'main input[type=file][name="{part}"]', path)

    def places(self, *points: tuple[float, float]) -> list[tuple[float, float]]:
        """Return where the middles of pixels of the image are in the window."""
        told = self.page.evaluate(
            "(canvas => [...canvas.dataset.view.split(' ').map(Number), canvas.getBoundingClientRect().left, "
            "canvas.getBoundingClientRect().top])(document.querySelector('.stage canvas'))"
        )
        scale, left, top, x0, y0 = told
        return [(x0 + left + (x + 0.5) * scale, y0 + top + (y + 0.5) * scale) for x, y in points]

    def drag(self, *way: tuple[float, float], **keys: Any) -> None:
        """Drag over the canvas, from pixel to pixel of the image; one is a click."""
        self.page.drag(*self.places(*way), **keys)

    def saved(self, name: str) -> bytes:
        """Return a file once it is saved, and forget it."""
        path, deadline = self.page.downloads / name, time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < deadline, [one.name for one in self.page.downloads.iterdir()]
            self.page.evaluate("0")
            time.sleep(0.05)
        data = path.read_bytes()
        path.unlink()
        return data

    def seen(self, selector: str) -> Sequence[float]:
        """Return left, top, right and bottom of an element in the window."""
        box: Sequence[float] = self.page.evaluate(
            "(({ left, top, right, bottom }) => [left, top, right, bottom])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        return box
