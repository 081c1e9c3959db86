"""`config.pbtxt`, as far as it must agree with the card beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from gateway.repository.card import Card

BACKENDS = {"onnx": "onnxruntime", "torchscript": "pytorch"}
"""Card format → name of the Triton backend that serves it."""

PLATFORMS = {"onnx": "onnxruntime_onnx", "torchscript": "pytorch_libtorch"}
"""Card format → what Triton's metadata call the platform of such a model."""

TRITON_TYPES = {"uint8": "TYPE_UINT8", "int16": "TYPE_INT16", "float16": "TYPE_FP16", "float32": "TYPE_FP32"}
"""Card dtype → Triton's `DataType`."""


class ConfigUnreadable(ValueError):
    """The file is not a Triton model configuration; the message says where it stops being one."""


@dataclass(frozen=True)
class ModelConfig:
    """The part of Triton's model configuration that the card also states.

    `inputs` and `outputs` map a tensor's name to its Triton type and its dimensions without the batch axis.
    """

    name: str
    backend: str
    max_batch_size: int
    inputs: dict[str, tuple[str, tuple[int, ...]]]
    outputs: dict[str, tuple[str, tuple[int, ...]]]


def read_config(path: Path) -> ModelConfig:
    """Read one `config.pbtxt`.

    Raises:
        OSError: the file cannot be read.
        ConfigUnreadable: it is not a model configuration in protobuf's text format.
    """
    try:
        message = text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except UnicodeDecodeError as error:
        raise ConfigUnreadable("it is not UTF-8 text") from error
    except text_format.ParseError as error:
        raise ConfigUnreadable(str(error)) from error
    return from_message(message)


def from_message(message: model_config_pb2.ModelConfig) -> ModelConfig:
    """Return the part of a whole configuration that the card also states."""
    type_name = model_config_pb2.DataType.Name
    return ModelConfig(
        name=message.name,
        backend=message.backend,
        max_batch_size=message.max_batch_size,
        inputs={t.name: (type_name(t.data_type), tuple(t.dims)) for t in message.input},
        outputs={t.name: (type_name(t.data_type), tuple(t.dims)) for t in message.output},
    )


def expected_config(card: Card) -> ModelConfig:
    """Return what `config.pbtxt` has to state for `card`."""
    return ModelConfig(
        name=card.name,
        backend=BACKENDS[card.format],
        max_batch_size=card.max_batch_size,
        inputs={t.name: (TRITON_TYPES[t.dtype], t.shape) for t in card.inputs},
        outputs={t.name: (TRITON_TYPES[t.dtype], t.shape) for t in card.outputs},
    )


def contradictions(config: ModelConfig, card: Card, source: str = "config.pbtxt") -> Iterator[str]:
    """Yield one short sentence for every point where `config`, read from `source`, says other than `card`."""
    expected = expected_config(card)
    for key in ("name", "backend", "max_batch_size"):
        said, wanted = getattr(config, key), getattr(expected, key)
        if said != wanted:
            yield f"{source} says {key} {said!r}, the card {wanted!r}"
    yield from _tensor_contradictions(source, "input", config.inputs, expected.inputs)
    yield from _tensor_contradictions(source, "output", config.outputs, expected.outputs)


def _tensor_contradictions(
    source: str,
    kind: str,
    said: dict[str, tuple[str, tuple[int, ...]]],
    wanted: dict[str, tuple[str, tuple[int, ...]]],
) -> Iterator[str]:
    if set(said) != set(wanted):
        yield f"{source} has the {kind}s {sorted(said)}, the card {sorted(wanted)}"
        return
    for name in wanted:
        if said[name] != wanted[name]:
            yield f"{source} says {kind} '{name}' is {_tensor(said[name])}, the card {_tensor(wanted[name])}"


def _tensor(tensor: tuple[str, tuple[int, ...]]) -> str:
    dtype, dims = tensor
    return f"{dtype} {list(dims)}"
