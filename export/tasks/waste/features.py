"""What FANet's branches respond to on a photograph: spatial context (S) beside refined frequencies (R)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from export.checkpoints.files import read_checkpoint
from export.errors import EvaluationError
from export.networks.colours import normalise
from export.networks.fanet import FANetUPer
from export.tasks.waste.spec import scale_of
from export.training.data import read_rgb
from gateway.vision.resizing import to_scale

_BRANCHES = {"S": "attn.norm3", "R": "attn.enhance"}


def add_command(commands: Any) -> None:
    """Add `features` to the commands."""
    command = commands.add_parser("features", help="draw what FANet's branches respond to on a photograph")
    command.set_defaults(command=_command)
    command.add_argument("checkpoint", type=Path)
    command.add_argument("photo", type=Path, help="PNG or JPEG")
    command.add_argument("--out", type=Path, required=True, help="PNG to write")


def _command(options: argparse.Namespace) -> int:
    draw_features(options.checkpoint, options.photo, options.out)
    print(options.out)
    return 0


def draw_features(checkpoint_file: Path, photo: Path, out: Path) -> None:
    """Write a picture of a photograph and, for each stage's last block, how strongly both branches respond.

    Strength is the mean magnitude over the channels; each map is scaled to its own largest.

    Raises:
        CheckpointError: the file is no checkpoint.
        DataError: the photograph cannot be read.
        EvaluationError: the network has no such branches.
    """
    checkpoint = read_checkpoint(checkpoint_file)
    network = checkpoint.network()
    if not isinstance(network, FANetUPer):
        raise EvaluationError(f"a {checkpoint.architecture} has no branches to look at; a fanet has")
    scale = scale_of(checkpoint.size)
    image = to_scale(read_rgb(photo), scale.short, scale.long, scale.multiple)
    strengths = responses(network, normalise(image[None], "cpu"))
    figure = Figure(figsize=(3 * (1 + len(strengths["S"])), 6), layout="constrained")
    FigureCanvasAgg(figure)
    for row, (branch, maps) in zip(figure.subplots(2, 1 + len(strengths["S"])), strengths.items(), strict=True):
        row[0].imshow(image)
        row[0].set_title("photograph")
        for stage, (axis, strength) in enumerate(zip(row[1:], maps, strict=True)):
            axis.imshow(strength, cmap="inferno")
            axis.set_title(f"{branch}, stage {stage + 1}, {strength.shape[1]}×{strength.shape[0]}")
        for axis in row:
            axis.set_axis_off()
    figure.savefig(out, dpi=110)


def responses(network: FANetUPer, image: Tensor) -> dict[str, list[NDArray[np.float32]]]:
    """Return, by branch, each stage's last block's strength, (H / stride, W / stride), of an image (1, 3, H, W)."""
    blocks = [stage[-1] for stage in network.backbone.stages if isinstance(stage, nn.Sequential)]
    found: dict[str, list[NDArray[np.float32]]] = {branch: [] for branch in _BRANCHES}

    def keep(branch: str) -> Any:
        return lambda _module, _inputs, output: found[branch].append(output[0].abs().mean(dim=0).numpy())

    with torch.inference_mode(), _watched(blocks, keep):
        network.backbone(image)
    return found


@contextmanager
def _watched(blocks: list[nn.Module], keep: Any) -> Iterator[None]:
    """Call `keep(branch)` with what each branch of each block gives, within the context."""
    handles = [
        block.get_submodule(path).register_forward_hook(keep(branch))
        for block in blocks
        for branch, path in _BRANCHES.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
