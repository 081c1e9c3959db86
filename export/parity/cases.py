"""What the parity gate compares: exported graphs of each tensor contract with the torch network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from export.graphs.contract import Graph
from export.graphs.runners import Arrays, FileFormat, Runner, open_file, torch_runner
from export.networks.iog import IOGRefine
from export.parity.inputs import Tiles, draw_clicked, draw_slices, draw_tiles
from export.tasks.building.graph import ServedBuilding
from export.tasks.ct.graph import ServedSharpening, ServedSlice
from export.tasks.damage.graph import ServedModel
from export.tasks.interactive.graph import ServedCrop, ServedEncoder, ServedHead, Undivided
from export.tasks.radiograph.graph import ServedFilm

Part = Literal["whole", "encoder", "head", "composition"]
Files = Mapping[FileFormat, bytes]


@dataclass(frozen=True)
class Deviation:
    """How far an answer is from the truth; the fields are those of the card's `Drift`."""

    probability_difference: float = 0.0
    flipped_share: float = 0.0
    feature_difference: float = 0.0
    intensity_difference: float = 0.0
    saliency_difference: float = 0.0


@dataclass(frozen=True)
class Trial:
    """One comparison, to be made with inputs of every kind and batches of several sizes.

    Attributes:
        part: what is compared.
        reference: gives the truth.
        runners: give the answers of each format.
        outputs: their names, in order.
        draw: returns a number of inputs of one kind.
        deviation: of an answer from the truth, arrays of the same shapes and dtypes.
    """

    part: Part
    reference: Runner
    runners: Mapping[FileFormat, Runner]
    outputs: Sequence[str]
    draw: Callable[[Tiles, int], Sequence[NDArray[Any]]]
    deviation: Callable[[Arrays, Arrays], Deviation]


def trials_of(
    network: nn.Module, graphs: Sequence[Graph], files: Sequence[Files], threshold: float | None
) -> list[Trial]:
    """Return the trials of a network's graphs: of the only one, or of an encoder and its head.

    Args:
        network: whose graphs they are, in evaluation mode.
        graphs: of one checkpoint.
        files: for each graph.
        threshold: of interactive models; pixels above it are the object.

    Raises:
        ValueError: no tensor contract has such graphs.
    """
    match graphs, network:
        case [Graph(module=ServedModel())], _:
            return [tile_trial(graphs[0], files[0])]
        case [Graph(module=ServedBuilding())], _:
            return [building_trial(graphs[0], files[0])]
        case [Graph(module=ServedSlice())], _:
            return [slice_trial(graphs[0], files[0], _labels_differ)]
        case [Graph(module=ServedSharpening(window=window))], _:
            return [slice_trial(graphs[0], files[0], partial(_intensities_differ, window.high - window.low))]
        case [Graph(module=ServedFilm())], _:
            return [film_trial(graphs[0], files[0])]
        case [Graph(module=ServedCrop())], _ if threshold is not None:
            return [crop_trial(graphs[0], files[0], threshold)]
        case [Graph(module=ServedEncoder()), Graph(module=ServedHead())], IOGRefine() if threshold is not None:
            return pair_trials(network, graphs[0], graphs[1], (files[0], files[1]), threshold)
    raise ValueError("no tensor contract has such graphs")


def tile_trial(graph: Graph, files: Files) -> Trial:
    """Return the trial of a damage model."""
    tile = graph.inputs[0].shape[0]
    return _trial("whole", graph, files, lambda kind, n: draw_tiles(kind, len(graph.inputs), n, tile), _labels_differ)


def building_trial(graph: Graph, files: Files) -> Trial:
    """Return the trial of a model that grades crops."""
    size = graph.inputs[0].shape[0]
    return _trial("whole", graph, files, lambda kind, count: draw_tiles(kind, 1, count, size), _scores_differ)


def slice_trial(graph: Graph, files: Files, deviation: Callable[[Arrays, Arrays], Deviation]) -> Trial:
    """Return the trial of a model of CT, of labels or of super-resolution."""
    size = graph.inputs[0].shape[0]
    return _trial("whole", graph, files, lambda kind, count: [draw_slices(kind, count, size)], deviation)


def film_trial(graph: Graph, files: Files) -> Trial:
    """Return the trial of a model of radiographs."""
    size = graph.inputs[0].shape[0]
    return _trial("whole", graph, files, lambda kind, count: draw_tiles(kind, 1, count, size), _films_differ)


