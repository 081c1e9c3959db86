"""Whole scenes, band by band: the same answer as at once, in memory that does not follow the area."""

from __future__ import annotations

import asyncio
import threading
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gateway.engines.base import Model, Tensors
from gateway.errors import ImageUnreadable, ModelNotReady
from gateway.inference.segmenter import Segmenter
from gateway.media.geo.cog import NOT_OBSERVED
from gateway.media.geo.picture_rasters import Picture
from gateway.media.geo.rasters import RasterInfo
from gateway.observability.metrics import Telemetry
from gateway.repository.card import VoteSpec, read_card
from gateway.scheduling.threads import Threads
from gateway.scheduling.timeline import Timeline
from gateway.scheduling.workers import Workers
from gateway.tasks.damage import scene_pipeline
from gateway.tasks.damage.scene_bands import Band, Sink
from gateway.tasks.damage.scene_pipeline import SceneMap, map_scene
from gateway.tasks.damage.scene_reader import SceneReader, Window
from gateway.vision.buildings import SMALLEST_BUILDING
from gateway.vision.regions import Known, regions
from gateway.vision.tiling import plan
from gateway.vision.unseen import CELL
from gateway.vision.votes import voted
from tests.support.pictures import noise
from tests.support.table_engine import LABELS, PROBABILITIES, TableEngine
from tests.support.trivial import write_trivial_model

UInt8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder: Path = write_trivial_model(tmp_path_factory.mktemp("repository"), tile=64, overlap=16)
    return Model(read_card(folder / "card.json"), 1, "sha256:0")


class Kept:
    """A sink that keeps the whole label map."""

    def __init__(self) -> None:
        self.labels: list[UInt8] = []
        self.tops: list[int] = []

    def write(self, band: Band) -> None:
        assert len(band.labels) == len(band.sureness) == len(band.seen)
        self.tops.append(band.top)
        self.labels.append(band.labels.copy())


class Drawn:
    """A raster that is made as it is read, so that only what maps it takes memory."""

    def __init__(self, height: int, width: int) -> None:
        self.info = RasterInfo(width, height, 3, "uint8", None, ())
        self.read_rows = 0

    def read(self, rows: slice, columns: slice) -> tuple[UInt8, Mask]:
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        self.read_rows += shape[0]
        y = np.arange(rows.start, rows.stop).astype(np.uint8)[:, None, None]
        return np.broadcast_to(y, (*shape, 3)).copy(), np.ones(shape, np.bool_)

    def close(self) -> None: ...


def mapped(
    model: Model, pre: Picture, post: Picture, sinks: Sequence[Sink] = (), engine: TableEngine | None = None
) -> tuple[SceneMap, Timeline]:
    async def run() -> tuple[SceneMap, Timeline]:
        workers, timeline = Workers(Threads("worker", 2)), Timeline(60)
        segmenter = Segmenter(engine or TableEngine(), workers, Telemetry(), timeline, model=model)
        try:
            return await map_scene(segmenter, pre, post, sinks), timeline
        finally:
            workers.close()

    return asyncio.run(run())


def picture(pixels: UInt8, observed: Mask | None = None) -> Picture:
    return Picture(pixels, np.ones(pixels.shape[:2], np.bool_) if observed is None else observed)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(16, 700), width=st.integers(16, 300), seed=st.integers(0, 9))
