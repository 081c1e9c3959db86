"""From the samples of a raster's bands to the RGB of 8 bits that the models take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from gateway.errors import BandsUnsuitable

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.windows import Window

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

# A file is looked at in so many places each way, so that a scene's percentiles cost a glance and not a pass over it.
_PLACES, _PLACE_SIDE = 12, 96
_PERCENTILES = (2, 98)
_OPAQUE = 128

_WANTED = "three bands are needed that are red, green and blue, or a single grey one"


@dataclass(frozen=True)
class Samples:
    """How samples of a file become RGB.

    Attributes:
        bands: numbers of the red, green and blue band, from 1; of the one grey band alone.
        low: per band, the sample that becomes 0; None: samples are 8 bits already.
        high: per band, the sample that becomes 255.
    """

    bands: tuple[int, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None

    def read(self, dataset: DatasetReader, window: Window) -> tuple[UInt8, Bool]:
        """Return a window of the file, or of one warped from it: uint8 (h, w, 3), RGB, and bool (h, w): observed."""
        planes = dataset.read(self.bands, window=window)
        observed: Bool = (dataset.read_masks(self.bands, window=window) >= _OPAQUE).any(axis=0)
        if planes.dtype.kind == "f":
            observed &= np.isfinite(planes).all(axis=0)
        colours = [self._reduced(plane, number) for number, plane in enumerate(planes)]
        pixels = np.asarray(cv2.merge(colours if len(colours) == 3 else colours * 3), np.uint8)
        pixels[~observed] = 0
        return pixels, observed

    def _reduced(self, plane: npt.NDArray[Any], number: int) -> UInt8:
        if self.low is None or self.high is None:
            return np.asarray(plane, np.uint8)
        low, high = self.low[number], self.high[number]
        scaled = np.nan_to_num((plane.astype(np.float32) - low) * (255 / (high - low)))
        return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def choose_samples(dataset: DatasetReader) -> tuple[Samples, tuple[str, ...]]:
    """Return how a file is read, the same everywhere in it, and what the caller should know of that.

    Samples that are not 8 bits are stretched band by band, from the 2nd to the 98th percentile of places all over it.

    Raises:
        BandsUnsuitable: it is not said which bands are red, green and blue, or they are of a type that is no brightness.
    """
    bands, notices = _colours(dataset)
    types = {dataset.dtypes[band - 1] for band in bands}
    if types == {"uint8"}:
        return Samples(bands), notices
    if any(np.dtype(name).kind not in "iuf" for name in types):
        raise BandsUnsuitable(f"The bands hold complex numbers; {_WANTED}.")
    low, high = _ends(dataset, bands)
    stretched = f"{'/'.join(sorted(types))} samples stretched to 8 bits, 2nd to 98th percentile of each band"
    return Samples(bands, low, high), (*notices, stretched)


def _colours(dataset: DatasetReader) -> tuple[tuple[int, ...], tuple[str, ...]]:
    names = [colour.name for colour in dataset.colorinterp]
    named = [[number for number, name in enumerate(names, 1) if name == colour] for colour in ("red", "green", "blue")]
    if all(len(numbers) == 1 for numbers in named):
        bands = tuple(numbers[0] for numbers in named)
    elif "palette" in names:
        raise BandsUnsuitable(f"The image has a palette, as maps have; {_WANTED}.")
    elif {"cyan", "magenta", "yellow", "hue", "saturation", "lightness"}.intersection(names):
        raise BandsUnsuitable(f"The image is of a colour model other than RGB; {_WANTED}.")
    else:
        others = [number for number, name in enumerate(names, 1) if name != "alpha"]
        if len(others) == 1:
            return (others[0],), ("the one grey band is taken as red, green and blue",)
        if len(others) not in (3, 4):
            raise BandsUnsuitable(
                f"The image has {len(others)} bands and does not name those that are red, green and blue; {_WANTED}."
            )
        bands = (others[0], others[1], others[2])
        return bands, (
            f"bands {bands[0]}, {bands[1]} and {bands[2]} are taken as red, green and blue",
            *_unused(names, bands),
        )
    return bands, _unused(names, bands)


def _unused(names: list[str], bands: tuple[int, ...]) -> tuple[str, ...]:
    count = sum(number not in bands and name != "alpha" for number, name in enumerate(names, 1))
    return (f"{count} more band{'s' * (count > 1)} not used",) if count else ()


def _ends(dataset: DatasetReader, bands: tuple[int, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the low and the high percentile of each band over windows spread evenly."""
    from rasterio.windows import Window

    seen: list[list[npt.NDArray[Any]]] = [[] for _ in bands]
    for top in _starts(dataset.height):
        for left in _starts(dataset.width):
            window = Window(left, top, min(_PLACE_SIDE, dataset.width), min(_PLACE_SIDE, dataset.height))
            observed = (dataset.read_masks(bands, window=window) >= _OPAQUE).any(axis=0)
            for values, plane in zip(seen, dataset.read(bands, window=window), strict=True):
                inside = plane[observed]
                values.append(inside[np.isfinite(inside)])
    ends = []
    for values in seen:
        together = np.concatenate(values)
        low, high = np.percentile(together, _PERCENTILES).tolist() if together.size else (0.0, 1.0)
        ends.append((low, high if high > low else low + 1.0))
    lows, highs = zip(*ends, strict=True)
    return lows, highs


def _starts(length: int) -> list[int]:
    last = max(0, length - _PLACE_SIDE)
    return sorted(set(np.linspace(0, last, _PLACES).astype(int).tolist()))
