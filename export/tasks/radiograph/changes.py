"""Random changes of radiographs, so that a network cannot tell a film's class by where the film comes from.

In the data at hand every COVID-19 film is from publications and every normal one from one hospital's archive: sides,
borders, letters, grey levels and sharpness all betray the class. Each is drawn here at random, alike for both classes.
Films are uint8 (S, S), grey; every function takes its randomness from the generator given.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Grey = NDArray[np.uint8]

_LETTERS = ("L", "R", "AP", "PA", "SUPINE", "PORTABLE", "ERECT", "A", "B", "1", "12:40", "Day 3", "->")
_EQUALISED, _CLAHE, _AS_ANOTHER, _STRETCHED = 0.12, 0.32, 0.6, 0.75


def jitter(rng: Generator, film: Grey, size: int) -> Grey:
    """Return the film as (size, size), slightly moved, turned, scaled and lit: what papers call jitter."""
    warp = _warp(rng, film.shape, size, margins=rng.normal(0, 0.02, 4), turn=rng.normal(0, 3))
    moved = cv2.warpAffine(film, warp, (size, size), flags=_SAMPLED, borderMode=cv2.BORDER_REPLICATE)
    levels = np.arange(256.0) * math.exp(rng.normal(0, 0.08)) + rng.normal(0, 6)
    return _through(np.asarray(moved, np.uint8), levels)


def reframe(rng: Generator, film: Grey, size: int) -> Grey:
    """Return the film as (size, size): cropped or bordered anew, at other proportions, turned, perhaps mirrored."""
    margins = rng.uniform(0, 0.17, 4) * (rng.random(4) < 0.7)
    if rng.random() < 0.3:
        margins -= rng.uniform(0.02, 0.16, 4) * (rng.random(4) < 0.5)
    warp = _warp(rng, film.shape, size, margins, turn=rng.normal(0, 5))
    if rng.random() < 0.5:
        warp[:, 2] += warp[:, 0] * (size - 1)
        warp[:, 0] *= -1
    border, value = (cv2.BORDER_CONSTANT, _tone(rng)) if rng.random() < 0.7 else (cv2.BORDER_REPLICATE, 0)
    framed = cv2.warpAffine(film, warp, (size, size), flags=_SAMPLED, borderMode=border, borderValue=value)
    return np.asarray(framed, np.uint8)


def relight(rng: Generator, film: Grey, other: Grey) -> Grey:
    """Return the film with other grey levels, perhaps those of `other`: monotone, so that bright stays bright."""
    chosen = rng.random()
    if chosen < _EQUALISED:
        film = _blended(film, np.asarray(cv2.equalizeHist(film), np.uint8), rng.uniform(0.4, 1))
    elif chosen < _CLAHE:
        tiles = int(rng.integers(3, 10))
        local = cv2.createCLAHE(clipLimit=rng.uniform(1, 4), tileGridSize=(tiles, tiles)).apply(film)
        film = _blended(film, np.asarray(local, np.uint8), rng.uniform(0.5, 1))
    elif chosen < _AS_ANOTHER:
        film = _blended(film, matched(film, other), rng.uniform(0.5, 1))
    elif chosen < _STRETCHED:
        film = stretched(film)
    gamma, gain = math.exp(rng.normal(0, 0.25)), math.exp(rng.normal(0, 0.12))
    levels = 255 * (np.linspace(0, 1, 256) ** gamma - 0.5) * gain + 127.5 + rng.normal(0, 12)
    return _through(film, levels)


def letter(rng: Generator, film: Grey) -> Grey:
    """Return the film with what archives and authors write on it: side markers, captions, arrows, plates."""
    film = film.copy()
    size = film.shape[0]
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.6 else 0):
        x, y = _near_edge(rng, size)
        tone = int(rng.choice((0, 255, 255, int(rng.integers(120, 256)))))
        if rng.random() < 0.25:
            corner = (x + int(rng.integers(8, 50)), y + int(rng.integers(6, 24)))
            cv2.rectangle(film, (x, y), corner, tone, thickness=-1 if rng.random() < 0.7 else 1)
        text = str(rng.choice(_LETTERS))
        cv2.putText(
            film,
            text,
            (x, y + 10),
            cv2.FONT_HERSHEY_SIMPLEX,
            rng.uniform(0.25, 0.9),
            255 - tone if rng.random() < 0.2 else tone,
            int(rng.integers(1, 3)),
            cv2.LINE_AA,
        )
    if rng.random() < 0.12:
        start, length = rng.integers(20, size - 20, 2), rng.integers(-25, 26, 2)
        cv2.arrowedLine(film, tuple(map(int, start)), tuple(map(int, start + length)), _tone(rng), 1, cv2.LINE_AA)
    return film


def erase(rng: Generator, film: Grey) -> Grey:
    """Return the film without a few rectangles, most of them at its edges and corners."""
    film = film.copy()
    size = film.shape[0]
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.5 else 0):
        x, y = _near_edge(rng, size) if rng.random() < 0.75 else map(int, rng.integers(0, size, 2))
        height, width = rng.integers(size // 16, size // 4, 2)
        film[y : y + height, x : x + width] = _tone(rng)
    return film


def degrade(rng: Generator, film: Grey) -> Grey:
    """Return the film as another detector or archive would give it: fewer pixels, blur, noise, JPEG blocks."""
    size = film.shape[0]
    if rng.random() < 0.5:
        few = int(size * rng.uniform(0.35, 0.95))
        small = cv2.resize(film, (few, few), interpolation=int(rng.choice((cv2.INTER_AREA, cv2.INTER_LINEAR))))
        film = np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < 0.5:
        blurred = cv2.GaussianBlur(film, (0, 0), rng.uniform(0.4, 1.4))
        # Below 0 it sharpens, as scanners and authors do.
        film = _blended(film, np.asarray(blurred, np.uint8), rng.uniform(-1, 1))
    if rng.random() < 0.5:
        noise = rng.standard_normal(film.shape, dtype=np.float32) * rng.uniform(1, 10)
        film = np.clip(film + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 92))]
        film = np.asarray(cv2.imdecode(cv2.imencode(".jpg", film, quality)[1], cv2.IMREAD_GRAYSCALE), np.uint8)
    return film


def stretched(film: Grey) -> Grey:
    """Return the film with its first percentile at 0 and its last at 255."""
    low, high = np.percentile(film, (1, 99))
    return _through(film, (np.arange(256) - low) * 255 / max(1.0, high - low))


def matched(film: Grey, other: Grey) -> Grey:
    """Return the film with the grey levels of `other`: as many pixels at most as bright, at every level."""
    ranks, others = (np.cumsum(np.bincount(each.ravel(), minlength=256)) / each.size for each in (film, other))
    return _through(film, np.interp(ranks, others, np.arange(256)))


_SAMPLED = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def _warp(
    rng: Generator, shape: tuple[int, ...], size: int, margins: NDArray[np.float64], turn: float
) -> NDArray[np.float64]:
    """Return the 2x3 affine from a (size, size) sample to a film.

    The sample shows the film without its `margins`, shares of its sides (left, top, right, bottom) that are negative
    where a border is added, turned by so many degrees.
    """
    height, width = shape
    left, top, right, bottom = margins * (width, height, width, height)
    stretch = np.diag([(width - left - right) / size, (height - top - bottom) / size])
    angle = math.radians(turn)
    cosine, sine = math.cos(angle), math.sin(angle)
    linear = stretch @ np.array([[cosine, -sine], [sine, cosine]])
    middle = np.array([(left + width - right - 1) / 2, (top + height - bottom - 1) / 2])
    offset = middle - linear @ np.full(2, (size - 1) / 2)
    return np.column_stack([linear, offset])


def _through(film: Grey, levels: NDArray[np.floating]) -> Grey:
    return np.asarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8)[film])


def _blended(film: Grey, changed: Grey, share: float) -> Grey:
    return np.asarray(cv2.addWeighted(changed, share, film, 1 - share, 0), np.uint8)


def _tone(rng: Generator) -> int:
    return int(rng.choice((0, 0, 255, int(rng.integers(0, 256)))))


def _near_edge(rng: Generator, size: int) -> tuple[int, int]:
    """Return the (x, y) of a corner of something drawn along one of the four edges."""
    along, depth = int(rng.integers(0, size - 10)), int(rng.integers(0, size // 8))
    places: tuple[Callable[[], tuple[int, int]], ...] = (
        lambda: (along, depth),
        lambda: (depth, along),
        lambda: (along, size - 10 - depth),
        lambda: (size - 10 - depth, along),
    )
    return places[int(rng.integers(4))]()
