"""What waste is to all that serves it."""

from __future__ import annotations

from gateway.registry import Part, TaskSpec, Texts
from gateway.repository.card import Card
from gateway.repository.contracts import check_image_tiles, check_keys


def check(card: Card) -> None:
    """Check a model of waste: RGB tiles of a photograph that is brought to a scale of the model's own.

    Raises:
        ValueError: it is none.
    """
    check_keys(card, "resize")
    check_image_tiles(card)


TASK = TaskSpec(
    name="waste",
    title="Waste on a photograph, by class",
    default_model="waste-lite0",
    contracts={"waste": check},
    parts=(
        Part(
            "image",
            "PNG or JPEG: a photograph of waste. Its pixel grid is the answer's.",
            media_types=("image/png", "image/jpeg"),
        ),
    ),
    formats=("image/png", "application/json"),
    answer="label map",
    package="gateway.tasks.waste",
    texts=Texts(
        answer="Indexed PNG of the photograph's size whose values are the classes of the model's card "
        "(default), the overlay with its legend below as an RGB PNG, or the waste in numbers, by `Accept`.",
        overlay="PNG: draw the classes over the photograph, with a legend below it",
        include="JSON: pictures to put into the answer, as base64 PNG",
        problems={
            413: "The body or the image is over its limit; `limit` says which.",
            415: "The body is not multipart, or the part is neither PNG nor JPEG.",
            422: "The image is unreadable or unsuitable.",
        },
    ),
)
