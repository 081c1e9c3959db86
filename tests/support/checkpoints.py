"""Checkpoints of small, untrained networks that answer with more than one label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.checkpoints.files import Checkpoint, write_checkpoint
from export.networks import ARCHITECTURES, build_network
from export.networks.cct import CCT
from export.networks.cogseg import CogSeg
from export.networks.colours import normalise
from export.networks.dahitra import Hierarchy
from export.networks.siamunet_terrain import terrain_channels
from export.networks.uperhead import UPerNet
from export.parity.inputs import draw_clicked, draw_rasters, draw_slices, draw_tiles
from export.registry import CATALOG, TASKS, specs_of
from export.task import ModelSpec
from export.tasks.ct.graph import windowed
from export.tasks.damage.spec import DamageSpec
from export.tasks.interactive.spec import CLICKED
from gateway.vision.windowing import LUNG

Field = NDArray[np.float32]


def architectures_of(task: str) -> tuple[str, ...]:
    """Return the architectures of a task's models."""
    return tuple(dict.fromkeys(spec.architecture for spec in TASKS[task].models))


INTERACTIVE, CROPS, BOXES, CT, WASTE, LAND, RESTORE = map(
    architectures_of, ("interactive", "building", "boxes", "ct", "waste", "land", "restore")
)
FILMS = tuple(name for name in architectures_of("radiograph") if ARCHITECTURES[name].keras)
"""Keras' architectures of radiographs."""

DIVIDED = tuple(dict.fromkeys(spec.architecture for spec in CLICKED if spec.part == "head"))
"""The architectures that are served as an encoder and a head."""

WIDTH = 1 / 16
FANET_WIDTH = 1 / 12
"""FANet's channels are multiples of 8: at this width they are the paper's in proportion."""

_PAIRED = ("siamunet", "siamese_lite0", "siamcrnn", "crnn_lite0")
_LAST = {"dextr": "layer5.final", "click_unet": "predict"}
"""The last layer of interactive networks that end without normalisation."""

FIXED = "dahitra_levir"
"""Takes 256×256 pixels alone, as they are."""

SIZE = 64
"""Side of the crops of interactive networks, of the slices of networks of CT, and of the tiles of those of waste."""


_WHOLE = (*INTERACTIVE, *CROPS, *BOXES, *CT, *WASTE, *LAND, *RESTORE, *FILMS, FIXED)
"""The architectures whose images are not averaged before the network."""

UNTRAINED = {**dict.fromkeys(CT, ("pleural effusion",)), **dict.fromkeys(WASTE, ("metal",))}
"""What the data of small networks is said to have shown none of."""

FILM_SIZE = 80
"""Side of radiographs: Inception's stem and its two reductions leave one pixel of 75."""


def small_entry(name: str) -> ModelSpec:
    """Return a catalogue entry with tiles and batches small enough for a test."""
    entry = CATALOG[name]
    if entry.architecture == FIXED:
        return replace(entry, max_batch_size=4)
    return (
        replace(entry, tile=64, overlap=16, max_batch_size=4)
        if isinstance(entry, DamageSpec)
        else replace(entry, max_batch_size=4)
    )


def small_entries(architecture: str) -> list[ModelSpec]:
    """Return the small entries that a checkpoint of `architecture` becomes."""
    return [small_entry(entry.name) for entry in specs_of(architecture)]


