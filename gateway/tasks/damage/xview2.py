"""The pair of PNGs that the xView2 contest scores, in one zip: where buildings are, and how damaged."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from gateway.media.geo.cog import NOT_OBSERVED
from gateway.media.pictures.png import grey_png

UInt8 = npt.NDArray[np.uint8]

Split = Literal["test", "hold"]

# The parts of a zip carry this date, so that the same answer has the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)

_LOCALISATION, _DAMAGE = np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8)
_LOCALISATION[1:] = 1
_LOCALISATION[NOT_OBSERVED] = _DAMAGE[NOT_OBSERVED] = 0


def xview2_zip(
    width: int, height: int, bands: Callable[[], Iterable[UInt8]], split: Split = "test", number: int = 0
) -> bytes:
    """Return a zip of two grey PNGs of 8 bits: ``<split>_localization_<number>_prediction.png``, 0 and 1, and
    ``<split>_damage_<number>_prediction.png``, 0 to 4. What was not observed is 0 in both, as the contest has no other.

    Args:
        width: pixels across.
        height: pixels down.
        bands: gives the rows of the label map from top to bottom, uint8 (n, width), each time it is called.
        split: of the contest's data.
        number: of the pair in it, 0 to 99,999.
    """
    body = BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as archive:
        for kind, table in (("localization", _LOCALISATION), ("damage", _DAMAGE)):
            scanlines = (_scanlines(band, table) for band in bands())
            name = zipfile.ZipInfo(f"{split}_{kind}_{number:05d}_prediction.png", _DATE)
            archive.writestr(name, grey_png(width, height, scanlines))
    return body.getvalue()


def _scanlines(band: UInt8, table: UInt8) -> UInt8:
    scanlines = np.zeros((band.shape[0], band.shape[1] + 1), np.uint8)
    scanlines[:, 1:] = cv2.LUT(band, table)
    return scanlines
