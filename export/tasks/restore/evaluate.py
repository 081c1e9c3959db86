"""Models that take off clouds, asked by the gateway's pipeline, beside answers that need no model: PSNR and SSIM."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from export.evaluation.command import Report, of_split
from export.evaluation.engine import Bench
from export.evaluation.opened import Opened
from export.tasks.restore.clouds import Clouded
from export.tasks.restore.data import Ground, drawn, read_grounds
from gateway.engines.base import Model, choose
from gateway.inference.restoration import restore_image
from gateway.inference.segmenter import Segmenter
from gateway.repository.record import Figures

UInt8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Float64 = NDArray[np.float64]

LEAVE_IT = "leave it"
_FILTER = 5
_CHANGED = 16
"""Levels by which clouds change a pixel that counts as clouded."""

_KNOWN = 13
"""Of the cover, up to which ground counts as known: a twentieth."""

MOST_DECIBELS = 100.0
"""PSNR of equal images, which has no value."""

# Of SSIM.
_WINDOW, _SIGMA = 11, 1.5
_LUMINANCE, _CONTRAST = 0.01**2, 0.03**2


@dataclass(frozen=True)
class Restoration:
    """An image under clouds, what became of it, and what it should be, uint8 (H, W, 3); and where it is from."""

    source: str
    clouded: Clouded
    found: UInt8
    clear: UInt8


def leave_it(clouded: Clouded) -> UInt8:
    """Return the image as it is."""
    return clouded.image


def mean_filter(clouded: Clouded) -> UInt8:
    """Return the image, each pixel the mean of those around it."""
    return np.asarray(cv2.blur(clouded.image, (_FILTER, _FILTER)), np.uint8)


def mean_ground(clouded: Clouded) -> UInt8:
    """Return the image with the mean of the ground that is known in place of all that is not; it is told where."""
    known = clouded.cover <= _KNOWN
    mean = clouded.image[known if known.any() else ...].reshape(-1, 3).mean(axis=0)
    return np.where(known[..., None], clouded.image, np.rint(mean).astype(np.uint8))


TRIVIAL: Mapping[str, Callable[[Clouded], UInt8]] = {
    LEAVE_IT: leave_it,
    f"mean filter of {_FILTER} pixels": mean_filter,
    "mean of the known ground": mean_ground,
}
"""Answers without a model, by name."""


def evaluate(opened: Opened, data: Path, split: str) -> Report:
    """Return the figures of a model over the images of a split, and over the drawn scenes of that split.

    Raises:
        DataError: the folder is none that `read_grounds` takes.
        EvaluationError: the split is empty.
    """
    asked = [*of_split(read_grounds(data), split, data, "image"), *(each for each in drawn(0) if each.split == split)]
    name = opened.models[0].name
    scores = {answer: Scores() for answer in (name, *TRIVIAL)}
    with Bench(opened.served) as bench:
        model = choose(bench.engine, "restore", name)
        for restoration in restorations(bench, model, tqdm(asked, unit="image", leave=False)):
            scores[name].add(restoration)
            for trivial, answer in TRIVIAL.items():
                scores[trivial].add(replace(restoration, found=answer(restoration.clouded)))
        seconds = median(bench.seconds)
    others = {answer: score.means() for answer, score in scores.items()}
    found = others.pop(name)
    figures = Figures(split=split, images=len(asked), metrics=found, baseline_name=LEAVE_IT, baseline=others[LEAVE_IT])
    counted = ", ".join(f"{number} {source}" for source, number in Counter(each.source for each in asked).items())
    text = "\n".join([f"{split}: {len(asked)} images: {counted}", "", *_table({name: found, **others})])
    return Report({name: figures}, text, seconds={name: seconds}, others=others)


def restorations(bench: Bench, model: Model, grounds: Iterable[Ground]) -> Iterator[Restoration]:
    """Yield what a model makes of images, at their own size."""
    segmenter = Segmenter.of(bench.run, model)
    for ground in grounds:
        clouded = ground.read_clouded()
        found = bench.answer(restore_image(segmenter, clouded.image)).image
        yield Restoration(ground.source, clouded, found, ground.read_clear())


class Scores:
    """PSNR and SSIM by source, of all pixels, and of those that clouds changed."""

    def __init__(self) -> None:
        """Count from nothing."""
        self._values: dict[str, list[float]] = defaultdict(list)

    def add(self, one: Restoration) -> None:
        """Count an image; one in which clouds changed nothing counts by all its pixels alone."""
        change = np.abs(one.clouded.image.astype(np.int16) - one.clear).max(axis=-1)
        changed, similar = change > _CHANGED, similarity(one.found, one.clear)
        for place, where in {"": None, "clouded_": changed}.items():
            if where is None or where.any():
                self._values[f"{one.source}_{place}psnr"].append(psnr(one.found, one.clear, where))
                self._values[f"{one.source}_{place}ssim"].append(mean_similarity(similar, where))

    def means(self) -> dict[str, float]:
        """Return the means over images."""
        return {name: fmean(found) for name, found in self._values.items()}


def means(restored: Iterable[Restoration]) -> dict[str, float]:
    """Return the means of what `Scores` counts."""
    scores = Scores()
    for one in restored:
        scores.add(one)
    return scores.means()


def _table(rows: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    names = list(next(iter(rows.values())))
    side = max(map(len, names)) + 2
    yield " " * side + "".join(f"{row:>26}" for row in rows)
    for name in names:
        cells = (figures.get(name) for figures in rows.values())
        yield f"{name:{side}}" + "".join(f"{'' if cell is None else f'{cell:.3f}':>26}" for cell in cells)


def psnr(found: UInt8, truth: UInt8, where: Mask | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB of an image, uint8 (H, W, 3).

    Args:
        found: the image.
        truth: what it should be.
        where: bool (H, W), the pixels that count, one at least; None: all.
    """
    squared = np.square((found.astype(np.float32) - truth) / 255)
    error = float(np.mean(squared if where is None else squared[where], dtype=np.float64))
    return min(-10 * math.log10(error), MOST_DECIBELS) if error else MOST_DECIBELS


