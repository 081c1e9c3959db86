"""Graphs in 8-bit integers: convolutions alone, the same bytes every time, and a gate that quality has to pass."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from export.build import build
from export.cli import main
from export.errors import BuildError
from export.graphs.contract import graph_of, to_onnx
from export.graphs.precision import CALIBRATION_TILES, in_integers
from export.graphs.runners import open_file
from export.registry import CATALOG
from export.tasks.damage import precision
from export.tasks.damage.precision import LabelledImages, calibration, judged, labelled_images
from export.tasks.damage.spec import DamageSpec
from gateway.repository.card import read_card
from tests.support.checkpoints import checkpoint, small_entries, small_entry, untrained, write
from tests.support.places import ROOT

pytestmark = pytest.mark.training


class Street:
    """A pair of 96 x 80 pixels in which bright squares are buildings; the second stands no more."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def read_labels(self) -> NDArray[np.uint8]:
        labels = np.zeros((80, 96), np.uint8)
        labels[10:30, 10:30], labels[40:70, 50:80] = 1, 4
        return labels

    def read_pre(self) -> NDArray[np.uint8]:
        noise = np.random.default_rng(self._seed).integers(0, 60, (80, 96, 3), np.uint8)
        return np.asarray(noise + (self.read_labels() > 0)[..., None] * np.uint8(150), np.uint8)

    def read_post(self) -> NDArray[np.uint8]:
        noise = np.random.default_rng(self._seed + 1).integers(0, 60, (80, 96, 3), np.uint8)
        return np.asarray(noise + (self.read_labels() == 1)[..., None] * np.uint8(150), np.uint8)


STREETS = LabelledImages([Street(0), Street(2)], [Street(4)])


def damage_entry(name: str) -> DamageSpec:
    entry = small_entry(name)
    assert isinstance(entry, DamageSpec)
    return entry


def exact(architecture: str, name: str) -> bytes:
    return to_onnx(graph_of(untrained(architecture), checkpoint(architecture), small_entry(name)))


@pytest.fixture(scope="module")
def siamese() -> bytes:
    return exact("siamunet", "bd-siamunet")


@pytest.fixture(scope="module")
def integers(siamese: bytes) -> bytes:
    return in_integers(siamese, calibration(damage_entry("bd-siamunet"), STREETS))


def test_weights_of_convolutions_are_integers_per_channel(integers: bytes) -> None:
    proto = onnx.load_model_from_string(integers)
    kinds = Counter(
        onnx.TensorProto.DataType.Name(each.data_type) for each in proto.graph.initializer if len(each.dims) == 4
    )
    assert kinds["INT8"] > kinds["FLOAT"]
    scales = [each for each in proto.graph.initializer if each.name.endswith("weight_scale") or "_scale" in each.name]
    assert any(len(each.dims) == 1 and each.dims[0] > 1 for each in scales)
    assert proto.producer_version == ""


def test_two_products_fit_sixteen_bits(integers: bytes) -> None:
    """Processors without VNNI add pairs of products of activations and weights so, and would saturate."""
    proto = onnx.load_model_from_string(integers)
    weights = [
        numpy_helper.to_array(each)
        for each in proto.graph.initializer
        if len(each.dims) == 4 and each.data_type == onnx.TensorProto.INT8
    ]
    assert max(int(np.abs(each.astype(np.int32)).max()) for each in weights) * 255 * 2 < 2**15


def test_the_same_tiles_give_the_same_bytes(siamese: bytes, integers: bytes) -> None:
    assert in_integers(siamese, calibration(damage_entry("bd-siamunet"), STREETS)) == integers


def test_what_integers_answer_is_near_what_floats_do(siamese: bytes, integers: bytes) -> None:
    entry = damage_entry("bd-siamunet")
    tiles = calibration(entry, STREETS)
    feeds = [np.concatenate([tile[role] for tile in tiles[:4]]) for role in entry.inputs]
    outputs = ("label_map", "probabilities")
    one, other = (open_file(file, "onnx", entry.inputs, outputs)(feeds) for file in (siamese, integers))
    assert one[1].shape == other[1].shape
    assert np.abs(one[1].astype(int) - other[1]).mean() < 16


