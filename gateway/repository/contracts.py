"""What a card's tensors have to be for its task."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.repository.card import Card, ClickSpec, TensorSpec


def check_contract(card: Card) -> None:
    """Return nothing where a card's tensors, classes and what its task adds agree.

    Raises:
        ValueError: they do not.
    """
    if (card.clicks is not None) != card.task.startswith("interactive"):
        raise ValueError("interactive models say how they take clicks, others do not")
    if (card.window is not None) != card.task.startswith("ct"):
        raise ValueError("CT models name their window, others do not")
    if (card.crop is not None) != (card.task == "damage-crop"):
        raise ValueError("models of crops say how they are cut, others do not")
    if (card.resize is not None) != (card.task == "waste"):
        raise ValueError("models of waste say how photographs are resized, others do not")
    if len(card.classes) < 2 and card.task != "ct-super-resolution":
        raise ValueError("a model of labels has two classes at least")
    if card.clicks is not None:
        _check_interactive(card, card.clicks)
    elif card.window is not None:
        _check_slices(card)
    elif card.task == "radiograph":
        _check_films(card)
    elif card.task == "damage-crop":
        _check_crops(card)
    else:
        _check_tiles(card)


def _check_tiles(card: Card) -> None:
    height, width = card.inputs[0].shape[:2]
    if any(t.shape[:2] != (height, width) for t in card.inputs) or height != width:
        raise ValueError("all inputs must be square tiles of one size")
    if not card.overlap < height:
        raise ValueError("overlap must be smaller than the tile")

    if card.task == "waste" and _described(card.inputs) != [("image", "uint8", (height, height, 3))]:
        raise ValueError("a model of waste has one input, image, uint8 RGB tiles")


def _check_films(card: Card) -> None:
    size = card.inputs[0].shape[0]
    if _described(card.inputs) != [("image", "uint8", (size, size, 3))]:
        raise ValueError("a model of radiographs has one input, image, uint8, square and RGB")
    scores, *others = _described(card.outputs)
    if scores != ("scores", "float32", (len(card.classes),)):
        raise ValueError("the first output of a model of radiographs is scores, float32, one per class")
    if [(name, dtype, len(shape), shape[-1]) for name, dtype, shape in others] != [
        ("saliency", "uint8", 3, len(card.classes))
    ]:
        raise ValueError("the second output of a model of radiographs is saliency, uint8, rows × columns × classes")


def _check_crops(card: Card) -> None:
    size = card.inputs[0].shape[0]
    if _described(card.inputs) != [("crop", "uint8", (size, size, 3))]:
        raise ValueError("a model of crops has one input, crop, uint8, square and RGB")
    if _described(card.outputs) != [("scores", "float32", (len(card.classes),))]:
        raise ValueError("a model of crops has one output, scores, float32, one per class")


def _check_slices(card: Card) -> None:
    size = card.inputs[0].shape[0]
    if _described(card.inputs) != [("image", "int16", (size, size))]:
        raise ValueError("a CT model has one input, image, int16, square and without a channel axis")
    finer = (2 * size, 2 * size)
    expected = [("label_map", "uint8", finer), ("probabilities", "uint8", (*finer, len(card.classes)))]
    if card.task == "ct-super-resolution":
        expected = [("sharpened", "int16", finer)]
    if _described(card.outputs) != expected:
        names = " and ".join(f"{name}, {dtype} of shape {list(shape)}" for name, dtype, shape in expected)
        raise ValueError(f"the outputs of {card.task} are {names}")


def _check_interactive(card: Card, clicks: ClickSpec) -> None:
    maps = 2 if clicks.prompt == "iog" else 1
    inputs = {name: (dtype, shape) for name, dtype, shape in _described(card.inputs)}
    expected = {"clicks": ("uint8", (clicks.size, clicks.size, maps))}
    if clicks.encoder is None:
        expected["crop"] = ("uint8", (clicks.size, clicks.size, 3))
    for name, (dtype, shape) in expected.items():
        if inputs.get(name) != (dtype, shape):
            raise ValueError(f"the input {name} must be {dtype} of shape {list(shape)}")
    if card.task == "interactive-encoder":
        if clicks.encoder is not None:
            raise ValueError("an encoder has no encoder")
    elif _described(card.outputs) != [("probability", "uint8", (clicks.size, clicks.size))]:
        raise ValueError("an interactive model has one output, probability, uint8, of the crop's size")


def _described(tensors: tuple[TensorSpec, ...]) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return name, dtype and shape of each; names as they are before a file format adds an index."""
    return [(t.name.split("__")[0], t.dtype, t.shape) for t in tensors]
