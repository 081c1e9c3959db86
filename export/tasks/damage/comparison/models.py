"""What is compared: models that give label maps of pairs, by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from export.graphs.runners import Pixels
from export.tasks.building.graders import Grader, opened
from export.tasks.damage.evaluate import Predictor
from export.tasks.damage.tiled import TiledModel, open_stored
from gateway.repository.store import Repository, StoredModel
from gateway.vision.buildings import cut_crops, find_buildings

FUSED = "fused"
_AT_ONCE = 64


@dataclass(frozen=True)
class Contestant:
    """A model and what it costs: the bytes of its files, and its parameters."""

    name: str
    predict: Predictor
    classes: int
    size: int
    parameters: int


@dataclass(frozen=True)
class Fused:
    """A finder of buildings and a grader of crops, composed as the gateway does it."""

    finder: TiledModel
    grader: Grader

    def predict(self, pre: Pixels, post: Pixels) -> Pixels:
        """Return the label map (H, W) of a pair (H, W, 3) RGB."""
        buildings = find_buildings(self.finder.predict(pre, post))
        scores = [np.empty((0, 4), np.float32)]
        for first in range(0, len(buildings.boxes), _AT_ONCE):
            boxes = buildings.boxes[first : first + _AT_ONCE].tolist()
            scores.append(self.grader.scores(cut_crops(post, boxes, self.grader.grow, self.grader.size)))
        return buildings.graded(np.concatenate(scores))


def contestants(repository: Repository, finder: str, grader: str) -> Iterator[Contestant]:
    """Yield the damage models of a repository by name, and then `fused`, where both its parts are there."""
    damage = {name: model for name, model in sorted(repository.models.items()) if model.card.task == "damage"}
    for name, model in damage.items():
        yield Contestant(name, open_stored(model).predict, len(model.card.classes), _size(model), _parameters(model))
    if finder in damage and grader in repository.models:
        first, second = damage[finder], repository.models[grader]
        fused = Fused(open_stored(first), opened(second))
        size, parameters = _size(first) + _size(second), _parameters(first) + _parameters(second)
        yield Contestant(FUSED, fused.predict, 1 + len(second.card.classes), size, parameters)


def _size(model: StoredModel) -> int:
    return model.versions[model.newest].stat().st_size


def _parameters(model: StoredModel) -> int:
    return model.card.network.parameters
