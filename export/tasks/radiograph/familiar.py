"""How far a film is from those that a network learnt from: one more output of its graph, which says when not to trust.

The features that the network scores a film by, averaged over the film, are taken to be normal, with a few principal
axes of their own and even in all other directions (probabilistic principal components, Tipping and Bishop, 1999). The
Mahalanobis distance to the training films is divided by the one that most validation films stay below: beyond 1 a film
is unlike them. A model is given it as a file of ONNX: neither checkpoint nor training is needed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.build import publish
from export.errors import BuildError
from export.evaluation.opened import sound_model
from export.graphs.runners import open_file
from export.tasks.radiograph import archives, heldout, members
from export.tasks.radiograph.data import LabelledRadiograph, read_radiographs
from export.tasks.radiograph.spec import DISTANCE
from gateway.repository.card import Card, FamiliarSpec
from gateway.repository.store import bytes_digest
from gateway.vision.radiographs import to_tile

AXES = 32
"""Principal axes that are kept."""

WITHIN = 0.95
"""Share of the validation films that stay below a distance of 1."""

_LEAST = 0.1
"""Least deviation of a feature, over the mean of all: one that no training film moves is no proof of strangeness."""

_AGREEMENT = 1e-3

Features = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How the features of films are spread.

    Attributes:
        centre: (C,), their mean.
        scale: (C,), what makes the deviation 1 in the directions without an axis.
        axes: (C, A), of unit length, after scaling.
        weights: (A,), what the square along an axis counts, where those of the other directions count 1.
    """

    centre: Features
    scale: Features
    axes: Features
    weights: Features

    @classmethod
    def of(cls, features: Features) -> Spread:
        """Return the spread of features (N, C).

        Raises:
            BuildError: there are too few films, or they all are alike.
        """
        count, channels = features.shape
        kept = min(AXES, channels - 1)
        deviations = features.std(axis=0)
        if count <= kept or not deviations.any():
            raise BuildError(f"{count} films are too few, or too much alike, to tell how films are spread")
        centre, deviations = features.mean(axis=0), np.maximum(deviations, _LEAST * deviations.mean())
        _, singular, axes = np.linalg.svd((features - centre) / deviations, full_matrices=False)
        variances = singular**2 / count
        rest = variances[kept:].sum() / (channels - kept)
        return cls(centre, 1 / (deviations * np.sqrt(rest)), axes[:kept].T, rest / variances[:kept])

    def distances(self, features: Features) -> Features:
        """Return the distances (N,) of features (N, C)."""
        scaled = (features - self.centre) * self.scale
        along = scaled @ self.axes
        # The rest is taken apart before it is squared: the difference of two large squares would be rounding errors.
        return np.asarray(np.sqrt(((scaled - along @ self.axes.T) ** 2).sum(axis=1) + along**2 @ self.weights))


def familiarised(folder: Path, data: Path) -> tuple[Card, bytes]:
    """Return the card and the file of a model of radiographs, the distance added.

    Args:
        folder: of the model.
        data: a folder that `read_radiographs` takes. What its split "train" shows of the model's classes should be
            what the model learnt from; all of its split "val" say how far films of the same kind are.

    Raises:
        BuildError: the model is no ONNX file of radiographs in one version, or has the distance; or films are too few.
        DataError: `data` cannot be read.
        EvaluationError: the folder holds no sound model.
    """
    stored = sound_model(folder)
    card = stored.card
    if (card.task, card.format, card.familiar, len(card.digests)) != ("radiograph", "onnx", None, 1):
        raise BuildError(f"{card.name} is no ONNX model of radiographs in one version and without a distance")
    films = read_radiographs(data)
    learnt = [film for film in films if film.split == "train" and film.value is not None]
    judged = [film for film in films if film.split == "val"]
    if not judged:
        raise BuildError("a distance is judged by films of the split val, and there is none")
    file = stored.versions[stored.newest].read_bytes()
    pooled = pooled_name(file)
    tapped = _with_output(file, pooled, None)
    [features] = _answers(tapped, card, [pooled], learnt)
    spread = Spread.of(features.astype(np.float64))
    features, scores = _answers(tapped, card, [pooled, "scores"], judged)
    distances = spread.distances(features.astype(np.float64))
    limit = float(np.quantile(distances, WITHIN))
    made = with_distance(file, pooled, spread, limit)
    wanted = np.column_stack([distances / limit, scores])
    given = np.concatenate(_answers(made, card, ["distance", "scores"], judged), axis=1)
    if not np.allclose(given, wanted, rtol=_AGREEMENT, atol=_AGREEMENT):
        raise BuildError(f"{card.name} with the distance answers otherwise than without")
    said = FamiliarSpec(films=len(learnt), axes=len(spread.weights), split="val", images=len(judged), within=WITHIN)
    [version] = card.digests
    changes = {"outputs": (*card.outputs, DISTANCE), "familiar": said, "digests": {version: bytes_digest(made)}}
    return card.model_copy(update=changes), made