def test_bands_add_up_to_the_map_of_the_whole(model: Model, height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = np.kron(rng.integers(0, 256, (height // 9 + 1, width // 9 + 1, 3), np.uint8), np.ones((9, 9, 1), np.uint8))
    image = np.ascontiguousarray(image[:height, :width])
    sink = Kept()
    found, timeline = mapped(model, picture(image), picture(image), [sink])
    expected = LABELS[image[..., 1]]
    labels = np.concatenate(sink.labels)
    np.testing.assert_array_equal(labels, expected)
    assert sink.tops == sorted(sink.tops)
    assert found.counts == tuple(np.bincount(expected.ravel(), minlength=5))
    sureness = PROBABILITIES[image[..., 1]].max(axis=-1)
    inside = expected > 0
    known = [Known(np.flatnonzero(inside), PROBABILITIES[image[..., 1]][inside])]
    assert list(found.buildings) == regions(expected, sureness, min_area=SMALLEST_BUILDING, known=known)
    assert (found.unseen, found.featureless, found.areas_m2) == (0, 0, None)
    assert timeline.done == timeline.total == plan(height, width, 64, 16).tiles


@settings(max_examples=25, deadline=None)
@given(height=st.integers(16, 700), width=st.integers(16, 300), seed=st.integers(0, 9), hidden=st.integers(0, 300))
def test_roofs_vote_whatever_bands_they_lie_in(model: Model, height: int, width: int, seed: int, hidden: int) -> None:
    rng = np.random.default_rng(seed)
    brightness = rng.integers(0, 256, (height // 9 + 1, width // 9 + 1), np.uint8)
    brightness *= rng.random(brightness.shape) < 0.6
    image = np.kron(brightness[..., None].repeat(3, axis=2), np.ones((9, 9, 1), np.uint8))
    image = np.ascontiguousarray(image[:height, :width])
    seen = np.ones((height, width), np.bool_)
    seen[:, hidden : hidden + 20] = False
    vote = VoteSpec(apart=4, least=0.1, largest=60)
    voting = replace(model, card=model.card.model_copy(update={"vote": vote}))
    sink = Kept()
    found, _ = mapped(voting, picture(image), picture(image, seen), [sink])
    probabilities = PROBABILITIES[image[..., 1]]
    shown = np.where(seen, LABELS[image[..., 1]], 0).astype(np.uint8)
    known = [Known(np.flatnonzero(shown), probabilities[shown > 0])]
    expected, sureness = voted(shown, vote, probabilities.max(axis=-1), known)
    np.testing.assert_array_equal(np.concatenate(sink.labels), np.where(seen, expected, NOT_OBSERVED))
    assert list(found.buildings) == regions(expected, sureness, min_area=SMALLEST_BUILDING, known=known)
    assert found.counts[1:] == tuple(np.bincount(expected.ravel(), minlength=5)[1:])
    assert sink.tops == [0, *np.cumsum([len(labels) for labels in sink.labels])[:-1].tolist()]


def test_what_either_image_does_not_show_is_not_classified(model: Model) -> None:
    image = noise(400, 300, seed=3)
    pre_seen, post_seen = np.ones((2, 400, 300), np.bool_)
    pre_seen[:, :70] = False
    post_seen[350:] = False
    sink = Kept()
    found, _ = mapped(model, picture(image, pre_seen), picture(image, post_seen), [sink])
    labels, seen = np.concatenate(sink.labels), pre_seen & post_seen
    assert (labels[~seen] == NOT_OBSERVED).all()
    np.testing.assert_array_equal(labels[seen], LABELS[image[..., 1]][seen])
    assert sum(found.counts) == np.count_nonzero(seen)
    assert found.unseen == np.count_nonzero(~seen)
    assert all(box[0] >= 70 and box[3] <= 350 for box in (building.box for building in found.buildings))


def test_tiles_that_show_no_ground_are_not_inferred(model: Model) -> None:
    class Counting(TableEngine):
        tiles = 0

        async def infer(self, model: Model, inputs: object, outputs: object, timeline: Timeline) -> object:  # type: ignore[override]
            self.tiles += len(inputs["post"])  # type: ignore[index]
            return await super().infer(model, inputs, outputs, timeline)  # type: ignore[arg-type]

    image = noise(600, 600)
    seen = np.zeros((600, 600), np.bool_)
    seen[:64, :64] = True
    engine = Counting()
    found, timeline = mapped(model, picture(image), picture(image, seen), engine=engine)
    assert engine.tiles == 4, "tiles of 64 that step by 48: two each way touch the corner"
    assert timeline.done == timeline.total == 13 * 13
    assert found.unseen == 600 * 600 - 64 * 64


def test_clouds_are_flagged_and_not_classified(model: Model) -> None:
    pre, post = noise(512, 512), noise(512, 512, seed=1).copy()
    post[128:256, 256:384] = np.random.default_rng(0).integers(220, 250, (128, 128, 3))
    sink = Kept()
    found, _ = mapped(model, picture(pre), picture(post), [sink])
    labels = np.concatenate(sink.labels)
    assert found.featureless == 128 * 128
    assert found.unseen == 0
    assert (labels[128:256, 256:384] == NOT_OBSERVED).all()
    assert np.count_nonzero(labels == NOT_OBSERVED) == 128 * 128


def taken(reader: SceneReader) -> Window:
    async def at_once(function: Callable[..., Any], *arguments: object) -> Any:
        return function(*arguments)

    return asyncio.run(reader.take(at_once))


@given(height=st.integers(1, 900), tile=st.integers(8, 300), data=st.data())
def test_the_reader_gives_each_row_of_tiles_and_reads_each_pixel_once(
    height: int, tile: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, tile // 2))
    drawn, grid = Drawn(height, 3), plan(height, 3, tile, overlap)
    reader = SceneReader(drawn, Drawn(height, 3), grid)
    for top in grid.rows:
        window = taken(reader)
        assert (window.top, window.stop) == (top, min(top + tile, height))
        np.testing.assert_array_equal(
            np.concatenate([strip.pre for strip in window.strips])[:, 0, 0],
            np.arange(top, window.stop).astype(np.uint8),
        )
    assert drawn.read_rows == height


@given(height=st.integers(1, 3000), tile=st.integers(8, 700))
def test_no_more_than_the_first_row_of_tiles_needs_is_read_before_it(height: int, tile: int) -> None:
    drawn, grid = Drawn(height, 3), plan(height, 3, tile, tile // 8)
    reader = SceneReader(drawn, Drawn(height, 3), grid)
    taken(reader)
    assert drawn.read_rows < min(tile, height) + 3 * CELL / 2


def test_what_is_read_ends_where_tiles_of_512_do() -> None:
    """Else each is decoded twice, or kept until its other part is read."""
    drawn, grid = Drawn(4096, 3), plan(4096, 3, 544, 64)
    reader, stops = SceneReader(drawn, Drawn(4096, 3), grid), []
    for _ in grid.rows:
        taken(reader)
        stops.append(drawn.read_rows)
    assert stops == [640, 1024, 1536, 2048, 2560, 3072, 3584, 4096, 4096]


def test_both_images_are_read_at_once(model: Model) -> None:
    """Else a lane idles until the first row of tiles is there."""
    both = threading.Barrier(2, timeout=5)

    class Meeting(Drawn):
        def read(self, rows: slice, columns: slice) -> tuple[UInt8, Mask]:
            both.wait()
            return super().read(rows, columns)

    mapped(model, Meeting(700, 64), Meeting(700, 64))  # type: ignore[arg-type]


@pytest.mark.parametrize("held", [4, 1])
def test_a_row_begins_while_some_of_the_one_above_is_inferred(model: Model, held: int) -> None:
    """Else a lane idles at the end of each row, whichever of its batches ends last."""

    class Waiting(TableEngine):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.below = 0, asyncio.Event()

        async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
            self.begun += len(inputs["post"])
            if self.begun > 5:
                self.below.set()
            if len(inputs["post"]) == held:
                async with asyncio.timeout(5):
                    await self.below.wait()
            return await super().infer(model, inputs, outputs, timeline)

    height, width = 64 + 48, 64 + 4 * 48
    assert [len(side) for side in (plan(height, width, 64, 16).rows, plan(height, width, 64, 16).columns)] == [2, 5]
    pre, post = picture(noise(height, width)), picture(noise(height, width, seed=1))
    mapped(model, pre, post, engine=Waiting())


def test_what_takes_a_row_is_made_when_some_of_it_is_inferred(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a lane idles until a thread has made it, which may be at other work."""
    made, before = list[object](), list[int]()

    class Noted(scene_pipeline._Decided):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            made.append(self)
            super().__init__(*arguments, **named)

    class Counting(TableEngine):
        async def infer(self, model: Model, inputs: Tensors, outputs: Sequence[str], timeline: Timeline) -> Tensors:
            before.append(len(made))
            return await super().infer(model, inputs, outputs, timeline)

    monkeypatch.setattr(scene_pipeline, "_Decided", Noted)
    mapped(model, picture(noise(64, 64)), picture(noise(64, 64, seed=1)), engine=Counting())
    assert (before, len(made)) == ([0], 1)


def working_memory(model: Model, height: int, width: int) -> int:
    tracemalloc.start()
    mapped(model, Drawn(height, width), Drawn(height, width))  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_does_not_follow_the_height(model: Model) -> None:
    working_memory(model, 512, 256)
    assert working_memory(model, 8192, 256) < 1.3 * working_memory(model, 2048, 256)


def test_memory_follows_the_width_alone(model: Model) -> None:
    """Of strips of 512 rows, tiles of 64, and buildings nearly everywhere; 19,000 bytes a column it was once."""
    width = 1024
    assert working_memory(model, 2048, width) < 16_000 * width


def test_an_error_of_the_engine_ends_all_rows(model: Model) -> None:
    engine = TableEngine()
    engine.fail_at = 3
    image = noise(2000, 100)
    with pytest.raises(ModelNotReady):
        mapped(model, picture(image), picture(image), engine=engine)
    assert engine.calls <= 8, "rows went on after the failure"


def test_a_damaged_file_is_told_of(model: Model) -> None:
    class Damaged(Drawn):
        def read(self, rows: slice, columns: slice) -> tuple[UInt8, Mask]:
            if rows.start > 500:
                raise ImageUnreadable("The TIFF image is cut short or damaged.")
            return super().read(rows, columns)

    with pytest.raises(ImageUnreadable):
        mapped(model, Drawn(2000, 80), Damaged(2000, 80))  # type: ignore[arg-type]


def test_who_is_cancelled_leaves_no_thread_reading(model: Model) -> None:
    """Else the files would be closed under it."""
    reading, left = threading.Event(), []

    class Slow(Drawn):
        def read(self, rows: slice, columns: slice) -> tuple[UInt8, Mask]:
            reading.set()
            time.sleep(0.1)
            left.append(rows.start)
            return super().read(rows, columns)

    async def run() -> int:
        workers = Workers(Threads("worker", 2))
        segmenter = Segmenter(TableEngine(), workers, Telemetry(), Timeline(60), model=model)
        task = asyncio.create_task(map_scene(segmenter, Slow(9000, 64), Drawn(9000, 64)))
        await asyncio.to_thread(reading.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        at_the_end = len(left)
        await asyncio.sleep(0.25)
        assert len(left) == at_the_end, "a thread went on reading"
        workers.close()
        return at_the_end

    assert asyncio.run(run()) <= 2
