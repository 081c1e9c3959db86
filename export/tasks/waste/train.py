"""Training of networks of waste: what a step does, and what a run begins with, learns from and validates on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from export.checkpoints.files import Checkpoint, load, read_checkpoint
from export.checkpoints.importing import weights_in
from export.evaluation.engine import Bench, of_checkpoint
from export.networks import architecture_of, build_network
from export.networks.cct import CCT
from export.networks.colours import normalise
from export.networks.fanet import is_backbone_alone
from export.networks.reco import ReCo
from export.networks.uperhead import UPerNet
from export.tasks.waste.consistency import consistency_terms
from export.tasks.waste.contrast import contrast_terms
from export.tasks.waste.data import LabelledPhoto, read_photos
from export.tasks.waste.evaluate import count, metrics
from export.tasks.waste.losses import terms
from export.tasks.waste.recipe import WasteRecipe
from export.tasks.waste.samples import Batch, Sampler, load_photo
from export.tasks.waste.spec import LABEL_SETS, scale_of
from export.training.data import unshown, words_of
from export.training.loop import run_to_end
from export.training.normed import folded, normalised
from export.training.recipe import RunOptions
from export.training.run import Run, with_channels_last

_BACKBONE = "backbone."


class WasteRun(Run[WasteRecipe, Batch]):
    """A network of waste in training."""

    def __init__(self, recipe: WasteRecipe, label_set: str, options: RunOptions) -> None:
        """Start at step 0."""
        classes = len(LABEL_SETS[label_set])
        super().__init__(recipe, options, lambda: with_channels_last(_build(recipe, classes)))
        self.label_set, self.colours = label_set, architecture_of(recipe.network).colours

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        images = normalise(batch.images, self.device, self.colours)
        [labels] = self.tensors(batch.labels)
        network = self.network.train()
        # What dropout and stochastic depth draw follows from seed and step: a resumed run draws it again.
        torch.manual_seed((self.seed << 32) + self.step)
        with self.arithmetic():
            found = self._terms(network, images, labels.long())
        self.descend(*found.values())
        return {name: float(term.detach()) for name, term in found.items()}

    def _terms(self, network: nn.Module, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the losses that the network's authors train it with."""
        loss = self.recipe.loss
        if isinstance(network, ReCo):
            return contrast_terms(network, self.average, images, labels, loss)
        if isinstance(network, CCT):
            return consistency_terms(network, images, labels, loss, self.progress)
        logits = network.with_auxiliary(images) if isinstance(network, UPerNet) else (network(images),)
        return terms(logits, labels, loss)

    def kept(self) -> nn.Module:
        """Return the averaged network, its normalisation folded away."""
        return folded(self.average) if self.recipe.normalised else self.average

    def checkpoint(self) -> Checkpoint:
        """Return the averaged weights with what a card says of them."""
        return replace(super().checkpoint(), classes=self.label_set)


def train(recipe: WasteRecipe, data: Path, out: Path, options: RunOptions, start: Path | None = None) -> Path:
    """Train a network and return the path of its checkpoint; see `run_to_end`.

    The photographs of the training are held in memory at the recipe's scale.

    Args:
        recipe: every choice of the run.
        data: a folder that `read_photos` takes, with the splits "train" and "val".
        out: the run's folder.
        options: the other choices.
        start: weights to begin with, see `starting_weights`; each is taken over that the network has in the same shape.

    Raises:
        CheckpointError: ``start`` cannot be read, or the public encoder's weights are not there.
        DataError: ``data`` cannot be read, or lacks one of the splits.
        ValueError: ``last.pt`` is of another recipe.
    """
    photos = read_photos(data)
    training, validation = photos.of("train"), photos.of("val")
    names = tuple(spec.name for spec in LABEL_SETS[photos.label_set])
    scale = scale_of(recipe.size)
    known, unknown = _parted(training, recipe.labelled)
    loaded, bare = (
        [load_photo(each, scale.short, scale.long, len(names)) for each in part] for part in (known, unknown)
    )
    sampler = Sampler(loaded, recipe.draw, options.seed, [each.without_labels() for each in bare])
    run = WasteRun(recipe, photos.label_set, options)
    if start is not None:
        run.start_from(*starting_weights(start))
    elif recipe.pretrained:
        run.start_from_imagenet(options.encoder)
    label_maps = [each.labels for each in loaded]
    run.untrained = unshown(label_maps, names)
    run.data = words_of(label_maps, names, "photographs", "none with waste")
    if bare:
        run.data += f", and {len(bare)} without labels"

    def figures(checkpoint: Checkpoint) -> dict[str, float]:
        with Bench(of_checkpoint(checkpoint, device=options.device)) as bench:
            found = metrics(count(bench, bench.only, validation), names)
        return {name: found[name] for name in found if not name.endswith("_accuracy") or name == "pixel_accuracy"}

    return run_to_end(run, sampler.batch, figures, out, resume=options.resume)


def starting_weights(path: Path) -> tuple[Mapping[str, Tensor], str]:
    """Return weights by the names that `FANetUPer` has for them, and in words whose they are.

    A checkpoint of ours is taken as it is, and so are mmsegmentation's model files; a file of FANet's backbone alone,
    such as one pretrained on ImageNet, becomes the backbone.

    Raises:
        CheckpointError: the file cannot be read, or holds more than weights.
    """
    content = load(path)
    if isinstance(content, dict) and "architecture" in content and "state_dict" in content:
        checkpoint = read_checkpoint(path)
        origin = f"{checkpoint.architecture}, {checkpoint.recipe}, after {checkpoint.steps} steps"
        return checkpoint.state_dict, origin
    weights = weights_in(content, path)
    if is_backbone_alone(weights):
        return {_BACKBONE + key: weight for key, weight in weights.items()}, "a backbone's file"
    return weights, "another program's model"


def _parted(photos: Sequence[LabelledPhoto], share: float) -> tuple[list[LabelledPhoto], list[LabelledPhoto]]:
    """Return the photographs whose labels are learnt from, `share` of them evenly spread, and the others."""
    known = [math.floor((number + 1) * share) > math.floor(number * share) for number in range(len(photos))]
    pairs = list(zip(photos, known, strict=True))
    return [photo for photo, chosen in pairs if chosen], [photo for photo, chosen in pairs if not chosen]


def _build(recipe: WasteRecipe, classes: int) -> nn.Module:
    network = build_network(recipe.network, recipe.width, recipe.depths, classes)
    return normalised(network) if recipe.normalised else network
