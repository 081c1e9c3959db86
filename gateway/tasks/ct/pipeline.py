"""Lesions in CT: slices one after the other through a model of one slice, and what was found measured.

Slices are on their way in batches, a few at a time, whatever their number: no volume is ever held decoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt

from gateway.engines.base import Model
from gateway.errors import ImageUnsuitable, UnitsImplausible
from gateway.inference.segmenter import Segmenter, in_order
from gateway.media.medical.slices import PADDING_HU, CtVolume, SlicePlace, Spacing
from gateway.repository.card import Card
from gateway.vision.labels import class_counts, decide
from gateway.vision.windowing import UnitsTally, Window, from_grid, pixels_to_mm2, to_grid, voxels_to_ml

UInt8 = npt.NDArray[np.uint8]
Int16 = npt.NDArray[np.int16]
Keep = Callable[[int, UInt8], None]


@dataclass(frozen=True)
class SliceFindings:
    """What the model saw in one slice.

    Attributes:
        counts: pixels per class value.
        imaged: pixels inside the scanner's field of view, those that are not padding.
    """

    counts: tuple[int, ...]
    imaged: int


@dataclass(frozen=True)
class CtFindings:
    """What the model saw in a volume, or in a single slice.

    Attributes:
        slices: one each, in the order of the volume.
        spacing: of the volume; None where its file does not say.
        clipped: voxels that lay beyond the range of 16 bits and were set to its end.
        places: which slice each one is.
        missing: voxels that were not a number, and count as outside of the field of view.
    """

    slices: tuple[SliceFindings, ...]
    spacing: Spacing | None
    clipped: int
    places: tuple[SlicePlace, ...]
    missing: int = 0

    @property
    def counts(self) -> tuple[int, ...]:
        """Voxels per class value, in all."""
        return tuple(sum(counts) for counts in zip(*(one.counts for one in self.slices), strict=True))

    @property
    def imaged(self) -> int:
        """Voxels inside the scanner's field of view, in all."""
        return sum(one.imaged for one in self.slices)

    def area(self, pixels: int) -> float | None:
        """Return what so many pixels of a slice measure in mm²; None: not known."""
        if self.spacing is None:
            return None
        return pixels_to_mm2(pixels, self.spacing.rows, self.spacing.columns)

    def volume(self, voxels: int) -> float | None:
        """Return what so many voxels measure in ml; None: not known."""
        if self.spacing is None or self.spacing.slices is None:
            return None
        return voxels_to_ml(voxels, self.spacing.rows, self.spacing.columns, self.spacing.slices)


def window_of(model: Model) -> Window:
    """Return the window through which a model of the task sees its slices."""
    window = model.card.window
    if window is None:
        raise ValueError(f"{model.name} is no model of CT")
    return Window(window.low, window.high)


async def find_lesions(segmenter: Segmenter, volume: CtVolume, keep: Keep | None = None) -> CtFindings:
    """Return what a model sees in the slices of a volume.

    Each slice goes to the model's grid as in training, averaged where that is coarser, else interpolated; the
    probabilities come back bilinearly, and the rule of the card decides on the slice's own pixels.

    Args:
        segmenter: a model of the task and its request.
        volume: its slices are decoded once, in order, in other threads.
        keep: is given the number and the label map, uint8 (rows, columns), of each slice in order, in another thread.

    Raises:
        UnitsImplausible: the file does not say that its values are Hounsfield units, and they cannot be.
        ImageUnsuitable: no voxel is a number.
        MaskgateError: as `CtVolume.slices` and `Engine.infer`.
    """
    card, (_, rows, columns) = segmenter.model.card, volume.shape
    intake, decoding = _Intake(volume, card.tile), asyncio.Lock()
    output = next(spec for spec in card.outputs if spec.name == segmenter.model.output("label_map"))
    # On slices of its own size the model's decision is the answer; no probabilities have to travel.
    role = "label_map" if output.shape == (rows, columns) else "probabilities"
    found: list[SliceFindings] = []

    async def infer(count: int) -> _Batch:
        async with decoding:
            shown, imaged = await segmenter.workers.run(segmenter.timeline, "decode", intake.take, count)
        return _Batch(await segmenter.infer({card.inputs[0].name: shown}, role), imaged)

    async def finish(batch: _Batch) -> None:
        label = partial(_label, batch, card, rows, columns, len(found), keep)
        found.extend(await segmenter.aside(label))
        segmenter.timeline.advance(len(found), volume.shape[0])

    segmenter.timeline.advance(0, volume.shape[0])
    await in_order((partial(infer, count) for count in _batches(volume.shape[0], card.max_batch_size)), finish)
    intake.check_units()
    findings = CtFindings(tuple(found), volume.spacing, intake.clipped, volume.places, intake.missing)
    segmenter.publish_shares(findings.counts)
    return findings


