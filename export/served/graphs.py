"""From a network and its entry in the catalogue to the graph that is exported."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from export.architectures.cogseg import CogSeg
from export.architectures.iog import IOGRefine
from export.architectures.keras_layers import FilmNetwork
from export.architectures.resnet import stage_channels
from export.catalog.waste import LABEL_SETS
from export.checkpoints import Checkpoint
from export.entries import ClickEntry, DamageEntry, Entry, FilmEntry, SliceEntry, WasteEntry
from export.graph import Graph
from export.served.clicks import ServedCrop, ServedEncoder, ServedHead
from export.served.ct import ServedSharpening, ServedSlice, labelling
from export.served.damage import serve
from export.served.films import ServedFilm
from export.served.waste import serve_photo
from gateway.vision.windowing import Window


def graph_of(network: nn.Module, checkpoint: Checkpoint, entry: Entry) -> Graph:
    """Return the graph that `entry` wants of `checkpoint.network()`.

    Raises:
        ValueError: the network cannot be served so.
    """
    if isinstance(entry, DamageEntry):
        served = serve(network, entry.inputs, checkpoint.framing)
        return Graph(served, entry.input_specs(), entry.output_specs())
    if isinstance(entry, SliceEntry):
        slices = _slices(network, checkpoint, entry)
        return Graph(slices, entry.input_specs(checkpoint.size), entry.output_specs(checkpoint.size))
    if isinstance(entry, WasteEntry):
        photos = serve_photo(network, checkpoint.threshold)
        classes = len(LABEL_SETS[checkpoint.classes])
        return Graph(photos, entry.input_specs(checkpoint.size), entry.output_specs(checkpoint.size, classes))
    if isinstance(entry, FilmEntry):
        return _film(cast(FilmNetwork, network), checkpoint.size, entry)
    size, channels = checkpoint.size, stage_channels(checkpoint.width)
    return Graph(_clicked(network, entry), entry.input_specs(size, channels), entry.output_specs(size, channels))


def _slices(network: nn.Module, checkpoint: Checkpoint, entry: SliceEntry) -> nn.Module:
    window = Window(*checkpoint.window)
    if not entry.sharpens:
        return ServedSlice(labelling(network), window, checkpoint.threshold)
    if not isinstance(network, CogSeg):
        raise ValueError(f"a {entry.architecture} sharpens nothing")
    return ServedSharpening(network.sharpening(), window)


def _film(network: FilmNetwork, size: int, entry: FilmEntry) -> Graph:
    with torch.inference_mode():
        rows, columns = network.backbone(torch.zeros(1, 3, size, size)).shape[2:]
    return Graph(ServedFilm(network), entry.input_specs(size), entry.output_specs((rows, columns)))


def _clicked(network: nn.Module, entry: ClickEntry) -> nn.Module:
    if entry.part == "whole":
        return ServedCrop(network)
    if not isinstance(network, IOGRefine):
        raise ValueError(f"a {entry.architecture} has no {entry.part}")
    return ServedEncoder(network) if entry.part == "encoder" else ServedHead(network)
