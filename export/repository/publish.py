"""A model folder appears in a repository whole, or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def replacing(targets: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield an empty folder for each of `targets`, all in one place, that become these when the block ends.

    They are made beside their targets, hidden, since only within one file system is renaming atomic. When the block
    raises, every target stays as it was. Folders that belong together change one right after the other: whoever looks
    between the two renames sees some of them new, which no order of steps can prevent.

    Raises:
        OSError: the place of the targets cannot be written; no target, or none but the first ones, has changed.
    """
    place = targets[0].parent
    place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place, prefix=".") as staging:
        # Not the temporary folder itself: that one is readable by nobody else, and a server often is somebody else.
        folders = [Path(staging) / target.name for target in targets]
        for folder in folders:
            folder.mkdir()
        yield folders
        for folder, target in zip(folders, targets, strict=True):
            if target.exists():
                _exchange(folder, target)
            else:
                folder.rename(target)


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders in one step, or where the system cannot (it is Linux's alone), in two."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        code = errno.ENOSYS
    else:
        failed = rename(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE)
        code = ctypes.get_errno() if failed else 0
    if code in (errno.ENOSYS, errno.EINVAL):
        old.rename(new.with_name(f"replaced {old.name}"))
        new.rename(old)
    elif code:
        raise OSError(code, os.strerror(code), str(old))
