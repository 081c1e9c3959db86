"""A model folder appears in a repository whole, or not at all."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes `target` when the block ends, in place of what was there.

    It is made beside `target`, hidden, since only within one file system is renaming atomic. When the block raises,
    `target` stays as it was.

    Raises:
        OSError: the folder of `target` cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=".") as staging:
        # Not the temporary folder itself: that one is readable by nobody else, and a server often is somebody else.
        folder = Path(staging) / target.name
        folder.mkdir()
        yield folder
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
        old.rename(new.with_name("replaced"))
        new.rename(old)
    elif code:
        raise OSError(code, os.strerror(code), str(old))
