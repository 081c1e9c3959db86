"""What is fixed about a model before it is trained, and what a task is to `export`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from gateway.repository.card import Card, ClassSpec, TensorSpec

OUTPUTS = ("label_map", "probabilities")
"""The outputs of every graph that labels pixels, in order."""

BACKGROUND = ClassSpec(value=0, name="background", colour=(0, 0, 0))

_NOTHING = {"overlap": 0, "clicks": None, "window": None, "crop": None, "resize": None, "rasters": (), "vote": None}
"""Of the keys that tasks add, what the card of a model has whose task does not add them."""

_OVERLAP = 64

Tensors = tuple[TensorSpec, ...]
Classes = tuple[ClassSpec, ...]


class Trained(Protocol):
    """What a model spec reads of a checkpoint; see `export.checkpoints.files.Checkpoint`."""

    @property
    def size(self) -> int:
        """Side of what the network is given, in pixels."""

    @property
    def window(self) -> tuple[float, float]:
        """Hounsfield units that a network of CT sees."""

    @property
    def classes(self) -> str:
        """Name of the label set."""


@dataclass(frozen=True)
class ModelSpec(ABC):
    """What the models of all tasks state; the texts go into the card as they stand.

    `licence` is that of weights whose checkpoint states none. A spec `on_request` is built only where it is named.
    """

    name: str
    title: str
    summary: str
    architecture: str
    classes: Classes
    licence: str
    intended_use: str
    limitations: str
    max_batch_size: int = 8
    on_request: bool = False

    def differences(self, card: Card) -> list[str]:
        """Return the keys in which `card` says other than this spec: it was edited, or the spec has moved on."""
        said = {
            "title": self.title,
            "task": self.task,
            "summary": self.summary,
            "max_batch_size": self.max_batch_size,
            "classes": self.classes,
            "intended_use": self.intended_use,
            "limitations": self.limitations,
            **_NOTHING,
            **self.contract(card),
        }
        return [key for key in Card.model_fields if key in said and getattr(card, key) != said[key]]

    @property
    @abstractmethod
    def task(self) -> str:
        """The card's task."""

    @abstractmethod
    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return what the task adds, by the card's keys; sizes that a checkpoint chooses are taken from `card`."""

    def stated(self, checkpoint: Trained) -> Mapping[str, Any]:
        """Return what the task adds to the card of a checkpoint, by the card's keys, beside inputs and outputs."""
        return {}

    def threshold_of(self, stated: float | None) -> float | None:
        """Return the threshold of a model whose checkpoint states one, or None."""
        return stated


@dataclass(frozen=True, kw_only=True)
class TiledSpec(ModelSpec):
    """A model that takes tiles of satellite images; a checkpoint chooses their side."""

    def overlap(self, size: int) -> int:
        """Return what neighbouring tiles of `size` share at least, in pixels."""
        return min(_OVERLAP, size // 4)

    def input_specs(self, size: int) -> Tensors:
        """Return the graph's input: uint8 RGB tiles."""
        return (TensorSpec(name="image", dtype="uint8", shape=(size, size, 3)),)

    @abstractmethod
    def output_specs(self, size: int) -> Tensors:
        """Return the graph's outputs of tiles of `size`."""

    def stated(self, checkpoint: Trained) -> Mapping[str, Any]:
        """Return how tiles overlap."""
        return {"overlap": self.overlap(checkpoint.size)}

    def contract(self, card: Card) -> Mapping[str, Any]:
        """Return inputs, outputs and overlap."""
        size = card.inputs[0].shape[0]
        return {
            "inputs": self.input_specs(size),
            "outputs": as_named_in(card.format, self.output_specs(size)),
            "overlap": self.overlap(size),
        }


@dataclass(frozen=True)
class View:
    """What a comparison of a task's models shows.

    Attributes:
        example: what one labelled example is.
        columns: figure → its heading; none: every figure, by its name.
        shown: the figures that are plotted as bars.
        score: the one that is plotted against time.
        note: what a reader of the table has to know.
        unit: what the time is for; empty: one example.
    """

    example: str = "example"
    columns: Mapping[str, str] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    score: str = ""
    note: str = ""
    unit: str = ""


@dataclass(frozen=True)
class ExportTask:
    """A task as `export` knows it: data here, code in the modules of its package, which are imported when asked for.

    ``recipe`` has `RECIPES`; ``train`` has `train`; ``evaluate`` has `evaluate`; ``graph`` has `graph_of`, `cases_of`,
    `drawn` and `faults`. See the functions of `export.registry` for what each of them takes and gives.

    Attributes:
        name: of the task.
        package: where its modules lie.
        subject: what its networks are of, in words that follow "a network of".
        models: the specs of its models; an encoder is before its head.
        size: side, in pixels, of what a network takes whose imported weights do not say.
        label_sets: name → classes that a checkpoint may have in place of a spec's; none: it has the spec's.
        threshold: of imported weights that state none.
        starts: whether a training can begin with given weights.
        draws: whether a training can learn from drawn scenes.
        jointly: whether several models are evaluated together.
        pooled: the card task of those models that a repository can be named for, and a plot be drawn of; none: "".
        view: what a comparison of its models shows.
        comparison: name of the module that compares them, with `compare` and `add_options`; none: each is evaluated.
        command: name of the module that adds a command of the task's own, with `add_command`.
        integers: name of the module that calibrates models in integers and judges them, with `labelled_images`,
            `calibration` and `judged`; none: they compute in float32 alone.
    """

    name: str
    package: str
    subject: str
    models: tuple[ModelSpec, ...]
    size: int = 512
    label_sets: Mapping[str, Classes] = field(default_factory=dict)
    threshold: float | None = None
    starts: bool = True
    draws: bool = False
    jointly: bool = False
    pooled: str = ""
    view: View = View()
    comparison: str = ""
    command: str = ""
    integers: str = ""

    def module(self, name: str) -> Any:
        """Return a module of the task's package."""
        return import_module(f"{self.package}.{name}")


def as_named_in(file_format: str, outputs: Tensors) -> Tensors:
    """Return outputs as a file format names them.

    TorchScript outputs have no names: Triton's PyTorch backend finds the index at the end of `<name>__<index>`.
    """
    if file_format == "onnx":
        return outputs
    return tuple(spec.model_copy(update={"name": f"{spec.name}__{index}"}) for index, spec in enumerate(outputs))


def label_specs(side: tuple[int, int], classes: int) -> Tensors:
    """Return the outputs of a model that labels pixels: label map, then quantised probabilities."""
    shapes = (side, (*side, classes))
    return tuple(TensorSpec(name=n, dtype="uint8", shape=shape) for n, shape in zip(OUTPUTS, shapes, strict=True))
