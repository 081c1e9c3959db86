"""What shows an object: clicks, a box, extreme points, an outline, strokes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from maskgate_client.tasks.interactive.answers import RunLengths

Point = Sequence[SupportsFloat] | NDArray[Any]
"""x and y in pixels of the upright image, origin at the centre of the top left pixel."""

Points = Sequence[Point] | NDArray[Any]
"""Several; an array is (points, 2)."""


@dataclass(frozen=True)
class Prompt:
    """One object as a person shows it, or a part of that. Which of it a model takes, the gateway says.

    Attributes:
        box: x0, y0, x1, y1: two opposite corners around the object, the larger bounds a pixel beyond its last one, as
            answers and COCO have them.
        positive: clicks on the object.
        negative: clicks beside it.
        extreme: its leftmost, topmost, rightmost and bottommost points, in any order.
        polygon: its outline.
        strokes: lines drawn on the object, each through its points; one of a single point is a dot.
        background_strokes: lines drawn beside it.
        mask: a former mask of the object, bool (height, width) of the image, or as an answer has it. It stands for a
            box and a click where these are not given.
        tight: whether the box touches the object; else it was drawn a little outside of it.
    """

    box: Point | None = None
    positive: Points = ()
    negative: Points = ()
    extreme: Points = ()
    polygon: Points = ()
    strokes: Sequence[Points] = ()
    background_strokes: Sequence[Points] = ()
    mask: RunLengths | NDArray[np.bool_] | None = None
    tight: bool = True

    def document(self) -> dict[str, Any]:
        """Return what is given as the gateway reads it."""
        lists = {name: _points(getattr(self, name)) for name in ("positive", "negative", "extreme", "polygon")}
        lines = {"object": self.strokes, "background": self.background_strokes}
        return {
            **({} if self.box is None else {"box": _numbers(self.box)}),
            **{name: points for name, points in lists.items() if points},
            **(
                {"strokes": {name: [*map(_points, each)] for name, each in lines.items()}}
                if any(lines.values())
                else {}
            ),
            **({} if self.mask is None else {"mask": _run_lengths(self.mask)}),
            **({} if self.tight else {"tight": False}),
        }


def _run_lengths(mask: RunLengths | NDArray[np.bool_]) -> dict[str, Any]:
    if isinstance(mask, RunLengths):
        return {"size": [mask.height, mask.width], "counts": mask.counts}
    lengths = RunLengths.of(mask)
    return {"size": [lengths.height, lengths.width], "counts": list(lengths.lengths)}


def _points(points: Points) -> list[list[float]]:
    return [_numbers(point) for point in points]


def _numbers(values: Point) -> list[float]:
    # Whoever measures with NumPy has numbers that JSON does not know.
    return [float(value) for value in values]
