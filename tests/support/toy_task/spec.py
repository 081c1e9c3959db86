"""What pebbles are to all that serves them."""

from __future__ import annotations

from gateway.registry import Part, TaskSpec, Texts
from gateway.repository.card import Card
from gateway.repository.contracts import check_image_tiles, check_keys


def check(card: Card) -> None:
    """Check a model of pebbles."""
    check_keys(card)
    check_image_tiles(card)


TASK = TaskSpec(
    name="pebbles",
    title="Pebbles on a beach, by size",
    default_model="pebbles-bands",
    contracts={"pebbles": check},
    parts=(Part("image", "PNG or JPEG: a photograph of a beach.", media_types=("image/png", "image/jpeg")),),
    formats=("image/png", "application/json"),
    answer="label map",
    package="tests.support.toy_task",
    texts=Texts(
        answer="Indexed PNG of the photograph's size (default), the overlay, or the pebbles in numbers, by `Accept`.",
        overlay="PNG: draw the classes over the photograph",
        include="JSON: pictures to put into the answer, as base64 PNG",
    ),
)
