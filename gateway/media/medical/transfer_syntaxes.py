"""Transfer syntaxes: how the bytes of a DICOM file are ordered and its pixels compressed, and which are read here.

DICOM PS3.5, section 10 and annex A; PS3.10, section 7.1 (file meta information).
"""

from __future__ import annotations

from struct import error as StructError
from struct import pack, unpack_from

from isal import isal_zlib

from gateway.errors import ImageTooLarge, ImageUnreadable
from gateway.media.quiet import reading

PREAMBLE = 128
SIGNATURE = b"DICM"

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
# Uncompressed → the order of bytes.
NATIVE = {
    IMPLICIT: "<",
    EXPLICIT: "<",
    BIG_ENDIAN: ">",
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

META_GROUP, _IDENTIFYING_GROUP = 2, 8
_LONGEST_FIRST_VALUE = 64
_RAW_DEFLATE = -15
_SYNTAX_ELEMENT = 0x10
# Types whose length is of four bytes, after two that are reserved.
LONG_FORMS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")


def is_dicom(data: bytes | memoryview) -> bool:
    """Return whether `data` begins like a DICOM file, one that lost its preamble or its meta information included."""
    return bytes(data[PREAMBLE : PREAMBLE + 4]) == SIGNATURE or _bare(bytes(data[:8]))


def as_plain_file(data: bytes, most: int) -> bytes:
    """Return a DICOM file with preamble, meta information and a dataset that is not deflated; most files as they are.

    Scanners' exports without the 128 bytes of preamble, and old files without meta information, are read by every
    viewer. A deflated dataset (PS3.5, A.5) is inflated here, because a library inflates it without a limit.

    Args:
        data: what `is_dicom` takes for DICOM.
        most: bytes that a deflated dataset may inflate to.

    Raises:
        ImageTooLarge: it inflates to more.
        ImageUnreadable: it is damaged.
    """
    if bytes(data[PREAMBLE : PREAMBLE + 4]) != SIGNATURE and _bare(data[:8]):
        if data[0] == META_GROUP:
            data = b"".join((bytes(PREAMBLE), SIGNATURE, data))
        else:
            explicit = BIG_ENDIAN if data[0] == 0 else EXPLICIT
            data = _introduced(data, explicit if data[4:6].isalpha() else IMPLICIT)
    syntax, end = meta_information(data)
    if syntax != DEFLATED:
        return data
    inflater = isal_zlib.decompressobj(_RAW_DEFLATE)
    with reading("The DICOM file's deflated content is damaged."):
        dataset = inflater.decompress(data[end:], most + 1)
    if len(dataset) > most:
        raise ImageTooLarge(f"The DICOM file inflates to more than {most:,} bytes.", limit=most)
    return _introduced(dataset, EXPLICIT)


def _bare(head: bytes) -> bool:
    """Return whether a file begins with a data element that stands first in DICOM: of group 2, or group 8."""
    if len(head) < 8:
        return False
    group, element = unpack_from(">HH" if head[0] == 0 else "<HH", head)
    explicit = head[4:6] in (b"UL", b"OB", b"CS", b"UI")
    short = unpack_from("<I", head, 4)[0] <= _LONGEST_FIRST_VALUE
    if group == META_GROUP:
        return element in (0, 1, 2) and explicit
    # Of big endian there is no implicit form.
    short = short and head[0] != 0
    return group == _IDENTIFYING_GROUP and element in (0, 1, 5, 8, 0x16, 0x18) and (explicit or short)


def _introduced(dataset: bytes, syntax: str) -> bytes:
    """Return a dataset behind a preamble and the meta information that names its transfer syntax."""
    name = syntax.encode() + b"\0" * (len(syntax) % 2)
    element = pack("<HH2sH", META_GROUP, _SYNTAX_ELEMENT, b"UI", len(name)) + name
    length = pack("<HH2sHI", META_GROUP, 0, b"UL", 4, len(element))
    return b"".join((bytes(PREAMBLE), SIGNATURE, length, element, dataset))


def transfer_syntax(data: bytes) -> str:
    """Return the transfer syntax that the file's meta information names.

    Read by hand, because a library goes on reading, and inflates what it names as deflated without a limit.

    Raises:
        ImageUnreadable: not a DICOM file, or it does not say.
    """
    return meta_information(data)[0]


def meta_information(data: bytes) -> tuple[str, int]:
    """Return the transfer syntax, and the byte at which the dataset begins.

    Raises:
        ImageUnreadable: not a DICOM file, or it does not say.
    """
    if bytes(data[PREAMBLE : PREAMBLE + 4]) != SIGNATURE:
        raise ImageUnreadable("The file does not begin as DICOM does.")
    at = PREAMBLE + len(SIGNATURE)
    syntax = None
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
                syntax = data[at : at + length].rstrip(b"\0 ").decode("ascii", "replace")
            at += length
    except StructError:
        pass
    if syntax:
        return syntax, at
    raise ImageUnreadable("The DICOM file does not say what transfer syntax it is of.")
