"""The shipped models through the real server: what a person who follows the README sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from maskgate_client import Client, Rejected
from maskgate_client.cli import main
from maskgate_client.scenes import draw_scene
from numpy.typing import NDArray

from gateway.repository.store import scan
from tests.support.pictures import decode
from tests.support.places import ROOT
from tests.support.processes import gateway

pytestmark = pytest.mark.e2e
REPOSITORY = ROOT / "model_repository"
MODELS = ("bd-fcn", "bd-siamunet", "bd-lite0")


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with gateway(REPOSITORY) as process, Client(process.address) as client:
        yield client


def test_the_repository_is_sound_and_small() -> None:
    repository = scan(REPOSITORY)
    assert repository.faults == ()
    assert {*MODELS, "click-lite0", "cogseg", "waste-lite0"} <= set(repository.models)
    for model in repository.models.values():
        assert all(path.stat().st_size <= 15 * 1024 * 1024 for path in model.versions.values())


@pytest.mark.parametrize("name", MODELS)
def test_cards_state_figures_with_counts_beside_a_baseline(name: str) -> None:
    card = scan(REPOSITORY).models[name].card
    (figures,) = card.figures
    assert figures.split == "val"
    assert figures.images == 7
    assert sum(figures.buildings.values()) > 500
    assert figures.metrics.keys() == figures.baseline.keys()
    assert figures.metrics["localisation_f1"] > figures.baseline["localisation_f1"]
    assert "NC" in card.licence
    assert "demonstration" in card.intended_use
    assert max(drift.flipped_share for drift in card.parity.comparisons) <= card.parity.tolerance_flipped


def test_the_commands_of_the_readme(client: Client, tmp_path: Path) -> None:
    example, answers = tmp_path / "example", tmp_path / "answers"
    assert main(["example", "--out", str(example)]) == 0
    assert main(["damage", str(example), "--out", str(answers), "--url", str(client._http.base_url)]) == 0
    assert sorted(path.name for path in answers.iterdir()) == [
        "example_00000001.json",
        "example_00000001_damage.png",
        "example_00000001_overlay.png",
    ]
    labels = decode((answers / "example_00000001_damage.png").read_bytes())
    assert labels.shape == (1024, 1024)
    truth = draw_scene(1).labels
    assert overlap(labels > 0, truth > 0) > 0.5, "buildings of a drawn scene, which training has seen the like of"


@pytest.mark.parametrize("model", MODELS)
def test_a_shifted_crop_gets_the_same_map_away_from_its_border(client: Client, model: str) -> None:
    # Networks that pool agree under shifts by multiples of their stride: 2 (reduction) × 16 (four poolings).
    dx, dy, side, margin = 96, 160, 700, 128
    scene = draw_scene(5)
    whole = client.damage(scene.pre, scene.post, model=model).labels
    crop = np.s_[dy : dy + side, dx : dx + side]
    part = client.damage(
        np.ascontiguousarray(scene.pre[crop]), np.ascontiguousarray(scene.post[crop]), model=model
    ).labels
    inner = np.s_[margin : side - margin, margin : side - margin]
    assert np.mean(whole[crop][inner] == part[inner]) > 0.97


@pytest.mark.parametrize("model", MODELS)
def test_real_buildings_are_found(client: Client, building_damage: Path, model: str) -> None:
    stem = building_damage / "images" / "hurricane-michael_00000264"
    pre, post = (stem.with_name(f"{stem.name}_{when}_disaster.jpg") for when in ("pre", "post"))
    labels = client.damage(pre, post, model=model).labels
    truth = decode((building_damage / "masks" / f"{stem.name}_post_disaster.png").read_bytes())
    assert labels.shape == truth.shape == (1024, 1024)
    assert overlap(labels > 0, truth > 0) > 0.5


def test_three_inputs_that_should_be_refused(client: Client, tmp_path: Path) -> None:
    scene = draw_scene(2, 256)
    for pre, status in ((b"", 422), (b"text", 415), (np.zeros((32, 32, 3), np.uint8), 422)):
        with pytest.raises(Rejected) as refusal:
            client.damage(pre, scene.post)
        assert refusal.value.status == status
    assert client.damage(scene.pre, scene.post).labels.shape == (256, 256)


def overlap(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Return the F1 of two masks."""
    return float(2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth)))
