"""From a checkpoint to a model folder that the gateway and Triton serve."""

from __future__ import annotations

import shutil
from pathlib import Path

from export.catalog import Entry
from export.checkpoints import Checkpoint, read_checkpoint
from export.errors import BuildError
from export.figures import Measurement
from export.graph import serve, to_onnx, to_torchscript
from export.parity import FileFormat, prove
from export.publish import replacing
from export.triton import config_text, write_config_files
from gateway.repository.card import Card, Figures, Network, Parity, Training, read_card, write_card
from gateway.repository.store import bytes_digest, file_digest, labels_text


def build(
    checkpoint_file: Path,
    entry: Entry,
    repository: Path,
    *,
    file_format: FileFormat = "onnx",
    version: int = 1,
    measurement: Measurement | None = None,
) -> Path:
    """Write `entry`'s model with the weights of a checkpoint into `repository` and return its folder.

    Both formats are exported and have to pass the parity gate, whichever ships. A model that is there already keeps
    its other versions, and is replaced as a whole at the very end: until then nothing is written.

    Raises:
        CheckpointError: the file is no checkpoint, or its weights do not fit.
        BuildError: it is of another architecture, its figures are of another checkpoint, or the versions already
            there have another tensor contract.
        ParityError: an exported file answers otherwise than the network.
    """
    checkpoint = read_checkpoint(checkpoint_file)
    if checkpoint.architecture != entry.architecture:
        raise BuildError(f"{entry.name} is a {entry.architecture}, the checkpoint a {checkpoint.architecture}")
    source_digest = file_digest(checkpoint_file)
    if measurement is not None and measurement.source_digest != source_digest:
        raise BuildError("the figures were measured on another checkpoint; run `python -m export evaluate` on this one")
    network = checkpoint.network()
    model = serve(network, entry.inputs, checkpoint.framing)
    files: dict[FileFormat, bytes] = {
        "onnx": to_onnx(model, entry.tile),
        "torchscript": to_torchscript(model, entry.tile),
    }
    parity = prove(model, files, entry.tile, entry.max_batch_size)
    card = _card(
        entry,
        checkpoint,
        file_format,
        parity=parity,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        figures=measurement.figures if measurement else (),
        source_digest=source_digest,
        digests={str(version): bytes_digest(files[file_format])},
    )
    return _write(card, version, files[file_format], repository / entry.name)


def _card(
    entry: Entry,
    checkpoint: Checkpoint,
    file_format: FileFormat,
    *,
    parity: Parity,
    parameters: int,
    figures: tuple[Figures, ...],
    source_digest: str,
    digests: dict[str, str],
) -> Card:
    return Card(
        name=entry.name,
        title=entry.title,
        task="damage",
        summary=entry.summary,
        format=file_format,
        inputs=entry.input_specs(),
        outputs=entry.output_specs(file_format),
        max_batch_size=entry.max_batch_size,
        overlap=entry.overlap,
        classes=entry.classes,
        threshold=checkpoint.threshold,
        network=Network(
            architecture=checkpoint.architecture,
            width=checkpoint.width,
            parameters=parameters,
            reduction=checkpoint.reduction,
            post_tint=checkpoint.post_tint,
        ),
        training=Training(
            data=checkpoint.data,
            recipe=checkpoint.recipe,
            steps=checkpoint.steps,
            seconds=checkpoint.seconds,
            device=checkpoint.device,
            hyperparameters={**checkpoint.hyperparameters, "seed": checkpoint.seed},
        ),
        figures=figures,
        licence=checkpoint.licence or entry.licence,
        intended_use=entry.intended_use,
        limitations=entry.limitations,
        source_digest=source_digest,
        digests=digests,
        parity=parity,
    )


def _write(card: Card, version: int, model_file: bytes, target: Path) -> Path:
    """Write the folder, with the other versions of a model that is there already."""
    kept = _other_versions(card, version, target)
    card = card.model_copy(update={"digests": {**kept, **card.digests}})
    with replacing(target) as folder:
        for other in kept:
            shutil.copytree(target / other, folder / other)
        (folder / str(version)).mkdir()
        (folder / str(version) / card.model_file).write_bytes(model_file)
        write_config_files(card, folder)
        (folder / "labels.txt").write_text(labels_text(card), encoding="utf-8")
        write_card(card, folder / "card.json")
    return target


def _other_versions(card: Card, version: int, target: Path) -> dict[str, str]:
    """Return version → digest of what stays. One card and one configuration have to be true of all versions."""
    if not target.exists():
        return {}
    try:
        former = read_card(target / "card.json")
    except (OSError, ValueError) as error:
        raise BuildError(f"the card of the model that is there already cannot be read; remove {target.name}") from error
    others = {number: digest for number, digest in former.digests.items() if number != str(version)}
    if others and (config_text(former), former.threshold) != (config_text(card), card.threshold):
        raise BuildError(f"version {', '.join(others)} has another tensor contract; remove it or build elsewhere")
    return others
