"""IOG's refinement from checkpoint to repository: two folders that belong together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import pytest

import export.build
from export.build import build, replacing
from export.checkpoints.files import write_checkpoint
from export.cli import main
from export.errors import BuildError, ParityError
from export.graphs.contract import Graph
from export.registry import CATALOG
from export.tasks.interactive.spec import InteractiveSpec
from export.verify import verify, verify_source
from gateway.repository.card import read_card
from gateway.repository.store import file_digest, scan
from tests.support.checkpoints import SIZE, checkpoint, small_entries, small_entry, untrained, write
from tests.support.exports import exported
from tests.support.trivial import declare_version
from tests.support.trivial_interactive import write_trivial_interactive

PAIR = ("iog_refine", "iog_refine_encoder")


def name_of(graph: Graph) -> str:
    return "iog_refine_encoder" if graph.outputs[0].name == "features_1" else "iog_refine"


@pytest.fixture(scope="module", autouse=True)
def _small_and_exported_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in PAIR:
            patch.setitem(CATALOG, name, small_entry(name))
        patch.setattr(export.build, "_export", lambda graph, _: {"onnx": exported(name_of(graph), "onnx")})
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("checkpoints") / "refine.pt", "iog_refine")


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the same weights that states another training, so that its digest is another."""
    file = tmp_path_factory.mktemp("checkpoints") / "longer.pt"
    write_checkpoint(replace(checkpoint("iog_refine"), steps=4), file)
    return file


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    root = tmp_path_factory.mktemp("built")
    folders = build(source, small_entries("iog_refine"), root, weights="float32")
    assert folders == [root / "iog_refine_encoder", root / "iog_refine"]
    return root


@pytest.fixture
def repository(tmp_path: Path, built: Path) -> Path:
    return copytree(built, tmp_path / "repository")


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def problems(root: Path) -> list[tuple[str, str]]:
    return [(fault.model, fault.reason) for fault in verify(scan(root))]


def edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_both_folders_hold_what_triton_and_the_gateway_need(built: Path, source: Path) -> None:
    files = ("1/model.onnx", "card.json", "config.pbtxt", "configs/cuda.pbtxt", "configs/tensorrt.pbtxt", "labels.txt")
    assert sorted(contents(built)) == [f"{name}/{file}" for name in PAIR for file in files]
    assert sorted(scan(built).models) == list(PAIR)
    assert problems(built) == []
    assert verify_source(scan(built), source) == ()


def test_the_cards_belong_together(built: Path, source: Path) -> None:
    head, encoder = (scan(built).models[name].card for name in PAIR)
    assert (encoder.task, head.task) == ("interactive-encoder", "interactive")
    assert head.source_digest == encoder.source_digest == file_digest(source)
    assert head.parity == encoder.parity
    assert {drift.part for drift in head.parity.comparisons} == {"encoder", "head", "composition"}
    assert [spec for spec in head.inputs if spec.name != "clicks"] == list(encoder.outputs)
    assert head.clicks is not None
    assert encoder.clicks == head.clicks.model_copy(update={"encoder": None})
    assert (head.clicks.encoder, head.clicks.prompt) == ("iog_refine_encoder", "iog")
    lengths = (head.clicks.size, head.clicks.margin, head.clicks.sigma, head.clicks.push)
    assert lengths == (SIZE, 30, 10 * SIZE / 512, 10 * SIZE / 512)
    total = sum(parameter.numel() for parameter in untrained("iog_refine").parameters())
    assert head.network.parameters + encoder.network.parameters == total
    assert head.network.depths == "resnet26"
    assert head.threshold == 0.5


@pytest.mark.parametrize(
    ("name", "lengths"), [("iog", (30, 10, 10)), ("iog_refine", (30, 10, 10)), ("dextr", (50, 10, 0))]
)
def test_lengths_are_the_papers_at_full_size(name: str, lengths: tuple[float, ...]) -> None:
    entry = CATALOG[name]
    assert isinstance(entry, InteractiveSpec)
    clicks = entry.clicks(512)
    assert (clicks.margin, clicks.sigma, clicks.push) == lengths


def test_a_checkpoint_without_a_threshold_gets_the_catalogues() -> None:
    silent = checkpoint("dextr", threshold=None)
    assert CATALOG["dextr"].threshold_of(silent.threshold) == 0.8
    assert CATALOG["dextr"].threshold_of(0.6) == 0.6
    assert CATALOG["bd-fcn"].threshold_of(None) is None


