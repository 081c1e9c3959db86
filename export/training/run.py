"""What any training run consists of: a network, its running average, optimiser, clock, and how they are kept."""

from __future__ import annotations

import ast
import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from export.checkpoints.files import Checkpoint, read_checkpoint
from export.training.encoders import LITE0_ORIGIN, encoder_weights, fix_encoders, parameter_groups
from export.training.recipe import Recipe, RunOptions
from export.training.schedule import average_into, learning_rate

_LARGEST_GRADIENT = 5.0

R = TypeVar("R", bound=Recipe)
B = TypeVar("B")


def computes_bfloat16(device: str) -> bool:
    """Return whether a device has instructions for bfloat16: else it is emulated, and a step takes ten times as long.

    A processor does not where ``DNNL_MAX_CPU_ISA`` holds torch's convolutions to older instructions than it has.
    """
    if device != "cpu":
        return True
    allowed = os.environ.get("DNNL_MAX_CPU_ISA", "DEFAULT").upper()
    held = not any(name in allowed for name in ("DEFAULT", "ALL", "BF16", "AMX"))
    return not held and bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def with_channels_last(network: nn.Module) -> nn.Module:
    """Return `network`, its weights laid out channels last: in bfloat16 above all, such convolutions are faster."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotations lack it
    return network


class Run(ABC, Generic[R, B]):
    """A network in training, its running average, optimiser, step count and clock. A task says what a step does.

    Args:
        recipe: every choice of the run.
        options: the others.
        build: returns the network; called twice, its first weights are drawn from the seed.

    Attributes:
        workers: processes that make batches; see `RunOptions`.
        started: in words, whose weights it began with; empty: with none but its own.
        data: in words, what it learns from.
        untrained: names of the classes that the data shows none of.
    """

    def __init__(self, recipe: R, options: RunOptions, build: Callable[[], nn.Module]) -> None:
        """Start at step 0."""
        torch.manual_seed(options.seed)
        self.recipe, self.device, self.seed = recipe, options.device, options.seed
        self.workers = options.workers
        self.network, self.average = build().to(self.device), build().to(self.device)
        self.average.load_state_dict(self.network.state_dict())
        self.average.eval()
        fix_encoders(self.network, recipe.fixed_levels)
        self.step, self.seconds = 0, 0.0
        self.history: list[dict[str, float]] = []
        self.started, self.data = "", ""
        self.untrained: tuple[str, ...] = ()
        minutes = options.minutes or recipe.minutes
        self._limit = math.inf if minutes is None else 60 * minutes
        self._optimiser = torch.optim.AdamW(
            parameter_groups(self.network, recipe.encoder_rate),
            lr=recipe.learning_rate,
            betas=(recipe.momentum, 0.999),
            weight_decay=recipe.weight_decay,
        )
        self._since = time.monotonic()

    @abstractmethod
    def learn(self, batch: B) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""

    def kept(self) -> nn.Module:
        """Return the network whose weights a checkpoint holds: the average, in the architecture's own layers."""
        return self.average

    def start_from(self, weights: Mapping[str, Tensor], origin: str) -> None:
        """Begin with every one of ``weights`` that the network has too, by the same name and in the same shape.

        `started` then says how many of the network's tensors those are, and that they are of ``origin``.
        """
        own = self.network.state_dict()
        common = {
            key: weights[key] for key, value in own.items() if key in weights and weights[key].shape == value.shape
        }
        self.network.load_state_dict(common, strict=False)
        self.average.load_state_dict(self.network.state_dict())
        self.started = f"{len(common)} of {len(own)} tensors of {origin}"

    def start_from_network(self, checkpoint: Checkpoint) -> None:
        """Begin with every weight of another network that this one has too, by the same name and in the same shape."""
        self.start_from(
            checkpoint.state_dict, f"{checkpoint.architecture}, {checkpoint.recipe}, after {checkpoint.steps} steps"
        )

    def start_from_imagenet(self, file: Path | None = None) -> None:
        """Begin with the ImageNet weights of the network's public encoder.

        Raises:
            CheckpointError: the file is not there or is another; see `lite0_file`.
        """
        self.start_from(encoder_weights(self.network, file), LITE0_ORIGIN)

    def begin(self, start: Path | None, encoder: Path | None = None) -> None:
        """Begin with the weights of a checkpoint; without one with the public encoder's, where the recipe wants them.

        Raises:
            CheckpointError: ``start`` cannot be read, or the public encoder's weights are not there.
        """
        if start is not None:
            self.start_from_network(read_checkpoint(start))
        elif self.recipe.pretrained:
            self.start_from_imagenet(encoder)

    @property
    def progress(self) -> float:
        """Return how much of the run is done, by steps or by time, 0 to 1."""
        return min(1.0, max(self.step / self.recipe.steps, self.seconds / self._limit))

    def arithmetic(self) -> torch.autocast:
        """Return a context in which the network computes in bfloat16 where the device has it; losses are float32."""
        return torch.autocast(self.device, torch.bfloat16, enabled=computes_bfloat16(self.device))

    def descend(self, *terms: Tensor) -> None:
        """Take one step against the gradient of the sum of ``terms``."""
        for group in self._optimiser.param_groups:
            rate = learning_rate(self.recipe.learning_rate, self.recipe.schedule, self.progress)
            group["lr"] = rate * group["share"]
        self._optimiser.zero_grad()
        (terms[0] if len(terms) == 1 else torch.stack(terms).sum()).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        self._optimiser.step()
        self.step += 1
        # Early on the average follows closely: else it would remember the untrained weights for long.
        average_into(self.average, self.network, min(self.recipe.average, (1 + self.step) / (10 + self.step)))
        self.tick()

    def checkpoint(self) -> Checkpoint:
        """Return the averaged weights with what a card says of them."""
        recipe = self.recipe
        started = {"started_from": self.started} if self.started else {}
        fields: dict[str, Any] = {"reduction": 1, "threshold": None, **recipe.served()}
        return Checkpoint(
            state_dict={name: value.cpu().contiguous() for name, value in self.kept().state_dict().items()},
            architecture=recipe.network,
            width=recipe.width,
            recipe=recipe.name,
            steps=self.step,
            seconds=self.seconds,
            device=self.device,
            seed=self.seed,
            data=self.data,
            hyperparameters={**recipe.hyperparameters(), **started},
            untrained=tuple(self.untrained),
            **fields,
        )

    def tick(self) -> None:
        """Add the time since the last tick to the clock."""
        now = time.monotonic()
        self.seconds += now - self._since
        self._since = now

    def state(self) -> dict[str, Any]:
        """Return everything that `take` needs."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
        }

    def take(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
        self._since = time.monotonic()

    def save(self, path: Path) -> None:
        """Write everything that ``load`` needs; a kill meanwhile leaves the former file."""
        partial = path.with_suffix(".partial")
        torch.save({"recipe": repr(self.recipe), **self.state()}, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: the file is of a run with another recipe.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        if not _same(ast.parse(state["recipe"], mode="eval").body, self.recipe):
            raise ValueError(f"{path} is of another recipe; choose another folder or do not resume")
        self.take(state)

    def tensors(self, *arrays: Any) -> Sequence[Tensor]:
        """Return NumPy arrays as tensors on the run's device."""
        return [torch.from_numpy(array).to(self.device) for array in arrays]


def _same(former: ast.expr, current: object) -> bool:
    """Return whether a recipe's `repr`, parsed, chose what a recipe does.

    Its class may have had another name and another order of fields; what it did not know yet had its default.
    """
    if not is_dataclass(current) or not isinstance(former, ast.Call):
        return ast.dump(former) == ast.dump(ast.parse(repr(current), mode="eval").body)
    given = {keyword.arg: keyword.value for keyword in former.keywords}
    known = {field.name: field for field in fields(current)}
    return given.keys() <= known.keys() and all(
        _same(given[name], getattr(current, name)) if name in given else getattr(current, name) == field.default
        for name, field in known.items()
    )
