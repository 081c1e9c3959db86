"""What a network's file says of its architecture: how it is built, and how weights of other programs are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from export.networks.colours import IMAGENET, Colours

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Architecture:
    """A network by name.

    Attributes:
        name: as checkpoints, recipes and commands call it.
        build: returns it untrained, given the width, a value of `depths` (None where there are none) and the label
            values.
        depths: name of a backbone, or of the share of its repeated blocks → its depths.
        usual: the name of the paper's; the first, unless said.
        stages: a pattern whose two groups are stage and block in a weight's name, and the stages in order: by them the
            depths of foreign weights are told.
        inputs: of damage, the roles of the images that it takes, in order.
        rasters: of damage, the names of what it takes beside them.
        colours: what becomes of its pixels before it sees them.
        label_bias: name of the weight that has a value per label.
        adopted: returns foreign weights by our names; a ValueError says why they are none of it.
        threshold: that its authors publish.
        keras: whether files of Keras hold its weights.
        encoder: name of the public encoder in it; empty: its encoder is its own.
        members: of `depths`, by name, those that are several networks, learnt apart, and how many.
    """

    name: str
    build: Callable[[float, Any, int], nn.Module]
    depths: Mapping[str, Any] = field(default_factory=dict)
    usual: str = ""
    stages: tuple[str, str] = (r"(?:backbone\.)?layer([1-4])\.(\d+)\.", "1234")
    inputs: tuple[str, ...] = ()
    rasters: tuple[str, ...] = ()
    colours: Colours = IMAGENET
    label_bias: str = ""
    adopted: Callable[[Weights], dict[str, Tensor]] = dict
    threshold: float | None = None
    keras: bool = False
    encoder: str = ""
    members: Mapping[str, int] = field(default_factory=dict)

    def network(self, width: float, depths: str | None, classes: int) -> nn.Module:
        """Return it untrained.

        Raises:
            ValueError: no backbone has that name.
        """
        name = depths or self.usual or next(iter(self.depths), "")
        if self.depths and name not in self.depths:
            raise ValueError(f"unknown backbone {name!r}; known: {', '.join(self.depths)}")
        return self.build(width, self.depths.get(name), classes)
