"""Waste: a photograph in, a label map of its size and the pieces of each class out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.inference.label_maps import LabelMap, decided_at, untrained_notices
from gateway.inference.segmenter import Segmenter
from gateway.repository.card import ResizeSpec
from gateway.vision.resizing import Size, aligned, fitted, to_scale

Pixels = NDArray[np.uint8]

_COARSE = 4.0


def notices_of(model: Model, size: Size) -> tuple[str, ...]:
    """Return what the caller should know of how `model` will take a photograph of a size (height, width)."""
    spec = _resize_of(model)
    height, width = seen_at(spec, size)
    shrunk = max(size) / max(height, width)
    said = []
    if shrunk > _COARSE:
        said.append(f"photograph seen at {width}×{height}, {shrunk:.1f} times smaller: small pieces are lost")
    return (*said, *untrained_notices(model))


def seen_pixels(model: Model, size: Size) -> int:
    """Return how many pixels `model` sees of a photograph of a size (height, width): what it costs goes by them."""
    height, width = seen_at(_resize_of(model), size)
    return height * width


def seen_at(spec: ResizeSpec, size: Size) -> Size:
    """Return the size, (height, width), at which a model sees a photograph of `size`."""
    return aligned(fitted(size, spec.short, spec.long), spec.multiple)


async def map_waste(segmenter: Segmenter, photo: Pixels) -> LabelMap:
    """Return the label map of a photograph, uint8 (H, W, 3), RGB.

    As in mmsegmentation's test pipeline the photograph is brought to the model's scale, and its answer back; what it
    is resized to is covered by tiles, and the decision is taken on the blended probabilities at the photograph's size.
    """
    spec = _resize_of(segmenter.model)
    scaled = await segmenter.aside(to_scale, photo, spec.short, spec.long, spec.multiple)
    blended = await segmenter.probabilities({"image": scaled})
    size = (photo.shape[0], photo.shape[1])
    labels, sureness = await segmenter.aside(decided_at, blended, size, segmenter.model.card.threshold)
    return LabelMap(segmenter.model, await segmenter.count(labels), labels, sureness)


def _resize_of(model: Model) -> ResizeSpec:
    spec = model.card.resize
    if spec is None:
        raise ValueError(f"{model.name} does not say how photographs are resized")
    return spec
