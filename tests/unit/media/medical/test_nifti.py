from __future__ import annotations

import gzip
import tracemalloc
from itertools import permutations
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.errors import (
    GeometryUnsuitable,
    ImageTooLarge,
    ImageUnreadable,
    ImageUnsuitable,
    MaskgateError,
    UnsupportedMedia,
)
from gateway.media.medical.nifti import NiftiVolume, is_nifti, read_nifti
from gateway.media.medical.slices import PADDING_HU, VolumeLimits

Array = NDArray[Any]

LIMITS = VolumeLimits(max_side=512, min_side=2, max_slices=50)


def volume(shape: tuple[int, ...] = (7, 9, 5), seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(-1024, 1500, shape).astype(np.int16)


def saved(voxels: Array, affine: Array | None = None, version: int = 1, compress: bool = False, **fields: Any) -> bytes:
    kind: Any = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    image = kind(voxels, np.diag([-0.7, -0.8, 2.5, 1]) if affine is None else affine, dtype=voxels.dtype)
    data = patched(image.to_bytes(), **fields) if fields else image.to_bytes()
    return gzip.compress(data, 1) if compress else data


def patched(data: bytes, **fields: Any) -> bytes:
    """Return a NIfTI-1 file with fields of its header set, as nibabel would not save them."""
    head = nibabel.Nifti1Header(data[:348], check=False)
    for field, value in fields.items():
        head[field] = value
    return bytes(head.binaryblock) + data[348:]


def read(data: bytes) -> NiftiVolume:
    return read_nifti(data, LIMITS)


def pixels(data: bytes) -> Array:
    """Return the slices of a file of `saved`, put together in the order of its array, whose first axis is columns."""
    return np.stack([one.pixels.T for one in read(data).slices()], axis=-1)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "<u2", "<i4", "<f4", ">f4", "<f8"])
def test_values_of_every_type_come_in_the_order_of_the_array(dtype: str, version: int, compress: bool) -> None:
    voxels = np.clip(volume(), 0, 120).astype(dtype)
    image = read(saved(voxels, version=version, compress=compress))
    assert image.shape == (5, 9, 7)
    for number, one in enumerate(image.slices()):
        assert one.pixels.dtype == np.int16
        assert (one.pixels == voxels[:, :, number].T).all()


@given(st.tuples(*[st.integers(2, 12)] * 3), st.booleans())
def test_odd_sizes(shape: tuple[int, int, int], compress: bool) -> None:
    voxels = volume(shape)
    assert (pixels(saved(voxels, compress=compress)) == voxels).all()


def test_slope_and_intercept_are_applied() -> None:
    voxels = volume()
    assert (pixels(saved(voxels, scl_slope=2.0, scl_inter=-100.0)) == voxels * 2 - 100).all()


def test_what_int16_cannot_hold_is_clipped_and_counted() -> None:
    voxels = np.zeros((4, 4, 2), np.float32)
    voxels[0, 0, 1], voxels[1, 1, 1], voxels[2, 2, 1] = 1e6, -1e30, 0.5
    first, second = read(saved(voxels)).slices()
    assert (first.clipped, second.clipped) == (0, 2)
    assert second.pixels[0, 0] == 32767
    assert second.pixels[1, 1] == -32768
    assert second.pixels[2, 2] == 0


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinite_voxels_are_refused_when_their_slice_comes(bad: float) -> None:
    voxels = np.zeros((4, 4, 2), np.float32)
    voxels[1, 2, 1] = bad
    slices = read(saved(voxels)).slices()
    next(slices)
    with pytest.raises(ImageUnsuitable, match="infinite"):
        next(slices)


