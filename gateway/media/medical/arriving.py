"""The slices of a zipped CT series while its bytes arrive, in the order of the archive, before its directory is there.

What the archive holds, which of it is the series, and whether that is one, is for `read_series` to say once all of it
is there. Here a file is taken for a slice of the series where it is like the first that was taken; what is odd is left
out, and whatever is wrong with it is told by who reads the whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from zipfile import ZipInfo

from gateway.errors import ArchiveUnsuitable, MaskgateError
from gateway.media.medical.archives import Archive, ArchiveLimits, member_at
from gateway.media.medical.body_part import BodyPart, require_chest
from gateway.media.medical.dicom import DicomHeader
from gateway.media.medical.dicom_ct import CtFrame, ct_frames, decode_frame, moved_frame, states_units
from gateway.media.medical.series_files import (
    HEAD_BYTES,
    Judge,
    KnownHeaders,
    header_of,
    key_of,
    plain_file,
    says_axial,
    series_of,
)
from gateway.media.medical.series_headers import SeriesHeaders
from gateway.media.medical.slices import HuSlice, VolumeLimits
from gateway.media.medical.transfer_syntaxes import is_dicom

# No slice is longer, packed: copying one out of the upload holds the interpreter's lock.
_LARGEST_FILE = 8 << 20


class ArrivingSeries:
    """Finds the slices of a series in an archive that grows, each once.

    `ready` and `slices` may be called from different threads, each from one at a time.

    Args:
        archive_limits: what is unpacked.
        limits: of the volume.
        series: as of `read_series`; None: that of the first axial slice.
        stated: which part of the body the caller says it shows.

    Attributes:
        known: headers of the files that were read, for `read_series`.
        closed: no more files will be `ready` than are.
    """

    def __init__(
        self,
        archive_limits: ArchiveLimits,
        limits: VolumeLimits,
        series: str | None = None,
        stated: BodyPart | None = None,
    ) -> None:
        """Have found nothing yet."""
        self.known: KnownHeaders = {}
        self._archive_limits = archive_limits
        self._limits = limits
        self._series = series
        self._stated = stated
        self._headers = SeriesHeaders()
        self._waiting: deque[tuple[ZipInfo, int]] = deque()
        self._at = self._unpacked = self._files = 0
        self.closed = False
        self._first: DicomHeader | None = None
        self._last: tuple[DicomHeader, CtFrame] | None = None

    def ready(self, data: bytearray, count: int) -> bool:
        """Return whether so many files lie there whole, or all that will be looked at; it looks no farther than that.

        Args:
            data: the archive as far as it has arrived; it begins with what it began with before.
            count: at least 1.
        """
        while len(self._waiting) < count and not self.closed:
            try:
                found = member_at(data, self._at)
                if found is None or found[1] > len(data):
                    return False
                self._admit(*found)
            except ArchiveUnsuitable:
                self.closed = True
        return bool(self._waiting)

    def slices(self, data: bytearray, count: int) -> Iterator[tuple[DicomHeader, HuSlice]]:
        """Yield the slices among the next `count` files that are `ready`, decoded, with the headers that they have.

        The bytes are copied, so that whoever receives the rest may go on doing so.

        Args:
            data: as of `ready`.
            count: at least 1.
        """
        for _ in range(min(count, len(self._waiting))):
            member, end = self._waiting.popleft()
            start, member.header_offset = member.header_offset, 0
            archive = Archive((member,), memoryview(data[start:end]))
            with suppress(MaskgateError):
                header = self._header(archive, member, start)
                if header is not None and (frame := self._frame(header)) is not None:
                    content = plain_file(archive, member, self._archive_limits.member_bytes)
                    yield header, decode_frame(header, content, frame)

    def _admit(self, member: ZipInfo, end: int) -> None:
        """Take in that a whole file is there.

        Raises:
            ArchiveUnsuitable: it is larger than a slice is, or beyond what is unpacked of an archive.
        """
        limits = self._archive_limits
        self._files += 1
        self._unpacked += member.file_size
        if (
            end - member.header_offset > _LARGEST_FILE
            or member.file_size > limits.member_bytes
            or self._files > limits.members
            or self._unpacked > limits.total_bytes
        ):
            raise ArchiveUnsuitable("The archive holds more than is looked at.")
        self._at = end
        self._waiting.append((member, end))

    def _header(self, archive: Archive, member: ZipInfo, offset: int) -> DicomHeader | None:
        """Return the header of a file; None: it is none of DICOM."""
        key = key_of(member, offset)
        if key in self.known:
            return self.known[key]
        if not is_dicom(archive.head(member, HEAD_BYTES[0])):
            return None
        header = header_of(archive, member, self._headers, self._archive_limits.member_bytes, Judge())
        return self.known.setdefault(key, header)

    def _frame(self, header: DicomHeader) -> CtFrame | None:
        """Return the frame of a file; None: it is not of the series, or what it shows is to be judged first."""
        if self._last and self._last[0].kin is header.kin:
            frame = moved_frame(self._last[1], header)
        else:
            frame = ct_frames(header)[0] if self._fits(header) else None
        if frame is not None:
            self._last = header, frame
        return frame

    def _fits(self, header: DicomHeader) -> bool:
        """Return whether a file is of the series, as far as it can be told without the others."""
        if self._first is None and self._may_begin(header):
            self._limits.check(header.layout.rows, header.layout.columns, 1)
            require_chest(header.body_part, self._stated)
            self._first = header
        first = self._first
        if first is None:
            return False
        if series_of(header)[0] != series_of(first)[0]:
            # Of two that could be meant neither is taken, unless one of them is named.
            self.closed |= self._series is None and says_axial(header)
            return False
        return (
            header.layout.frames == 1
            and states_units(header)
            and (header.layout.rows, header.layout.columns) == (first.layout.rows, first.layout.columns)
        )

    def _may_begin(self, header: DicomHeader) -> bool:
        """Return whether a file is of the series that is asked for, or of one that is taken where none is."""
        if self._series is not None:
            return self._series in series_of(header)
        return says_axial(header)
