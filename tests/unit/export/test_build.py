"""From checkpoint to repository and back: what is written, when nothing is, and what `verify` finds."""

from __future__ import annotations

import ctypes
import json
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

import export.build
from export.build import build, replacing
from export.checkpoints.files import write_checkpoint
from export.errors import BuildError, CheckpointError, ParityError
from export.evaluation.figures import Measurement
from export.graphs.contract import graph_of
from export.registry import CATALOG
from export.task import ModelSpec
from export.verify import verify, verify_source
from gateway.repository.record import Figures
from gateway.repository.store import Repository, file_digest, scan
from tests.support.checkpoints import checkpoint, small_entry, untrained, write
from tests.support.exports import onnx_once

FIGURES = Figures(
    split="val", images=2, metrics={"localisation_f1": 0.5}, baseline_name="none", baseline={"localisation_f1": 0}
)


@pytest.fixture(scope="module")
def entries() -> dict[str, ModelSpec]:
    return {name: small_entry(name) for name in ("bd-fcn", "bd-siamunet")}


@pytest.fixture(autouse=True)
def _small_catalogue(monkeypatch: pytest.MonkeyPatch, entries: dict[str, ModelSpec]) -> None:
    for name, entry in entries.items():
        monkeypatch.setitem(CATALOG, name, entry)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        "bd-fcn": write(folder / "fcn.pt", "fcn"),
        "bd-siamunet": write(folder / "siamunet.pt", "siamunet"),
        "other fcn": write(folder / "other.pt", "fcn", seed=1),
        "argmax fcn": write(folder / "argmax.pt", "fcn", threshold=None),
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, sources: dict[str, Path], entries: dict[str, ModelSpec]) -> Path:
    """A repository with both models, one in each format. Copy it before changing it."""
    root = tmp_path_factory.mktemp("built")
    measurement = Measurement(source_digest=file_digest(sources["bd-siamunet"]), figures=(FIGURES,))
    build(sources["bd-siamunet"], [entries["bd-siamunet"]], root, measurement=measurement)
    build(sources["bd-fcn"], [entries["bd-fcn"]], root, file_format="torchscript")
    return root


@pytest.fixture
def repository(tmp_path: Path, built: Path) -> Path:
    return copytree(built, tmp_path / "repository")


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def problems(repository: Repository) -> list[tuple[str, str]]:
    return [(fault.model, fault.reason) for fault in verify(repository)]


def test_a_repository_holds_what_triton_and_the_gateway_need(built: Path) -> None:
    assert sorted(contents(built)) == [
        "bd-fcn/1/model.pt",
        "bd-fcn/card.json",
        "bd-fcn/config.pbtxt",
        "bd-fcn/configs/cuda.pbtxt",
        "bd-fcn/labels.txt",
        "bd-siamunet/1/model.onnx",
        "bd-siamunet/card.json",
        "bd-siamunet/config.pbtxt",
        "bd-siamunet/configs/cuda.pbtxt",
        "bd-siamunet/configs/tensorrt.pbtxt",
        "bd-siamunet/labels.txt",
    ]
    assert sorted(scan(built).models) == ["bd-fcn", "bd-siamunet"]
    assert (built / "bd-siamunet" / "labels.txt").read_text() == (
        "background\nno-damage\nminor-damage\nmajor-damage\ndestroyed\n"
    )


def test_cards_carry_checkpoint_catalogue_figures_and_parity(
    built: Path, sources: dict[str, Path], entries: dict[str, ModelSpec]
) -> None:
    card = scan(built).models["bd-siamunet"].card
    entry, source = entries["bd-siamunet"], checkpoint("siamunet")
    assert entry.differences(card) == []
    assert card.licence == entry.licence
    assert card.source_digest == file_digest(sources["bd-siamunet"])
    assert card.threshold == source.threshold
    assert card.network.parameters == sum(p.numel() for p in untrained("siamunet").parameters())
    assert (card.network.width, card.network.reduction) == (source.width, 2)
    assert card.training.data == "2 drawn scenes"
    assert card.training.hyperparameters == {"learning_rate": 0.001, "seed": 0}
    assert card.figures == (FIGURES,)
    assert len(card.parity.comparisons) == 18
    assert scan(built).models["bd-fcn"].card.figures == ()


def test_torchscript_outputs_carry_their_index(built: Path) -> None:
    card = scan(built).models["bd-fcn"].card
    assert [tensor.name for tensor in card.outputs] == ["label_map__0", "probabilities__1"]
    config = (built / "bd-fcn" / "config.pbtxt").read_text()
    assert 'backend: "pytorch"' in config
    assert 'name: "probabilities__1"' in config


