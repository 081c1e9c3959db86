"""The widget that napari docks; `napari.yaml` names it."""

# Without `annotations` of the future: napari takes the types themselves, and does not find them by their names.
from typing import Any

import numpy as np
from magicgui import magic_factory
from maskgate_client import DEFAULT_URL
from napari.layers import Image, Layer, Points, Shapes
from napari.types import LayerDataTuple
from numpy.typing import NDArray

from maskgate_napari import segment

_NONE = np.empty((0, 2))


def _cut_out(
    image: Image,
    boxes: Shapes | None = None,
    points: Points | None = None,
    points_beside: Points | None = None,
    url: str = DEFAULT_URL,
) -> LayerDataTuple:
    """Return a labels layer of what boxes and points show, which lies on the image."""
    drawn = [] if boxes is None else [_seen(image, boxes, corners) for corners in boxes.data]
    on, beside = (_NONE if layer is None else _seen(image, layer, layer.data) for layer in (points, points_beside))
    labels = segment(np.asarray(image.data), drawn, on, beside, url).astype(np.int32)
    place = {"name": f"objects of {image.name}", "scale": image.scale, "translate": image.translate}
    return LayerDataTuple((labels, place, "labels"))


def _seen(image: Image, layer: Layer, points: NDArray[Any]) -> NDArray[np.float64]:
    """Return points of a layer as pixels of an image: both may be scaled and moved."""
    placed = [image.world_to_data(layer.data_to_world(point)) for point in points]
    return np.array(placed, np.float64).reshape(-1, 2)


cut_out: Any = magic_factory(_cut_out, call_button="Cut out")
