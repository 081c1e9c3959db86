"""From the samples of a raster's bands to the RGB of 8 bits that the models take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from gateway.media.geo.bands import Bands
from gateway.media.geo.black_border import Collar
from gateway.media.geo.glance import places
from gateway.media.geo.validity import Validity

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.windows import Window

UInt8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

_PERCENTILES = (2, 98)


@dataclass(frozen=True)
class Samples:
    """How samples of a file become RGB.

    Attributes:
        bands: which they are, and what they mean.
        validity: where they show something.
        low: per band, the sample that becomes 0; None: samples are 8 bits already.
        high: per band, the sample that becomes 255.
    """

    bands: Bands
    validity: Validity
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None

    def read(self, dataset: DatasetReader, window: Window) -> tuple[UInt8, Bool]:
        """Return a window of the file: uint8 (h, w, 3), RGB, black where nothing is shown, and where something is."""
        samples = self.raw(dataset, window)
        observed = self.validity.observed(dataset, self.bands.numbers, np.moveaxis(samples, 2, 0), window)
        pixels = self.coloured(samples)
        if not observed.all():
            pixels[~observed] = 0
        return pixels, observed

    def raw(self, dataset: DatasetReader, window: Window) -> npt.NDArray[Any]:
        """Return the samples of a window, (h, w, bands)."""
        numbers = self.bands.numbers
        shape = int(window.height), int(window.width), len(numbers)
        samples = np.empty(shape, np.result_type(*(dataset.dtypes[band - 1] for band in numbers)))
        # Written as pixels, as most files have them, and not as planes that would be merged again.
        dataset.read(numbers, window=window, out=np.moveaxis(samples, 2, 0))
        return samples

    def coloured(self, samples: npt.NDArray[Any]) -> UInt8:
        """Return samples, (h, w, bands), as RGB, uint8 (h, w, 3); they may be returned themselves."""
        match self.bands.colours:
            case "palette" if self.bands.table is not None:
                return np.asarray(self.bands.table[samples[..., 0]], np.uint8)
            case "rgb" if self.low is None and samples.dtype == np.uint8:
                return np.asarray(samples, np.uint8)
        reduced = [self._reduced(samples[..., number], number) for number in range(samples.shape[2])]
        if self.bands.colours == "white is zero":
            reduced = [255 - plane for plane in reduced]
        return np.asarray(cv2.merge(reduced if len(reduced) == 3 else reduced * 3), np.uint8)

    def _reduced(self, plane: npt.NDArray[Any], number: int) -> UInt8:
        if self.low is None or self.high is None:
            return np.ascontiguousarray(plane, np.uint8)
        low, high = self.low[number], self.high[number]
        # Single precision has no room for what tells large samples apart.
        small = plane.dtype.itemsize <= 2 or plane.dtype == np.float32
        exact: npt.NDArray[Any] = plane.astype(np.float32 if small else np.float64)
        # Fill values of floats are as far as numbers go.
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.nan_to_num((exact - low) * (255 / (high - low)))
        reduced: UInt8 = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
        return reduced


def choose_samples(
    dataset: DatasetReader, bands: Bands, validity: Validity, collar: Collar | None
) -> tuple[Samples, tuple[str, ...]]:
    """Return how the samples of `bands` become RGB, the same everywhere, and what the caller should know of that.

    Samples that are not 8 bits are stretched band by band, from the 2nd to the 98th percentile of what was observed in
    places all over the image; those of fewer bits from end to end.
    """
    types = {dataset.dtypes[band - 1] for band in bands.numbers}
    if bands.colours == "palette":
        return Samples(bands, validity), ()
    if bands.bits:
        ends = (0.0,) * len(bands.numbers), (float((1 << bands.bits) - 1),) * len(bands.numbers)
        return Samples(bands, validity, *ends), ()
    if types == {"uint8"}:
        return Samples(bands, validity), ()
    low, high = _ends(dataset, bands, validity, collar)
    kind = "/".join(sorted(types))
    said = f"{kind} samples are stretched to 8 bits, 2nd to 98th percentile of each band"
    return Samples(bands, validity, low, high), (said,)


def _ends(
    dataset: DatasetReader, bands: Bands, validity: Validity, collar: Collar | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the low and the high percentile of each band over windows spread evenly."""
    from rasterio.windows import Window

    seen: list[list[npt.NDArray[Any]]] = [[] for _ in bands.numbers]
    for rows, columns in places(dataset):
        window = Window.from_slices(rows, columns)
        planes = dataset.read(bands.numbers, window=window)
        observed = validity.observed(dataset, bands.numbers, planes, window)
        if collar is not None:
            observed &= collar.inside_by(planes, rows, columns)
        for values, plane in zip(seen, planes, strict=True):
            values.append(plane[observed])
    ends = [_percentiles(np.concatenate(values)) for values in seen]
    return tuple(low for low, _ in ends), tuple(high for _, high in ends)


def _percentiles(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return both ends of the stretch, which differ even where the values do not."""
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, _PERCENTILES).tolist()
    return low, high if high > low else low + 1.0
