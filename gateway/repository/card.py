"""`card.json`: the one schema that `export` writes and the gateway reads."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, nan, prod
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from gateway.repository.record import CardPart, Figures, Parity, Quality, Training

DType = Literal["uint8", "int16", "float16", "float32"]
Weights = Literal["float16", "float32", "int8"]
Channel = Annotated[int, Field(ge=0, le=255)]
Version = Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class TensorSpec(CardPart):
    """One graph input or output. `shape` leaves out the batch axis; images are H, W, C."""

    name: str = Field(min_length=1)
    dtype: DType
    shape: tuple[Annotated[int, Field(gt=0)], ...] = Field(min_length=1)

    def bytes_per_item(self) -> int:
        """Return the size of one batch item in bytes."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


class ClassSpec(CardPart):
    """One value of the label map, its name and its sRGB colour."""

    value: int = Field(ge=0, le=255)
    name: str = Field(min_length=1)
    colour: tuple[Channel, Channel, Channel]


class Network(CardPart):
    """Which architecture the graph came from, and how large."""

    architecture: str
    width: float = Field(gt=0, description="Multiplier on the paper's channel counts")
    depths: str | None = Field(
        default=None,
        description="Backbone of interactive models, such as resnet101, or share of the blocks of models of "
        "radiographs",
    )
    members: int = Field(
        default=1,
        ge=1,
        description="Networks learnt apart whose logits the graph averages; in an ensemble the model counts so often",
    )
    encoder: str | None = Field(
        default=None, description="Public encoder in place of the architecture's own: lite0 is EfficientNet-Lite0"
    )
    parameters: int = Field(gt=0, description="Of an encoder and its head: of the part in this graph")
    reduction: int = Field(
        default=1, ge=1, description="The graph averages n×n input pixels before the network and upsamples after it"
    )
    post_tint: tuple[float, float, float] = Field(
        default=(0.0, 0.0, 0.0), description="The graph adds this to the normalised RGB of the post image"
    )
    weights: Weights = Field(
        default="float32",
        description="As stored in the file. float16 and float32 are computed with in float32; int8 in 8-bit integers, "
        "but for what is around the convolutions",
    )


class ClickSpec(CardPart):
    """How an interactive model wants its crop and its clicks.

    Lengths called crop pixels are of the resized square, those called image pixels of the image as sent.
    """

    prompt: Literal["iog", "dextr"] = Field(
        description="iog: a box and clicks, in two maps, inside and outside; dextr: four extreme points, in one"
    )
    size: int = Field(gt=0, description="Side of the square that the crop is resized to, in crop pixels")
    margin: int = Field(ge=0, description="Image pixels around the box that the crop shows")
    share: float = Field(
        default=0.0,
        ge=0,
        description="Share of the box's longer side that the crop shows around it, besides the margin",
    )
    sigma: float = Field(gt=0, description="Full width at half maximum of a click, in crop pixels")
    push: float = Field(
        default=0.0, ge=0, description="Crop pixels by which the corners of a tight box are moved outwards"
    )
    encoder: str | None = Field(
        default=None,
        description="Model whose features this one takes, in the version of the same number; "
        "null: it takes the crop itself",
    )


class WindowSpec(CardPart):
    """The Hounsfield units that the graph of a CT model shows its network as 0 (`low`) to 1 (`high`), linearly.

    What lies outside becomes 0 or 1. The input is in Hounsfield units all the same.
    """

    low: float
    high: float

    @model_validator(mode="after")
    def _is_open(self) -> Self:
        if not self.low < self.high:
            raise ValueError("the window's low end must be below its high end")
        return self


class CropSpec(CardPart):
    """How the crop around one building is cut that a model of crops grades."""

    grow: float = Field(ge=0, description="Added to the building's box on each side, as a share of that side's length")


class ResizeSpec(CardPart):
    """How a photograph is brought to the scale that a model of waste was trained at, before it is tiled.

    The largest size is taken that keeps the aspect and both limits; then each side is rounded up to a multiple, by
    resizing.
    """

    short: int = Field(gt=0, description="Most pixels of the shorter side")
    long: int = Field(gt=0, description="Most pixels of the longer side")
    multiple: int = Field(default=32, gt=0)


class RasterSpec(CardPart):
    """An input of a damage model beside its images that a request need not have: heights, or classes of the ground.

    Heights are float32, classes uint8, both (tile, tile) on the grid of the images. Where a request has nothing a
    height is NaN and a class is 255.
    """

    input: str = Field(min_length=1, description="Name of the input, and of the part of a request")
    title: str
    low: float | None = Field(default=None, description="Metres that heights are above; what is not counts as missing")
    high: float | None = Field(default=None, description="Metres that heights are below")
    classes: tuple[str, ...] = Field(
        default=(), description="What the values 0, 1, 2, … are; others count as missing. Of heights none"
    )

    @property
    def dtype(self) -> DType:
        """Of the input."""
        return "uint8" if self.classes else "float32"

    @property
    def missing(self) -> float | int:
        """What stands where nothing is known."""
        return 255 if self.classes else nan

    def known(self, values: np.ndarray) -> np.ndarray:
        """Return where values say something, bool, of their shape."""
        if self.classes:
            return np.asarray(values < len(self.classes))
        low, high = (-inf if self.low is None else self.low), (inf if self.high is None else self.high)
        return np.asarray((values > low) & (values < high))


