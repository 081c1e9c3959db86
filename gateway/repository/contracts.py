"""What contracts between cards and tasks are made of: each checks one thing of a card and raises ValueError.

What a task asks of its models stands in the `spec` of its room.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gateway.repository.card import Card, TensorSpec

Described = tuple[str, str, tuple[int, ...]]
"""Name, dtype and shape of a tensor; its name as it is before a file format adds an index."""

_KEYS = ("clicks", "window", "crop", "resize", "vote")


def check_keys(card: Card, *needed: str, optional: Collection[str] = ()) -> None:
    """Check that of the keys that only some tasks have a card has those `needed`, and perhaps those `optional`."""
    for key in (each for each in _KEYS if each not in optional):
        if (getattr(card, key) is not None) != (key in needed):
            raise ValueError(f"models of {card.task} {'say' if key in needed else 'do not say'} '{key}'")


def check_labels(card: Card) -> None:
    """Check that a card has classes to choose from."""
    if len(card.classes) < 2:
        raise ValueError("a model of labels has two classes at least")


def check_tiles(card: Card) -> None:
    """Check that all inputs are square tiles of one size, which overlap by less than that."""
    height, width = card.inputs[0].shape[:2]
    if any(t.shape[:2] != (height, width) for t in card.inputs) or height != width:
        raise ValueError("all inputs must be square tiles of one size")
    if not card.overlap < height:
        raise ValueError("overlap must be smaller than the tile")


def check_rasters(card: Card, names: Collection[str]) -> None:
    """Check that what a card says of inputs beside images is so, and that `names` alone are such inputs."""
    shapes = {tensor.name: (tensor.dtype, tensor.shape) for tensor in card.inputs}
    for raster in card.rasters:
        if raster.input not in names:
            raise ValueError(f"{raster.input} is no raster of {card.task}; those are {' and '.join(names)}")
        if shapes[raster.input] != (raster.dtype, (card.tile, card.tile)):
            raise ValueError(f"the input {raster.input} is {raster.dtype} of shape {[card.tile, card.tile]}")
    if unsaid := set(names) & shapes.keys() - {raster.input for raster in card.rasters}:
        raise ValueError(f"'rasters' does not say what {' and '.join(sorted(unsaid))} holds")


def check_image_tiles(card: Card) -> None:
    """Check that there are two classes at least, and one input: square RGB tiles of an image."""
    check_labels(card)
    check_tiles(card)
    check_inputs(card, ("image", "uint8", (card.tile, card.tile, 3)))


def check_inputs(card: Card, *expected: Described) -> None:
    """Check the inputs, in order."""
    _check("input", card, card.inputs, expected)


def check_outputs(card: Card, *expected: Described) -> None:
    """Check the outputs, in order."""
    _check("output", card, card.outputs, expected)


def described(tensors: Sequence[TensorSpec]) -> list[Described]:
    """Return what the tensors of a card are."""
    return [(t.name.split("__")[0], t.dtype, t.shape) for t in tensors]


def _check(kind: str, card: Card, tensors: Sequence[TensorSpec], expected: Sequence[Described]) -> None:
    if described(tensors) != list(expected):
        names = " and ".join(f"{name}, {dtype} of shape {list(shape)}" for name, dtype, shape in expected)
        plural, verb = ("", "is") if len(expected) == 1 else ("s", "are")
        raise ValueError(f"the {kind}{plural} of {card.task} {verb} {names}")
