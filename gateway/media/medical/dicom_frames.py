"""Where in a DICOM file the pixels of each frame lie: byte ranges, without a copy.

DICOM PS3.5, section 8 and annex A.4 (encapsulation).
"""

from __future__ import annotations

from itertools import pairwise
from struct import error as StructError
from struct import unpack_from

from gateway.errors import ImageUnreadable
from gateway.media.medical.transfer_syntaxes import IMPLICIT, NATIVE

ByteRange = tuple[int, int]
Frames = tuple[tuple[ByteRange, ...], ...]

_PIXEL_DATA = (0x7FE0, 0x0010)
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
# As many as frames, and some in fragments.
_MOST_FRAGMENTS = 1 << 17
# Of JPEG and JPEG-LS, of JPEG 2000, and of JPEG 2000 in its file format.
_STREAM_STARTS = (b"\xff\xd8", b"\xff\x4f", b"\x00\x00")


def pixel_data(data: bytes, at: int, syntax: str) -> tuple[int, int] | None:
    """Return where the value of the pixel data element at byte `at` begins and its length; None: there is none."""
    order = NATIVE.get(syntax, "<")
    before = 4 if syntax == IMPLICIT else 8
    try:
        found = unpack_from(f"{order}HH", data, at) == _PIXEL_DATA
        (length,) = unpack_from(f"{order}I", data, at + before)
    except StructError:
        return None
    return (at + before + 4, length) if found else None


def native_frames(end: int, value: tuple[int, int], frames: int, size: int, row: int) -> Frames:
    """Return where the frames of uncompressed pixels lie.

    Args:
        end: bytes of the file.
        value: what `pixel_data` returned.
        frames: how many frames the header declares.
        size: bytes of one.
        row: bytes of a row of pixels; fewer may lie behind the last one, as some writers fill up.

    Raises:
        ImageUnreadable: the pixel data are longer or shorter than that, or cut off.
    """
    start, length = value
    if not size * frames <= length < size * frames + max(row, 2):
        raise ImageUnreadable("The DICOM header's rows, columns, frames and bits do not fit the length of its pixels.")
    if start + size * frames > end:
        raise ImageUnreadable("The DICOM file is cut short: it ends within its pixels.")
    return tuple(((at, at + size),) for at in range(start, start + size * frames, size))


def encapsulated_frames(data: bytes, value: tuple[int, int], frames: int) -> Frames:
    """Return where the frames of compressed pixels lie, fragment by fragment.

    Args:
        data: the file.
        value: what `pixel_data` returned.
        frames: how many frames the header declares.

    Raises:
        ImageUnreadable: the items are damaged, cut off, or not as many as the frames.
    """
    start, length = value
    if length != _UNDEFINED:
        raise ImageUnreadable("The DICOM file's compressed pixels are not wrapped in items.")
    (table_start, table_end), *fragments = _items(data, start)
    if len(fragments) == frames:
        return tuple((fragment,) for fragment in fragments)
    if frames == 1 and fragments:
        return (tuple(fragments),)
    # Several fragments a frame: the table says which begins each, counted from the end of the table; without one the
    # codestreams say it, each of which begins with a signature.
    if table_start == table_end:
        cuts = [number for number, (first, _) in enumerate(fragments) if data[first : first + 2] in _STREAM_STARTS]
        if len(cuts) != frames or cuts[0] != 0:
            raise ImageUnreadable("The DICOM file does not say which of its fragments belong to which frame.")
        return tuple(tuple(fragments[cut:following]) for cut, following in pairwise([*cuts, len(fragments)]))
    entries = (table_end - table_start) // 4
    begins = [table_end + offset for offset in unpack_from(f"<{entries}I", data, table_start)]
    # A fragment is counted from its item's head, which is eight bytes before it.
    heads = {first - 8: number for number, (first, _) in enumerate(fragments)}
    if entries != frames or begins != sorted(begins) or begins[0] != table_end or not heads.keys() >= set(begins):
        raise ImageUnreadable("The DICOM file's compressed pixels are not as many as its frames.")
    cuts = [*(heads[begin] for begin in begins), len(fragments)]
    return tuple(tuple(fragments[cut:following]) for cut, following in pairwise(cuts))


def _items(data: bytes, at: int) -> list[ByteRange]:
    """Return the byte ranges of all items up to the end of the sequence; the first is the table of offsets."""
    found: list[ByteRange] = []
    try:
        while len(found) < _MOST_FRAGMENTS:
            group, element, length = unpack_from("<HHI", data, at)
            at += 8
            if (group, element) == _END and found:
                return found
            if (group, element) != _ITEM or at + length > len(data):
                break
            found.append((at, at + length))
            at += length
    except StructError:
        pass
    raise ImageUnreadable("The DICOM file is cut short or damaged: its compressed pixels do not end.")
