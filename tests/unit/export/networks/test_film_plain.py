"""The plain network of radiographs."""

from __future__ import annotations

import pytest
import torch

from export.networks import build_network
from export.networks.film_plain import FilmPlain


@pytest.mark.parametrize(("width", "parameters"), [(1.0, 1_196_770), (0.3, 107_912)])
def test_the_network_has_the_documented_number_of_parameters(width: float, parameters: int) -> None:
    with torch.device("meta"):
        network = build_network("film_plain", width)
    assert sum(each.numel() for each in network.parameters()) == parameters


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
