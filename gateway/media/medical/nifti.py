"""NIfTI volumes, as axial slices the way DICOM shows them, in the order of the array.

The last axis is the slowest of the file. Where it is the axis of slices, as it mostly is, they are read one after the
other, out of gzip too, and a volume is never held. Of other volumes the voxels are held as they were stored. nibabel
reads the header; the voxels are read here.

NIfTI-1: https://nifti.nimh.nih.gov/nifti-1, NIfTI-2: https://nifti.nimh.nih.gov/nifti-2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from isal import igzip, isal_zlib

from gateway.errors import GeometryUnsuitable, ImageUnreadable, ImageUnsuitable, UnsupportedMedia
from gateway.media.medical.nifti_orientation import Orientation
from gateway.media.medical.slices import PADDING_HU, HuSlice, SlicePlace, Spacing, VolumeLimits, hounsfield
from gateway.media.quiet import reading

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

Float64 = npt.NDArray[np.float64]

GZIP_SIGNATURE = b"\x1f\x8b"

_CUT_SHORT = "The NIfTI file is cut short or damaged."
_HEADER_BYTES = {1: 348, 2: 540}
# What a header begins with: its own size, in either byte order.
_SIZE_BYTES = 4
_SIZES = tuple(size.to_bytes(_SIZE_BYTES, order) for size in _HEADER_BYTES.values() for order in ("little", "big"))
_READ_AHEAD = 1 << 16
_GZIP = 16 + 15
# Deflate's best: 258 bytes of two bits.
_MOST_INFLATED = 1032
# Extensions lie between the header and the voxels.
_LONGEST_START = 1 << 20
_MM_PER_UNIT = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, repr=False, eq=False)
class NiftiVolume:
    """A volume of a NIfTI file.

    Attributes:
        header: nibabel's; its text fields may name a patient and are never copied.
        dimensions: of the array, in its own order.
        orientation: which of its axes are slices, rows and columns.
        affine: float64, (4, 4): array indices (i, j, k) to mm, x to the patient's right … NIfTI's way round.
        notices: what the caller should know.
        data: the file, compressed or not.
        scale: Hounsfield units per value of the file, after its own scaling.
        offset: Hounsfield units of its value 0.
    """

    header: Nifti1Header
    dimensions: tuple[int, int, int]
    orientation: Orientation
    affine: Float64
    notices: tuple[str, ...]
    data: bytes
    scale: float = 1.0
    offset: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return self.orientation.shape(self.dimensions)

    @property
    def spacing(self) -> Spacing:
        """Distances between voxels."""
        return self.orientation.spacing(self.affine)

    @property
    def states_units(self) -> bool:
        """False: NIfTI has no place to say it."""
        return False

    @property
    def held_bytes(self) -> int:
        """Bytes of voxels that are held while the slices are read."""
        return 0 if self.orientation.streams else prod(self.dimensions) * int(self.header.get_data_dtype().itemsize)

    @property
    def places(self) -> tuple[SlicePlace, ...]:
        """Where each slice lies."""
        return tuple(
            SlicePlace(None, self.orientation.position(self.affine, number, self.dimensions))
            for number in range(self.shape[0])
        )

    def slices(self) -> Iterator[HuSlice]:
        """Yield the slices in the order of the array, each decoded when it is asked for.

        Raises:
            ImageUnreadable: the voxels are cut short, or the compression is damaged.
            ImageUnsuitable: a voxel is infinite.
        """
        first, second, third = self.dimensions
        dtype = self.header.get_data_dtype()
        slope, intercept = _scaling(self.header)
        slope, intercept = slope * self.scale, intercept * self.scale + self.offset
        file = _opened(self.data)
        _take(file, _start(self.header))
        together = 1 if self.orientation.streams else third
        for _ in range(0, third, together):
            stored = np.frombuffer(_take(file, first * second * together * dtype.itemsize), dtype)
            planes = np.moveaxis(stored.reshape(together, second, first).T, self.orientation.axes[0], 0)
            for plane in planes:
                yield _decoded(self.orientation.plane(plane), slope, intercept)


def is_nifti(data: bytes | memoryview) -> bool:
    """Return whether `data` begins like a NIfTI file, compressed or not, also one that is cut off in its header.

    The header of a pair of files (.hdr, .img) counts too: what it lacks is told best where the header is read.

    Gzip that is cut off or damaged before it shows what it holds counts: nothing else is read compressed so.
    """
    head = bytes(data[:_READ_AHEAD])
    if head.startswith(GZIP_SIGNATURE):
        stream = isal_zlib.decompressobj(_GZIP)
        try:
            with reading(_CUT_SHORT):
                head = stream.decompress(head, _HEADER_BYTES[2])
        except ImageUnreadable:
            return True
        if len(head) < _SIZE_BYTES and not stream.eof:
            return True
    if len(head) < _HEADER_BYTES[1]:
        return head[:_SIZE_BYTES] in _SIZES
    return _version(head) is not None or head[344:348] == b"ni1\0" or head[4:8] == b"ni2\0"


def read_nifti(data: bytes, limits: VolumeLimits, scale: float = 1.0, offset: float = 0.0) -> NiftiVolume:
    """Read the header of a NIfTI file (.nii or .nii.gz); no voxel is read.

    Args:
        data: the file.
        limits: of the volume.
        scale: Hounsfield units per value of the file, after its own scaling.
        offset: Hounsfield units of its value 0.

    Raises:
        UnsupportedMedia: not NIfTI in one file.
        ImageUnsuitable: of more dimensions than three, or of values that are no Hounsfield units can be.
        GeometryUnsuitable: its affine does not describe a volume.
        ImageUnreadable: damaged, or cut short before its voxels end, where that can be seen without reading them.
        ImageTooLarge: as `limits` says.
    """
    head = _take(_opened(data), _HEADER_BYTES[1])
    version = _version(head)
    if version is None:
        raise UnsupportedMedia("The file is not NIfTI in one file (.nii or .nii.gz).")
    with reading("The NIfTI header is damaged."):
        from nibabel.nifti1 import Nifti1Header
        from nibabel.nifti2 import Nifti2Header

        kind = Nifti1Header if version == 1 else Nifti2Header
        header = kind.from_fileobj(BytesIO(_take(_opened(data), _HEADER_BYTES[version])), check=True)
        dimensions = tuple(int(size) for size in header.get_data_shape())
        affine, start = np.asarray(header.get_best_affine(), np.float64), _start(header)
        unit = header.get_xyzt_units()[0]
        oriented = bool(header["qform_code"] or header["sform_code"])
    affine[:3] *= _MM_PER_UNIT.get(unit, 1.0)
    _check_affine(affine)
    orientation, array = Orientation.of(affine), _three(dimensions)
    slices, rows, columns = orientation.shape(array)
    limits.check(rows, columns, slices)
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ImageUnsuitable("The NIfTI voxels are complex, coloured or of a type that is not read here.")
    if not _HEADER_BYTES[version] <= start <= _LONGEST_START:
        raise ImageUnreadable("The NIfTI header puts the voxels where none can be.")
    # Of gzip as many as so many bytes can be at most.
    most = len(data) * (_MOST_INFLATED if data.startswith(GZIP_SIGNATURE) else 1)
    if most < start + prod(array) * dtype.itemsize:
        raise ImageUnreadable(_CUT_SHORT)
    notices = [] if oriented else ["the file does not say how it lies in the patient"]
    return NiftiVolume(header, array, orientation, affine, tuple(notices), data, scale, offset)


def _version(head: bytes) -> int | None:
    """Return which NIfTI in one file it is; None: none."""
    if head[344:348] == b"n+1\0":
        return 1
    return 2 if head[4:8] == b"n+2\0" else None


def _three(dimensions: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the first three dimensions, where there are no more that matter."""
    if any(size > 1 for size in dimensions[3:]):
        raise ImageUnsuitable("The NIfTI file has a fourth dimension; one volume is needed.")
    if len(dimensions) < 2 or min(dimensions) < 1:
        raise ImageUnsuitable("The NIfTI file has no slices.")
    first, second, third = (*dimensions, 1)[:3]
    return first, second, third