@pytest.mark.parametrize("scaling", [{}, {"scl_slope": 2.0, "scl_inter": -100.0}])
def test_voxels_that_are_not_a_number_are_padding_and_counted(scaling: dict[str, Any]) -> None:
    voxels = np.zeros((4, 4, 2), np.float32)
    voxels[1, 2, 1] = voxels[3, 0, 1] = np.nan
    first, second = read(saved(voxels, **scaling)).slices()
    assert (first.missing, second.missing) == (0, 2)
    assert (second.pixels == PADDING_HU).sum() == 2
    assert second.pixels[2, 1] == second.pixels[0, 3] == PADDING_HU
    assert second.pixels[0, 0] == scaling.get("scl_inter", 0)


@pytest.mark.parametrize("magic", [b"ni1\0", b"ni2\0"])
def test_the_header_of_a_pair_of_files_is_told_so(magic: bytes) -> None:
    data = saved(volume(), version=int(magic[2:3])).replace(b"n+" + magic[2:], magic)
    assert is_nifti(data)
    with pytest.raises(UnsupportedMedia, match="in one file"):
        read(data)


def test_a_fourth_dimension_of_one_is_none() -> None:
    voxels = volume((7, 9, 5, 1))
    assert (pixels(saved(voxels)) == voxels[..., 0]).all()
    with pytest.raises(ImageUnsuitable, match="fourth"):
        read(saved(volume((7, 9, 5, 2))))


def test_a_single_slice_needs_no_third_dimension() -> None:
    voxels = volume((7, 9))
    assert (pixels(saved(voxels))[..., 0] == voxels).all()


@pytest.mark.parametrize("compress", [False, True])
def test_truncations_are_unreadable(compress: bool) -> None:
    data = saved(volume((20, 20, 5)), compress=compress)
    for length in (*range(0, 400, 13), len(data) // 2, len(data) - 20):
        with pytest.raises(MaskgateError):
            list(read(data[:length]).slices())


def test_damaged_compression_is_unreadable() -> None:
    data = bytearray(saved(volume((20, 20, 5)), compress=True))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ImageUnreadable):
        list(read(bytes(data)).slices())


def test_a_bomb_is_never_inflated_past_what_its_header_declares() -> None:
    data = saved(volume((4, 4, 2)))
    bomb = gzip.compress(data) + gzip.compress(bytes(1 << 24))
    assert len(list(read(bomb).slices())) == 2
    with pytest.raises(ImageTooLarge):
        read(gzip.compress(saved(np.zeros((4, 4, 51), np.uint8))))


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("datatype", 32, ImageUnsuitable),  # complex
        ("datatype", 128, ImageUnsuitable),  # RGB
        ("datatype", 9999, ImageUnreadable),
        ("vox_offset", 1e9, ImageUnreadable),
        ("vox_offset", 0, ImageUnreadable),
        ("dim", [3, -7, 9, 5, 1, 1, 1, 1], ImageUnsuitable),
        ("dim", [3, 700, 9, 5, 1, 1, 1, 1], ImageTooLarge),
        ("dim", [3, 70, 90, 5, 1, 1, 1, 1], ImageUnreadable),
        ("srow_x", [0, 0, 0, 0], GeometryUnsuitable),
        ("srow_x", [np.nan, 0, 0, 0], GeometryUnsuitable),
    ],
)
def test_headers_of_nonsense_are_refused(field: str, value: Any, error: type[MaskgateError]) -> None:
    with pytest.raises(error) as caught:
        list(read(patched(saved(volume()), **{field: value})).slices())
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "data", [b"", gzip.compress(b"text"), gzip.compress(bytes(9000))[:25], b"\0" * 400, b"PK\x03\x04" * 100]
)
def test_what_is_not_nifti_is_not_taken_for_it(data: bytes) -> None:
    assert not is_nifti(data)
    with pytest.raises((UnsupportedMedia, ImageUnreadable)):
        read(data)


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gzipped"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_unreadable_wherever_that_is(share: float, version: int, compress: bool) -> None:
    whole = saved(volume((24, 24, 5)), version=version, compress=compress)
    data = whole[: max(4, int(share * len(whole)))]
    assert is_nifti(data)
    with pytest.raises(ImageUnreadable, match="cut short"):
        list(read(data).slices())


