"""What a person shows of an object: clicks, a box, extreme points, an outline, strokes; and what makes sense of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from math import isfinite

from gateway.errors import ClickOutside, PromptInvalid, PromptTooLarge, PromptUnsuitable
from gateway.vision.classical import crosses_itself, encloses_nothing
from gateway.vision.clicks import Box, as_points, box_around

SLACK = 2
"""Pixels by which a point may lie outside the image and is taken for its border: what scaled views are off by."""

Point = tuple[float, float]
Stroke = tuple[Point, ...]


@dataclass(frozen=True)
class Strokes:
    """Lines drawn by hand, each through its points; one of a single point is a dot."""

    object: tuple[Stroke, ...] = ()
    background: tuple[Stroke, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """One object as a person shows it. Coordinates are (x, y) pixels of the upright image, also between pixels.

    Attributes:
        corners: two opposite corners of a box around the object, of either diagonal and in either order; the larger
            bounds lie a pixel beyond the last one, as in answers and in COCO.
        positive: clicks on the object, in the order they were made.
        negative: clicks beside it.
        extreme: its leftmost, topmost, rightmost and bottommost points, in any order.
        polygon: its outline; the last vertex is joined to the first.
        strokes: lines on the object and on what is not.
        tight: whether the box touches the object; else it was drawn a little outside of it.
        size: (height, width) of the mask that a box and a click were taken from; None where there was none.
    """

    corners: tuple[Point, Point] | None = None
    positive: tuple[Point, ...] = ()
    negative: tuple[Point, ...] = ()
    extreme: tuple[Point, ...] = ()
    polygon: tuple[Point, ...] = ()
    strokes: Strokes = field(default=Strokes())
    tight: bool = True
    size: tuple[int, int] | None = None

    @property
    def box(self) -> Box:
        """The box in whole pixels, both bounds inclusive; a ValueError without corners."""
        box = box_around(as_points(self.corners or ()))
        return Box(box.x0, box.y0, box.x1 - 1, box.y1 - 1)

    def boxed(self, box: Box) -> Prompt:
        """Return the prompt with that box, which touches the object."""
        return replace(self, corners=((box.x0, box.y0), (box.x1 + 1, box.y1 + 1)), tight=True)

    def given(self) -> frozenset[str]:
        """Return the keys of the prompt's JSON that hold something, `tight` apart."""
        keys = {f.name for f in fields(self) if getattr(self, f.name)} - {"tight", "strokes", "corners", "size"}
        if self.corners is not None:
            keys.add("box")
        if self.strokes.object or self.strokes.background:
            keys.add("strokes")
        return frozenset(keys)

    def joined(self, later: Prompt) -> Prompt:
        """Return the prompt with what came later: clicks and strokes are added, shapes take the place of ours."""
        boxed = self if later.corners is None else later
        return Prompt(
            corners=boxed.corners,
            positive=self.positive + later.positive,
            negative=self.negative + later.negative,
            extreme=later.extreme or self.extreme,
            polygon=later.polygon or self.polygon,
            strokes=Strokes(
                self.strokes.object + later.strokes.object, self.strokes.background + later.strokes.background
            ),
            tight=boxed.tight,
        )

    def clamped(self, width: int, height: int) -> Prompt:
        """Return the prompt with every point that lies up to `SLACK` pixels outside the image moved to its border."""

        def held(points: tuple[Point, ...], far: int = 1) -> tuple[Point, ...]:
            return tuple((_held(x, width - far), _held(y, height - far)) for x, y in points)

        def lines(strokes: tuple[Stroke, ...]) -> tuple[Stroke, ...]:
            return tuple(map(held, strokes))

        corners = None
        if self.corners is not None:
            first, second = held(self.corners, far=0)
            corners = (first, second)
        return replace(
            self,
            corners=corners,
            positive=held(self.positive),
            negative=held(self.negative),
            extreme=held(self.extreme),
            polygon=held(self.polygon),
            strokes=Strokes(lines(self.strokes.object), lines(self.strokes.background)),
        )

    def points(self) -> Iterator[tuple[str, Point]]:
        """Yield every point with the JSON pointer to it; a box's corners share the box's."""
        for corner in self.corners or ():
            yield "/box", corner
        for key in ("positive", "negative", "extreme", "polygon"):
            for index, point in enumerate(getattr(self, key)):
                yield f"/{key}/{index}", point
        for kind in ("object", "background"):
            for row, stroke in enumerate(getattr(self.strokes, kind)):
                for index, point in enumerate(stroke):
                    yield f"/strokes/{kind}/{row}/{index}", point


