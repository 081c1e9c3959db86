"""Zip archives from strangers, read in memory and within limits."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import SEEK_CUR, SEEK_END, SEEK_SET, BytesIO, RawIOBase
from pathlib import PurePosixPath, PureWindowsPath
from struct import unpack_from
from typing import TYPE_CHECKING

from isal import isal_zlib

from gateway.errors import ArchiveTooLarge, ArchiveUnsuitable
from gateway.media.quiet import reading

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SIGNATURE = b"PK\x03\x04"

_DAMAGED = "The zip archive is damaged."
_END = b"PK\x05\x06"
_END_BYTES = 22
_LOCAL_HEADER_BYTES = 30
_UNKNOWN = 0xFFFFFFFF  # of a size: told behind the file, or in a field of zip64
# What is known of a file's sizes and checksum before the directory: bit 3 would say that they come behind the file.
_PLAIN_FLAGS = 0x0006 | 0x0800  # how well it was deflated, and that its name is UTF-8
_RAW_DEFLATE = -15
_LOCATOR, _LOCATOR_BYTES = b"PK\x06\x07", 20  # of zip64
_LONGEST_COMMENT = 0xFFFF
# An entry of the directory has 46 bytes and its name.
_DIRECTORY_BYTES_PER_MEMBER = 1024
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ARCHIVES = (SIGNATURE, _END, b"\x1f\x8b", b"BZh", b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_CLUTTER = frozenset({"DICOMDIR", ".DS_STORE", "THUMBS.DB", "DESKTOP.INI"})
_CLUTTER_FOLDER = "__MACOSX"


@dataclass(frozen=True)
class ArchiveLimits:
    """What is unpacked.

    Attributes:
        members: the most files.
        member_bytes: the most bytes of one, unpacked.
        total_bytes: the most of all.
        ratio: unpacked bytes per packed one; past this an archive is a bomb.
    """

    members: int
    member_bytes: int
    total_bytes: int
    ratio: int = 200


@dataclass(frozen=True, repr=False, eq=False)
class Archive:
    """An archive that was judged by its directory. Its names never leave it: they may be a patient's.

    Attributes:
        members: the files worth reading, in the directory's order; folders and system clutter are left out.
        data: the archive.
    """

    members: tuple[zipfile.ZipInfo, ...]
    data: bytes | memoryview

    def read(self, member: zipfile.ZipInfo) -> bytes:
        """Return a member's bytes; never more than its directory entry said when it was judged.

        Inflated by ISA-L and not by zipfile, whose zlib takes three times as long, and which is for one thread.

        Raises:
            ArchiveUnsuitable: damaged.
        """
        content = self._unpacked(member, member.compress_size, member.file_size + 1)
        if (len(content), isal_zlib.crc32(content)) != (member.file_size, member.CRC):
            raise ArchiveUnsuitable(_DAMAGED)
        return content

    def head(self, member: zipfile.ZipInfo, size: int) -> bytes:
        """Return the first `size` bytes of a member, or all where it is shorter; no more is inflated, nothing verified.

        Raises:
            ArchiveUnsuitable: damaged in what is inflated.
        """
        # Deflate makes nothing longer than a few bytes in every 64 KiB.
        return self._unpacked(member, min(member.compress_size, size + size // 1024 + 64), size)

    def _unpacked(self, member: zipfile.ZipInfo, packed: int, most: int) -> bytes:
        """Return at most `most` bytes of what the first `packed` bytes of a member unpack to."""
        with reading(_DAMAGED, ArchiveUnsuitable):
            signature, name, extra = unpack_from("<4s22xHH", self.data, member.header_offset)
            if signature != SIGNATURE:
                raise ArchiveUnsuitable(_DAMAGED)
            start = member.header_offset + _LOCAL_HEADER_BYTES + name + extra
            # A view, of which nothing is copied but what is stored as it is.
            content = memoryview(self.data)[start : start + packed]
            if member.compress_type == zipfile.ZIP_DEFLATED:
                return isal_zlib.decompressobj(_RAW_DEFLATE).decompress(content, most)
            return bytes(content[:most])


def is_only_zip(files: Sequence[memoryview]) -> bool:
    """Return whether files are one that is a zip, which `packed` does not copy."""
    return len(files) == 1 and files[0][:4] == SIGNATURE


def packed(files: list[memoryview]) -> bytes | memoryview:
    """Return files as one: the only one, or a zip of them as they are, the same in whatever order they came.

    Decoders want bytes: the one copy. An only file that is a zip is not copied; one file of it at a time is unpacked.
    The list is emptied, so that each is let go when it is packed.
    """
    if is_only_zip(files):
        return files.pop()
    if len(files) == 1:
        return bytes(files.pop())
    files.sort(key=lambda content: sha256(content).digest())
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as directory:
        while files:
            directory.writestr(zipfile.ZipInfo(str(len(files))), files.pop())
    return archive.getvalue()


def is_archive(head: bytes) -> bool:
    """Return whether a file begins as an archive does: of programs, office documents, or more images."""
    return head.startswith(_ARCHIVES)


def open_archive(data: bytes | memoryview, limits: ArchiveLimits) -> Archive:
    """Judge a zip archive by its directory; nothing is unpacked.

    Raises:
        ArchiveTooLarge: more files or bytes than `limits` has, or a bomb.
        ArchiveUnsuitable: damaged, encrypted, of a rare compression, with links or with names that climb out.
    """
    _check_directory(data, limits)
    with reading(_DAMAGED, ArchiveUnsuitable), zipfile.ZipFile(_Viewed(data)) as directory:
        members = [member for member in directory.infolist() if not member.is_dir()]
    for member in members:
        _check_member(member, limits)
    total = sum(member.file_size for member in members)
    if total > limits.total_bytes:
        raise ArchiveTooLarge(
            f"The zip archive unpacks to {total:,} bytes; {limits.total_bytes:,} are served.", limit=limits.total_bytes
        )
    if total > limits.member_bytes and total > limits.ratio * len(data):
        raise ArchiveTooLarge(
            f"The zip archive unpacks to more than {limits.ratio} times its size.", limit=limits.ratio
        )
    return Archive(tuple(member for member in members if not _is_clutter(member.filename)), data)


def member_at(data: bytes | bytearray, at: int) -> tuple[zipfile.ZipInfo, int] | None:
    """Return the file of an archive that begins at byte `at`, as far as it says itself, and where it ends.

    What an archive holds its directory says, which comes last. This is for who cannot wait for it, and has to compare
    with it in the end.

    Args:
        data: the archive, or its beginning.
        at: where a file may begin.

    Returns:
        None where `data` ends within the head of the file.

    Raises:
        ArchiveUnsuitable: none begins there, or it does not say how long it is, or is of a kind that is not unpacked.
    """
    if len(data) < at + _LOCAL_HEADER_BYTES:
        return None
    signature, flags, method, checksum, packed, size, name, extra = unpack_from("<4s2xHH4xIIIHH", data, at)
    if signature != SIGNATURE or flags & ~_PLAIN_FLAGS or method not in _METHODS or _UNKNOWN in (packed, size):
        raise ArchiveUnsuitable(_DAMAGED)
    member = zipfile.ZipInfo()
    member.header_offset, member.compress_type, member.CRC = at, method, checksum
    member.compress_size, member.file_size = packed, size
    return member, at + _LOCAL_HEADER_BYTES + name + extra + packed


class _Viewed(RawIOBase):
    """A file over bytes that lie in memory, none of which is copied before it is read."""

    def __init__(self, data: bytes | memoryview) -> None:
        """Stand at the beginning."""
        self._data = memoryview(data)
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move to a byte counted from the beginning, from here or from the end, and return which it is."""
        at = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: len(self._data)}[whence] + offset
        if at < 0:
            raise OSError("before the beginning")
        self._at = at
        return at

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill `buffer` as far as there are bytes, and return with how many."""
        room = memoryview(buffer)
        found = self._data[self._at : self._at + len(room)]
        room[: len(found)] = found
        self._at += len(found)
        return len(found)


def _check_directory(data: bytes | memoryview, limits: ArchiveLimits) -> None:
    """Refuse a directory of more entries than are served before an object is made of each."""
    tail = bytes(data[-_END_BYTES - _LONGEST_COMMENT - _LOCATOR_BYTES :])
    end = tail.rfind(_END, max(0, len(tail) - _END_BYTES - _LONGEST_COMMENT))
    if end < 0 or len(tail) < end + _END_BYTES:
        raise ArchiveUnsuitable("The zip archive is cut short: its directory is missing.")
    entries, size, comment = unpack_from("<HI4xH", tail, end + 10)
    if end + _END_BYTES + comment != len(tail) or tail[max(0, end - _LOCATOR_BYTES) : end].startswith(_LOCATOR):
        raise ArchiveUnsuitable("The zip archive has a directory of a kind that is not read here.")
    if entries > limits.members or size > limits.members * _DIRECTORY_BYTES_PER_MEMBER:
        raise ArchiveTooLarge(f"The zip archive has more than {limits.members:,} files.", limit=limits.members)


def _check_member(member: zipfile.ZipInfo, limits: ArchiveLimits) -> None:
    name = member.filename
    if (
        PurePosixPath(name).is_absolute()
        or PureWindowsPath(name).anchor
        or ".." in PureWindowsPath(name).parts
        or stat.S_ISLNK(member.external_attr >> 16)
    ):
        raise ArchiveUnsuitable("The zip archive has names that lead out of it, or links.")
    if member.flag_bits & _ENCRYPTED:
        raise ArchiveUnsuitable("The zip archive is encrypted.")
    if member.compress_type not in _METHODS:
        raise ArchiveUnsuitable("The zip archive is of a compression other than deflate.")
    if member.file_size > limits.member_bytes:
        raise ArchiveTooLarge(
            f"A file of the zip archive unpacks to {member.file_size:,} bytes; {limits.member_bytes:,} are served.",
            limit=limits.member_bytes,
        )


def _is_clutter(name: str) -> bool:
    """Return whether a name is of what systems and media leave beside the images."""
    path = PurePosixPath(name)
    return path.name.upper() in _CLUTTER or path.name.startswith(".") or _CLUTTER_FOLDER in path.parts
