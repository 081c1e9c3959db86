"""Each network that CogSeg is compared with learns, passes the parity gate, and is served as any model of CT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from export.networks import build_network
from export.tasks.ct.losses import LossWeights, cogseg_terms
from export.tasks.ct.recipe import ABLATIONS, RECIPES, RIVALS, SliceRecipe
from export.tasks.ct.samples import Draw
from export.training.recipe import recipe_of
from tests.support.checkpoints import depths_of
from tests.support.rivals import from_training_to_answers

pytestmark = pytest.mark.training

SIZE = 64


def tiny(network: str) -> SliceRecipe:
    return SliceRecipe(
        network=network,
        name="tiny",
        width=1 / 16,
        depths=depths_of(network) if recipe_of(network, "demo").depths else "",
        draw=Draw(2),
        loss=LossWeights(dice=1.0),
        steps=2,
        learning_rate=1e-3,
        threshold=0.5,
        size=SIZE,
    )


@pytest.mark.parametrize("network", sorted(RIVALS.keys() - {"ct_unet"}))
def test_a_rival_is_trained_built_verified_and_measured(network: str, slices: Path, tmp_path: Path) -> None:
    from_training_to_answers(tiny(network), slices, tmp_path)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: f"{recipe.network} {recipe.name}")
def test_a_network_takes_the_crops_of_its_recipe(recipe: SliceRecipe) -> None:
    side = (recipe.draw.crop or 2 * recipe.size) // 2
    with torch.device("meta"):
        network = build_network(recipe.network, recipe.width, recipe.depths or None)
        network(torch.empty(2, 1, side, side))


def test_ablations_of_the_paper_leave_out_one_term_after_the_other() -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    logits, labels, fine = drawn(1, 4, 32, 32), torch.zeros(1, 32, 32, dtype=torch.long), drawn(1, 1, 32, 32)
    labels[:, 8:20, 8:20] = 1
    stages, others = ([drawn(1, 2, side, side) for side in (4, 8, 16, 32)] for _ in range(2))

    def terms(name: str) -> dict[str, Tensor]:
        return cogseg_terms([*stages, logits], [*others, fine], labels, fine, recipe_of("cogseg", name).loss)

    finest, all_four, plain, guided = map(terms, ("paper-sr1", "paper-sr4", "paper-rmi", "paper"))
    assert finest.keys() == all_four.keys() == {"entropy", "sharpness", "agreement"}
    assert finest["agreement"] == 0.5 * F.l1_loss(stages[-1], others[-1])
    assert all_four["agreement"] == guided["agreement"] > finest["agreement"]
    assert plain["edges"] != guided["edges"]


def test_ablations_at_the_size_of_the_demonstration_differ_from_it_in_the_same_terms() -> None:
    for row in ABLATIONS:
        paper, demo = (recipe_of("cogseg", name) for name in ("paper", "demo"))
        assert terms_that_differ(demo, f"demo-{row}") == terms_that_differ(paper, f"paper-{row}") != {}


def terms_that_differ(recipe: SliceRecipe, ablation: str) -> dict[str, object]:
    other = recipe_of("cogseg", ablation)
    assert replace(other, name=recipe.name, loss=recipe.loss) == recipe
    whole = vars(recipe.loss)
    return {term: value for term, value in vars(other.loss).items() if value != whole[term]}
