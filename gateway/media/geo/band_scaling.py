"""From the samples of a raster's bands to the RGB of 8 bits that the models take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from gateway.errors import BandsUnsuitable
from gateway.media.geo.black_border import Collar

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
        shape = int(window.height), int(window.width), len(self.bands)
        samples = np.empty(shape, np.result_type(*(dataset.dtypes[band - 1] for band in self.bands)))
        # Written as pixels, as most files have them, and not as planes that would be merged again.
        planes = dataset.read(self.bands, window=window, out=np.moveaxis(samples, 2, 0))
        observed = observed_in(dataset, self.bands, window)
        if planes.dtype.kind == "f":
            observed &= np.isfinite(planes).all(axis=0)
        pixels = samples if self._are_rgb(samples) else self._merged(planes)
        if not observed.all():
            pixels[~observed] = 0
        return pixels, observed

    def _are_rgb(self, samples: npt.NDArray[Any]) -> bool:
        return self.low is None and samples.dtype == np.uint8 and samples.shape[2] == 3

    def _merged(self, planes: npt.NDArray[Any]) -> UInt8:
        colours = [self._reduced(plane, number) for number, plane in enumerate(planes)]
        return np.asarray(cv2.merge(colours if len(colours) == 3 else colours * 3), np.uint8)

    def _reduced(self, plane: npt.NDArray[Any], number: int) -> UInt8:
        if self.low is None or self.high is None:
            return plane.astype(np.uint8, copy=False)
        low, high = self.low[number], self.high[number]
        scaled = np.nan_to_num((plane.astype(np.float32) - low) * (255 / (high - low)))
        reduced: UInt8 = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
        return reduced


def choose_bands(dataset: DatasetReader) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the numbers of the red, green and blue band, or that of the grey one, and what the caller should know.

    Raises:
        BandsUnsuitable: it is not said which bands are red, green and blue, or they hold complex numbers.
    """
    names = [colour.name for colour in dataset.colorinterp]
    named = [[number for number, name in enumerate(names, 1) if name == colour] for colour in ("red", "green", "blue")]
    colours = [number for number, name in enumerate(names, 1) if name != "alpha"]
    notices: tuple[str, ...] = ()
    if all(len(numbers) == 1 for numbers in named):
        bands = tuple(numbers[0] for numbers in named)
    elif len(colours) == 1:
        bands, notices = (colours[0],), ("the one grey band is taken as red, green and blue",)
    elif len(colours) in (3, 4):
        bands = tuple(colours[:3])
        notices = (f"bands {bands[0]}, {bands[1]} and {bands[2]} are taken as red, green and blue",)
    else:
        raise BandsUnsuitable(f"The image has {len(colours)} bands and does not say which are colours; {_WANTED}.")
    if any(np.dtype(dataset.dtypes[band - 1]).kind not in "iuf" for band in bands):
        raise BandsUnsuitable(f"The bands hold complex numbers; {_WANTED}.")
    unused = len(colours) - len(bands)
    return bands, (*notices, *([f"{unused} more bands are not used"] if unused else []))


def choose_samples(
    dataset: DatasetReader, bands: tuple[int, ...], collar: Collar | None
) -> tuple[Samples, tuple[str, ...]]:
    """Return how the samples of `bands` become RGB, the same everywhere, and what the caller should know of that.

    Samples that are not 8 bits are stretched band by band, from the 2nd to the 98th percentile of what was observed in
    places all over the image.
    """
    types = {dataset.dtypes[band - 1] for band in bands}
    if types == {"uint8"}:
        return Samples(bands), ()
    low, high = _ends(dataset, bands, collar)
    kind = "/".join(sorted(types))
    return Samples(bands, low, high), (f"{kind} samples are stretched to 8 bits, 2nd to 98th percentile of each band",)


def _ends(
    dataset: DatasetReader, bands: tuple[int, ...], collar: Collar | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the low and the high percentile of each band over windows spread evenly."""
    from rasterio.windows import Window

    seen: list[list[npt.NDArray[Any]]] = [[] for _ in bands]
    for y in _starts(dataset.height):
        for x in _starts(dataset.width):
            rows = slice(y, min(y + _PLACE_SIDE, dataset.height))
            columns = slice(x, min(x + _PLACE_SIDE, dataset.width))
            window = Window.from_slices(rows, columns)
            observed = observed_in(dataset, bands, window)
            if collar is not None:
                observed &= collar.inside(rows, columns)
            for values, plane in zip(seen, dataset.read(bands, window=window), strict=True):
                inside = plane[observed]
                values.append(inside[np.isfinite(inside)])
    ends = [_percentiles(np.concatenate(values)) for values in seen]
    return tuple(low for low, _ in ends), tuple(high for _, high in ends)


def _percentiles(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return both ends of the stretch, which differ even where the values do not."""
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, _PERCENTILES).tolist()
    return low, high if high > low else low + 1.0


def observed_in(dataset: DatasetReader, bands: tuple[int, ...], window: Window) -> Bool:
    """Return where a window has something by its mask, alpha or nodata value, which counts where all bands have it."""
    from rasterio.enums import MaskFlags

    if all(dataset.mask_flag_enums[band - 1] == [MaskFlags.all_valid] for band in bands):
        # To read masks that say nothing takes a third of the time that the image does.
        observed = np.ones((int(window.height), int(window.width)), np.bool_)
    else:
        observed = (dataset.read_masks(bands, window=window) >= _OPAQUE).any(axis=0)
    # GDAL takes alpha for a mask in 8 and 16 bits only, and warps it in any type, to whatever stands for opaque there.
    for number, colour in enumerate(dataset.colorinterp, 1):
        if colour.name == "alpha":
            alpha = dataset.read(number, window=window)
            observed &= alpha >= _OPAQUE if alpha.dtype == np.uint8 else alpha > 0
    return observed


def _starts(length: int) -> list[int]:
    """Return where places begin, spread evenly; side by side where they would overlap and count the middle twice."""
    if length <= _PLACES * _PLACE_SIDE:
        return list(range(0, length, _PLACE_SIDE))
    starts: list[int] = np.linspace(0, length - _PLACE_SIDE, _PLACES).astype(int).tolist()
    return starts
