"""Methods that run a model folder's exported files, or the network of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoints.files import read_checkpoint
from export.errors import EvaluationError
from export.graphs.runners import Runner, open_file
from export.tasks.catalogue import entries_of
from export.tasks.interactive.clicked import TorchClicks
from export.tasks.interactive.methods import Clicked, DEXTRMethod, IOGMethod, Method
from export.tasks.interactive.samples import Geometry
from export.tasks.specs import ClickEntry
from gateway.repository.card import Card, ClickSpec
from gateway.repository.store import Repository, file_digest, scan

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Opened:
    """A method with a model behind it; `source_digest` is that of its checkpoint."""

    method: Method
    source_digest: str


@dataclass(frozen=True)
class WholeFile:
    """An exported graph that takes the crop itself."""

    run: Runner

    def features(self, crop: Pixels, first: Pixels) -> object:
        """Return the crop: there is nothing to keep but it."""
        return crop

    def probability(self, features: Any, clicks: Pixels) -> NDArray[np.float32]:
        """Return the probability (S, S) of the object."""
        return _probability(self.run([features[None], clicks[None]]))


@dataclass(frozen=True)
class SplitFiles:
    """Two exported graphs, encoder and head."""

    encode: Runner
    decode: Runner

    def features(self, crop: Pixels, first: Pixels) -> object:
        """Return the encoder's features."""
        return self.encode([crop[None], first[None]])

    def probability(self, features: Any, clicks: Pixels) -> NDArray[np.float32]:
        """Return the probability (S, S) of the object."""
        return _probability(self.decode([*features, clicks[None]]))


def open_checkpoint(file: Path) -> Opened:
    """Return the method that a checkpoint of an interactive network stands for.

    Raises:
        CheckpointError: the file is no checkpoint, or of no interactive network.
    """
    checkpoint = read_checkpoint(file)
    entry = next(each for each in entries_of(checkpoint.architecture) if each.task == "interactive")
    if not isinstance(entry, ClickEntry):
        raise EvaluationError(f"a {checkpoint.architecture} makes no masks from clicks")
    network = TorchClicks(checkpoint.network(), "cpu")
    threshold = entry.threshold if checkpoint.threshold is None else checkpoint.threshold
    refines = checkpoint.architecture == "iog_refine"
    method = _method(entry.name, network, entry.clicks(checkpoint.size), threshold, refines=refines)
    return Opened(method, file_digest(file))


def open_interactive(repository: Path, name: str) -> Opened:
    """Return the method that a model of a repository stands for.

    Raises:
        EvaluationError: there is no sound interactive model of that name, or its encoder is missing.
    """
    found = scan(repository)
    card = _card(found, name)
    spec = card.clicks
    if spec is None or card.task != "interactive":
        raise EvaluationError(f"{name} makes no masks from clicks")
    if spec.encoder is None:
        network: Clicked = WholeFile(_open(found, name, ("crop", "clicks")))
    else:
        features = tuple(t.name for t in _card(found, spec.encoder).outputs)
        encode = _open(found, spec.encoder, ("crop", "clicks"))
        network = SplitFiles(encode, _open(found, name, (*features, "clicks")))
    threshold = 0.5 if card.threshold is None else card.threshold
    return Opened(_method(name, network, spec, threshold, refines=spec.encoder is not None), card.source_digest)


def interactive_models(repository: Path) -> Sequence[str]:
    """Return the names of the sound models in a repository that make masks from clicks."""
    models = scan(repository).models
    return sorted(name for name, model in models.items() if model.card.task == "interactive")


def _method(name: str, network: Clicked, spec: ClickSpec, threshold: float, *, refines: bool) -> Method:
    geometry = Geometry(spec.size, spec.margin, spec.sigma, spec.push)
    if spec.prompt == "dextr":
        return DEXTRMethod(network, geometry, threshold, name)
    return IOGMethod(name, network, geometry, threshold, refines)


def _card(found: Repository, name: str) -> Card:
    model = found.models.get(name)
    if model is None:
        reasons = [fault.reason for fault in found.faults if fault.model == name]
        raise EvaluationError(f"{name} is not a sound model: {'; '.join(reasons) or 'there is none'}")
    return model.card


def _open(found: Repository, name: str, inputs: Sequence[str]) -> Runner:
    model = found.models[name]
    outputs = [tensor.name for tensor in model.card.outputs]
    return open_file(model.versions[model.newest].read_bytes(), model.card.format, inputs, outputs)


def _probability(answer: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    return np.asarray(answer[0][0] / np.float32(255), np.float32)
