"""Is what lies in a model repository still what was built?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from export.catalog import CATALOG
from export.checkpoints import read_checkpoint
from export.errors import ParityError
from export.graph import serve
from export.parity import Runner, draw_tiles, open_file, prove
from export.triton import config_files
from gateway.repository.card import Card
from gateway.repository.store import Fault, Repository, StoredModel, file_digest
from gateway.vision.labels import decide


def verify(repository: Repository) -> tuple[Fault, ...]:
    """Return what is wrong with a scanned repository: its faults, and per model those of card, files and answers.

    Every model of the catalogue is compared with its entry, its parity report is judged anew, and every version is
    run on drawn tiles, whose label map has to follow from the probabilities by the card's rule.
    """
    found = [Fault(name, reason) for name, model in repository.models.items() for reason in _problems(model)]
    return (*repository.faults, *found)


def verify_source(repository: Repository, checkpoint_file: Path) -> tuple[Fault, ...]:
    """Return what is wrong with the models said to be built from a checkpoint, by running both.

    Raises:
        CheckpointError: the file is no checkpoint.
    """
    checkpoint = read_checkpoint(checkpoint_file)
    digest = file_digest(checkpoint_file)
    models = [model for model in repository.models.values() if model.card.source_digest == digest]
    if not models:
        return (Fault(checkpoint_file.name, "no model of the repository was built from this checkpoint"),)
    faults = []
    for model in models:
        card = model.card
        served = serve(checkpoint.network(), [tensor.name for tensor in card.inputs], checkpoint.framing)
        file = model.versions[model.newest].read_bytes()
        try:
            prove(served, {card.format: file}, card.tile, card.max_batch_size)
        except ParityError as error:
            faults.append(Fault(model.name, str(error)))
    return tuple(faults)


def _problems(model: StoredModel) -> Iterator[str]:
    card = model.card
    if (entry := CATALOG.get(card.name)) and (keys := entry.differences(card)):
        yield f"the card differs from the catalogue in {', '.join(keys)}"
    for name, text in config_files(card).items():
        file = model.directory / name
        if not file.is_file() or file.read_bytes() != text.encode():
            yield f"{name} is not the one that is generated from the card"
    yield from _parity_problems(card)
    for number, path in model.versions.items():
        try:
            run = open_file(path.read_bytes(), card.format, [tensor.name for tensor in card.inputs])
            yield from (f"version {number} {problem}" for problem in _answer_problems(run, card))
        # A runtime fed with a foreign file may raise anything.
        except Exception as error:
            yield f"version {number} does not run: {type(error).__name__}"


def _parity_problems(card: Card) -> Iterator[str]:
    parity = card.parity
    if not any(drift.format == card.format for drift in parity.comparisons):
        yield f"the parity report does not cover {card.format}"
    for drift in parity.comparisons:
        if (
            drift.probability_difference > parity.tolerance_probability
            or drift.flipped_share > parity.tolerance_flipped
        ):
            yield f"the parity report is beyond its tolerance: {drift.format}, {drift.tiles}, batch {drift.batch}"


def _answer_problems(run: Runner, card: Card) -> Iterator[str]:
    batch = min(3, card.max_batch_size)
    label_map, probabilities = run(draw_tiles("noise", len(card.inputs), batch, card.tile))
    for spec, answer in zip(card.outputs, (label_map, probabilities), strict=True):
        if (answer.shape, answer.dtype) != ((batch, *spec.shape), np.dtype(spec.dtype)):
            yield f"gives {spec.name} as {answer.dtype} {answer.shape}"
            return
    if not np.array_equal(label_map, decide(probabilities, card.threshold)):
        yield "gives label maps that its probabilities and the card's threshold do not"
