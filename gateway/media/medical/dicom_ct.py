"""CT in DICOM files as Hounsfield units: a single slice, or the frames of a multi-frame file.

DICOM PS3.3 C.8.2 (CT), C.8.15 (enhanced CT), C.7.6.16 (functional groups), C.7.5.1.1.2 (padding).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gateway.errors import GeometryUnsuitable, ImageUnsuitable
from gateway.media.medical.body_part import BodyPart, body_part_of, require_chest
from gateway.media.medical.dicom import DicomHeader, read_header
from gateway.media.medical.dicom_pixels import stored_values
from gateway.media.medical.hounsfield_rules import check_units, kinds_of, notices_of_kind, require_ct, units_are_stated
from gateway.media.medical.slice_geometry import (
    Float64,
    Plane,
    is_axial,
    moves_within_slices,
    spatial_order,
    stack_affine,
    stack_spacing,
    tilt,
)
from gateway.media.medical.slices import (
    HU_HIGHEST,
    HU_LOWEST,
    PADDING_HU,
    HuSlice,
    SlicePlace,
    Spacing,
    VolumeLimits,
    hounsfield,
)
from gateway.media.quiet import reading

if TYPE_CHECKING:
    from pydicom import Dataset


_PLACELESS = "The DICOM file does not say in numbers where its slices lie."
# In degrees; what is less comes of rounded positions.
_SMALLEST_TILT = 0.5


@dataclass(frozen=True)
class CtFrame:
    """One frame of a file: where it lies and what its values mean.

    Attributes:
        number: of the frame in its file, from 0.
        plane: where it lies; None: the file does not say.
        spacing: of its pixels, and its thickness; None: the file does not say.
        slope: Hounsfield units per stored value.
        intercept: Hounsfield units of the stored value 0.
        padding: lowest and highest stored value that is no measurement; None: all are.
    """

    number: int
    plane: Plane | None
    spacing: Spacing | None
    slope: float
    intercept: float
    padding: tuple[int, int] | None


@dataclass(frozen=True, repr=False, eq=False)
class SourceSlice:
    """One slice of a volume: the file it is in, without its bytes, and how to get these again.

    Attributes:
        header: of the file.
        frame: which frame of it, and where that lies.
        load: returns the bytes of the file.
    """

    header: DicomHeader
    frame: CtFrame
    load: Callable[[], bytes]


@dataclass(frozen=True, repr=False, eq=False)
class DicomVolume:
    """A CT of DICOM files, its slices in order of their position along the normal.

    Attributes:
        sources: the slices; all of one series, size and orientation, evenly spaced.
        notices: what the caller should know.
    """

    sources: tuple[SourceSlice, ...]
    notices: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        layout = self.sources[0].header.layout
        return len(self.sources), layout.rows, layout.columns

    @property
    def planes(self) -> tuple[Plane, ...]:
        """Where the slices lie; none of a single slice whose file does not say."""
        return tuple(source.frame.plane for source in self.sources if source.frame.plane is not None)

    @property
    def spacing(self) -> Spacing | None:
        """Distances between voxels; None: the file does not say."""
        return stack_spacing(self.planes) if self.planes else self.sources[0].frame.spacing

    @property
    def affine(self) -> Float64 | None:
        """NIfTI's affine of the array [column, row, slice]; None: none describes where the slices lie."""
        return None if not self.planes or moves_within_slices(self.planes) else stack_affine(self.planes)

    @property
    def states_units(self) -> bool:
        """Whether the file says that its values are Hounsfield units."""
        return states_units(self.sources[0].header)

    @property
    def held_bytes(self) -> int:
        """0: slices are decoded one at a time."""
        return 0

    @property
    def places(self) -> tuple[SlicePlace, ...]:
        """Which file each slice is, and where it lies."""
        return tuple(
            SlicePlace(
                str(source.header.dataset.get("SOPInstanceUID", "")) or None,
                source.frame.plane.origin if source.frame.plane else None,
            )
            for source in self.sources
        )

    @property
    def body_part(self) -> BodyPart:
        """Which part of the body the files say they show."""
        return self.sources[0].header.body_part

    def slices(self, but: Container[int] = ()) -> Iterator[HuSlice]:
        """Yield the slices in spatial order, each decoded when it is asked for, without those of the numbers `but`."""
        for number, source in enumerate(self.sources):
            if number not in but:
                yield decode_frame(source.header, source.load(), source.frame)


