"""Whether the values of a DICOM file are Hounsfield units of a slice, by what the file says of itself.

DICOM PS3.3 C.8.2.1 (CT image), C.8.15.3 (enhanced CT), C.11.1.1.2 (modality units), C.8.16.1 (image type).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.errors import ImageUnsuitable, ModalityUnsuitable
from gateway.media.quiet import reading

if TYPE_CHECKING:
    from pydicom import Dataset

_CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "enhanced CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "legacy converted enhanced CT",
}
_UNITS, _UNSPECIFIED = "HU", "US"
# Values of the image type that name another quantity: perfusion (PS3.3 C.8.15.3.1.4), spectral (C.8.15.3.1.5) and what
# scanners write for them.
_OTHER_QUANTITIES = frozenset(
    {
        *("PERFUSION", "RCBF", "RCBV", "CBF", "CBV", "MTT", "RMTT", "TTP", "TMAX", "PBV", "LBV", "PS", "DRAIN"),
        *("IODINE", "IODINE_MAP", "VNC_DIFF", "FAT_MAP", "RHO_Z", "Z_EFF", "ZEFF", "EFF_ATOMIC_NUM"),
        *("ELECTRON_DENSITY", "ED", "PROTON_DENSITY", "VELOCITY", "STRESS", "DENSITY_MAP", "PARAMETRIC_MAP"),
    }
)
_SCOUTS = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM", "SCANOGRAM"})
_PROJECTIONS = {
    "MIP": "a maximum intensity projection",
    "MINIP": "a minimum intensity projection",
    "MAX_IP": "a maximum intensity projection",
    "MIN_IP": "a minimum intensity projection",
    "MAXIMUM": "a maximum intensity projection",
    "MINIMUM": "a minimum intensity projection",
    "AVERAGE": "an average of several slices",
    "MPR": "a multiplanar reconstruction",
    "REFORMATTED": "a multiplanar reconstruction",
    "CPR": "a curved reconstruction",
    "VOLUME_RENDER": "a rendered volume",
    "RENDERING": "a rendered volume",
}


def require_ct(dataset: Dataset) -> None:
    """Refuse what is no slice of a CT.

    Raises:
        ModalityUnsuitable: of another modality, or stored as something else, a screen of a CT console for example.
        ImageUnsuitable: a scout view.
    """
    if str(dataset.get("Modality", "")) != "CT":
        raise ModalityUnsuitable("The DICOM file is not a CT.")
    stored_as = str(dataset.get("SOPClassUID", ""))
    if stored_as and stored_as not in _CT_CLASSES:
        raise ModalityUnsuitable(
            "The DICOM file names the modality CT and is no CT image: it is stored as something else, as screens and "
            "reports of a CT are."
        )
    if is_scout(dataset):
        raise ImageUnsuitable("The DICOM file is a scout view, not a slice.")


def is_scout(dataset: Dataset) -> bool:
    """Return whether a file is a scout view, by its image type."""
    return not _SCOUTS.isdisjoint(kinds_of(dataset))


def check_units(kinds: Sequence[str], transformation: Dataset) -> None:
    """Refuse values that the file says are no Hounsfield units.

    Args:
        kinds: what `kinds_of` returns of the file.
        transformation: where its rescale slope, intercept and type stand: those of a frame, or the file.

    Raises:
        ImageUnsuitable: they are of another quantity.
    """
    with reading("The DICOM file's rescale type is damaged."):
        stated = str(transformation.get("RescaleType") or "").strip().upper()
    if not _OTHER_QUANTITIES.isdisjoint(kinds):
        raise ImageUnsuitable("The DICOM file's image type names another quantity than Hounsfield units.")
    if stated == _UNITS or not stated:
        return
    if stated != _UNSPECIFIED or "ORIGINAL" not in kinds:
        raise ImageUnsuitable("The DICOM file says that its values are no Hounsfield units.")


def units_are_stated(transformation: Dataset) -> bool:
    """Return whether a file says that its values are Hounsfield units; CT images that say nothing are in them too."""
    return str(transformation.get("RescaleType") or _UNITS).strip().upper() == _UNITS


def notices_of_kind(dataset: Dataset, transformation: Dataset) -> tuple[str, ...]:
    """Return what to tell the caller of how the slices were made, and of units that are not stated."""
    kinds = kinds_of(dataset)
    projections = dict.fromkeys(_PROJECTIONS[kind] for kind in kinds if kind in _PROJECTIONS)
    said = [f"the file is {projection}, not a slice as it was scanned" for projection in projections]
    if not said and ({"DERIVED", "SECONDARY"} & set(kinds[:2])):
        said.append("the file is derived from other images")
    if str(transformation.get("RescaleType") or "").strip().upper() == _UNSPECIFIED:
        said.append("the file does not say that its values are Hounsfield units; they are taken as such")
    return tuple(said)


def kinds_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the words of the image type, those of all frames included, each once; it looks at every frame."""
    with reading("The DICOM file's image type is damaged."):
        seen: dict[str, None] = dict.fromkeys(_words(dataset.get("ImageType")))
        for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
            for groups in dataset.get(name) or ():
                for kind in groups.get("CTImageFrameTypeSequence") or ():
                    seen.update(dict.fromkeys(_words(kind.get("FrameType"))))
    return tuple(seen)


def _words(value: object) -> list[str]:
    words = [value] if isinstance(value, str) else list(value or ())  # type: ignore[call-overload]
    return [part for word in words for part in str(word).upper().replace("\\", " ").split()]
