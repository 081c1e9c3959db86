"""The tensor contract of radiographs inside the graph, and the gate that its files pass."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor

from export.build import build
from export.checkpoints.files import Checkpoint, write_checkpoint
from export.errors import CheckpointError, ParityError
from export.graphs.contract import graph_of, to_torchscript
from export.graphs.runners import torch_runner
from export.networks.keras_layers import FilmNetwork
from export.parity.gate import prove
from export.parity.inputs import draw_tiles
from export.repository.triton import config_text
from export.tasks.radiograph.graph import KINK, ServedFilm, cases_of, evidence
from export.verify import verify, verify_source
from gateway.repository.store import scan
from tests.support.checkpoints import FILM_SIZE, FILMS, checkpoint, small_entries, untrained
from tests.support.exports import onnx_once

pytestmark = [pytest.mark.processors, pytest.mark.training]


def all_active(architecture: str) -> Checkpoint:
    """Return a checkpoint whose hidden units are above 0 for any film.

    What an untrained network makes of a film is so near to 0 in some of them that rounding could decide.
    """
    made = checkpoint(architecture)
    raised = {key: made.state_dict[key] + 40 for key in ("head.dense.bias", "head.norm.running_mean")}
    return replace(made, state_dict={**made.state_dict, **raised})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the checkpoint of a small network, and the repository that was built of it."""
    folder = tmp_path_factory.mktemp("built")
    file = folder / "film.pt"
    write_checkpoint(all_active("resnet101v2"), file)
    build(file, small_entries("resnet101v2"), folder / "models")
    return file, folder / "models"


def served(architecture: str = "densenet201") -> tuple[FilmNetwork, ServedFilm]:
    network = cast(FilmNetwork, untrained(architecture))
    return network, ServedFilm(network)


def tiles(count: int = 3) -> Tensor:
    return torch.from_numpy(draw_tiles("natural", 1, count, FILM_SIZE)[0])


def away_from_kinks(network: FilmNetwork, images: Tensor) -> Tensor:
    """Return the images for which every hidden unit is 0 or well above it."""
    with torch.inference_mode():
        activity = network.head.activity(network.backbone(images.permute(0, 3, 1, 2).float() / 255))
    deviation = torch.sqrt(cast(Tensor, network.head.norm.running_var) + network.head.norm.eps)
    return images[((activity == 0) | (activity >= KINK * deviation)).all(dim=1)]


@pytest.mark.parametrize("architecture", FILMS)
def test_saliency_is_grad_cam(architecture: str) -> None:
    network, module = served(architecture)
    images = away_from_kinks(network, tiles(8))
    assert len(images) >= 3
    features = network.backbone(images.permute(0, 3, 1, 2).float() / 255).detach().requires_grad_()
    logits = network.head.classify(network.head.activity(features))
    maps = []
    for value in range(2):
        [gradient] = torch.autograd.grad(logits[:, value].sum(), features, retain_graph=True)
        maps.append((gradient.mean(dim=(2, 3), keepdim=True) * features).sum(dim=1).relu())
    wanted = torch.stack(maps, dim=1)
    wanted = wanted / wanted.amax(dim=(2, 3), keepdim=True).clamp(min=1e-12)
    scores, saliency = module(images)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, logits.softmax(dim=1))
    assert saliency.dtype == torch.uint8
    assert saliency.shape == (len(images), *features.shape[2:], 2)
    assert (saliency.permute(0, 3, 1, 2) - 255 * wanted).abs().max() < 0.51
    assert saliency.amax(dim=(1, 2)).max() == 255


def test_where_nothing_speaks_for_a_class_its_map_is_empty() -> None:
    head = cast(FilmNetwork, untrained("densenet201")).head
    with torch.no_grad():
        head.dense_1.weight[0], head.dense_1.weight[1] = -1.0, 1.0
        head.dense.weight.abs_()
        head.norm.weight.fill_(1.0)
    features = torch.rand(2, head.dense.in_features, 3, 4)
    shown = evidence(features, head.activity(features), head)
    assert (shown[:, 0] == 0).all()
    assert (shown[:, 1].amax(dim=(1, 2)) == 1).all()
    silent = torch.zeros(2, head.dense.out_features)
    assert (evidence(features, silent, head) == 0).all()


def test_dropout_is_inactive_and_films_of_a_batch_do_not_matter_to_each_other() -> None:
    _, module = served()
    images = tiles()
    scores, saliency = module(images)
    again, alone = module(images), module(images[1:2])
    assert torch.equal(scores, again[0])
    torch.testing.assert_close(scores[1:2], alone[0], rtol=1e-4, atol=1e-5)
    assert (saliency[1:2].int() - alone[1].int()).abs().max() <= 1


@pytest.mark.parametrize("architecture", FILMS)
def test_both_formats_pass_the_gate_and_others_do_not(architecture: str) -> None:
    made, [entry] = all_active(architecture), small_entries(architecture)
    network = made.network()
    graph = graph_of(network, made, entry)
    onnx_file, torchscript = onnx_once(graph), to_torchscript(graph)
    parity = prove(cases_of(network, [graph], [{"onnx": onnx_file, "torchscript": torchscript}], 0.5), 4)
    assert len(parity.comparisons) == 18
    value = onnx.load_from_string(onnx_file).graph.input[0]
    assert value.name == "image"
    assert [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] == ["batch", 80, 80, 3]
    other = graph_of(untrained(architecture, seed=1), made, entry)
    [case] = cases_of(network, [graph], [{}], 0.5)
    with pytest.raises(ParityError, match=r"^onnx on .*differ"):
        prove([replace(case, runners={"onnx": torch_runner(other.module)})], 1)


def test_a_film_model_is_built_and_verified(built: tuple[Path, Path]) -> None:
    file, root = built
    card = scan(root).models["cxr-resnet101v2"].card
    assert [(each.name, each.dtype, each.shape) for each in card.outputs] == [
        ("scores", "float32", (2,)),
        ("saliency", "uint8", (3, 3, 2)),
    ]
    assert [(spec.value, spec.name) for spec in card.classes] == [(0, "COVID-19"), (1, "NORMAL")]
    assert (card.threshold, card.network.depths, card.tile) == (0.5, "quarter", 80)
    assert "confounded" in card.limitations
    assert "diagnosis" in card.intended_use
    assert 'label_filename: "labels.txt"' in config_text(card)
    assert verify_source(scan(root), file) == ()
    assert [fault.reason for fault in verify(scan(root))] == ["the card differs from the catalogue in max_batch_size"]


def test_a_model_whose_scores_do_not_sum_to_one_is_found(
    built: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = (np.full((3, 2), 0.7, np.float32), np.zeros((3, 3, 3, 2), np.uint8))
    monkeypatch.setattr("export.verify.open_file", lambda *_: lambda _: wrong)
    assert "version 1 gives scores that do not sum to 1" in [fault.reason for fault in verify(scan(built[1]))]


def test_a_checkpoint_of_another_depth_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not a densenet201"):
        replace(checkpoint("densenet201"), depths="full").network()