def untrained(architecture: str, seed: int = 0) -> nn.Module:
    """Return a network whose answers vary over any picture: its logits are balanced around zero."""
    torch.manual_seed(seed)
    network = build_network(architecture, width_of(architecture), depths_of(architecture)).eval()
    if isinstance(network, UPerNet):
        return _settled(network)
    if isinstance(network, CCT):
        return _bent(network)
    if architecture in architectures_of("radiograph"):
        return with_statistics(network, torch.from_numpy(draw_films(8)))
    if architecture in INTERACTIVE:
        return _normed(network, architecture)
    if architecture == "cogseg":
        assert isinstance(network, CogSeg)
        # Slices are in [0, 1], and so are sharpened ones.
        slices = torch.rand(2, 1, 64, 64)
        _balanced(network.segmentation.head, answer=lambda: network.labelling()(slices))
        _balanced(network.super_resolution.head, answer=lambda: network.sharpening()(slices))
        return network
    if isinstance(network, Hierarchy):
        pair = torch.randn(2, 2, 3, 256, 256) if architecture == FIXED else torch.randn(2, 2, 3, 64, 64)
        _balanced(network.get_submodule("classifier"), answer=lambda: network.answers(*pair))
        return network
    if architecture in CROPS:
        [crops] = draw_tiles("natural", 1, 8, SIZE)
        _balanced(network.get_submodule("fc"), answer=lambda: network(normalise(crops, "cpu")))
        return network
    if architecture in RESTORE:
        # It answers with pixels, and normalises each image by itself.
        return network
    if architecture in ("yolox", "yolox_lite0"):
        return _finding(network)
    if architecture == "siamunet_terrain":
        return _seeing_terrain(network)
    if architecture in ("siamese_lite0", "siamcrnn", "crnn_lite0"):
        with_statistics(network, *torch.randn(2, 4, 3, 64, 64))
    if architecture in ("deeplabv3plus", "reco", "photo_lite0"):
        with_statistics(network, torch.randn(8, 3, 64, 64))
    heads = [network.get_submodule(name) for name in _HEADS.get(architecture, ("head",))]
    images = torch.rand(2, 1, 64, 64) if architecture in CT else torch.randn(2, 3, 64, 64)
    if architecture in CT and architecture != "ct_unet":
        # Deep and narrow, they tell nothing apart but what their statistics are of.
        images = windowed(torch.from_numpy(draw_slices("natural", 8, SIZE)), LUNG)
        with_statistics(network, images)
    if architecture in LAND:
        [tiles] = draw_tiles("natural", 1, 8, SIZE)
        images = normalise(tiles, "cpu")
        with_statistics(network, images)
    _balanced(*heads, answer=lambda: network(images, images.flip(0)) if architecture in _PAIRED else network(images))
    return network


_HEADS = {
    "unet_plus_plus": ("heads.3",),
    "deeplabv2": tuple(f"aspp.{number}" for number in range(4)),
    "reco": ("network.head",),
    "fcn8s": ("score_fully", "score_pool3", "score_pool4"),
    "photo_lite0": ("decode_head.conv_seg",),
}
"""The layers whose answers a network sums, where it has no `head`."""


def width_of(architecture: str) -> float:
    """Return the width of a small network."""
    return FANET_WIDTH if architecture in ("fanet", "fanet_parts") else WIDTH


def _seeing_terrain(network: nn.Module) -> nn.Module:
    """Let what is known of the ground count from the start, as much as colours do."""
    nn.init.kaiming_normal_(network.get_parameter("encoder.0.0.weight"))
    rasters = draw_rasters(("elevation", "surface", "landcover"), "natural", 4, SIZE)
    elevation, surface, landcover = map(torch.from_numpy, rasters)
    terrain = terrain_channels(elevation, surface, landcover)
    pair = torch.randn(2, 4, 3, SIZE, SIZE)
    with_statistics(network, *pair, terrain)
    _balanced(network.get_submodule("head"), answer=lambda: network(*pair, terrain))
    return network


def _finding(network: nn.Module) -> nn.Module:
    """Let a network of boxes be in doubt about each cell: untrained, it is sure that there is nothing."""
    with_statistics(network, *255 * torch.rand(2, 4, 3, SIZE, SIZE))
    for name, layer in network.named_modules():
        if name.endswith((".building", ".grades")):
            nn.init.constant_(layer.bias, 1.0)
    return network


def _bent(network: CCT) -> nn.Module:
    """Take statistics from noise, and make each of the last features positive somewhere: a ReLU is behind them."""
    images = torch.randn(8, 3, 64, 64)
    with_statistics(network, images)
    for number in (1, 4, 7):
        layer = network.main_decoder[number]
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        with torch.no_grad():
            features = network.main_decoder[: number + 1](network.encoder(images))
            spread, middle = features.std(dim=(0, 2, 3)), features.mean(dim=(0, 2, 3))
            layer.weight /= spread.view(-1, 1, 1, 1)
            layer.bias.copy_((layer.bias - middle) / spread)
    return network


