"""Connected regions of a label map: the buildings of a damage map, or the bags on a photograph, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Ring = list[list[int]]

_BAND_PIXELS = 1 << 22
# Pixels by which an outline may be simplified: the most of them that changes little of what it encloses.
_TOLERANCES, _CHANGED_SHARE = (1.0, 0.5), 0.02


@dataclass(frozen=True)
class Region:
    """One 8-connected set of pixels above 0.

    Coordinates are (x, y) pixels, origin top left.

    Attributes:
        polygon: outline [[x, y], …] through the centres of the border pixels, within one pixel of the
            exact one and closer for small regions, not closed. A region one pixel wide has fewer than three corners.
        holes: outlines of what it encloses, in the same form, through the region's own pixels.
        value: label value of most of its pixels; of equally many, the lowest.
        area: exact number of pixels.
        confidence: mean of the confidence map over its pixels, 0–1, three decimals; None without a map.
        box: (x0, y0, x1, y1); x1 and y1 are exclusive.
        means: of each of the values that are known of pixels, over its own, 0–1, three decimals; None of none.
    """

    polygon: Ring
    holes: list[Ring]
    value: int
    area: int
    confidence: float | None
    box: tuple[int, int, int, int]
    means: tuple[float, ...] | None = None


@dataclass(frozen=True, eq=False)
class Known:
    """What else is known of some pixels of a label map, in any order.

    Attributes:
        places: int32 or int64 (n,), where each of them is: its row times the width, and its column.
        values: uint8 (n, values), 255 is 1.
    """

    places: npt.NDArray[np.integer[Any]]
    values: UInt8

    @classmethod
    def of(cls, inside: npt.NDArray[np.bool_], values: UInt8, width: int, row: int = 0, column: int = 0) -> Known:
        """Return what is known of the pixels `inside`, bool (rows, columns), of a piece of a map.

        Args:
            inside: which they are; their places ascend.
            values: uint8 (rows, columns, values).
            width: of the map.
            row: where the piece begins.
            column: where the piece begins.
        """
        # By number and not by mask: a quarter of the time for pixels of a few bytes.
        within, wide = np.flatnonzero(inside), inside.shape[1]
        places = within + within // wide * (width - wide) + (row * width + column)
        return cls(places.astype(np.int32), values.reshape(-1, values.shape[-1]).take(within, axis=0))

    def some(self, chosen: npt.NDArray[np.bool_]) -> Known:
        """Return what is known of those `chosen`, bool (n,)."""
        # `compress` takes a quarter of the time that a mask in brackets does.
        return Known(self.places.compress(chosen), self.values.compress(chosen, axis=0))

    def moved(self, places: int) -> Known:
        """Return the same so many places later, as in a map that begins so many pixels earlier."""
        return Known(self.places + places, self.values)


def reading_order(region: Region) -> tuple[int, int, int, int]:
    """Return what regions are sorted by: the upper and the left edge of their boxes, then the lower and the right."""
    x0, y0, x1, y1 = region.box
    return y0, x0, y1, x1


def regions(
    label_map: UInt8, confidence: UInt8 | None = None, *, min_area: int = 1, known: Sequence[Known] | None = None
) -> list[Region]:
    """Return the regions of a label map in reading order of their boxes.

    Time is proportional to the pixels, whatever their pattern; working memory is five bytes a pixel.

    Args:
        label_map: uint8, (height, width); 0 is background, touching values above 0 form one region.
        confidence: uint8, (height, width), 255 is certainty.
        min_area: regions of fewer pixels are left out.
        known: of all pixels above 0, in parts, one at least.
    """
    count, labelled = cv2.connectedComponents(label_map, connectivity=8, ltype=cv2.CV_32S)
    return regions_of(label_map, confidence, np.asarray(labelled, np.int32), count, min_area=min_area, known=known)


def regions_of(
    label_map: UInt8,
    confidence: UInt8 | None,
    components: npt.NDArray[np.int32],
    count: int,
    *,
    min_area: int = 1,
    known: Sequence[Known] | None = None,
) -> list[Region]:
    """Return what `regions` does, of regions that were told apart before.

    Args:
        label_map: as of `regions`.
        confidence: as of `regions`.
        components: int32, (height, width), below `count`: the same number for pixels of one region. Where `label_map`
            is 0 it does not matter.
        count: of the numbers.
        min_area: as of `regions`.
        known: as of `regions`.
    """
    areas, values, means, known_means = _contents(label_map, confidence, components, count, known)
    # One pass over the whole map finds all outlines; cutting regions out one by one would take
    # quadratic time where boxes nest. An outline's first point tells whose it is.
    outlines, tree = cv2.findContours(label_map, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    links: list[list[int]] = [] if tree is None else tree[0].tolist()
    found = []
    for outline, (_, _, hole, parent) in zip(outlines, links, strict=True):
        component = components[outline[0, 0, 1], outline[0, 0, 0]]
        if parent >= 0 or areas[component] < min_area:
            continue
        holes = []
        while hole >= 0:
            holes.append(_simplified(outlines[hole]))
            hole = links[hole][0]
        x, y, width, height = cv2.boundingRect(outline)
        found.append(
            Region(
                polygon=_simplified(outline),
                holes=holes,
                value=int(values[component]),
                area=int(areas[component]),
                confidence=None if means is None else round(float(means[component]) / 255, 3),
                box=(x, y, x + width, y + height),
                means=None if known_means is None else tuple(known_means[component].round(3).tolist()),
            )
        )
    return sorted(found, key=reading_order)


def regions_of_classes(label_map: UInt8, confidence: UInt8, classes: int, *, min_area: int = 1) -> list[Region]:
    """Return the connected regions of each value above 0 apart, in reading order of their boxes.

    Other than with `regions`, touching values are regions of their own. Time is proportional to pixels × classes.

    Args:
        label_map: uint8, (height, width), values below `classes`; 0 is background.
        confidence: uint8, (height, width), 255 is certainty.
        classes: values.
        min_area: regions of fewer pixels are left out.
    """
    found = []
    for value in range(1, classes):
        alone = (label_map == value) * np.uint8(value)
        if alone.any():
            found += regions(alone, confidence, min_area=min_area)
    return sorted(found, key=reading_order)


def _contents(
    label_map: UInt8,
    confidence: UInt8 | None,
    components: npt.NDArray[np.int32],
    count: int,
    known: Sequence[Known] | None,
) -> tuple[
    npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64] | None, npt.NDArray[np.float64] | None
]:
    """Return each component's area, most frequent value and, where there are, means of confidence (0–255) and known."""
    classes = int(label_map.max()) + 1
    pixels, total = np.zeros(count * classes, np.int64), np.zeros(count)
    # In bands: np.bincount works on eight bytes a pixel.
    step = max(1, _BAND_PIXELS // label_map.shape[1])
    for y in range(0, len(label_map), step):
        labels = label_map[y : y + step].reshape(-1)
        # Buildings cover little: where they are is looked up once, and not in each map.
        inside = np.flatnonzero(labels > 0)
        ids = components[y : y + step].reshape(-1)[inside].astype(np.int64)
        pixels += np.bincount(ids * classes + labels[inside], minlength=len(pixels))
        if confidence is not None:
            total += np.bincount(ids, weights=confidence[y : y + step].reshape(-1)[inside], minlength=count)
    table = pixels.reshape(count, classes)
    areas = table.sum(axis=1)
    means = None if confidence is None else total / np.maximum(areas, 1)
    known_means = None if known is None else _sums(known, components, count) / np.maximum(areas, 1)[:, np.newaxis] / 255
    return areas, table.argmax(axis=1), means, known_means


def _sums(known: Sequence[Known], components: npt.NDArray[np.int32], count: int) -> npt.NDArray[np.float64]:
    """Return the sum of each value over each component, float64 (count, values): whole numbers."""
    sums = np.zeros((count, known[0].values.shape[1]))
    for part in known:
        ids = components.reshape(-1).take(part.places)
        for value, column in enumerate(part.values.T):
            sums[:, value] += np.bincount(ids, weights=column, minlength=count)
    return sums


def _simplified(outline: npt.NDArray[Any]) -> Ring:
    """Return the outline's corners with those dropped that move it by no more than a pixel, and change its area little.

    A simplified outline is off by a quarter of the tolerance on average.
    """
    length, area = cv2.arcLength(outline, closed=True), cv2.contourArea(outline) + len(outline) / 2
    corners = outline
    for tolerance in _TOLERANCES:
        if tolerance / 4 * length <= _CHANGED_SHARE * area:
            corners = np.asarray(cv2.approxPolyDP(outline, tolerance, closed=True))
            break
    if len(corners) < 3:
        corners = outline  # a line already, or so small that dropping corners would make it one
    ring: Ring = corners[:, 0].tolist()
    return ring