def _check_affine(affine: Float64) -> None:
    """Refuse an affine that describes no volume.

    Raises:
        GeometryUnsuitable: it holds what is not a number, or its axes span nothing.
    """
    if not np.isfinite(affine).all():
        raise GeometryUnsuitable("The NIfTI affine holds what is not a number.")
    rows, columns = np.linalg.norm(affine[:3, 0]), np.linalg.norm(affine[:3, 1])
    area = np.linalg.norm(np.cross(affine[:3, 0], affine[:3, 1]))
    volume = abs(np.linalg.det(affine[:3, :3]))
    if not (rows > 0 and columns > 0 and area > 1e-6 * rows * columns and volume > 0):
        raise GeometryUnsuitable("The NIfTI affine does not describe a volume.")


def _scaling(header: Nifti1Header) -> tuple[float, float]:
    """Return slope and intercept; a slope of 0 or none stands for no scaling."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    return (slope, intercept) if slope and np.isfinite([slope, intercept]).all() else (1.0, 0.0)


def _start(header: Nifti1Header) -> int:
    """Return the byte at which the voxels begin."""
    return int(header["vox_offset"])


def _decoded(voxels: npt.NDArray[Any], slope: float, intercept: float) -> HuSlice:
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        return _with_gaps(voxels, slope, intercept)
    if (slope, intercept) == (1.0, 0.0) and voxels.dtype.kind in "iu" and voxels.dtype.itemsize <= 2:
        return hounsfield(voxels.astype(np.int32))
    return hounsfield(voxels * np.float64(slope) + intercept)


def _with_gaps(voxels: npt.NDArray[Any], slope: float, intercept: float) -> HuSlice:
    """Return a slice of which some voxels are not a number, as programs write what lies outside the field of view.

    Raises:
        ImageUnsuitable: some are infinite.
    """
    missing = np.isnan(voxels)
    if np.isinf(voxels).any():
        raise ImageUnsuitable("The NIfTI file holds voxels that are infinite.")
    values = voxels * np.float64(slope) + intercept
    values[missing] = PADDING_HU
    return replace(hounsfield(values), missing=int(np.count_nonzero(missing)))


def _opened(data: bytes) -> _Readable:
    """Return the file's content as a stream; nothing is inflated before it is read."""
    if data[:2] == GZIP_SIGNATURE:
        stream: _Readable = igzip.GzipFile(fileobj=BytesIO(data))
        return stream
    return BytesIO(data)


def _take(stream: _Readable, size: int) -> bytes:
    """Return the next `size` bytes.

    Raises:
        ImageUnreadable: there are not as many, or the compression is damaged.
    """
    with reading(_CUT_SHORT):
        taken = stream.read(size)
    if len(taken) != size:
        raise ImageUnreadable(_CUT_SHORT)
    return taken
