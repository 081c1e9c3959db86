"""Training of networks that find buildings as boxes: what a step does, and what a run learns from and validates on.

The loss is YOLOX's: which cells answer for which building (SimOTA), and how well they do.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint
from export.evaluation.engine import Bench, of_checkpoint
from export.networks import architecture_of, build_network
from export.networks.colours import normalise
from export.networks.yolox import GRADES, cells
from export.tasks.damage.boxes.data import read_numbered, read_truth
from export.tasks.damage.boxes.evaluate import find
from export.tasks.damage.boxes.metrics import metrics
from export.tasks.damage.boxes.recipe import BoxRecipe
from export.tasks.damage.boxes.samples import Batch, Sampler
from export.tasks.damage.data import UNCLASSIFIED, training_and_validation, words_of
from export.training.loop import run_to_end
from export.training.recipe import RunOptions
from export.training.run import Run, with_channels_last

_REACH = 1.5
"""Strides from the middle of a building to that of a cell that may answer for it."""

_BOX_WEIGHT, _OVERLAP_COST, _OUT_OF_REACH = 5.0, 3.0, 1e6
_MOST_OVERLAPS = 10


class BoxRun(Run[BoxRecipe, Batch]):
    """A network of boxes in training."""

    def __init__(self, recipe: BoxRecipe, options: RunOptions) -> None:
        """Start at step 0."""
        super().__init__(
            recipe, options, lambda: with_channels_last(build_network(recipe.network, recipe.width, recipe.depths))
        )

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        colours = architecture_of(self.recipe.network).colours
        pre, post = (normalise(images, self.device, colours) for images in (batch.pre, batch.post))
        boxes = [self.tensors(truth.boxes)[0].float() for truth in batch.truths]
        values = [self.tensors(truth.values)[0] for truth in batch.truths]
        self.network.train()
        with self.arithmetic():
            answers = self.network(pre, post)
        loss, parts = detection_loss(answers.float(), boxes, values, pre.shape[-1])
        self.descend(loss)
        return parts


def train(recipe: BoxRecipe, data: Path | None, out: Path, options: RunOptions, start: Path | None = None) -> Path:
    """Train a network and return the path of its checkpoint; see `run_to_end`.

    Args:
        recipe: every choice of the run.
        data: an xBD folder; None trains and validates on drawn scenes alone.
        out: the run's folder.
        options: the other choices.
        start: a checkpoint to begin with; every weight is taken over that the network has too, in the same shape.

    Raises:
        CheckpointError: ``start`` cannot be read, or the public encoder's weights are not there.
        DataError: ``data`` cannot be read.
        ValueError: there is nothing to train on, or ``last.pt`` is of another recipe.
    """
    training, scenes, validation = training_and_validation(data, recipe.scenes)
    # On a label map alone buildings that touch are one: whole blocks of a town.
    training = [pair for pair in training if pair.polygons] or training
    photographs, drawn = ([read_numbered(pair) for pair in pairs] for pairs in (training, scenes))
    sampler = Sampler(photographs, drawn, recipe.draw, options.seed, [pair.event for pair in training])
    run = BoxRun(recipe, options)
    run.begin(start, options.encoder)
    run.data = words_of(training, recipe.scenes)
    truths = [read_truth(pair) for pair in validation]

    def figures(checkpoint: Checkpoint) -> dict[str, float]:
        with Bench(of_checkpoint(checkpoint, device=options.device)) as bench:
            return metrics(find(bench, bench.only, validation), truths)

    return run_to_end(run, sampler.batch, figures, out, resume=options.resume)


def detection_loss(
    answers: Tensor, boxes: list[Tensor], values: list[Tensor], size: int
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss to minimise and its parts by name.

    Args:
        answers: (N, A, 5 + GRADES), as `YOLOX` gives them.
        boxes: per image (n, 4), x0, y0, x1, y1 in pixels.
        values: per image (n,), 1 to 4, or 255: cells within such a building are not told whether there is one.
        size: side of the images.
    """
    middles, strides = (each.to(answers.device) for each in cells(size, size))
    images = zip(answers, boxes, values, strict=True)
    parts = [_of_image(answer, corners, graded, middles, strides) for answer, corners, graded in images]
    positives = max(1, sum(count for _, count in parts))
    found, building, grade = (torch.stack([losses[index] for losses, _ in parts]).sum() for index in range(3))
    terms = {"boxes": _BOX_WEIGHT * found / positives, "buildings": building / positives, "grades": grade / positives}
    return torch.stack(list(terms.values())).sum(), {name: float(term.detach()) for name, term in terms.items()}


