"""The plain network of radiographs."""

from __future__ import annotations

import pytest
import torch

from export.networks import build_network
from export.networks.film_plain import FilmPlain
from export.tasks.radiograph.members import joined_weights


@pytest.mark.parametrize(("width", "parameters"), [(1.0, 1_196_770), (0.3, 107_912)])
def test_the_network_has_the_documented_number_of_parameters(width: float, parameters: int) -> None:
    with torch.device("meta"):
        network = build_network("film_plain", width)
    assert sum(each.numel() for each in network.parameters()) == parameters


def test_members_answer_with_the_mean_of_their_logits() -> None:
    alone = []
    for seed in range(3):
        torch.manual_seed(seed)
        member = FilmPlain(1 / 8).eval()
        for norm in member.modules():
            if isinstance(norm, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                norm.running_mean = 0.4 * torch.rand(norm.num_features) - 0.2
                norm.running_var = 0.5 + torch.rand(norm.num_features)
        alone.append(member)
    together = FilmPlain(1 / 8, members=3).eval()
    together.load_state_dict(joined_weights([member.state_dict() for member in alone]))
    films = torch.rand(2, 1, 64, 64).expand(-1, 3, -1, -1)
    with torch.inference_mode():
        each = torch.stack([member(films) for member in alone])
        torch.testing.assert_close(together(films), each.mean(dim=0), rtol=1e-4, atol=1e-5)
        features = torch.cat([member.backbone(films) for member in alone], dim=1)
        torch.testing.assert_close(together.backbone(films), features, rtol=1e-4, atol=1e-5)
    assert float((each[0] - each[1]).abs().max()) > 1e-3


def test_features_are_of_a_sixteenth() -> None:
    network = FilmPlain(1 / 8).eval()
    assert network.backbone(torch.rand(1, 3, 128, 128)).shape == (1, 32, 8, 8)
    assert network(torch.rand(2, 3, 80, 80)).shape == (2, 2)


def test_exposure_changes_nothing_and_a_flat_film_is_not_stretched() -> None:
    torch.manual_seed(0)
    network = FilmPlain(1 / 4).eval()
    film = torch.rand(1, 1, 64, 64).expand(-1, 3, -1, -1)
    with torch.inference_mode():
        seen, other = network(film), network(0.3 + 0.5 * film)
        flat, grained = (network(torch.full_like(film, 0.5) + noise) for noise in (0.0, 1e-4 * (film - 0.5)))
    torch.testing.assert_close(other, seen, rtol=0, atol=0.02 * float(seen.abs().max()))
    torch.testing.assert_close(grained, flat, rtol=0, atol=0.05 * float((seen - flat).abs().max()) + 1e-4)