def _held(value: float, most: int) -> float:
    """Return a coordinate, moved to the range from 0 to `most` where it is little outside."""
    nearest = min(max(value, 0), most)
    return nearest if abs(value - nearest) <= SLACK else value


@dataclass(frozen=True)
class Intake:
    """What one method takes of a prompt.

    Attributes:
        says: the same in words, to follow "takes".
        needs: keys without which it cannot answer.
        also: keys it takes besides.
        one_of: of these it needs one; empty: none.
        most_positive: clicks on the object it can use; None: any number.
        hint: where to go with more, as a sentence.
    """

    says: str
    needs: frozenset[str]
    also: frozenset[str] = frozenset()
    most_positive: int | None = None
    hint: str = ""
    one_of: frozenset[str] = frozenset()

    def check(self, method: str, prompt: Prompt) -> None:
        """Let pass what the method takes.

        Raises:
            PromptUnsuitable: something it needs is missing, or something is there that it has no use for.
        """
        given = prompt.given()
        too_many = self.most_positive is not None and len(prompt.positive) > self.most_positive
        foreign = sorted(given - self.needs - self.also)
        if missing := sorted(self.needs - given):
            pointer = f"/{missing[0]}"
        elif self.one_of and not given & self.one_of:
            pointer = f"/{min(self.one_of)}"
        elif foreign or too_many:
            pointer = f"/{foreign[0]}" if foreign else "/positive"
        else:
            return
        raise PromptUnsuitable(f"{method} takes {self.says}.{self.hint and ' '}{self.hint}", pointer=pointer)


def check_prompt(prompt: Prompt, width: int, height: int, most_points: int) -> Prompt:
    """Return what describes something in an image of the size given, points little outside moved to the border.

    Raises:
        PromptTooLarge: it has more than `most_points` points.
        ClickOutside: a point is farther outside the image than `SLACK`.
        PromptInvalid: it is empty, a coordinate is not a finite number, a box or outline encloses nothing, an outline
            crosses itself, extreme points are not four, or a mask is of an image of another size.
    """
    if not prompt.given():
        raise PromptInvalid("The prompt is empty; it shows an object by clicks, a box, a polygon or strokes.")
    points = list(prompt.points())
    if len(points) > most_points:
        raise PromptTooLarge(f"A prompt may have {most_points:,} points.", limit=most_points)
    if prompt.size not in (None, (height, width)):
        raise PromptInvalid(f"The mask is not of the image's size, {height} × {width}.", pointer="/mask")
    clamped = prompt.clamped(width, height)
    for pointer, (x, y) in clamped.points():
        if not (isfinite(x) and isfinite(y)):
            raise PromptInvalid("A coordinate is not a finite number.", pointer=pointer)
        far = 0 if pointer == "/box" else 1
        if not Box(0, 0, width - far, height - far).holds(x, y):
            raise ClickOutside(
                f"A point is outside the image, whose pixels run from (0, 0) to ({width - 1}, {height - 1}).",
                pointer=pointer,
            )
    _check_shapes(clamped)
    return clamped


def _check_shapes(prompt: Prompt) -> None:
    """Refuse boxes and outlines that enclose nothing.

    A box without an area is what a click without a drag leaves.
    """
    if prompt.corners and min(prompt.box.width, prompt.box.height) < 1:
        raise PromptInvalid("The box has no area: its corners share a row or a column of pixels.", pointer="/box")
    if prompt.extreme:
        _check_extreme(prompt.extreme)
    if prompt.polygon:
        _check_polygon(prompt.polygon)


def _check_extreme(extreme: tuple[Point, ...]) -> None:
    if len(extreme) != 4:
        raise PromptInvalid(
            f"There are four extreme points, leftmost, topmost, rightmost and bottommost; {len(extreme)} are given.",
            pointer="/extreme",
        )
    around = box_around(as_points(extreme))
    if 1 in (around.width, around.height):
        raise PromptInvalid("The extreme points lie in one row or column of pixels.", pointer="/extreme")


def _check_polygon(polygon: tuple[Point, ...]) -> None:
    vertices = as_points(polygon)
    if len(vertices) < 3:
        raise PromptInvalid(f"A polygon has three vertices or more; {len(vertices)} are given.", pointer="/polygon")
    if crosses_itself(vertices):
        raise PromptInvalid("The polygon crosses itself.", pointer="/polygon")
    if encloses_nothing(vertices):
        raise PromptInvalid("The polygon has no area: its vertices lie on a line.", pointer="/polygon")
