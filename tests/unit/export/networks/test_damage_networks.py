"""DAHiTra and the CNN: the papers' sizes, the reference's rules, its files, and what is served of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from export.build import build
from export.checkpoints.files import Checkpoint, read_checkpoint
from export.checkpoints.importing import import_weights
from export.cli import main
from export.errors import CheckpointError
from export.graphs.contract import graph_of
from export.graphs.framing import Framing
from export.graphs.runners import open_file, torch_runner
from export.networks import build_network
from export.networks.dahitra import DAHiTra, Hierarchy, undoubled
from export.parity.inputs import draw_tiles
from export.registry import CATALOG
from export.tasks.damage.building.graph import ServedBuilding
from export.tasks.damage.spec import DAMAGE_CLASSES, GRADES
from export.verify import verify, verify_source
from gateway.repository.card import CropSpec
from gateway.repository.store import scan
from tests.support.checkpoints import WIDTH, checkpoint, small_entry, untrained, write
from tests.support.exports import exported, graph

pytestmark = [pytest.mark.processors, pytest.mark.training]


@pytest.mark.parametrize(("architecture", "parameters"), [("dahitra", 13_078_733), ("cnn", 23_516_228)])
def test_full_width_has_the_documented_number_of_parameters(architecture: str, parameters: int) -> None:
    with torch.device("meta"):
        network = build_network(architecture)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("architecture", "shapes", "billions"),
    [("dahitra", [(1, 3, 256, 256)] * 2, 9.08), ("cnn", [(1, 3, 224, 224)], 4.09)],
)
def test_full_width_costs_what_is_documented(architecture: str, shapes: list[tuple[int, ...]], billions: float) -> None:
    with torch.device("meta"):
        network = build_network(architecture).eval()
        images = [torch.empty(shape) for shape in shapes]
    with FlopCounterMode(display=False) as counter:
        network(*images)
    assert counter.get_total_flops() / 2e9 == pytest.approx(billions, abs=0.006)


@pytest.mark.parametrize(("architecture", "side", "classes"), [("dahitra", 80, 5), ("dahitra_levir", 256, 2)])
def test_what_never_runs_is_left_out_and_nothing_else(architecture: str, side: int, classes: int) -> None:
    network = build_network(architecture, WIDTH)
    assert isinstance(network, Hierarchy)
    pair = torch.randn(2, 2, 3, side, side)
    executed = network.executed()
    logits = executed(*pair)
    assert logits.shape == (2, classes, side, side)
    torch.testing.assert_close(logits, network(*pair))
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in executed.parameters())
    kept = {name for name, _ in executed.named_parameters()}
    assert len(kept) < len(dict(network.named_parameters()))
    assert executed.state_dict().keys() < network.state_dict().keys()


def test_served_decides_as_the_reference_does() -> None:
    """BGR, pixel / 127 - 1; sigmoid(0) > 0.3 is a building, the likeliest of 1 to 4 its damage."""
    network = untrained("dahitra")
    assert isinstance(network, DAHiTra)
    assert network.classifier.bias is not None
    pre, post = draw_tiles("natural", 2, 3, 64)
    shown = [torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(0, 3, 1, 2) for image in (pre, post)]
    images = [image.float() / 127 - 1 for image in shown]
    with torch.no_grad():
        # Half of what is drawn is a building, and of each grade as much as of the others.
        given = network.answers(*images)
        network.classifier.bias -= given.median(dim=0).values.median(dim=1).values.median(dim=1).values
        network.classifier.bias[0] += np.log(0.3 / 0.7)
    served = graph_of(network, _published(threshold=0.3), small_entry("bd-dahitra"))
    labels, probabilities = torch_runner(served.module)((pre, post))
    with torch.inference_mode():
        answers = network.answers(*images).numpy()
    building = 1 / (1 + np.exp(-answers[:, 0]))
    expected = np.where(building > 0.3, answers[:, 1:].argmax(axis=1) + 1, 0)
    # Probabilities are rounded to 255 steps, the four of damage each on its own.
    damage = np.exp(answers[:, 1:]) / np.exp(answers[:, 1:]).sum(axis=1, keepdims=True)
    second, first = np.sort(damage * building[:, None], axis=1)[:, -2:].swapaxes(0, 1)
    clear = (np.abs(building - 0.3) > 3 / 255) & ((building < 0.3) | (first - second > 2 / 255))
    assert clear.mean() > 0.5
    assert 0.05 < (expected > 0).mean() < 0.95
    assert len(np.unique(expected[clear])) == 5
    np.testing.assert_array_equal(labels[clear], expected[clear])
    np.testing.assert_allclose(1 - probabilities[..., 0] / 255, building, atol=1 / 255)


def test_levirs_images_are_scaled_as_its_authors_do() -> None:
    network = untrained("dahitra_levir")
    pre, post = draw_tiles("natural", 2, 1, 256)
    entry = CATALOG["bd-dahitra-levir"]
    graph = graph_of(network, _published("dahitra_levir", threshold=None), entry)
    labels, _ = torch_runner(graph.module)((pre, post))
    shown = [(torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5 for image in (pre, post)]
    with torch.inference_mode():
        expected = network(*shown).argmax(dim=1).numpy()
    assert np.mean(labels != expected) < 1e-3
    assert 0.05 < expected.mean() < 0.95


def _published(architecture: str = "dahitra", **changes: Any) -> Checkpoint:
    return replace(checkpoint(architecture), reduction=1, **changes)


LISTS = {
    "conv_squeeze": "conv_squeeze_layers",
    "conv_token": "conv_tokens_layers",
    "conv_decode": "conv_decode_layers",
    "transformer": "transformer_layers",
    "transformer_decoder": "transformer_decoder_layers",
}


def doubled(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights as the reference's own modules name them: levels in lists once more, behind `module.`."""
    again = dict(weights)
    for key, value in weights.items():
        for level in (2, 3, 4, 5):
            part, _, rest = key.partition(f"_{level}.")
            if part in LISTS:
                again[f"{LISTS[part]}.{level - 2}.{rest}"] = value
    return {f"module.{key}": value for key, value in again.items()}


