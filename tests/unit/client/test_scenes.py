from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskgate_client.scenes import SMALLEST, draw_cover, draw_scene, draw_terrain
from maskgate_client.scenes.paint import draw_ground, draw_look, paint
from maskgate_client.scenes.plan import draw_plan
from maskgate_client.scenes.storm import calm, draw_storm, footprints
from maskgate_client.scenes.terrain import charted
from PIL import Image, ImageFilter


def test_the_same_seed_draws_the_same_scene() -> None:
    first, again = draw_scene(3, 256), draw_scene(3, 256)
    assert np.array_equal(first.pre, again.pre)
    assert np.array_equal(first.post, again.post)
    assert np.array_equal(first.labels, again.labels)


def test_another_seed_draws_another_scene() -> None:
    assert not np.array_equal(draw_scene(3, 256).pre, draw_scene(4, 256).pre)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31), size=st.integers(SMALLEST, 160))
def test_any_seed_and_size_can_be_drawn(seed: int, size: int) -> None:
    scene = draw_scene(seed, size)
    assert scene.pre.shape == scene.post.shape == (size, size, 3)
    assert scene.labels.shape == (size, size)
    assert scene.pre.dtype == scene.post.dtype == scene.labels.dtype == np.uint8
    assert scene.labels.max() <= 4


def test_a_scene_too_small_to_show_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64"):
        draw_scene(1, SMALLEST - 1)


def test_twenty_towns_have_every_kind_of_damage_and_mostly_ground() -> None:
    labels = np.stack([draw_scene(seed, 384).labels for seed in range(20)])
    counts = np.bincount(labels.ravel(), minlength=5)
    shares = counts / counts.sum()
    assert 0.9 < shares[0] < 0.985
    assert shares[1] > shares[2:].max()
    assert (shares[2:] > 0.002).all()


@pytest.mark.parametrize("seed", range(6))
def test_a_town_at_full_size_has_fifteen_to_a_hundred_and_twenty_buildings_apart(seed: int) -> None:
    plan = draw_plan(np.random.default_rng((seed, 0)), 1024)
    assert 15 <= len(plan.buildings) <= 122
    alone = [footprints(dataclasses.replace(plan, buildings=(building,)), (1,)) for building in plan.buildings]
    assert np.sum([np.asarray(footprint) for footprint in alone], axis=0).max() == 1


def test_labels_lie_exactly_on_the_roofs() -> None:
    plan = draw_plan(np.random.default_rng(5), 256)
    ground = draw_ground(np.random.default_rng(6), plan.size)
    look = draw_look(np.random.default_rng(7))
    dyed = dataclasses.replace(
        plan, buildings=tuple(dataclasses.replace(b, colour=(255, 0, 255)) for b in plan.buildings)
    )
    before, after = (paint(np.random.default_rng(8), p, ground, look, calm(p)) for p in (plan, dyed))
    changed = np.abs(before.astype(int) - after).max(axis=2) > 0
    roofs = footprints(plan, (255,) * len(plan.buildings))
    # The sensor's point spread reaches at most three pixels over the eaves.
    reach = np.asarray(roofs.filter(ImageFilter.MaxFilter(7))) > 0
    assert changed[np.asarray(roofs) > 0].mean() > 0.97
    assert not changed[~reach].any()


def test_the_calm_before_harms_nothing_and_the_storm_changes_what_it_destroys() -> None:
    scenes = [draw_scene(seed, 384) for seed in range(12)]

    def roughness(pixels: np.ndarray, mask: np.ndarray) -> float:
        grey = np.asarray(Image.fromarray(pixels).convert("L"), int)
        return float(np.abs(np.diff(grey, axis=1))[mask[:, 1:]].mean())

    destroyed = [(s, s.labels == 4) for s in scenes if (s.labels == 4).sum() > 300]
    assert destroyed
    for scene, mask in destroyed:
        assert roughness(scene.post, mask) > roughness(scene.pre, mask)


def test_the_cover_is_that_of_the_ground_as_it_is_drawn() -> None:
    scene, cover = draw_scene(7, 512), draw_cover(7, 512)
    assert cover.shape == (512, 512)
    assert set(np.unique(cover)) <= set(range(5))
    np.testing.assert_array_equal(cover == 1, scene.labels > 0)
    road, tree = (scene.pre[cover == value].astype(int) for value in (2, 3))
    assert np.median(np.ptp(road, axis=1)) < 30, "asphalt is grey"
    assert np.median(tree.sum(axis=1)) < np.median(road.sum(axis=1)), "crowns are dark"
    with pytest.raises(ValueError, match="at least 64"):
        draw_cover(1, SMALLEST - 1)


def test_terrain_agrees_with_what_is_drawn() -> None:
    scenes = [(draw_scene(seed, 512), draw_terrain(seed, 512)) for seed in range(1, 13)]
    for seed, (scene, terrain) in enumerate(scenes, 1):
        assert [(raster.dtype, raster.shape) for raster in terrain] == [
            (np.dtype(name), (512, 512)) for name in ("float32", "float32", "float32", "uint8")
        ]
        houses = (scene.labels > 0) & (scene.labels < 4)
        assert terrain.surface_before[scene.labels > 0].mean() > 2
        np.testing.assert_allclose(
            terrain.surface_after[houses].mean(), terrain.surface_before[houses].mean(), atol=0.1
        )
        # Coarse as it is, it shows what is there.
        assert (terrain.landcover == draw_cover(seed, 512)).mean() > 0.9
    levelled = [(scene.labels == 4, terrain) for scene, terrain in scenes if (scene.labels == 4).sum() > 300]
    assert levelled
    for mask, terrain in levelled:
        assert terrain.surface_after[mask].mean() < 0.4 * terrain.surface_before[mask].mean()
    wet = [terrain for _, terrain in scenes if (terrain.landcover == 4).mean() > 0.02]
    assert wet
    for terrain in wet:
        assert terrain.elevation[terrain.landcover == 4].mean() < np.percentile(terrain.elevation, 20)


def test_floods_stand_where_the_ground_is_low() -> None:
    floods = 0
    for seed in range(40):
        plan = draw_plan(np.random.default_rng((seed, 0)), 260)
        storm = draw_storm(np.random.default_rng((seed, 2)), plan)
        flooded = storm.stain > 0.5
        if storm.kind != "flood" or not flooded.any() or plan.water.any():
            continue
        floods += 1
        with_it, without = (charted(np.random.default_rng(seed), plan, each).elevation for each in (storm, calm(plan)))
        lower = without - with_it
        assert lower[flooded].mean() > 3
        assert lower[flooded].mean() > lower[storm.stain == 0].mean() + 1
    assert floods > 1
