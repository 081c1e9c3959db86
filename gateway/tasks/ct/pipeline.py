"""Lesions in CT: slices one after the other through a model of one slice, and what was found measured.

Slices are on their way in batches, a few at a time, whatever their number: no volume is ever held decoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt

from gateway.engines.base import Model
from gateway.errors import ImageUnsuitable, UnitsImplausible
from gateway.inference.segmenter import Segmenter, in_order
from gateway.media.medical.slices import PADDING_HU, CtVolume, HuSlice, SlicePlace, Spacing
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
        clipped: pixels that lay beyond the range of 16 bits and were set to its end.
        missing: pixels that were not a number, and count as outside of the field of view.
    """

    counts: tuple[int, ...]
    imaged: int
    clipped: int = 0
    missing: int = 0


@dataclass(frozen=True)
class CtFindings:
    """What the model saw in a volume, or in a single slice.

    Attributes:
        slices: one each, in the order of the volume.
        spacing: of the volume; None where its file does not say.
        places: which slice each one is.
    """

    slices: tuple[SliceFindings, ...]
    spacing: Spacing | None
    places: tuple[SlicePlace, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Voxels per class value, in all."""
        return tuple(sum(counts) for counts in zip(*(one.counts for one in self.slices), strict=True))

    @property
    def imaged(self) -> int:
        """Voxels inside the scanner's field of view, in all."""
        return sum(one.imaged for one in self.slices)

    @property
    def clipped(self) -> int:
        """Voxels that were set to the end of 16 bits, in all."""
        return sum(one.clipped for one in self.slices)

    @property
    def missing(self) -> int:
        """Voxels that were not a number, in all."""
        return sum(one.missing for one in self.slices)

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


@dataclass(frozen=True)
class SeenBefore:
    """Slices of a volume that the model saw before the volume was whole.

    Attributes:
        findings: in them, by their numbers.
        others: the slices of all other numbers, in order.
    """

    findings: Mapping[int, SliceFindings]
    others: Iterator[HuSlice]


async def find_lesions(
    segmenter: Segmenter, volume: CtVolume, keep: Keep | None = None, seen: SeenBefore | None = None
) -> CtFindings:
    """Return what a model sees in the slices of a volume.

    Each slice goes to the model's grid as in training, averaged where that is coarser, else interpolated; the
    probabilities come back bilinearly, and the rule of the card decides on the slice's own pixels.

    Args:
        segmenter: a model of the task and its request.
        volume: its slices are decoded once, in order, in other threads.
        keep: is given the number and the label map, uint8 (rows, columns), of each slice in order, in another thread.
        seen: slices that are not to be asked for again, nor given to `keep`; only of a volume that `states_units`.

    Raises:
        UnitsImplausible: the file does not say that its values are Hounsfield units, and they cannot be.
        ImageUnsuitable: no voxel is a number.
        MaskgateError: as `CtVolume.slices` and `Engine.infer`.
    """
    card, (slices, rows, columns) = segmenter.model.card, volume.shape
    model, decoding = SliceModel(segmenter, rows, columns), asyncio.Lock()
    found = dict(seen.findings) if seen else {}
    decoded = seen.others if seen else volume.slices()
    tally = None if volume.states_units else UnitsTally()
    numbers = [number for number in range(slices) if number not in found]

    async def infer(batch: Sequence[int]) -> tuple[Sequence[int], Shown, UInt8]:
        async with decoding:
            taking = show, islice(decoded, len(batch)), card.tile, tally
            shown = await segmenter.workers.run(segmenter.timeline, "decode", *taking)
        if len(shown.read) != len(batch):
            # Of slices that were damaged, of which another step tells.
            raise ValueError("a volume has fewer slices than it says")
        return batch, shown, await model.infer(shown)

    async def finish(batch: tuple[Sequence[int], Shown, UInt8]) -> None:
        found.update(await segmenter.aside(label, *batch))
        segmenter.timeline.advance(len(found), slices)

    def label(batch: Sequence[int], shown: Shown, output: UInt8) -> dict[int, SliceFindings]:
        labelled = {}
        for number, (findings, label_map) in zip(batch, model.labelled(shown, output), strict=True):
            labelled[number] = findings
            if keep is not None:
                keep(number, label_map)
        return labelled

    segmenter.timeline.advance(len(found), slices)
    await in_order((partial(infer, batch) for batch in _batches(numbers, card.max_batch_size)), finish)
    findings = CtFindings(tuple(found[number] for number in range(slices)), volume.spacing, volume.places)
    _check_units(findings, tally)
    segmenter.publish_shares(findings.counts)
    return findings


@dataclass(frozen=True)
class Shown:
    """Slices as they are shown to a model.

    Attributes:
        units: int16 (n, T, T), Hounsfield units on the model's grid.
        read: of each slice pixels that are not padding, those that were clipped, and those that were no number.
    """

    units: Int16
    read: tuple[tuple[int, int, int], ...]


def show(slices: Iterable[HuSlice], size: int, tally: UnitsTally | None = None) -> Shown:
    """Return slices on a grid of `size`; each is let go before the next is asked for. `tally` counts them."""
    units, read = [], []
    for one in slices:
        units.append(to_grid(one.pixels, size))
        read.append((int(np.count_nonzero(one.pixels > PADDING_HU)), one.clipped, one.missing))
        if tally is not None:
            tally.add(one.pixels, PADDING_HU)
    return Shown(np.stack(units) if units else np.empty((0, size, size), np.int16), tuple(read))


@dataclass(frozen=True)
class SliceModel:
    """A model of the task for slices of one size.

    Attributes:
        segmenter: the model and its request.
        rows: of each slice.
        columns: of each slice.
    """

    segmenter: Segmenter
    rows: int
    columns: int

    async def infer(self, shown: Shown) -> UInt8:
        """Return label maps, uint8 (n, rows, columns), or probabilities on the model's grid, uint8 (n, T, T, C)."""
        card = self.segmenter.model.card
        output = next(spec for spec in card.outputs if spec.name == self.segmenter.model.output("label_map"))
        # On slices of its own size the model's decision is the answer; no probabilities have to travel.
        role = "label_map" if output.shape == (self.rows, self.columns) else "probabilities"
        return await self.segmenter.infer({card.inputs[0].name: shown.units}, role)

    def labelled(self, shown: Shown, output: UInt8) -> Iterator[tuple[SliceFindings, UInt8]]:
        """Yield what was found in each slice, and its label map, uint8 (rows, columns)."""
        card = self.segmenter.model.card
        for one, (imaged, clipped, missing) in zip(output, shown.read, strict=True):
            label_map = one if one.ndim == 2 else decide(from_grid(one, self.rows, self.columns), card.threshold)
            counts = tuple(class_counts(label_map, len(card.classes)).tolist())
            yield SliceFindings(counts, imaged, clipped, missing), label_map


def _check_units(findings: CtFindings, tally: UnitsTally | None) -> None:
    """Refuse values that cannot be Hounsfield units, where the file does not say that they are.

    Raises:
        UnitsImplausible: they show no air or lung, or no soft tissue.
        ImageUnsuitable: there are none: no voxel is a number.
    """
    if findings.missing and not findings.imaged:
        raise ImageUnsuitable("No voxel of the file is a number.")
    if tally is None or tally.plausible():
        return
    offset = tally.likely_offset()
    advice = f"offset={offset} makes them so" if offset else "send offset= and scale= where they can be made so"
    raise UnitsImplausible(
        "The values cannot be Hounsfield units of a chest: under 1 % of them are air or lung (−1100 to −300), or "
        f"under 1 % soft tissue (−200 to 300); {advice}."
    )


def _batches(numbers: Sequence[int], most: int) -> Iterator[Sequence[int]]:
    """Yield the numbers of the slices that go to the model at once."""
    return (numbers[first : first + most] for first in range(0, len(numbers), most))