def test_behind_a_closed_gate_both_former_models_stay(
    repository: Path, longer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = exported("iog_refine_encoder", "onnx", seed=1)
    monkeypatch.setattr(
        export.build,
        "_export",
        lambda graph, _: {
            "onnx": stranger if name_of(graph) == "iog_refine_encoder" else exported("iog_refine", "onnx")
        },
    )
    before = contents(repository)
    with pytest.raises(ParityError, match=r"^onnx (encoder|composition) on "):
        build(longer, small_entries("iog_refine"), repository, weights="float32")
    assert contents(repository) == before


def test_a_further_version_keeps_the_former_of_both(repository: Path, longer: Path) -> None:
    build(longer, small_entries("iog_refine"), repository, version=2, weights="float32")
    models = scan(repository).models
    assert [list(models[name].versions) for name in PAIR] == [[1, 2], [1, 2]]
    assert {models[name].card.source_digest for name in PAIR} == {file_digest(longer)}
    assert problems(repository) == []


def test_neither_is_written_where_one_cannot_be(repository: Path, longer: Path) -> None:
    edited(repository / "iog_refine" / "card.json", threshold=0.7)
    before = contents(repository)
    with pytest.raises(BuildError, match="version 1 has another tensor contract"):
        build(longer, small_entries("iog_refine"), repository, version=2, weights="float32")
    assert contents(repository) == before


def test_folders_change_together_or_not_at_all(tmp_path: Path) -> None:
    targets = [tmp_path / "encoder", tmp_path / "head"]
    for content in ("first", "second"):
        with replacing(targets) as folders:
            for folder in folders:
                (folder / content).write_text(content)
        assert sorted(contents(tmp_path)) == [f"encoder/{content}", f"head/{content}"]
    with pytest.raises(FileNotFoundError), replacing(targets) as folders:
        folders[1].joinpath("absent", "third").write_text("third")
    assert sorted(contents(tmp_path)) == ["encoder/second", "head/second"]
    assert sorted(tmp_path.iterdir()) == targets


def test_verify_names_a_head_without_its_encoder(repository: Path) -> None:
    rmtree(repository / "iog_refine_encoder")
    assert problems(repository) == [("iog_refine", "its encoder, iog_refine_encoder, is not in the repository")]


def test_verify_names_an_encoder_of_another_checkpoint(repository: Path, source: Path, longer: Path) -> None:
    edited(repository / "iog_refine_encoder" / "card.json", source_digest=file_digest(longer))
    expected = "it was built from another checkpoint than its encoder, iog_refine_encoder"
    assert problems(repository) == [("iog_refine", expected)]


def test_verify_names_other_versions_and_runs_those_that_both_have(repository: Path, longer: Path) -> None:
    build(longer, small_entries("iog_refine"), repository, version=2, weights="float32")
    card = repository / "iog_refine_encoder" / "card.json"
    rmtree(card.parent / "1")
    edited(card, digests={"2": read_card(card).digests["2"]})
    expected = "it has other versions than its encoder, iog_refine_encoder"
    assert problems(repository) == [("iog_refine", expected)]


def test_verify_names_features_that_do_not_fit(repository: Path, tmp_path: Path) -> None:
    rmtree(repository / "iog_refine_encoder")
    write_trivial_interactive(repository, ["iog_refine_encoder"], size=SIZE)
    reasons = [reason for model, reason in problems(repository) if model == "iog_refine"]
    assert reasons == [
        "it was built from another checkpoint than its encoder, iog_refine_encoder",
        "it takes other features than its encoder, iog_refine_encoder, gives",
    ]


def test_verify_names_a_head_that_does_not_run_on_its_encoder(repository: Path) -> None:
    (repository / "iog_refine" / "1" / "model.onnx").write_bytes(b"no graph")
    declare_version(repository / "iog_refine", 1)
    [(model, reason)] = problems(repository)
    assert model == "iog_refine"
    assert reason.startswith("version 1 does not run on its encoder: ")


def test_verify_wants_the_composition_in_the_report(repository: Path) -> None:
    card = repository / "iog_refine" / "card.json"
    parity = json.loads(card.read_text())["parity"]
    parity["comparisons"] = [drift for drift in parity["comparisons"] if drift["part"] != "composition"]
    edited(card, parity=parity)
    expected = "the parity report does not cover the composition with its encoder"
    assert problems(repository) == [("iog_refine", expected)]


def test_verify_names_lengths_edited_by_hand(repository: Path) -> None:
    card = repository / "iog_refine" / "card.json"
    clicks = json.loads(card.read_text())["clicks"]
    edited(card, clicks={**clicks, "sigma": 3.0})
    assert problems(repository) == [("iog_refine", "the card differs from the catalogue in clicks")]


def test_verify_compares_both_with_their_checkpoint(repository: Path, source: Path, longer: Path) -> None:
    [fault] = verify_source(scan(repository), longer)
    assert fault.reason == "no model of the repository was built from this checkpoint"
    (repository / "iog_refine_encoder" / "1" / "model.onnx").write_bytes(exported("iog_refine_encoder", "onnx", 1))
    declare_version(repository / "iog_refine_encoder", 1)
    [fault] = verify_source(scan(repository), source)
    assert fault.model == "iog_refine"
    assert fault.reason.startswith("onnx ")
    rmtree(repository / "iog_refine_encoder")
    [fault] = verify_source(scan(repository), source)
    assert (fault.model, fault.reason) == ("iog_refine", "its encoder is not in the repository")


def test_one_command_builds_both(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", str(source), "--repository", str(tmp_path / "repository"), "--weights", "float32"]) == 0
    folders = [tmp_path / "repository" / name for name in ("iog_refine_encoder", "iog_refine")]
    assert capsys.readouterr().out.splitlines() == list(map(str, folders))
    assert all((folder / "card.json").is_file() for folder in folders)