def _settled(network: UPerNet) -> nn.Module:
    """Take the statistics of both heads from noise, and balance what they answer."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
        network.train()
        network.with_auxiliary(images)
        for norm in norms:
            norm.momentum = 0.1
    network.eval()
    _balanced(network.decode_head.conv_seg, answer=lambda: network(images))
    return network


def depths_of(architecture: str) -> str:
    """Return the name of the depth of a small network."""
    return list(ARCHITECTURES[architecture].depths or ("resnet26",))[-1]


def draw_films(count: int) -> Field:
    """Return pictures as a network of radiographs takes them, float32 (count, 3, FILM_SIZE, FILM_SIZE) in [0, 1]."""
    [drawn] = draw_tiles("natural", 1, count, FILM_SIZE)
    return np.ascontiguousarray(drawn.transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def with_statistics(network: nn.Module, *images: Tensor) -> nn.Module:
    """Take the statistics of every normalisation from `images`, as training would; return the network."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(*images)
    for norm in norms:
        norm.momentum = 0.1
    return network.eval()


def _balanced(*heads: nn.Module, answer: Callable[[], Tensor]) -> None:
    """Scale the last layers of a network, so that their sum has mean 0 and deviation 1 in each channel.

    A layer may have several values of a channel side by side, which come out as neighbouring pixels.
    """
    with torch.no_grad():
        logits = answer()
        others = [axis for axis in range(logits.ndim) if axis != 1]
        spread, middle = logits.std(dim=others), logits.mean(dim=others)
        for number, head in enumerate(heads):
            assert isinstance(head, nn.Conv2d | nn.Linear)
            assert head.bias is not None
            several = len(head.bias) // len(spread)
            own = spread.repeat_interleave(several)
            head.weight /= own.view(-1, *[1] * (head.weight.ndim - 1))
            head.bias -= 0 if number else middle.repeat_interleave(several)
            head.bias /= own


def _normed(network: nn.Module, architecture: str) -> nn.Module:
    """Take the statistics of every layer of an interactive network from drawn crops, as one step of training would."""
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    inputs = click_inputs(architecture)
    with torch.no_grad():
        network.train()(*inputs)
        network.eval()
        if last := _LAST.get(architecture):
            final = network.get_submodule(last)
            assert isinstance(final, nn.Conv2d)
            assert final.bias is not None
            logits = network(*inputs)[-1]
            final.weight /= logits.std()
            final.bias -= logits.mean()
            final.bias /= logits.std()
    for norm in norms:
        norm.momentum = 0.1
    return network


def click_inputs(architecture: str, size: int = SIZE) -> tuple[Tensor, ...]:
    """Return what an interactive network itself takes, of four drawn crops."""
    drawn = draw_clicked("natural", 1 if architecture == "dextr" else 2, 4, size)
    crops, first, clicks = (torch.from_numpy(batch).permute(0, 3, 1, 2).float() for batch in drawn)
    joined = torch.cat([crops, first], dim=1)
    return (joined, clicks) if architecture in DIVIDED else (joined,)


def checkpoint(architecture: str, *, seed: int = 0, threshold: float | None = 0.5) -> Checkpoint:
    """Return a checkpoint as training would write it."""
    return Checkpoint(
        state_dict=untrained(architecture, seed).state_dict(),
        architecture=architecture,
        width=width_of(architecture),
        reduction=1 if architecture in _WHOLE else 2,
        threshold=threshold,
        recipe="demo",
        steps=3,
        seconds=1.5,
        device="cpu",
        seed=seed,
        data="2 drawn scenes",
        hyperparameters={"learning_rate": 0.001},
        depths=depths_of(architecture),
        size=FILM_SIZE if architecture in architectures_of("radiograph") else SIZE,
        untrained=UNTRAINED.get(architecture, ()),
        classes="zerowaste",
    )


def write(path: Path, architecture: str, *, seed: int = 0, threshold: float | None = 0.5) -> Path:
    """Write `checkpoint` to a file and return its path."""
    write_checkpoint(checkpoint(architecture, seed=seed, threshold=threshold), path)
    return path
