"""Slices through a model one after the other: nothing out of place, nothing held, everything measured."""

from __future__ import annotations

import asyncio
import tracemalloc
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.engines.base import Model, Refreshed, Status, Tensors
from gateway.errors import ImageUnreadable, ModelNotReady
from gateway.inference.segmenter import Segmenter
from gateway.media.medical.slices import PADDING_HU, HuSlice, SlicePlace, Spacing
from gateway.observability.metrics import Telemetry
from gateway.repository.card import read_card
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from gateway.tasks.ct.pipeline import CtFindings, SeenBefore, find_lesions
from tests.support.trivial_ct import labels_of, probabilities_of, write_trivial_ct

UInt8 = NDArray[np.uint8]
Int16 = NDArray[np.int16]

SIZE, BATCH = 32, 4
AIR, GLASS, DENSE = -1000, -500, 0


class BandEngine:
    """Labels bands of Hounsfield units in this thread, and remembers what it was asked for."""

    name = "bands"
    transport = "in-process"
    tried = True
    unloaded: ClassVar[set[str]] = set()

    def __init__(self, fail_at: int = -1) -> None:
        self.batches: list[int] = []
        self.asked: set[str] = set()
        self.fail_at = fail_at

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def refresh(self) -> Refreshed:
        return Refreshed((), (), (), {})

    def statuses(self) -> Sequence[Status]:
        return ()

    async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
        units = inputs["image"]
        self.batches.append(len(units))
        if len(self.batches) == self.fail_at:
            raise ModelNotReady("Gone.")
        await asyncio.sleep(0)
        self.asked.update(outputs)
        made = {"label_map": labels_of, "probabilities": probabilities_of}
        return {name: made[name](units) for name in outputs}


@dataclass
class DrawnVolume:
    """Slices that are drawn when they are asked for; counts how many are alive."""

    shape: tuple[int, int, int]
    draw: Callable[[int], Int16]
    spacing: Spacing | None = None
    notices: tuple[str, ...] = ()
    damaged: int = -1
    live: int = 0
    peak: int = 0
    drawn: list[int] = field(default_factory=list)
    states_units: bool = True
    held_bytes: int = 0

    @property
    def places(self) -> tuple[SlicePlace, ...]:
        return tuple(SlicePlace(f"1.2.{number}", None) for number in range(self.shape[0]))

    def slices(self) -> Iterator[HuSlice]:
        for number in range(self.shape[0]):
            if number == self.damaged:
                raise ImageUnreadable("Damaged.")
            yield self._drawn(number)

    def _drawn(self, number: int) -> HuSlice:
        pixels = self.draw(number)
        self.drawn.append(number)
        self.live += 1
        self.peak = max(self.peak, self.live)
        weakref.finalize(pixels, self._gone)
        return HuSlice(pixels, clipped=number % 2)

    def _gone(self) -> None:
        self.live -= 1


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder: Path = write_trivial_ct(tmp_path_factory.mktemp("repository"), size=SIZE, max_batch_size=BATCH)
    return Model(read_card(folder / "card.json"), 1, "sha256:0")


def find(
    model: Model,
    volume: DrawnVolume,
    *,
    engine: BandEngine | None = None,
    telemetry: Telemetry | None = None,
    keep: Any = None,
    seen: SeenBefore | None = None,
) -> CtFindings:
    async def run() -> CtFindings:
        workers = Workers(Threads("worker", 2))
        segmenter = Segmenter(engine or BandEngine(), workers, telemetry or Telemetry(), Timeline(60), model=model)
        try:
            return await find_lesions(segmenter, volume, keep, seen)
        finally:
            workers.close()

    return asyncio.run(run())


def labelled(model: Model, volume: DrawnVolume, engine: BandEngine | None = None) -> UInt8:
    labels = np.full(volume.shape, 255, np.uint8)
    find(model, volume, engine=engine, keep=labels.__setitem__)
    return labels


def blocks(number: int) -> Int16:
    """Return a slice of twice the model's grid, whose blocks of 2×2 the grid keeps as they are."""
    coarse = np.random.default_rng(number).integers(-1200, 400, (SIZE, SIZE)).astype(np.int16)
    return coarse.repeat(2, axis=0).repeat(2, axis=1)


