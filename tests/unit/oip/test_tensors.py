"""Tensors as raw bytes and as JSON numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gateway.errors import BadRequest, MaskgateError, TensorMismatch, Unprocessable
from gateway.oip.tensors import read_numbers, read_raw, write_numbers

UINT8, INT16, FLOAT32 = (np.dtype(name) for name in ("uint8", "int16", "float32"))
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, max_side=5)
TENSORS = st.sampled_from([UINT8, INT16, FLOAT32]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        SHAPES,
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False) if dtype.kind == "f" else None,
    )
)


def parse(text: str | bytes, dtype: np.dtype[Any] = UINT8, shape: tuple[int, ...] = (2, 2)) -> NDArray[Any]:
    data = bytearray(text.encode() if isinstance(text, str) else text)
    return read_numbers(data, slice(0, len(data)), dtype, shape)


@given(TENSORS)
def test_numbers_come_back(values: NDArray[Any]) -> None:
    written = write_numbers(values)
    np.testing.assert_array_equal(np.array(json.loads(written), values.dtype), values.reshape(-1))
    np.testing.assert_array_equal(parse(written, values.dtype, values.shape), values)


@given(TENSORS, st.sampled_from([None, 1, 2]))
def test_nested_and_pretty_printed_numbers_are_read(values: NDArray[Any], indent: int | None) -> None:
    np.testing.assert_array_equal(parse(json.dumps(values.tolist(), indent=indent), values.dtype, values.shape), values)


@given(TENSORS, st.integers(0, 7))
def test_bytes_come_back_from_any_offset(values: NDArray[Any], offset: int) -> None:
    body = bytearray(offset) + values.tobytes()
    read = read_raw(memoryview(body)[offset:], values.dtype, values.shape)
    np.testing.assert_array_equal(read, values)
    assert read.flags.aligned


def test_bytes_are_not_copied() -> None:
    body = bytearray(12)
    read = read_raw(memoryview(body), UINT8, (2, 2, 3))
    body[0] = 7
    assert read[0, 0, 0] == 7


@pytest.mark.parametrize("nested", [False, True])
def test_more_numbers_than_one_piece_holds(nested: bool) -> None:
    values = np.random.default_rng(0).integers(0, 256, (2, 150, 150, 3), np.uint8)
    text = json.dumps((values if nested else values.reshape(-1)).tolist())
    np.testing.assert_array_equal(parse(text, UINT8, values.shape), values)
    assert json.loads(write_numbers(values)) == values.reshape(-1).tolist()


MANY = ",".join(["1"] * 40_000)


@pytest.mark.parametrize(
    ("text", "error"),
    {
        "empty": ("[]", BadRequest),
        "too few": ("[1,2,3]", TensorMismatch),
        "too many": ("[1,2,3,4,5]", TensorMismatch),
        "not a number": ("[1,2,3,NaN]", BadRequest),
        "infinity": ("[1,2,3,Infinity]", BadRequest),
        "null": ("[1,2,3,null]", BadRequest),
        "true": ("[1,2,3,true]", BadRequest),
        "text": ('[1,2,3,"4"]', BadRequest),
        "object": ("[1,2,3,{}]", BadRequest),
        "trailing comma": ("[1,2,3,4,]", BadRequest),
        "leading comma": ("[,1,2,3,4]", BadRequest),
        "two commas": ("[1,,2,3,4]", BadRequest),
        "no comma": ("[1 2,3,4]", BadRequest),
        "leading zero": ("[01,2,3,4]", BadRequest),
        "plus": ("[+1,2,3,4]", BadRequest),
        "not closed": ("[[1,2],[3,4]", BadRequest),
        "nested otherwise": ("[[[1,2],[3,4]]]", BadRequest),
        "two arrays": ("[1,2],[3,4]", BadRequest),
        "fraction": ("[1,2,3,4.5]", TensorMismatch),
        "fraction among integral ones": ("[1.0,2.0,3.0,4.25]", TensorMismatch),
        "integral and above": ("[1,2,3,256.0]", TensorMismatch),
        "integral and endless": ("[1,2,3,1e400]", TensorMismatch),
        "integral and huge": (f"[1.0,2,3,1{'0' * 400}]", TensorMismatch),
        "above": ("[1,2,3,256]", TensorMismatch),
        "below": ("[1,2,3,-1]", TensorMismatch),
        "huge": (f"[1,2,3,1{'0' * 400}]", TensorMismatch),
        "endless": (f"[1,2,3,1{'0' * 5000}]", BadRequest),
        "more than a piece": (f"[{MANY}]", TensorMismatch),
        "comma at the end of a piece": (f"[{' ' * 65536},1,2,3]", BadRequest),
        "longer than a number": (f"[1,2,3,4{' ' * 70_000}]", BadRequest),
    }.values(),
)
def test_what_is_no_tensor_of_integers_is_refused(text: str, error: type[MaskgateError]) -> None:
    with pytest.raises(error):
        parse(text)


def test_integers_may_be_written_as_floats() -> None:
    assert parse("[1.0, 2, 3e0, 2.55e2]").tolist() == [[1, 2], [3, 255]]


@pytest.mark.parametrize("number", ["1e39", "-1e400", "1" + "0" * 400])
def test_numbers_beyond_a_float_are_refused(number: str) -> None:
    with pytest.raises(TensorMismatch, match="float32"):
        parse(f"[{number}]", FLOAT32, (1,))


def test_floats_may_be_written_as_integers_and_with_exponents() -> None:
    assert parse("[1, -2.5, 1e-3, 4E2]", FLOAT32).tolist() == [[1, -2.5], [np.float32(1e-3), 400]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_json_cannot_say_is_not_written(value: float) -> None:
    with pytest.raises(Unprocessable, match="binary"):
        write_numbers(np.array([1, value], np.float32))
