"""The tensor contract of CT inside the graph, and the gate that its files pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch.nn import functional as F

from export.build import build
from export.checkpoints.files import Checkpoint, read_checkpoint
from export.checkpoints.importing import import_weights
from export.errors import BuildError, ParityError
from export.graphs.contract import graph_of, to_torchscript
from export.graphs.runners import torch_runner
from export.networks.cogseg import CogSeg
from export.parity.gate import prove
from export.parity.inputs import draw_slices
from export.registry import CATALOG
from export.tasks.ct.graph import cases_of
from export.verify import verify_source
from gateway.repository.store import scan
from gateway.vision.labels import decide
from gateway.vision.windowing import Window
from tests.support.checkpoints import SIZE, checkpoint, small_entry, untrained, write
from tests.support.exports import onnx_once

pytestmark = [pytest.mark.processors, pytest.mark.training]

LABELLING = {"cogseg": "cogseg", "ct-unet": "ct_unet"}


def slices(kind: str = "natural", count: int = 2) -> torch.Tensor:
    return torch.from_numpy(draw_slices(kind, count, SIZE))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LABELLING)
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_the_graph_windows_labels_and_doubles(name: str, threshold: float | None) -> None:
    made, units = checkpoint(LABELLING[name], threshold=threshold), slices()
    network = made.network()
    graph = graph_of(network, made, small_entry(name))
    with torch.inference_mode():
        label_map, probabilities = graph.module(units)
        shown = ((units.float() + 1250) / 1500).clamp(0, 1)[:, None]
        if isinstance(network, CogSeg):
            logits = network(shown)[0][-1]
        else:
            logits = F.interpolate(network(shown), size=(2 * SIZE, 2 * SIZE), mode="bilinear")
        expected = 255 * logits.softmax(dim=1).permute(0, 2, 3, 1)
    assert label_map.shape == (2, 2 * SIZE, 2 * SIZE)
    assert (label_map.dtype, probabilities.dtype) == (torch.uint8, torch.uint8)
    assert (probabilities - expected).abs().max() < 0.51
    np.testing.assert_array_equal(label_map.numpy(), decide(probabilities.numpy(), threshold))
    assert len(np.unique(label_map.numpy())) > 1


def test_what_lies_beyond_the_window_is_its_end() -> None:
    made = replace(checkpoint("ct_unet"), window=(-160.0, 240.0))
    module = graph_of(made.network(), made, small_entry("ct-unet")).module
    low, high = (torch.full((1, SIZE, SIZE), units, dtype=torch.int16) for units in (-160, 240))
    with torch.inference_mode():
        for end, beyond in ((low, -3024), (high, 3071)):
            torch.testing.assert_close(module(end)[1], module(torch.full_like(end, beyond))[1])
        assert not torch.equal(module(low)[1], module(high)[1])


def test_sharpened_slices_are_in_hounsfield_units_of_the_window() -> None:
    made, units = checkpoint("cogseg"), slices("noise")
    network = made.network()
    assert isinstance(network, CogSeg)
    with torch.inference_mode():
        sharpened = graph_of(network, made, small_entry("cogseg_sr")).module(units)
        shown = network(((units.float() + 1250) / 1500).clamp(0, 1)[:, None])[1][-1][:, 0]
    assert sharpened.dtype == torch.int16
    assert sharpened.shape == (2, 2 * SIZE, 2 * SIZE)
    assert (sharpened - (shown.clamp(0, 1) * 1500 - 1250)).abs().max() < 0.51
    assert sharpened.min() == -1250
    assert sharpened.max() == 250


def test_a_unet_sharpens_nothing() -> None:
    made = checkpoint("ct_unet")
    with pytest.raises(ValueError, match="sharpens nothing"):
        graph_of(made.network(), made, CATALOG["cogseg_sr"])


@pytest.mark.parametrize("name", ["cogseg", "ct-unet", "cogseg_sr"])
def test_both_formats_pass_the_gate_and_others_do_not(name: str) -> None:
    entry = small_entry(name)
    made = checkpoint(entry.architecture)
    graph = graph_of(made.network(), made, entry)
    onnx_file, torchscript = onnx_once(graph), to_torchscript(graph)
    parity = prove(cases_of(made.network(), [graph], [{"onnx": onnx_file, "torchscript": torchscript}], 0.5), 4)
    assert len(parity.comparisons) == 18
    value = onnx.load_from_string(onnx_file).graph.input[0]
    assert value.name == "image"
    assert value.type.tensor_type.elem_type == onnx.TensorProto.INT16
    assert [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] == ["batch", SIZE, SIZE]
    other = graph_of(untrained(entry.architecture, seed=1), made, entry)
    what = "pixels differ" if name == "cogseg_sr" else "probabilities differ"
    [case] = cases_of(made.network(), [graph], [{}], 0.5)
    with pytest.raises(ParityError, match=f"^onnx on .*{what}"):
        prove([replace(case, runners={"onnx": torch_runner(other.module)})], 1)


def test_a_cogseg_is_built_without_its_second_decoder_unless_that_is_named(tmp_path: Path) -> None:
    file, root = write(tmp_path / "cogseg.pt", "cogseg"), tmp_path / "models"
    build(file, [small_entry("cogseg")], root)
    build(file, [small_entry("cogseg_sr")], root, file_format="torchscript")
    models = scan(root).models
    assert list(models) == ["cogseg", "cogseg_sr"]
    card = models["cogseg"].card
    network = read_checkpoint(file).network()
    assert isinstance(network, CogSeg)
    assert card.network.parameters == sum(p.numel() for p in network.labelling().parameters())
    assert card.window is not None
    assert (card.window.low, card.window.high, card.tile) == (-1250, 250, SIZE)
    assert card.training.untrained == ("pleural effusion",)
    assert [tensor.name for tensor in models["cogseg_sr"].card.outputs] == ["sharpened__0"]
    assert verify_source(scan(root), file) == ()
    assert [CATALOG[name].differences(models[name].card) for name in models] == [["max_batch_size"]] * 2


def test_versions_share_one_window(tmp_path: Path) -> None:
    root = tmp_path / "models"
    build(write(tmp_path / "one.pt", "ct_unet"), [small_entry("ct-unet")], root)
    other: Checkpoint = replace(checkpoint("ct_unet"), window=(-160.0, 240.0))
    torch.save(vars(other), tmp_path / "other.pt")
    with pytest.raises(BuildError, match="another tensor contract"):
        build(tmp_path / "other.pt", [small_entry("ct-unet")], root, version=2)


def test_weights_of_others_are_imported_with_their_window(tmp_path: Path) -> None:
    torch.save(untrained("cogseg").state_dict(), tmp_path / "weights.pt")
    found = import_weights(tmp_path / "weights.pt", "cogseg", window=Window(-1500, 500))
    assert (found.width, found.size, found.window) == (1 / 16, 256, (-1500, 500))
