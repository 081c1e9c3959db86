"""Label maps as volumes that viewers lay on the CT they are of: NIfTI, written slice by slice, and NRRD.

NRRD: https://teem.sourceforge.net/nrrd/format.html; the names of segments in it are those that 3D Slicer reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from gateway.errors import GeometryUnsuitable, ImageUnsuitable
from gateway.media.medical.dicom_ct import DicomVolume
from gateway.media.medical.dicom_seg import Segment
from gateway.media.medical.nifti import NiftiVolume
from gateway.media.quiet import reading

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

UInt8 = npt.NDArray[np.uint8]

_GZIP_WINDOW_BITS = 31
_FASTEST = 1
_SCANNER = 1  # the code of an affine that is the scanner's
_UNWRITABLE = "The volume's geometry does not fit in a NIfTI header."
_NOWHERE = "No affine describes where the slices of the CT lie."
_TO_DICOM = np.diag([-1.0, -1.0, 1.0, 1.0])  # x to the left and y to the back, or from there
# What places a volume. The header's texts and extensions may name a patient, and are left behind.
_PLACE = ("pixdim", "qform_code", "sform_code")
_PLACE_BY_LETTER = {"quatern_": "bcd", "qoffset_": "xyz", "srow_": "xyz"}


def write_on_nifti(volume: NiftiVolume, label_maps: Iterable[UInt8]) -> Iterator[bytes]:
    """Yield a .nii.gz that lies on a NIfTI volume: its shape, affine and units, and none of its texts.

    Args:
        volume: what the labels are of.
        label_maps: per slice of the volume in order, uint8, (rows, columns).
    """
    with reading(_UNWRITABLE, ImageUnsuitable):
        header = type(volume.header)()
        header.set_data_shape(volume.header.get_data_shape())
        header.set_xyzt_units(*volume.header.get_xyzt_units())
        letters = [f"{field}{letter}" for field, some in _PLACE_BY_LETTER.items() for letter in some]
        for field in (*_PLACE, *letters):
            header[field] = volume.header[field]
        head = _head(header)
    orientation = volume.orientation
    # In the file the first axis runs fastest, so each plane along the last axis is written transposed.
    if orientation.streams:
        return _compressed(head, (orientation.back(label_map).T for label_map in label_maps))
    array = np.empty(volume.dimensions, np.uint8)
    planes = np.moveaxis(array, orientation.axes[0], 0)
    for plane, label_map in zip(planes, label_maps, strict=True):
        plane[:] = orientation.back(label_map)
    return _compressed(head, (array[:, :, number].T for number in range(volume.dimensions[2])))


def write_on_dicom(volume: DicomVolume, label_maps: Iterable[UInt8]) -> Iterator[bytes]:
    """Yield a .nii.gz that lies on a CT of DICOM files: the array [column, row, slice] with the CT's affine.

    Args:
        volume: what the labels are of.
        label_maps: per slice of the volume in order, uint8, (rows, columns).

    Raises:
        GeometryUnsuitable: no affine describes where the slices lie.
        ImageUnsuitable: what the CT says of it does not fit in a NIfTI header.
    """
    affine = volume.affine
    if affine is None:
        raise GeometryUnsuitable(_NOWHERE)
    with reading(_UNWRITABLE, ImageUnsuitable):
        from nibabel.nifti1 import Nifti1Header

        header = Nifti1Header()
        slices, rows, columns = volume.shape
        header.set_data_shape((columns, rows, slices))
        header.set_xyzt_units("mm")
        # A rotation alone fits in the qform: a sheared stack has none.
        header.set_sform(affine, _SCANNER)
        header.set_zooms(np.linalg.norm(affine[:3, :3], axis=0))
        head = _head(header)
    return _compressed(head, label_maps)


def write_nrrd(volume: DicomVolume | NiftiVolume, labels: UInt8, segments: Sequence[Segment]) -> bytes:
    """Return an NRRD file that lies on a CT, its axes column, row and slice, with the segments named.

    Args:
        volume: what the labels are of.
        labels: uint8 (slices, rows, columns).
        segments: every value above 0 that occurs, and any that might.

    Raises:
        GeometryUnsuitable: no affine describes where the slices lie.
        ImageUnsuitable: the geometry does not fit in an NRRD header.
    """
    if isinstance(volume, NiftiVolume):
        affine = volume.orientation.slices_affine(volume.affine, volume.dimensions)
    elif volume.affine is not None:
        affine = _TO_DICOM @ volume.affine
    else:
        raise GeometryUnsuitable(_NOWHERE)
    slices, rows, columns = labels.shape
    header: dict[str, object] = {
        "space": "left-posterior-superior",
        "space directions": affine[:3, :3].T,
        "space origin": affine[:3, 3],
        "kinds": ["domain"] * 3,
        "encoding": "gzip",
    }
    for number, segment in enumerate(segments):
        header |= {
            f"Segment{number}_ID": f"Segment_{segment.value}",
            f"Segment{number}_Name": segment.name,
            f"Segment{number}_Color": " ".join(f"{channel / 255:.6g}" for channel in segment.colour),
            f"Segment{number}_LabelValue": str(segment.value),
            f"Segment{number}_Layer": "0",
            f"Segment{number}_Extent": f"0 {columns - 1} 0 {rows - 1} 0 {slices - 1}",
        }
    file = BytesIO()
    with reading("The volume's geometry does not fit in an NRRD header.", ImageUnsuitable):
        import nrrd

        nrrd.write(file, labels, header, compression_level=_FASTEST, index_order="C")
    return file.getvalue()


def _head(header: Nifti1Header) -> bytes:
    """Return the bytes of a header of uint8 labels, up to where the voxels begin."""
    start = int(header.single_vox_offset)
    header.set_data_dtype(np.uint8)
    header["vox_offset"] = start
    header["scl_slope"], header["scl_inter"] = 1, 0
    file = BytesIO()
    header.write_to(file)
    return file.getvalue()[:start].ljust(start, b"\0")


def _compressed(head: bytes, planes: Iterable[UInt8]) -> Iterator[bytes]:
    """Yield the pieces of a gzip stream: the head, then each plane, its last axis running fastest."""
    stream = isal_zlib.compressobj(_FASTEST, isal_zlib.DEFLATED, _GZIP_WINDOW_BITS)
    yield stream.compress(head)
    for plane in planes:
        yield stream.compress(np.ascontiguousarray(plane))
    yield stream.flush()
