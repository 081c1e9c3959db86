"""NIfTI volumes, slice by slice along the last axis and in the order of the array.

The last axis is the slowest of the file, so its slices are read one after the other, out of gzip too, and a volume is
never held decoded. nibabel reads the header; the voxels are read here.

NIfTI-1: https://nifti.nimh.nih.gov/nifti-1, NIfTI-2: https://nifti.nimh.nih.gov/nifti-2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from isal import igzip, isal_zlib

from gateway.errors import GeometryUnsuitable, ImageUnreadable, ImageUnsuitable, UnsupportedMedia
from gateway.media.medical.slice_geometry import is_axial
from gateway.media.medical.slices import HuSlice, Spacing, VolumeLimits, hounsfield
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
    """A volume of a NIfTI file; its slices are array[:, :, k], (rows, columns) = the first two axes.

    Attributes:
        header: nibabel's; its text fields may name a patient and are never copied.
        shape: (slices, rows, columns).
        affine: float64, (4, 4): array indices (i, j, k) to mm, x to the patient's right … NIfTI's way round.
        spacing: distances between voxels.
        notices: what the caller should know.
        data: the file, compressed or not.
    """

    header: Nifti1Header
    shape: tuple[int, int, int]
    affine: Float64
    spacing: Spacing
    notices: tuple[str, ...]
    data: bytes

    def slices(self) -> Iterator[HuSlice]:
        """Yield the slices along the last axis, each decoded when it is asked for.

        Raises:
            ImageUnreadable: the voxels are cut short, or the compression is damaged.
            ImageUnsuitable: a voxel is infinite or not a number.
        """
        slices, rows, columns = self.shape
        dtype = self.header.get_data_dtype()
        slope, intercept = _scaling(self.header)
        file = _opened(self.data)
        _take(file, _start(self.header))
        for _ in range(slices):
            voxels = np.frombuffer(_take(file, rows * columns * dtype.itemsize), dtype).reshape(columns, rows).T
            yield _decoded(voxels, slope, intercept)


def is_nifti(data: bytes | memoryview) -> bool:
    """Return whether `data` begins like a NIfTI file, compressed or not, also one that is cut off in its header.

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
    return _version(head) is not None if len(head) >= _HEADER_BYTES[1] else head[:_SIZE_BYTES] in _SIZES


def read_nifti(data: bytes, limits: VolumeLimits) -> NiftiVolume:
    """Read the header of a NIfTI file (.nii or .nii.gz); no voxel is read.

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
    rows, columns, slices = _three(dimensions)
    limits.check(rows, columns, slices)
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ImageUnsuitable("The NIfTI voxels are complex, coloured or of a type that is not read here.")
    if not _HEADER_BYTES[version] <= start <= _LONGEST_START:
        raise ImageUnreadable("The NIfTI header puts the voxels where none can be.")
    # Of gzip as many as so many bytes can be at most.
    most = len(data) * (_MOST_INFLATED if data.startswith(GZIP_SIGNATURE) else 1)
    if most < start + rows * columns * slices * dtype.itemsize:
        raise ImageUnreadable(_CUT_SHORT)
    affine[:3] *= _MM_PER_UNIT.get(unit, 1.0)
    notices = []
    if not oriented:
        notices.append("the file does not say how it lies in the patient")
    elif not is_axial(affine[:3, 2]):
        notices.append("the slices along the last axis are not axial")
    return NiftiVolume(header, (slices, rows, columns), affine, _spacing(affine), tuple(notices), data)


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
    rows, columns, slices = (*dimensions, 1)[:3]
    return rows, columns, slices


def _spacing(affine: Float64) -> Spacing:
    """Return distances between neighbouring voxels; of slices along their normal, as the affine may be sheared."""
    if not np.isfinite(affine).all():
        raise GeometryUnsuitable("The NIfTI affine holds what is not a number.")
    rows, columns = np.linalg.norm(affine[:3, 0]), np.linalg.norm(affine[:3, 1])
    area = np.linalg.norm(np.cross(affine[:3, 0], affine[:3, 1]))
    volume = abs(np.linalg.det(affine[:3, :3]))
    if not (rows > 0 and columns > 0 and area > 1e-6 * rows * columns and volume > 0):
        raise GeometryUnsuitable("The NIfTI affine does not describe a volume.")
    return Spacing(float(rows), float(columns), float(volume / area))


def _scaling(header: Nifti1Header) -> tuple[float, float]:
    """Return slope and intercept; a slope of 0 or none stands for no scaling."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    return (slope, intercept) if slope and np.isfinite([slope, intercept]).all() else (1.0, 0.0)


def _start(header: Nifti1Header) -> int:
    """Return the byte at which the voxels begin."""
    return int(header["vox_offset"])


def _decoded(voxels: npt.NDArray[Any], slope: float, intercept: float) -> HuSlice:
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        raise ImageUnsuitable("The NIfTI file holds voxels that are infinite or not a number.")
    if (slope, intercept) == (1.0, 0.0) and voxels.dtype.kind in "iu" and voxels.dtype.itemsize <= 2:
        return hounsfield(voxels.astype(np.int32))
    return hounsfield(voxels * np.float64(slope) + intercept)


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
