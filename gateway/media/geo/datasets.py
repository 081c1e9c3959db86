"""Files that GDAL reads in several threads at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rasterio.io import DatasetReader


class DatasetPool:
    """Datasets of one file, as many as were ever read at once: one is for a single thread at a time.

    They share the file's bytes; each has its own directories, and GDAL's cache holds what they decode.
    """

    def __init__(self, opened: Callable[[ExitStack], DatasetReader]) -> None:
        """Open the first one.

        Args:
            opened: returns another dataset of the file, and leaves on the stack what closes it.
        """
        self._opened = opened
        self._open = ExitStack()
        self._idle = [opened(self._open)]
        self._lock = Lock()

    @contextmanager
    def lend(self) -> Iterator[DatasetReader]:
        """Give a dataset that no other thread has."""
        with self._lock:
            dataset = self._idle.pop() if self._idle else self._opened(self._open)
        try:
            yield dataset
        finally:
            with self._lock:
                self._idle.append(dataset)

    def close(self) -> None:
        """Close them all; none may be lent."""
        with self._lock:
            self._idle.clear()
            self._open.close()
