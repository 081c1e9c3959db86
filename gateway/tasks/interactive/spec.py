"""What interactive segmentation is to all that serves it."""

from __future__ import annotations

import json
from typing import Any

from gateway.registry import Part, TaskSpec, Texts
from gateway.repository.card import Card, ClickSpec
from gateway.repository.contracts import check_keys, check_labels, check_outputs, described

ENCODER_TASK = "interactive-encoder"
"""What the cards of encoders say, whose features a model of the task takes."""

EXAMPLES: dict[str, Any] = {
    "box and clicks": {"box": [218, 42, 370, 320], "positive": [[298, 144]], "negative": [[240, 60]]},
    "extreme points": {"extreme": [[218, 200], [300, 42], [370, 180], [290, 320]]},
    "outline": {"polygon": [[218, 42], [370, 42], [290, 320]]},
    "strokes": {"strokes": {"object": [[[290, 100], [300, 250]]], "background": [[[10, 10], [470, 10]]]}},
    "two objects": {"objects": [{"box": [10, 10, 90, 90]}, {"box": [60, 60, 200, 150]}]},
}
"""Prompts, by what they show."""


def check(card: Card) -> None:
    """Check a model of clicks: a crop or its features, and maps of clicks in, one probability per pixel out.

    Raises:
        ValueError: it is none.
    """
    size = _clicks(card).size
    check_outputs(card, ("probability", "uint8", (size, size)))


def check_encoder(card: Card) -> None:
    """Check an encoder: as a model of clicks, with features out, and itself without an encoder.

    Raises:
        ValueError: it is none.
    """
    if _clicks(card).encoder is not None:
        raise ValueError("an encoder has no encoder")


def _clicks(card: Card) -> ClickSpec:
    """Return how a model wants its clicks, its inputs checked by that."""
    check_keys(card, "clicks")
    check_labels(card)
    clicks = card.clicks
    if clicks is None:
        raise ValueError("no clicks")
    inputs = {name: (dtype, shape) for name, dtype, shape in described(card.inputs)}
    maps = 2 if clicks.prompt == "iog" else 1
    expected = {"clicks": ("uint8", (clicks.size, clicks.size, maps))}
    if clicks.encoder is None:
        expected["crop"] = ("uint8", (clicks.size, clicks.size, 3))
    for name, (dtype, shape) in expected.items():
        if inputs.get(name) != (dtype, shape):
            raise ValueError(f"the input {name} must be {dtype} of shape {list(shape)}")
    return clicks


TASK = TaskSpec(
    name="interactive",
    title="Objects from clicks, boxes, extreme points, outlines or strokes",
    default_model="click-lite0",
    contracts={"interactive": check, ENCODER_TASK: check_encoder},
    parts=(
        Part("image", "PNG or JPEG.", media_types=("image/png", "image/jpeg")),
        Part(
            "prompt",
            'One object, or several as `{"objects": […]}`, later ones on top. Coordinates are (x, y) pixels of '
            "the upright image, origin at the centre of the top left pixel; up to two pixels outside are taken for the "
            "border. A box is two opposite corners, the larger bounds a pixel beyond the last one, as in answers and "
            'in COCO; it touches the object, unless `"tight": false` says that it was drawn a little outside, which is '
            "one to click-lite0. `mask`, run lengths of a former answer, stands for a box and a click. click-lite0 "
            "takes a box or clicks or both, iog a box or one positive click or both; what is not given they find. "
            "dextr takes four extreme points, grabcut a box and any clicks, watershed strokes or clicks of both kinds, "
            "polygon an outline.",
            media_types=("application/json",),
            examples=tuple(json.dumps(example) for example in EXAMPLES.values()),
        ),
    ),
    formats=("image/png", "application/json"),
    answer="masks",
    package="gateway.tasks.interactive",
    texts=Texts(
        answer="Indexed PNG of the image's size, 0 background and n the n-th object (default), the overlay as "
        "an RGB PNG, or the objects in numbers, by `Accept`.",
        model="One of the task's models, or grabcut, watershed, polygon",
        overlay="PNG: draw the objects over the image",
        include="JSON: pictures to put into the answer, as base64 PNG, or a COCO annotation file",
        problems={
            400: "The body is malformed, a part is missing or there twice, or the prompt is not JSON.",
            404: "No such model or tool, or no such version of it.",
            413: "The body, the image or the prompt is over its limit; `limit` says which.",
            415: "The body is not multipart, or the image is neither PNG nor JPEG.",
            422: "The image is unreadable or unsuitable, the prompt shows nothing, or not what the model takes.",
        },
    ),
)
