"""Everything the medical rooms do, on files with a name in every text, with all that Python can say switched on.

Run as a program: whatever it writes, and whatever it leaves in the temporary folder, must not have the name in it.
"""

from __future__ import annotations

import logging
import struct
import traceback
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import nibabel
import numpy as np
import pydicom
from pydicom._dicom_dict import DicomDictionary
from pydicom.datadict import dictionary_VR, tag_for_keyword

from gateway.errors import MaskgateError
from gateway.media.medical.archives import ArchiveLimits
from gateway.media.medical.dicom_ct import DicomVolume, read_ct
from gateway.media.medical.dicom_report import Measured, write_report
from gateway.media.medical.dicom_seg import Algorithm, Segment, write_seg
from gateway.media.medical.dicom_tags import READ
from gateway.media.medical.label_volumes import write_nrrd, write_on_dicom, write_on_nifti
from gateway.media.medical.nifti import read_nifti
from gateway.media.medical.radiographs import open_film
from gateway.media.medical.series import read_series
from gateway.media.medical.slices import VolumeLimits
from gateway.media.pictures.images import ImageLimits
from tests.support.dicoms import NAME, ct, enhanced, film, ramp, saved, zipped

LIMITS = VolumeLimits(max_side=512, min_side=8, max_slices=20)
SIDES = ImageLimits(max_pixels=512**2, max_side=512, min_side=8)
ARCHIVES = ArchiveLimits(members=20, member_bytes=1 << 20, total_bytes=8 << 20)

_TEXTS = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_RESCALE_TYPE = 0x00281054
_SHORT_FORMS = frozenset({"AS", "CS", "DA", "DS", "DT", "IS", "PN", "SS", "TM", "UI", "US"})


def everywhere(dataset: pydicom.FileDataset) -> bytes:
    """Return the dataset as a file with the name in every tag of the dictionary that takes text."""
    for tag, (kind, _, _, retired, _) in DicomDictionary.items():
        # What says that values are no Hounsfield units is refused; `in_place_of` tries that.
        if kind in _TEXTS and not retired and tag > 0x00080000 and tag != _RESCALE_TYPE:
            dataset.add_new(tag, kind, NAME)
    return saved(dataset)


def in_place_of(keyword: str, dataset: pydicom.FileDataset) -> bytes:
    """Return the dataset as a file in which a tag holds the name, whatever type of value it should have."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    dataset.add_new(tag, "LO", NAME)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    kind = dictionary_VR(tag)[:2]
    return saved(dataset).replace(head + b"LO", head + (kind if kind in _SHORT_FORMS else "LO").encode())


def attempts() -> Iterator[Callable[[], Any]]:
    """Yield what a gateway does with such files; each either returns something to print or raises an error of ours."""
    full = everywhere(ct())
    yield partial(slice_of, full)
    yield partial(film_of, everywhere(film(ramp() + 1000)))
    yield partial(series_of, (f"{NAME}/1.dcm", full))
    yield partial(series_of, (f"../{NAME}.dcm", full))
    yield partial(read_series, zipped([(f"{NAME}.dcm", full)])[:-100], ARCHIVES, LIMITS)
    yield partial(series_of, (NAME, full), ("2", saved(ct(PatientName="Somebody^Else", position=(0, 0, 1)))))
    for length in range(132, len(full), len(full) // 40):
        yield partial(slice_of, full[:length])
    for keyword in READ:
        yield partial(slice_of, in_place_of(keyword, ct()))
        yield partial(slice_of, in_place_of(keyword, enhanced([ramp()] * 2, [(0, 0, 0), (0, 0, 1)])))
        yield partial(film_of, in_place_of(keyword, film(ramp() + 1000)))
        second = in_place_of(keyword, ct(position=(0, 0, 1), instance=2))
        yield partial(series_of, ("1", saved(ct())), ("2", second))
    image = nibabel.Nifti1Image(ramp()[..., None], np.eye(4))
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[field] = NAME.encode()[:10]
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", NAME.encode()))
    data = image.to_bytes()
    for length in (len(data), 400, 350, 200):
        yield partial(labelled, data[:length])


def slice_of(data: bytes) -> Any:
    return segmented(read_ct(data, LIMITS))


def film_of(data: bytes) -> Any:
    opened = open_film(data, SIDES)
    return opened, opened.decode()


def series_of(*files: tuple[str, bytes]) -> Any:
    return segmented(read_series(zipped(files), ARCHIVES, LIMITS))


def segmented(volume: DicomVolume) -> Any:
    labels = [(one.pixels > 0).astype(np.uint8) for one in volume.slices()]
    assert b"".join(write_on_dicom(volume, labels))
    segments, algorithm = [Segment(1, "lesion", (1, 2, 3))], Algorithm("model", "1", "sha256:00", "0")
    assert write_nrrd(volume, np.stack(labels), segments)
    seg = write_seg(volume, labels, segments, algorithm)
    write_report(volume, seg, [Measured(1, segments[0], 0.5)], algorithm)
    return volume, volume.sources, volume.sources[0].header, volume.sources[0].frame, volume.notices


def labelled(data: bytes) -> Any:
    volume = read_nifti(data, LIMITS)
    labels = [np.zeros(volume.shape[1:], np.uint8) for _ in volume.slices()]
    return volume, b"".join(write_on_nifti(volume, labels)), write_nrrd(volume, np.stack(labels), [])


def main() -> None:
    """Do it all, print everything."""
    logging.basicConfig(level=logging.DEBUG)
    warnings.simplefilter("always")
    done = refused = 0
    for attempt in attempts():
        try:
            print(repr(attempt()))
            done += 1
        except MaskgateError as error:
            logging.getLogger("gateway").exception("refused")
            traceback.print_exc()
            print(repr(error), str(error), vars(error))
            refused += 1
    print(f"{done} done, {refused} refused")


if __name__ == "__main__":
    main()
