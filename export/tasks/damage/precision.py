"""What a model of damage needs to compute in integers: tiles to calibrate with, and a gate for its quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.errors import BuildError
from export.evaluation.engine import Bench, Served
from export.graphs.precision import CALIBRATION_TILES
from export.graphs.runners import Pixels, open_file
from export.tasks.damage.data import LabelledPair, Pair, read_pairs
from export.tasks.damage.evaluate import predictor
from export.tasks.damage.metrics import count
from export.tasks.damage.spec import DamageSpec
from gateway.engines.base import Model
from gateway.repository.card import Card
from gateway.repository.record import Quality

TOLERANCE = 0.005
"""The most that a validation figure may fall: half a point."""

_SEED = 0


@dataclass(frozen=True)
class LabelledImages:
    """Pairs to calibrate with and pairs to judge by."""

    training: Sequence[LabelledPair]
    validation: Sequence[LabelledPair]


def labelled_images(data: Path) -> LabelledImages:
    """Return the pairs of an xBD folder.

    Raises:
        DataError: ``data`` cannot be read.
        BuildError: it lacks a split.
    """
    pairs: Sequence[Pair] = read_pairs(data)
    training, validation = ([pair for pair in pairs if pair.split == split] for split in ("train", "val"))
    if not training or not validation:
        raise BuildError(f"{data} lacks the split {'val' if training else 'train'}")
    return LabelledImages(training, validation)


def calibration(spec: DamageSpec, images: LabelledImages) -> list[Mapping[str, Pixels]]:
    """Return tiles of training pairs as the graph takes them, each a batch of one; always the same of the same pairs.

    A pair smaller than a tile is mirrored at its border, as the gateway does.
    """
    rng = np.random.default_rng(_SEED)
    tiles: list[Mapping[str, Pixels]] = []
    for index in range(CALIBRATION_TILES):
        pair = images.training[index * len(images.training) // CALIBRATION_TILES]
        views = {"pre": pair.read_pre(), "post": pair.read_post()}
        height, width = views["pre"].shape[:2]
        top, left = (int(rng.integers(max(1, side - spec.tile + 1))) for side in (height, width))
        shown = {role: _tile(views[role], top, left, spec.tile)[None] for role in spec.inputs}
        # Of real pairs nothing is known of the ground.
        side = (1, spec.tile, spec.tile)
        rasters = {raster.input: np.full(side, raster.missing, raster.dtype) for raster in spec.rasters}
        tiles.append({**shown, **rasters})
    return tiles


def judged(card: Card, files: tuple[bytes, bytes], images: LabelledImages) -> tuple[Quality, ...]:
    """Return what integers cost, by the figures of the validation pairs.

    Args:
        card: of the model in float32.
        files: its ONNX file in float32, and in integers.
        images: whose validation pairs judge.

    Raises:
        BuildError: a figure falls by more than `TOLERANCE`.
    """
    exact, integers = (_figures(card, file, images.validation) for file in files)
    qualities = tuple(
        Quality(
            split="val",
            images=len(images.validation),
            figure=name,
            float32=exact[name],
            integers=integers[name],
            tolerance=TOLERANCE,
        )
        for name in exact
    )
    for quality in qualities:
        if quality.float32 - quality.integers > quality.tolerance:
            raise BuildError(
                f"in integers {card.name} has {quality.figure} {quality.integers:.4f} instead of "
                f"{quality.float32:.4f} on {quality.images} pairs; it may fall by {quality.tolerance}"
            )
    return qualities


def _figures(card: Card, file: bytes, pairs: Sequence[LabelledPair]) -> dict[str, float]:
    inputs, outputs = ([spec.name for spec in specs] for specs in (card.inputs, card.outputs))
    model = Model(card, 1, next(iter(card.digests.values())))
    with Bench([Served(model, open_file(file, "onnx", inputs, outputs))]) as bench:
        counts = count(predictor(bench, model), pairs).counts
    figures = {"localisation_f1": counts.localisation.f1}
    if len(card.classes) > 2:
        figures["damage_f1_harmonic_mean"] = counts.damage_harmonic
    return figures


def _tile(image: Pixels, top: int, left: int, size: int) -> Pixels:
    part = image[top : top + size, left : left + size]
    missing = [(0, size - side) for side in part.shape[:2]]
    return np.ascontiguousarray(np.pad(part, (*missing, (0, 0)), mode="symmetric"))
