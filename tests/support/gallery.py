"""Screenshots of the console for its README: each view with a drawn sample, at the size of a desk.

    python -m tests.support.gallery http://127.0.0.1:8080 clients/console/gallery

needs a gateway with the models of this tree, Chromium, and no image of anybody.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from maskgate_load.drawings import draw_radiograph, draw_waste
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from export.tasks.restore.clouds import drawn_over
from tests.support.browser import browser
from tests.support.console import Console
from tests.support.dicoms import ct, saved, zipped
from tests.support.geotiffs import write
from tests.support.pictures import encode
from tests.support.towns import SIZE, in_degrees, place, seen_on, town

UInt8 = NDArray[np.uint8]

MOST_BYTES = 150_000
_TALL, _SLICES = 256, 36

FRUITS = ((620, 260, 110, (232, 146, 32)), (690, 520, 90, (96, 150, 52)), (300, 330, 150, (196, 40, 36)))
_LESIONS = ((0.3, 0.2, -0.3, 0.2, -480), (0.52, 0.05, 0.1, 0.15, -560), (0.4, 0.3, 0.35, 0.12, -20))


def draw_table() -> UInt8:
    """Return a drawn photograph of three fruits on a table, uint8 (720, 960, 3), RGB."""
    board = np.full((720, 960, 3), (134, 98, 66), np.float32)
    board += (9 * np.sin(np.arange(720) / 9 + np.sin(np.arange(720) / 70)))[:, None, None]
    picture = Image.fromarray(np.clip(board, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for x, y, radius, colour in FRUITS:
        draw.ellipse((x - radius + 26, y - radius * 0.8 + 34, x + radius + 34, y + radius + 26), fill=(72, 50, 34))
        for step in range(24):
            share = step / 24
            tone = tuple(int(channel + (245 - channel) * 0.55 * share**2) for channel in colour)
            at = (x - radius * 0.35 * share, y - radius * 0.4 * share)
            size = radius * (1 - share)
            draw.ellipse((at[0] - size, at[1] - size, at[0] + size, at[1] + size), fill=tone)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(1.6)), np.uint8)


def draw_chest() -> list[NDArray[np.int16]]:
    """Return slices of a drawn chest, int16 (256, 256), Hounsfield units: lungs, spine, heart, lesions."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[-1 : 1 : _TALL * 1j, -1 : 1 : _TALL * 1j]
    slices = []
    for number in range(_SLICES):
        z = 2 * number / (_SLICES - 1) - 1
        units = np.full((_TALL, _TALL), -1000, np.float32)
        units[(x / 0.88) ** 2 + (y / 0.62) ** 2 < 1] = -90
        units[(x / 0.83) ** 2 + (y / 0.57) ** 2 < 1] = 45
        for side in (-1, 1):
            grown = np.sqrt(max(0.0, 1 - (z * 0.95) ** 2))
            lung = ((x - 0.4 * side) / (0.33 * grown + 1e-3)) ** 2 + (y / (0.46 * grown + 1e-3)) ** 2 < 1
            units[lung] = -840 + 25 * np.sin(9 * x[lung] + 5 * z) * np.cos(11 * y[lung])
            for far, high, deep, size, tone in _LESIONS:
                blob = (x - far * side) ** 2 + (y - high) ** 2 + (0.6 * (z - deep)) ** 2 < size**2
                if side > 0 or tone == -480:
                    units[lung & blob] = tone
        units[((x + 0.06) / 0.2) ** 2 + ((y + 0.12) / 0.22) ** 2 + z**2 < 1] = 60
        units[(x / 0.09) ** 2 + ((y - 0.42) / 0.1) ** 2 < 1] = 520
        smooth = cv2.GaussianBlur(units, (0, 0), 1)
        # Air is without noise: what a model makes of noise is no picture of what it is for.
        slices.append(np.asarray(smooth + rng.normal(0, 18, units.shape) * (smooth > -950), np.int16))
    return slices


def chest_series() -> bytes:
    """Return that chest as the zip of a DICOM series."""
    attributes: dict[str, Any] = {"SliceThickness": 5.0, "BodyPartExamined": "CHEST"}
    files = [
        saved(ct(units, position=(-179.0, -179.0, 5.0 * number), spacing=(1.4, 1.4), instance=number + 1, **attributes))
        for number, units in enumerate(draw_chest())
    ]
    return zipped((f"{number}.dcm", file) for number, file in enumerate(files))


def districts() -> bytes:
    """Return two districts of the drawn town as GeoJSON."""

    def feature(name: str, left: float, right: float) -> dict[str, Any]:
        ring = [(left, 0), (right, 0), (right, SIZE), (left, SIZE), (left, 0)]
        points = place().to_lon_lat(ring).tolist()
        return {
            "type": "Feature",
            "id": name.lower(),
            "properties": {"name": name},
            "geometry": {"type": "Polygon", "coordinates": [points]},
        }

    shown = [feature("West", 0, SIZE / 2), feature("East", SIZE / 2, SIZE)]
    return json.dumps({"type": "FeatureCollection", "features": shown}).encode()