def crop_trial(graph: Graph, files: Files, threshold: float) -> Trial:
    """Return the trial of an interactive model that is one graph; pixels above `threshold` are the object."""
    size, _, maps = graph.inputs[-1].shape
    return _trial(
        "whole",
        graph,
        files,
        lambda kind, count: draw_clicked(kind, maps, count, size)[:2],
        partial(_masks_differ, threshold),
    )


def pair_trials(
    network: IOGRefine, encoder: Graph, head: Graph, files: tuple[Files, Files], threshold: float
) -> list[Trial]:
    """Return the trials of an encoder, of its head, and of one after the other, as two graphs of `network`.

    The head is given torch's features and further clicks. The composition is what a click goes through when it is
    served, rounded features included, and has to answer as the undivided network does.

    Args:
        network: the refinement, in evaluation mode.
        encoder: its graph.
        head: its graph.
        files: the encoder's and the head's, in the same formats.
        threshold: pixels above it are the object.
    """
    size, _, maps = encoder.inputs[-1].shape
    features = torch_runner(encoder.module)

    def first_clicks(kind: Tiles, count: int) -> Sequence[NDArray[Any]]:
        return draw_clicked(kind, maps, count, size)[:2]

    def encoded(kind: Tiles, count: int) -> Sequence[NDArray[Any]]:
        crops, first, clicks = draw_clicked(kind, maps, count, size)
        return (*features((crops, first)), clicks)

    encoding = _trial("encoder", encoder, files[0], first_clicks, _features_differ)
    heading = _trial("head", head, files[1], encoded, partial(_masks_differ, threshold))
    composition = Trial(
        "composition",
        torch_runner(Undivided(network)),
        {each: composed(run, heading.runners[each]) for each, run in encoding.runners.items()},
        heading.outputs,
        lambda kind, count: draw_clicked(kind, maps, count, size),
        heading.deviation,
    )
    return [encoding, heading, composition]


def composed(encoder: Runner, head: Runner) -> Runner:
    """Return crops, first clicks and all clicks → answer, by way of the encoder's features."""

    def run(batches: Sequence[NDArray[Any]]) -> Arrays:
        crops, first, clicks = batches
        return head((*encoder((crops, first)), clicks))

    return run


def _trial(
    part: Part,
    graph: Graph,
    files: Files,
    draw: Callable[[Tiles, int], Sequence[NDArray[Any]]],
    deviation: Callable[[Arrays, Arrays], Deviation],
) -> Trial:
    inputs, outputs = ([spec.name for spec in specs] for specs in (graph.inputs, graph.outputs))
    runners = {each: open_file(file, each, inputs, outputs) for each, file in files.items()}
    return Trial(part, torch_runner(graph.module), runners, outputs, draw, deviation)


def _labels_differ(truth: Arrays, answer: Arrays) -> Deviation:
    return Deviation(_levels(truth[1], answer[1]), float(np.mean(truth[0] != answer[0])))


def _scores_differ(truth: Arrays, answer: Arrays) -> Deviation:
    flipped = truth[0].argmax(axis=-1) != answer[0].argmax(axis=-1)
    return Deviation(float(np.abs(truth[0] - answer[0]).max()), float(np.mean(flipped)))


def _intensities_differ(width: float, truth: Arrays, answer: Arrays) -> Deviation:
    return Deviation(intensity_difference=float(np.abs(truth[0].astype(np.float32) - answer[0]).max()) / width)


def _films_differ(truth: Arrays, answer: Arrays) -> Deviation:
    return Deviation(
        probability_difference=float(np.abs(truth[0] - answer[0]).max()),
        saliency_difference=_levels(truth[1], answer[1]),
    )


def _masks_differ(threshold: float, truth: Arrays, answer: Arrays) -> Deviation:
    flipped = (truth[0] > 255 * threshold) != (answer[0] > 255 * threshold)
    return Deviation(_levels(truth[0], answer[0]), float(np.mean(flipped)))


def _levels(truth: NDArray[np.uint8], answer: NDArray[np.uint8]) -> float:
    return int(np.abs(truth.astype(np.int16) - answer).max()) / 255


def _features_differ(truth: Arrays, answer: Arrays) -> Deviation:
    return Deviation(feature_difference=max(_relative(*maps) for maps in zip(truth, answer, strict=True)))


def _relative(truth: NDArray[np.float16], answer: NDArray[np.float16]) -> float:
    """Return the largest difference over the largest magnitude; infinite where a feature is beyond float16."""
    if not (np.isfinite(truth).all() and np.isfinite(answer).all()):
        return float("inf")
    exact, given = truth.astype(np.float32), answer.astype(np.float32)
    return float(np.abs(exact - given).max() / max(np.abs(exact).max(), np.finfo(np.float16).tiny))
