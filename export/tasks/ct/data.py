"""Labelled CT slices: grey pictures that were stored through a window, or the NIfTI volumes of COVID-19_1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from export.errors import DataError
from export.training.data import read_grey, read_table
from gateway.media.medical.nifti_orientation import Orientation
from gateway.vision.windowing import Window, from_windowed

UInt8 = NDArray[np.uint8]
Int16 = NDArray[np.int16]

LABELS = 4
"""Label values: 0 background, 1 ground-glass, 2 consolidation, 3 pleural effusion."""

_PICTURES = (".png", ".jpg", ".jpeg")
_TRAINING, _TRAINING_LABELS = "tr_im.nii.gz", "tr_mask.nii.gz"
_VALIDATION, _VALIDATION_LABELS = "val_im.nii.gz", "val_mask.nii.gz"
_HELD_OUT = 0.1


@dataclass(frozen=True)
class LabelledSlice:
    """One slice and its label map, read when they are asked for.

    Attributes:
        name: of the slice.
        split: train or val.
        read_units: returns Hounsfield units, int16 (H, W), of a picture as seen through the window given; raises
            DataError where the file is no picture.
        read_labels: returns the label map, uint8 (H, W); raises DataError where the file is no picture, or has a value
            that is no label.
    """

    name: str
    split: str
    read_units: Callable[[Window], Int16]
    read_labels: Callable[[], UInt8]


def read_slices(folder: Path) -> list[LabelledSlice]:
    """Return the slices of a folder, sorted by name.

    Either `manifest.csv` names them (columns id and split; others are not read), `images/` holds their pictures and
    `masks_multiclass/` their label maps, PNG. Or they lie along the last axis of `tr_im.nii.gz` and `tr_mask.nii.gz`,
    in the order of the arrays and with the first axis for their rows, as the gateway takes NIfTI; the split val is
    `val_im.nii.gz` where there is a `val_mask.nii.gz` beside it, and else the last tenth of these: one piece, so that
    few of its slices have a neighbour of the same patient in the split train.

    Raises:
        DataError: there is neither, a manifest lacks a column, a file is missing, or image and labels differ in size.
    """
    if (folder / _TRAINING).is_file():
        return sorted(_volumes(folder), key=lambda each: each.name)
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise DataError(f"{folder} holds neither manifest.csv nor {_TRAINING}")
    slices = [_picture(folder, row["id"], row["split"]) for row in read_table(manifest, "id", "split")]
    return sorted(slices, key=lambda each: each.name)


def _picture(folder: Path, name: str, split: str) -> LabelledSlice:
    candidates = [folder / "images" / f"{name}{suffix}" for suffix in _PICTURES]
    mask = folder / "masks_multiclass" / f"{name}.png"
    image = next((path for path in candidates if path.is_file()), None)
    if image is None or not mask.is_file():
        raise DataError(f"{folder} lacks the {'label map' if image else 'picture'} of {name}")
    return LabelledSlice(name, split, partial(_picture_units, image), partial(_picture_labels, mask))


def _picture_units(path: Path, window: Window) -> Int16:
    return from_windowed(read_grey(path), window)


def _picture_labels(path: Path) -> UInt8:
    return _checked(read_grey(path), path)


def _volumes(folder: Path) -> list[LabelledSlice]:
    training = _volume(folder / _TRAINING, folder / _TRAINING_LABELS, "train")
    if (folder / _VALIDATION_LABELS).is_file():
        return training + _volume(folder / _VALIDATION, folder / _VALIDATION_LABELS, "val")
    held_out = max(1, round(_HELD_OUT * len(training)))
    return training[:-held_out] + [replace(each, split="val") for each in training[-held_out:]]


def _volume(image: Path, mask: Path, split: str) -> list[LabelledSlice]:
    """Return the slices of a volume, which stays in memory: gzip has no way to a slice but through those before it."""
    units, labels = _voxels(image), _voxels(mask)
    if units.ndim != 3 or units.shape != labels.shape:
        raise DataError(f"{image.name} and {mask.name} are not volumes of one size")
    low, high = np.iinfo(np.int16).min, np.iinfo(np.int16).max
    hounsfield = np.rint(np.clip(units, low, high)).astype(np.int16)
    values = _checked(labels, mask).astype(np.uint8)
    stem = image.name.partition(".")[0]
    return [
        LabelledSlice(
            f"{stem}-{number:04d}",
            split,
            partial(_units_of, np.ascontiguousarray(hounsfield[number])),
            partial(np.ascontiguousarray, values[number]),
        )
        for number in range(len(units))
    ]


def _units_of(units: Int16, _: Window) -> Int16:
    """Return units that no window was put on."""
    return units


def _voxels(path: Path) -> NDArray[np.float32]:
    """Return a volume as [slice, row, column], its slices as the gateway brings them before a model."""
    try:
        image = nibabel.Nifti1Image.from_filename(path)
        array = np.asarray(image.dataobj, np.float32)
    except (OSError, EOFError, ValueError, nibabel.filebasedimages.ImageFileError) as error:
        raise DataError(f"{path} cannot be read as NIfTI") from error
    if array.ndim != 3:
        return array
    orientation = Orientation.of(np.asarray(image.affine, np.float64))
    return np.stack([orientation.plane(plane) for plane in np.moveaxis(array, orientation.axes[0], 0)])


def _checked(labels: NDArray[Any], path: Path) -> NDArray[Any]:
    if not np.isin(labels, range(LABELS)).all():
        odd = labels[~np.isin(labels, range(LABELS))].max()
        raise DataError(f"{path} has the value {odd:g}; labels are 0 to {LABELS - 1}")
    return labels
