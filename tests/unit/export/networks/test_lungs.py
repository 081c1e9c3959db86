"""The lungs of films: boxes, what is shown of a film and what is not, and maps brought back."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from export.networks import build_network
from export.networks.film_lungs import FilmLungs
from export.networks.lungs import LungUNet, box_of, cropped, grown, placed, standardised


def two_lungs(side: int = 64, shift: int = 0) -> Tensor:
    """Return lungs in rows 16 to 47 and columns 12 to 51, with a gap between them."""
    lungs = torch.zeros(1, 1, side, side)
    lungs[..., 16:48, 12 + shift : 28 + shift] = 1
    lungs[..., 16:48, 36 + shift : 52 + shift] = 1
    return lungs


def test_the_networks_have_the_documented_number_of_parameters() -> None:
    with torch.device("meta"):
        assert sum(each.numel() for each in LungUNet().parameters()) == 380_385
        assert sum(each.numel() for each in build_network("film_lungs").parameters()) == 642_899


def test_lungs_are_found_at_the_size_of_the_film_whatever_its_exposure() -> None:
    torch.manual_seed(0)
    network, films = LungUNet(1 / 4).eval(), torch.rand(2, 1, 32, 48)
    with torch.inference_mode():
        found = network(films)
        torch.testing.assert_close(network(0.2 + 0.5 * films), found, rtol=1e-3, atol=1e-3)
    assert found.shape == films.shape


def test_a_box_holds_the_lungs_and_a_margin() -> None:
    box = box_of(two_lungs())
    left, top = ((box.centre - box.half)[0] + 1) * 32
    right, bottom = ((box.centre + box.half)[0] + 1) * 32
    assert 6 < top < 16 < 48 < bottom < 58
    assert 2 < left < 12 < 52 < right < 62
    moved = box_of(two_lungs(shift=8))
    torch.testing.assert_close(moved.centre - box.centre, torch.tensor([[8 / 32, 0.0]]), atol=0.02, rtol=0)


def test_without_lungs_the_film_is_seen_as_a_whole() -> None:
    box = box_of(torch.zeros(1, 1, 64, 64))
    torch.testing.assert_close(box.centre, torch.zeros(1, 2), atol=1e-5, rtol=0)
    assert (box.half >= 1).all()


def test_maps_of_a_box_come_back_to_where_they_were() -> None:
    lungs = two_lungs(shift=8)
    box = box_of(lungs)
    back = placed(cropped(lungs, box, 64), box, 64)
    assert ((back > 0.5) == (lungs > 0.5)).float().mean() > 0.97


def test_a_rim_is_added_and_nothing_taken_away() -> None:
    lungs = two_lungs()
    rim = grown(lungs)
    assert rim.shape == lungs.shape
    assert (rim >= 0).all()
    assert (rim <= 1).all()
    assert rim[lungs > 0].min() == pytest.approx(1, abs=1e-5)
    assert rim.sum() > lungs.sum()


def test_grey_levels_of_lungs_alone_count() -> None:
    lungs, film = two_lungs(), torch.rand(1, 1, 64, 64)
    shown = standardised(film, lungs)[lungs > 0]
    assert shown.mean() == pytest.approx(0, abs=1e-3)
    assert shown.std() == pytest.approx(0.5, abs=1e-2)
    other = torch.where(lungs > 0, 0.3 * film + 0.1, torch.rand(1, 1, 64, 64))
    torch.testing.assert_close(standardised(other, lungs)[lungs > 0], shown, atol=1e-2, rtol=1e-2)


def test_what_lies_outside_the_lungs_does_not_reach_the_classes() -> None:
    torch.manual_seed(0)
    network = build_network("film_lungs", 1 / 8).eval()
    assert isinstance(network, FilmLungs)
    found = torch.zeros(1, 1, 32, 32)
    found[..., 8:24, 6:26] = 20
    network.backbone.lungs.forward = lambda grey: (found - 10).expand(len(grey), -1, -1, -1)  # type: ignore[method-assign]
    film, other = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    other[..., 10:54, 6:58] = film[..., 10:54, 6:58]
    with torch.inference_mode():
        torch.testing.assert_close(network(other), network(film), atol=1e-3, rtol=1e-3)
        assert network(torch.rand(2, 3, 64, 64)).shape == (2, 2)


def test_what_finds_lungs_stays_as_it_learnt_while_classes_are_learnt() -> None:
    network = build_network("film_lungs", 1 / 8).train()
    assert isinstance(network, FilmLungs)
    assert not network.backbone.lungs.training
    assert network.backbone.levels.training
    network(torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(each.grad is None for each in network.backbone.lungs.parameters())
    assert all(each.grad is not None for each in network.backbone.levels.parameters())