def samples(folder: Path) -> dict[str, Path]:
    """Write every sample into a folder, and return them by name."""
    seen = town()
    drawn = {
        "pre.tif": write(seen.pre, place()),
        "post.tif": write(seen_on(seen.post, in_degrees()), in_degrees()),
        "districts.geojson": districts(),
        "table.png": encode(draw_table()),
        "series.zip": chest_series(),
        "radiograph.png": encode(cv2.GaussianBlur(draw_radiograph(5, 900, 1000), (0, 0), 2)),
        "waste.png": encode(draw_waste(4, 960, 640)),
        "pre.png": encode(seen.pre),
        "cloudy.png": encode(drawn_over(np.random.default_rng(7), seen.pre, "cumulus").image),
    }
    for name, data in drawn.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in drawn}


def _damage(console: Console, files: dict[str, Path]) -> None:
    for part, name in (("pre", "pre.tif"), ("post", "post.tif"), ("districts", "districts.geojson")):
        console.choose(part, files[name])
    console.page.until("maskgate.state().damage.shown")
    console.press("Assess")
    console.page.until("!!maskgate.state().damage.report")


def _interactive(console: Console, files: dict[str, Path]) -> None:
    console.page.until("document.querySelector('main select').options.length > 1")
    console.choose("image", files["table.png"])
    console.page.until("!!document.querySelector('.stage canvas').dataset.view")
    for number, (x, y, radius, _) in enumerate(FRUITS, start=1):
        console.drag((x - radius - 8, y - radius - 8), (x + radius + 8, y + radius + 8))
        console.page.until(f"(({{ steps, past }}) => !steps && past.length === {number})(maskgate.state().interactive)")
    console.drag((440, 440), button="right")
    console.page.until("maskgate.state().interactive.steps === 0")


def _ct(console: Console, files: dict[str, Path]) -> None:
    console.choose("image", files["series.zip"])
    console.page.until("!!maskgate.state().ct.volume")
    console.press("Find lesions")
    console.page.until("!!maskgate.state().ct.report")


def _radiograph(console: Console, files: dict[str, Path]) -> None:
    console.choose("image", files["radiograph.png"])
    console.press("Score")
    console.page.until("!!maskgate.state().radiograph.report")


def _one_image(task: str, sample: str) -> Callable[[Console, dict[str, Path]], None]:
    """Return what asks a task of one image about a sample."""

    def prepare(console: Console, files: dict[str, Path]) -> None:
        console.choose("image", files[sample])
        console.press("Run")
        console.page.until(f"!!maskgate.state().{task}.report")

    return prepare


def _service(console: Console, files: dict[str, Path]) -> None:
    until = time.monotonic() + 60
    with httpx.Client(base_url=console.address, timeout=60) as client:
        while time.monotonic() < until:
            client.post("/v1/waste", files={"image": files["waste.png"].read_bytes()})
            time.sleep(0.5 * (int(time.monotonic()) % 8))


def _nothing(console: Console, files: dict[str, Path]) -> None:
    console.page.until("!!document.querySelector('main').innerText.trim()")


VIEWS: dict[str, Callable[[Console, dict[str, Path]], None]] = {
    "damage": _damage,
    "interactive": _interactive,
    "ct": _ct,
    "radiograph": _radiograph,
    "land": _one_image("land", "pre.png"),
    "restore": _one_image("restore", "cloudy.png"),
    "waste": _one_image("waste", "waste.png"),
    "models/bd-lite0": _nothing,
    "service": _service,
}


def small_png(data: bytes) -> bytes:
    """Return a screenshot as the README shows it: two thirds of the size, and of so few colours as its weight asks."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture = picture.resize((960, 960 * picture.height // picture.width), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    picture.save(target, "PNG", optimize=True)
    for colours in (256, 192, 128, 96, 64):
        if target.tell() <= MOST_BYTES:
            break
        target = io.BytesIO()
        # It keeps colours that few pixels have, as those of a legend.
        picture.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            target, "PNG", optimize=True
        )
    return target.getvalue()


def main(address: str, folder: Path, *names: str) -> None:
    """Take the screenshots, or those named; as they are into `folder/whole` too, where that is there."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, browser(Path(scratch)) as page:
        files = samples(Path(scratch))
        for name, prepare in VIEWS.items():
            if names and name.split("/")[0] not in names:
                continue
            console = Console(page, address)
            console.open(name)
            prepare(console, files)
            time.sleep(1)
            seen = page.screenshot()
            (folder / f"{name.split('/')[0]}.png").write_bytes(small_png(seen))
            if (folder / "whole").is_dir():
                (folder / "whole" / f"{name.split('/')[0]}.png").write_bytes(seen)
        for complaint in page.complaints:
            print(complaint)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
