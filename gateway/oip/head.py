"""The JSON of an inference request, its tensors' data apart.

Data are millions of numbers, and everything else is a few hundred bytes: the numbers are cut
out unread, the rest is validated in one go.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import BadRequest, BodyTooLarge

_LONGEST = 256 * 1024
_DATA = b'"data"'
_ARRAY_FOLLOWS = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*(?=\[)")


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class Parameters(_Part):
    """The parameters that mean something here; others are let pass, as the protocol asks."""

    binary_data_size: int | None = Field(default=None, ge=0)
    binary_data: bool | None = None
    binary_data_output: bool = False
    classification: Any = None
    shared_memory_region: Any = None


NO_PARAMETERS = Parameters()
"""What `null` says, and what says nothing."""


class Input(_Part):
    """A tensor sent. `data` is the index of its array among those that `read_head` cut out."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: Parameters | None = None
    data: int | None = None


class Output(_Part):
    """A tensor asked for."""

    name: str
    parameters: Parameters | None = None


class Head(_Part):
    """The request without its data."""

    id: str | None = None
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...] | None = None
    parameters: Parameters | None = None


def read_head(body: bytearray, end: int, most: int) -> tuple[Head, list[slice]]:
    """Return the JSON before `end` and where in it the arrays lie that were cut out; no more than `most`.

    Raises:
        BadRequest: it is not an inference request.
        BodyTooLarge: it is long without its data.
    """
    text, arrays = _cut_arrays(body, end, most)
    if len(text) > _LONGEST:
        raise BodyTooLarge(f"JSON beside the data may have {_LONGEST} bytes.", limit=_LONGEST)
    try:
        head = Head.model_validate_json(text)
    except ValidationError as error:
        location = error.errors(include_url=False, include_input=False)[0]["loc"]
        raise BadRequest("The JSON is not an inference request.", pointer=f"/{'/'.join(map(str, location))}") from error
    used = [tensor.data for tensor in head.inputs if tensor.data is not None]
    if sorted(used) != list(range(len(arrays))):
        raise BadRequest("Data are arrays of numbers, and belong to inputs.", pointer="/inputs")
    return head, arrays


def _cut_arrays(body: bytearray, end: int, most: int) -> tuple[bytes, list[slice]]:
    """Return the text with an index in place of each array under a key `data`, and where those lie.

    Numbers hold neither quotes nor braces, so an array ends with the last bracket before either.
    """
    kept: list[bytearray | bytes] = []
    arrays: list[slice] = []
    position = search = 0
    while (key := body.find(_DATA, search, end)) >= 0:
        search = key + len(_DATA)
        opening = _ARRAY_FOLLOWS.match(body, search, end)
        if opening is None or body[key - 1] == ord("\\"):
            continue
        start = opening.end()
        limit = _first(body, b"}", start, _first(body, b'"', start, end))
        stop = body.rfind(b"]", start, limit) + 1
        if not stop:
            raise BadRequest("Data are arrays of numbers, and belong to inputs.", pointer="/inputs")
        if len(arrays) == most:
            raise BadRequest("There are more data than the model has inputs.", pointer="/inputs")
        kept += [body[position:start], b"%d" % len(arrays)]
        arrays.append(slice(start, stop))
        position = search = stop
    return b"".join([*kept, body[position:end]]), arrays


def _first(body: bytearray, wanted: bytes, start: int, end: int) -> int:
    """Return where `wanted` is first found, `end` where it is not."""
    found = body.find(wanted, start, end)
    return end if found < 0 else found
