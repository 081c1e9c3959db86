"""Objects cut out of images, typed. Coordinates are (x, y) pixels of the upright image, origin top left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskgate_client.answers import Ring

Extra = Literal["mask", "overlay", "coco"]
"""What a report can bring along: the instance map, the objects drawn over the image, a COCO annotation file."""

Corners = tuple[int, int, int, int]


@dataclass(frozen=True)
class RunLengths:
    """A mask as COCO codes it, column by column.

    Attributes:
        height: of the image.
        width: of the image.
        counts: compressed run lengths, as `pycocotools.mask.decode` takes them.
        lengths: the same as numbers: pixels outside, inside, outside, …
    """

    height: int
    width: int
    counts: str
    lengths: tuple[int, ...]

    @classmethod
    def read(cls, height: int, width: int, counts: str) -> RunLengths:
        """Return the mask that `counts` code.

        Raises:
            ValueError: they are not those of a mask of this size.
        """
        lengths = _decompress(counts)
        if min(height, width, *lengths) < 0 or sum(lengths) != height * width:
            raise ValueError(f"run lengths of {sum(lengths)} pixels for {height} × {width}")
        return cls(height, width, counts, lengths)

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> RunLengths:
        """Return the run lengths of a mask, bool (height, width)."""
        height, width = mask.shape
        columns = np.asarray(mask, np.bool_).T.ravel()
        turns = np.flatnonzero(np.diff(columns, prepend=False))
        lengths = tuple(np.diff(turns, prepend=0, append=columns.size).tolist())
        return cls(height, width, _compress(lengths), lengths)

    def pixels(self) -> NDArray[np.bool_]:
        """Return the mask, bool (height, width)."""
        inside = np.arange(len(self.lengths)) % 2 == 1
        return np.ascontiguousarray(np.repeat(inside, self.lengths).reshape(self.width, self.height).T)


def _compress(lengths: Sequence[int]) -> str:
    """Return what `_decompress` reads, as pycocotools writes it."""
    letters: list[str] = []
    for place, length in enumerate(lengths):
        value = length - (lengths[place - 2] if place > 2 else 0)
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            letters.append(chr(48 + bits + 0x20 * more))
    return "".join(letters)


def _decompress(counts: str) -> tuple[int, ...]:
    """Return COCO's run lengths: groups of five bits, lowest first; from the fourth on, less the last but one."""
    lengths: list[int] = []
    value = shift = 0
    for code in counts.encode("ascii"):
        bits = code - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("the last run length is cut off")
    return tuple(lengths)


@dataclass(frozen=True)
class Part:
    """One part of an object: its outline along the edges of its pixels, those of its holes, and its pixels."""

    polygon: Ring
    holes: tuple[Ring, ...]
    area: int


@dataclass(frozen=True)
class Candidate:
    """One of the things that a click without a box may mean.

    Attributes:
        rle: its mask.
        box: as of the object.
        area: pixels.
        score: how likely it is one object, 0 to 1.
    """

    rle: RunLengths
    box: Corners | None
    area: int
    score: float


@dataclass(frozen=True)
class ObjectMask:
    """One object.

    Attributes:
        value: its number, from 1: its value in the instance map.
        rle: its mask, exactly.
        parts: its outlines, in reading order.
        box: (x0, y0, x1, y1) around it, x1 and y1 outside it; None where nothing was found.
        area: pixels.
        score: mean probability of its pixels, 0 to 1; None of a tool, and where nothing was found.
        threshold: above which probability a pixel is the object's; None of a tool.
        crop: what the model was shown, as `box`, perhaps beyond the image; None of a tool.
        notices: how the prompt was taken.
        candidates: of clicks without a box, what they may mean, the likeliest first, which is the object itself.
    """

    value: int
    rle: RunLengths
    parts: tuple[Part, ...]
    box: Corners | None
    area: int
    score: float | None
    threshold: float | None
    crop: Corners | None
    notices: tuple[str, ...]
    candidates: tuple[Candidate, ...] = ()

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Its pixels: bool (height, width) of the image."""
        return self.rle.pixels()


@dataclass(frozen=True)
class MaskProvenance:
    """Which weights, engine and image the masks were made from; version and digests are None where there are none."""

    model: str
    version: int | None
    digest: str | None
    engine: str
    input_digest: str
    gateway: str
    encoder_digest: str | None


@dataclass(frozen=True)
class MaskReport:
    """Objects of an image.

    Attributes:
        model: name of the model or tool.
        width: of the image, in pixels.
        height: of the image, in pixels.
        objects: in the order of their values.
        notices: what the gateway did to the image that the caller should know of.
        provenance: weights, engine and image.
        pictures: PNG files by name, those that were asked for.
        coco: a COCO annotation file, where it was asked for.
        document: the JSON answer without its pictures and its COCO file.
    """

    model: str
    width: int
    height: int
    objects: tuple[ObjectMask, ...]
    notices: tuple[str, ...]
    provenance: MaskProvenance
    pictures: Mapping[str, bytes]
    coco: Mapping[str, Any] | None
    document: Mapping[str, Any]

    def instance_map(self) -> NDArray[np.uint8]:
        """Return uint8 (height, width): 0 background, else the value of the object, later ones on top."""
        instances = np.zeros((self.height, self.width), np.uint8)
        for found in self.objects:
            instances[found.rle.pixels()] = found.value
        return instances


@dataclass(frozen=True)
class SessionState:
    """A session as it stands.

    Attributes:
        id: its name in its address.
        expires: when it ends unless it is used before.
        revision: how often its clicks changed.
        width: of the image, in pixels.
        height: of the image, in pixels.
        image: digest of the image as it was sent.
        model: what answers until the session ends.
        version: of the model; None of a tool, as is `digest`.
        digest: of the model's file.
        threshold: what was asked for; None: the model's own.
        objects: what the clicks add up to: a prompt per object, in the order of their values.
        clicks: how many steps can be taken back.
        notices: what the gateway did to the image that the caller should know of.
    """

    id: str
    expires: datetime
    revision: int
    width: int
    height: int
    image: str
    model: str
    version: int | None
    digest: str | None
    threshold: float | None
    objects: tuple[Mapping[str, Any], ...]
    clicks: int
    notices: tuple[str, ...]