class _Intake:
    """The slices of a volume, put on the model's grid as they are taken.

    Attributes:
        clipped: voxels of those taken that lay beyond 16 bits.
        missing: voxels of those taken that were not a number.
    """

    def __init__(self, volume: CtVolume, size: int) -> None:
        """Decode nothing yet."""
        self._slices = volume.slices()
        self._size = size
        self._tally = None if volume.states_units else UnitsTally()
        self._imaged = 0
        self.clipped = 0
        self.missing = 0

    def take(self, count: int) -> tuple[Int16, tuple[int, ...]]:
        """Return the next `count` slices, int16 (count, size, size), and of each the pixels that are not padding."""
        shown = np.empty((count, self._size, self._size), np.int16)
        imaged = []
        for place, one in zip(shown, islice(self._slices, count), strict=True):
            place[:] = to_grid(one.pixels, self._size)
            imaged.append(int(np.count_nonzero(one.pixels > PADDING_HU)))
            self._imaged += imaged[-1]
            self.clipped += one.clipped
            self.missing += one.missing
            if self._tally is not None:
                self._tally.add(one.pixels, PADDING_HU)
        return shown, tuple(imaged)

    def check_units(self) -> None:
        """Refuse values that cannot be Hounsfield units, where the file does not say that they are.

        Raises:
            UnitsImplausible: they show no air or lung, or no soft tissue.
            ImageUnsuitable: there are none: no voxel is a number.
        """
        if self.missing and not self._imaged:
            raise ImageUnsuitable("No voxel of the file is a number.")
        if self._tally is None or self._tally.plausible():
            return
        offset = self._tally.likely_offset()
        advice = f"offset={offset} makes them so" if offset else "send offset= and scale= where they can be made so"
        raise UnitsImplausible(
            "The values cannot be Hounsfield units of a chest: under 1 % of them are air or lung (−1100 to −300), or "
            f"under 1 % soft tissue (−200 to 300); {advice}."
        )


@dataclass(frozen=True)
class _Batch:
    """Consecutive slices after the model.

    Attributes:
        output: uint8, label maps (n, rows, columns) or probabilities on the model's grid (n, T, T, C).
        imaged: per slice its pixels that are not padding.
    """

    output: UInt8
    imaged: tuple[int, ...]


def _batches(slices: int, most: int) -> Iterator[int]:
    """Yield how many slices go to the model at once."""
    return (min(most, slices - first) for first in range(0, slices, most))


def _label(batch: _Batch, card: Card, rows: int, columns: int, first: int, keep: Keep | None) -> list[SliceFindings]:
    """Return what was found in a batch whose first slice has the number `first`, its label maps kept."""
    found = []
    for number, (output, imaged) in enumerate(zip(batch.output, batch.imaged, strict=True), start=first):
        label_map = output if output.ndim == 2 else decide(from_grid(output, rows, columns), card.threshold)
        if keep is not None:
            keep(number, label_map)
        found.append(SliceFindings(tuple(class_counts(label_map, len(card.classes)).tolist()), imaged))
    return found
