"""What the parity gate compares: exported graphs with the torch network, as the task of the network says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from export.graphs.contract import Graph
from export.graphs.runners import Arrays, FileFormat, Runner, open_file, torch_runner
from export.parity.inputs import Tiles
from export.registry import task_of_model
from export.task import ModelSpec, Tensors
from gateway.repository.card import Card
from gateway.vision.labels import decide

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
class Case:
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


def cases_of(
    network: nn.Module,
    specs: Sequence[ModelSpec],
    graphs: Sequence[Graph],
    files: Sequence[Files],
    threshold: float | None,
) -> list[Case]:
    """Return the cases of a network's graphs: of the only one, or of an encoder and its head.

    Args:
        network: whose graphs they are, in evaluation mode.
        specs: what they are built from, of one checkpoint.
        graphs: for each spec.
        files: for each graph.
        threshold: of the models; of interactive ones, pixels above it are the object.
    """
    graph = task_of_model(specs[0]).module("graph")
    cases: list[Case] = graph.cases_of(network, graphs, files, threshold)
    return cases


def case(
    part: Part,
    graph: Graph,
    files: Files,
    draw: Callable[[Tensors, Tiles, int], Sequence[NDArray[Any]]],
    deviation: Callable[[Arrays, Arrays], Deviation],
) -> Case:
    """Return the case of a graph and its files; `draw` is given the graph's inputs."""
    inputs, outputs = ([spec.name for spec in specs] for specs in (graph.inputs, graph.outputs))
    runners = {each: open_file(file, each, inputs, outputs) for each, file in files.items()}
    return Case(part, torch_runner(graph.module), runners, outputs, partial(draw, graph.inputs), deviation)


def whole(
    draw: Callable[[Tensors, Tiles, int], Sequence[NDArray[Any]]], deviation: Callable[[Arrays, Arrays], Deviation]
) -> Callable[[nn.Module, Sequence[Graph], Sequence[Files], float | None], list[Case]]:
    """Return the `cases_of` of a task whose one graph answers at once; arguments as of `case`."""

    def cases_of(
        network: nn.Module, graphs: Sequence[Graph], files: Sequence[Files], threshold: float | None
    ) -> list[Case]:
        return [case("whole", graphs[0], files[0], draw, deviation)]

    return cases_of


def composed(encoder: Runner, head: Runner) -> Runner:
    """Return crops, first clicks and all clicks → answer, by way of the encoder's features."""

    def run(batches: Sequence[NDArray[Any]]) -> Arrays:
        crops, first, clicks = batches
        return head((*encoder((crops, first)), clicks))

    return run


def labels_differ(truth: Arrays, answer: Arrays) -> Deviation:
    """Compare label maps and quantised probabilities."""
    return Deviation(levels(truth[1], answer[1]), float(np.mean(truth[0] != answer[0])))


def levels(truth: NDArray[np.uint8], answer: NDArray[np.uint8]) -> float:
    """Return the largest difference of quantised values, 1 for 255 levels."""
    return int(np.abs(truth.astype(np.int16) - answer).max()) / 255


def label_faults(card: Card, answer: Arrays) -> Iterator[str]:
    """Yield what is wrong with label maps and probabilities that are of the right form."""
    if not np.array_equal(answer[0], decide(answer[1], card.threshold)):
        yield "gives label maps that its probabilities and the card's threshold do not"


def score_faults(card: Card, answer: Arrays) -> Iterator[str]:
    """Yield what is wrong with scores that are of the right form."""
    if not np.allclose(answer[0].sum(axis=1), 1, atol=1e-4):
        yield "gives scores that do not sum to 1"
