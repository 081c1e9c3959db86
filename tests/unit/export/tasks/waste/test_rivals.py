"""Each network that FANet is compared with learns as its authors have it, passes the gate, and answers as any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.checkpoints.files import read_checkpoint
from export.networks import build_network
from export.networks.cct import CCT, DECODERS
from export.networks.fanet_blocks import ABLATIONS
from export.tasks.waste.consistency import consistency_terms, disturbed, weight_at
from export.tasks.waste.contrast import class_mix, contrast
from export.tasks.waste.data import read_photos
from export.tasks.waste.losses import LossWeights
from export.tasks.waste.recipe import RIVALS, WasteRecipe
from export.tasks.waste.samples import IGNORED, Draw, Sampler, load_photo
from export.tasks.waste.train import WasteRun
from export.training.recipe import RunOptions, recipe_of
from tests.support.checkpoints import depths_of, width_of
from tests.support.rivals import from_training_to_answers

pytestmark = [pytest.mark.processors, pytest.mark.training]

SIZE = 64


def tiny(network: str) -> WasteRecipe:
    return WasteRecipe(
        network=network,
        name="tiny",
        width=width_of(network),
        depths=depths_of(network),
        size=SIZE,
        draw=Draw(2, SIZE, mirrored=True),
        loss=LossWeights(dice=0.5),
        steps=2,
        learning_rate=1e-3,
        average=0.5,
        labelled=0.5 if network in ("cct", "reco") else 1.0,
    )


@pytest.mark.parametrize("network", RIVALS)
def test_a_rival_is_trained_built_verified_and_answers(network: str, photos: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(from_training_to_answers(tiny(network), photos, tmp_path))
    halved = network in ("cct", "reco")
    assert checkpoint.data.startswith("2 labelled" if halved else "4 labelled")
    assert checkpoint.data.endswith("and 2 without labels") == halved


def test_every_row_of_the_ablation_is_a_recipe_that_differs_in_nothing_else() -> None:
    for name, size, whole in (("paper", "fanet_b", "paper"), ("demo", "fanet_s", "demo")):
        for row in ABLATIONS:
            recipe = recipe_of("fanet_parts", f"{name}-{row}")
            full = recipe_of("fanet", whole)
            assert replace(recipe, network="fanet", name=name, depths=size) == full
            assert recipe.depths == f"{size}_{row}"


@pytest.mark.parametrize("network", ["cct", "reco"])
def test_photographs_without_labels_are_learnt_from(network: str, photos: Path) -> None:
    loaded = [load_photo(photo, SIZE, 4 * SIZE, 3) for photo in read_photos(photos).of("train")]
    sampler = Sampler(loaded[:2], Draw(2, SIZE), 0, [photo.without_labels() for photo in loaded[2:]])
    batch = sampler.batch(0)
    assert batch.images.shape == (4, SIZE, SIZE, 3)
    assert (batch.labels[2:] == IGNORED).all()
    assert {0} < set(np.unique(batch.labels[:2]))
    run = WasteRun(replace(tiny(network), steps=10), "bags", RunOptions())
    found = run.learn(batch)
    assert found.keys() == {"entropy", "dice"} | ({"consistency"} if network == "cct" else {"unlabelled", "contrast"})
    assert all(np.isfinite(value) for value in found.values())


def test_consistency_moves_no_main_decoder_and_reaches_its_weight_in_a_tenth_of_the_run() -> None:
    torch.manual_seed(0)
    network = build_network("cct", 1 / 16, "resnet26", 3)
    assert isinstance(network, CCT)
    assert network.disturbances == tuple(DECODERS)
    labels = torch.full((4, SIZE, SIZE), IGNORED)
    labels[:2] = torch.randint(0, 3, (2, SIZE, SIZE))
    found = consistency_terms(network, torch.randn(4, 3, SIZE, SIZE), labels, LossWeights(), progress=0.5)
    found["consistency"].backward()
    assert all(parameter.grad is None for parameter in network.main_decoder.parameters())
    assert all(next(decoder.parameters()).grad is not None for _, decoder in network.others())
    assert next(network.encoder.parameters()).grad is not None
    assert weight_at(0.1) == weight_at(1.0) == 30.0
    assert weight_at(0.0) == pytest.approx(30 * np.exp(-5))


def test_features_are_disturbed_as_their_name_says() -> None:
    torch.manual_seed(0)
    network = build_network("cct", 1 / 16, "resnet26", 3)
    assert isinstance(network, CCT)
    features, waste = torch.rand(2, network.encoder.channels, 8, 8) + 0.1, torch.zeros(2, 1, 8, 8)
    waste[0, :, 2:6, 1:7] = 1
    likely = torch.full((2, 3, SIZE, SIZE), 1 / 3)
    seen = {kind: disturbed(kind, features, waste, decoder, likely) for kind, decoder in network.others()}
    assert not any(torch.equal(each, features) for each in seen.values())
    torch.testing.assert_close(seen["context"] + seen["object"], features)
    assert (seen["context"][0, :, 3, 3] == features[0, :, 3, 3]).all()
    assert not seen["context"][1].any()
    kept = seen["cut"] == features
    # A piece of the box around what was found, two fifths of either side, and nothing where nothing was.
    assert (~kept[0]).all(dim=0).sum() == 2 * 2
    assert kept[0, :, waste[0, 0] == 0].all()
    assert kept[1].all()
    strongest = features.mean(dim=1).flatten(1).argmax(dim=1)
    assert not seen["feature-drop"].flatten(2)[torch.arange(2), :, strongest].any()
    change = (seen["vat"] - features).flatten(1).norm(dim=1)
    torch.testing.assert_close(change, torch.full((2,), 10.0))


def test_half_of_the_classes_are_pasted_onto_the_next_photograph() -> None:
    torch.manual_seed(0)
    labels = torch.stack([torch.arange(16).view(4, 4) // 4, torch.full((4, 4), 4)])
    images = labels[:, None].float().expand(-1, 3, -1, -1) + torch.tensor([10.0, 20.0]).view(2, 1, 1, 1)
    mixed, values, sureness = class_mix(images, labels, images[:, 0])
    # Two of the first one's four rows are its own, the others the second's; the second keeps its one class.
    own = (mixed[0, 0] < 20).all(dim=1)
    assert own.sum() == 2
    assert (values[0][own] == labels[0][own]).all()
    assert (values[0][~own] == 4).all()
    torch.testing.assert_close(mixed[1], images[1])
    torch.testing.assert_close(sureness, mixed[:, 0])


def test_contrast_is_low_where_vectors_part_by_class() -> None:
    torch.manual_seed(0)
    labels = (torch.arange(64).view(1, 8, 8) // 8) % 2
    unsure = torch.full((1, 2, 8, 8), 0.5)
    apart = torch.stack([1.0 - 2 * labels.float(), torch.zeros(1, 8, 8)], dim=1)
    parted, alike = contrast(apart, labels, unsure), contrast(torch.ones(1, 2, 8, 8), labels, unsure)
    # Among 512 others as near as the class' own mean one is right by chance alone.
    assert alike == pytest.approx(np.log(513), rel=1e-4)
    assert parted < alike - 3
    assert contrast(apart, torch.zeros_like(labels), unsure) == 0
    assert contrast(apart, labels, torch.ones(1, 2, 8, 8)) == 0