def ssim(found: UInt8, truth: UInt8, where: Mask | None = None) -> float:
    """Return the structural similarity (Wang et al., 2004), a mean over channels and pixels; as `psnr`.

    The window is a Gaussian of 11 pixels with a standard deviation of 1.5; the five pixels at each border, where it
    would reach beyond the image, count only if no others do.
    """
    return mean_similarity(similarity(found, truth), where)


def similarity(found: UInt8, truth: UInt8) -> Float64:
    """Return the structural similarity at each pixel, float64 (H, W, 3), of images as of `ssim`."""
    x, y = found.astype(np.float64) / 255, truth.astype(np.float64) / 255
    mean_x, mean_y = _smoothed(x), _smoothed(y)
    spread_x, spread_y = _smoothed(x * x) - mean_x**2, _smoothed(y * y) - mean_y**2
    shared = _smoothed(x * y) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + _LUMINANCE) / (mean_x**2 + mean_y**2 + _LUMINANCE)
    similar: Float64 = alike * (2 * shared + _CONTRAST) / (spread_x + spread_y + _CONTRAST)
    return similar


def mean_similarity(similar: Float64, where: Mask | None = None) -> float:
    """Return the mean of what `similarity` returned, over the pixels that count; see `ssim`."""
    chosen = np.ones(similar.shape[:2], np.bool_) if where is None else where
    border = _WINDOW // 2
    inside = np.zeros_like(chosen)
    inside[border:-border, border:-border] = chosen[border:-border, border:-border]
    return float(similar[inside if inside.any() else chosen].mean())


def _smoothed(x: Float64) -> Float64:
    blurred = cv2.GaussianBlur(x, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float64)
