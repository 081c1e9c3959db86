"""Regions of a map in bands are those of the whole map."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.vision.regions import Region, regions
from gateway.vision.streamed_regions import RegionStream

UInt8 = npt.NDArray[np.uint8]

label_maps = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.sampled_from([0, 0, 0, 1, 2, 4])
)


def streamed(label_map: UInt8, sureness: UInt8, cuts: list[int], **options: int) -> tuple[list[Region], RegionStream]:
    stream = RegionStream(**options)
    found = []
    for start, stop in pairwise([0, *cuts, len(label_map)]):
        found += stream.add(label_map[start:stop], sureness[start:stop])
    return [*found, *stream.finish()], stream


def in_order(found: list[Region]) -> list[Region]:
    return sorted(found, key=lambda region: (region.box, region.polygon))


@given(data=st.data(), label_map=label_maps, seed=st.integers(0, 99), min_area=st.integers(1, 5))
def test_bands_of_any_height_change_nothing(data: st.DataObject, label_map: UInt8, seed: int, min_area: int) -> None:
    height = len(label_map)
    cuts = sorted(data.draw(st.sets(st.integers(1, height - 1)))) if height > 1 else []
    sureness = np.random.default_rng(seed).integers(0, 256, label_map.shape, dtype=np.uint8)
    found, stream = streamed(label_map, sureness, cuts, min_area=min_area)
    assert in_order(found) == in_order(regions(label_map, sureness, min_area=min_area))
    assert stream.cut == 0


def test_a_courtyard_keeps_what_stands_in_it() -> None:
    label_map = np.zeros((40, 30), np.uint8)
    label_map[2:38, 2:28], label_map[6:34, 6:24], label_map[15:20, 10:14] = 1, 0, 3
    found, _ = streamed(label_map, label_map, list(range(1, 40)))
    assert in_order(found) == in_order(regions(label_map, label_map))
    assert [len(region.holes) for region in in_order(found)] == [1, 0]


def test_a_region_ends_no_later_than_with_the_first_row_below_it() -> None:
    stream = RegionStream()
    building = np.ones((3, 5), np.uint8)
    assert stream.add(building, building) == []
    (region,) = stream.add(np.zeros((1, 5), np.uint8), np.zeros((1, 5), np.uint8))
    assert region.box == (0, 0, 5, 3)
    assert stream.finish() == []


def test_what_is_taller_than_any_building_is_cut_and_counted() -> None:
    label_map = np.zeros((1000, 20), np.uint8)
    label_map[:, 3:5] = 1
    label_map[100:130, 10:14] = 2
    found, stream = streamed(label_map, label_map, list(range(10, 1000, 10)), tallest=100)
    river = [region for region in found if region.value == 1]
    assert [region.box[3] - region.box[1] for region in river] == [110] * 9 + [10]
    assert sum(region.area for region in river) == 2000
    assert stream.cut == 9
    assert [region.area for region in found if region.value == 2] == [120]


def test_memory_does_not_follow_the_height() -> None:
    band = np.zeros((64, 512), np.uint8)
    band[:, 5:300] = 1

    def held(bands: int) -> int:
        stream = RegionStream(tallest=128)
        tracemalloc.start()
        for _ in range(bands):
            stream.add(band, band)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    held(4)
    assert held(64) < 1.2 * held(8)
