"""Transfer syntaxes: how the bytes of a DICOM file are ordered and its pixels compressed, and which are read here.

DICOM PS3.5, section 10 and annex A; PS3.10, section 7.1 (file meta information).
"""

from __future__ import annotations

from struct import error as StructError
from struct import unpack_from

from gateway.errors import ImageUnreadable

PREAMBLE = 128
SIGNATURE = b"DICM"

IMPLICIT = "1.2.840.10008.1.2"
# Uncompressed → the order of bytes.
NATIVE = {
    IMPLICIT: "<",
    "1.2.840.10008.1.2.1": "<",
    "1.2.840.10008.1.2.2": ">",
}
JPEG_BASELINE, JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS, JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
HTJ2K = ("1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")
RLE = "1.2.840.10008.1.2.5"

# Transfer syntax → the pydicom plugin that decodes it here. One each, so that what was tested is what runs; the
# decoders under the GPL are not among them.
DECODERS = {
    JPEG_BASELINE: "pillow",
    JPEG_EXTENDED: "pillow",  # of 8 bits; no decoder of a free enough licence does 12
    JPEG_LOSSLESS: "gdcm",
    JPEG_LOSSLESS_SV1: "gdcm",
    **dict.fromkeys(JPEG_LS, "gdcm"),
    **dict.fromkeys((*JPEG_2000, *HTJ2K), "pylibjpeg"),
    RLE: "pydicom",  # ten times slower than pylibjpeg's in Rust, which panics on damaged data
}

META_GROUP = 2
_SYNTAX_ELEMENT = 0x10
# Types whose length is of four bytes, after two that are reserved.
LONG_FORMS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")


def is_dicom(data: bytes | memoryview) -> bool:
    """Return whether `data` begins like a DICOM file."""
    return bytes(data[PREAMBLE : PREAMBLE + 4]) == SIGNATURE


def transfer_syntax(data: bytes) -> str:
    """Return the transfer syntax that the file's meta information names.

    Read by hand, because a library goes on reading, and inflates what it names as deflated without a limit.

    Raises:
        ImageUnreadable: not a DICOM file, or it does not say.
    """
    if not is_dicom(data):
        raise ImageUnreadable("The file does not begin as DICOM does.")
    at = PREAMBLE + len(SIGNATURE)
    try:
        while True:
            group, element, kind, length = unpack_from("<HH2sH", data, at)
            if group != META_GROUP:
                break
            at += 8
            if kind in LONG_FORMS:
                (length,) = unpack_from("<I", data, at)
                at += 4
            if element == _SYNTAX_ELEMENT:
                return data[at : at + length].rstrip(b"\0 ").decode("ascii", "replace")
            at += length
    except StructError:
        pass
    raise ImageUnreadable("The DICOM file does not say what transfer syntax it is of.")
