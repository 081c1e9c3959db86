"""What the removal of clouds is to all that serves it."""

from __future__ import annotations

from gateway.registry import Part, TaskSpec, Texts
from gateway.repository.card import Card
from gateway.repository.contracts import check_inputs, check_keys, check_outputs, check_tiles

IMAGE = "image"


def check(card: Card) -> None:
    """Check a model that takes clouds off: RGB tiles in, such tiles and how much of each pixel is invented out.

    Raises:
        ValueError: it is none.
    """
    check_keys(card)
    if card.classes:
        raise ValueError("a model that takes clouds off labels nothing and has no classes")
    check_tiles(card)
    tile = card.tile
    check_inputs(card, ("image", "uint8", (tile, tile, 3)))
    check_outputs(card, ("restored", "uint8", (tile, tile, 3)), ("invented", "uint8", (tile, tile)))


TASK = TaskSpec(
    name="restore",
    title="A satellite image without its clouds, and what of it is invented",
    default_model="restore-gan",
    contracts={"restore": check},
    parts=(Part(IMAGE, "From above: GeoTIFF, PNG or JPEG.", media_types=("image/tiff", "image/png", "image/jpeg")),),
    formats=("image/png", "application/json", "image/tiff"),
    answer="image",
    package="gateway.tasks.restore",
    texts=Texts(
        answer="The image without its clouds as an RGB PNG of its size (default), how much of it was covered and is "
        "invented in numbers, or of GeoTIFF a Cloud-Optimised GeoTIFF on the same grid, whose fourth band says how "
        "much of each pixel is invented, by `Accept`.",
        include="JSON: what else to put into the answer, in base64. invented is a grey PNG: 255 times the share of a "
        "pixel that is not the ground's own light",
        problems={
            406: "`Accept` names nothing this route produces, or nothing that it can of this input.",
            413: "The body or the image is over its limit; `limit` says which.",
            415: "The body is not multipart, or the image is neither TIFF, PNG nor JPEG.",
            422: "The image is unreadable or unsuitable.",
        },
    ),
)
