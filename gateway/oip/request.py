"""An inference request of the Open Inference Protocol: its body against the model's card.

The body is JSON, and after it the bytes of those tensors that are sent in binary: Triton's
binary tensor extension, where `Inference-Header-Content-Length` tells the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.errors import BadRequest, BodyTooLarge, TensorMismatch
from gateway.http.uploads import naming_part
from gateway.oip.head import NO_PARAMETERS, Head, Input, Output, Parameters, read_head
from gateway.oip.tensors import read_numbers, read_raw
from gateway.repository.card import Card, TensorSpec
from gateway.repository.config import TRITON_TYPES

# What one element can take as JSON, its comma included.
_JSON_CHARACTERS = {"uint8": 4, "int16": 7, "float16": 25, "float32": 25}


@dataclass(frozen=True)
class Source:
    """Where in the body the tensor `spec` lies: its bytes, or the JSON array of its numbers."""

    spec: TensorSpec
    span: slice
    binary: bool


@dataclass(frozen=True)
class Wanted:
    """An output to answer with, in binary or as JSON numbers."""

    spec: TensorSpec
    binary: bool


@dataclass(frozen=True)
class InferRequest:
    """A request that fits its model: `batch` items, nothing of their data read yet."""

    id: str | None
    batch: int
    sources: Sequence[Source]
    outputs: Sequence[Wanted]

    def bytes_to_hold(self) -> int:
        """Return what the request will take beside its body: tensors read from JSON, the answer and its encoding."""
        read = sum(source.spec.bytes_per_item() for source in self.sources if not source.binary)
        answered = sum(
            output.spec.bytes_per_item() * (2 if output.binary else 1 + 2 * _JSON_CHARACTERS[output.spec.dtype])
            for output in self.outputs
        )
        return self.batch * (read + answered)

    def tensors(self, body: bytearray) -> dict[str, NDArray[Any]]:
        """Return the inputs by name; binary ones are views of `body`.

        Raises:
            BadRequest: the data of one are not numbers.
            TensorMismatch: they do not fit its shape or type.
        """
        return {source.spec.name: self._tensor(source, body) for source in self.sources}

    def _tensor(self, source: Source, body: bytearray) -> NDArray[Any]:
        dtype, shape = np.dtype(source.spec.dtype), (self.batch, *source.spec.shape)
        if source.binary:
            return read_raw(memoryview(body)[source.span], dtype, shape)
        with naming_part(f"inputs/{source.spec.name}/data"):
            return read_numbers(body, source.span, dtype, shape)


def read_request(body: bytearray, header_length: int | None, card: Card, json_bytes: int) -> InferRequest:
    """Return what `body` asks of the model of `card`.

    Args:
        body: the request's body.
        header_length: length of its JSON; None where all of it is, 0 where none is and the body is the model's only
            input in raw bytes.
        card: the model's card.
        json_bytes: longest JSON that is read.

    Raises:
        BadRequest: it is malformed.
        BodyTooLarge: its JSON is longer than is read.
        TensorMismatch: it does not fit the card.
    """
    if header_length == 0:
        return _raw_request(body, card)
    end = len(body) if header_length is None else header_length
    if end > len(body):
        raise BadRequest("Inference-Header-Content-Length is beyond the body.")
    if end > json_bytes:
        raise BodyTooLarge(f"JSON may have {json_bytes} bytes; send tensors in binary.", limit=json_bytes)
    head, arrays = read_head(body, end, len(card.inputs))
    batch = check_inputs(head.inputs, card)
    return InferRequest(
        id=head.id,
        batch=batch,
        sources=_sources(head.inputs, card, batch, arrays, slice(end, len(body))),
        outputs=wanted_outputs(head, card),
    )


def check_inputs(inputs: Sequence[Input], card: Card) -> int:
    """Return the batch size, once names, types and shapes are the card's.

    Raises:
        BadRequest: one is there twice.
        TensorMismatch: they are not.
    """
    specs = {spec.name: spec for spec in card.inputs}
    _check_names([tensor.name for tensor in inputs], specs, "input")
    if missing := [name for name in specs if name not in {tensor.name for tensor in inputs}]:
        raise TensorMismatch(f"The input '{missing[0]}' is missing.", pointer=f"/inputs/{missing[0]}")
    batch = inputs[0].shape[0] if inputs[0].shape else 0
    for tensor in inputs:
        spec, pointer = specs[tensor.name], f"/inputs/{tensor.name}"
        if tensor.datatype != datatype(spec):
            raise TensorMismatch(f"The input '{spec.name}' is {datatype(spec)}.", pointer=f"{pointer}/datatype")
        if tensor.shape[1:] != spec.shape or tensor.shape[0] != batch:
            raise TensorMismatch(
                f"The input '{spec.name}' has the shape {[-1, *spec.shape]}, -1 being the batch, "
                "which all inputs have in common.",
                pointer=f"{pointer}/shape",
            )
    _check_batch(batch, card)
    return batch


def _check_batch(batch: int, card: Card) -> None:
    if not 1 <= batch <= card.max_batch_size:
        raise TensorMismatch(f"The batch may have 1 to {card.max_batch_size} items.", limit=card.max_batch_size)


def _check_names(names: Sequence[str], specs: Mapping[str, TensorSpec], kind: str) -> None:
    if len(set(names)) < len(names):
        raise BadRequest(f"An {kind} is there twice.", pointer=f"/{kind}s")
    if not specs.keys() >= set(names):
        raise TensorMismatch(f"The model's {kind}s are {', '.join(specs)}.", pointer=f"/{kind}s")


def _sources(
    inputs: Sequence[Input], card: Card, batch: int, arrays: Sequence[slice], tail: slice
) -> tuple[Source, ...]:
    """Return where each input lies. Binary ones follow each other in `tail` and fill it."""
    specs = {spec.name: spec for spec in card.inputs}
    sources, position = [], tail.start
    for tensor in inputs:
        spec = specs[tensor.name]
        if tensor.data is None:
            size = _binary_size(tensor, batch * spec.bytes_per_item())
            sources.append(Source(spec, slice(position, position + size), binary=True))
            position += size
        elif _said(tensor).binary_data_size is None:
            sources.append(Source(spec, arrays[tensor.data], binary=False))
        else:
            raise BadRequest("An input has either data or binary_data_size.", pointer=f"/inputs/{tensor.name}")
    if position != tail.stop:
        raise BadRequest("The bytes after the JSON are not as many as binary_data_size says.")
    return tuple(sources)


def _binary_size(tensor: Input, expected: int) -> int:
    """Return how many bytes a tensor without data has after the JSON: `expected`, or it is an error."""
    pointer = f"/inputs/{tensor.name}"
    said = _said(tensor)
    if said.shared_memory_region is not None:
        raise TensorMismatch("Shared memory is not offered; send the tensor.", pointer=pointer)
    if said.binary_data_size is None:
        raise BadRequest("An input has either data or binary_data_size.", pointer=pointer)
    if said.binary_data_size != expected:
        raise TensorMismatch(
            f"The input '{tensor.name}' has {expected} bytes in this shape.",
            pointer=f"{pointer}/parameters/binary_data_size",
        )
    return expected


def wanted_outputs(head: Head, card: Card) -> tuple[Wanted, ...]:
    """Return the outputs asked for, in the order asked; all of the card where none is named.

    Raises:
        BadRequest: one is there twice.
        TensorMismatch: the model has none of that name, or not in that form.
    """
    specs, asked = {spec.name: spec for spec in card.outputs}, head.outputs or ()
    _check_names([output.name for output in asked], specs, "output")
    for output in asked:
        if _said(output).classification is not None or _said(output).shared_memory_region is not None:
            raise TensorMismatch(
                "Outputs are answered as they are: neither classified nor in shared memory.",
                pointer=f"/outputs/{output.name}/parameters",
            )
    usual = _said(head).binary_data_output

    def is_binary(output: Output) -> bool:
        own = _said(output).binary_data
        return usual if own is None else own

    return tuple(Wanted(specs[o.name], is_binary(o)) for o in asked or [Output(name=name) for name in specs])


def _said(part: Input | Output | Head) -> Parameters:
    return part.parameters or NO_PARAMETERS


def _raw_request(body: bytearray, card: Card) -> InferRequest:
    """Return a request without JSON: the one input in raw bytes, whose number tells the batch."""
    if len(card.inputs) != 1:
        raise BadRequest("The model has several inputs: which is which takes JSON to say.")
    spec = card.inputs[0]
    batch, rest = divmod(len(body), spec.bytes_per_item())
    if rest:
        raise TensorMismatch(f"An item of the input '{spec.name}' has {spec.bytes_per_item()} bytes.")
    _check_batch(batch, card)
    source = Source(spec, slice(0, len(body)), binary=True)
    return InferRequest(None, batch, [source], [Wanted(output, binary=True) for output in card.outputs])


def datatype(spec: TensorSpec) -> str:
    """Return the protocol's name of a tensor's type, which is Triton's without `TYPE_`."""
    return TRITON_TYPES[spec.dtype].removeprefix("TYPE_")
