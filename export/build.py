"""From a checkpoint to the model folders that the gateway and Triton serve."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from export.checkpoints.files import read_checkpoint
from export.errors import BuildError
from export.evaluation.figures import Measurement
from export.graphs.contract import Graph, graph_of, to_onnx, to_torchscript
from export.graphs.precision import in_half_precision, in_integers
from export.graphs.runners import FileFormat
from export.parity.cases import cases_of
from export.parity.gate import prove
from export.registry import TASKS, task_of_model
from export.repository.cards import stated
from export.repository.triton import config_text, write_config_files
from export.task import ModelSpec
from gateway.registry import Registry
from gateway.repository.card import Card, Weights, read_card, write_card
from gateway.repository.store import bytes_digest, file_digest, labels_text


def build(
    checkpoint_file: Path,
    specs: Sequence[ModelSpec],
    repository: Path,
    *,
    file_format: FileFormat = "onnx",
    version: int = 1,
    measurement: Measurement | None = None,
    weights: Weights = "float16",
    data: Path | None = None,
) -> list[Path]:
    """Write the models of `specs` with the weights of a checkpoint into `repository` and return their folders.

    The specs are those of one architecture: one, or an encoder and its head. Both formats are exported and have to
    pass the parity gate, whichever ships. ONNX files keep large `weights` as said, and compute in float32, or with
    `weights` of int8 in integers: then the file in float32 has to pass first; the one in integers has tolerances of its
    own, is calibrated on the split "train" of `data` and judged by its split "val". A model that is there already keeps
    its other versions, and is replaced as a whole at the very end: until then nothing is written.

    Raises:
        CheckpointError: the file is no checkpoint, or its weights do not fit.
        BuildError: it is of another architecture, its figures are of another checkpoint, or the versions already
            there have another tensor contract; or integers are wanted without `data`, of a task that has none, or
            lose too much.
        DataError: `data` cannot be read.
        ParityError: an exported file answers otherwise than the network.
    """
    checkpoint = read_checkpoint(checkpoint_file)
    for spec in specs:
        if checkpoint.architecture != spec.architecture:
            raise BuildError(f"{spec.name} is a {spec.architecture}, the checkpoint a {checkpoint.architecture}")
    if weights == "int8":
        _check_integers(specs, file_format, data)
    source_digest = file_digest(checkpoint_file)
    if measurement is not None and measurement.source_digest != source_digest:
        raise BuildError("the figures were measured on another checkpoint; run `python -m export evaluate` on this one")
    network = checkpoint.network()
    graphs = [graph_of(network, checkpoint, spec) for spec in specs]
    files = [_export(graph, weights) for graph in graphs]
    cases = cases_of(network, specs, graphs, files, specs[0].threshold_of(checkpoint.threshold))
    parity = prove(cases, min(spec.max_batch_size for spec in specs))
    cards = [
        Card(
            **stated(spec, checkpoint, graph, file_format, weights),
            figures=measurement.figures if measurement else (),
            source_digest=source_digest,
            digests={str(version): bytes_digest(written[file_format])},
            parity=parity,
        )
        for spec, graph, written in zip(specs, graphs, files, strict=True)
    ]
    if weights == "int8" and data is not None:
        integers = _in_integers(specs[0], network, graphs[0], files[0]["onnx"], cards[0], data)
        return publish([integers.card], [integers.file], version, repository)
    return publish(cards, [written[file_format] for written in files], version, repository)


def publish(cards: Sequence[Card], model_files: Sequence[bytes], version: int, repository: Path) -> list[Path]:
    """Write the folders of cards and model files, with the other versions of models that are there already.

    Raises:
        ValueError: a card is not what its task asks for.
        BuildError: other versions are there that it is not true of.
    """
    for card in cards:
        Registry.discover().check(card)
    targets = [repository / card.name for card in cards]
    kept = [_other_versions(card, version, target) for card, target in zip(cards, targets, strict=True)]
    with replacing(targets) as folders:
        for card, others, target, folder, content in zip(cards, kept, targets, folders, model_files, strict=True):
            for other in others:
                shutil.copytree(target / other, folder / other)
            (folder / str(version)).mkdir()
            (folder / str(version) / card.model_file).write_bytes(content)
            write_config_files(card, folder)
            (folder / "labels.txt").write_text(labels_text(card), encoding="utf-8")
            write_card(card.model_copy(update={"digests": {**others, **card.digests}}), folder / "card.json")
    return targets


def _export(graph: Graph, weights: Weights) -> Mapping[FileFormat, bytes]:
    onnx_file = to_onnx(graph)
    stored = in_half_precision(onnx_file) if weights == "float16" else onnx_file
    return {"onnx": stored, "torchscript": to_torchscript(graph)}


def _check_integers(specs: Sequence[ModelSpec], file_format: FileFormat, data: Path | None) -> None:
    if len(specs) != 1 or not task_of_model(specs[0]).integers or file_format != "onnx":
        able = " or ".join(task.name for task in TASKS.values() if task.integers)
        raise BuildError(f"models of {able} alone compute in integers, as ONNX files")
    if data is None:
        raise BuildError("a model in integers is calibrated on labelled data and judged by it: name the folder")


@dataclass(frozen=True)
class _Integers:
    """A model file in integers, and what its card says."""

    card: Card
    file: bytes


def _in_integers(
    spec: ModelSpec, network: nn.Module, graph: Graph, onnx_file: bytes, card: Card, data: Path
) -> _Integers:
    """Return a model in integers that has passed the gates of parity and of quality.

    Args:
        spec: of the model.
        network: in evaluation mode.
        graph: of the network.
        onnx_file: in float32.
        card: of that file, with its one version.
        data: see `build`.
    """
    task = task_of_model(spec)
    precision = task.module(task.integers)
    images = precision.labelled_images(data)
    file = in_integers(onnx_file, precision.calibration(spec, images))
    parity = prove(
        cases_of(network, [spec], [graph], [{"onnx": file}], card.threshold), card.max_batch_size, integers=True
    )
    [version] = card.digests
    told = {"digests": {version: bytes_digest(file)}, "parity": parity}
    return _Integers(
        card.model_copy(update={**told, "quality": precision.judged(card, (onnx_file, file), images)}), file
    )


def _other_versions(card: Card, version: int, target: Path) -> dict[str, str]:
    """Return version → digest of what stays. One card and one configuration have to be true of all versions."""
    if not target.exists():
        return {}
    try:
        former = read_card(target / "card.json")
    except (OSError, ValueError) as error:
        raise BuildError(f"the card of the model that is there already cannot be read; remove {target.name}") from error
    others = {number: digest for number, digest in former.digests.items() if number != str(version)}
    if others and _contract(former) != _contract(card):
        raise BuildError(f"version {', '.join(others)} has another tensor contract; remove it or build elsewhere")
    return others


def _contract(card: Card) -> tuple[object, ...]:
    return config_text(card), card.threshold, card.clicks, card.window, card.crop


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def replacing(targets: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield an empty folder for each of `targets`, all in one place, that become these when the block ends.

    They are made beside their targets, hidden, since only within one file system is renaming atomic. When the block
    raises, every target stays as it was. Folders that belong together change one right after the other: whoever looks
    between the two renames sees some of them new, which no order of steps can prevent.

    Raises:
        OSError: the place of the targets cannot be written; no target, or none but the first ones, has changed.
    """
    place = targets[0].parent
    place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place, prefix=".") as staging:
        # Not the temporary folder itself: that one is readable by nobody else, and a server often is somebody else.
        folders = [Path(staging) / target.name for target in targets]
        for folder in folders:
            folder.mkdir()
        yield folders
        for folder, target in zip(folders, targets, strict=True):
            if target.exists():
                _exchange(folder, target)
            else:
                folder.rename(target)


def _exchange(new: Path, old: Path) -> None:
    """Swap two folders in one step, or where the system cannot (it is Linux's alone), in two."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        code = errno.ENOSYS
    else:
        failed = rename(_AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _RENAME_EXCHANGE)
        code = ctypes.get_errno() if failed else 0
    if code in (errno.ENOSYS, errno.EINVAL):
        old.rename(new.with_name(f"replaced {old.name}"))
        new.rename(old)
    elif code:
        raise OSError(code, os.strerror(code), str(old))
