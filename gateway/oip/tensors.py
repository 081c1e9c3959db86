"""Tensors as raw bytes and as JSON numbers, row-major, as the Open Inference Protocol sends them.

A call into Python's JSON parser holds the GIL until it returns, and a tile is a million
numbers: so both directions go in pieces of about a millisecond, between which the event
loop gets its turn. That also keeps lists of Python objects small.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import accumulate
from math import prod
from operator import mul
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.errors import BadRequest, TensorMismatch, Unprocessable

_PIECE_CHARACTERS = 64 * 1024
_PIECE_NUMBERS = 16 * 1024
# White space that pretty-printing may put around one number.
_LONGEST_NUMBER = 1024
_NUMERIC = b"0123456789+-.eE \t\r\n,"
_BRACKETS_TO_SPACES = bytes.maketrans(b"[]", b"  ")


def read_raw(data: memoryview, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return `data` as an array, without a copy where its address suits the type.

    Args:
        data: exactly as many bytes as the array has, little-endian.
        dtype: type of its elements.
        shape: shape of the array.
    """
    return np.require(np.frombuffer(data, dtype).reshape(shape), requirements=["ALIGNED"])


def read_numbers(text: bytearray, span: slice, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the JSON array `text[span]` as an array.

    It may be flat or nested like `shape`. Brackets are counted and not matched: the order of
    the numbers alone decides.

    Raises:
        BadRequest: it is not a JSON array of numbers.
        TensorMismatch: it has more or fewer numbers than `shape`, or some that `dtype` cannot hold.
    """
    values = np.empty(prod(shape), dtype)
    filled = opened = closed = 0
    for piece in _pieces(text, span):
        opened += piece.count(b"[")
        closed += piece.count(b"]")
        numbers = _numbers(piece.translate(_BRACKETS_TO_SPACES), dtype)
        if filled + len(numbers) > len(values):
            raise TensorMismatch(f"The data have more than the {len(values)} numbers of the shape.")
        values[filled : filled + len(numbers)] = numbers
        filled += len(numbers)
    # Arrays in an array nested like the shape: 1 + 2 + 6 for (2, 3, 4).
    nested = sum(accumulate(shape[:-1], mul, initial=1))
    if opened != closed or opened not in (1, nested):
        raise BadRequest("The data are not one array, flat or nested like the shape.")
    if filled < len(values):
        raise TensorMismatch(f"The data have {filled} numbers, the shape {len(values)}.")
    return values.reshape(shape)


def write_numbers(values: NDArray[Any]) -> bytes:
    """Return the elements of `values` as a flat JSON array.

    Raises:
        Unprocessable: one is infinite or not a number, which JSON cannot say.
    """
    if not np.isfinite(values).all():
        raise Unprocessable("The model answered with values that JSON cannot write; ask for binary data.")
    flat = values.reshape(-1)
    pieces = (flat[start : start + _PIECE_NUMBERS].tolist() for start in range(0, len(flat), _PIECE_NUMBERS))
    return b"[" + b",".join(json.dumps(piece, separators=(",", ":"))[1:-1].encode() for piece in pieces) + b"]"


def _pieces(text: bytearray, span: slice) -> Iterator[bytearray]:
    """Yield the text of a JSON array, cut at commas."""
    position, stop = span.start, span.stop
    while position <= stop:
        cut = stop
        if stop - position > _PIECE_CHARACTERS:
            near = position + _PIECE_CHARACTERS
            cut = text.find(b",", near, near + _LONGEST_NUMBER)
            if cut < 0:
                if stop - near > _LONGEST_NUMBER:
                    raise BadRequest("The data hold something longer than a number.")
                cut = stop
        yield text[position:cut]
        position = cut + 1


def _numbers(piece: bytearray, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return comma-separated numbers as an array of `dtype`."""
    if piece.translate(None, _NUMERIC):
        raise BadRequest("The data hold something that is not a number.")
    try:
        listed = json.loads(b"".join((b"[", piece, b"]")))
    except ValueError as error:
        raise BadRequest("The data are not a JSON array of numbers.") from error
    if not listed:
        raise BadRequest("The data lack a number.")
    if dtype.kind in "iu":
        numbers, bounds = np.array(listed), np.iinfo(dtype)
        if numbers.dtype.kind == "f" and (numbers == np.trunc(numbers)).all() and (np.abs(numbers) < 2**53).all():
            # Writers that know but one type of number write 7 as 7.0.
            numbers = numbers.astype(np.int64)
        # NumPy makes floats or objects of what is no integer or a huge one.
        if numbers.dtype.kind not in "iu" or numbers.min() < bounds.min or numbers.max() > bounds.max:
            raise TensorMismatch(f"The data have to be integers from {bounds.min} to {bounds.max}.")
        return numbers
    try:
        with np.errstate(over="ignore"):
            floats: NDArray[Any] = np.array(listed, np.float64).astype(dtype)
    except OverflowError:
        floats = np.array([np.inf])
    if not np.isfinite(floats).all():
        raise TensorMismatch(f"The data hold numbers beyond {dtype}.")
    return floats
