"""What every way of selecting an object in an image has in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Model, role_of
from gateway.inference.segmenter import Run
from gateway.sessions.features import Features, FeatureStore
from gateway.tasks.interactive.prompts import Intake, Prompt
from gateway.vision.clicks import Crop, Pixels
from gateway.vision.masks import ObjectMask


@dataclass(frozen=True)
class Selection:
    """One object, found.

    Attributes:
        mask: its pixels.
        prompt: what was asked, with the inside click that was found where none was given: asked again with it, and
            with further clicks, a model begins from the same features.
        notices: what the caller should know of how the prompt was taken.
        score: mean probability of its pixels, 0–1; None of a tool, and of no pixels.
        threshold: above which probability a pixel is the object's; None of a tool.
        crop: what a model was shown; None of a tool.
        probability: uint8 (crop.size, crop.size), the model's answer; None of a tool.
        candidates: of clicks without a box, what they may mean, each after its score, the best first.
    """

    mask: ObjectMask
    prompt: Prompt
    notices: tuple[str, ...] = ()
    score: float | None = None
    threshold: float | None = None
    crop: Crop | None = None
    probability: Pixels | None = None
    candidates: tuple[tuple[float, Selection], ...] = ()


def said_of(mask: ObjectMask, prompt: Prompt, *, found: bool) -> tuple[str, ...]:
    """Return what the caller should know of a mask: that nothing was `found`, or that it breaks a click's promise."""
    if not found:
        return ("nothing was found but the clicks themselves" if mask.box else "nothing was found",)
    clicks = [(click, True) for click in prompt.positive] + [(click, False) for click in prompt.negative]
    return tuple(
        f"the click at ({x:g}, {y:g}) could not be honoured: another one says the contrary there"
        for (x, y), wanted in clicks
        if mask.holds(x, y) != wanted
    )


@dataclass(frozen=True)
class Picture:
    """An image of known size, whose pixels may have to be fetched: a model that remembers its features needs none.

    Attributes:
        height: in pixels.
        width: in pixels.
        pixels: returns uint8 (height, width, 3), RGB.
    """

    height: int
    width: int
    pixels: Callable[[], Awaitable[Pixels]]

    @classmethod
    def of(cls, pixels: Pixels) -> Picture:
        """Return an image that is there already."""

        async def there() -> Pixels:
            return pixels

        height, width = pixels.shape[:2]
        return cls(height, width, there)


@dataclass(frozen=True)
class Memory:
    """Where features of one image are kept between requests.

    Attributes:
        store: keeps them.
        tenant: whose image it is.
        image: digest of the upload, ``sha256:…``.
    """

    store: FeatureStore
    tenant: str
    image: str


@dataclass(frozen=True)
class InteractiveRun(Run):
    """A run with a memory of features, where there is one."""

    memory: Memory | None = None

    @classmethod
    def of(cls, run: Run, memory: Memory | None = None) -> InteractiveRun:
        """Return `run` with `memory`."""
        return InteractiveRun(run.engine, run.workers, run.telemetry, run.timeline, memory)

    async def infer(self, model: Model, tensors: Mapping[str, NDArray[Any]]) -> Features:
        """Return every output of `model` by role for one item, whose inputs are among `tensors` by role."""
        inputs = {spec.name: np.ascontiguousarray(tensors[role_of(spec.name)])[None] for spec in model.card.inputs}
        outputs = [spec.name for spec in model.card.outputs]
        await self.timeline.breathe()
        with self.timeline.measure("infer"):
            answer = await self.engine.infer(model, inputs, outputs, self.timeline)
        self.telemetry.tiles.labels(model.name).inc()
        return {role_of(name): answer[name][0] for name in outputs}


class Selector(Protocol):
    """Selects objects in images, by a model of the repository or without one."""

    @property
    def name(self) -> str:
        """As `?model=` names it."""

    @property
    def intake(self) -> Intake:
        """What it takes of a prompt."""

    @property
    def model(self) -> Model | None:
        """The repository's model that answers; None of a tool."""

    @property
    def encoder(self) -> Model | None:
        """The model whose features that one takes; None where it takes the crop itself, and of a tool."""

    async def select(self, run: InteractiveRun, image: Picture, prompt: Prompt, threshold: float | None) -> Selection:
        """Return the object that a prompt shows.

        Args:
            run: what to run on.
            image: the one that the prompt is about.
            prompt: one that `check_prompt` lets pass for the image, and `intake` too.
            threshold: in (0, 1); None takes the model's own. Tools have no use for one.

        Raises:
            PromptInvalid: it shows itself to mean nothing.
            MaskgateError: as `Engine.infer`.
        """
