"""Does a model repository answer as the checkpoint does that it is said to be built from?"""

from __future__ import annotations

from pathlib import Path

from export.checkpoints.files import read_checkpoint
from export.errors import ParityError
from export.graphs.wrap import graph_of
from export.parity.cases import Files, trials_of
from export.parity.gate import prove
from export.repository.cards import threshold_of
from export.tasks.catalogue import CATALOG, entries_of
from export.tasks.specs import Entry
from gateway.repository.store import Fault, Repository, StoredModel, file_digest


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
        entries = _entries_of(group[-1], checkpoint.architecture)
        files: list[Files] = [{each.card.format: each.versions[each.newest].read_bytes()} for each in group]
        try:
            if len(group) != len(entries):
                raise ParityError("its encoder is not in the repository")
            graphs = [graph_of(network, checkpoint, entry) for entry in entries]
            trials = trials_of(network, graphs, files, threshold_of(checkpoint, entries[-1]))
            prove(trials, min(each.card.max_batch_size for each in group))
        except ParityError as error:
            faults.append(Fault(group[-1].name, str(error)))
    return tuple(faults)


def _entries_of(model: StoredModel, architecture: str) -> tuple[Entry, ...]:
    """Return the entries that were built together with a model, it among them."""
    own = CATALOG.get(model.name)
    return (own,) if own and own.on_request else entries_of(architecture)


def _with_encoder(model: StoredModel, repository: Repository) -> list[StoredModel]:
    """Return a model, after its encoder where it has one."""
    clicks = model.card.clicks
    encoder = repository.models.get(clicks.encoder) if clicks and clicks.encoder else None
    return [encoder, model] if encoder else [model]
