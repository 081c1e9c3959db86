"""Is what lies in a model repository still what was built?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graphs.runners import Arrays, Runner, open_file
from export.parity.cases import composed
from export.parity.inputs import draw_clicked, draw_slices, draw_tiles
from export.repository.triton import config_files
from export.tasks.catalogue import CATALOG
from export.tasks.specs import FEATURES
from gateway.repository.card import Card
from gateway.repository.store import Fault, Repository, StoredModel
from gateway.vision.labels import decide


def verify(repository: Repository) -> tuple[Fault, ...]:
    """Return what is wrong with a scanned repository: its faults, and per model those of card, files and answers.

    Every model of the catalogue is compared with its entry, its parity report is judged anew, and every version is
    run: a damage model on drawn tiles, whose label map has to follow from the probabilities by the card's rule, a
    CT model on drawn slices, one of radiographs or of crops on drawn pictures, whose scores have to sum to 1, an
    interactive model on drawn crops, a head on what its encoder of the same version gives for these.
    """
    found = [Fault(name, reason) for name, model in repository.models.items() for reason in _problems(model)]
    heads = [model for model in repository.models.values() if _encoder_name(model.card)]
    found += [Fault(head.name, reason) for head in heads for reason in _pair_problems(head, repository)]
    return (*repository.faults, *found)


def _problems(model: StoredModel) -> Iterator[str]:
    card = model.card
    if (entry := CATALOG.get(card.name)) and (keys := entry.differences(card)):
        yield f"the card differs from the catalogue in {', '.join(keys)}"
    for name, text in config_files(card).items():
        file = model.directory / name
        if not file.is_file() or file.read_bytes() != text.encode():
            yield f"{name} is not the one that is generated from the card"
    yield from _parity_problems(card)
    if _encoder_name(card):
        return
    for number in model.versions:
        try:
            yield from (f"version {number} {problem}" for problem in _answer_problems(_open(model, number), card))
        # A runtime fed with a foreign file may raise anything.
        except Exception as error:
            yield f"version {number} does not run: {type(error).__name__}"


def _parity_problems(card: Card) -> Iterator[str]:
    parity = card.parity
    covered = {drift.part for drift in parity.comparisons if drift.format == card.format}
    if not covered:
        yield f"the parity report does not cover {card.format}"
    elif _encoder_name(card) and "composition" not in covered:
        yield "the parity report does not cover the composition with its encoder"
    for drift in parity.comparisons:
        if parity.excess(drift) > 1:
            yield f"the parity report is beyond its tolerance: {drift.format}, {drift.tiles}, batch {drift.batch}"


def _answer_problems(run: Runner, card: Card) -> Iterator[str]:
    batch = min(3, card.max_batch_size)
    answer = run(_drawn(card, batch))
    if problems := list(_form_problems(answer, card, batch)):
        yield problems[0]
    elif card.task in ("damage", "ct", "waste") and not np.array_equal(answer[0], decide(answer[1], card.threshold)):
        yield "gives label maps that its probabilities and the card's threshold do not"
    elif card.task in ("radiograph", "damage-crop") and not np.allclose(answer[0].sum(axis=1), 1, atol=1e-4):
        yield "gives scores that do not sum to 1"


def _drawn(card: Card, batch: int) -> Sequence[NDArray[Any]]:
    """Return a drawn batch for each input of a model that is one graph."""
    if card.clicks is not None:
        return draw_clicked("natural", card.inputs[-1].shape[-1], batch, card.clicks.size)[:2]
    if card.window is not None:
        return [draw_slices("natural", batch, card.tile)]
    return draw_tiles("noise", len(card.inputs), batch, card.tile)


def _form_problems(answer: Arrays, card: Card, batch: int) -> Iterator[str]:
    for spec, given in zip(card.outputs, answer, strict=True):
        if (given.shape, given.dtype) != ((batch, *spec.shape), np.dtype(spec.dtype)):
            yield f"gives {spec.name} as {given.dtype} {given.shape}"


def _pair_problems(head: StoredModel, repository: Repository) -> Iterator[str]:
    """Yield what is wrong between a head and the encoder that its card names."""
    name = _encoder_name(head.card)
    encoder = repository.models.get(name)
    if encoder is None or encoder.card.task != "interactive-encoder":
        yield f"its encoder, {name}, is not in the repository"
        return
    if encoder.card.source_digest != head.card.source_digest:
        yield f"it was built from another checkpoint than its encoder, {name}"
    if list(encoder.versions) != list(head.versions):
        yield f"it has other versions than its encoder, {name}"
    given = [spec.model_copy(update={"name": spec.name.split("__")[0]}) for spec in encoder.card.outputs]
    if given != [spec for spec in head.card.inputs if spec.name in FEATURES]:
        yield f"it takes other features than its encoder, {name}, gives"
        return
    for number in sorted(head.versions.keys() & encoder.versions.keys()):
        try:
            run = composed(_open(encoder, number), _open(head, number))
            size, _, maps = head.card.inputs[-1].shape
            batch = min(3, head.card.max_batch_size)
            answer = run(draw_clicked("natural", maps, batch, size))
            yield from (f"version {number} {problem}" for problem in _form_problems(answer, head.card, batch))
        # A runtime fed with a foreign file may raise anything.
        except Exception as error:
            yield f"version {number} does not run on its encoder: {type(error).__name__}"


def _encoder_name(card: Card) -> str:
    return (card.clicks and card.clicks.encoder) or ""


def _open(model: StoredModel, number: int) -> Runner:
    card = model.card
    inputs, outputs = ([spec.name for spec in specs] for specs in (card.inputs, card.outputs))
    return open_file(model.versions[number].read_bytes(), card.format, inputs, outputs)