def test_a_compressed_header_that_is_damaged_is_unreadable() -> None:
    data = bytearray(saved(volume(), compress=True))
    data[10:40] = b"\xff" * 30
    assert is_nifti(bytes(data))
    with pytest.raises(ImageUnreadable, match="damaged"):
        read(bytes(data))


@pytest.mark.parametrize("compress", [False, True])
def test_nifti_is_known_by_its_first_bytes(compress: bool) -> None:
    assert is_nifti(saved(volume((64, 64, 40)), compress=compress))


def test_spacing_is_that_of_the_affine_in_mm() -> None:
    plain = read(saved(volume(), np.diag([-0.7, -0.8, 2.5, 1]))).spacing
    assert (plain.rows, plain.columns, plain.slices) == pytest.approx((0.8, 0.7, 2.5))
    metres = saved(volume(), np.diag([-0.0007, -0.0008, 0.0025, 1]), xyzt_units=1)
    assert read(metres).spacing.slices == pytest.approx(2.5)
    sheared = np.diag([1.0, 1.0, 3.0, 1.0])
    sheared[0, 2] = 2
    assert read(saved(volume(), sheared)).spacing.slices == pytest.approx(3)


def test_notices_tell_of_orientation() -> None:
    assert read(saved(volume())).notices == ()
    assert "how it lies" in read(saved(volume(), sform_code=0, qform_code=0)).notices[0]


def turned(order: tuple[int, int, int], signs: tuple[int, int, int]) -> tuple[Array, Array]:
    """Return a volume with its axes in another order and direction, and the affine that says so."""
    voxels, affine = volume(), np.diag([-0.7, -0.8, 2.5, 1.0])
    for axis, sign in enumerate(signs):
        if sign < 0:
            affine[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
            affine[:3, axis] *= -1
            voxels = np.flip(voxels, axis)
    return np.ascontiguousarray(voxels.transpose(order)), affine[:, [*order, 3]]


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, -1)], ids=str)
@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
@pytest.mark.parametrize("compress", [False, True])
def test_slices_are_those_of_dicom_whatever_the_axes(
    order: tuple[int, int, int], signs: tuple[int, int, int], compress: bool
) -> None:
    voxels, affine = turned(order, signs)
    image = read(saved(voxels, affine, compress=compress))
    assert image.shape == (5, 9, 7)
    spacing = image.spacing
    assert (spacing.rows, spacing.columns, spacing.slices) == pytest.approx((0.8, 0.7, 2.5))
    by_height = sorted(
        zip(image.places, image.slices(), strict=True), key=lambda one: (one[0].position or (0, 0, 0))[2]
    )
    for number, (place, one) in enumerate(by_height):
        # As DICOM has it: columns to the patient's left, rows to the back, from the first pixel on.
        assert place.position == pytest.approx((0, 0, 2.5 * number), abs=1e-5)
        assert (one.pixels == volume()[:, :, number].T).all()


def test_voxels_are_held_only_where_slices_do_not_lie_along_the_last_axis() -> None:
    assert read(saved(volume())).held_bytes == 0
    voxels, affine = turned((2, 0, 1), (1, 1, 1))
    assert read(saved(voxels, affine)).held_bytes == voxels.nbytes


def test_a_scale_and_an_offset_make_units_of_values() -> None:
    stored = (volume().astype(np.int32) + 1024).astype(np.uint16)
    whole = read_nifti(saved(stored, scl_slope=2.0, scl_inter=0.0), LIMITS, scale=0.5, offset=-1024.0)
    assert (np.stack([one.pixels.T for one in whole.slices()], axis=-1) == volume()).all()


def peak_bytes(slices: int) -> int:
    """Return the most memory that reading a volume slice by slice takes."""
    source = read(saved(np.zeros((128, 128, slices), np.int16), compress=True))
    tracemalloc.start()
    for _ in source.slices():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_a_longer_volume_takes_no_more_memory() -> None:
    assert peak_bytes(50) < 1.2 * peak_bytes(10)
