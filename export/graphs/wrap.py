"""From a network and its entry in the catalogue to the graph that is exported."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from export.checkpoints.files import Checkpoint
from export.graphs.contract import Graph
from export.networks import colours_of
from export.networks.cogseg import CogSeg
from export.networks.iog import IOGRefine
from export.networks.keras_layers import FilmNetwork
from export.networks.resnet import stage_channels
from export.tasks.building.graph import ServedBuilding
from export.tasks.ct.graph import ServedSharpening, ServedSlice, labelling
from export.tasks.damage.graph import serve
from export.tasks.interactive.graph import ServedCrop, ServedEncoder, ServedHead
from export.tasks.radiograph.graph import ServedFilm
from export.tasks.specs import ClickEntry, CropEntry, DamageEntry, Entry, FilmEntry, SliceEntry, WasteEntry
from export.tasks.waste.catalogue import LABEL_SETS
from export.tasks.waste.graph import serve_photo
from gateway.vision.windowing import Window


def graph_of(network: nn.Module, checkpoint: Checkpoint, entry: Entry) -> Graph:
    """Return the graph that `entry` wants of `checkpoint.network()`.

    Raises:
        ValueError: the network cannot be served so.
    """
    if isinstance(entry, DamageEntry):
        served = serve(network, entry.inputs, checkpoint.framing, colours_of(checkpoint.architecture))
        return Graph(served, entry.input_specs(), entry.output_specs())
    if isinstance(entry, CropEntry):
        return Graph(ServedBuilding(network), entry.input_specs(checkpoint.size), entry.output_specs())
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
