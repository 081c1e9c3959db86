"""The card's schema: what it refuses, and what is read off it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.registry import Registry
from gateway.repository.card import Card, read_card, write_card
from tests.support.trivial import PALETTE, write_trivial_model
from tests.support.trivial_ct import write_trivial_ct
from tests.support.trivial_radiograph import write_trivial_radiograph


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return read_card(write_trivial_model(tmp_path, "m", tile=64, classes=5) / "card.json")


def changed(card: Card, **changes: Any) -> dict[str, Any]:
    return {**card.model_dump(mode="json"), **changes}


def check(card: Card, **changes: Any) -> None:
    Registry.discover().check(Card.model_validate(changed(card, **changes)))


def test_a_written_card_is_read_back(tmp_path: Path, card: Card) -> None:
    write_card(card, tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == card
    assert (tmp_path / "card.json").read_bytes().endswith(b"}\n")


def test_what_tiling_and_painting_need_is_read_off_it(card: Card) -> None:
    assert card.tile == 64
    assert card.model_file == "model.onnx"
    assert card.palette().tolist() == [list(colour) for colour in PALETTE]
    assert [tensor.name for tensor in card.tensors()] == ["pre", "post", "label_map", "probabilities"]
    assert [tensor.bytes_per_item() for tensor in card.tensors()] == [64 * 64 * size for size in (3, 3, 1, 5)]
    assert card.model_copy(update={"format": "torchscript"}).model_file == "model.pt"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "Big Model"}, "String should match pattern"),
        ({"format": "keras"}, "Input should be 'onnx' or 'torchscript'"),
        ({"threshold": 1}, "less than 1"),
        ({"max_batch_size": 0}, "greater than or equal to 1"),
        ({"source_digest": "sha256:abc"}, "String should match pattern"),
        ({"digests": {"1": "md5:0"}}, "String should match pattern"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"schema_version": 2}, "Input should be 1"),
    ],
)
def test_values_that_mean_nothing_are_refused(card: Card, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Card.model_validate(changed(card, **changes))


def test_classes_run_without_gaps(card: Card) -> None:
    classes = changed(card)["classes"]
    with pytest.raises(ValidationError, match="without gaps"):
        Card.model_validate(changed(card, classes=[classes[0], classes[2]]))


def test_tensor_names_are_unique(card: Card) -> None:
    inputs = changed(card)["inputs"]
    with pytest.raises(ValidationError, match="unique"):
        Card.model_validate(changed(card, inputs=[inputs[0], inputs[0]]))


@pytest.mark.parametrize("shape", [[64, 32, 3], [32, 32, 3]])
def test_inputs_are_square_tiles_of_one_size(card: Card, shape: list[int]) -> None:
    inputs = changed(card)["inputs"]
    with pytest.raises(ValueError, match="square tiles of one size"):
        check(card, inputs=[inputs[0], {**inputs[1], "shape": shape}])


def test_tiles_overlap_by_less_than_a_tile(card: Card) -> None:
    with pytest.raises(ValueError, match="overlap must be smaller than the tile"):
        check(card, overlap=64)


def test_a_task_that_nobody_serves_is_refused(card: Card) -> None:
    with pytest.raises(ValueError, match="no task 'weather'"):
        check(card, task="weather")


@pytest.fixture
def ct(tmp_path: Path) -> Card:
    return read_card(write_trivial_ct(tmp_path, size=32) / "card.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": None}, "models of ct say 'window'"),
        ({"window": {"low": 250, "high": -1250}}, "low end must be below"),
        ({"classes": [{"value": 0, "name": "background", "colour": [0, 0, 0]}]}, "two classes at least"),
        ({"task": "ct-super-resolution"}, "sharpened, int16 of shape \\[64, 64\\]"),
        (
            {"inputs": [{"name": "image", "dtype": "uint8", "shape": [32, 32]}]},
            "input of ct is image, int16",
        ),
        (
            {"inputs": [{"name": "image", "dtype": "int16", "shape": [32, 32, 1]}]},
            "input of ct is image, int16",
        ),
        ({"inputs": [{"name": "image", "dtype": "int16", "shape": [16, 16]}]}, "label_map, uint8 of shape"),
    ],
)
def test_ct_models_take_hounsfield_units_and_double_the_size(ct: Card, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(ct, **changes)


def test_a_window_is_of_ct_alone(card: Card) -> None:
    with pytest.raises(ValueError, match="models of damage do not say 'window'"):
        check(card, window={"low": -1250, "high": 250})


def test_a_vote_is_of_damage_by_pixels_alone_and_on_its_classes(card: Card, ct: Card) -> None:
    vote = {"apart": 4, "least": 0.1, "largest": 512}
    check(card, vote=vote)
    with pytest.raises(ValueError, match="models of ct do not say 'vote'"):
        check(ct, vote={"apart": 1, "least": 0.1, "largest": 512})
    with pytest.raises(ValueError, match="no class 5 that takes no part"):
        check(card, vote={"apart": 5, "least": 0.1, "largest": 512})


def test_untrained_classes_are_classes(ct: Card) -> None:
    training = {**changed(ct)["training"], "untrained": ["pleural effusion"]}
    assert Card.model_validate(changed(ct, training=training)).training.untrained == ("pleural effusion",)
    with pytest.raises(ValidationError, match="no classes bleeding"):
        Card.model_validate(changed(ct, training={**training, "untrained": ["bleeding"]}))


def test_a_model_of_radiographs_that_says_how_far_a_film_is_has_an_output_for_it(tmp_path: Path) -> None:
    card = read_card(write_trivial_radiograph(tmp_path, familiar=True) / "card.json")
    check(card)
    outputs = [spec.model_dump() for spec in card.outputs]
    for fewer in (outputs[:1], outputs[:2], [*outputs[:2], {**outputs[2], "shape": [2]}]):
        with pytest.raises(ValueError, match="distance, float32, one value"):
            check(card, outputs=fewer)
    with pytest.raises(ValueError, match="second output"):
        check(card, familiar=None)
