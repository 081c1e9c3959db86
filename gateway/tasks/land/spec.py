"""What land cover is to all that serves it."""

from __future__ import annotations

from gateway.registry import Part, TaskSpec, Texts
from gateway.repository.card import Card
from gateway.repository.contracts import check_image_tiles, check_keys

ROAD = "road"
"""Name of the class whose length is told."""

IMAGE, BUILDINGS, DISTRICTS = "image", "buildings", "districts"


def check(card: Card) -> None:
    """Check a model of land cover: RGB tiles, and roads among its classes.

    Raises:
        ValueError: it is none.
    """
    check_keys(card)
    check_image_tiles(card)
    if not any(spec.name == ROAD for spec in card.classes):
        raise ValueError(f"a model of land cover has a class '{ROAD}'")


TASK = TaskSpec(
    name="land",
    title="Land cover of a satellite image, and roads near damage",
    default_model="land-lite0",
    contracts={"land": check},
    parts=(
        Part(
            IMAGE,
            "GeoTIFF, PNG or JPEG from above. Its pixel grid is the answer's. Models see it at a metre a pixel: "
            "GeoTIFF says how large its own are, of others `resolution` does.",
            media_types=("image/tiff", "image/png", "image/jpeg"),
        ),
        Part(
            BUILDINGS,
            "GeoJSON feature collection of polygons with a property `class`, as `POST /v1/damage` answers: JSON then "
            "tells how much road is near those of the class `near_class`.",
            required=False,
            media_types=("application/geo+json",),
        ),
        Part(
            DISTRICTS,
            "GeoJSON feature collection of polygons; JSON then tells the length of road in each.",
            required=False,
            media_types=("application/geo+json",),
        ),
    ),
    formats=("image/png", "application/json", "image/tiff"),
    answer="label map",
    package="gateway.tasks.land",
    texts=Texts(
        answer="Indexed PNG of the image's size whose values are the classes of the model's card (default), the "
        "overlay with its legend below as an RGB PNG, land cover and roads in numbers, or of GeoTIFF the label map as "
        "Cloud-Optimised GeoTIFF, 255 where nothing was observed, by `Accept`.",
        overlay="PNG: draw the classes over the image, with a legend below it",
        include="JSON: what else to put into the answer, in base64",
        problems={
            406: "`Accept` names nothing this route produces, or nothing that it can of this input.",
            413: "The body, the image, the buildings or the districts are over their limit; `limit` says which.",
            415: "The body is not multipart, or the image is neither TIFF, PNG nor JPEG.",
            422: "The image is unreadable or unsuitable, its pixels are too large or too small on the ground, or "
            "buildings or districts are none.",
        },
    ),
)
