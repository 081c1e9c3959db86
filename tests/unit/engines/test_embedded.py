"""What the embedded engine promises beyond the contract: nothing is loaded, kept or read in vain."""

from __future__ import annotations

import asyncio
import gc
import shutil
import subprocess
import sys
import time
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest

from export.repository.triton import config_text
from gateway.engines.base import Model, choose
from gateway.engines.embedded.engine import EmbeddedEngine
from gateway.engines.embedded.sessions import Provider, open_session
from gateway.errors import ModelNotReady
from gateway.observability.metrics import Telemetry
from gateway.repository.card import TensorSpec, read_card, write_card
from gateway.repository.store import file_digest
from gateway.scheduling.timeline import Timeline
from tests.support.places import ROOT
from tests.support.trivial import damage_version, declare_version, write_trivial_model, write_version
from tests.support.trivial_interactive import write_trivial_interactive

# Five models of tiles as large as make a run take some MiB, one after the other.
WORKING = """
import sys
from pathlib import Path
import numpy as np
from gateway.engines.embedded.sessions import open_session

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))

sessions = [open_session(path, "cpu") for path in sorted(Path(sys.argv[1]).glob("*/1/model.onnx"))]
tile = {name: np.zeros((1, 1024, 1024, 3), np.uint8) for name in ("pre", "post")}
seen = [resident()]
for session in sessions:
    session.run(None, tile)
    seen.append(resident())
print(seen[1] - seen[0], seen[-1] - seen[1])
"""

TILE = {name: np.zeros((1, 64, 64, 3), np.uint8) for name in ("pre", "post")}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the model files opened so far, as `<model>/<version>`."""
    names: list[str] = []

    def counted(path: Path, provider: Provider, threads: int) -> object:
        names.append(f"{path.parts[-3]}/{path.parts[-2]}")
        return open_session(path, provider, threads)

    monkeypatch.setattr("gateway.engines.embedded.sessions.open_session", counted)
    return names


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the model files read for their digest so far, as `<model>/<version>`."""
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(f"{path.parts[-3]}/{path.parts[-2]}")
        return file_digest(path)

    monkeypatch.setattr("gateway.repository.changes.file_digest", counted)
    monkeypatch.setattr("gateway.repository.changes.AT_REST_NANOSECONDS", 0)
    return names


def play(root: Path, scenario: Callable[[EmbeddedEngine], Awaitable[None]], idle_seconds: float = 0) -> None:
    async def run() -> None:
        engine = EmbeddedEngine(root, "cpu", 1, Telemetry(), idle_seconds=idle_seconds)
        await engine.start()
        try:
            await scenario(engine)
        finally:
            await engine.close()

    asyncio.run(run())


async def infer(engine: EmbeddedEngine, model: Model) -> int:
    """Return the label of a black pixel, which is the shift of the model's label table."""
    answer = await engine.infer(model, TILE, ["label_map"], Timeline(30))
    return int(answer["label_map"][0, 0, 0])


def test_only_what_changed_is_read_and_loaded(tmp_path: Path, opened: list[str], hashed: list[str]) -> None:
    folder = write_trivial_model(tmp_path, "m")
    write_trivial_model(tmp_path, "other")

    async def scenario(engine: EmbeddedEngine) -> None:
        await engine.refresh()
        assert opened == hashed == ["m/1", "other/1"]
        write_version(folder, 2, shift=1)
        await engine.refresh()
        assert opened == hashed == ["m/1", "other/1", "m/2"]

    play(tmp_path, scenario)


def test_a_changed_card_loads_nothing_anew(tmp_path: Path, opened: list[str]) -> None:
    folder = write_trivial_model(tmp_path, "m")

    async def scenario(engine: EmbeddedEngine) -> None:
        card = read_card(folder / "card.json")
        write_card(card.model_copy(update={"overlap": 8}), folder / "card.json")
        await engine.refresh()
        assert (choose(engine, "damage", "m").card.overlap, opened) == (8, ["m/1"])

    play(tmp_path, scenario)


