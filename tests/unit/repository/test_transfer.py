"""Models moved between repositories and object stores: whole, by their digests, and nothing that is there already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from gateway.cli import main
from gateway.repository import transfer
from gateway.repository.card import read_card
from gateway.repository.store import scan
from gateway.repository.transfer import BucketPlace, FolderPlace, Place, TransferFailed, Wanted
from tests.support.trivial import write_trivial_model


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    for name in ("town", "village"):
        write_trivial_model(root, name, tile=64, classes=5)
    edit_card(root / "village", licence="CC0")
    return root


@pytest.fixture(params=["folder", "bucket"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return FolderPlace(tmp_path / "elsewhere") if request.param == "folder" else BucketPlace(MemoryStore())


def edit_card(model: Path, **changes: object) -> None:
    card = model / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_repository_comes_back_as_it_went(repository: Path, elsewhere: Place, tmp_path: Path) -> None:
    gone = {card.name: sent for card, sent in transfer.push(repository, elsewhere)}
    assert gone == {name: sum(p.stat().st_size for p in (repository / name).rglob("*") if p.is_file()) for name in gone}
    come = {card.name: sent for card, sent in transfer.pull(elsewhere, tmp_path / "new")}
    assert come == gone
    assert files(tmp_path / "new") == files(repository)
    assert scan(tmp_path / "new").faults == ()


def test_what_is_there_does_not_travel_again(repository: Path, elsewhere: Place, tmp_path: Path) -> None:
    list(transfer.push(repository, elsewhere))
    list(transfer.pull(elsewhere, tmp_path / "new"))
    assert [sent for _, sent in transfer.pull(elsewhere, tmp_path / "new")] == [0, 0]
    edit_card(repository / "town", limitations="drawn towns alone")
    model = (repository / "town" / "1" / "model.onnx").stat().st_size
    small = sum(path.stat().st_size for path in (repository / "town").rglob("*") if path.is_file()) - model
    (_, sent), _ = transfer.push(repository, elsewhere)
    assert sent == small
    (_, sent), (_, untouched) = transfer.pull(elsewhere, tmp_path / "new")
    assert (sent, untouched) == (small, 0)
    assert read_card(tmp_path / "new" / "town" / "card.json").limitations == "drawn towns alone"


def test_models_are_chosen_by_name_digest_and_licence(repository: Path, elsewhere: Place, tmp_path: Path) -> None:
    list(transfer.push(repository, elsewhere))
    digest = read_card(repository / "town" / "card.json").digests["1"]
    assert [card.name for card, _ in transfer.pull(elsewhere, tmp_path / "a", [Wanted("town", digest)])] == ["town"]
    assert [card.name for card, _ in transfer.pull(elsewhere, tmp_path / "b", licence="cc0")] == ["village"]
    with pytest.raises(TransferFailed, match=f"town is {digest}, not sha256:0"):
        list(transfer.pull(elsewhere, tmp_path / "c", [Wanted("town", "sha256:" + "0" * 64)]))
    with pytest.raises(TransferFailed, match=r"hamlet/card.json is not there"):
        list(transfer.pull(elsewhere, tmp_path / "c", [Wanted("hamlet")]))
    assert list((tmp_path / "c").iterdir()) == []


def test_what_was_damaged_on_the_way_changes_nothing(repository: Path, elsewhere: Place, tmp_path: Path) -> None:
    list(transfer.push(repository, elsewhere))
    list(transfer.pull(elsewhere, tmp_path / "new"))
    before = files(tmp_path / "new")
    model = repository / "town" / "1" / "model.onnx"
    other = tmp_path / "other"
    other.write_bytes(model.read_bytes() + b"!")
    elsewhere.write("town/1/model.onnx", other)
    model.unlink()
    with pytest.raises(TransferFailed, match=r"town/1/model.onnx has another digest"):
        list(transfer.verify(elsewhere))
    (tmp_path / "new" / "town" / "1" / "model.onnx").unlink()
    with pytest.raises(TransferFailed, match=r"town: the digest of 1/model.onnx is not the one in the card"):
        list(transfer.pull(elsewhere, tmp_path / "new"))
    assert files(tmp_path / "new") == {key: value for key, value in before.items() if key != "town/1/model.onnx"}
    with pytest.raises(TransferFailed, match=r"town: version 1 has no model.onnx"):
        list(transfer.push(repository, elsewhere))


def test_a_version_that_is_gone_goes_here_too(repository: Path, elsewhere: Place, tmp_path: Path) -> None:
    (repository / "town" / "2").mkdir()
    second = repository / "town" / "2" / "model.onnx"
    second.write_bytes((repository / "town" / "1" / "model.onnx").read_bytes())
    digest = read_card(repository / "town" / "card.json").digests["1"]
    edit_card(repository / "town", digests={"1": digest, "2": digest})
    list(transfer.push(repository, elsewhere))
    list(transfer.pull(elsewhere, tmp_path / "new"))
    second.unlink()
    second.parent.rmdir()
    edit_card(repository / "town", digests={"1": digest})
    list(transfer.push(repository, elsewhere))
    list(transfer.pull(elsewhere, tmp_path / "new"))
    assert files(tmp_path / "new") == files(repository)


def test_keys_that_lead_out_of_the_repository_are_not_followed(repository: Path, tmp_path: Path) -> None:
    class Hostile(FolderPlace):
        def listing(self, model: str | None = None) -> list[str]:
            return [*super().listing(model), "town/../../escaped", "town/1/../../../escaped"]

    (tmp_path / "escaped").write_text("planted")
    list(transfer.pull(Hostile(repository), tmp_path / "deep" / "new"))
    assert files(tmp_path / "deep") == {f"new/{name}": content for name, content in files(repository).items()}


@pytest.mark.parametrize("text", ["", "../town", ".town", "town@md5:0", "town@sha256:12"])
def test_what_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(TransferFailed, match="is neither"):
        Wanted.parse(text)


def test_the_command_tells_licences_and_failures(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "shelf")
    assert main(["models", "push", target, "village", "--models", str(repository)]) == 0
    assert capsys.readouterr().out.split()[0::4] == ["village"]
    assert main(["models", "pull", target, "--models", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out.endswith("CC0\n")
    assert main(["models", "verify", "--models", str(tmp_path / "new")]) == 0
    (tmp_path / "new" / "village" / "1" / "model.onnx").write_bytes(b"")
    assert main(["models", "verify", "--models", str(tmp_path / "new")]) == 1
    assert "has another digest" in capsys.readouterr().err
    assert main(["models", "pull", str(tmp_path / "nowhere"), "--models", str(tmp_path / "new")]) == 1
    assert main(["models", "pull", "ftp://host/models", "--models", str(tmp_path / "new")]) == 1
    assert "ftp://host/models cannot be used" in capsys.readouterr().err
