"""What radiographs are to all that serves them."""

from __future__ import annotations

from gateway.registry import Part, TaskSpec, Texts
from gateway.repository.card import Card
from gateway.repository.contracts import check_inputs, check_keys, check_labels, described


def check(card: Card) -> None:
    """Check a model of radiographs: a square picture in, scores and a coarse map per class out, perhaps a distance.

    Raises:
        ValueError: it is none.
    """
    check_keys(card)
    check_labels(card)
    check_inputs(card, ("image", "uint8", (card.tile, card.tile, 3)))
    classes = len(card.classes)
    scores, *others = described(card.outputs)
    if scores != ("scores", "float32", (classes,)):
        raise ValueError("the first output of a model of radiographs is scores, float32, one per class")
    if card.familiar:
        others, last = others[:-1], others[-1:]
        if last != [("distance", "float32", (1,))]:
            raise ValueError("the last output of a model that says 'familiar' is distance, float32, one value")
    maps = [(name, dtype, len(shape), shape[-1]) for name, dtype, shape in others]
    if maps != [("saliency", "uint8", 3, classes)]:
        raise ValueError("the second output of a model of radiographs is saliency, uint8, rows × columns × classes")


TASK = TaskSpec(
    name="radiograph",
    title="Class scores of a chest radiograph",
    default_model="ensemble",
    contracts={"radiograph": check},
    parts=(
        Part(
            "image",
            "A frontal radiograph of the chest: DICOM (CR, DX, RG), or grey PNG or JPEG with bone bright. Which it is, "
            "its bytes say.",
            media_types=("application/dicom", "image/png", "image/jpeg"),
        ),
    ),
    formats=("application/json", "image/png"),
    answer="scores",
    package="gateway.tasks.radiograph",
    texts=Texts(
        answer="By `Accept`: the class scores (default), or as an RGB PNG the film with the evidence for a "
        "class drawn over it as heat.",
        model="One of the task's models, or ensemble: all that are ready, averaged",
        include="JSON: pictures to put into the answer, as base64 PNG",
        problems={
            413: "The body or the film is over its limit; `limit` says which.",
            415: "The body is neither multipart nor of a type of the part, or the part is of a kind or a DICOM "
            "transfer syntax that is not read.",
            422: "The film is unreadable, in colour, not a radiograph or not of the chest, or a parameter is invalid.",
        },
    ),
)