def _of_image(
    answer: Tensor, boxes: Tensor, values: Tensor, middles: Tensor, strides: Tensor
) -> tuple[tuple[Tensor, Tensor, Tensor], int]:
    """Return the losses of boxes, of "a building" and of grades, summed, and how many cells answer for one."""
    judged = values != UNCLASSIFIED
    unjudged = within(middles, boxes[~judged]).any(dim=0)
    boxes, grades = boxes[judged], values[judged].long() - 1
    building, target = answer[:, 4], torch.zeros_like(answer[:, 4])
    if not len(boxes):
        entropy = F.binary_cross_entropy_with_logits(building, target, reduction="none")
        return (answer[:0].sum(), entropy[~unjudged].sum(), answer[:0].sum()), 0
    answering, whose = assign(answer.detach(), boxes, grades, middles, strides)
    target[answering] = 1.0
    entropy = F.binary_cross_entropy_with_logits(building, target, reduction="none")
    shared = overlaps(_corners(answer[answering, :4]), boxes[whose]).diagonal()
    wanted = F.one_hot(grades[whose], GRADES) * shared.detach()[:, None]
    graded = F.binary_cross_entropy_with_logits(answer[answering, 5:], wanted, reduction="sum")
    told = ~unjudged | (target > 0)
    return ((1 - shared**2).sum(), entropy[told].sum(), graded), len(answering)


def assign(answer: Tensor, boxes: Tensor, grades: Tensor, middles: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """Return which cells answer for a building, and for which: (k,) of the cells, (k,) of the buildings.

    A building takes as many cells as the overlaps of its ten best boxes add up to, the cheapest; a cell that several
    take is the one's that it is cheapest for.

    Args:
        answer: (A, 5 + GRADES), of one image.
        boxes: (n, 4), one at least.
        grades: (n,), 0 to 3.
        middles: (A, 2), as `cells` has them.
        strides: (A).
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    near = ((middles - centres[:, None]).abs() < _REACH * strides[:, None]).all(dim=-1)
    candidates = near.any(dim=0).nonzero()[:, 0]
    near, said = near[:, candidates], answer[candidates]
    shared = overlaps(boxes, _corners(said[:, :4]))
    likely = (said[:, 4:5].sigmoid() * said[:, 5:].sigmoid()).sqrt().clamp(1e-6, 1 - 1e-6)
    # Cross-entropy of every cell's grades with each building's.
    without = -torch.log1p(-likely)
    entropy = without.sum(dim=1) + (-likely.log() - without).T[grades]
    cost = entropy - _OVERLAP_COST * (shared + 1e-8).log() + _OUT_OF_REACH * ~near
    most = min(_MOST_OVERLAPS, len(candidates))
    wanted = shared.topk(most, dim=1).values.sum(dim=1).long().clamp_min(1)
    taken = (cost.argsort(dim=1).argsort(dim=1) < wanted[:, None]) & near
    cheapest = cost.masked_fill(~taken, torch.inf).argmin(dim=0)
    answering = taken.any(dim=0).nonzero()[:, 0]
    return candidates[answering], cheapest[answering]


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of each of (n, 4) boxes with each of (m, 4), x0, y0, x1, y1: (n, m)."""
    low, high = torch.maximum(first[:, None, :2], second[:, :2]), torch.minimum(first[:, None, 2:], second[:, 2:])
    common = (high - low).clamp_min(0).prod(dim=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=-1) for boxes in (first, second)]
    return common / (areas[0][:, None] + areas[1] - common).clamp_min(1e-8)


def within(points: Tensor, boxes: Tensor) -> Tensor:
    """Return whether each of (A, 2) points lies in each of (n, 4) boxes: (n, A)."""
    return ((points > boxes[:, None, :2]) & (points < boxes[:, None, 2:])).all(dim=-1)


def _corners(boxes: Tensor) -> Tensor:
    """Return (n, 4) boxes of middle and size by their corners."""
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], dim=1)
