"""What every engine promises of models that come, change and go; see `gateway.engines.base.Engine.refresh`."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.engines.base import Engine, Model, Refreshed, choose
from gateway.errors import ModelNotFound, ModelNotReady, Unavailable, VersionNotFound
from gateway.repository.card import read_card, write_card
from gateway.scheduling.timeline import Timeline
from tests.support.trivial import (
    damage_version,
    label_table,
    remove_version,
    write_trivial_model,
    write_version,
)

Factory = Callable[[Path], Engine]
TILES = {name: np.random.default_rng(7).integers(0, 256, (5, 64, 64, 3), np.uint8) for name in ("pre", "post")}


def play(engine: Engine, scenario: Callable[[Engine], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        await engine.start()
        try:
            await scenario(engine)
        finally:
            await engine.close()

    asyncio.run(run())


def refreshed(
    added: Sequence[str] = (),
    changed: Sequence[str] = (),
    removed: Sequence[str] = (),
    failed: Mapping[str, str] | None = None,
) -> Refreshed:
    return Refreshed(tuple(added), tuple(changed), tuple(removed), failed or {})


async def shift_of(engine: Engine, model: Model) -> int:
    """Return which of the label tables answers for `model`."""
    answer = await engine.infer(model, TILES, ["label_map"], Timeline(30))
    green = TILES["post"][..., 1]
    [shift] = [s for s in range(5) if np.array_equal(answer["label_map"], label_table(5, s)[green])]
    return shift


async def shift_or_gone(engine: Engine, model: Model) -> int | None:
    """Return which label table answers, None where the engine says that the model went away."""
    try:
        return await shift_of(engine, model)
    except ModelNotReady:
        return None


def reason_of(engine: Engine, name: str) -> str:
    [status] = [status for status in engine.statuses() if status.name == name]
    return status.reason


def test_what_is_unloaded_is_gone_until_it_is_not(new_engine: Factory, tmp_path: Path) -> None:
    write_trivial_model(tmp_path, "m")
    write_trivial_model(tmp_path, "other")

    async def scenario(engine: Engine) -> None:
        engine.unloaded.add("m")
        assert await engine.refresh() == refreshed(removed=["m"])
        assert [status.name for status in engine.statuses()] == ["other"]
        assert await engine.refresh() == refreshed()
        with pytest.raises(ModelNotFound):
            choose(engine, "damage", "m")
        engine.unloaded.discard("m")
        assert await engine.refresh() == refreshed(added=["m"])
        assert await shift_of(engine, choose(engine, "damage", "m")) == 0

    play(new_engine(tmp_path), scenario)


def test_nothing_happens_where_nothing_changed(new_engine: Factory, tmp_path: Path) -> None:
    write_trivial_model(tmp_path, "m")
    (write_trivial_model(tmp_path, "faulty") / "labels.txt").unlink()

    async def scenario(engine: Engine) -> None:
        model = choose(engine, "damage", "m")
        result = await engine.refresh()
        assert (result.added, result.changed, result.removed) == ((), (), ())
        assert result.failed == {"faulty": "labels.txt is missing"}
        assert await shift_of(engine, model) == 0

    play(new_engine(tmp_path), scenario)


def test_a_new_version_answers_by_default_and_the_old_one_when_it_is_named(new_engine: Factory, tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")

    async def scenario(engine: Engine) -> None:
        began = choose(engine, "damage", "m")
        digest = write_version(folder, 2, shift=1)
        assert await engine.refresh() == refreshed(changed=["m"])
        newest = choose(engine, "damage", "m")
        assert (newest.version, newest.digest) == (2, digest)
        assert await shift_of(engine, newest) == 1
        pinned = choose(engine, "damage", "m", 1)
        assert (pinned.version, pinned.digest) == (1, began.digest)
        assert await shift_of(engine, pinned) == 0
        assert await shift_of(engine, began) == 0
        with pytest.raises(VersionNotFound, match="Its versions: 1, 2"):
            choose(engine, "damage", "m", 3)
        [status] = engine.statuses()
        assert [(v.model.version, v.state) for v in status.versions] == [(1, "ready"), (2, "ready")]

    play(new_engine(tmp_path), scenario)


def test_versions_are_all_there_from_the_start(new_engine: Factory, tmp_path: Path) -> None:
    write_version(write_trivial_model(tmp_path, "m"), 3, shift=2)

    async def scenario(engine: Engine) -> None:
        assert await shift_of(engine, choose(engine, "damage", "m")) == 2
        assert await shift_of(engine, choose(engine, "damage", "m", 1)) == 0

    play(new_engine(tmp_path), scenario)


def test_a_removed_version_is_no_longer_there(new_engine: Factory, tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")
    write_version(folder, 2, shift=1)

    async def scenario(engine: Engine) -> None:
        began = choose(engine, "damage", "m")
        remove_version(folder, 2)
        assert await engine.refresh() == refreshed(changed=["m"])
        assert choose(engine, "damage", "m").version == 1
        with pytest.raises(VersionNotFound):
            choose(engine, "damage", "m", 2)
        assert await shift_or_gone(engine, began) in (1, None)

    play(new_engine(tmp_path), scenario)


def test_models_come_and_go(new_engine: Factory, tmp_path: Path) -> None:
    write_trivial_model(tmp_path, "old")

    async def scenario(engine: Engine) -> None:
        began = choose(engine, "damage", "old")
        write_trivial_model(tmp_path, "new", shift=3)
        shutil.rmtree(tmp_path / "old")
        assert await engine.refresh() == refreshed(added=["new"], removed=["old"])
        assert [status.name for status in engine.statuses()] == ["new"]
        assert await shift_of(engine, choose(engine, "damage", "new")) == 3
        with pytest.raises(ModelNotFound):
            choose(engine, "damage", "old")
        assert await shift_or_gone(engine, began) in (0, None)

    play(new_engine(tmp_path), scenario)


def test_a_changed_card_is_told(new_engine: Factory, tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")

    async def scenario(engine: Engine) -> None:
        began = choose(engine, "damage", "m")
        card = read_card(folder / "card.json")
        write_card(card.model_copy(update={"title": "Corrected"}), folder / "card.json")
        assert await engine.refresh() == refreshed(changed=["m"])
        assert choose(engine, "damage", "m").card.title == "Corrected"
        assert began.card.title == "Trivial"
        assert await shift_of(engine, began) == 0

    play(new_engine(tmp_path), scenario)


def test_a_version_replaced_in_place_never_answers_for_its_former_digest(new_engine: Factory, tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")

    async def scenario(engine: Engine) -> None:
        began = choose(engine, "damage", "m")
        digest = write_version(folder, 1, shift=4)
        assert await engine.refresh() == refreshed(changed=["m"])
        assert choose(engine, "damage", "m").digest == digest
        assert await shift_of(engine, choose(engine, "damage", "m")) == 4
        assert await shift_or_gone(engine, began) in (0, None)

    play(new_engine(tmp_path), scenario)


def test_a_new_version_that_does_not_load_leaves_the_old_one_serving(new_engine: Factory, tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")

    async def scenario(engine: Engine) -> None:
        write_version(folder, 2, shift=1)
        damage_version(folder, 2)
        result = await engine.refresh()
        assert list(result.failed) == ["m"]
        assert choose(engine, "damage", "m").version == 1
        assert await shift_of(engine, choose(engine, "damage", "m")) == 0
        assert result.failed["m"] == reason_of(engine, "m") != ""
        write_version(folder, 2, shift=1)
        assert (await engine.refresh()).failed == {}
        assert await shift_of(engine, choose(engine, "damage", "m")) == 1
        assert reason_of(engine, "m") == ""

    play(new_engine(tmp_path), scenario)


def test_a_copy_under_way_takes_nothing_down(new_engine: Factory, tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")
    (elsewhere := tmp_path / ".elsewhere").mkdir()
    complete = shutil.copytree(folder, elsewhere / "m")
    write_version(complete, 2, shift=2)

    async def scenario(engine: Engine) -> None:
        model = (complete / "2" / "model.onnx").read_bytes()
        (folder / "2").mkdir()
        for part in (b"", model[: len(model) // 2], model):
            (folder / "2" / "model.onnx").write_bytes(part)
            result = await engine.refresh()
            assert (list(result.failed), result.changed, result.removed) == (["m"], (), ())
            assert choose(engine, "damage", "m").version == 1
            assert await shift_of(engine, choose(engine, "damage", "m")) == 0
        (folder / "card.json").write_bytes(b"")
        assert list((await engine.refresh()).failed) == ["m"]
        assert await shift_of(engine, choose(engine, "damage", "m")) == 0
        shutil.copy(complete / "card.json", folder / "card.json")
        assert await engine.refresh() == refreshed(changed=["m"])
        assert await shift_of(engine, choose(engine, "damage", "m")) == 2

    play(new_engine(tmp_path), scenario)


def test_requests_are_answered_throughout(new_engine: Factory, tmp_path: Path) -> None:
    folder = write_trivial_model(tmp_path, "m")
    shifts = {1: 0}

    async def scenario(engine: Engine) -> None:
        done = asyncio.Event()

        async def ask() -> int:
            answered = 0
            while not done.is_set():
                model = choose(engine, "damage", "m")
                assert await shift_of(engine, model) == shifts[model.version]
                answered += 1
            return answered

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        for version in (2, 3, 4):
            shifts[version] = version
            await asyncio.to_thread(write_version, folder, version, version)
            await asyncio.gather(engine.refresh(), engine.refresh())
            assert choose(engine, "damage", "m").version == version
        done.set()
        assert all(await asyncio.gather(*asking))

    play(new_engine(tmp_path), scenario)


def test_a_repository_that_cannot_be_read_changes_nothing(new_engine: Factory, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    write_trivial_model(root, "m")

    async def scenario(engine: Engine) -> None:
        root.rename(tmp_path / "unmounted")
        with pytest.raises(Unavailable):
            await engine.refresh()
        assert await shift_of(engine, choose(engine, "damage", "m")) == 0
        (tmp_path / "unmounted").rename(root)
        assert await engine.refresh() == refreshed()

    play(new_engine(root), scenario)
