"""Configurations for Triton: they parse, agree with the card, and say what a GPU needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from export.repository.triton import config_files
from gateway.repository.card import Card, read_card
from gateway.repository.config import expected_config, read_config
from tests.support.trivial import write_trivial_model
from tests.support.trivial_interactive import NAMES, write_trivial_interactive


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Card:
    return read_card(write_trivial_model(tmp_path_factory.mktemp("models"), max_batch_size=6) / "card.json")


@pytest.fixture(scope="module")
def torchscript(onnx: Card) -> Card:
    return onnx.model_copy(update={"format": "torchscript"})


def parsed(text: str) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize("file_format", ["onnx", "torchscript"])
def test_every_configuration_agrees_with_the_card(
    request: pytest.FixtureRequest, tmp_path: Path, file_format: str
) -> None:
    card = request.getfixturevalue(file_format)
    files = config_files(card)
    assert ("configs/tensorrt.pbtxt" in files) == (file_format == "onnx")
    for text in files.values():
        path = tmp_path / "config.pbtxt"
        path.write_text(text)
        assert read_config(path) == expected_config(card)
        assert parsed(text).output[0].label_filename == "labels.txt"
        assert list(parsed(text).dynamic_batching.preferred_batch_size) == [3, 6]


def test_config_pbtxt_leaves_the_device_to_triton(onnx: Card) -> None:
    config = parsed(config_files(onnx)["config.pbtxt"])
    assert [group.kind for group in config.instance_group] == [model_config_pb2.ModelInstanceGroup.KIND_AUTO]
    assert not config.model_warmup
    assert not config.HasField("optimization")


@pytest.mark.parametrize("profile", ["cuda", "tensorrt"])
def test_a_gpu_profile_has_instances_and_warms_up_the_smallest_and_the_largest_batch(onnx: Card, profile: str) -> None:
    config = parsed(config_files(onnx)[f"configs/{profile}.pbtxt"])
    assert [group.kind for group in config.instance_group] == [model_config_pb2.ModelInstanceGroup.KIND_GPU]
    assert [warmup.batch_size for warmup in config.model_warmup] == [1, 6]
    for warmup in config.model_warmup:
        assert {name: tuple(sent.dims) for name, sent in warmup.inputs.items()} == {
            "pre": (64, 64, 3),
            "post": (64, 64, 3),
        }
        assert all(sent.data_type == model_config_pb2.TYPE_UINT8 and sent.zero_data for sent in warmup.inputs.values())
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == profile


def test_tensorrt_compiles_once_for_all_batches(onnx: Card) -> None:
    config = parsed(config_files(onnx)["configs/tensorrt.pbtxt"])
    options = dict(config.optimization.execution_accelerators.gpu_execution_accelerator[0].parameters)
    assert options["precision_mode"] == "FP16"
    assert options["trt_engine_cache_enable"] == options["trt_timing_cache_enable"] == "true"
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"]
    assert options["trt_profile_min_shapes"] == "pre:1x64x64x3,post:1x64x64x3"
    assert options["trt_profile_opt_shapes"] == "pre:6x64x64x3,post:6x64x64x3"
    assert options["trt_profile_max_shapes"] == options["trt_profile_opt_shapes"]


def test_a_torchscript_profile_asks_for_no_onnx_runtime_provider(torchscript: Card) -> None:
    assert not parsed(config_files(torchscript)["configs/cuda.pbtxt"]).HasField("optimization")


@pytest.mark.parametrize("name", NAMES)
def test_interactive_models_have_every_profile(tmp_path: Path, name: str) -> None:
    card = read_card(write_trivial_interactive(tmp_path, [name]) / name / "card.json")
    files = config_files(card)
    assert sorted(files) == ["config.pbtxt", "configs/cuda.pbtxt", "configs/tensorrt.pbtxt"]
    for text in files.values():
        (tmp_path / "config.pbtxt").write_text(text)
        assert read_config(tmp_path / "config.pbtxt") == expected_config(card)
        assert not any(output.label_filename for output in parsed(text).output), "no output is a map of classes"


def test_a_head_is_warmed_up_and_compiled_with_features(tmp_path: Path) -> None:
    card = read_card(write_trivial_interactive(tmp_path, ["iog_refine"]) / "iog_refine" / "card.json")
    config = parsed(config_files(card)["configs/tensorrt.pbtxt"])
    types = {name: sent.data_type for name, sent in config.model_warmup[0].inputs.items()}
    assert types.pop("clicks") == model_config_pb2.TYPE_UINT8
    assert set(types.values()) == {model_config_pb2.TYPE_FP16}
    options = dict(config.optimization.execution_accelerators.gpu_execution_accelerator[0].parameters)
    assert options["trt_profile_max_shapes"] == (
        "features_1:8x16x8x8,features_2:8x64x4x4,features_3:8x256x2x2,features_4:8x256x2x2,clicks:8x32x32x2"
    )


def test_the_same_card_gives_the_same_text(onnx: Card) -> None:
    assert config_files(onnx) == config_files(read_card_again(onnx))


def read_card_again(card: Card) -> Card:
    return Card.model_validate_json(card.model_dump_json())
