"""The tensor contract inside the graph, and the two files it is written to."""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional as F

from export.graphs.contract import Graph, to_onnx, to_torchscript
from export.graphs.framing import Framing
from export.graphs.runners import FileFormat, open_file
from export.graphs.served import ServedModel
from export.networks.colours import IMAGENET
from export.parity.inputs import draw_tiles
from export.task import OUTPUTS
from export.tasks.damage.graph import serve
from export.tasks.damage.spec import DamageSpec
from gateway.vision.labels import decide
from tests.support.checkpoints import small_entries, untrained
from tests.support.exports import onnx_once
from tests.support.places import ROOT

pytestmark = [pytest.mark.processors, pytest.mark.training]

ROLES = {"fcn": ("pre",), "siamunet": ("pre", "post")}
TILE = 64


def served(architecture: str, threshold: float | None = 0.5) -> ServedModel:
    return serve(untrained(architecture), ROLES[architecture], Framing(2, threshold))


def graph(architecture: str) -> Graph:
    [entry] = small_entries(architecture)
    assert isinstance(entry, DamageSpec)
    return Graph(served(architecture), entry.input_specs(), entry.output_specs())


def tensors(model: ServedModel, kind: str = "natural", count: int = 2) -> list[torch.Tensor]:
    return [torch.from_numpy(tile) for tile in draw_tiles(kind, len(model.roles), count, TILE)]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def files() -> dict[str, dict[FileFormat, bytes]]:
    graphs = {name: graph(name) for name in ROLES}
    return {name: {"onnx": onnx_once(each), "torchscript": to_torchscript(each)} for name, each in graphs.items()}


@pytest.mark.parametrize("architecture", ROLES)
def test_the_graph_computes_what_the_contract_says(architecture: str) -> None:
    model = served(architecture)
    images = tensors(model)
    with torch.inference_mode():
        _, probabilities = model(*images)
        # As training does it: normalise in [0, 1] first, then average the pixels.
        mean, std = (torch.tensor(constant).view(1, 3, 1, 1) for constant in (IMAGENET.mean, IMAGENET.std))
        prepared = [F.avg_pool2d((image.permute(0, 3, 1, 2) / 255 - mean) / std, 2) for image in images]
        logits = F.interpolate(model.network(*prepared), size=(TILE, TILE), mode="bilinear", align_corners=False)
        expected = 255 * logits.softmax(dim=1).permute(0, 2, 3, 1)
    assert probabilities.dtype == torch.uint8
    assert (probabilities - expected).abs().max() < 0.51


@pytest.mark.parametrize("threshold", [None, 0.4, 0.5, 0.6, 128 / 255])
@pytest.mark.parametrize("architecture", ROLES)
def test_the_label_map_follows_from_the_probabilities_by_the_gateways_rule(
    architecture: str, threshold: float | None
) -> None:
    model = served(architecture, threshold)
    with torch.inference_mode():
        label_map, probabilities = (tensor.numpy() for tensor in model(*tensors(model, "noise", 4)))
    assert label_map.dtype == np.uint8
    assert np.array_equal(label_map, decide(probabilities, threshold))
    assert len(np.unique(label_map)) > 1


def test_roles_are_the_names_of_the_arguments() -> None:
    with pytest.raises(ValueError, match="before"):
        serve(untrained("fcn"), ("before",), Framing(2))


@pytest.mark.parametrize("architecture", ROLES)
def test_onnx_has_named_tensors_fixed_tiles_and_any_batch(
    files: dict[str, dict[FileFormat, bytes]], architecture: str
) -> None:
    proto = onnx.load_from_string(files[architecture]["onnx"]).graph

    def shapes(values: Sequence[onnx.ValueInfoProto]) -> dict[str, list[int | str]]:
        return {
            value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values
        }

    classes = 2 if architecture == "fcn" else 5
    assert shapes(proto.input) == {role: ["batch", TILE, TILE, 3] for role in ROLES[architecture]}
    assert shapes(proto.output) == dict(
        zip(OUTPUTS, (["batch", TILE, TILE], ["batch", TILE, TILE, classes]), strict=True)
    )
    types = {value.type.tensor_type.elem_type for value in (*proto.input, *proto.output)}
    assert types == {onnx.TensorProto.UINT8}


@pytest.mark.parametrize("architecture", ROLES)
def test_onnx_holds_no_training_and_no_shape_arithmetic(
    files: dict[str, dict[FileFormat, bytes]], architecture: str
) -> None:
    operators = {node.op_type for node in onnx.load_from_string(files[architecture]["onnx"]).graph.node}
    assert operators.isdisjoint({"BatchNormalization", "Dropout", "Identity", "Shape", "Constant", "ConstantOfShape"})
    assert {"Conv", "ConvTranspose", "Exp", "ArgMax", "Cast"} <= operators


@pytest.mark.parametrize("file_format", ["onnx", "torchscript"])
@pytest.mark.parametrize("architecture", ROLES)
def test_any_batch_size_gives_the_same_answers(
    files: dict[str, dict[FileFormat, bytes]], architecture: str, file_format: FileFormat
) -> None:
    run = open_file(files[architecture][file_format], file_format, ROLES[architecture], OUTPUTS)
    images = draw_tiles("natural", len(ROLES[architecture]), 5, TILE)
    together = run(images)[1].astype(int)
    alone = np.concatenate([run([image[i : i + 1] for image in images])[1] for i in range(5)]).astype(int)
    assert np.abs(together - alone).max() <= 1


@pytest.mark.parametrize("architecture", ROLES)
def test_the_same_network_gives_the_same_bytes(files: dict[str, dict[FileFormat, bytes]], architecture: str) -> None:
    again = graph(architecture)
    assert to_onnx(again) == files[architecture]["onnx"]
    assert to_torchscript(again) == files[architecture]["torchscript"]


@pytest.mark.parametrize("architecture", ROLES)
def test_files_name_no_path_of_the_machine_that_built_them(
    files: dict[str, dict[FileFormat, bytes]], architecture: str
) -> None:
    archive = zipfile.ZipFile(io.BytesIO(files[architecture]["torchscript"]))
    content = [files[architecture]["onnx"], *(archive.read(name) for name in archive.namelist())]
    places = [ROOT, Path.home(), Path(sys.prefix), Path(tempfile.gettempdir()), "site-packages"]
    assert [place for place in places for part in content if str(place).encode() in part] == []


def test_a_tint_lets_the_graph_see_two_equal_images() -> None:
    network = untrained("siamunet")
    first, second = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 1, TILE, TILE, 3), np.uint8))
    plain = serve(network, ("pre", "post"), Framing(2))
    assert plain(first, first)[1].equal(plain(second, second)[1]), "nothing differs, so there is nothing to see"
    tinted = serve(network, ("pre", "post"), Framing(2, post_tint=(1.0, 0.0, -1.0)))
    assert not tinted(first, first)[1].equal(tinted(second, second)[1])
