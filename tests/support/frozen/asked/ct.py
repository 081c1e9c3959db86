"""Lesions in drawn CTs: slices, series, volumes, pictures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom

from tests.support.cts import GLASS, SIDE, marked, multi_frame, nifti, slices
from tests.support.dicoms import ct, saved, zipped
from tests.support.frozen import drawings
from tests.support.frozen.answers import Recorder

PNG, JSON, NIFTI, DICOM = "image/png", "application/json", "application/x-nifti", "application/dicom"
PATH = "/v1/ct"
AFFINE = np.array([[-0.5, 0, 0.25, 90.5], [0, 0.75, 2.0, -120.25], [0, -0.25, 4.0, 33.0], [0, 0, 0, 1]])


def answers(recorder: Recorder) -> dict[str, Any]:
    """Return the answers to each kind of input, in each form that it has."""
    one = saved(ct(marked(GLASS), BodyPartExamined="CHEST"))
    several = slices(5, 3)
    for number, file in enumerate([one, multi_frame(), *several]):
        name = ("slice", "file of frames")[number] if number < 2 else f"series {number - 2}"
        dataset = pydicom.dcmread(io.BytesIO(file))
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "SeriesInstanceUID"):
            recorder.uids[str(dataset[keyword].value)] = f"<{keyword}>"
        recorder.uids[str(dataset.SOPInstanceUID)] = f"<{name}>"
    image = {"image": one}
    series = {"image": zipped((f"{(7 * n) % 61:03d}.dcm", file) for n, file in enumerate(several))}
    volume = {"image": nifti(AFFINE)}
    grey = np.full((SIDE, SIDE), 43, np.uint8)
    grey[20:22, 46:48], grey[40:50, 10:20] = 128, 220
    picture = {"image": drawings.png(grey)}
    forms = "&".join(f"include={form}" for form in ("label_map", "overlay", "nifti", "dicom"))
    return {
        "label map": recorder.post(PATH, image),
        "overlay": recorder.post(f"{PATH}?overlay=true", image),
        "report": recorder.post(PATH, image, JSON),
        "report with files": recorder.post(f"{PATH}?{forms}", image, JSON),
        "another model": recorder.post(f"{PATH}?model=narrow", image),
        "series report": recorder.post(PATH, series),
        "series SEG": recorder.post(PATH, series, DICOM),
        "series NIfTI": recorder.post(PATH, series, NIFTI),
        "series as a picture": recorder.post(PATH, series, PNG),
        "frames SEG": recorder.post(PATH, {"image": multi_frame()}, DICOM),
        "NIfTI report": recorder.post(PATH, volume, JSON),
        "NIfTI": recorder.post(PATH, volume, NIFTI),
        "picture": recorder.post(PATH, picture),
        "picture report": recorder.post(PATH, picture, JSON),
    }
