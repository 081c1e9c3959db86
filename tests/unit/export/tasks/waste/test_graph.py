"""The tensor contract of waste inside the graph, what its card says, and the way in for published weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from export.checkpoints.files import read_checkpoint
from export.checkpoints.importing import import_weights
from export.cli import main
from export.errors import CheckpointError
from export.graphs.contract import graph_of
from export.graphs.runners import Runner, torch_runner
from export.networks.colours import IMAGENET
from export.networks.fanet import FANet, FANetUPer
from export.networks.lite0 import LITE0_COLOURS
from export.parity.gate import prove
from export.parity.inputs import draw_tiles
from export.registry import CATALOG, TASKS, specs_of, task_of
from export.repository.cards import stated
from export.tasks.waste.graph import cases_of
from export.tasks.waste.spec import LABEL_SETS
from gateway.vision.labels import decide
from tests.support.checkpoints import FANET_WIDTH, SIZE, UNTRAINED, WIDTH, checkpoint, small_entry, untrained

pytestmark = [pytest.mark.processors, pytest.mark.training]

Weights = dict[str, Tensor]
MODELS = {spec.name: spec.architecture for spec in TASKS["waste"].models}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("threshold", [None, 0.5])
def test_the_graph_normalises_labels_and_restores_the_size(name: str, threshold: float | None) -> None:
    made = checkpoint(MODELS[name], threshold=threshold)
    network = made.network()
    graph = graph_of(network, made, small_entry(name))
    [tiles] = draw_tiles("natural", 1, 2, SIZE)
    with torch.inference_mode():
        label_map, probabilities = graph.module(torch.from_numpy(tiles))
        images = torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255
        colours = LITE0_COLOURS if name == "waste-lite0" else IMAGENET
        mean, std = (torch.tensor(constant).view(1, 3, 1, 1) for constant in (colours.mean, colours.std))
        logits = F.interpolate(network((images - mean) / std), size=(SIZE, SIZE), mode="bilinear")
        expected = 255 * logits.softmax(dim=1).permute(0, 2, 3, 1)
    assert label_map.shape == (2, SIZE, SIZE)
    assert probabilities.shape == (2, SIZE, SIZE, 5)
    assert (label_map.dtype, probabilities.dtype) == (torch.uint8, torch.uint8)
    assert (probabilities - expected).abs().max() < 0.6
    np.testing.assert_array_equal(label_map.numpy(), decide(probabilities.numpy(), threshold))
    assert len(np.unique(label_map.numpy())) > 1


def test_the_served_graph_has_no_auxiliary_head() -> None:
    made = checkpoint("fanet")
    graph = graph_of(made.network(), made, small_entry("waste-fanet"))
    assert not any("auxiliary" in name for name, _ in graph.module.named_modules())
    card = stated(small_entry("waste-fanet"), made, graph, "onnx")
    network = made.network()
    assert isinstance(network, FANetUPer)
    assert card["network"].parameters == sum(each.numel() for each in network.labelling().parameters())
    assert card["network"].depths == "fanet_s"


@pytest.mark.parametrize("label_set", LABEL_SETS)
def test_the_card_has_the_classes_and_colours_of_its_label_set(label_set: str) -> None:
    classes = LABEL_SETS[label_set]
    torch.manual_seed(0)
    network = FANetUPer(FANET_WIDTH, (2, 2, 3, 1), len(classes))
    made = replace(checkpoint("fanet"), state_dict=network.state_dict(), classes=label_set)
    entry = small_entry("waste-fanet")
    graph = graph_of(made.network(), made, entry)
    card = stated(entry, made, graph, "onnx")
    assert card["classes"] == classes
    assert graph.outputs[1].shape == (SIZE, SIZE, len(classes))
    assert (card["overlap"], card["resize"].short, card["resize"].long, card["resize"].multiple) == (16, 64, 256, 32)


def test_zerowastes_classes_are_the_categories_and_background_is_dark() -> None:
    names = ["background", "rigid_plastic", "cardboard", "metal", "soft_plastic"]
    for label_set in ("zerowaste", "zerowaste-dataset", "zerowaste-meta"):
        assert [spec.name for spec in LABEL_SETS[label_set]] == names
        assert max(LABEL_SETS[label_set][0].colour) <= 10
    assert [spec.colour for spec in LABEL_SETS["zerowaste"]][1:] == [
        (230, 5, 5),
        (4, 200, 3),
        (204, 5, 255),
        (5, 128, 148),
    ]


def test_files_that_answer_otherwise_do_not_pass_the_gate() -> None:
    made = checkpoint("waste_fcn")
    graph = graph_of(made.network(), made, small_entry("waste-fcn"))
    [case] = cases_of(graph.module, [graph], [{}], None)
    same: Runner = torch_runner(graph.module)
    other = torch_runner(graph_of(untrained("waste_fcn", seed=1), made, small_entry("waste-fcn")).module)
    assert prove([replace(case, runners={"onnx": same})], 2).comparisons
    with pytest.raises(Exception, match="probabilities differ"):
        prove([replace(case, runners={"onnx": other})], 2)


def test_every_model_of_waste_has_an_entry_of_its_own() -> None:
    for name, architecture in MODELS.items():
        assert [entry.name for entry in specs_of(architecture)] == [name]
        assert task_of(architecture).name == "waste"
        assert CATALOG[name].task == "waste"


def mmseg(path: Path, change: Callable[[Weights], Weights] = dict) -> Path:
    """Write a file as mmsegmentation does, its weights changed."""
    weights = change(dict(untrained("fanet").state_dict()))
    meta: dict[str, Any] = {"epoch": 1, "CLASSES": ["background"]}
    torch.save({"meta": meta, "state_dict": weights, "optimizer": {"state": {}}}, path)
    return path


@pytest.mark.parametrize(
    ("options", "label_set", "size"),
    [("", "zerowaste", 512), ("--classes zerowaste-meta --size 64", "zerowaste-meta", 64)],
)
def test_a_file_of_mmsegmentation_becomes_a_checkpoint(
    tmp_path: Path, options: str, label_set: str, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = mmseg(tmp_path / "iter_40000.pth"), tmp_path / "model.pt"
    assert main(f"import {file} --architecture fanet {options} --out {out}".split()) == 0
    assert "fanet of width 0.0833333, imported" in capsys.readouterr().out
    found = read_checkpoint(out)
    assert (found.classes, found.size, found.depths, found.threshold) == (label_set, size, "fanet_s", None)
    for key, weight in untrained("fanet").state_dict().items():
        torch.testing.assert_close(found.state_dict[key], weight, rtol=0, atol=0)


def test_a_backbone_alone_is_told_apart_and_sent_to_where_it_is_of_use(tmp_path: Path) -> None:
    weights = FANet(FANET_WIDTH, (2, 2, 3, 1)).state_dict()
    torch.save({"state_dict": {**weights, "head.weight": torch.ones(1000, 64)}}, tmp_path / "model_best.pth.tar")
    with pytest.raises(CheckpointError, match=r"model_best\.pth\.tar: it is a backbone alone: .*train fanet --start"):
        import_weights(tmp_path / "model_best.pth.tar", "fanet")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: {k: v for k, v in w.items() if k != "decode_head.bottleneck.bn.bias"}, "missing: decode_head"),
        (lambda w: {**w, "neck.weight": torch.ones(1)}, "unexpected: neck.weight"),
        (lambda w: {k: v for k, v in w.items() if "conv_seg" not in k}, "no last layer"),
        (lambda w: {**w, "decode_head.conv_seg.bias": torch.ones(7)}, "no label set has 7 values"),
        (lambda w: {k: v for k, v in w.items() if "stages.2.2." not in k}, r"no known backbone has \(2, 2, 2, 1\)"),
    ],
)
def test_no_key_is_skipped_or_made_up(tmp_path: Path, change: Callable[[Weights], Weights], reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason):
        import_weights(mmseg(tmp_path / "changed.pth", change), "fanet")


def test_an_fcn_of_others_is_imported_too(tmp_path: Path) -> None:
    torch.save(untrained("waste_fcn").state_dict(), tmp_path / "weights.pt")
    found = import_weights(tmp_path / "weights.pt", "waste_fcn")
    assert (found.width, found.classes, UNTRAINED["waste_fcn"]) == (WIDTH, "zerowaste", ("metal",))


def test_an_unknown_label_set_is_named() -> None:
    with pytest.raises(CheckpointError, match="unknown label set 'fruit'; known: bags, zerowaste"):
        replace(checkpoint("waste_fcn"), classes="fruit").network()
