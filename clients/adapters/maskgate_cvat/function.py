"""Functions for CVAT's SDK: `cvat-cli task auto-annotate TASK --function-file this -p kind=str:waste`.

Labels of the task are the names of the model's classes, or for clicks whatever the annotator draws with.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

import cvat_sdk.auto_annotation as cvat
import numpy as np
from cvat_sdk.masks import encode_mask
from maskgate_client import DEFAULT_URL, Client, Prompt
from PIL.Image import Image


# CVAT does not register the file as a module, which data classes would look themselves up in.
class Waste:
    """Finds waste on photographs: a polygon per piece."""

    def __init__(self, client: Client, spec: Any) -> None:
        """Take a client, and what CVAT is told of the labels."""
        self.client, self.spec = client, spec

    @classmethod
    def of(cls, client: Client, model: str) -> Waste:
        """Return the function, its labels those of the gateway's model."""
        classes = [each for each in (client.card(model).card or {}).get("classes", ()) if each["value"]]
        labels = [cvat.label_spec(each["name"], each["value"], type="polygon") for each in classes]
        return cls(client, cvat.DetectionFunctionSpec(labels=labels))

    def detect(self, context: Any, image: Image) -> list[Any]:
        """Return the pieces of one frame."""
        return [
            cvat.polygon(region.value, [float(number) for point in region.polygon for number in point])
            for region in self.client.waste(_png(image)).regions
            if len(region.polygon) > 2 and (region.confidence or 0) >= (context.conf_threshold or 0)
        ]


class Clicks:
    """Cuts out what is clicked on or boxed: a mask. The image goes with each request; the gateway keeps nothing."""

    def __init__(self, client: Client, model: str | None, spec: Any) -> None:
        """Take a client, the model for clicks (None: the gateway's default), and what CVAT is told of prompts."""
        self.client, self.model, self.spec = client, model, spec

    @classmethod
    def of(cls, client: Client, model: str | None) -> Clicks:
        """Return the function."""
        # Without a number of boxes CVAT would let nobody draw one.
        spec = cvat.InteractionFunctionSpec(min_pos_points=0, min_neg_points=0, min_bounding_boxes=0)
        return cls(client, model, spec)

    def preprocess_image(self, context: Any, image: Image) -> bytes:
        """Return the frame as the gateway takes it."""
        return _png(image)

    def detect(self, context: Any, image: bytes, prompts: Any) -> list[Any]:
        """Return the mask of what the prompts show; nothing where they show or the model finds nothing."""
        box = prompts.bounding_box
        if box is None and not prompts.pos_points:
            return []
        prompt = Prompt(
            box=None if box is None else [*box[0], *box[1]],
            positive=[_pixel(point) for point in prompts.pos_points],
            negative=[_pixel(point) for point in prompts.neg_points],
        )
        (found,) = self.client.segment(image, prompt, model=self.model).objects
        if found.box is None:
            return []
        return [cvat.InteractionResultShape(type="mask", points=encode_mask(found.mask, list(found.box)))]


def create(kind: str = "clicks", url: str = DEFAULT_URL, model: str = "") -> Waste | Clicks:
    """Return a function of that kind, "clicks" or "waste"; CVAT calls it with the parameters of its command.

    Raises:
        ValueError: there is no such kind.
    """
    if kind == "clicks":
        return Clicks.of(Client(url), model or None)
    if kind == "waste":
        return Waste.of(Client(url), model or "waste-lite0")
    raise ValueError(f"there is no function {kind!r}; there are clicks and waste")


def _pixel(point: Any) -> tuple[float, float]:
    """Return a click as pixels have it: CVAT's origin is the corner of the first one, ours its centre."""
    x, y = point
    return max(0.0, float(np.floor(x))), max(0.0, float(np.floor(y)))


def _png(image: Image) -> bytes:
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
