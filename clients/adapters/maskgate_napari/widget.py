"""The widget that napari docks; `napari.yaml` names it."""

from __future__ import annotations

from typing import Any

import numpy as np
from magicgui import magic_factory
from maskgate_client import DEFAULT_URL
from napari.layers import Image, Points, Shapes
from napari.types import LabelsData

from maskgate_napari import segment

_NONE = np.empty((0, 2))


def _cut_out(
    image: Image,
    boxes: Shapes | None = None,
    points: Points | None = None,
    points_beside: Points | None = None,
    url: str = DEFAULT_URL,
) -> LabelsData:
    """Return a labels layer of what boxes and points show."""
    drawn: list[Any] = list(boxes.data) if boxes is not None else []
    on, beside = (_NONE if layer is None else layer.data for layer in (points, points_beside))
    return segment(np.asarray(image.data, np.uint8), drawn, on, beside, url).astype(np.int32)


cut_out: Any = magic_factory(_cut_out, call_button="Cut out")