def test_calibration_sees_every_training_pair_and_no_other() -> None:
    entry = damage_entry("bd-siamunet")
    tiles = calibration(entry, STREETS)
    assert len(tiles) == CALIBRATION_TILES
    assert all(tile[role].shape == (1, 64, 64, 3) for tile in tiles for role in ("pre", "post"))
    again = calibration(entry, LabelledImages(STREETS.training, [Street(99)]))
    assert all(np.array_equal(one["pre"], other["pre"]) for one, other in zip(tiles, again, strict=True))


def test_a_pair_smaller_than_a_tile_is_mirrored() -> None:
    entry = CATALOG["bd-siamunet"]
    assert isinstance(entry, DamageSpec)
    [first, *_] = calibration(entry, STREETS)
    assert first["pre"].shape == (1, entry.tile, entry.tile, 3)
    assert np.array_equal(first["pre"][0, 79], first["pre"][0, 80])


def test_quality_that_falls_closes_the_gate(siamese: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter(
        [{"localisation_f1": 0.7}, {"localisation_f1": 0.696}, {"localisation_f1": 0.7}, {"localisation_f1": 0.69}]
    )
    monkeypatch.setattr(precision, "_figures", lambda *_: next(figures))
    card = read_card(ROOT / "model_repository" / "bd-siamunet" / "card.json")
    [passed] = judged(card, (siamese, siamese), STREETS)
    assert (passed.float32, passed.integers, passed.images) == (0.7, 0.696, 1)
    with pytest.raises(BuildError, match=r"localisation_f1 0\.6900 instead of 0\.7000 on 1 pairs"):
        judged(card, (siamese, siamese), STREETS)


def folder_of(root: Path) -> Path:
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    rows = ["tile,split,event,image_format"]
    for index, split in enumerate(("train", "train", "val")):
        street = Street(2 * index)
        cv2.imwrite(str(root / "images" / f"{index}_pre_disaster.png"), street.read_pre())
        cv2.imwrite(str(root / "images" / f"{index}_post_disaster.png"), street.read_post())
        cv2.imwrite(str(root / "masks" / f"{index}_post_disaster.png"), street.read_labels())
        rows.append(f"{index},{split},storm,png")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.mark.parametrize(("architecture", "name"), [("siamunet", "bd-siamunet"), ("siamese_lite0", "bd-lite0")])
def test_a_model_in_integers_states_both_gates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, name: str
) -> None:
    # Untrained networks decide by a hair: what is tested is what is stated, not what integers cost.
    monkeypatch.setattr(precision, "TOLERANCE", 1.0)
    monkeypatch.setattr("export.parity.gate.TOLERANCE_FLIPPED_INTEGERS", 1.0)
    monkeypatch.setattr("export.parity.gate.TOLERANCE_PROBABILITY_INTEGERS", 1.0)
    data = folder_of(tmp_path / "data")
    [folder] = build(
        write(tmp_path / "model.pt", architecture), small_entries(architecture), tmp_path, weights="int8", data=data
    )
    card = read_card(folder / "card.json")
    assert card.name == name
    assert card.network.weights == "int8"
    assert {quality.figure for quality in card.quality} == {"localisation_f1", "damage_f1_harmonic_mean"}
    assert {drift.format for drift in card.parity.comparisons} == {"onnx"}
    assert (folder / "1" / "model.onnx").stat().st_size > 0


def test_integers_are_refused_where_they_cannot_be_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "clicks.pt", "iog")
    monkeypatch.setitem(CATALOG, "iog", small_entry("iog"))
    with pytest.raises(BuildError, match="models of damage alone"):
        build(file, small_entries("iog"), tmp_path / "models", weights="int8", data=tmp_path)
    pair = write(tmp_path / "pair.pt", "siamunet")
    monkeypatch.setitem(CATALOG, "bd-siamunet", small_entry("bd-siamunet"))
    assert main(["build", str(pair), "--repository", str(tmp_path / "models"), "--precision", "int8"]) == 1
    assert "name the folder" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_a_folder_without_a_split_is_refused(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "data")
    manifest = root / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",val,", ",train,"))
    with pytest.raises(BuildError, match="lacks the split val"):
        labelled_images(root)
