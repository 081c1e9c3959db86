"""Training of networks of CT: what a step does, and what a run learns from and validates on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.checkpoints.files import Checkpoint
from export.errors import DataError
from export.evaluation.engine import Bench, of_checkpoint
from export.networks import build_network
from export.networks.cogseg import CogSeg
from export.networks.unet_plus_plus import UNetPlusPlus
from export.tasks.ct.data import read_slices
from export.tasks.ct.evaluate import count
from export.tasks.ct.graph import windowed
from export.tasks.ct.losses import cogseg_terms, label_terms, supervised_terms
from export.tasks.ct.metrics import metrics
from export.tasks.ct.recipe import SliceRecipe
from export.tasks.ct.samples import Batch, Sampler, load_slice
from export.tasks.ct.spec import CT_CLASSES
from export.training.data import unshown, words_of
from export.training.loop import run_to_end
from export.training.recipe import RunOptions
from export.training.run import Run, with_channels_last

_NAMES = tuple(spec.name for spec in CT_CLASSES)
_SHOWN = ("infection_dsc", "infection_sensitivity", "miou", "ground-glass_dsc", "consolidation_dsc")
_SEGMENTATION = "segmentation."


class SliceRun(Run[SliceRecipe, Batch]):
    """A network of CT in training."""

    def __init__(self, recipe: SliceRecipe, options: RunOptions) -> None:
        """Start at step 0."""
        super().__init__(
            recipe,
            options,
            lambda: with_channels_last(build_network(recipe.network, recipe.width, recipe.depths or None)),
        )

    def start_from_network(self, checkpoint: Checkpoint) -> None:
        """Begin with every weight of another network that this one has too, in the same shape.

        CogSeg's encoder and segmentation decoder are those of the plain U-Net, known by their names without prefix.
        """
        given = checkpoint.state_dict
        bare = {key: key.removeprefix(_SEGMENTATION) for key in self.network.state_dict()}
        named = {key: given[key if key in given else own] for key, own in bare.items() if key in given or own in given}
        self.start_from(named, f"{checkpoint.architecture}, {checkpoint.recipe}, after {checkpoint.steps} steps")

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        units, whole, labels = self.tensors(batch.coarse, batch.fine, batch.labels)
        coarse, fine = (windowed(each, self.recipe.window) for each in (units, whole))
        terms = self._terms(coarse.contiguous(memory_format=torch.channels_last), fine, labels.long())
        self.descend(*terms.values())
        return {name: float(term.detach()) for name, term in terms.items()}

    def _terms(self, coarse: Tensor, fine: Tensor, labels: Tensor) -> dict[str, Tensor]:
        network, weights = self.network.train(), self.recipe.loss
        with self.arithmetic():
            answer: Any = network.supervised(coarse) if isinstance(network, UNetPlusPlus) else network(coarse)
        if isinstance(network, CogSeg):
            segmentation, sharpened = answer
            return cogseg_terms(segmentation, sharpened, labels, fine, weights)
        if isinstance(answer, tuple):
            return supervised_terms(answer, labels, weights)
        return label_terms(answer, labels, weights)


def train(recipe: SliceRecipe, data: Path, out: Path, options: RunOptions, start: Path | None = None) -> Path:
    """Train a network and return the path of its checkpoint; see `run_to_end`.

    Args:
        recipe: every choice of the run.
        data: a folder that `read_slices` takes, with the splits "train" and "val".
        out: the run's folder.
        options: the other choices.
        start: a checkpoint to begin with; every weight is taken over that the network has too, in the same shape.

    Raises:
        CheckpointError: ``start`` cannot be read, or the public encoder's weights are not there.
        DataError: ``data`` cannot be read, or lacks one of the splits.
        ValueError: ``last.pt`` is of another recipe.
    """
    slices = read_slices(data)
    training, validation = ([each for each in slices if each.split == split] for split in ("train", "val"))
    if not training or not validation:
        raise DataError(f"{data} lacks the split {'val' if training else 'train'}")
    loaded = [load_slice(each, recipe.window, recipe.size) for each in training]
    sampler = Sampler(loaded, recipe.window, recipe.draw, options.seed)
    run = SliceRun(recipe, options)
    run.begin(start, options.encoder)
    label_maps = [each.labels for each in loaded]
    run.untrained = unshown(label_maps, _NAMES)
    run.data = words_of(label_maps, _NAMES, "CT slices", "none with a lesion")

    def figures(checkpoint: Checkpoint) -> dict[str, float]:
        with Bench(of_checkpoint(checkpoint, device=options.device)) as bench:
            found = metrics(count(bench, bench.only, validation), _NAMES)
        return {name: found[name] for name in _SHOWN if name in found}

    return run_to_end(run, sampler.batch, figures, out, resume=options.resume)
