from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ClickOutside, MaskgateError, PromptInvalid, PromptTooLarge, PromptUnsuitable
from gateway.tasks.interactive.prompts import Intake, Point, Prompt, Strokes, check_prompt
from gateway.vision.clicks import Box

SQUARE = ((10.0, 10.0), (50.0, 10.0), (50.0, 50.0), (10.0, 50.0))
GOOD = (
    Prompt(corners=((10, 10), (40, 30))),
    Prompt(corners=((40, 10), (10, 30)), positive=((20, 20),), negative=((99.4, -0.5),), tight=False),
    Prompt(extreme=SQUARE),
    Prompt(polygon=SQUARE[:3]),
    Prompt(strokes=Strokes(object=(((5, 5), (9, 9)),), background=(((70, 70),),))),
)


@pytest.mark.parametrize("prompt", GOOD)
def test_what_describes_something_passes(prompt: Prompt) -> None:
    check_prompt(prompt, 100, 80, 1000)


@given(st.permutations([(7.0, 3.0), (30.4, 21.6)]), st.booleans())
def test_a_box_is_the_same_from_either_diagonal_in_either_order(corners: list[Point], other: bool) -> None:
    (x0, y0), (x1, y1) = corners
    prompt = Prompt(corners=((x0, y1), (x1, y0)) if other else ((x0, y0), (x1, y1)))
    assert prompt.box == Box(7, 3, 29, 21)


@pytest.mark.parametrize(
    ("prompt", "error", "pointer"),
    [
        (Prompt(), PromptInvalid, None),
        (Prompt(tight=False), PromptInvalid, None),
        (Prompt(positive=((nan, 3),)), PromptInvalid, "/positive/0"),
        (Prompt(positive=((3, 3),), negative=((3, 3), (4, -inf))), PromptInvalid, "/negative/1"),
        (Prompt(positive=((1e300, 3),)), ClickOutside, "/positive/0"),
        (Prompt(positive=((101.1, 3),)), ClickOutside, "/positive/0"),
        (Prompt(positive=((3, -2.1),)), ClickOutside, "/positive/0"),
        (Prompt(corners=((3, 3), (103, 9))), ClickOutside, "/box"),
        (Prompt(strokes=Strokes(background=(((1, 1),), ((2, 2), (3, 82))))), ClickOutside, "/strokes/background/1/1"),
        (Prompt(corners=((3, 3), (3, 3))), PromptInvalid, "/box"),
        (Prompt(corners=((3, 3), (3.4, 9))), PromptInvalid, "/box"),
        (Prompt(corners=((3, 9), (30, 9.2))), PromptInvalid, "/box"),
        (Prompt(extreme=SQUARE[:3]), PromptInvalid, "/extreme"),
        (Prompt(extreme=((1, 5), (3, 5), (5, 5), (9, 5))), PromptInvalid, "/extreme"),
        (Prompt(polygon=SQUARE[:2]), PromptInvalid, "/polygon"),
        (Prompt(polygon=((1, 1), (5, 5), (9, 9))), PromptInvalid, "/polygon"),
        (Prompt(polygon=((1, 1), (9, 9), (9, 1), (1, 9))), PromptInvalid, "/polygon"),
        (Prompt(positive=((3, 3),) * 1001), PromptTooLarge, None),
        (Prompt(corners=((1, 1), (9, 9)), positive=((3, 3),) * 999), PromptTooLarge, None),
    ],
)
def test_what_describes_nothing_is_refused(prompt: Prompt, error: type[MaskgateError], pointer: str | None) -> None:
    with pytest.raises(error) as caught:
        check_prompt(prompt, 100, 80, 1000)
    assert type(caught.value) is error
    assert caught.value.pointer == pointer
    assert caught.value.detail.endswith(".")


def test_points_little_outside_are_taken_for_the_border() -> None:
    prompt = Prompt(
        corners=((-2, 3), (102, 82)),
        positive=((100, 79.4), (101, 80.5)),
        negative=((-1.5, 3),),
        strokes=Strokes(object=(((-2, -2), (50, 81)),)),
    )
    checked = check_prompt(prompt, 100, 80, 1000)
    assert checked.box == Box(0, 3, 99, 79)
    assert checked.positive == ((99, 79), (99, 79))
    assert checked.negative == ((0, 3),)
    assert checked.strokes.object == (((0, 0), (50, 79)),)
    inside = Prompt(corners=((0, 0), (100, 80)), positive=((3.3, 4.4),))
    assert check_prompt(inside, 100, 80, 1000) == inside


def test_a_mask_of_another_image_is_refused() -> None:
    prompt = Prompt(corners=((1, 1), (9, 9)), size=(80, 100))
    assert check_prompt(prompt, 100, 80, 1000) == prompt
    with pytest.raises(PromptInvalid) as caught:
        check_prompt(prompt, 99, 80, 1000)
    assert caught.value.pointer == "/mask"


def test_the_limit_is_told_and_reached() -> None:
    check_prompt(Prompt(positive=((3, 3),) * 7), 100, 80, 7)
    with pytest.raises(PromptTooLarge) as caught:
        check_prompt(Prompt(positive=((3, 3),) * 8), 100, 80, 7)
    assert caught.value.limit == 7


BOXES = Intake("a box, and at most one click", frozenset({"box"}), frozenset({"positive"}), 1, "That one takes more.")


@pytest.mark.parametrize("clicks", [(), ((20.0, 20.0),)])
def test_an_intake_takes_what_it_says(clicks: tuple[Point, ...]) -> None:
    BOXES.check("it", Prompt(corners=((10, 10), (40, 30)), positive=clicks, tight=True))


@pytest.mark.parametrize(
    ("prompt", "pointer"),
    [
        (Prompt(positive=((20, 20),)), "/box"),
        (Prompt(corners=((10, 10), (40, 30)), positive=((20, 20), (21, 21))), "/positive"),
        (Prompt(corners=((10, 10), (40, 30)), negative=((20, 20),)), "/negative"),
        (Prompt(corners=((10, 10), (40, 30)), strokes=Strokes(object=(((1, 1),),))), "/strokes"),
    ],
)
def test_an_intake_names_what_it_takes_instead(prompt: Prompt, pointer: str) -> None:
    with pytest.raises(PromptUnsuitable) as caught:
        BOXES.check("it", prompt)
    assert caught.value.detail == "it takes a box, and at most one click. That one takes more."
    assert caught.value.pointer == pointer
