from __future__ import annotations

import io

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway.media.pictures import png as module
from gateway.media.pictures.overlays import encode_overlay
from gateway.media.pictures.png import encode_label_map

UInt8 = npt.NDArray[np.uint8]

PALETTE = np.array([(0, 0, 0), (0, 128, 0), (0, 0, 255), (255, 165, 0), (255, 0, 0)], np.uint8)


def values(height: int, width: int, classes: int, seed: int = 0) -> UInt8:
    return np.random.default_rng(seed).integers(0, classes, (height, width)).astype(np.uint8)


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@settings(deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 256), st.integers(0, 99))
def test_values_and_palette_come_back(height: int, width: int, classes: int, seed: int) -> None:
    label_map = values(height, width, classes, seed)
    palette = np.random.default_rng(seed).integers(0, 256, (classes, 3), dtype=np.uint8)
    data = encode_label_map(label_map, palette)
    image = opened(data)
    assert image.mode == "P"
    assert np.array_equal(np.asarray(image), label_map)
    assert np.array_equal(np.asarray(image.convert("RGB")), palette[label_map])
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.array_equal(np.asarray(decoded), palette[label_map])


@pytest.mark.parametrize(("classes", "bits"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 4), (16, 4), (17, 8), (256, 8)])
def test_no_more_bits_than_the_classes_need(classes: int, bits: int) -> None:
    data = encode_label_map(values(9, 9, classes), np.zeros((classes, 3), np.uint8))
    assert data[24] == bits


@pytest.mark.parametrize("band", [1, 130, 1 << 20])
def test_bands_do_not_show(monkeypatch: pytest.MonkeyPatch, band: int) -> None:
    label_map = cv2.resize(values(13, 11, 5), (55, 78), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    picture = np.random.default_rng(1).integers(0, 256, (78, 55, 3), dtype=np.uint8)
    whole = encode_overlay(picture, label_map, PALETTE)
    monkeypatch.setattr(module, "_BAND_PIXELS", band)
    assert np.array_equal(np.asarray(opened(encode_label_map(label_map, PALETTE))), label_map)
    assert np.array_equal(np.asarray(opened(encode_overlay(picture, label_map, PALETTE))), np.asarray(opened(whole)))


def test_what_compresses_badly_takes_several_chunks() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (600, 500, 3), dtype=np.uint8)
    data = encode_overlay(picture, np.zeros((600, 500), np.uint8), PALETTE)
    assert data.count(b"IDAT") > 1
    assert np.array_equal(np.asarray(opened(data)), picture)


def test_views_are_encoded_like_copies() -> None:
    tile = values(40, 50, 5)
    view = tile[3:30, 5:44]
    picture = np.zeros((27, 39, 3), np.uint8)
    assert encode_label_map(view, PALETTE) == encode_label_map(view.copy(), PALETTE)
    assert encode_overlay(picture, view, PALETTE) == encode_overlay(picture, view.copy(), PALETTE)


def test_label_map_compresses() -> None:
    label_map = np.zeros((1024, 1024), np.uint8)
    cv2.rectangle(label_map, (100, 200), (300, 260), 4, cv2.FILLED)
    assert len(encode_label_map(label_map, PALETTE)) < 4_000


def test_values_without_a_colour_are_a_defect() -> None:
    label_map = np.full((4, 4), 5, np.uint8)
    with pytest.raises(ValueError, match="no colour"):
        encode_label_map(label_map, PALETTE)
    with pytest.raises(ValueError, match="no colour"):
        encode_overlay(np.zeros((4, 4, 3), np.uint8), label_map, PALETTE)


def test_overlay_tints_inside_outlines_borders_and_leaves_the_rest() -> None:
    picture = np.full((60, 80, 3), 100, np.uint8)
    label_map = np.zeros((60, 80), np.uint8)
    label_map[20:40, 30:50] = 4
    image = opened(encode_overlay(picture, label_map, PALETTE, alpha=0.5))
    assert image.mode == "RGB"
    drawn = np.asarray(image)
    assert np.array_equal(drawn[label_map == 0], picture[label_map == 0])
    assert (drawn[21:39, 31:49] == (178, 50, 50)).all()
    assert (drawn[20, 30:50] == PALETTE[4]).all()
    assert (drawn[20:40, 49] == PALETTE[4]).all()
    assert (picture == 100).all(), "the image handed in stays as it was"


def test_overlay_outlines_where_classes_touch_but_not_the_image_border() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    label_map = np.ones((20, 20), np.uint8)
    label_map[:, 10:] = 3
    drawn = np.asarray(opened(encode_overlay(picture, label_map, PALETTE, alpha=0)))
    assert (drawn[:, 9] == PALETTE[1]).all()
    assert (drawn[:, 10] == PALETTE[3]).all()
    assert not drawn[:, :9].any()
    assert not drawn[:, 11:].any()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40))
def test_overlay_of_nothing_is_the_image(height: int, width: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    data = encode_overlay(picture, np.zeros((height, width), np.uint8), PALETTE)
    assert np.array_equal(np.asarray(opened(data)), picture)