def read_ct(data: bytes, limits: VolumeLimits, stated: BodyPart | None = None) -> DicomVolume:
    """Read one DICOM file: a CT slice, or an enhanced CT of many.

    Args:
        data: the file.
        limits: of the volume.
        stated: which part of the body the caller says it shows, whatever the file says.

    Raises:
        ModalityUnsuitable: not a CT.
        BodyPartUnsuitable: the file says that it shows another part of the body than the chest.
        ImageUnsuitable: a scout, or without what makes Hounsfield units of its values.
        GeometryUnsuitable: without position, orientation or pixel spacing.
        SeriesUnsuitable: the frames of the file do not form a volume.
        MaskgateError: whatever `read_header` and `limits` refuse.
    """

    def judge(dataset: Dataset) -> None:
        require_ct(dataset)
        require_chest(body_part_of(dataset), stated)

    header = read_header(data, judge=judge)
    layout = header.layout
    limits.check(layout.rows, layout.columns, layout.frames)
    return volume_of([SourceSlice(header, frame, lambda: data) for frame in ct_frames(header)])


def volume_of(sources: list[SourceSlice]) -> DicomVolume:
    """Return slices of one series and size, in whatever order, as a volume.

    Raises:
        SeriesUnsuitable: they are not parallel or not evenly spaced.
    """
    planes = [source.frame.plane for source in sources if source.frame.plane is not None]
    if len(planes) < len(sources) and len(sources) > 1:
        raise GeometryUnsuitable("The DICOM file does not say where its slices lie.")
    order = spatial_order(planes) if planes else [0]
    stack = [planes[number] for number in order] if planes else []
    notices = []
    if not stack:
        notices.append("the file does not say where its slice lies")
    elif moves_within_slices(stack):
        notices.append("the centre of reconstruction moves from slice to slice")
    elif (degrees := tilt(stack)) > _SMALLEST_TILT:
        notices.append(f"the gantry was tilted by {degrees:.1f} degrees")
    if any(source.header.lossy for source in sources):
        notices.append("the pixels were compressed with losses")
    first = sources[0].header
    notices += notices_of_kind(first.dataset, _group(first, 0, "PixelValueTransformationSequence"))
    if stack and not is_axial(stack[0].normal):
        notices.append("the slices are not axial")
    return DicomVolume(tuple(sources[number] for number in order), tuple(notices))


def states_units(header: DicomHeader) -> bool:
    """Return whether a file says that its values are Hounsfield units, of its first frame."""
    return units_are_stated(_group(header, 0, "PixelValueTransformationSequence"))


def ct_frames(header: DicomHeader) -> tuple[CtFrame, ...]:
    """Return the frames of a CT file.

    Raises:
        ModalityUnsuitable, ImageUnsuitable, GeometryUnsuitable: as `read_ct`.
    """
    require_ct(header.dataset)
    kinds = kinds_of(header.dataset)
    return tuple(_frame(header, number, kinds) for number in range(header.layout.frames))


def moved_frame(frame: CtFrame, header: DicomHeader) -> CtFrame | None:
    """Return the only frame of a file whose header is of one `kin` with that of `frame`; None: it lies nowhere.

    Raises:
        GeometryUnsuitable: it does not say in numbers where.
    """
    with reading(_PLACELESS, GeometryUnsuitable):
        position = header.dataset.get("ImagePositionPatient")
        if frame.plane is None or not position:
            return None
        return replace(frame, plane=frame.plane.moved(position))