class VoteSpec(CardPart):
    """How the pixels of a building vote on its grade: each connected region has the grade of most of its pixels."""

    apart: int = Field(gt=0, description="Class value that is not voted for")
    least: float = Field(
        ge=0, le=1, description="Share of a region's pixels from which on those of `apart` are not voted on either"
    )
    largest: int = Field(
        gt=0, description="Pixels along a side beyond which a region is several buildings, and keeps its grades"
    )


class FamiliarSpec(CardPart):
    """How a model of radiographs tells films unlike those that it learnt from, by its output `distance`."""

    films: int = Field(gt=0, description="From which the distance is")
    axes: int = Field(gt=0, description="Principal axes of their features; all other directions count alike")
    split: str
    images: int = Field(gt=0)
    within: float = Field(gt=0, lt=1, description="Share of the split's films whose distance is below 1")


class Card(CardPart):
    """Everything a caller, an operator and the gateway need to know of one model."""

    # Whether it is what its task asks of a model, `Registry.check` says.

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    title: str
    task: str = Field(description="What it is a model of, in the words of the task that takes it")
    summary: str
    format: Literal["onnx", "torchscript"]
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    max_batch_size: int = Field(ge=1)
    overlap: int = Field(default=0, ge=0, description="Pixels two neighbouring tiles share at least")
    classes: tuple[ClassSpec, ...] = Field(
        description="None of super-resolution, which labels nothing; else two or more"
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Foreground wins where the probabilities of values > 0 sum to at least this; "
        "null: plain argmax over all classes. Of boxes: the least score at which one counts. Of interactive models: "
        "the object's, where a request names none. Of radiographs: the least probability of the first class at which "
        "it is the label",
    )
    clicks: ClickSpec | None = Field(default=None, description="Of interactive models and their encoders alone")
    window: WindowSpec | None = Field(default=None, description="Of CT models alone")
    crop: CropSpec | None = Field(default=None, description="Of models that grade crops alone")
    resize: ResizeSpec | None = Field(default=None, description="Of waste models alone")
    familiar: FamiliarSpec | None = Field(
        default=None, description="Of radiograph models that say how far a film is from those that they learnt from"
    )
    vote: VoteSpec | None = Field(
        default=None,
        description="Of damage models that grade pixels, and whose buildings the gateway gives one grade each; null: "
        "its label maps are the model's own",
    )
    rasters: tuple[RasterSpec, ...] = Field(
        default=(), description="Of damage models that take more than images: those of the inputs that may be missing"
    )
    network: Network
    training: Training
    figures: tuple[Figures, ...]
    licence: str = Field(description="Terms of the weights, not of the code")
    intended_use: str
    limitations: str
    source_digest: Digest = Field(description="Digest of the training checkpoint")
    digests: dict[Version, Digest] = Field(min_length=1, description="Version folder → sha256 of its model file")
    parity: Parity
    quality: tuple[Quality, ...] = Field(default=(), description="Of models that compute in integers alone")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if [c.value for c in self.classes] != list(range(len(self.classes))):
            raise ValueError("class values must run 0, 1, 2, … without gaps")
        names = [tensor.name for tensor in self.tensors()]
        if len(set(names)) != len(names):
            raise ValueError("tensor names must be unique")
        if lost := {raster.input for raster in self.rasters} - set(names):
            raise ValueError(f"there are no inputs {', '.join(sorted(lost))}, which 'rasters' names")
        if self.vote and self.vote.apart >= len(self.classes):
            raise ValueError(f"there is no class {self.vote.apart} that takes no part in a vote")
        if strangers := set(self.training.untrained) - {c.name for c in self.classes}:
            raise ValueError(f"there are no classes {', '.join(sorted(strangers))} to be untrained")
        return self

    @property
    def tile(self) -> int:
        """Side of the square input tile, in pixels."""
        return self.inputs[0].shape[0]

    @property
    def model_file(self) -> str:
        """Name Triton expects inside a version folder."""
        return "model.onnx" if self.format == "onnx" else "model.pt"

    def palette(self) -> np.ndarray:
        """Return the class colours, uint8, (classes, 3), RGB, indexed by label value."""
        return np.array([c.colour for c in self.classes], dtype=np.uint8)

    def tensors(self) -> Iterator[TensorSpec]:
        """Yield the inputs, then the outputs."""
        yield from self.inputs
        yield from self.outputs


def read_card(path: Path) -> Card:
    """Read and validate one `card.json`.

    Raises:
        OSError: the file cannot be read.
        pydantic.ValidationError: it is not a card (its message names each offending key).
    """
    return Card.model_validate_json(path.read_bytes())


def write_card(card: Card, path: Path) -> None:
    """Write `card` as readable JSON with a final newline."""
    path.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
