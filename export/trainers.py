"""What `python -m export train` does, per kind of network."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from export.checkpoints.files import Checkpoint, read_checkpoint
from export.errors import ExportError
from export.networks import CROPS, CT, FILMS, INTERACTIVE, WASTE
from export.tasks.building.recipe import crop_recipe
from export.tasks.building.train import train_crops
from export.tasks.ct.recipe import slice_recipe
from export.tasks.ct.train import train_slices
from export.tasks.damage.recipe import recipe
from export.tasks.damage.train import train
from export.tasks.interactive.recipe import click_recipe
from export.tasks.interactive.train import train_clicks
from export.tasks.radiograph.recipe import film_recipe
from export.tasks.radiograph.train import train_films
from export.tasks.waste.recipe import waste_recipe
from export.tasks.waste.starting import starting_weights
from export.tasks.waste.train import train_photos


def trainer_of(network: str) -> Callable[[argparse.Namespace], Path]:
    """Return what trains a network as the options of the command say, and returns the path of its checkpoint."""
    if network in INTERACTIVE:
        return _train_clicks
    if network in WASTE:
        return _train_photos
    if network in FILMS:
        return _train_films
    if network in CROPS:
        return _train_crops
    return _train_slices if network in CT else _train_damage


def _train_damage(options: argparse.Namespace) -> Path:
    _refuse_start(options, "damage")
    chosen = recipe(options.network, options.recipe)
    if options.scenes is not None:
        chosen = replace(chosen, scenes=options.scenes)
    return train(chosen, options.data, options.out, **_run_options(options))


def _train_crops(options: argparse.Namespace) -> Path:
    _refuse_start(options, "crops")
    chosen = crop_recipe(options.network, options.recipe)
    if options.scenes is not None:
        chosen = replace(chosen, scenes=options.scenes)
    return train_crops(chosen, options.data, options.out, **_run_options(options))


def _train_clicks(options: argparse.Namespace) -> Path:
    _refuse_scenes(options, "clicks")
    return train_clicks(
        click_recipe(options.network, options.recipe),
        options.data,
        options.out,
        **_run_options(options),
        start=_start(options),
    )


def _train_slices(options: argparse.Namespace) -> Path:
    _refuse_scenes(options, "CT")
    return train_slices(
        slice_recipe(options.network, options.recipe),
        options.data,
        options.out,
        **_run_options(options),
        start=_start(options),
    )


def _train_photos(options: argparse.Namespace) -> Path:
    _refuse_scenes(options, "waste")
    return train_photos(
        waste_recipe(options.network, options.recipe),
        options.data,
        options.out,
        **_run_options(options),
        start=starting_weights(options.start) if options.start else None,
    )


def _train_films(options: argparse.Namespace) -> Path:
    _refuse_scenes(options, "radiographs")
    return train_films(
        film_recipe(options.network, options.recipe),
        options.data,
        options.out,
        **_run_options(options),
        start=_start(options),
    )


def _refuse_start(options: argparse.Namespace, what: str) -> None:
    if options.start is not None:
        raise ExportError(f"a network of {what} starts from nothing")


def _refuse_scenes(options: argparse.Namespace, what: str) -> None:
    if options.data is None or options.scenes is not None:
        raise ExportError(f"a network of {what} learns from --data alone; no scenes are drawn for it")


def _start(options: argparse.Namespace) -> Checkpoint | None:
    return read_checkpoint(options.start) if options.start else None


def _run_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return what every kind of run is told alike."""
    return {name: getattr(options, name) for name in ("minutes", "device", "seed", "resume")}
