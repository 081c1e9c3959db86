"""Is what lies in a model repository still what was built?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from export.checkpoints.files import read_checkpoint
from export.errors import ParityError
from export.graphs.contract import graph_of
from export.graphs.runners import Arrays, Runner, open_file
from export.parity.cases import Files, cases_of, composed
from export.parity.gate import prove
from export.parity.inputs import draw_clicked
from export.registry import CATALOG, specs_of, task_of_card
from export.repository.triton import config_files
from export.task import ModelSpec
from gateway.repository.card import Card
from gateway.repository.store import Fault, Repository, StoredModel, file_digest


def verify(repository: Repository) -> tuple[Fault, ...]:
    """Return what is wrong with a scanned repository: its faults, and per model those of card, files and answers.

    Every model of the catalogue is compared with its spec, its parity report is judged anew, and every version is
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
    if (spec := CATALOG.get(card.name)) and (keys := spec.differences(card)):
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
    if (task := task_of_card(card.task)) is None:
        yield f"is of the task {card.task}, which nothing here draws inputs for"
        return
    graph, batch = task.module("graph"), min(3, card.max_batch_size)
    answer = run(graph.drawn(card.inputs, "natural", batch))
    yield from list(_form_problems(answer, card, batch))[:1] or graph.faults(card, answer)


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
    if given != list(head.card.inputs[:-1]):
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


def verify_source(repository: Repository, checkpoint_file: Path) -> tuple[Fault, ...]:
    """Return what is wrong with the models said to be built from a checkpoint, by running both.

    Raises:
        CheckpointError: the file is no checkpoint.
    """
    checkpoint = read_checkpoint(checkpoint_file)
    digest = file_digest(checkpoint_file)
    groups = [
        _with_encoder(model, repository)
        for model in repository.models.values()
        if model.card.source_digest == digest and model.card.task != "interactive-encoder"
    ]
    if not groups:
        return (Fault(checkpoint_file.name, "no model of the repository was built from this checkpoint"),)
    network = checkpoint.network()
    faults = []
    for group in groups:
        specs = _specs_of(group[-1], checkpoint.architecture)
        files: list[Files] = [{each.card.format: each.versions[each.newest].read_bytes()} for each in group]
        try:
            if len(group) != len(specs):
                raise ParityError("its encoder is not in the repository")
            graphs = [graph_of(network, checkpoint, spec) for spec in specs]
            cases = cases_of(network, specs, graphs, files, specs[-1].threshold_of(checkpoint.threshold))
            largest = min(each.card.max_batch_size for each in group)
            prove(cases, largest, integers=group[-1].card.network.weights == "int8")
        except ParityError as error:
            faults.append(Fault(group[-1].name, str(error)))
    return tuple(faults)


def _specs_of(model: StoredModel, architecture: str) -> tuple[ModelSpec, ...]:
    """Return the specs that were built together with a model, it among them."""
    own = CATALOG.get(model.name)
    return (own,) if own and own.on_request else specs_of(architecture)


def _with_encoder(model: StoredModel, repository: Repository) -> list[StoredModel]:
    """Return a model, after its encoder where it has one."""
    clicks = model.card.clicks
    encoder = repository.models.get(clicks.encoder) if clicks and clicks.encoder else None
    return [encoder, model] if encoder else [model]
