"""What a model of labels saw on one image, whatever its task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.inference.segmenter import Segmenter
from gateway.vision.labels import decide_with_confidence
from gateway.vision.regions import Region, regions_of_classes
from gateway.vision.resizing import Size, from_scale

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class LabelMap:
    """What the model saw on one image.

    Attributes:
        model: which.
        counts: pixels per class value.
        label_map: uint8 (H, W), the image's size, class values of `model.card`.
        sureness: uint8 (H, W), 255 times the probability of that value.
    """

    model: Model
    counts: tuple[int, ...]
    label_map: Pixels
    sureness: Pixels


async def map_image(segmenter: Segmenter, image: Pixels) -> LabelMap:
    """Return the label map of an image, uint8 (H, W, 3), RGB, at its own scale.

    Args:
        segmenter: a model of one input, `image`, and its request.
        image: of any size; it is covered by tiles.
    """
    labels, sureness = await segmenter.label_map_and_confidence({"image": image})
    return LabelMap(segmenter.model, await segmenter.count(labels), labels, sureness)


def decided_at(blended: Pixels, size: Size, threshold: float | None) -> tuple[Pixels, Pixels]:
    """Return label map and confidence, uint8 (H, W) each, at another size than that of the probabilities.

    Args:
        blended: probabilities, uint8 (h, w, C), at the model's scale.
        size: (H, W) of the image; the decision is taken there.
        threshold: of the model's card.
    """
    labels, sureness = np.empty((2, *size), np.uint8)
    for top, band in from_scale(blended, size):
        rows = slice(top, top + len(band))
        labels[rows], sureness[rows] = decide_with_confidence(band, threshold)
    return labels, sureness


async def find_regions(segmenter: Segmenter, found: LabelMap, min_area: int) -> tuple[Region, ...]:
    """Return the connected pieces of each class of at least `min_area` pixels, in reading order."""

    def find() -> list[Region]:
        classes = len(found.model.card.classes)
        return regions_of_classes(found.label_map, found.sureness, classes, min_area=min_area)

    return tuple(await segmenter.aside(find))


def untrained_notices(model: Model) -> tuple[str, ...]:
    """Return what the caller should know of classes that a model cannot find."""
    unknown = model.card.training.untrained
    return (f"the model has never seen {', '.join(unknown)} and cannot find it",) if unknown else ()
