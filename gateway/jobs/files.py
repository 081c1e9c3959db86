"""The files of jobs: what callers have uploaded, and the results of items, which nobody changes once they are there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from gateway.errors import ChecksumWrong, JobsFull, UploadBusy, UploadMoved, UploadNotFound
from gateway.jobs.model import Result, new_id

PIECE = 1024 * 1024
"""Bytes that are read, written or hashed at once."""

BODY = "body"
"""Name of the file that is a result's body, also while it is being made."""

_DESCRIPTION = "result.json"


class Files:
    """A folder of uploads and results. Every method blocks.

    A result is a folder of two files, body and description, that is put in its place by renaming it there: the system
    does that wholly or not at all, and refuses where one is there already. So a result is there or it is not, however
    often the process dies, and none is written over.

    Args:
        folder: made where it is not there, for its owner alone.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folders.

        Raises:
            OSError: they cannot be made.
        """
        self._uploads, self._results, self._making = (folder / name for name in ("uploads", "results", "making"))
        self._journals = folder / "journals"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in (self._uploads, self._results, self._making, self._journals):
            each.mkdir(mode=0o700, exist_ok=True)

    # Uploads

    def begin_upload(self, upload: str) -> None:
        """Make the empty file of an upload."""
        self.upload(upload).touch(mode=0o600)

    def upload(self, upload: str) -> Path:
        """Return the file of an upload."""
        return self._uploads / upload

    def received(self, upload: str) -> int:
        """Return how many bytes of an upload are there; the file itself says, so no crash makes that wrong.

        Raises:
            UploadNotFound: there is no such file.
        """
        try:
            return self.upload(upload).stat().st_size
        except FileNotFoundError:
            raise UploadNotFound("No upload of that id is kept for this key.") from None

    def drop_upload(self, upload: str) -> None:
        """Delete an upload, if it is there."""
        self.upload(upload).unlink(missing_ok=True)

    # Results

    def result(self, tenant: str, key: str) -> Result | None:
        """Return the result of a key, if it is there."""
        try:
            return Result(**json.loads((self._place(tenant, key) / _DESCRIPTION).read_bytes()))
        except FileNotFoundError:
            return None

    def body(self, tenant: str, key: str) -> Path:
        """Return the file of a result's body."""
        return self._place(tenant, key) / BODY

    def make(self) -> Path:
        """Return a new folder for a result that is being made, and what its making needs beside it."""
        folder = self._making / new_id()
        folder.mkdir(mode=0o700)
        return folder

    def keep(self, made: Path, tenant: str, key: str, result: Result) -> Result:
        """Keep a result whose body was made in the folder `made`, unless there is one; return that which is kept."""
        ready = made / "result"
        ready.mkdir(mode=0o700)
        (made / BODY).rename(ready / BODY)
        (ready / _DESCRIPTION).write_text(json.dumps(asdict(result)))
        for each in (ready / BODY, ready / _DESCRIPTION, ready):
            _to_disk(each)
        place = self._place(tenant, key)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            ready.rename(place)
        except OSError:
            there = self.result(tenant, key)
            if there is None:
                raise
            return there
        _to_disk(place.parent)
        return result

    def drop_made(self, made: Path) -> None:
        """Delete a folder of what was being made."""
        shutil.rmtree(made, ignore_errors=True)

    def journal(self, job: str, number: int) -> Path:
        """Return the file of an item's journal."""
        return self._journals / f"{job}.{number}"

    def journals(self) -> list[tuple[str, int]]:
        """Return job and number of the items that have one."""
        found = [path.name.rpartition(".") for path in self._journals.iterdir()]
        return [(job, int(number)) for job, _, number in found]

    def drop_result(self, tenant: str, key: str) -> None:
        """Delete a result, if it is there."""
        shutil.rmtree(self._place(tenant, key), ignore_errors=True)

    def tidy(self) -> None:
        """Delete what was being made when a process died; to be called while nobody makes anything."""
        for left in self._making.iterdir():
            shutil.rmtree(left, ignore_errors=True)

    def _place(self, tenant: str, key: str) -> Path:
        # A tenant's name may have characters that no file's name has.
        return self._results / hashlib.sha256(tenant.encode()).hexdigest()[:32] / key[:2] / key


class Receiving:
    """One request that adds to an upload, whose file it has to itself. Every method blocks.

    Args:
        path: of the upload's file.
        offset: where the bytes begin.
        length: of the whole upload.
        checksum: name of a hash and its value, which the bytes have to have; None: they need not.
    """

    def __init__(self, path: Path, offset: int, length: int, checksum: tuple[str, bytes] | None = None) -> None:
        """Lock the file.

        Raises:
            UploadNotFound: it is not there any more.
            UploadBusy: another request writes to it.
            UploadMoved: it ends at another byte.
        """
        try:
            self._file = path.open("r+b")
        except FileNotFoundError:
            raise UploadNotFound("No upload of that id is kept for this key.") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.offset = self._file.seek(0, os.SEEK_END)
            if self.offset != offset:
                raise UploadMoved("The upload goes on at another byte.", headers={"Upload-Offset": str(self.offset)})
        except BlockingIOError:
            self._file.close()
            raise UploadBusy("Another request writes to the upload.", retry_after=1) from None
        except BaseException:
            self._file.close()
            raise
        self._begin, self._length = offset, length
        self._hash = hashlib.new(checksum[0], usedforsecurity=False) if checksum else None
        self._wanted = checksum[1] if checksum else b""

    def add(self, piece: bytes | bytearray) -> None:
        """Write the next bytes.

        Raises:
            UploadMoved: they are more than the upload has.
            JobsFull: the disk has no room for them.
        """
        if self.offset + len(piece) > self._length:
            raise UploadMoved("These are more bytes than the upload was said to have.")
        try:
            self._file.write(piece)
            self._file.flush()
        except OSError:
            raise JobsFull("The disk has no room for more of the upload.", retry_after=60) from None
        self.offset += len(piece)
        if self._hash:
            self._hash.update(piece)

    def end(self, *, whole: bool) -> None:
        """Let the file go; with a checksum none of the bytes is kept that do not bear it out.

        Args:
            whole: whether all came that was to come.

        Raises:
            ChecksumWrong: they do not.
        """
        with self._file:
            if self._hash and not (whole and self._hash.digest() == self._wanted):
                self._file.truncate(self._begin)
                if whole:
                    raise ChecksumWrong("The bytes are not those that the checksum is of.")
            self._file.flush()
            os.fsync(self._file.fileno())


def new_file(path: Path) -> BinaryIO:
    """Return a new, empty file that is open for writing, in the place of what was there."""
    return path.open("wb")


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def lock(path: Path) -> BinaryIO | None:
    """Return a file that is locked until it is closed, or its process ends; None: another process has it locked."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
