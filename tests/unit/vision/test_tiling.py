from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.vision.tiling import Blend, Grid, Stitcher, gather, gather_stacked, plan

UInt8 = npt.NDArray[np.uint8]


def noise(*shape: int, seed: int = 0) -> UInt8:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def stitched(batches: list[UInt8], grid: Grid, blend: Blend) -> UInt8:
    """Stitch all tiles, and check that the pieces of each row of them follow each other, and each pixel comes once."""
    classes = batches[0].shape[-1]
    stitcher = Stitcher(grid, classes, blend)
    whole, times = np.zeros((grid.height, grid.width, classes), np.uint8), np.zeros((grid.height, grid.width), int)
    for batch, ends in zip(batches, [*grid.rows[1:], grid.height], strict=True):
        x = 0
        for tile in batch:
            rows, columns, piece = stitcher.add(tile)
            assert columns.start == x
            assert piece.dtype == np.uint8
            x = columns.stop
            whole[rows, columns] = piece
            times[rows, columns] += 1
        assert x == grid.width
        assert (times[:ends] == 1).all()
        assert not times[ends:].any()
    return whole


def through(image: UInt8, grid: Grid, blend: Blend) -> UInt8:
    return stitched([gather(image, grid, row) for row in range(len(grid.rows))], grid, blend)


sides = st.integers(1, 70)
blends: st.SearchStrategy[Any] = st.sampled_from(["linear", "mean"])


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    tile = draw(st.integers(1, 40))
    return plan(draw(sides), draw(sides), tile, draw(st.integers(0, tile - 1)))


@given(grids())
def test_plan_covers_every_pixel_with_the_overlap_asked_for(grid: Grid) -> None:
    for origins, side in ((grid.rows, grid.height), (grid.columns, grid.width)):
        assert origins[0] == 0
        assert origins[-1] == max(side - grid.tile, 0)
        steps = np.diff(origins)
        assert (steps > 0).all()
        assert (steps <= grid.tile - grid.overlap).all()


def test_plan_takes_no_more_tiles_than_needed() -> None:
    grid = plan(1024, 1024, 544, 64)
    assert grid.rows == grid.columns == (0, 480)
    assert grid.tiles == 4
    assert plan(1025, 544, 544, 64).rows == (0, 480, 481)
    assert plan(64, 12_000, 544, 64).tiles == 25


@pytest.mark.parametrize(
    ("height", "width", "tile", "overlap"), [(0, 5, 4, 1), (5, -1, 4, 1), (5, 5, 4, 4), (5, 5, 4, -1)]
)
def test_plan_refuses_what_cannot_be_tiled(height: int, width: int, tile: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="no grid"):
        plan(height, width, tile, overlap)


@settings(deadline=None)
@given(grids(), blends, st.integers(1, 5))
def test_identity_model_returns_the_input(grid: Grid, blend: Blend, classes: int) -> None:
    image = noise(grid.height, grid.width, classes)
    assert np.array_equal(through(image, grid, blend), image)


@pytest.mark.parametrize("blend", ["linear", "mean"])
@pytest.mark.parametrize(("height", "width"), [(1024, 1024), (64, 64), (545, 1100), (1000, 300)])
def test_identity_model_returns_the_input_at_served_sizes(height: int, width: int, blend: Blend) -> None:
    image = noise(height, width, 2)
    assert np.array_equal(through(image, plan(height, width, 544, 64), blend), image)


