"""From a checkpoint to the model folders that the gateway and Triton serve."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from export.checkpoints.files import read_checkpoint
from export.errors import BuildError
from export.graphs.contract import Graph, to_onnx, to_torchscript
from export.graphs.float16_weights import in_half_precision
from export.graphs.runners import FileFormat
from export.graphs.wrap import graph_of
from export.parity.cases import trials_of
from export.parity.gate import prove
from export.repository.cards import stated, threshold_of
from export.repository.publish import replacing
from export.repository.triton import config_text, write_config_files
from export.tasks.damage.figures import Measurement
from export.tasks.specs import Entry
from gateway.repository.card import Card, Weights, read_card, write_card
from gateway.repository.store import bytes_digest, file_digest, labels_text


def build(
    checkpoint_file: Path,
    entries: Sequence[Entry],
    repository: Path,
    *,
    file_format: FileFormat = "onnx",
    version: int = 1,
    measurement: Measurement | None = None,
    weights: Weights = "float16",
) -> list[Path]:
    """Write the models of `entries` with the weights of a checkpoint into `repository` and return their folders.

    The entries are those of one architecture: one, or an encoder and its head. Both formats are exported and have to
    pass the parity gate, whichever ships. ONNX files keep large `weights` as said, and compute in float32. A model that
    is there already keeps its other versions, and is replaced as a whole at the very end: until then nothing is
    written.

    Raises:
        CheckpointError: the file is no checkpoint, or its weights do not fit.
        BuildError: it is of another architecture, its figures are of another checkpoint, or the versions already
            there have another tensor contract.
        ParityError: an exported file answers otherwise than the network.
    """
    checkpoint = read_checkpoint(checkpoint_file)
    for entry in entries:
        if checkpoint.architecture != entry.architecture:
            raise BuildError(f"{entry.name} is a {entry.architecture}, the checkpoint a {checkpoint.architecture}")
    source_digest = file_digest(checkpoint_file)
    if measurement is not None and measurement.source_digest != source_digest:
        raise BuildError("the figures were measured on another checkpoint; run `python -m export evaluate` on this one")
    network = checkpoint.network()
    graphs = [graph_of(network, checkpoint, entry) for entry in entries]
    files = [_export(graph, weights) for graph in graphs]
    trials = trials_of(network, graphs, files, threshold_of(checkpoint, entries[0]))
    parity = prove(trials, min(entry.max_batch_size for entry in entries))
    cards = [
        Card(
            **stated(entry, checkpoint, graph, file_format, weights),
            figures=measurement.figures if measurement else (),
            source_digest=source_digest,
            digests={str(version): bytes_digest(written[file_format])},
            parity=parity,
        )
        for entry, graph, written in zip(entries, graphs, files, strict=True)
    ]
    return publish(cards, [written[file_format] for written in files], version, repository)


def publish(cards: Sequence[Card], model_files: Sequence[bytes], version: int, repository: Path) -> list[Path]:
    """Write the folders of cards and model files, with the other versions of models that are there already."""
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
