"""Requests and answers of the Open Inference Protocol, for tensors of every type."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.errors import BadRequest, BodyTooLarge, TensorMismatch
from gateway.oip.answers import infer_answer, model_config, model_metadata
from gateway.oip.request import InferRequest, Wanted, read_request
from gateway.repository.card import Card, TensorSpec, read_card
from gateway.repository.config import expected_config
from tests.support.oip import HEADER_LENGTH, binary_request, json_request, sealed
from tests.support.trivial import write_trivial_model

SPECS = (
    TensorSpec(name="labels", dtype="uint8", shape=(2, 3)),
    TensorSpec(name="hounsfield", dtype="int16", shape=(2,)),
    TensorSpec(name="scores", dtype="float32", shape=(1, 2, 2)),
)
JSON_BYTES = 100_000


def values(spec: TensorSpec, batch: int) -> st.SearchStrategy[NDArray[Any]]:
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False) if spec.dtype == "float32" else None
    return hnp.arrays(spec.dtype, (batch, *spec.shape), elements=finite)


TENSORS = st.integers(1, 3).flatmap(
    lambda batch: st.fixed_dictionaries({spec.name: values(spec, batch) for spec in SPECS})
)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Card:
    """Return a card with an input and an output of each type; only the codec knows of it."""
    card = read_card(write_trivial_model(tmp_path_factory.mktemp("models"), max_batch_size=3) / "card.json")
    return card.model_copy(update={"inputs": SPECS, "outputs": SPECS})


def packed(tensors: dict[str, NDArray[Any]], binary: bool) -> tuple[bytearray, int | None]:
    if not binary:
        return bytearray(json.dumps(json_request(tensors)).encode()), None
    request = sealed(*binary_request(tensors))
    return bytearray(request["content"]), int(request["headers"][HEADER_LENGTH])


@given(TENSORS, st.booleans())
def test_inputs_come_back(card: Card, tensors: dict[str, NDArray[Any]], binary: bool) -> None:
    body, length = packed(tensors, binary)
    request = read_request(body, length, card, JSON_BYTES)
    read = request.tensors(body)
    assert list(read) == list(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype
        assert read[name].flags.c_contiguous


@given(TENSORS, st.booleans(), st.data())
def test_a_spoilt_request_is_refused_or_read_and_nothing_else(
    card: Card, tensors: dict[str, NDArray[Any]], binary: bool, data: st.DataObject
) -> None:
    body, length = packed(tensors, binary)
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(body)))
        end = start + data.draw(st.integers(0, 20))
        body[start:end] = data.draw(
            st.sampled_from([b"", b'"', b"}", b"]", b"[", b"\\", b'"data":[', b",", b"9", b"\xff"])
        )
    try:
        request = read_request(body, length, card, JSON_BYTES)
        read = request.tensors(body)
    except (BadRequest, BodyTooLarge, TensorMismatch):
        return
    shapes = {name: array.shape for name, array in read.items()}
    assert shapes == {spec.name: (request.batch, *spec.shape) for spec in SPECS}


@given(TENSORS, st.lists(st.booleans(), min_size=3, max_size=3))
def test_outputs_come_back(card: Card, tensors: dict[str, NDArray[Any]], binary: list[bool]) -> None:
    wanted = [Wanted(spec, how) for spec, how in zip(SPECS, binary, strict=True)]
    answer = infer_answer(InferRequest("7", 1, (), wanted), Model(card, 4, card.digests["1"]), tensors)
    assert (answer.header_length is None) == (not any(binary))
    head = json.loads(answer.body[: answer.header_length])
    assert (head["id"], head["model_version"]) == ("7", "4")
    tail = answer.body[answer.header_length or len(answer.body) :]
    for output, spec in zip(head["outputs"], SPECS, strict=True):
        if "data" in output:
            flat = np.array(output["data"], spec.dtype)
        else:
            size = output["parameters"]["binary_data_size"]
            flat, tail = np.frombuffer(tail[:size], spec.dtype), tail[size:]
        np.testing.assert_array_equal(flat.reshape(output["shape"]), tensors[output["name"]])
    assert not tail


def test_strided_outputs_are_sent_in_row_major_order(card: Card) -> None:
    columns = np.arange(6, dtype=np.uint8).reshape(1, 3, 2).transpose(0, 2, 1)
    request = InferRequest(None, 1, (), [Wanted(SPECS[0], binary=True)])
    answer = infer_answer(request, Model(card, 1, card.digests["1"]), {"labels": columns})
    assert answer.body[answer.header_length :] == bytes([0, 2, 4, 1, 3, 5])


def test_what_a_request_holds_covers_its_tensors_and_its_answer(card: Card) -> None:
    tensors = {
        spec.name: np.full(
            (3, *spec.shape), np.iinfo(spec.dtype).min if "int" in spec.dtype else -1.1754944e-38, spec.dtype
        )
        for spec in SPECS
    }
    body, length = packed(tensors, binary=False)
    request = read_request(body, length, card, JSON_BYTES)
    answer = infer_answer(request, Model(card, 1, card.digests["1"]), tensors)
    head = json.loads(answer.body)
    numbers = sum(len(json.dumps(output["data"], separators=(",", ":"))) for output in head["outputs"])
    assert request.bytes_to_hold() >= 2 * sum(array.nbytes for array in tensors.values()) + numbers


def test_metadata_and_configuration_say_what_config_pbtxt_says(card: Card) -> None:
    expected = expected_config(card)
    config = model_config(card)
    assert (config["name"], config["backend"], config["max_batch_size"]) == (card.name, "onnxruntime", 3)
    assert {t["name"]: (t["data_type"], tuple(t["dims"])) for t in config["input"]} == expected.inputs
    metadata = model_metadata(card, [1, 2])
    assert metadata["versions"] == ["1", "2"]
    assert [t["datatype"] for t in metadata["outputs"]] == ["UINT8", "INT16", "FP32"]
    assert metadata["inputs"][2]["shape"] == [-1, 1, 2, 2]
