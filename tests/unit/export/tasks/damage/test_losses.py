"""The two factors of the loss see what they should, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from export.tasks.damage.train import building_logit, damage_loss, localisation_loss, total_loss

pytestmark = pytest.mark.processors

WEIGHTS = torch.ones(4)
LABELS = torch.tensor([[[0, 1, 2], [3, 4, 255]]], dtype=torch.uint8)
EVENLY = torch.ones(LABELS.shape)


def logits_for(labels: Tensor, strength: float = 20.0) -> Tensor:
    """Return logits that say ``labels``, and class 1 where they are un-classified."""
    values = torch.where(labels == 255, 1, labels).long()
    return strength * torch.nn.functional.one_hot(values, 5).permute(0, 3, 1, 2).float()


def test_building_logit_is_the_log_odds_of_not_background() -> None:
    logits = torch.randn(2, 5, 3, 3, generator=torch.Generator().manual_seed(1))
    building = 1 - logits.softmax(dim=1)[:, 0]
    torch.testing.assert_close(building_logit(logits).sigmoid(), building)


def test_right_answers_cost_nothing() -> None:
    loss, parts = total_loss(logits_for(LABELS), LABELS, WEIGHTS, EVENLY)
    assert loss < 0.01
    assert set(parts) == {"localisation", "damage"}


def test_localisation_ignores_which_damage() -> None:
    permuted = logits_for(LABELS)[:, [0, 2, 3, 4, 1]]
    torch.testing.assert_close(localisation_loss(permuted, LABELS), localisation_loss(logits_for(LABELS), LABELS))
    assert damage_loss(permuted, LABELS, WEIGHTS, EVENLY) > 1


def test_damage_ignores_background_and_unclassified_pixels() -> None:
    logits = logits_for(LABELS).requires_grad_()
    damage_loss(logits * 0.1, LABELS, WEIGHTS, EVENLY).backward()
    assert logits.grad is not None
    assert (logits.grad[:, :, 0, 0] == 0).all()
    assert (logits.grad[:, :, 1, 2] == 0).all()
    assert (logits.grad[:, 0] == 0).all()
    assert (logits.grad[0, 1:, 0, 1] != 0).any()


def test_a_heavier_class_costs_more_when_missed() -> None:
    wrong = logits_for(torch.where(LABELS == 4, 1, LABELS).to(torch.uint8), strength=3)
    heavy = torch.tensor([1.0, 1.0, 1.0, 5.0])
    assert damage_loss(wrong, LABELS, heavy, EVENLY) > damage_loss(wrong, LABELS, WEIGHTS, EVENLY)


def test_no_building_gives_a_finite_loss_with_gradient() -> None:
    logits = torch.zeros(1, 5, 4, 4, requires_grad=True)
    empty = torch.zeros(1, 4, 4, dtype=torch.uint8)
    loss, parts = total_loss(logits, empty, WEIGHTS, torch.zeros(1, 4, 4))
    loss.backward()
    assert parts["damage"] == pytest.approx(0)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_two_classes_learn_localisation_only() -> None:
    logits = logits_for(LABELS)[:, :2]
    loss, parts = total_loss(logits, LABELS, WEIGHTS, EVENLY)
    assert set(parts) == {"localisation"}
    torch.testing.assert_close(loss, localisation_loss(logits, LABELS))
