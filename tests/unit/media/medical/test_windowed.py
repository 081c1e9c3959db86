from __future__ import annotations

import numpy as np
import pytest

from gateway.errors import ColourUnsuitable
from gateway.media.medical.windowed import WindowedSlice, windowed_slice
from gateway.media.pictures.images import ImageLimits, decode, probe
from gateway.vision.windowing import LUNG, Window
from tests.support import pictures

LIMITS = ImageLimits(max_pixels=1 << 24, max_side=4096, min_side=16)


def taken(data: bytes, window: Window = LUNG) -> WindowedSlice:
    return windowed_slice(decode(data, probe(data, LIMITS)), window)


@pytest.mark.parametrize("window", [LUNG, Window(-1000, 400)], ids=["lung", "other"])
def test_grey_values_come_back_out_of_the_window(window: Window) -> None:
    grey = np.arange(64 * 80, dtype=np.uint32).reshape(64, 80).astype(np.uint8)
    volume = taken(pictures.encode(grey), window)
    (only,) = volume.slices()
    assert (np.rint((only.pixels - window.low) / (window.high - window.low) * 255) == grey).all()
    assert volume.shape == (1, 64, 80)
    assert volume.spacing is None
    assert f"taken as windowed from {window.low:.0f} to {window.high:.0f} HU" in volume.notices[-1]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_colour_photograph_is_no_slice(kind: str) -> None:
    with pytest.raises(ColourUnsuitable):
        taken(pictures.encode(pictures.noise(64, 64), kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_grey_in_three_channels_with_an_arrow_in_red_is_one(kind: str) -> None:
    picture = np.repeat(pictures.noise(100, 100)[..., :1], 3, axis=2)
    picture[10:12, 10:30] = (255, 0, 0)
    assert taken(pictures.encode(picture, kind)).shape == (1, 100, 100)
