"""Images without their clouds, for whatever task wants one: a satellite image in, the same ground out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.inference.segmenter import Segmenter, in_order
from gateway.vision.tiling import Stitcher, gather, plan

UInt8 = NDArray[np.uint8]
Mask = NDArray[np.bool_]

TASK = "restore"
"""Of the cards of the models, and the setting of the default one."""

INVENTED = 128
"""From this value on half of a pixel's light is not the ground's own: it counts as invented."""

_COVERED = 13
_CHANNELS = 4


@dataclass(frozen=True)
class Restored:
    """An image without its clouds.

    Attributes:
        model: that took them off.
        image: uint8 (H, W, 3), RGB; black where nothing was observed.
        invented: uint8 (H, W), 255 times the share of a pixel's light that is not the ground's own; 0 where nothing was
            observed.
        observed: pixels that were.
    """

    model: Model
    image: UInt8
    invented: UInt8
    observed: int

    @cached_property
    def covered_share(self) -> float:
        """Share of the observed pixels of whose light a twentieth at least is not the ground's own, 0–1."""
        return np.count_nonzero(self.invented >= _COVERED) / self.observed

    @cached_property
    def invented_share(self) -> float:
        """Share of the observed pixels that show what the model made up, 0–1."""
        return np.count_nonzero(self.invented >= INVENTED) / self.observed


async def restore_image(segmenter: Segmenter, image: UInt8, observed: Mask | None = None) -> Restored:
    """Return an image, uint8 (H, W, 3), RGB, without its clouds.

    Args:
        segmenter: a model of the task and its request.
        image: of any size; it is covered by tiles.
        observed: bool (H, W), where it shows something, at one pixel at least; None: everywhere.
    """
    card = segmenter.model.card
    height, width = image.shape[:2]
    grid = plan(height, width, card.tile, card.overlap)
    stitcher = Stitcher(grid, _CHANNELS)
    restored, invented = np.empty((height, width, 3), np.uint8), np.empty((height, width), np.uint8)

    async def infer(row: int) -> UInt8:
        batch = await segmenter.aside(gather, image, grid, row)
        drawn, cover = await segmenter.outputs({card.inputs[0].name: batch}, "restored", "invented")
        return await segmenter.aside(np.concatenate, (drawn, cover[..., np.newaxis]), -1)

    def finish(tiles: UInt8) -> None:
        for rows, columns, piece in stitcher.add_all(tiles):
            restored[rows, columns], invented[rows, columns] = piece[..., :3], piece[..., 3]

    async def finish_row(tiles: UInt8) -> None:
        await segmenter.aside(finish, tiles)
        segmenter.timeline.advance(segmenter.timeline.done + len(tiles), grid.tiles)

    segmenter.timeline.advance(0, grid.tiles)
    await in_order((partial(infer, row) for row in range(len(grid.rows))), finish_row)

    def blanked() -> int:
        if observed is None:
            return invented.size
        restored[~observed], invented[~observed] = 0, 0
        return int(np.count_nonzero(observed))

    return Restored(segmenter.model, restored, invented, await segmenter.aside(blanked))


def invented_notices(restored: Restored) -> tuple[str, ...]:
    """Return what the caller should know of an image without its clouds."""
    share = restored.invented_share
    told = f"{share:.1%}"
    return (f"{told} of the image is invented by {restored.model.name}: clouds hid it",) if told != "0.0%" else ()
