"""Every file that pydicom and nibabel ship, through both routes of patients, with the verdict that it has to get.

The verdicts are those of a person who reads the files: what is no CT of a chest or no frontal chest film is refused
for the truest reason, by the code of the problem, and what can be read is read to the unit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import httpx
import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.pixels.processing import apply_modality_lut

from gateway.media.medical.dicom_ct import read_ct
from gateway.media.medical.slices import PADDING_HU, VolumeLimits
from tests.support.processes import GatewayProcess, gateway
from tests.support.trivial_ct import write_trivial_ct
from tests.support.trivial_radiograph import write_trivial_radiograph

pytestmark = pytest.mark.e2e

ROOTS = {
    "pydicom": Path(pydicom.__file__).parent / "data",
    "nibabel": Path(nibabel.__file__).parent / "tests" / "data",
}
_SOURCES = ("*.py", "*.pyc", "*.json", "*.md", "*.rst", "*.txt", "*.m", "*.dump", "*/README", ".gitignore")
"""What is no data: programs, lists and texts."""

ANSWERED = "answered"
MODALITY, NO_PIXELS, PART, FOREIGN = (
    "modality-unsuitable",
    "pixels-missing",
    "body-part-unsuitable",
    "unsupported-media",
)
UNSUITABLE = "image-unsuitable"


@dataclass(frozen=True)
class Row:
    """What files of one kind get.

    Attributes:
        pattern: of their names; the first row that fits counts.
        ct: verdict of `/v1/ct`.
        radiograph: verdict of `/v1/radiograph`.
        says: words that the detail or a notice of the CT's answer has to have.
    """

    pattern: str
    ct: str
    radiograph: str
    says: str = ""


TABLE = (
    # Answered: the only slices of an adult's size that do not say that they show something else.
    Row("pydicom/test_files/CT_small.dcm", ANSWERED, MODALITY, "does not say which part of the body"),
    Row("pydicom/test_files/693_J2KI.dcm", ANSWERED, MODALITY, "compressed with losses"),
    # CT and CR, and not of a chest, scouts, or too small to be anything.
    Row("pydicom/test_files/J2K_pixelrep_mismatch.dcm", PART, MODALITY, "another part of the body"),
    Row("pydicom/test_files/dicomdirtests/77654033/CT2/*", PART, MODALITY),
    Row("pydicom/test_files/dicomdirtests/77654033/CR?/*", MODALITY, PART),
    Row("pydicom/test_files/dicomdirtests/98892001/CT2N/*", UNSUITABLE, MODALITY, "scout"),
    Row("pydicom/test_files/dicomdirtests/98892001/CT5N/*", UNSUITABLE, MODALITY, "a side must have 32"),
    # Magnetic resonance, nuclear medicine, ultrasound, screens, doses, segmentations: of whatever compression, order of
    # bytes, colour or size, they are first of all no CT.
    Row("pydicom/test_files/dicomdirtests/98892003/MR*", MODALITY, MODALITY),
    Row("pydicom/test_files/MR_*", MODALITY, MODALITY, "not a CT"),
    Row("pydicom/test_files/SC_*", MODALITY, MODALITY),
    Row("pydicom/test_files/JP*", MODALITY, MODALITY),
    Row("pydicom/test_files/examples_*", MODALITY, MODALITY),
    Row("pydicom/test_files/rtdose*", MODALITY, MODALITY),
    Row("pydicom/test_files/liver_*", MODALITY, MODALITY),
    Row("pydicom/test_files/ExplVR_BigEnd.dcm", MODALITY, MODALITY),
    Row("pydicom/test_files/GDCMJ2K_TextGBR.dcm", MODALITY, MODALITY),
    Row("pydicom/test_files/image_dfl.dcm", MODALITY, MODALITY),
    Row("pydicom/test_files/badVR.dcm", MODALITY, MODALITY),
    Row("nibabel/[01].dcm", MODALITY, MODALITY),
    # Names in the character sets of the world: reports of them have no pixels, pictures are no CT.
    Row("pydicom/charset_files/chrJapMulti*", NO_PIXELS, NO_PIXELS),
    Row("pydicom/charset_files/chrKoreanMulti.dcm", NO_PIXELS, NO_PIXELS),
    Row("pydicom/charset_files/chrSQEncoding*", NO_PIXELS, NO_PIXELS),
    Row("pydicom/charset_files/*", MODALITY, MODALITY),
    # Plans, structures, reports, curves, palettes and directories.
    Row("pydicom/palettes/*", NO_PIXELS, NO_PIXELS, "no pixels"),
    Row("pydicom/test_files/dicomdirtests/DICOMDIR*", NO_PIXELS, NO_PIXELS),
    Row("pydicom/test_files/dicomdirtests/TINY_ALPHA/*", NO_PIXELS, NO_PIXELS),
    Row("pydicom/test_files/rtplan*.dcm", NO_PIXELS, NO_PIXELS),
    Row("pydicom/test_files/rtstruct.dcm", NO_PIXELS, NO_PIXELS),
    Row("pydicom/test_files/ExplVR_*NoMeta.dcm", NO_PIXELS, NO_PIXELS),
    Row("pydicom/test_files/reportsi*", NO_PIXELS, NO_PIXELS),
    Row("pydicom/test_files/test-SR.dcm", NO_PIXELS, NO_PIXELS),
    Row("pydicom/test_files/waveform_ecg.dcm", NO_PIXELS, NO_PIXELS),
    Row("pydicom/test_files/*priv_SQ.dcm", NO_PIXELS, NO_PIXELS),
    Row("pydicom/test_files/UN_sequence.dcm", NO_PIXELS, NO_PIXELS),
    Row("pydicom/test_files/empty_charset_LEI.dcm", NO_PIXELS, NO_PIXELS),
    Row("pydicom/test_files/no_meta_group_length.dcm", NO_PIXELS, NO_PIXELS),
    # Not to be read by anybody without guessing.
    Row("pydicom/test_files/meta_missing_tsyntax.dcm", "image-unreadable", "image-unreadable", "transfer syntax"),
    Row("pydicom/test_files/no_meta.dcm", FOREIGN, FOREIGN, "none of them"),
    Row("pydicom/test_files/crayons.icc", FOREIGN, FOREIGN),
    Row("pydicom/test_files/zipMR.gz", FOREIGN, FOREIGN),
    # NIfTI does not say what it shows: its values and its size do.
    Row("nibabel/anatomical.nii", "units-implausible", FOREIGN, "cannot be Hounsfield units"),
    Row("nibabel/re*_anat_moved.nii", UNSUITABLE, FOREIGN, "a side must have 32"),
    Row("nibabel/standard.nii.gz", UNSUITABLE, FOREIGN, "a side must have 32"),
    Row("nibabel/example4d.nii.gz", UNSUITABLE, FOREIGN, "fourth dimension"),
    Row("nibabel/example_nifti2.nii.gz", UNSUITABLE, FOREIGN, "fourth dimension"),
    Row("nibabel/functional.nii", UNSUITABLE, FOREIGN, "fourth dimension"),
    Row("nibabel/row_major.dconn.nii", UNSUITABLE, FOREIGN, "fourth dimension"),
    Row("nibabel/nifti?.hdr", FOREIGN, FOREIGN, "NIfTI in one file"),
    # Other formats of brains: AFNI, Analyze, ECAT, MGH, MINC, PAR/REC, tractograms.
    Row("nibabel/*.HEAD", FOREIGN, FOREIGN),
    Row("nibabel/*.BRIK*", FOREIGN, FOREIGN),
    Row("nibabel/analyze.hdr", FOREIGN, FOREIGN),
    Row("nibabel/tinypet.v", FOREIGN, FOREIGN),
    Row("nibabel/test.mgz", FOREIGN, FOREIGN),
    Row("nibabel/*.mnc", FOREIGN, FOREIGN),
    Row("nibabel/*.PAR", FOREIGN, FOREIGN),
    Row("nibabel/*.REC", FOREIGN, FOREIGN),
    Row("nibabel/*.tck", FOREIGN, FOREIGN),
    Row("nibabel/*.trk", FOREIGN, FOREIGN),
)


def _files() -> dict[str, Path]:
    """Return the data that the wheels hold, by name; what pydicom would have to download is not among them."""
    found = {
        f"{root}/{file.relative_to(folder).as_posix()}": file
        for root, folder in ROOTS.items()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.parent.name != "__pycache__"
    }
    return {name: file for name, file in found.items() if not any(fnmatchcase(name, "*/" + s) for s in _SOURCES)}


FILES = _files()


def _row(name: str) -> Row:
    return next(row for row in TABLE if fnmatchcase(name, row.pattern))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    root = tmp_path_factory.mktemp("models")
    write_trivial_ct(root)
    write_trivial_radiograph(root, "cxr-even")
    with gateway(root) as process:
        yield process
        assert "Traceback" not in "".join(process.output)


@pytest.fixture(scope="module")
def caller(server: GatewayProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.address, timeout=60, headers={"Accept": "application/json"}) as client:
        yield client


def test_every_file_has_a_verdict_and_every_verdict_a_file() -> None:
    assert len(FILES) > 250
    unknown = [name for name in FILES if not any(fnmatchcase(name, row.pattern) for row in TABLE)]
    assert unknown == []
    used = {_row(name).pattern for name in FILES}
    assert [row.pattern for row in TABLE if row.pattern not in used] == []


@pytest.mark.parametrize("name", FILES)
def test_a_foreign_file_gets_its_verdict_on_both_routes(caller: httpx.Client, name: str) -> None:
    row, data = _row(name), FILES[name].read_bytes()
    for route, expected in (("ct", row.ct), ("radiograph", row.radiograph)):
        answer = caller.post(f"/v1/{route}", files={"image": data})
        told = answer.json()
        verdict = ANSWERED if answer.status_code == 200 else told["code"]
        assert verdict == expected, (route, told)
        if route == "ct":
            assert row.says in told.get("detail", "; ".join(told.get("notices", ())))


def _slices_of_ct() -> list[str]:
    wanted = ("CT_small.dcm", "693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm", "77654033/CT2", "98892001/CT5N")
    return [name for name in FILES if any(part in name for part in wanted)]


@pytest.mark.parametrize("name", _slices_of_ct())
def test_the_values_of_a_slice_are_those_that_pydicom_reads(name: str) -> None:
    data = FILES[name].read_bytes()
    (one,) = read_ct(data, VolumeLimits(max_side=4096, min_side=1, max_slices=1), "chest").slices()
    dataset = pydicom.dcmread(FILES[name])
    expected = np.asarray(apply_modality_lut(dataset.pixel_array, dataset))
    padding = dataset.pixel_array == dataset.get("PixelPaddingValue", np.iinfo(np.int64).max)
    assert (one.pixels[~padding] == expected[~padding]).all()
    assert (one.pixels[padding] == PADDING_HU).all()
