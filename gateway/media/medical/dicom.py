"""DICOM files: what they say of their pixels, checked before a decoder sees one.

DICOM PS3.5 (encoding), PS3.3 C.7.6.3 (image pixel module), PS3.10 (file format).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

from gateway.errors import (
    ColourUnsuitable,
    CompressionUnsupported,
    ImageTooLarge,
    ImageUnreadable,
    ImageUnsuitable,
    PixelsMissing,
)
from gateway.media.medical import dicom_tags
from gateway.media.medical.body_part import BodyPart, body_part_of
from gateway.media.medical.codestreams import is_lossy
from gateway.media.medical.dicom_elements import check_elements
from gateway.media.medical.dicom_frames import ByteRange, encapsulated_frames, native_frames, pixel_data
from gateway.media.medical.transfer_syntaxes import DECODERS, NATIVE, transfer_syntax
from gateway.media.quiet import reading

if TYPE_CHECKING:
    from pydicom import Dataset

ENCAPSULATED_DOCUMENTS = "1.2.840.10008.5.1.4.1.1.104."

MAX_FRAMES = 1 << 16
"""More frames than any scanner puts into a file; what is known of each takes memory, also of one without a pixel."""


@dataclass(frozen=True)
class Layout:
    """How samples are stored; all frames alike.

    Attributes:
        rows: pixels down.
        columns: pixels across.
        frames: pictures in the file.
        allocated: bits per stored sample: 8, 16 or 32.
        stored: bits of them that count.
        high: the highest bit that counts.
        signed: two's complement.
        inverted: MONOCHROME1: low values are bright.
    """

    rows: int
    columns: int
    frames: int
    allocated: int
    stored: int
    high: int
    signed: bool
    inverted: bool


@dataclass(frozen=True, repr=False, eq=False)
class DicomHeader:
    """A DICOM file without its bytes.

    Attributes:
        dataset: the tags of `dicom_tags`. Never to be printed.
        syntax: the transfer syntax.
        layout: how its samples are stored.
        frames: per frame the byte ranges of the file that hold it; several of an encapsulated frame in fragments.
        modality: what took the picture, as DICOM abbreviates it.
        body_part: which part of the body the file says it shows.
        lossy: whether the pixels were compressed with losses: their codestream does so, or the file says so of before.
        kin: the same object of headers that say the same of all but the name and the place of their slice.
    """

    dataset: Dataset
    syntax: str
    layout: Layout
    frames: tuple[tuple[ByteRange, ...], ...]
    modality: str
    body_part: BodyPart
    lossy: bool
    kin: object = field(default_factory=object)


def read_header(
    data: bytes, size: int | None = None, judge: Callable[[Dataset], None] = lambda dataset: None
) -> DicomHeader:
    """Read a DICOM file up to its pixels, and check that these are there and are what the header says.

    Nothing of the pixels' size is allocated.

    Args:
        data: the file; where its pixels are uncompressed as much as holds the header and what introduces them.
        size: of the whole file in bytes, where `data` is not that.
        judge: is given the tags before anything of the pixels is judged, so that an error tells the truest reason.

    Raises:
        CompressionUnsupported: of a transfer syntax that is not decoded here.
        PixelsMissing: a DICOM file without an image.
        ColourUnsuitable: not of one grey sample per pixel.
        ImageUnsuitable: of samples of other than 8, 16 or 32 bits.
        ImageUnreadable: damaged, cut short, or its sizes contradict the pixel data; or as `check_elements`.
        ImageTooLarge: of more than `MAX_FRAMES` frames.
    """
    syntax = transfer_syntax(data)
    if syntax not in NATIVE and syntax not in DECODERS:
        # What the file is tells more than how it is compressed; of a private syntax the header may not be legible.
        with suppress(ImageUnreadable), reading("The DICOM file is damaged."):
            judge(_tags(data, syntax)[0])
        raise CompressionUnsupported(f"The DICOM file is of a transfer syntax that is not decoded here{_name(syntax)}.")
    dataset, end = _tags(data, syntax)
    with reading("The DICOM file is damaged."):
        if str(dataset.get("SOPClassUID", "")).startswith(ENCAPSULATED_DOCUMENTS):
            raise PixelsMissing("The DICOM file is an encapsulated document, not an image.")
        if pixel_data(data, end, syntax) is None or "Rows" not in dataset:
            raise PixelsMissing("The DICOM file holds no pixels, or ends before them.")
        judge(dataset)
        layout, part = _layout(dataset), body_part_of(dataset)
        modality = str(dataset.get("Modality", ""))
    frames, lossy = find_pixels(data, size, end, syntax, layout)
    return DicomHeader(dataset, syntax, layout, frames, modality, part, lossy or says_lossy(dataset))


def find_pixels(
    data: bytes, size: int | None, at: int, syntax: str, layout: Layout
) -> tuple[tuple[tuple[ByteRange, ...], ...], bool]:
    """Return where the frames of a file lie, as in `DicomHeader`, and whether their codestream is one with losses.

    Args:
        data: as of `read_header`.
        size: as of `read_header`.
        at: the byte at which the pixels' element begins.
        syntax: the transfer syntax.
        layout: how the samples are stored.

    Raises:
        PixelsMissing: there is no such element.
        ImageUnreadable: what it holds contradicts the layout, or is damaged.
    """
    values = pixel_data(data, at, syntax)
    if values is None:
        raise PixelsMissing("The DICOM file holds no pixels, or ends before them.")
    if syntax in NATIVE:
        row = layout.columns * layout.allocated // 8
        return native_frames(size or len(data), values, layout.frames, layout.rows * row, row), False
    frames = encapsulated_frames(data, values, layout.frames)
    return frames, is_lossy(memoryview(data)[slice(*frames[0][0])])


def says_lossy(dataset: Dataset) -> bool:
    """Return whether a file says that its pixels were once compressed with losses."""
    return str(dataset.get("LossyImageCompression", "")) == "01"


def _tags(data: bytes, syntax: str) -> tuple[Dataset, int]:
    """Return the tags of `dicom_tags`, and the byte at which the pixels begin.

    Raises:
        ImageUnreadable: damaged, or as `check_elements`.
    """
    with reading("The DICOM file is damaged."):
        check_elements(data, syntax)
        import pydicom

        file = BytesIO(data)
        # A plain copy: what the library returns holds on to the whole file.
        dataset = pydicom.Dataset(pydicom.dcmread(file, stop_before_pixels=True, specific_tags=dicom_tags.READ))
        list(dataset)  # parses every value here, where trouble with one is answered discreetly
    return dataset, file.tell()


def _name(syntax: str) -> str:
    """Return what the standard calls a transfer syntax, to go behind a sentence; nothing of one that is not in it."""
    with reading("The DICOM file is damaged."):
        from pydicom.uid import UID

        name = UID(syntax).name
    return f" ({name})" if name != syntax else ""


def _layout(dataset: Dataset) -> Layout:
    """Return how the samples are stored, where that is of a kind that is read here."""
    kind = str(dataset.PhotometricInterpretation)
    if int(dataset.SamplesPerPixel) != 1 or kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise ColourUnsuitable("The DICOM file is of colour; one of grey values is needed.")
    layout = Layout(
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        frames=int(dataset.get("NumberOfFrames") or 1),
        allocated=int(dataset.BitsAllocated),
        stored=int(dataset.BitsStored),
        high=int(dataset.get("HighBit", int(dataset.BitsStored) - 1)),
        signed=bool(dataset.PixelRepresentation),
        inverted=kind == "MONOCHROME1",
    )
    if not (layout.rows > 0 and layout.columns > 0 and layout.frames > 0):
        raise ImageUnreadable("The DICOM header gives the picture no size.")
    if layout.frames > MAX_FRAMES:
        raise ImageTooLarge(f"The DICOM file has more than {MAX_FRAMES:,} frames.", limit=MAX_FRAMES)
    if layout.allocated not in (8, 16, 32):
        raise ImageUnsuitable(f"The DICOM file has samples of {layout.allocated} bits; 8, 16 and 32 are read.")
    if not 0 < layout.stored <= layout.high + 1 <= layout.allocated:
        raise ImageUnreadable("The DICOM header puts the bits of its samples where none can be.")
    return layout
