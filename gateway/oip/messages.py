"""The protocol's gRPC messages, read against a model's card and written from what it answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tritonclient.grpc import model_config_pb2, service_pb2

from gateway.engines.base import Model, Tensors
from gateway.errors import BadRequest, BodyTooLarge, TensorMismatch
from gateway.inference.statistics import ModelStatistics, as_json
from gateway.oip.answers import SERVER, model_config, model_metadata
from gateway.oip.head import Head, Input, Output, Parameters
from gateway.oip.request import InferRequest, Wanted, check_inputs, datatype, wanted_outputs
from gateway.oip.served import Entry, Served
from gateway.oip.tensors import read_raw
from gateway.repository.card import Card, TensorSpec

# Where values are that are no raw bytes; of 16-bit floats the protocol has no such field.
_TYPED = {"uint8": "uint_contents", "int16": "int_contents", "float32": "fp32_contents"}
_TRITON_ONLY = ("classification", "shared_memory_region")

AMPLIFIED = 48
"""Bytes that a parsed message can take per byte of it; of messages of empty tensors 44 were measured."""

_LENGTH_DELIMITED = 2
_RAW_INPUT_CONTENTS = 7 << 3 | _LENGTH_DELIMITED
_MOST_FIELDS = 1024
_LONGEST_PARSED = 8 * 1024 * 1024
_PIECE = 16 * 1024


@dataclass(frozen=True)
class InferMessage:
    """A `ModelInferRequest` without its raw tensors, and these as parts of what was received."""

    message: Any
    raw: Sequence[memoryview]


def split(data: bytes) -> tuple[bytes, list[memoryview]]:
    """Return a `ModelInferRequest` in bytes without its raw tensors, and these.

    They are most of it, and need neither parsing nor a copy. What is left is short: a message that is parsed can take
    `AMPLIFIED` times what it has in bytes.

    Raises:
        BadRequest: it is no such message.
        BodyTooLarge: it is long beside its raw tensors.
    """
    view, position, fields = memoryview(data), 0, 0
    kept: list[memoryview] = []
    raw: list[memoryview] = []
    while position < len(view):
        fields += 1
        start, (tag, position) = position, _varint(view, position)
        if tag & 7 == _LENGTH_DELIMITED:
            length, position = _varint(view, position)
        elif tag & 7 == 0:
            length, position = 0, _varint(view, position)[1]
        else:
            length = {1: 8, 5: 4}.get(tag & 7, len(view))
        end = position + length
        if end > len(view) or fields > _MOST_FIELDS:
            raise BadRequest("The message is not an inference request.")
        if tag == _RAW_INPUT_CONTENTS:
            raw.append(view[position:end])
        else:
            kept.append(view[start:end])
        position = end
    if sum(map(len, kept)) > _LONGEST_PARSED:
        raise BodyTooLarge(
            f"A message may have {_LONGEST_PARSED} bytes beside its raw tensors; send tensors raw.",
            limit=_LONGEST_PARSED,
        )
    return b"".join(kept), raw


def parse(kind: type[Any], data: bytes) -> Any:
    """Return a message.

    Raises:
        BadRequest: it is none of its kind.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise BadRequest("The message is not one of this call.") from error


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    """Return a number of up to 64 bits and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            break
        byte = view[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise BadRequest("The message is not an inference request.")


def read_request(asked: InferMessage, card: Card) -> tuple[InferRequest, dict[str, NDArray[Any]]]:
    """Return what a message asks of the model of `card`, and its inputs by name.

    Raises:
        BadRequest: it is malformed.
        TensorMismatch: it does not fit the card.
    """
    message, raw = asked.message, asked.raw
    head = Head(
        id=message.id or None,
        inputs=tuple(
            Input(name=t.name, datatype=t.datatype, shape=tuple(t.shape), parameters=_parameters(t))
            for t in message.inputs
        ),
        outputs=tuple(Output(name=t.name, parameters=_parameters(t)) for t in message.outputs),
    )
    batch = check_inputs(head.inputs, card)
    if any(tensor.parameters and tensor.parameters.shared_memory_region for tensor in head.inputs):
        raise TensorMismatch("Shared memory is not offered; send the tensor.", pointer="/inputs")
    wanted = tuple(Wanted(output.spec, binary=True) for output in wanted_outputs(head, card))
    if raw and len(raw) != len(head.inputs):
        raise BadRequest("raw_input_contents has the bytes of every input, or of none.", pointer="/raw_input_contents")
    specs = {spec.name: spec for spec in card.inputs}
    inputs = {
        tensor.name: _tensor(tensor, raw[n] if raw else None, specs[tensor.name], batch)
        for n, tensor in enumerate(message.inputs)
    }
    return InferRequest(head.id, batch, (), wanted), inputs


def write_answer(request: InferRequest, model: Model, tensors: Tensors) -> bytes:
    """Return a `ModelInferResponse` in bytes, its tensors raw."""
    message = service_pb2.ModelInferResponse(
        model_name=model.name, model_version=str(model.version), id=request.id or ""
    )
    for output in request.outputs:
        values = tensors[output.spec.name]
        message.outputs.add(name=output.spec.name, datatype=datatype(output.spec), shape=values.shape)
        message.raw_output_contents.append(np.ascontiguousarray(values).tobytes())
    written: bytes = message.SerializeToString()
    return written


def server_metadata() -> Any:
    """Return a `ServerMetadataResponse`."""
    return ParseDict(SERVER, service_pb2.ServerMetadataResponse())


def metadata(found: Served) -> Any:
    """Return a `ModelMetadataResponse`."""
    return ParseDict(model_metadata(found.model.card, found.versions), service_pb2.ModelMetadataResponse())


def config(found: Served) -> Any:
    """Return a `ModelConfigResponse`."""
    told = ParseDict(model_config(found.model.card), model_config_pb2.ModelConfig())
    return service_pb2.ModelConfigResponse(config=told)


def index(entries: Sequence[Entry]) -> Any:
    """Return a `RepositoryIndexResponse`."""
    return service_pb2.RepositoryIndexResponse(
        models=[
            service_pb2.RepositoryIndexResponse.ModelIndex(
                name=entry.name, version=entry.version, state=entry.state, reason=entry.reason
            )
            for entry in entries
        ]
    )


def statistics(models: Sequence[tuple[Model, ModelStatistics]]) -> Any:
    """Return a `ModelStatisticsResponse`."""
    told = {"model_stats": [as_json(model, counted) for model, counted in models]}
    return ParseDict(told, service_pb2.ModelStatisticsResponse())


def _parameters(tensor: Any) -> Parameters:
    """Return those parameters that mean something which is not offered."""
    return Parameters(**{name: True for name in _TRITON_ONLY if name in tensor.parameters})


def _tensor(tensor: Any, raw: memoryview | None, spec: TensorSpec, batch: int) -> NDArray[Any]:
    """Return an input, shape (batch, *card shape), from its bytes or from the numbers in its message."""
    dtype, shape, pointer = np.dtype(spec.dtype), (batch, *spec.shape), f"/inputs/{spec.name}"
    if raw is not None:
        if tensor.HasField("contents"):
            raise BadRequest("An input has either contents or raw bytes.", pointer=pointer)
        expected = batch * spec.bytes_per_item()
        if len(raw) != expected:
            raise TensorMismatch(f"The input '{spec.name}' has {expected} bytes in this shape.", pointer=pointer)
        return read_raw(raw, dtype, shape)
    field = _TYPED.get(spec.dtype)
    if field is None:
        raise TensorMismatch(f"Numbers of {datatype(spec)} are sent as raw bytes.", pointer=pointer)
    listed, count = getattr(tensor.contents, field), batch * prod(spec.shape)
    if len(listed) != count:
        raise TensorMismatch(f"The input '{spec.name}' has not as many numbers as its shape.", pointer=pointer)
    numbers = np.empty(count, np.float32 if dtype.kind == "f" else np.int64)
    for start in range(0, count, _PIECE):
        # A whole tensor in one call would keep all other threads waiting.
        numbers[start : start + _PIECE] = listed[start : start + _PIECE]
    if dtype.kind in "iu" and (numbers.min() < np.iinfo(dtype).min or numbers.max() > np.iinfo(dtype).max):
        raise TensorMismatch(f"The input '{spec.name}' holds numbers beyond {datatype(spec)}.", pointer=pointer)
    return numbers.astype(dtype).reshape(shape)