@pytest.mark.parametrize("slices", [1, BATCH, 2 * BATCH + 1, 23])
def test_every_slice_gets_its_own_labels_in_order(model: Model, slices: int) -> None:
    volume, engine = DrawnVolume((slices, 2 * SIZE, 2 * SIZE), blocks), BandEngine()
    labels = labelled(model, volume, engine)
    for number in range(slices):
        np.testing.assert_array_equal(labels[number], labels_of(blocks(number)[::2, ::2]))
    assert engine.asked == {"label_map"}, "at the model's own size no probabilities have to travel"
    assert sum(engine.batches) == slices
    assert max(engine.batches) <= BATCH
    assert len(engine.batches) == -(-slices // BATCH)


@given(rows=st.integers(9, 150), columns=st.integers(9, 150), quarter=st.integers(0, 3))
def test_a_marked_quarter_is_labelled_where_it_is_whatever_the_size(
    model: Model, rows: int, columns: int, quarter: int
) -> None:
    top, left = (quarter // 2) * (rows // 2), (quarter % 2) * (columns // 2)
    mark = np.s_[top : top + rows // 2, left : left + columns // 2]

    def draw(_: int) -> Int16:
        pixels = np.full((rows, columns), AIR, np.int16)
        pixels[mark] = GLASS
        return pixels

    engine = BandEngine()
    (labels,) = labelled(model, DrawnVolume((1, rows, columns), draw), engine)
    assert (labels[mark] == 1).mean() > 0.5
    truth = draw(0) == GLASS
    # Wrong at most along the edge: a pixel of the model's grid is as long as this.
    reach = max(rows, columns) // SIZE + 2
    assert (labels != truth).sum() <= 2 * (rows + columns) * reach
    wrong = np.argwhere((labels == 1) & ~truth)
    assert all(_near(y, top, top + rows // 2, reach) and _near(x, left, left + columns // 2, reach) for y, x in wrong)


def _near(value: int, start: int, stop: int, reach: int) -> bool:
    return start - reach <= value < stop + reach


def test_what_was_found_is_measured(model: Model) -> None:
    def draw(number: int) -> Int16:
        pixels = np.full((2 * SIZE, 2 * SIZE), AIR, np.int16)
        pixels[:8] = PADDING_HU
        pixels[20:24, 20 : 20 + 2 * number] = GLASS
        pixels[40:44, 40:48] = DENSE
        return pixels

    found = find(model, DrawnVolume((3, 64, 64), draw, Spacing(0.5, 0.25, 4.0)))
    assert [one.counts for one in found.slices] == [(4096 - 32 - 8 * n, 8 * n, 32, 0) for n in range(3)]
    assert [one.imaged for one in found.slices] == [4096 - 8 * 64] * 3
    assert found.counts == (3 * 4096 - 96 - 24, 24, 96, 0)
    assert found.imaged == 3 * (4096 - 512)
    assert found.clipped == 1
    assert found.area(8) == pytest.approx(1.0)
    assert found.volume(24) == pytest.approx(24 * 0.5 * 0.25 * 4 / 1000)


def test_without_spacing_nothing_is_said_of_millimetres(model: Model) -> None:
    picture = find(model, DrawnVolume((1, 64, 64), blocks))
    assert (picture.area(8), picture.volume(8)) == (None, None)
    slice_of_unknown_thickness = find(model, DrawnVolume((1, 64, 64), blocks, Spacing(1, 1, None)))
    assert (slice_of_unknown_thickness.area(8), slice_of_unknown_thickness.volume(8)) == (8, None)


def test_progress_and_shares_are_published(model: Model) -> None:
    telemetry = Telemetry()
    find(model, DrawnVolume((10, 64, 64), lambda _: np.full((64, 64), GLASS, np.int16)), telemetry=telemetry)
    value = telemetry.registry.get_sample_value
    assert value("maskgate_tiles_total", {"model": "cogseg"}) == 10
    assert value("maskgate_output_class_fraction_ratio_count", {"model": "cogseg", "value": "1"}) == 1
    assert value("maskgate_output_class_fraction_ratio_sum", {"model": "cogseg", "value": "1"}) == 1


@pytest.mark.parametrize("slices", [5, 60])
def test_no_more_slices_are_alive_than_one_and_the_next(model: Model, slices: int) -> None:
    volume = DrawnVolume((slices, 50, 70), lambda n: blocks(n)[:50, :64].repeat(2, axis=1)[:, :70])
    find(model, volume)
    assert volume.drawn == list(range(slices))
    assert volume.peak <= 2
    assert volume.live == 0


def test_memory_does_not_follow_the_number_of_slices(model: Model) -> None:
    def working_memory(slices: int) -> int:
        volume = DrawnVolume((slices, 256, 256), lambda _: np.zeros((256, 256), np.int16))
        tracemalloc.start()
        find(model, volume)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    working_memory(8)  # what is allocated once, by the first run
    few, many = working_memory(5 * BATCH), working_memory(50 * BATCH)
    assert many < 2 * few


def test_a_damaged_slice_ends_it(model: Model) -> None:
    engine = BandEngine()
    with pytest.raises(ImageUnreadable):
        find(model, DrawnVolume((100, 64, 64), blocks, damaged=2 * BATCH + 1), engine=engine)
    assert len(engine.batches) == 2


def test_an_error_of_the_engine_ends_the_decoding(model: Model) -> None:
    volume = DrawnVolume((100, 64, 64), blocks)
    with pytest.raises(ModelNotReady):
        find(model, volume, engine=BandEngine(fail_at=3))
    assert len(volume.drawn) <= 6 * BATCH, "slices went on after the failure"


def test_slices_that_were_seen_before_are_not_asked_for_again(model: Model) -> None:
    shape = (3 * BATCH, 2 * SIZE, 2 * SIZE)
    whole = find(model, DrawnVolume(shape, blocks))
    known = {number: whole.slices[number] for number in (0, 2, 3, 7, 11)}
    volume, engine, kept = DrawnVolume(shape, blocks), BandEngine(), dict[int, UInt8]()
    others = (volume._drawn(number) for number in range(shape[0]) if number not in known)
    found = find(model, volume, engine=engine, keep=kept.__setitem__, seen=SeenBefore(known, others))
    assert found == whole
    assert engine.batches == [BATCH, shape[0] - len(known) - BATCH]
    assert sorted(volume.drawn) == sorted(kept) == [number for number in range(shape[0]) if number not in known]


def test_where_all_slices_were_seen_before_no_model_is_asked(model: Model) -> None:
    shape = (BATCH, 2 * SIZE, 2 * SIZE)
    whole, engine = find(model, DrawnVolume(shape, blocks)), BandEngine()
    seen = SeenBefore(dict(enumerate(whole.slices)), iter(()))
    assert find(model, DrawnVolume(shape, blocks), engine=engine, seen=seen) == whole
    assert engine.batches == []