def test_a_file_of_dahitras_layout_becomes_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = untrained("dahitra").state_dict()
    file, out = tmp_path / "BASE_UNet_Transformer", tmp_path / "model.pt"
    content = doubled(weights)
    assert len(content) > len(weights) + 100
    torch.save({"epoch": 7, "state_dict": content, "best_score": 0.8, "optimizer": {}}, file)
    assert main(f"import {file} --architecture dahitra --out {out}".split()) == 0
    assert "dahitra of width 0.0625" in capsys.readouterr().out
    imported = read_checkpoint(out)
    assert imported.state_dict.keys() == weights.keys()
    assert all(torch.equal(imported.state_dict[key], weights[key]) for key in weights)
    assert (imported.threshold, imported.reduction, imported.post_tint) == (0.3, 1, (0.0, 0.0, 0.0))


def test_a_weight_that_differs_under_its_second_name_is_refused(tmp_path: Path) -> None:
    content = doubled(untrained("dahitra").state_dict())
    content["module.conv_decode_layers.3.weight"] = content["module.conv_decode_layers.3.weight"] + 1
    torch.save({"state_dict": content}, tmp_path / "file")
    with pytest.raises(
        CheckpointError, match=r"^file: conv_decode_layers\.3\.weight differs from conv_decode_5\.weight$"
    ):
        import_weights(tmp_path / "file", "dahitra")


def test_weights_that_are_in_the_lists_alone_are_found() -> None:
    value = torch.ones(1)
    assert undoubled({"transformer_decoder_layers.1.layers.0.x": value}) == {"transformer_decoder_3.layers.0.x": value}


def test_a_file_of_levirs_layout_becomes_a_checkpoint(tmp_path: Path) -> None:
    weights = untrained("dahitra_levir").state_dict()
    torch.save({"model_G_state_dict": weights, "best_val_acc": 0.9, "epoch_id": 3}, tmp_path / "best_ckpt.pt")
    imported = import_weights(tmp_path / "best_ckpt.pt", "dahitra_levir")
    assert (imported.width, imported.threshold) == (WIDTH, None)
    assert all(torch.equal(imported.state_dict[key], weights[key]) for key in weights)


def test_torchvisions_names_become_a_cnn(tmp_path: Path) -> None:
    weights = untrained("cnn").state_dict()
    assert {"conv1.weight", "bn1.weight", "layer1.0.downsample.0.weight", "layer4.1.conv3.weight", "fc.bias"} <= set(
        weights
    )
    torch.save(weights, tmp_path / "cnn.pth")
    imported = import_weights(tmp_path / "cnn.pth", "cnn")
    assert (imported.width, imported.depths, imported.size) == (WIDTH, "resnet26", 224)


def test_crops_are_graded_by_the_softmax_of_the_network() -> None:
    network = untrained("cnn")
    [crops] = draw_tiles("natural", 1, 5, 64)
    [scores] = torch_runner(ServedBuilding(network))((crops,))
    mean, std = np.array((0.485, 0.456, 0.406), np.float32), np.array((0.229, 0.224, 0.225), np.float32)
    shown = torch.from_numpy((crops / np.float32(255) - mean) / std).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = network(shown).softmax(dim=1).numpy()
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert len(np.unique(scores.argmax(axis=1))) > 1


@pytest.mark.parametrize("name", ["bd-cnn", "bd-dahitra"])
def test_what_is_built_is_sound(name: str, tmp_path: Path) -> None:
    """The parity gate lets both formats pass, and the folder is the catalogue's and the checkpoint's."""
    entry = small_entry(name)
    source = write(tmp_path / "model.pt", entry.architecture)
    [folder] = build(source, [entry], tmp_path / "repository")
    repository = scan(folder.parent)
    assert not repository.faults
    card = repository.models[name].card
    compared = {drift.format for drift in card.parity.comparisons}
    assert compared == {"onnx", "torchscript"}
    # The entry is smaller than the catalogue's, and so is its folder: nothing else is wrong with it.
    [fault] = verify(repository)
    assert fault.reason.startswith("the card differs from the catalogue in ")
    assert set(fault.reason.removeprefix("the card differs from the catalogue in ").split(", ")) <= {
        "inputs",
        "outputs",
        "max_batch_size",
        "overlap",
    }
    if name == "bd-cnn":
        assert verify_source(repository, source) == ()
        assert (card.task, card.crop, card.classes) == ("damage-crop", CropSpec(grow=0.8), GRADES)
        assert card.network.depths == "resnet26"
    else:
        assert (card.task, card.classes) == ("damage", DAMAGE_CLASSES)
        network = untrained("dahitra")
        assert card.network.parameters < sum(p.numel() for p in network.parameters()) / 2


def test_framing_of_the_published_network_is_plain() -> None:
    assert _published(threshold=0.3).framing == Framing(1, 0.3)


def test_onnx_gives_scores_for_any_batch() -> None:
    run = open_file(exported("bd-cnn", "onnx"), "onnx", ["crop"], ["scores"])
    for count in (1, 5):
        [crops] = draw_tiles("noise", 1, count, 64)
        np.testing.assert_allclose(run((crops,))[0], torch_runner(graph("bd-cnn").module)((crops,))[0], atol=1e-4)
