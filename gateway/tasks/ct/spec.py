"""What CT is to all that serves it."""

from __future__ import annotations

from gateway.registry import Part, TaskSpec, Texts
from gateway.repository.card import Card
from gateway.repository.contracts import check_inputs, check_keys, check_labels, check_outputs


def check(card: Card) -> None:
    """Check a model of CT: Hounsfield units in, labels and probabilities of twice their size out.

    Raises:
        ValueError: it is none.
    """
    check_labels(card)
    _check_slices(card)
    finer = (2 * card.tile, 2 * card.tile)
    check_outputs(card, ("label_map", "uint8", finer), ("probabilities", "uint8", (*finer, len(card.classes))))


def check_super_resolution(card: Card) -> None:
    """Check a model that sharpens slices to twice their size and labels nothing.

    Raises:
        ValueError: it is none.
    """
    _check_slices(card)
    check_outputs(card, ("sharpened", "int16", (2 * card.tile, 2 * card.tile)))


def _check_slices(card: Card) -> None:
    check_keys(card, "window")
    check_inputs(card, ("image", "int16", (card.tile, card.tile)))


TASK = TaskSpec(
    name="ct",
    title="Lesions in CT of the chest",
    default_model="cogseg",
    contracts={"ct": check, "ct-super-resolution": check_super_resolution},
    parts=(
        Part(
            "image",
            "A CT of the chest: one DICOM file, single or multi-frame; a zip of the DICOM files of one series; NIfTI, "
            "also gzipped; or a slice as grey PNG or JPEG, taken as seen through the window of the model's card. Which "
            "it is, its bytes say.",
            media_types=("application/dicom", "application/zip", "application/x-nifti", "image/png", "image/jpeg"),
        ),
    ),
    formats=("image/png", "application/json", "application/x-nifti", "application/x-nrrd", "application/dicom"),
    answer="label map",
    package="gateway.tasks.ct",
    texts=Texts(
        answer="By `Accept`: of a single slice an indexed PNG whose values are the classes of the model's card "
        "(default), or the overlay as an RGB PNG; of any CT the lesions in numbers (default of a volume); of DICOM a "
        "DICOM SEG that references the source; of DICOM and NIfTI a .nii.gz or an NRRD that lies on it. The header "
        "`Maskgate-Stored` says what was stored.",
        overlay="PNG of a single slice: draw the classes over it",
        include="JSON: what else to put into the answer, in base64; a report comes with the DICOM SEG that it names",
        problems={
            404: "No such model, or no such version of it; or the DICOMweb server has no such series.",
            406: "`Accept` names nothing this route produces, or nothing that it can of this input.",
            413: "The body, the slices, or what a zip unpacks to is over its limit; `limit` says which.",
            415: "The body is neither multipart nor of a type of the part, or the part is of a kind or a DICOM "
            "transfer syntax that is not read.",
            422: "The CT is unreadable, not of the chest, not a CT, or its files do not form a series.",
            501: "`source` names a DICOMweb server, and the gateway has none.",
            502: "The DICOMweb server failed.",
        },
    ),
)
