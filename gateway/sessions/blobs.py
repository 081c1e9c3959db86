"""Arrays as bytes and back, for a store outside this process: a small JSON head, then the raw arrays. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LENGTH = 4
# Where an array begins, counted from the blob's own beginning: what vector units like.
_ALIGNMENT = 64
_DTYPES = frozenset({"uint8", "int16", "float16", "float32"})


def pack(arrays: Mapping[str, NDArray[Any]]) -> bytearray:
    """Return `arrays` as one blob: the head's length (4 bytes, little-endian), the head, and each array, aligned."""
    entries = [{"name": name, "dtype": a.dtype.name, "shape": a.shape} for name, a in arrays.items()]
    head = json.dumps(entries).encode()
    blob = bytearray(len(head).to_bytes(_LENGTH, "little") + head)
    for array in arrays.values():
        blob.extend(bytes(-len(blob) % _ALIGNMENT))
        # The one copy: Redis takes a value in one piece.
        blob.extend(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return blob


def unpack(blob: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of a blob, read-only views of it.

    Raises:
        ValueError: it is not what `pack` makes.
    """
    start = _LENGTH + int.from_bytes(blob[:_LENGTH], "little")
    arrays: dict[str, NDArray[Any]] = {}
    try:
        entries = json.loads(blob[_LENGTH:start])
        if not isinstance(entries, list):
            raise ValueError("the head is no list")
        for entry in entries:
            if entry["dtype"] not in _DTYPES:
                raise ValueError("an array of no known type")
            start += -start % _ALIGNMENT
            shape = tuple(entry["shape"])
            array = np.frombuffer(blob, entry["dtype"], prod(shape), start).reshape(shape)
            arrays[entry["name"]] = array
            start += array.nbytes
    except (KeyError, TypeError) as error:
        raise ValueError("the head is not one") from error
    return arrays
