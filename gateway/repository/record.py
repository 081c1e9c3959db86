"""What a card records of how its model was made: what it learnt from, what was measured, and how its files agree."""

from __future__ import annotations

from math import inf
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CardPart(BaseModel):
    """Part of a card: read-only, and refuses keys that it does not know. A typo is an error, not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Figures(CardPart):
    """Measured quality on one split, next to what a trivial answer scores there."""

    split: str
    images: int = Field(gt=0)
    buildings: dict[str, int] = Field(
        default_factory=dict, description="Labelled objects, or radiographs, per class in the split"
    )
    metrics: dict[str, float]
    baseline_name: str
    baseline: dict[str, float]
    confusion: tuple[tuple[int, ...], ...] = Field(
        default=(),
        description="Pixels, radiographs or boxes; rows are the truth, columns the prediction, in class order",
    )


class Quality(CardPart):
    """What computing in integers costs: one figure of the same weights in float32 and in integers, on the same data."""

    split: str
    images: int = Field(gt=0)
    figure: str
    float32: float
    integers: float
    tolerance: float = Field(ge=0, description="The most that the figure may fall")


class Training(CardPart):
    """What the weights were learnt from, and how."""

    data: str
    recipe: str
    steps: int = Field(ge=0)
    seconds: float = Field(ge=0)
    device: str
    hyperparameters: dict[str, str | int | float | bool] = Field(default_factory=dict)
    untrained: tuple[str, ...] = Field(
        default=(), description="Classes that the data showed none of: the model cannot find them"
    )


class Drift(CardPart):
    """The worst disagreement of one exported format with the torch network on one kind of input.

    What was compared is a whole graph, an encoder, its head on torch's features, or both of them, one after the other,
    with the undivided network.
    """

    format: Literal["onnx", "torchscript"]
    part: Literal["whole", "encoder", "head", "composition"] = "whole"
    tiles: Literal["noise", "constant", "natural"]
    batch: int = Field(gt=0)
    probability_difference: float = Field(default=0.0, ge=0, le=1)
    flipped_share: float = Field(default=0.0, ge=0, le=1)
    feature_difference: float = Field(
        default=0.0,
        ge=0,
        description="Of encoders: of any feature, over the largest of its map; of boxes: of any edge, over the side of "
        "the tile",
    )
    intensity_difference: float = Field(
        default=0.0, ge=0, description="Of super-resolution: of any pixel, over the width of the window"
    )
    saliency_difference: float = Field(default=0.0, ge=0, le=1, description="Of radiographs: of any point of a map")


class Parity(CardPart):
    """The parity gate's report: tolerances, versions, and every comparison made."""

    tolerance_probability: float
    tolerance_flipped: float
    tolerance_feature: float = 0.0
    tolerance_intensity: float = 0.0
    tolerance_saliency: float = 0.0
    tolerance_composition: float = Field(
        default=0.0, description="Of probabilities, where features were rounded to half precision on the way"
    )
    versions: dict[str, str]
    comparisons: tuple[Drift, ...]

    def excess(self, drift: Drift) -> float:
        """Return a comparison's worst measure over its tolerance; beyond 1, the files differ."""
        composed = drift.part == "composition"
        return max(
            _over(drift.probability_difference, self.tolerance_composition if composed else self.tolerance_probability),
            _over(drift.flipped_share, self.tolerance_flipped),
            _over(drift.feature_difference, self.tolerance_feature),
            _over(drift.intensity_difference, self.tolerance_intensity),
            _over(drift.saliency_difference, self.tolerance_saliency),
        )


def _over(value: float, tolerance: float) -> float:
    return value / tolerance if tolerance else inf if value else 0.0
