"""What any training run consists of: a network, its running average, optimiser, clock, and how they are kept."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from export.training.schedule import Schedule, average_into, learning_rate

_LARGEST_GRADIENT = 5.0

Hyperparameter = str | int | float | bool


class Plan(Protocol):
    """What a recipe says of the run itself."""

    @property
    def network(self) -> str:
        """The architecture."""

    @property
    def steps(self) -> int:
        """The most steps."""

    @property
    def learning_rate(self) -> float:
        """Of AdamW; the peak, where the schedule has one."""

    @property
    def weight_decay(self) -> float:
        """Decoupled."""

    @property
    def schedule(self) -> Schedule:
        """See `learning_rate`."""

    @property
    def average(self) -> float:
        """Decay per step of the moving average of weights that is evaluated and kept."""


def with_channels_last(network: nn.Module) -> nn.Module:
    """Return `network`, its weights laid out channels last: in bfloat16 above all, such convolutions are faster."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's annotations lack it
    return network


class State:
    """A network in training, its running average, optimiser, step count and clock.

    Args:
        plan: the recipe.
        network: with its first weights.
        average: the same network once more.
        minutes: limits the run's time.
        device: ``cpu`` or ``cuda``.

    Attributes:
        started: in words, whose weights it began with; empty: with none but its own.
    """

    def __init__(self, plan: Plan, network: nn.Module, average: nn.Module, minutes: float | None, device: str) -> None:
        """Start at step 0."""
        self.plan, self.device = plan, device
        self.network, self.average = network.to(device), average.to(device)
        self.average.load_state_dict(self.network.state_dict())
        self.average.eval()
        self.step, self.seconds = 0, 0.0
        self.history: list[dict[str, float]] = []
        self._limit = math.inf if minutes is None else 60 * minutes
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        self.started = ""
        self._since = time.monotonic()

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

    @property
    def progress(self) -> float:
        """Return how much of the run is done, by steps or by time, 0 to 1."""
        return min(1.0, max(self.step / self.plan.steps, self.seconds / self._limit))

    def descend(self, loss: Tensor) -> None:
        """Take one step against the gradient of ``loss``."""
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self.plan.learning_rate, self.plan.schedule, self.progress)
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        self._optimiser.step()
        self.step += 1
        # Early on the average follows closely: else it would remember the untrained weights for long.
        average_into(self.average, self.network, min(self.plan.average, (1 + self.step) / (10 + self.step)))
        self.tick()

    def learnt(self, average: nn.Module, hyperparameters: Mapping[str, Hyperparameter]) -> dict[str, Any]:
        """Return what any checkpoint says: weights of the `average`, length, device, choices, and the start."""
        started = {"started_from": self.started} if self.started else {}
        return {
            "state_dict": {name: value.cpu().contiguous() for name, value in average.state_dict().items()},
            "steps": self.step,
            "seconds": self.seconds,
            "device": self.device,
            "hyperparameters": {**hyperparameters, **started},
        }

    def tick(self) -> None:
        """Add the time since the last tick to the clock."""
        now = time.monotonic()
        self.seconds += now - self._since
        self._since = now

    def save(self, path: Path) -> None:
        """Write everything that ``load`` needs; a kill meanwhile leaves the former file."""
        state = {
            "recipe": repr(self.plan),
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: the file is of a run with another recipe.
        """
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["recipe"] != repr(self.plan):
            raise ValueError(f"{path} is of another recipe; choose another folder or do not resume")
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds, self.history = state["step"], state["seconds"], state["history"]
        self._since = time.monotonic()
