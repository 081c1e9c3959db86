from __future__ import annotations

import io

import numpy as np
from PIL import Image

from gateway.media.pictures.overlays import encode_heat_overlay
from tests.support.pictures import decode


def test_no_evidence_leaves_the_picture_as_it_is_and_much_of_it_makes_it_red() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (70, 90), np.uint8)
    evidence = np.zeros((70, 90), np.uint8)
    evidence[10:20, 30:50] = 255
    evidence[40:50, 30:50] = 90
    data = encode_heat_overlay(grey, evidence)
    picture = decode(data).astype(int)
    assert Image.open(io.BytesIO(data)).mode == "RGB"
    assert (picture[evidence == 0] == grey[evidence == 0][:, None]).all()
    strong, weak = picture[evidence == 255], picture[evidence == 90]
    assert (strong[:, 0] - strong[:, 2] > 100).all(), "the strongest evidence is red"
    assert np.abs(weak - grey[evidence == 90][:, None]).max() < np.abs(strong - grey[evidence == 255][:, None]).max()


def test_more_evidence_is_never_less_red() -> None:
    evidence = np.tile(np.arange(128, 256, dtype=np.uint8), (4, 1))
    picture = decode(encode_heat_overlay(np.full_like(evidence, 160), evidence)).astype(int)
    assert (np.diff(picture[0, :, 0] - picture[0, :, 1]) >= -2).all()


def test_the_picture_still_shows_beneath_the_strongest_evidence() -> None:
    grey = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    picture = decode(encode_heat_overlay(grey, np.full((4, 256), 255, np.uint8))).astype(int)
    assert (np.diff(picture[0].sum(axis=1)) >= 0).all()
    assert np.ptp(picture[0], axis=0).min() > 90
