"""Images of several dates after a disaster: told apart by their dates, and handed to models that read series.

Of a body's images after the disaster those of the last date are `post`, with its tiles. Those of the dates between are
`between_1`, `between_2` and so on, the oldest first: the names that models of series give their inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TypeVar

from gateway.engines.base import Model
from gateway.errors import MaskgateError, ModelUnsuitable, ParameterInvalid

_BETWEEN = "between_"
_POINTER = "/post_date"

T = TypeVar("T")
Parts = dict[str, memoryview]


def tiles_of(parts: Parts, name: str) -> list[str]:
    """Return the names of the parts that are tiles of one image, the first of which has its name."""
    return [part for part in parts if part == name or part.startswith(f"{name}/")]


def between_of(parts: Parts) -> list[str]:
    """Return the names of the images of the dates between, the oldest first."""
    return [part for part in parts if part.startswith(_BETWEEN) and "/" not in part]


def images_of(parts: Parts) -> list[str]:
    """Return the names of all images in the order of their dates."""
    return ["pre", *between_of(parts), "post"]


def tell_apart(parts: Parts, dates: Sequence[date]) -> Mapping[str, str]:
    """Name the images after the disaster by their dates; parts of one date stay tiles of one image.

    Args:
        parts: of a body; its images after the disaster are renamed.
        dates: of these, in the order in which they were sent; none: they are tiles of one image.

    Returns:
        What each of them was called before.

    Raises:
        ParameterInvalid: there are not as many dates as images.
    """
    sent = tiles_of(parts, "post")
    if not dates:
        return {}
    if len(dates) != len(sent):
        raise ParameterInvalid(
            f"Each image after the disaster has one date, in their order; there are {len(sent)} images and "
            f"{len(dates)} dates.",
            pointer=_POINTER,
        )
    days = sorted(set(dates))
    former: dict[str, str] = {}
    for number, day in enumerate(days, 1):
        role = "post" if day == days[-1] else f"{_BETWEEN}{number}"
        tiles = [name for name, taken in zip(sent, dates, strict=True) if taken == day]
        former |= {f"{role}/{index}" if index else role: name for index, name in enumerate(tiles)}
    images = {name: parts.pop(was) for name, was in former.items()}
    parts.update(images)
    return former


@contextmanager
def pointing_as_sent(former: Mapping[str, str]) -> Iterator[None]:
    """Let the problem of an error raised inside point at a part by the name that it was sent with."""
    try:
        yield
    except MaskgateError as error:
        # The longest name first: `between_1/1` is no part of `between_1`.
        for name in sorted(former, key=len, reverse=True):
            if error.pointer == f"/{name}" or (error.pointer or "").startswith(f"/{name}/"):
                error.pointer = f"/{former[name]}{(error.pointer or '').removeprefix(f'/{name}')}"
                break
        raise


def check_series(model: Model, parts: Parts) -> None:
    """Check that a model reads as many dates as the images are of.

    Raises:
        ModelUnsuitable: it reads fewer.
    """
    most, dates = len(_slots(model)) + 1, len(between_of(parts)) + 1
    if dates > most:
        reads = "one date" if most == 1 else f"{most} dates at most"
        raise ModelUnsuitable(
            f"{model.name} reads images of {reads} after the disaster; these are of {dates}. A model of series reads "
            "several, such as bd-rnn-series; images of the same date are tiles of one.",
            pointer="/model",
        )


def inputs_of(model: Model, pre: T, post: T, between: Sequence[T]) -> dict[str, T]:
    """Return images by the names of a model's inputs.

    A model that reads more dates than there are is shown the image before the disaster in the place of the first ones:
    until then nothing was seen to change.
    """
    slots = _slots(model)
    shown = [*[pre] * (len(slots) - len(between)), *between]
    return {"pre": pre, "post": post, **dict(zip(slots, shown, strict=True))}


def _slots(model: Model) -> list[str]:
    """Return the names of a model's inputs for dates between, the oldest first; of two fused models, the finder's."""
    mapping = model.parts[0] if model.parts else model
    return sorted(spec.name for spec in mapping.card.inputs if spec.name.startswith(_BETWEEN))