def decode_frame(header: DicomHeader, data: bytes, frame: CtFrame) -> HuSlice:
    """Return a frame in Hounsfield units; what is padding is `PADDING_HU`.

    Raises:
        ImageUnreadable, CompressionUnsupported: as `stored_values`.
    """
    stored = stored_values(header, data, frame.number)
    whole = header.layout.allocated < 32 and frame.slope == 1 and frame.intercept.is_integer()
    if whole and _within_16_bits(stored, int(frame.intercept)):
        units = stored.astype(np.int16)
        units += np.int16(frame.intercept)
        _pad(units, stored, frame.padding)
        return HuSlice(units, 0)
    values: npt.NDArray[np.float64] | npt.NDArray[np.int32]
    if whole:
        values = stored.astype(np.int32) + np.int32(int(frame.intercept))
    else:
        values = stored * np.float64(frame.slope) + frame.intercept
    _pad(values, stored, frame.padding)
    return hounsfield(values)


def _within_16_bits(stored: npt.NDArray[Any], intercept: int) -> bool:
    """Return whether nothing is beyond int16, neither the intercept nor any of the values with it: so with scanners."""
    return (
        HU_LOWEST <= intercept <= HU_HIGHEST
        and int(stored.min()) + intercept >= HU_LOWEST
        and int(stored.max()) + intercept <= HU_HIGHEST
    )


def _pad(values: npt.NDArray[Any], stored: npt.NDArray[Any], padding: tuple[int, int] | None) -> None:
    """Set to `PADDING_HU` what is stored as padding."""
    if padding is not None:
        lowest, highest = padding
        values[(stored >= lowest) & (stored <= highest)] = PADDING_HU


def _frame(header: DicomHeader, number: int, kinds: Sequence[str]) -> CtFrame:
    with reading(_PLACELESS, GeometryUnsuitable):
        position = _group(header, number, "PlanePositionSequence").get("ImagePositionPatient")
        orientation = _group(header, number, "PlaneOrientationSequence").get("ImageOrientationPatient")
        measures = _group(header, number, "PixelMeasuresSequence")
        pixels, thickness = measures.get("PixelSpacing"), _number(measures.get("SliceThickness"))
        plane, spacing = None, None
        if pixels:
            spacing = Spacing(float(pixels[0]), float(pixels[1]), thickness)
            if position and orientation:
                plane = Plane.of(position, orientation, pixels, thickness)
    with reading("The DICOM file does not say what its values are in Hounsfield units.", ImageUnsuitable):
        transformation = _group(header, number, "PixelValueTransformationSequence")
        slope, intercept = float(transformation.RescaleSlope), float(transformation.RescaleIntercept)
        if not (np.isfinite([slope, intercept]).all() and slope):
            raise ImageUnsuitable("The DICOM file's rescale slope or intercept is not a number to use.")
    check_units(kinds, transformation)
    with reading("The DICOM file's padding value is damaged."):
        padding = padding_range(header)
    return CtFrame(number, plane, spacing, slope, intercept, padding)


def _group(header: DicomHeader, frame: int, sequence: str) -> Dataset:
    """Return where the attributes of a functional group are: the frame's, those of all frames, or the file's own."""
    dataset = header.dataset
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    for groups in (*per_frame[frame : frame + 1], *shared):
        if groups.get(sequence):
            group: Dataset = groups[sequence].value[0]
            return group
    return dataset


def padding_range(header: DicomHeader) -> tuple[int, int] | None:
    """Return the lowest and highest stored value that is padding."""
    value = header.dataset.get("PixelPaddingValue")
    if value is None:
        return None
    ends = [int(value), int(header.dataset.get("PixelPaddingRangeLimit", value))]
    if header.layout.signed:  # some write the bits of a negative number as a positive one
        half = 1 << (header.layout.allocated - 1)
        ends = [end - 2 * half if end >= half else end for end in ends]
    return min(ends), max(ends)


def _number(value: object) -> float | None:
    return None if value in (None, "") else float(str(value))
