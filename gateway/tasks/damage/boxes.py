"""Models that answer with boxes of buildings: the surest of those that overlap stay, and are painted as a label map.

Suppression is the gateway's and no part of the graph: neighbouring tiles find the same building, and a graph sees one
tile. To everything around it such a model is one of damage that labels pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from gateway.engines.base import Model
from gateway.inference.segmenter import Images, Pixels, Run, Segmenter, in_order
from gateway.tasks.damage.spec import BOX_TASK
from gateway.vision.labels import decide, decide_with_confidence
from gateway.vision.tiling import gather

Float32 = NDArray[np.float32]

MOST_SHARED = 0.45
"""IoU above which two boxes are of one building, whatever their classes: the surer one stays. YOLOX's for pictures."""


@dataclass(frozen=True)
class Found:
    """Boxes of one image, the surest first.

    Attributes:
        boxes: float32 (n, 4), x0, y0, x1, y1 in pixels, origin top left.
        scores: float32 (n, C), 0–1: for each class above background, how sure it is that the box is a building of it.
    """

    boxes: Float32
    scores: Float32


@dataclass(frozen=True)
class BoxSegmenter(Segmenter):
    """A model of boxes as one that labels pixels: those of a box have its probabilities."""

    @classmethod
    def of(cls, run: Run, model: Model) -> BoxSegmenter:
        """Return `model`, whose card is of `BOX_TASK`, on `run`."""
        return BoxSegmenter(run.engine, run.workers, run.telemetry, run.timeline, model=model)

    @property
    def least(self) -> float:
        """The score from which on a box counts."""
        return self.model.card.threshold or 0.0

    async def find(self, images: Images, least: float | None = None) -> Found:
        """Return the buildings of images of one size, each once whatever tiles it lies in.

        Args:
            images: as of `Segmenter.label_map`.
            least: the score from which on a box counts; None: the model's.
        """
        grid, names = self._grid(images), [spec.name for spec in self.model.card.inputs]
        found: list[Found] = []

        async def infer(row: int) -> tuple[int, NDArray[Any], NDArray[Any]]:
            tiles = {name: await self.aside(gather, images[name], grid, row) for name in names}
            boxes, scores = await self.outputs(tiles, "boxes", "scores")
            return row, boxes, scores

        async def keep(answer: tuple[int, NDArray[Any], NDArray[Any]]) -> None:
            row, boxes, scores = answer
            for column, tile_boxes, tile_scores in zip(grid.columns, boxes, scores, strict=True):
                counting = tile_scores.max(axis=1) >= (self.least if least is None else least)
                corner = np.array([column, grid.rows[row]] * 2, np.float32)
                found.append(Found(tile_boxes[counting] + corner, tile_scores[counting]))
            self.timeline.advance(self.timeline.done + len(boxes), grid.tiles)

        self.timeline.advance(0, grid.tiles)
        await in_order((partial(infer, row) for row in range(len(grid.rows))), keep)
        return await self.aside(_joined, found, grid.height, grid.width)

    async def label_map(self, images: Images) -> Pixels:
        """Return the label map of images; see `Segmenter.label_map`."""
        labels, _ = await self.label_map_and_confidence(images)
        return labels

    async def label_map_and_confidence(self, images: Images) -> tuple[Pixels, Pixels]:
        """Return the label map and how sure the model is; see `Segmenter.label_map_and_confidence`."""
        painted = await self.probabilities(images)
        return await self.aside(decide_with_confidence, painted, self.least)

    async def probabilities(self, images: Images) -> Pixels:
        """Return the probabilities of every class; see `Segmenter.probabilities`."""
        return await self.aside(paint, await self.find(images), *next(iter(images.values())).shape[:2])

    async def infer(self, batch: Mapping[str, NDArray[Any]], role: str) -> Pixels:
        """Return `label_map` or `probabilities` of a batch of tiles, each by itself; see `Segmenter.infer`."""
        boxes, scores = await self.outputs(batch, "boxes", "scores")
        side = self.model.card.tile

        def painted() -> Pixels:
            tiles = []
            for tile_boxes, tile_scores in zip(boxes, scores, strict=True):
                counting = tile_scores.max(axis=1) >= self.least
                found = _joined([Found(tile_boxes[counting], tile_scores[counting])], side, side)
                tiles.append(paint(found, side, side))
            return np.stack(tiles)

        tiles = await self.aside(painted)
        return await self.aside(decide, tiles, self.least) if role == "label_map" else tiles


MAPPERS: Mapping[str, type[Segmenter]] = {BOX_TASK: BoxSegmenter}
"""What maps by the models of a card's task, where that is not `Segmenter` itself."""


def suppress(found: Found, most_shared: float = MOST_SHARED) -> Found:
    """Return the boxes of which none shares more than that, as IoU, with a surer one."""
    corners, sizes = found.boxes[:, :2], found.boxes[:, 2:] - found.boxes[:, :2]
    rectangles = np.concatenate([corners, sizes], axis=1).astype(np.float64).tolist()
    kept = cv2.dnn.NMSBoxes(rectangles, found.scores.max(axis=1, initial=0).tolist(), 0.0, most_shared)
    order = np.asarray(kept, np.int64).reshape(-1)
    return Found(found.boxes[order], found.scores[order])


def paint(found: Found, height: int, width: int) -> Pixels:
    """Return the probabilities of a label map on which every box is a region of its own.

    A box has a border of background, a pixel wide, where it meets less sure ones, which lie below it.

    Returns:
        uint8 (height, width, C + 1), background first; 255 is certainty.
    """
    painted = np.zeros((height, width, found.scores.shape[1] + 1), np.uint8)
    painted[..., 0] = 255
    background = [255, *[0] * found.scores.shape[1]]
    for box, score in zip(np.rint(found.boxes[::-1]).astype(int).tolist(), found.scores[::-1], strict=True):
        x0, y0, x1, y1 = box
        painted[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1] = background
        painted[y0:y1, x0:x1] = _shares(score)
    return painted


def _shares(score: Float32) -> list[int]:
    """Return the probabilities of background and classes, 255 in all, of the scores of a box.

    It is as sure that there is a building as of its likeliest class; the classes share that as they are scored.
    """
    building = round(255 * float(score.max()))
    shares = (building * score / max(float(score.sum()), 1e-6)).astype(int).tolist()
    shares[int(score.argmax())] += building - sum(shares)
    return [255 - building, *shares]


def _joined(parts: list[Found], height: int, width: int) -> Found:
    """Return the boxes of several tiles as those of the image that they cover."""
    boxes = np.concatenate([part.boxes for part in parts]).clip(0, np.array([width, height] * 2, np.float32))
    return suppress(Found(np.asarray(boxes, np.float32), np.concatenate([part.scores for part in parts])))
