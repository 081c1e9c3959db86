"""Training of networks that take off clouds: what a step does, and what a run learns from and validates on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from export.checkpoints.files import Checkpoint
from export.evaluation.engine import Bench, of_checkpoint
from export.networks import build_network
from export.networks.colours import normalise
from export.networks.pix2pix import LAYOUTS, SIGNED, Discriminator
from export.tasks.restore.data import drawn, read_grounds
from export.tasks.restore.evaluate import means, restorations
from export.tasks.restore.recipe import RestoreRecipe
from export.tasks.restore.samples import Batch, Sampler, load
from export.training.data import few_of_each_source
from export.training.loop import run_to_end
from export.training.recipe import RunOptions
from export.training.run import Run
from export.training.schedule import learning_rate

_WATCHED = 2
_REAL_SHARE = 0.5
"""Of the discriminator's loss that is followed: it learns half as fast as the generator, as in pix2pix."""


class RestoreRun(Run[RestoreRecipe, Batch]):
    """A generator in training, and the discriminator that it is to deceive. Both compute in float32.

    Attributes:
        rival: the discriminator; a checkpoint does not hold it, ``last.pt`` does.
    """

    def __init__(self, recipe: RestoreRecipe, options: RunOptions) -> None:
        """Start at step 0."""
        super().__init__(recipe, options, lambda: build_network(recipe.network, recipe.width, recipe.depths))
        self.rival = Discriminator(recipe.width, batch=LAYOUTS[recipe.depths].batch).to(self.device)
        self._rival_optimiser = torch.optim.AdamW(
            self.rival.parameters(),
            lr=recipe.learning_rate,
            betas=(recipe.momentum, 0.999),
            weight_decay=recipe.weight_decay,
        )

    def learn(self, batch: Batch) -> dict[str, float]:
        """Take one step of both networks on a batch and return the losses by name."""
        cloudy, clear = (normalise(images, self.device, SIGNED) for images in (batch.cloudy, batch.clear))
        [cover] = self.tensors(batch.cover)
        found, found_cover = self.network.train()(cloudy)
        judged = slice(None, self.recipe.judged or None)
        self._teach(cloudy[judged], clear[judged], found[judged].detach())
        # Its weights stand still while the generator learns from it.
        self.rival.requires_grad_(requires_grad=False)
        deceived = F.softplus(-self.rival(cloudy[judged], found[judged])).mean()
        self.rival.requires_grad_()
        pixels = F.l1_loss(found, clear)
        covered = F.mse_loss(found_cover[:, 0], cover.float() / 255)
        self.descend(deceived, self.recipe.pixels * pixels, self.recipe.cover * covered)
        named = {"adversarial": deceived, "pixels": pixels, "cover": covered}
        return {name: float(loss.detach()) for name, loss in named.items()}

    def state(self) -> dict[str, Any]:
        """Return what `Run` returns, and the discriminator."""
        rival = {"rival": self.rival.state_dict(), "rival_optimiser": self._rival_optimiser.state_dict()}
        return {**super().state(), **rival}

    def take(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        super().take(state)
        self.rival.load_state_dict(state["rival"])
        self._rival_optimiser.load_state_dict(state["rival_optimiser"])

    def _teach(self, cloudy: Tensor, clear: Tensor, found: Tensor) -> None:
        """Take one step of the discriminator: the ground is real, what was drawn is not."""
        for group in self._rival_optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe.learning_rate, self.recipe.schedule, self.progress)
        real, false = self.rival(torch.cat([cloudy, cloudy]), torch.cat([clear, found])).chunk(2)
        loss = _REAL_SHARE * (F.softplus(-real).mean() + F.softplus(false).mean())
        self._rival_optimiser.zero_grad()
        loss.backward()
        self._rival_optimiser.step()


def train(recipe: RestoreRecipe, data: Path | None, out: Path, options: RunOptions, start: Path | None = None) -> Path:
    """Train a network and return the path of its checkpoint; see `run_to_end`.

    Args:
        recipe: every choice of the run.
        data: a folder that `read_grounds` takes; None trains and validates on drawn scenes alone.
        out: the run's folder.
        options: the other choices.
        start: None; these networks start from nothing.

    Raises:
        DataError: ``data`` cannot be read.
        ValueError: there is nothing to train on, or ``last.pt`` is of another recipe.
    """
    grounds = [*([] if data is None else read_grounds(data)), *drawn(recipe.scenes)]
    training = [ground for ground in grounds if ground.split == "train"]
    validation = few_of_each_source((ground for ground in grounds if ground.split == "val"), _WATCHED)
    sampler = Sampler([load(ground) for ground in training], recipe.draw, options.seed)
    run = RestoreRun(recipe, options)
    sources = Counter(ground.source for ground in training)
    words = {"thin": "pairs with thin clouds", "thick": "pairs with thick clouds", "drawn": "images under drawn clouds"}
    run.data = ", ".join(f"{number} {words[source]}" for source, number in sources.items())

    def figures(checkpoint: Checkpoint) -> dict[str, float]:
        with Bench(of_checkpoint(checkpoint, device=options.device)) as bench:
            found = means(restorations(bench, bench.only, validation))
        return {name: value for name, value in found.items() if name.endswith("ssim")}

    return run_to_end(run, sampler.batch, figures, out, resume=options.resume)
