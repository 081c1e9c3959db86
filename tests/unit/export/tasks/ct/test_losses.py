"""Every term of CogSeg's loss against a case worked by hand."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor

from export.tasks.ct.losses import (
    LossWeights,
    agreement,
    at_size,
    cogseg_terms,
    edge_guided_rmi,
    label_terms,
    lesion_dice,
    predicted_edges,
    regions,
    unexplained,
    windows,
)

pytestmark = pytest.mark.processors

EPSILON = 5e-4


def logits_for(labels: Tensor, strength: float = 20.0) -> Tensor:
    return strength * torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).float()


def vectors(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_cross_entropy_of_two_pixels() -> None:
    # Class 0 with probability 1/2, class 1 with 1/4; the second pixel weighs three times.
    probability = torch.tensor([[0.5, 0.25], [0.5, 0.25], [1e-9, 0.25], [1e-9, 0.25]])
    logits, labels = probability.log()[None, :, None, :], torch.tensor([[[0, 1]]])
    plain = label_terms(logits, labels, LossWeights())
    assert plain.keys() == {"entropy"}
    assert plain["entropy"].item() == pytest.approx((log(2) + log(4)) / 2, abs=1e-5)
    weighted = label_terms(logits, labels, LossWeights(classes=(1.0, 3.0, 1.0, 1.0)))
    assert weighted["entropy"].item() == pytest.approx((log(2) + 3 * log(4)) / 4, abs=1e-5)


def test_agreement_is_summed_over_stages_and_averaged_within_each() -> None:
    one = [torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 2, 2)]
    other = [torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1), torch.tensor([1.0, 1.0, 0.0, 1.0]).reshape(1, 1, 2, 2)]
    assert agreement(one, other).item() == pytest.approx((1 + 3) / 2 + 1 / 4)


def test_a_stage_more_in_one_decoder_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        agreement([torch.zeros(1)] * 4, [torch.zeros(1)] * 3)


def test_terms_are_weighted_as_the_paper_does() -> None:
    labels = torch.tensor([[[0, 0, 1, 1, 2, 2]] * 6])
    stages = [torch.zeros(1, 1, 1, 1) for _ in range(4)]
    others = [torch.full((1, 1, 1, 1), 0.1) for _ in range(4)]
    fine = torch.zeros(1, 1, 6, 6)
    terms = cogseg_terms([*stages, logits_for(labels)], [*others, fine + 0.2], labels, fine, LossWeights())
    assert list(terms) == ["entropy", "sharpness", "agreement", "edges"]
    assert terms["entropy"].item() == pytest.approx(0, abs=1e-5)
    assert terms["sharpness"].item() == pytest.approx(0.5 * 0.04)
    assert terms["agreement"].item() == pytest.approx(0.5 * 4 * 0.1)
    assert terms["edges"].dtype == torch.float32
    torch.testing.assert_close(terms["edges"].double(), 0.5 * edge_guided_rmi(logits_for(labels), labels, 1))


def test_dice_of_a_hand_worked_case() -> None:
    labels = torch.tensor([[[0, 1, 1, 2]]])
    # Lesions as a whole are right. Of ground-glass half is found; of consolidation one pixel, and one too much.
    found = lesion_dice(logits_for(torch.tensor([[[0, 1, 2, 2]]])), labels).item()
    ground_glass, consolidation = 1 - (2 * 1 + 1) / (3 + 1), 1 - (2 * 1 + 1) / (3 + 1)
    assert found == pytest.approx((0 + ground_glass + consolidation) / 3, abs=1e-6)


def test_dice_without_any_lesion_asks_for_none() -> None:
    empty = torch.zeros(1, 4, 4, dtype=torch.long)
    assert lesion_dice(logits_for(empty), empty).item() == pytest.approx(0, abs=1e-6)
    assert lesion_dice(logits_for(empty + 3), empty).item() == pytest.approx(1 - 1 / 17)


def test_one_value_a_vector_leaves_the_variance_that_regression_leaves() -> None:
    # Sums of squares: labels 1, prediction 0.36, both together 0.6.
    truth, probability = vectors([0, 1, 0, 1]), vectors([0.2, 0.8, 0.2, 0.8])
    left = 1 - 0.6**2 / (0.36 + EPSILON)
    assert unexplained(truth, probability).item() == pytest.approx(0.5 * log(left + EPSILON))


def test_a_prediction_that_says_nothing_explains_nothing() -> None:
    # Two values a vector, independent of each other: the covariance is the identity, its determinant 1.
    truth = vectors([0, 1, 0, 1], [0, 0, 1, 1])
    assert unexplained(truth, truth * 0).item() == pytest.approx(0.5 * 2 * log(1 + EPSILON) / 2)


def test_the_loss_grows_with_the_determinant() -> None:
    # The paper's formula has a minus before log det, with which the worst prediction would be the best.
    truth = vectors([0, 1, 0, 1])
    assert unexplained(truth, truth) < unexplained(truth, vectors([0, 1, 1, 1])) < unexplained(truth, truth * 0)


def test_singular_covariances_are_factorised_in_double_precision() -> None:
    nothing = torch.zeros(1, 3, 9, 100, dtype=torch.float64)
    torch.testing.assert_close(unexplained(nothing, nothing), torch.full((1, 3), 0.5 * log(EPSILON)).double())
    labels = torch.zeros(1, 16, 16, dtype=torch.long)
    labels[0, 4:9, 4:9] = 2
    logits = logits_for(labels).requires_grad_()
    loss = edge_guided_rmi(logits, labels, 1)
    assert loss.dtype == torch.float64
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_regions_are_every_pixel_with_its_neighbours() -> None:
    maps = torch.arange(12.0).reshape(1, 1, 3, 4).double()
    found = regions(maps, 3)
    assert found.shape == (1, 1, 9, 2)
    assert found[0, 0, :, 1].tolist() == [1, 2, 3, 5, 6, 7, 9, 10, 11]


def test_edges_are_both_sides_of_a_border_between_classes() -> None:
    labels = torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]])
    expected = [[0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]
    assert predicted_edges(logits_for(labels)).int().tolist() == [expected]


def test_windows_lie_around_edges_and_inside_the_slice() -> None:
    maps = torch.arange(49.0).reshape(1, 7, 7)
    where = torch.zeros(7, 7, dtype=torch.bool)
    where[3, 2] = where[0, 3] = where[4, 4] = True
    found = windows(maps, where)
    assert found.shape == (1, 25, 2)
    torch.testing.assert_close(found[0, :, 0], maps[0, 1:6, 0:5].flatten())
    torch.testing.assert_close(found[0, :, 1], maps[0, 2:7, 2:7].flatten())


def test_both_terms_of_a_whole_slice() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.zeros(1, 4, 20, 20)
    logits[:, 1, :, 10:] = 1
    logits[:, 0, :, :10] = 1
    labels = torch.randint(0, 2, (1, 20, 20), generator=generator)
    probability = logits.softmax(dim=1).double()
    truth = torch.nn.functional.one_hot(labels, 4).permute(0, 3, 1, 2).double()

    def cut(maps: Tensor, side: int, rows: range, columns: range) -> Tensor:
        cuts = [maps[:, y : y + side, x : x + side].flatten(1) for y in rows for x in columns]
        return torch.stack(cuts, dim=-1)

    everywhere = [cut(maps[0], 3, range(18), range(18)) for maps in (truth, probability)]
    # The prediction changes between columns 9 and 10: windows of 5 begin two columns before each of them.
    at_edges = [cut(maps[0], 5, range(16), range(7, 9)) for maps in (truth, probability)]
    expected = unexplained(*everywhere).sum() + unexplained(*at_edges).sum()
    torch.testing.assert_close(edge_guided_rmi(logits, labels, 1), expected)


def test_a_slice_without_a_predicted_edge_has_the_first_term_and_a_constant() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    expected = 2 * 4 * 0.5 * log(EPSILON)
    assert edge_guided_rmi(logits_for(labels), labels, 1).item() == pytest.approx(expected)


def test_a_better_prediction_costs_less() -> None:
    labels = torch.zeros(1, 32, 32, dtype=torch.long)
    labels[0, 8:20, 10:25] = 1
    shifted = labels.roll(3, dims=2)
    for pool in (1, 2):
        assert edge_guided_rmi(logits_for(labels), labels, pool) < edge_guided_rmi(logits_for(shifted), labels, pool)


def test_coarse_logits_are_brought_to_the_size_of_the_labels() -> None:
    logits = torch.rand(1, 4, 8, 8)
    assert at_size(logits, 16).shape == (1, 4, 16, 16)
    assert at_size(logits, 8) is logits
