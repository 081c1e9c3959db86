"""GDAL, kept to the bytes it is given.

Every call of rasterio is made inside `contained` or `reading_raster`: GDAL then looks for nothing beside the file
it reads, neither auxiliary files nor overviews or masks of their own. Files are in memory, under names of our making;
only the driver that is named may open one. PROJ asks no network, unless its own settings on this machine tell it to.

Options: https://gdal.org/user/configoptions.html.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from gateway.errors import ImageUnreadable, MaskgateError
from gateway.media.quiet import answering

# What GDAL may keep decoded, over all files and threads of the process: some rows of tiles of a large scene. Its own
# default is a twentieth of the machine's memory.
_CACHE_BYTES = 128 * 1024 * 1024

# The class of rasterio's private module that says so, below others.
_NO_MEMORY = "CPLE_OutOfMemoryError"

_OPTIONS: dict[str, str | int] = {
    "CPL_TMPDIR": "/vsimem/",
    "GDAL_CACHEMAX": _CACHE_BYTES,
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_PAM_ENABLED": "NO",
    "GTIFF_IMPLICIT_JPEG_OVR": "NO",
}


@contextmanager
def contained() -> Iterator[None]:
    """Run GDAL with the options above, in this thread, and unheard: what it logs and warns of quotes the file."""
    import rasterio
    from rasterio.session import DummySession

    _silence()
    # Without a session of its own rasterio would look for credentials of clouds.
    with rasterio.Env(session=DummySession(), **_OPTIONS):
        yield


@contextmanager
def reading_raster(detail: str, error: type[MaskgateError] = ImageUnreadable) -> Iterator[None]:
    """Run GDAL as `contained` does, and raise `error` with `detail` for whatever it raises.

    Raises:
        MemoryError: GDAL was given no memory.
    """
    with answering(detail, error), contained():
        try:
            yield
        except Exception as raised:
            if any(type(cause).__name__ == _NO_MEMORY for cause in _causes(raised)):
                raise MemoryError("GDAL was given no memory") from None
            raise


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@cache
def _silence() -> None:
    """Turn off rasterio's log records, and its warning of every image without geography, once per process."""
    from rasterio.errors import NotGeoreferencedWarning

    logging.getLogger("rasterio").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