def test_triton_is_to_load_every_version(built: Path) -> None:
    config = text_format.Parse((built / "bd-fcn" / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    assert config.version_policy.WhichOneof("policy_choice") == "all"


def test_the_same_checkpoint_builds_the_same_bytes(
    tmp_path: Path, built: Path, sources: dict[str, Path], entries: dict[str, ModelSpec]
) -> None:
    [folder] = build(sources["bd-fcn"], [entries["bd-fcn"]], tmp_path, file_format="torchscript")
    assert contents(folder) == contents(built / "bd-fcn")


def test_the_licence_of_a_checkpoint_goes_before_the_catalogues(tmp_path: Path, entries: dict[str, ModelSpec]) -> None:
    write_checkpoint(replace(checkpoint("fcn"), licence="MIT"), tmp_path / "model.pt")
    build(tmp_path / "model.pt", [entries["bd-fcn"]], tmp_path / "repository")
    assert scan(tmp_path / "repository").models["bd-fcn"].card.licence == "MIT"


@pytest.fixture
def _altered_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ONNX exporter write another network than it is given."""
    other = graph_of(untrained("fcn", seed=9), checkpoint("fcn"), small_entry("bd-fcn"))
    monkeypatch.setattr(export.build, "to_onnx", lambda _: onnx_once(other))


@pytest.mark.usefixtures("_altered_export")
@pytest.mark.parametrize("file_format", ["onnx", "torchscript"])
def test_behind_a_closed_gate_nothing_is_written(
    tmp_path: Path, sources: dict[str, Path], entries: dict[str, ModelSpec], file_format: Any
) -> None:
    with pytest.raises(ParityError, match=r"^onnx on "):
        build(sources["bd-fcn"], [entries["bd-fcn"]], tmp_path / "repository", file_format=file_format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_altered_export")
def test_behind_a_closed_gate_the_former_model_stays(
    repository: Path, sources: dict[str, Path], entries: dict[str, ModelSpec]
) -> None:
    before = contents(repository)
    with pytest.raises(ParityError):
        build(sources["bd-fcn"], [entries["bd-fcn"]], repository)
    assert contents(repository) == before
    assert sorted(path.name for path in repository.iterdir()) == ["bd-fcn", "bd-siamunet"]


def test_a_version_is_replaced_as_a_whole(
    repository: Path, sources: dict[str, Path], entries: dict[str, ModelSpec]
) -> None:
    build(sources["other fcn"], [entries["bd-fcn"]], repository, file_format="onnx")
    model = scan(repository).models["bd-fcn"]
    assert model.card.source_digest == file_digest(sources["other fcn"])
    assert [path.name for path in (repository / "bd-fcn" / "1").iterdir()] == ["model.onnx"]
    assert sorted(path.name for path in repository.iterdir()) == ["bd-fcn", "bd-siamunet"]


def test_a_further_version_keeps_the_former(
    repository: Path, sources: dict[str, Path], entries: dict[str, ModelSpec]
) -> None:
    former = contents(repository)["bd-fcn/1/model.pt"]
    build(sources["other fcn"], [entries["bd-fcn"]], repository, file_format="torchscript", version=2)
    model = scan(repository).models["bd-fcn"]
    assert list(model.versions) == [1, 2]
    assert model.newest == 2
    assert model.versions[1].read_bytes() == former
    assert model.versions[2].read_bytes() != former
    assert problems(scan(repository)) == []


@pytest.mark.parametrize(("source", "file_format"), [("other fcn", "onnx"), ("argmax fcn", "torchscript")])
def test_versions_under_one_card_share_one_contract(
    repository: Path, sources: dict[str, Path], entries: dict[str, ModelSpec], source: str, file_format: Any
) -> None:
    before = contents(repository)
    with pytest.raises(BuildError, match="version 1 has another tensor contract"):
        build(sources[source], [entries["bd-fcn"]], repository, file_format=file_format, version=2)
    assert contents(repository) == before


def test_unfit_checkpoints_and_figures_are_refused(
    tmp_path: Path, sources: dict[str, Path], entries: dict[str, ModelSpec]
) -> None:
    with pytest.raises(BuildError, match="bd-fcn is a fcn, the checkpoint a siamunet"):
        build(sources["bd-siamunet"], [entries["bd-fcn"]], tmp_path)
    other = Measurement(source_digest=file_digest(sources["other fcn"]), figures=(FIGURES,))
    with pytest.raises(BuildError, match="measured on another checkpoint"):
        build(sources["bd-fcn"], [entries["bd-fcn"]], tmp_path, measurement=other)
    (tmp_path / "text.pt").write_text("no checkpoint")
    with pytest.raises(CheckpointError):
        build(tmp_path / "text.pt", [entries["bd-fcn"]], tmp_path)


def test_a_sound_repository_verifies(built: Path, sources: dict[str, Path]) -> None:
    assert problems(scan(built)) == []
    assert verify_source(scan(built), sources["bd-siamunet"]) == ()
    assert verify_source(scan(built), sources["bd-fcn"]) == ()


def edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_verify_names_a_card_edited_by_hand(repository: Path) -> None:
    edited(repository / "bd-fcn" / "card.json", title="Mine", limitations="None at all")
    assert problems(scan(repository)) == [("bd-fcn", "the card differs from the catalogue in title, limitations")]


@pytest.mark.parametrize("name", ["config.pbtxt", "configs/cuda.pbtxt"])
def test_verify_names_a_configuration_edited_by_hand(repository: Path, name: str) -> None:
    config = repository / "bd-fcn" / name
    config.write_text(config.read_text().replace("count: ", "count: 4"))
    assert problems(scan(repository)) == [("bd-fcn", f"{name} is not the one that is generated from the card")]


def test_verify_names_a_profile_that_is_missing(repository: Path) -> None:
    (repository / "bd-siamunet" / "configs" / "tensorrt.pbtxt").unlink()
    expected = "configs/tensorrt.pbtxt is not the one that is generated from the card"
    assert problems(scan(repository)) == [("bd-siamunet", expected)]


def test_verify_names_a_threshold_the_graph_does_not_have(repository: Path) -> None:
    edited(repository / "bd-fcn" / "card.json", threshold=0.6)
    expected = "version 1 gives label maps that its probabilities and the card's threshold do not"
    assert problems(scan(repository)) == [("bd-fcn", expected)]


def test_verify_names_a_parity_report_beyond_its_tolerance(repository: Path) -> None:
    card = repository / "bd-fcn" / "card.json"
    parity = json.loads(card.read_text())["parity"]
    parity["comparisons"] = parity["comparisons"][:1]
    parity["comparisons"][0].update(format="onnx", flipped_share=0.5, tiles="noise", batch=1)
    edited(card, parity=parity)
    assert problems(scan(repository)) == [
        ("bd-fcn", "the parity report does not cover torchscript"),
        ("bd-fcn", "the parity report is beyond its tolerance: onnx, noise, batch 1"),
    ]


def test_verify_names_a_file_that_does_not_run(repository: Path) -> None:
    file = repository / "bd-siamunet" / "1" / "model.onnx"
    file.write_bytes(b"no graph")
    edited(repository / "bd-siamunet" / "card.json", digests={"1": file_digest(file)})
    [(model, reason)] = problems(scan(repository))
    assert model == "bd-siamunet"
    assert reason.startswith("version 1 does not run: ")


def test_verify_names_what_the_store_finds(repository: Path) -> None:
    (repository / "bd-siamunet" / "labels.txt").write_text("nothing\n")
    assert problems(scan(repository)) == [("bd-siamunet", "labels.txt differs from the classes of the card")]


def test_verify_compares_a_model_with_its_checkpoint(repository: Path, sources: dict[str, Path]) -> None:
    [fault] = verify_source(scan(repository), sources["other fcn"])
    assert (fault.model, fault.reason) == ("other.pt", "no model of the repository was built from this checkpoint")
    edited(repository / "bd-fcn" / "card.json", source_digest=file_digest(sources["other fcn"]))
    [fault] = verify_source(scan(repository), sources["other fcn"])
    assert fault.model == "bd-fcn"
    assert fault.reason.startswith("torchscript on ")


@pytest.fixture(params=["atomic", "in two steps"])
def _either_exchange(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace folders with and without the system call that only Linux has."""
    if request.param == "in two steps":
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())


@pytest.mark.usefixtures("_either_exchange")
def test_a_folder_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for content in ("first", "second"):
        with replacing([target]) as [folder]:
            (folder / content).write_text(content)
        assert contents(tmp_path) == {f"model/{content}": content.encode()}
        assert list(tmp_path.iterdir()) == [target]


def test_a_folder_stays_where_its_replacement_fails(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "file").write_text("first")

    def write_half() -> None:
        with replacing([target]) as [folder]:
            (folder / "file").write_text("half of the second")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert contents(tmp_path) == {"model/file": b"first"}
    assert list(tmp_path.iterdir()) == [target]
