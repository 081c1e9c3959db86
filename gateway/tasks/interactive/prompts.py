"""What a person shows of an object: clicks, a box, extreme points, an outline, strokes; and what makes sense of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from math import isfinite

from gateway.errors import ClickOutside, PromptInvalid, PromptTooLarge, PromptUnsuitable
from gateway.vision.classical import crosses_itself, encloses_nothing
from gateway.vision.clicks import Box, as_points, box_around

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
        corners: two opposite corners of a box around the object, of either diagonal and in either order.
        positive: clicks on the object, in the order they were made.
        negative: clicks beside it.
        extreme: its leftmost, topmost, rightmost and bottommost points, in any order.
        polygon: its outline; the last vertex is joined to the first.
        strokes: lines on the object and on what is not.
        tight: the box touches the object, as one measured does; people click a little outside of it.
    """

    corners: tuple[Point, Point] | None = None
    positive: tuple[Point, ...] = ()
    negative: tuple[Point, ...] = ()
    extreme: tuple[Point, ...] = ()
    polygon: tuple[Point, ...] = ()
    strokes: Strokes = field(default=Strokes())
    tight: bool = False

    @property
    def box(self) -> Box:
        """The box in whole pixels, both bounds inclusive; a ValueError without corners."""
        return box_around(as_points(self.corners or ()))

    def given(self) -> frozenset[str]:
        """Return the keys of the prompt's JSON that hold something, `tight` apart."""
        keys = {f.name for f in fields(self) if getattr(self, f.name)} - {"tight", "strokes", "corners"}
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


@dataclass(frozen=True)
class Intake:
    """What one method takes of a prompt.

    Attributes:
        says: the same in words, to follow "takes".
        needs: keys without which it cannot answer.
        also: keys it takes besides.
        most_positive: clicks on the object it can use; None: any number.
        hint: where to go with more, as a sentence.
    """

    says: str
    needs: frozenset[str]
    also: frozenset[str] = frozenset()
    most_positive: int | None = None
    hint: str = ""

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
        elif foreign or too_many:
            pointer = f"/{foreign[0]}" if foreign else "/positive"
        else:
            return
        raise PromptUnsuitable(f"{method} takes {self.says}.{self.hint and ' '}{self.hint}", pointer=pointer)


def check_prompt(prompt: Prompt, width: int, height: int, most_points: int) -> None:
    """Let pass what describes something in an image of the size given.

    Raises:
        PromptTooLarge: it has more than `most_points` points.
        ClickOutside: the pixel nearest to a point is not in the image.
        PromptInvalid: it is empty, a coordinate is not a finite number, a box or outline encloses nothing, an outline
            crosses itself, or extreme points are not four.
    """
    if not prompt.given():
        raise PromptInvalid("The prompt is empty; it shows an object by clicks, a box, a polygon or strokes.")
    points = list(prompt.points())
    if len(points) > most_points:
        raise PromptTooLarge(f"A prompt may have {most_points:,} points.", limit=most_points)
    image = Box(0, 0, width - 1, height - 1)
    for pointer, (x, y) in points:
        if not (isfinite(x) and isfinite(y)):
            raise PromptInvalid("A coordinate is not a finite number.", pointer=pointer)
        if not image.holds(x, y):
            raise ClickOutside(
                f"A point is outside the image, whose pixels run from (0, 0) to ({image.x1}, {image.y1}).",
                pointer=pointer,
            )
    _check_shapes(prompt)


def _check_shapes(prompt: Prompt) -> None:
    """Refuse boxes and outlines that enclose nothing.

    A box of one row or column is taken for a slip of the hand, though its pixels would count as an area: it is what a
    click without a drag leaves.
    """
    if prompt.corners and 1 in (prompt.box.width, prompt.box.height):
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
