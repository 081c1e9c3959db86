"""Medical libraries, kept from talking.

pydicom, highdicom and nibabel put what they read into their exceptions, warnings and log records: a date they could
not parse, a name of odd characters. Whoever calls them does so inside `reading`, which silences them and answers
their trouble with a sentence of ours. They are imported where they are used and not on top, because together they
take some 60 MiB and a third of a second, which a gateway without medical models should not pay.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from gateway.errors import ImageUnreadable, MaskgateError

_LIBRARIES = ("pydicom", "highdicom", "nibabel", "nibabel.global", "pylibjpeg", "openjpeg", "PIL")


@contextmanager
def reading(detail: str, error: type[MaskgateError] = ImageUnreadable) -> Iterator[None]:
    """Silence the medical libraries, and raise `error` as `answering` does for whatever one raises inside."""
    _silence()
    with answering(detail, error):
        yield


@contextmanager
def answering(detail: str, error: type[MaskgateError], pointer: str | None = None) -> Iterator[None]:
    """Raise `error` with `detail` and `pointer` for whatever a library raises inside, and nothing of what it says.

    Errors of ours pass, and so does the lack of memory.
    """
    try:
        yield
    except (MaskgateError, MemoryError):
        raise
    except Exception:
        # Not chained: a log of the cause would quote what the library quotes.
        raise error(detail, pointer=pointer) from None


@cache
def _silence() -> None:
    """Turn off the log records and warnings of the libraries, once per process."""
    import pydicom.config

    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # A warning counts as its caller's, and the caller may be one of these rooms.
    callers = "|".join([*(name.replace(".", r"\.") for name in _LIBRARIES), r"gateway\.media"])
    warnings.filterwarnings("ignore", module=rf"({callers})(\.|$)")
    # Values that break the rules of their type are no reason to refuse a picture, nor to mention them.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
