"""The interactor of CVAT's serverless platform (nuclio): `handler` is given a frame and what was drawn on it.

In:  {"image": base64, "pos_points": [[x, y]], "neg_points": [[x, y]], "obj_bbox": [[x, y], [x, y]], "threshold": p}
Out: {"points": [[x, y]], "mask": [[0 or 255]]}
"""

from __future__ import annotations

import json
import os
from base64 import b64decode
from binascii import Error
from typing import Any

import numpy as np
from maskgate_client import DEFAULT_URL, Client, MaskgateError, ObjectMask, Prompt, Rejected


def init_context(context: Any) -> None:
    """Open the connections to the gateway that `MASKGATE_URL` names, once for a container."""
    context.user_data.client = Client(os.environ.get("MASKGATE_URL", DEFAULT_URL))


def handler(context: Any, event: Any) -> Any:
    """Answer CVAT."""
    try:
        asked = event.body if isinstance(event.body, dict) else json.loads(event.body)
        body, status = _answer(context.user_data.client, asked), 200
    except (ValueError, KeyError, TypeError, Error, Rejected) as error:
        body, status = {"error": str(error)}, 400
    except MaskgateError as error:
        body, status = {"error": str(error)}, 502
    return context.Response(body=json.dumps(body), headers={}, content_type="application/json", status_code=status)


def _answer(client: Client, asked: dict[str, Any]) -> dict[str, Any]:
    box = asked.get("obj_bbox") or None
    prompt = Prompt(
        box=None if box is None else [*box[0], *box[1]],
        positive=[_pixel(point) for point in asked.get("pos_points") or ()],
        negative=[_pixel(point) for point in asked.get("neg_points") or ()],
    )
    image = b64decode(asked["image"], validate=True)
    threshold = asked.get("threshold")
    (found,) = client.segment(image, prompt, threshold=threshold, simplify=1.0, largest=True).objects
    return {"points": _outline(found), "mask": (255 * found.mask.astype(np.uint8)).tolist()}


def _outline(found: ObjectMask) -> list[list[float]]:
    """Return the outline of the largest part: CVAT's interactors give one polygon."""
    if not found.parts:
        return []
    largest = max(found.parts, key=lambda part: part.area)
    return [[float(x), float(y)] for x, y in largest.polygon]


def _pixel(point: Any) -> tuple[float, float]:
    """Return a click as pixels have it: CVAT's origin is the corner of the first one, ours its centre."""
    x, y = point
    return max(0.0, float(np.floor(x))), max(0.0, float(np.floor(y)))
