"""Model folders that went through no parity gate, which takes longer than all the rest of a build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from export.build import publish
from export.checkpoints.files import Checkpoint
from export.graphs.contract import graph_of
from export.repository.cards import stated
from export.task import ModelSpec
from gateway.repository.card import Card
from gateway.repository.record import Drift, Parity
from gateway.repository.store import bytes_digest
from tests.support.exports import onnx_once


def write_unproven(root: Path, network: nn.Module, checkpoint: Checkpoint, entries: Sequence[ModelSpec]) -> list[Path]:
    """Write the ONNX folders of `entries`, those of one network, under `root` and return them."""
    cards, files = [], []
    for entry in entries:
        graph = graph_of(network, checkpoint, entry)
        files.append(onnx_once(graph))
        card = Card(
            **stated(entry, checkpoint, graph, "onnx"),
            figures=(),
            source_digest=f"sha256:{0:064x}",
            digests={"1": bytes_digest(files[-1])},
            parity=_UNPROVEN,
        )
        cards.append(card)
    return publish(cards, files, 1, root)


_UNPROVEN = Parity(
    tolerance_probability=0,
    tolerance_flipped=0,
    versions={},
    comparisons=(Drift(format="onnx", tiles="noise", batch=1),),
)