def test_a_changed_card_must_still_be_true_of_the_graph(tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")

    async def scenario(engine: EmbeddedEngine) -> None:
        card = read_card(folder / "card.json")
        untrue = TensorSpec(name="probabilities", dtype="uint8", shape=(64, 64, 4))
        card = card.model_copy(update={"overlap": 8, "outputs": (card.outputs[0], untrue)})
        write_card(card, folder / "card.json")
        (folder / "config.pbtxt").write_text(config_text(card))
        assert "still serving its former form" in (await engine.refresh()).failed["m"]
        assert choose(engine, "damage", "m").card.overlap == 16

    play(tmp_path, scenario)


def test_a_model_that_was_replaced_or_removed_is_freed_after_its_last_request(tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")

    async def scenario(engine: EmbeddedEngine) -> None:
        first = choose(engine, "damage", "m")
        write_version(folder, 1, shift=1)
        await engine.refresh()
        second = choose(engine, "damage", "m")
        shutil.rmtree(folder)
        await engine.refresh()
        assert [await infer(engine, first), await infer(engine, second)] == [0, 1]
        sessions = [weakref.ref(await engine._sessions.of(model)) for model in (first, second)]
        del first, second
        gc.collect()
        assert [session() for session in sessions] == [None, None]
        assert len(engine._sessions) == 0

    play(tmp_path, scenario)


def test_a_model_that_nobody_asks_for_is_let_go_and_opened_once_when_many_do(tmp_path: Path, opened: list[str]) -> None:
    write_trivial_model(tmp_path, "m", shift=1)

    async def scenario(engine: EmbeddedEngine) -> None:
        model = choose(engine, "damage", "m")
        session = weakref.ref(await engine._sessions.of(model))
        while session() is not None:
            await asyncio.sleep(0.05)
            gc.collect()
        assert choose(engine, "damage", "m") is model, "it stays ready"
        assert await asyncio.gather(*(infer(engine, model) for _ in range(5))) == [1] * 5
        assert opened == ["m/1", "m/1"]

    play(tmp_path, scenario, idle_seconds=0.2)


def test_a_file_that_changed_while_its_model_was_let_go_answers_for_no_other(tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")

    async def scenario(engine: EmbeddedEngine) -> None:
        model = choose(engine, "damage", "m")
        assert await engine._sessions.let_go(0) == 1
        write_version(folder, 1, shift=1)
        with pytest.raises(ModelNotReady, match="cannot be opened again"):
            await infer(engine, model)
        await engine.refresh()
        assert await infer(engine, choose(engine, "damage", "m")) == 1

    play(tmp_path, scenario)


def test_a_version_that_does_not_load_is_tried_again(tmp_path: Path, opened: list[str]) -> None:
    folder = write_trivial_model(tmp_path, "m")
    write_version(folder, 2, shift=1)
    damage_version(folder, 2)

    async def scenario(engine: EmbeddedEngine) -> None:
        assert choose(engine, "damage", "m").version == 1
        await engine.refresh()
        assert opened == ["m/1", "m/2", "m/2"]

    play(tmp_path, scenario)


def test_every_version_keeps_its_own_former_form(tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")
    write_version(folder, 2, shift=1)

    async def scenario(engine: EmbeddedEngine) -> None:
        damage_version(folder, 1)
        write_version(folder, 2, shift=2)
        result = await engine.refresh()
        assert result.changed == ("m",)
        assert result.failed["m"].startswith("version 1: still serving its former form, since ")
        assert [await infer(engine, choose(engine, "damage", "m", version)) for version in (1, 2)] == [0, 2]

    play(tmp_path, scenario)


def test_a_file_replaced_between_its_digest_and_its_opening_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_trivial_model(tmp_path, "m")
    card = (folder / "card.json").read_bytes()

    def replaced(path: Path, provider: Provider, threads: int) -> object:
        write_version(folder, 1, shift=1)
        return open_session(path, provider, threads)

    async def scenario(engine: EmbeddedEngine) -> None:
        assert engine.statuses()[0].state == "failed"
        monkeypatch.setattr("gateway.engines.embedded.sessions.open_session", open_session)
        (folder / "card.json").write_bytes(card)
        assert list((await engine.refresh()).failed) == ["m"]
        declare_version(folder, 1)
        assert (await engine.refresh()).added == ("m",)
        assert await infer(engine, choose(engine, "damage", "m")) == 1

    monkeypatch.setattr("gateway.engines.embedded.sessions.open_session", replaced)
    play(tmp_path, scenario)


def test_a_model_loads_while_another_version_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_trivial_model(tmp_path, "m")
    seen: list[list[tuple[int, str]]] = []

    async def scenario(engine: EmbeddedEngine) -> None:
        def watched(path: Path, provider: Provider, threads: int) -> object:
            [status] = engine.statuses()
            seen.append([(v.model.version, v.state) for v in status.versions])
            assert status.model is not None
            assert (status.state, status.model.version) == ("ready", 1)
            return open_session(path, provider, threads)

        monkeypatch.setattr("gateway.engines.embedded.sessions.open_session", watched)
        write_version(folder, 2, shift=1)
        assert (await engine.refresh()).failed == {}

    play(tmp_path, scenario)
    assert seen == [[(1, "ready"), (2, "loading")]]


@pytest.mark.parametrize("side", [64, 320])
def test_items_are_answered_in_their_order_however_they_are_shared_out(tmp_path: Path, side: int) -> None:
    """Those of 320² are computed one by one, smaller ones as many as the lanes need."""
    write_trivial_model(tmp_path, "trivial", tile=side, overlap=0)
    rng = np.random.default_rng(side)
    inputs = {name: rng.integers(0, 256, (5, side, side, 3), np.uint8) for name in ("pre", "post")}

    async def scenario(engine: EmbeddedEngine) -> None:
        model = choose(engine, "damage", "trivial")
        together = await engine.infer(model, inputs, ("probabilities", "label_map"), Timeline(30))
        for item in range(5):
            alone = await engine.infer(
                model,
                {name: batch[item : item + 1] for name, batch in inputs.items()},
                ("probabilities", "label_map"),
                Timeline(30),
            )
            for name, whole in together.items():
                assert np.array_equal(whole[item], alone[name][0])

    play(tmp_path, scenario)


def test_an_answer_to_a_click_is_spread_over_the_cores_of_idle_lanes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_trivial_interactive(tmp_path, ["iog"])
    write_trivial_model(tmp_path, "m")
    opened: list[tuple[str, int]] = []

    def counted(path: Path, provider: Provider, threads: int) -> ort.InferenceSession:
        opened.append((path.parts[-3], threads))
        return open_session(path, provider, threads)

    monkeypatch.setattr("gateway.engines.embedded.sessions.open_session", counted)

    async def run() -> None:
        engine = EmbeddedEngine(tmp_path, "cpu", 2, Telemetry(), idle_seconds=1000)
        await engine.start()
        try:
            model = choose(engine, "interactive", "iog")
            rng = np.random.default_rng(0)
            item = {spec.name: rng.integers(0, 256, (1, *spec.shape), np.uint8) for spec in model.card.inputs}
            both = {name: np.repeat(part, 2, axis=0) for name, part in item.items()}
            names = [spec.name for spec in model.card.outputs]
            assert opened == [("iog", 1), ("m", 1)]
            await infer(engine, choose(engine, "damage", "m"))
            await engine.infer(model, both, names, Timeline(30))
            async with engine._turns.held("bulk"):
                first = await engine.infer(model, item, names, Timeline(30))
            assert len(opened) == 2, "several items, a taken lane, and what nobody sits before have no second session"
            while engine._sessions.wide(model) is None:
                await engine.infer(model, item, names, Timeline(30))
            assert opened[2:] == [("iog", 2)]
            alone = await engine.infer(model, item, names, Timeline(30))
            assert all(np.array_equal(alone[name], first[name]) for name in names)
            # The second session goes with the first, and comes back when it is asked for.
            assert await engine._sessions.let_go(0) == 2
            assert engine._sessions.wide(model) is None
            await engine.infer(model, item, names, Timeline(30))
            while engine._sessions.wide(model) is None:
                await engine.infer(model, item, names, Timeline(30))
            assert opened[3:] == [("iog", 1), ("iog", 2)]
        finally:
            await engine.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "name", ["click-lite0", "click-lite0-encoder", "dextr", "iog", "iog_refine", "iog_refine_encoder"]
)
def test_shipped_models_with_clicks_answer_alike_on_any_number_of_threads(name: str) -> None:
    folder = ROOT / "model_repository" / name
    card = read_card(folder / "card.json")
    assert card.clicks
    rng = np.random.default_rng(0)
    item = {
        spec.name: (
            rng.integers(0, 256, (1, *spec.shape), np.uint8)
            if spec.dtype == "uint8"
            else rng.normal(size=(1, *spec.shape)).astype(spec.dtype)
        )
        for spec in card.inputs
    }
    names = [spec.name for spec in card.outputs]
    one, *others = (open_session(folder / "1" / "model.onnx", "cpu", threads).run(names, item) for threads in (1, 2, 3))
    for other in others:
        for mine, theirs in zip(one, other, strict=True):
            # Alike to the bit here; another processor may sum in another order.
            room = 1 if mine.dtype == np.uint8 else 1e-2 * np.abs(mine).max()
            assert np.abs(mine.astype(np.float32) - theirs.astype(np.float32)).max() <= room


def test_models_are_let_go_where_there_is_no_memory_for_one_more_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_trivial_model(tmp_path, "m")

    async def scenario(engine: EmbeddedEngine) -> None:
        def scarce(*_: object) -> None:
            raise RuntimeError("Available memory of 0 is smaller than requested bytes of 1")

        with monkeypatch.context() as patched:
            patched.setattr("gateway.engines.embedded.sessions.warm_up", scarce)
            assert await engine._sessions.let_go(0) == 1
        assert "was not shrunk" in caplog.text
        assert await infer(engine, choose(engine, "damage", "m")) == 0

    play(tmp_path, scenario)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what is resident")
def test_models_work_in_the_same_memory(tmp_path: Path) -> None:
    for number in range(5):
        write_trivial_model(tmp_path, f"m{number}", tile=1024)
    command = [sys.executable, "-c", WORKING, str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    first, others = map(int, said.split())
    assert first > 4_000
    assert others < first, "four more models take less than one"


def test_a_second_session_that_does_not_open_leaves_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_trivial_interactive(tmp_path, ["iog"])

    def narrow(path: Path, provider: Provider, threads: int) -> ort.InferenceSession:
        if threads > 1:
            raise RuntimeError("no threads")
        return open_session(path, provider, threads)

    monkeypatch.setattr("gateway.engines.embedded.sessions.open_session", narrow)

    async def run() -> None:
        engine = EmbeddedEngine(tmp_path, "cpu", 2, Telemetry())
        await engine.start()
        try:
            model = choose(engine, "interactive", "iog")
            item = {spec.name: np.zeros((1, *spec.shape), np.uint8) for spec in model.card.inputs}
            while "cannot be opened for several cores" not in caplog.text:
                await engine.infer(model, item, [model.card.outputs[0].name], Timeline(30))
            await engine.infer(model, item, [model.card.outputs[0].name], Timeline(30))
            assert caplog.text.count("cannot be opened for several cores") == 1
        finally:
            await engine.close()

    asyncio.run(run())


@pytest.mark.parametrize(("provider", "runs"), [("cpu", [1, 1, 1, 1, 1]), ("cuda", [2, 3])])
def test_a_gpu_is_given_whole_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: Provider, runs: list[int]
) -> None:
    """A stand-in for the GPU: what a session is given does not depend on where it computes."""
    folder = write_trivial_model(tmp_path, "trivial", tile=320, overlap=0)
    card = read_card(folder / "card.json").model_copy(update={"max_batch_size": 3})
    write_card(card, folder / "card.json")
    (folder / "config.pbtxt").write_text(config_text(card))
    monkeypatch.setattr("gateway.engines.embedded.sessions.open_session", lambda path, *_: open_session(path, "cpu"))
    telemetry = Telemetry()
    given: list[int] = []
    monkeypatch.setattr(
        telemetry, "batch_items", SimpleNamespace(labels=lambda _: SimpleNamespace(observe=given.append))
    )

    async def run() -> None:
        engine = EmbeddedEngine(tmp_path, provider, 2, telemetry)
        await engine.start()
        try:
            tiles = {name: np.zeros((5, 320, 320, 3), np.uint8) for name in ("pre", "post")}
            await engine.infer(choose(engine, "damage", "trivial"), tiles, ["label_map"], Timeline(30))
        finally:
            await engine.close()

    asyncio.run(run())
    assert given == runs


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="ONNX Runtime may compute on CUDA")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_what_should_compute_on_a_gpu_does_not_compute_on_the_processor_unsaid(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_trivial_model(tmp_path, "m")

    async def run() -> None:
        engine = EmbeddedEngine(tmp_path, "cuda", 1, Telemetry())
        await engine.start()
        [status] = engine.statuses()
        await engine.close()
        assert status.state == "failed"

    asyncio.run(run())
    assert "cannot use CUDAExecutionProvider here" in caplog.text


def test_threads_of_a_session_sleep_between_runs() -> None:
    """They wait awake within one, for each other; on after it they would burn what other requests have by then."""
    folder = ROOT / "model_repository" / "click-lite0"
    card = read_card(folder / "card.json")
    session = open_session(folder / "1" / "model.onnx", "cpu", 2)
    session.run(None, {spec.name: np.zeros((1, *spec.shape), spec.dtype) for spec in card.inputs})
    before = time.process_time()
    time.sleep(0.02)
    assert time.process_time() - before < 0.01
