"""The JSON answer of `POST /v1/ct`, as OpenAPI shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from pydantic import BaseModel, Field

from gateway.http.answers import ClassShare, Provenance, class_shares
from gateway.media.medical.slices import Spacing
from gateway.repository.card import ClassSpec
from gateway.tasks.ct.pipeline import CtFindings, SliceFindings

_SHARE_DIGITS, _MEASURE_DIGITS = 6, 4


class SpacingAnswer(BaseModel):
    """Distances between the centres of neighbouring voxels, in mm."""

    rows: float = Field(description="From one row to the next", examples=[0.7])
    columns: float = Field(description="From one column to the next", examples=[0.7])
    slices: float | None = Field(
        description="From one slice to the next, along their normal; of a single slice its thickness; null: not known",
        examples=[1.25],
    )

    @classmethod
    def of(cls, spacing: Spacing) -> Self:
        """Return it as JSON shows it."""
        return cls(rows=spacing.rows, columns=spacing.columns, slices=spacing.slices)


class LesionAnswer(BaseModel):
    """How much of one lesion class there is in all slices."""

    value: int = Field(description="Value in the label maps", examples=[1])
    name: str = Field(examples=["ground-glass"])
    voxels: int = Field(examples=[81234])
    imaged_share: float = Field(description="Of the imaged field, 0 to 1", examples=[0.0121])
    volume_ml: float | None = Field(description="null: the file does not say how large voxels are", examples=[49.76])


class SliceLesionAnswer(BaseModel):
    """How much of one lesion class there is in one slice."""

    value: int = Field(examples=[1])
    pixels: int = Field(examples=[1302])
    imaged_share: float = Field(examples=[0.0062])
    area_mm2: float | None = Field(description="null: the file does not say how large pixels are", examples=[637.98])


class SliceAnswer(BaseModel):
    """One slice."""

    number: int = Field(description="From 0", examples=[17])
    instance: str | None = Field(
        default=None, description="SOPInstanceUID of its DICOM file; null: it came in none", examples=["1.2.840.1"]
    )
    position: tuple[float, float, float] | None = Field(
        default=None,
        description="Where its first pixel lies, in mm to the patient's left, back and head; null: not known",
        examples=[(-160.0, -160.0, -57.5)],
    )
    imaged_pixels: int = Field(description="Inside the scanner's field of view", examples=[209104])
    lesions: list[SliceLesionAnswer]


class StoredFile(BaseModel):
    """A result that was stored in the DICOMweb server."""

    form: str = Field(description="What `store` calls it", examples=["dicom"])
    series: str = Field(description="SeriesInstanceUID", examples=["1.2.840.2"])
    instance: str = Field(description="SOPInstanceUID", examples=["1.2.840.3"])


class CtAnswer(BaseModel):
    """The lesions of a CT in numbers.

    Slices of DICOM files are in the order of their position along the normal, those of NIfTI in that of the array.
    """

    model: str = Field(examples=["cogseg"])
    width: int = Field(description="Columns of a slice", examples=[512])
    height: int = Field(description="Rows of a slice", examples=[512])
    spacing: SpacingAnswer | None = Field(description="null: the file does not say, as PNG does not")
    classes: list[ClassShare] = Field(description="Over all slices")
    lesions: list[LesionAnswer] = Field(description="The same in ml, without the background")
    slices: list[SliceAnswer]
    notices: list[str] = Field(description="What was done to the slices, and what to beware of")
    provenance: Provenance
    files: dict[str, str] = Field(default={}, description="What `include` asked for: base64 by name", examples=[{}])
    stored: list[StoredFile] = Field(default=[], description="What `store` asked for", examples=[[]])


def ct_answer(
    findings: CtFindings,
    size: tuple[int, int],
    classes: Sequence[ClassSpec],
    notices: Sequence[str],
    provenance: Provenance,
    files: Mapping[str, str],
    stored: Sequence[StoredFile],
) -> CtAnswer:
    """Return findings in slices of `size`, (rows, columns), as JSON shows them, with base64 files by name."""
    counts, imaged = findings.counts, findings.imaged
    rows, columns = size
    return CtAnswer(
        model=provenance.model,
        width=columns,
        height=rows,
        spacing=findings.spacing and SpacingAnswer.of(findings.spacing),
        classes=class_shares(classes, counts),
        lesions=[
            LesionAnswer(
                value=spec.value,
                name=spec.name,
                voxels=counts[spec.value],
                imaged_share=_share(counts[spec.value], imaged),
                volume_ml=_measure(findings.volume(counts[spec.value])),
            )
            for spec in classes[1:]
        ],
        slices=[_slice_answer(findings, number, one) for number, one in enumerate(findings.slices)],
        notices=list(notices),
        provenance=provenance,
        files=dict(files),
        stored=list(stored),
    )


def _slice_answer(findings: CtFindings, number: int, one: SliceFindings) -> SliceAnswer:
    place = findings.places[number]
    return SliceAnswer(
        number=number,
        instance=place.instance,
        position=place.position and _rounded(place.position),
        imaged_pixels=one.imaged,
        lesions=[
            SliceLesionAnswer(
                value=value,
                pixels=pixels,
                imaged_share=_share(pixels, one.imaged),
                area_mm2=_measure(findings.area(pixels)),
            )
            for value, pixels in enumerate(one.counts[1:], start=1)
        ],
    )


def _rounded(position: tuple[float, float, float]) -> tuple[float, float, float]:
    x, y, z = (round(value, _MEASURE_DIGITS) for value in position)
    return x, y, z


def _share(pixels: int, imaged: int) -> float:
    """Return the share of the imaged field; of a slice that is all padding there is none."""
    return round(min(1.0, pixels / imaged), _SHARE_DIGITS) if imaged else 0.0


def _measure(value: float | None) -> float | None:
    return None if value is None else round(value, _MEASURE_DIGITS)
