from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.media.medical.archives import ArchiveLimits
from gateway.media.medical.label_volumes import write_on_dicom, write_on_nifti
from gateway.media.medical.nifti import read_nifti
from gateway.media.medical.series import read_series
from gateway.media.medical.slices import VolumeLimits
from tests.support.dicoms import NAME, SURNAME, ct, ramp, saved, zipped

Array = NDArray[Any]

LIMITS = VolumeLimits(max_side=512, min_side=1, max_slices=50)

# Oblique, anisotropic, mirrored: (x, y, z) of a voxel (i, j, k).
OBLIQUE = np.array(
    [
        [-0.66, 0.12, 0.4, 90.5],
        [0.15, 0.71, 1.9, -120.25],
        [0.02, -0.41, 4.2, 33.0],
        [0, 0, 0, 1],
    ]
)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "affine",
    [OBLIQUE, np.diag([-0.7, -0.8, -2.5, 1]), OBLIQUE[:, [2, 0, 1, 3]], OBLIQUE[:, [0, 2, 1, 3]]],
    ids=["oblique", "reversed", "slices first", "slices second"],
)
@pytest.mark.parametrize("shape", [(7, 9, 5), (31, 2, 3), (8, 8, 1)], ids=str)
def test_a_marked_voxel_comes_back_where_it_was(shape: tuple[int, int, int], affine: Array, version: int) -> None:
    marked = tuple(size // 2 for size in shape)
    voxels = np.full(shape, -900, np.int16)
    voxels[marked] = 40
    kind: Any = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    source = read_nifti(gzip.compress(kind(voxels, affine).to_bytes()), LIMITS)
    answer = b"".join(write_on_nifti(source, ((one.pixels > 0).astype(np.uint8) for one in source.slices())))
    labels = kind.from_bytes(gzip.decompress(answer))
    found = np.argwhere(np.asanyarray(labels.dataobj))
    assert found.tolist() == [list(marked)]
    assert np.asanyarray(labels.dataobj).dtype == np.uint8
    assert labels.shape == shape
    assert np.allclose(labels.affine, affine, atol=1e-5)
    assert labels.header.get_xyzt_units() == nibabel.Nifti1Image(voxels, affine).header.get_xyzt_units()


def test_qform_and_its_sign_survive() -> None:
    image = nibabel.Nifti1Image(np.zeros((7, 9, 5), np.int16), None)
    rotated = np.diag([0.5, 0.6, -2.0, 1.0])
    image.set_qform(rotated, code=1)
    image.set_sform(None, code=0)
    source = read_nifti(image.to_bytes(), LIMITS)
    answer = b"".join(write_on_nifti(source, (np.ones((9, 7), np.uint8) for _ in range(5))))
    labels = nibabel.Nifti1Image.from_bytes(gzip.decompress(answer))
    assert np.allclose(labels.affine, rotated)
    assert int(labels.header["qform_code"]) == 1
    assert int(labels.header["sform_code"]) == 0


def test_texts_and_extensions_of_the_input_are_not_in_the_answer() -> None:
    image = nibabel.Nifti1Image(np.zeros((7, 9, 5), np.int16), np.eye(4))
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[field] = SURNAME.encode()
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", NAME.encode()))
    data = image.to_bytes()
    assert SURNAME.encode() in data
    source = read_nifti(data, LIMITS)
    answer = b"".join(write_on_nifti(source, (np.zeros((9, 7), np.uint8) for _ in range(5))))
    assert SURNAME.encode() not in gzip.decompress(answer)
    assert SURNAME not in repr(source)


@pytest.mark.parametrize(
    "orientation",
    [
        (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        (0.9659258263, 0.2588190451, 0.0, -0.1830127019, 0.6830127019, 0.7071067812),
    ],
    ids=["axial", "reversed", "oblique"],
)
def test_a_marked_voxel_of_a_dicom_series_lies_in_nifti_where_it_was(orientation: Sequence[float]) -> None:
    along_row, along_column = np.array(orientation).reshape(2, 3)
    normal = np.cross(along_row, along_column)
    origin = np.array([5.0, -7.0, 11.0])
    files = []
    for k in (2, 0, 1):
        values = ramp(17, 23) * 0 - 900
        if k == 1:
            values[4, 9] = 40
        place = origin + 2.2 * k * normal
        files.append((str(k), saved(ct(values, position=place, orientation=orientation, instance=k))))
    volume = read_series(zipped(files), ArchiveLimits(9, 1 << 20, 1 << 22), LIMITS)
    label_maps = ((one.pixels > 0).astype(np.uint8) for one in volume.slices())
    labels = nibabel.Nifti1Image.from_bytes(gzip.decompress(b"".join(write_on_dicom(volume, label_maps))))
    (found,) = np.argwhere(np.asanyarray(labels.dataobj))
    right, front, head, _ = labels.affine @ [*found, 1]
    # Spacing is (0.7, 0.6): between rows, between columns.
    expected = origin + 9 * 0.6 * along_row + 4 * 0.7 * along_column + 2.2 * normal
    assert np.allclose([-right, -front, head], expected, atol=2e-3)
    assert labels.header.get_zooms() == pytest.approx((0.6, 0.7, 2.2), abs=1e-4)
