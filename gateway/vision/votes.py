"""One grade per roof: the pixels of a connected region vote on it, in a whole label map or as it comes in bands.

A network grades pixels, people ask for buildings. One grade is kept apart: what is destroyed often touches what still
stands, and would be outvoted by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from gateway.vision.regions import Known

UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

Places = npt.NDArray[np.integer[Any]]
"""Where pixels are, (n,), ascending: row times width, and column."""


class Rule(Protocol):
    """Who votes on what, as cards have it."""

    @property
    def apart(self) -> int:
        """The label value that is not voted for."""

    @property
    def least(self) -> float:
        """The share of a region's pixels from which on those of `apart` stay as they are.

        Where they are fewer, they get the grade of the others.
        """

    @property
    def largest(self) -> int:
        """Pixels along a side beyond which a region is several buildings, and keeps its grades."""


@dataclass(frozen=True, eq=False)
class Roofs:
    """The 8-connected regions above 0 of a label map; number 0 is what is none.

    Attributes:
        components: int32 (H, W), a number for each region.
        parts: where the pixels of all of them are.
        numbers: of each part the regions that its pixels belong to, int32.
        tops: int64 (n,), the first row of each.
        large: bool (n,), those that are too large to vote.
    """

    components: Int32
    parts: Sequence[Places]
    numbers: Sequence[Int32]
    tops: Int64
    large: Mask

    @classmethod
    def of(cls, labels: UInt8, parts: Sequence[Places], largest: int) -> Roofs:
        """Return those of a label map, uint8 (H, W), whose pixels above 0 are given in `parts`.

        None of more than `largest` pixels along a side votes.
        """
        count, labelled = cv2.connectedComponents(labels, connectivity=8, ltype=cv2.CV_32S)
        components = np.asarray(labelled, np.int32)
        numbers = [components.reshape(-1).take(places) for places in parts]
        # OpenCV's own statistics take ten times as long as its components.
        first, last = np.full((2, count), components.size), np.full((2, count), -1)
        for places, own in zip(parts, numbers, strict=True):
            _extend(first, last, places, own, labels.shape[1])
        return cls(components, parts, numbers, first[0], (last - first >= largest).any(axis=0))


def _extend(first: Int64, last: Int64, places: Places, numbers: Int32, width: int) -> None:
    """Extend the boxes of regions, first and last row and column (2, n), by pixels in the order of their places."""
    if not len(places):
        return
    # Run by run: of a region that goes on from the end of a row at the start of the next, the box is as wide anyway.
    ends = np.flatnonzero((np.diff(places) != 1) | (np.diff(numbers) != 0))
    begin, end = np.append(0, ends + 1), np.append(ends, len(places) - 1)
    owner, (top, left), (bottom, right) = numbers[begin], *(np.divmod(places[each], width) for each in (begin, end))
    around = bottom > top
    np.minimum.at(first[0], owner, top)
    np.minimum.at(first[1], owner, np.where(around, 0, left))
    np.maximum.at(last[0], owner, bottom)
    np.maximum.at(last[1], owner, np.where(around, width - 1, right))


def voted(
    labels: UInt8, rule: Rule, sureness: UInt8 | None = None, known: Sequence[Known] = ()
) -> tuple[UInt8, UInt8 | None]:
    """Return a label map whose regions have one grade each, that of most of their pixels, and how sure the model is.

    Args:
        labels: uint8 (H, W); 0 is background. Of grades that equally many pixels have the lowest is taken.
        rule: who votes on what.
        sureness: uint8 (H, W), 255 times the probability of `labels`; None: nobody asks.
        known: with `sureness`, in parts, the probabilities of all pixels above 0.
    """
    parts = [np.flatnonzero(labels > 0)] if sureness is None else [part.places for part in known]
    roofs = Roofs.of(labels, parts, rule.largest)
    decided, sure = labels.copy(), None if sureness is None else sureness.copy()
    paint_votes(decided, rule, roofs, ~roofs.large, sure, known)
    return decided, sure


def paint_votes(
    labels: UInt8, rule: Rule, roofs: Roofs, voting: Mask, sureness: UInt8 | None, known: Sequence[Known]
) -> None:
    """Give the regions that are `voting`, bool (n,), their grades in `labels`, and in `sureness` what goes with them.

    Both maps are changed; arguments as of `voted`, `known` of the parts that `roofs` were made with.
    """
    flat, count, apart = labels.reshape(-1), len(voting), rule.apart
    values = [flat.take(places) for places in roofs.parts]
    grades = max(int(labels.max(initial=0)), apart) + 1
    votes = np.zeros(count * grades, np.int64)
    for own, roof in zip(values, roofs.numbers, strict=True):
        votes += np.bincount(roof.astype(np.int64) * grades + own, minlength=len(votes))
    table = votes.reshape(count, grades)
    kept, pixels = table[:, apart].copy(), table.sum(axis=1)
    table[:, apart] = 0
    elected = np.where(voting & (pixels > kept), table.argmax(axis=1), apart).astype(np.uint8)
    outvoted = kept < rule.least * pixels
    for number, (places, own, roof) in enumerate(zip(roofs.parts, values, roofs.numbers, strict=True)):
        won = elected.take(roof)
        changed = np.flatnonzero((won != own) & (won != apart) & ((own != apart) | outvoted.take(roof)))
        flat[places.take(changed)] = won.take(changed)
        if sureness is not None:
            sureness.reshape(-1)[places.take(changed)] = known[number].values[changed, won.take(changed)]


class VoteStream:
    """Does from top to bottom what `voted` does of a whole map, wherever bands begin and end.

    Held are the rows from the top of the uppermost region that may go on and is not too large yet.

    Args:
        width: of the map.
        rule: as of `voted`.
    """

    def __init__(self, width: int, rule: Rule) -> None:
        """Begin above the first row."""
        self._rule = rule
        # Of the rows held: what is decided as far as it is, and the regions that go on, of those that are too large
        # the last row alone.
        self._labels, self._sureness, self._open = np.zeros((3, 0, width), np.uint8)
        self._too_large = np.zeros(width, np.bool_)
        self._known: list[Known] = []

    def add(self, labels: UInt8, sureness: UInt8, known: Sequence[Known]) -> tuple[UInt8, UInt8]:
        """Take the rows that follow, and return those that are final now, label map and sureness; perhaps none.

        Args:
            labels: uint8 (rows, width), 0 where nothing is seen.
            sureness: uint8 (rows, width).
            known: of all pixels above 0, places counted from the first of these rows.
        """
        return self._decided(labels, sureness, known, ended=False)

    def end(self) -> tuple[UInt8, UInt8]:
        """Return the rows that the last one makes final."""
        nothing = self._open[:0]
        return self._decided(nothing, nothing, (), ended=True)

    def _decided(self, labels: UInt8, sureness: UInt8, known: Sequence[Known], *, ended: bool) -> tuple[UInt8, UInt8]:
        held, width = self._open.shape
        regions = np.concatenate([self._open, labels])
        decided, sure = np.concatenate([self._labels, labels]), np.concatenate([self._sureness, sureness])
        if not regions.any():
            self._labels, self._sureness, self._open = np.zeros((3, 0, width), np.uint8)
            return decided, sure
        parts = [*self._known, *(part.moved(held * width) for part in known)]
        roofs = Roofs.of(regions, [part.places for part in parts], self._rule.largest)
        large, reaching = roofs.large, np.zeros(len(roofs.large), np.bool_)
        if held:
            large[roofs.components[held - 1, self._too_large]] = True
        reaching[roofs.components[-1]] = not ended
        reaching[0] = False
        paint_votes(decided, self._rule, roofs, ~large & ~reaching, sure, parts)
        going = reaching & ~large
        self._too_large = (reaching & large)[roofs.components[-1]]
        first = int(min(roofs.tops[going].min(initial=len(regions)), len(regions) - self._too_large.any()))
        self._open = regions[first:] * going[roofs.components[first:]]
        self._open[-1:, self._too_large] = regions[-1, self._too_large]
        kept = (part.some(going.take(own)) for part, own in zip(parts, roofs.numbers, strict=True))
        self._known = [part.moved(-first * width) for part in kept if len(part.places)]
        final = decided[:first], sure[:first]
        # Copies, so that what was final is let go.
        self._labels, self._sureness = decided[first:].copy(), sure[first:].copy()
        return final
