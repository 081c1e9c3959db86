"""What is known of the ground beside the images: rasters that some models take, and that a request need not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.errors import ModelUnsuitable
from gateway.media.geo.ground_rasters import GroundRaster
from gateway.repository.card import RasterSpec
from gateway.tasks.damage.pipeline import filled, rasters_of


class Ground:
    """What is known of the ground under a scene, read window by window, each pixel once.

    Args:
        specs: the rasters that a model takes.
        rasters: those of them that there are, on the grid of the scene.

    Attributes:
        known: of each of the latter, of how many of the pixels that were read it says something.
    """

    def __init__(self, specs: Sequence[RasterSpec], rasters: Mapping[str, GroundRaster] | None = None) -> None:
        """Read nothing yet."""
        self._specs, self._rasters = specs, dict(rasters or {})
        self.known = dict.fromkeys(self._rasters, 0)

    def read(self, rows: slice, columns: slice) -> dict[str, NDArray[Any]]:
        """Return a window of all rasters that the model takes; one that there is not says nothing.

        Raises:
            ImageUnreadable: a file is cut short or damaged there.
        """
        read = {name: raster.read(rows, columns) for name, raster in self._rasters.items()}
        for spec in self._specs:
            if spec.input in read:
                self.known[spec.input] += int(np.count_nonzero(spec.known(read[spec.input])))
        return filled(self._specs, read, (rows.stop - rows.start, columns.stop - columns.start))


def check_taken(model: Model, sent: Sequence[str], others: Iterable[Model]) -> None:
    """Check that a model takes the rasters that a body has.

    Args:
        model: is asked.
        sent: names of the rasters, one at least.
        others: all models that could be asked.

    Raises:
        ModelUnsuitable: it does not; those that do are named.
    """
    lacking = [name for name in sent if name not in _names(model)]
    if not lacking:
        return
    able = sorted({other.name for other in others if set(sent) <= _names(other)})
    raise ModelUnsuitable(
        f"{model.name} does not take {' and '.join(lacking)}; {' or '.join(able) or 'no model here'} does.",
        pointer=f"/{lacking[0]}",
    )


def _names(model: Model) -> set[str]:
    return {spec.input for spec in rasters_of(model)}