def pooled_name(file: bytes) -> str:
    """Return the name of the features (N, C) that a model of radiographs scores a film by: what its head first takes.

    Raises:
        BuildError: the graph has no head.
    """
    for node in onnx.load_model_from_string(file).graph.node:
        if node.op_type in ("Gemm", "MatMul"):
            return str(node.input[0])
    raise BuildError("the graph has no fully connected layer, whose features would be compared")


def with_distance(file: bytes, pooled: str, spread: Spread, limit: float) -> bytes:
    """Return an ONNX file with one more output, `distance`, float32 (N, 1): 1 is at `limit`.

    Args:
        file: of a model of radiographs.
        pooled: name of the features.
        spread: of the training films' features.
        limit: the distance that becomes 1.
    """
    proto = onnx.load_model_from_string(_with_output(file, "distance", [_batch_of(file), 1]))
    constants = {
        "centre": spread.centre,
        "scale": spread.scale,
        "axes": spread.axes,
        "axes_transposed": spread.axes.T,
        "weights": spread.weights[:, None],
        "each": np.ones((len(spread.centre), 1)),
        "limit": np.array(limit),
    }
    steps = (
        ("Sub", (pooled, "centre"), "apart"),
        ("Mul", ("apart", "scale"), "scaled"),
        ("MatMul", ("scaled", "axes"), "along"),
        ("MatMul", ("along", "axes_transposed"), "axial"),
        ("Sub", ("scaled", "axial"), "rest"),
        ("Mul", ("rest", "rest"), "rest_squared"),
        ("MatMul", ("rest_squared", "each"), "beside"),
        ("Mul", ("along", "along"), "along_squared"),
        ("MatMul", ("along_squared", "weights"), "weighted"),
        ("Add", ("beside", "weighted"), "squared"),
        ("Sqrt", ("squared",), "far"),
        ("Div", ("far", "limit"), "distance"),
    )
    own = {
        name: name if name in (pooled, "distance") else f"familiar.{name}" for _, taken, _ in steps for name in taken
    }
    own |= {given: given if given == "distance" else f"familiar.{given}" for _, _, given in steps}
    proto.graph.node.extend(
        helper.make_node(kind, [own[name] for name in taken], [own[given]], name=f"familiar/{given}")
        for kind, taken, given in steps
    )
    proto.graph.initializer.extend(
        numpy_helper.from_array(value.astype(np.float32), own[name]) for name, value in constants.items()
    )
    onnx.checker.check_model(proto, full_check=True)
    return bytes(proto.SerializeToString(deterministic=True))


def _batch_of(file: bytes) -> str:
    """Return the name of a graph's batch axis."""
    return str(onnx.load_model_from_string(file).graph.input[0].type.tensor_type.shape.dim[0].dim_param)


def _with_output(file: bytes, name: str, shape: list[str | int] | None) -> bytes:
    proto = onnx.load_model_from_string(file)
    proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return bytes(proto.SerializeToString())


def _answers(
    file: bytes, card: Card, outputs: Sequence[str], films: Sequence[LabelledRadiograph]
) -> list[NDArray[np.float32]]:
    """Return outputs of a model's file, each (films, …), for films one by one."""
    run = open_file(file, "onnx", [card.inputs[0].name], outputs)
    each = [run([to_tile(film.read(), card.tile)[None]]) for film in films]
    return [np.concatenate(part) for part in zip(*each, strict=True)]


def add_command(commands: Any) -> None:
    """Add ``familiarise`` to the commands of `python -m export`, and those about where radiographs come from."""
    archives.add_command(commands)
    heldout.add_command(commands)
    members.add_command(commands)
    command = commands.add_parser("familiarise", help="let models of radiographs say how far a film is from theirs")
    command.set_defaults(command=_familiarise)
    command.add_argument("model", type=Path, nargs="+", help="model folder; it is replaced")
    command.add_argument("--data", type=Path, required=True, help="folder of the radiographs that were learnt from")


def _familiarise(options: argparse.Namespace) -> int:
    for folder in options.model:
        card, file = familiarised(folder, options.data)
        [version] = card.digests
        print(*publish([card], [file], int(version), folder.resolve().parent))
    return 0