@pytest.mark.parametrize("shape", [(70, 50), (70, 50, 1), (70, 50, 3), (70, 50, 6)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_gather_cuts_contiguous_tiles(shape: tuple[int, ...], dtype: Any) -> None:
    image = noise(*shape).astype(dtype)
    grid = plan(70, 50, 32, 8)
    for row, y in enumerate(grid.rows):
        batch = gather(image, grid, row)
        assert batch.flags.c_contiguous
        assert batch.dtype == dtype
        assert batch.shape == (len(grid.columns), 32, 32, *shape[2:])
        for tile, x in zip(batch, grid.columns, strict=True):
            assert np.array_equal(tile, image[y : y + 32, x : x + 32])


@given(st.integers(1, 80), st.integers(1, 80), st.lists(st.integers(1, 31), max_size=3))
def test_strips_make_the_tiles_of_the_image_that_they_make(height: int, width: int, cuts: list[int]) -> None:
    image = noise(min(height, 32), width, 3)
    strips = np.split(image, sorted({cut for cut in cuts if cut < len(image)}))
    grid = plan(len(image), width, 32, 8)
    batch = gather_stacked(strips, grid)
    assert batch.flags.c_contiguous
    assert np.array_equal(batch, gather(image, grid, 0))


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([(), (1,), (3,), (6,)]))
def test_small_images_are_mirrored_as_often_as_it_takes(height: int, width: int, channels: tuple[int, ...]) -> None:
    image = noise(height, width, *channels)
    (tile,) = gather(image, plan(height, width, 40, 0), 0)
    beyond = ((0, 40 - height), (0, 40 - width), *((0, 0) for _ in channels))
    assert np.array_equal(tile, np.pad(image, beyond, mode="reflect"))


def test_overlap_ramps_linearly_from_tile_to_tile() -> None:
    grid = plan(8, 14, 8, 2)
    tiles = np.zeros((2, 8, 8, 1), np.uint8)
    tiles[1] = 240
    row = stitched([tiles], grid, "linear")[0, :, 0]
    assert row.tolist() == [0] * 6 + [80, 160] + [240] * 6
    row = stitched([tiles], grid, "mean")[0, :, 0]
    assert row.tolist() == [0] * 6 + [120, 120] + [240] * 6


def test_linear_blend_leaves_no_step_where_tiles_disagree() -> None:
    grid = plan(300, 300, 128, 64)
    batches = [np.full((len(grid.columns), 128, 128, 1), 0, np.uint8) for _ in grid.rows]
    for row, batch in enumerate(batches):
        for column, tile in enumerate(batch):
            tile[:] = 200 * ((row + column) % 2)
    image = stitched(batches, grid, "linear")[..., 0].astype(int)
    assert image.max() == 200
    assert max(abs(np.diff(image, axis=0)).max(), abs(np.diff(image, axis=1)).max()) <= 10


@pytest.mark.parametrize("blend", ["linear", "mean"])
def test_blend_agrees_with_the_weighted_mean_over_the_whole_area(blend: Blend) -> None:
    grid = plan(90, 75, 32, 12)
    batches = [noise(len(grid.columns), 32, 32, 3, seed=row) for row in range(len(grid.rows))]
    rise = np.minimum(np.arange(1, 33), np.arange(32, 0, -1)) if blend == "linear" else np.ones(32)
    weight = np.outer(rise, rise)[..., np.newaxis]
    total, weights = np.zeros((90, 75, 3)), np.zeros((90, 75, 1))
    for y, batch in zip(grid.rows, batches, strict=True):
        for x, tile in zip(grid.columns, batch, strict=True):
            total[y : y + 32, x : x + 32] += weight * tile
            weights[y : y + 32, x : x + 32] += weight
    # Half a level of rounding after either axis, and weights of 1/256.
    assert abs(stitched(batches, grid, blend) - total / weights).max() <= 2.0


def smoothed(tiles: UInt8) -> UInt8:
    """A model with a receptive field of 5 pixels: far from a tile's border it does not see that border."""
    batch = np.pad(tiles, ((0, 0), (2, 2), (2, 2), (0, 0)))
    total = sum(
        batch[:, y : y + tiles.shape[1], x : x + tiles.shape[2]].astype(int) for y in range(5) for x in range(5)
    )
    return np.asarray(total // 25, np.uint8)


def test_a_shifted_crop_agrees_away_from_its_border() -> None:
    image = noise(200, 180, 1)

    def answer(picture: UInt8) -> UInt8:
        grid = plan(picture.shape[0], picture.shape[1], 64, 24)
        return stitched([smoothed(gather(picture, grid, row)) for row in range(len(grid.rows))], grid, "linear")

    whole, crop = answer(image), answer(np.ascontiguousarray(image[23:190, 31:170]))
    difference = abs(whole[23:190, 31:170].astype(int) - crop)[24:-24, 24:-24]
    # The model errs only within 2 pixels of a tile's border, where the ramp gives a tile at most 2 parts of 25.
    assert difference.max() <= 10


def test_stitcher_holds_no_more_than_what_overlaps() -> None:
    """Nothing of a row of tiles but a few of them and the rows that overlap."""
    grid, classes = plan(550, 6_040, 100, 10), 2
    tiles = noise(100, 100, classes)
    tracemalloc.start()
    stitcher = Stitcher(grid, classes)
    laid_out, _ = tracemalloc.get_traced_memory()
    for _ in range(grid.tiles):
        stitcher.add(tiles)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    overlapping = 2 * grid.overlap * grid.width * classes
    assert peak - laid_out < overlapping + 10 * tiles.nbytes
    assert overlapping + 10 * tiles.nbytes < 0.4 * grid.tile * grid.width * classes


def test_stitcher_refuses_tiles_beyond_the_last_and_foreign_shapes() -> None:
    grid = plan(8, 8, 8, 2)
    stitcher = Stitcher(grid, 1)
    with pytest.raises(ValueError, match="expected"):
        stitcher.add(noise(8, 8, 2))
    stitcher.add(noise(8, 8, 1))
    with pytest.raises(ValueError, match="row 1 of 1"):
        stitcher.add(noise(8, 8, 1))


def test_an_image_of_one_tile_is_not_copied() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    batch = gather(image, plan(64, 64, 64, 16), 0)
    assert batch.shape == (1, 64, 64, 3)
    assert np.shares_memory(batch, image)
