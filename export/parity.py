"""The parity gate: an exported file has to answer as the torch network does, or it is not built."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import onnxruntime
import torch
from maskgate_client.scenes import draw_scene
from numpy.typing import NDArray

from export.catalog import OUTPUTS
from export.errors import ParityError
from export.graph import ServedModel
from gateway.repository.card import Drift, Parity

TOLERANCE_PROBABILITY = 2 / 255
"""Largest difference of a quantised probability: two levels, of which rounding alone can make one."""

TOLERANCE_FLIPPED = 1e-3
"""Largest share of pixels whose label differs."""

FileFormat = Literal["onnx", "torchscript"]
Tiles = Literal["noise", "constant", "natural"]
Pixels = NDArray[np.uint8]
Runner = Callable[[Sequence[Pixels]], tuple[Pixels, Pixels]]
"""Takes one batch (N, T, T, 3) per input role, returns label map (N, T, T) and probabilities (N, T, T, C)."""


def prove(model: ServedModel, files: Mapping[FileFormat, bytes], tile: int, largest: int) -> Parity:
    """Compare exported files with `model` on every kind of tiles, in batches of 1, 3 and `largest`.

    Raises:
        ParityError: a comparison is beyond tolerance.
    """
    reference = _torch_runner(model)
    runners = {file_format: open_file(file, file_format, model.roles) for file_format, file in files.items()}
    return _judge(tuple(_compare(reference, runners, tile, len(model.roles), largest)))


def open_file(file: bytes, file_format: FileFormat, roles: Sequence[str]) -> Runner:
    """Return an exported file as a function of arrays, on the CPU; `roles` name its inputs in order."""
    return _open_onnx(file, roles) if file_format == "onnx" else _open_torchscript(file)


def _torch_runner(model: torch.nn.Module) -> Runner:
    """Return a module that takes and gives tensors as a function of arrays."""

    def run(images: Sequence[Pixels]) -> tuple[Pixels, Pixels]:
        with torch.inference_mode():
            label_map, probabilities = model(*(torch.from_numpy(image) for image in images))
        return label_map.numpy(), probabilities.numpy()

    return run


def _open_torchscript(file: bytes) -> Runner:
    with warnings.catch_warnings():
        # torch 2.13 deprecates TorchScript, which Triton still serves.
        warnings.filterwarnings("ignore", message=r".*torch\.jit\.", category=DeprecationWarning)
        return _torch_runner(torch.jit.load(io.BytesIO(file), map_location="cpu"))


def _open_onnx(file: bytes, roles: Sequence[str]) -> Runner:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

    def run(images: Sequence[Pixels]) -> tuple[Pixels, Pixels]:
        label_map, probabilities = session.run(list(OUTPUTS), dict(zip(roles, images, strict=True)))
        return label_map, probabilities

    return run


def draw_tiles(kind: Tiles, roles: int, count: int, tile: int) -> list[Pixels]:
    """Return `count` tiles for each of one or two roles, always the same: uint8, (count, tile, tile, 3)."""
    shape = (roles, count, tile, tile, 3)
    if kind == "noise":
        return list(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    if kind == "constant":
        # From mid-grey outwards; the second role runs the other way, so that a pair differs.
        levels = np.array([128, 0, 255, 64, 192, 32, 224, 96], np.uint8)
        rows = [np.resize(levels, count), np.resize(levels[::-1], count)][:roles]
        return [np.array(np.broadcast_to(row[:, None, None, None], shape[1:])) for row in rows]
    scenes = [draw_scene(seed, tile) for seed in range(count)]
    return [np.stack([scene.pre for scene in scenes]), np.stack([scene.post for scene in scenes])][:roles]


def _compare(
    reference: Runner, runners: Mapping[FileFormat, Runner], tile: int, roles: int, largest: int
) -> Iterator[Drift]:
    kinds: tuple[Tiles, ...] = ("noise", "constant", "natural")
    for kind in kinds:
        images = draw_tiles(kind, roles, largest, tile)
        for batch in sorted({1, min(3, largest), largest}):
            cut = [image[:batch] for image in images]
            truth = reference(cut)
            for file_format, run in runners.items():
                try:
                    answer = run(cut)
                # Each runtime has exceptions of its own, and a graph that fails differs from one that answers.
                except Exception as error:
                    message = f"{file_format} fails on {kind} tiles, batch {batch}: {type(error).__name__}"
                    raise ParityError(message) from error
                yield _drift(truth, answer, file_format, kind, batch)


def _drift(
    truth: tuple[Pixels, Pixels], answer: tuple[Pixels, Pixels], file_format: FileFormat, kind: Tiles, batch: int
) -> Drift:
    for name, wanted, got in zip(OUTPUTS, truth, answer, strict=True):
        if wanted.shape != got.shape or wanted.dtype != got.dtype:
            raise ParityError(
                f"{file_format} gives {name} as {got.dtype} {got.shape}, torch {wanted.dtype} {wanted.shape}"
            )
    levels = np.abs(truth[1].astype(np.int16) - answer[1])
    return Drift(
        format=file_format,
        tiles=kind,
        batch=batch,
        probability_difference=int(levels.max()) / 255,
        flipped_share=float(np.mean(truth[0] != answer[0])),
    )


def _judge(comparisons: tuple[Drift, ...]) -> Parity:
    def excess(drift: Drift) -> float:
        """Return the drift over its tolerance, of the worse of its two measures."""
        return max(drift.probability_difference / TOLERANCE_PROBABILITY, drift.flipped_share / TOLERANCE_FLIPPED)

    worst = max(comparisons, key=excess)
    if excess(worst) > 1:
        raise ParityError(
            f"{worst.format} on {worst.tiles} tiles, batch {worst.batch}: probabilities differ by up to "
            f"{worst.probability_difference:.4f} (tolerance {TOLERANCE_PROBABILITY:.4f}) and "
            f"{worst.flipped_share:.2%} of the labels flip (tolerance {TOLERANCE_FLIPPED:.2%})"
        )
    return Parity(
        tolerance_probability=TOLERANCE_PROBABILITY,
        tolerance_flipped=TOLERANCE_FLIPPED,
        versions={"torch": torch.__version__, "onnxruntime": onnxruntime.__version__},
        comparisons=comparisons,
    )
