"""Where a raster shows the ground, by what the file declares, the caller says, or a glance at the samples tells.

What is declared is believed: a mask, an alpha band, a nodata value. There are two exceptions. An alpha band whose
samples are a picture (near infrared that a writer flagged so) is none; and what the caller gives as nodata replaces the
file's. Where nothing is declared, a fill value is recognised by lying apart from all other samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gateway.media.geo.glance import places
from gateway.media.pictures.transparency import opaque_level

if TYPE_CHECKING:
    from rasterio.io import DatasetReader
    from rasterio.windows import Window

Bool = npt.NDArray[np.bool_]

# What is a fill value takes up so much of the places looked at.
_FILL_SHARE = 0.001


@dataclass(frozen=True)
class Validity:
    """What says where a raster shows something.

    Attributes:
        masked: whether GDAL's masks do: of the file's own mask, or its nodata value.
        alpha: number of the band that does; None: none.
        opaque: its sample from which on something is shown.
        fills: samples that all bands have where nothing is shown; NaN counts wherever a band has it.
        declared: whether the file or the caller says it, and nothing is to be guessed.
        notices: what the caller should know.
    """

    masked: bool = False
    alpha: int | None = None
    opaque: float = 0.0
    fills: tuple[float, ...] = ()
    declared: bool = False
    notices: tuple[str, ...] = field(default=())

    @property
    def everywhere(self) -> bool:
        """Whether nothing is said but of samples that are no numbers."""
        return not (self.masked or self.fills or self.alpha is not None)

    def observed(
        self, dataset: DatasetReader, bands: tuple[int, ...], planes: npt.NDArray[Any], window: Window
    ) -> Bool:
        """Return where a window of the file shows something, bool (rows, columns).

        Args:
            dataset: the file.
            bands: those that are looked at. A pixel shows something where one of them does.
            planes: their samples in `window`, (bands, rows, columns).
            window: which part of the file.
        """
        if self.masked:
            # Masks of one bit per band are of 0 and 1.
            seen = (dataset.read_masks(bands, window=window) > 0).any(axis=0)
        else:
            # To read masks that say nothing takes a third of the time that the image does.
            seen = np.ones(planes.shape[1:], np.bool_)
        if self.alpha is not None:
            seen &= dataset.read(self.alpha, window=window) >= self.opaque
        for fill in self.fills:
            seen &= ~_filled(planes, fill)
        if planes.dtype.kind == "f":
            seen &= np.isfinite(planes).all(axis=0)
        return np.asarray(seen, np.bool_)


def declared_validity(dataset: DatasetReader, nodata: float | None) -> Validity:
    """Return what the file declares, and the caller.

    Args:
        dataset: the image.
        nodata: what the caller says that samples of nothing are; None: nothing.
    """
    from rasterio.enums import MaskFlags

    flags = {flag for band in dataset.mask_flag_enums for flag in band}
    # One for all bands, or no flag at all: one of its own per band.
    own_mask = any(
        not band or (MaskFlags.per_dataset in band and MaskFlags.alpha not in band) for band in dataset.mask_flag_enums
    )
    alphas = [number for number, colour in enumerate(dataset.colorinterp, 1) if colour.name == "alpha"]
    alpha, opaque = None, 0.0
    notices: tuple[str, ...] = ()
    if alphas and dataset.count > 1:
        level = _opaque(dataset, alphas[0])
        if level is None:
            notices = (f"band {alphas[0]} is declared alpha and holds a picture; it hides nothing",)
        else:
            alpha, opaque = alphas[0], level
    masked = own_mask or (MaskFlags.nodata in flags and nodata is None)
    fills = () if nodata is None or np.isnan(nodata) else (nodata,)
    return Validity(masked, alpha, opaque, fills, masked or alpha is not None or nodata is not None, notices)


def guessed_fills(dataset: DatasetReader, bands: tuple[int, ...]) -> tuple[float, ...]:
    """Return samples that stand for nothing in a file that declares nothing: all bands have them, apart from the rest.

    Zero is left to `black_border`, and 8 bits have no room for samples apart.
    """
    from rasterio.windows import Window

    if any(dataset.dtypes[band - 1] == "uint8" for band in bands):
        return ()
    seen = [dataset.read(bands, window=Window.from_slices(*place)).reshape(len(bands), -1) for place in places(dataset)]
    samples = np.concatenate(seen, axis=1)
    total = samples.shape[1]
    samples = samples[:, np.isfinite(samples).all(axis=0)]
    fills: list[float] = []
    for end in (np.min, np.max, np.min, np.max):
        if not samples.size:
            break
        value = end(samples)
        filled = (samples == value).all(axis=0)
        rest = samples[:, ~filled]
        if not rest.size or np.count_nonzero(filled) < _FILL_SHARE * total or value == 0:
            continue
        low, high = float(rest.min()), float(rest.max())
        if max(low - float(value), float(value) - high) > high - low:
            fills.append(float(value))
            samples = rest
    return tuple(fills)


def _opaque(dataset: DatasetReader, alpha: int) -> float | None:
    """Return from which sample on an alpha band shows something; None: its samples are a picture."""
    from rasterio.windows import Window

    samples = np.concatenate(
        [dataset.read(alpha, window=Window.from_slices(*place)).ravel() for place in places(dataset)]
    )
    return opaque_level(samples)


def _filled(planes: npt.NDArray[Any], fill: float) -> Bool:
    """Return where all bands are a fill value, as the type of the samples has it."""
    with np.errstate(over="ignore"):
        value = planes.dtype.type(fill) if planes.dtype.kind == "f" else fill
    return np.asarray((planes == value).all(axis=0), np.bool_)
