"""What damage is to all that serves it."""

from __future__ import annotations

from collections.abc import Collection

from gateway.registry import NamedModel, Part, TaskSpec, Texts
from gateway.repository.card import Card
from gateway.repository.contracts import (
    check_inputs,
    check_keys,
    check_labels,
    check_outputs,
    check_rasters,
    check_tiles,
)

CROP_TASK = "damage-crop"
"""What the cards of models say that grade one building."""

BOX_TASK = "damage-boxes"
"""What the cards of models say that answer with boxes of buildings."""

DISTRICTS, FOOTPRINTS = "districts", "footprints"

LANDCOVER = "landcover"

RASTERS = ("elevation", "surface", LANDCOVER)
"""What is known of the ground beside the images: heights, and classes of cover."""

_IMAGES = ("image/tiff", "image/png", "image/jpeg")

_WHAT = (
    "metres above sea level of the bare ground",
    "metres above the ground of what stands there, as LiDAR measures it, before the disaster or after it",
    "classes of what covers the ground, as the GeoTIFF of `POST /v1/land` has them",
)


def check(card: Card) -> None:
    """Check a model of damage: tiles of the pre image, or of both, and perhaps rasters beside them.

    Raises:
        ValueError: it is none.
    """
    _check_tiles(card, optional=("vote",))


def _check_tiles(card: Card, optional: Collection[str] = ()) -> None:
    check_keys(card, optional=optional)
    check_labels(card)
    check_tiles(card)
    check_rasters(card, RASTERS)


def check_crop(card: Card) -> None:
    """Check a model that grades one building on a crop.

    Raises:
        ValueError: it is none.
    """
    check_keys(card, "crop")
    check_labels(card)
    check_inputs(card, ("crop", "uint8", (card.tile, card.tile, 3)))
    check_outputs(card, ("scores", "float32", (len(card.classes),)))


def check_boxes(card: Card) -> None:
    """Check a model that answers with boxes of buildings: of each cell of its tiles a box, and a score per class.

    Raises:
        ValueError: it is none.
    """
    _check_tiles(card)
    if card.threshold is None:
        raise ValueError("a model of boxes says from which score on one counts")
    cells = card.outputs[0].shape[0]
    check_outputs(card, ("boxes", "float32", (cells, 4)), ("scores", "float32", (cells, len(card.classes) - 1)))


TASK = TaskSpec(
    name="damage",
    title="Damage per building from a pair of satellite images",
    default_model="bd-lite0",
    named_models=(
        NamedModel("fused_finder", "bd-fcn", "Finds the buildings of `POST /v1/damage?model=fused` in the pre image."),
        NamedModel("fused_grader", "bd-cnn", "Grades each of them on a crop of the post image."),
    ),
    contracts={"damage": check, CROP_TASK: check_crop, BOX_TASK: check_boxes},
    parts=(
        Part(
            "pre",
            "Before the disaster: GeoTIFF, PNG or JPEG. Its pixel grid is the answer's. Of GeoTIFF there may be "
            "several, tiles of one image; they are put together on the grid of the first. Or JSON that names GeoTIFFs "
            "in the stores of the settings.",
            media_types=_IMAGES,
            several=True,
            by_reference=True,
        ),
        Part(
            "post",
            "After it. GeoTIFF of the same place, in any coordinate reference system, resolution and extent, is warped "
            "to the pre grid, several too. PNG or JPEG of the same frame: another size of equal aspect is resized and "
            "said so. With `post_date` there may be images of several dates. Or JSON, as of pre.",
            media_types=_IMAGES,
            several=True,
            by_reference=True,
        ),
        Part(
            DISTRICTS,
            "GeoJSON feature collection of polygons; JSON and GeoJSON answers then count buildings in each.",
            required=False,
            media_types=("application/geo+json",),
        ),
        Part(
            FOOTPRINTS,
            "GeoJSON feature collection of polygons: buildings to be graded in the place of those that a model finds. "
            "Properties come back. Of images that lie nowhere on Earth coordinates are pixels from the top left "
            "corner.",
            required=False,
            media_types=("application/geo+json",),
        ),
        *(
            Part(
                name,
                f"GeoTIFF of one band: {what}. Warped to the pre grid, and may know a part of the scene alone. "
                "For models whose card has it among its `rasters`. Of images that lie nowhere on Earth it has their "
                "size.",
                required=False,
                media_types=("image/tiff",),
                by_reference=True,
            )
            for name, what in zip(RASTERS, _WHAT, strict=True)
        ),
    ),
    formats=(
        "image/png",
        "application/json",
        "application/geo+json",
        "image/tiff",
        "application/zip",
        "application/geopackage+sqlite3",
        "application/vnd.flatgeobuf",
        "application/vnd.apache.parquet",
    ),
    answer="label map",
    package="gateway.tasks.damage",
    texts=Texts(
        answer="By `Accept`: an indexed PNG of the pre image's size whose values are the classes of the "
        "model's card (default), or the overlay as an RGB PNG; the damage map in numbers; of GeoTIFF one GeoJSON "
        "feature per building in WGS 84; the label map as Cloud-Optimised GeoTIFF, 255 where nothing was observed; "
        "a zip of the two PNGs of xView2; a GeoPackage of buildings, districts, what was observed, and alignment; or "
        "the buildings as FlatGeobuf or GeoParquet. PNGs have no value for what was not observed: it is 0 there, and a "
        "notice says how much that is.",
        model="One of the task's models, or `fused`: one finds buildings, another grades each. With `footprints` a "
        "model that grades single buildings may be named too, and is what `fused` then comes to",
        overlay="PNG: draw the classes over the post image",
        include="JSON: what else to put into the answer, in base64",
        problems={
            406: "`Accept` names nothing this route produces, or nothing that it can of this input.",
            413: "The body, an image, the districts or the footprints are over their limit; `limit` says which.",
            415: "The body is not multipart, or a part is neither TIFF, PNG nor JPEG.",
            422: "An image is unreadable or unsuitable, or the two are no pair; of images that lie apart on Earth "
            "`footprints` says where each lies.",
        },
    ),
)
