"""Which of the media types a route can produce its caller wants (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.errors import NotAcceptable, ParameterInvalid

PNG, JSON = "image/png", "application/json"


def choose(accept: str | None, offered: Sequence[str]) -> str:
    """Return the offered media type the `Accept` header prefers; the earlier offer where it does not care.

    Raises:
        NotAcceptable: it refuses all of them.
    """
    if not accept or not accept.strip():
        return offered[0]
    ranges = [_parse(entry) for entry in accept.split(",") if entry.strip()]
    best = max(offered, key=lambda media_type: _quality(media_type, ranges))
    if _quality(best, ranges) <= 0:
        raise NotAcceptable(f"This route answers with {', '.join(offered)}.", pointer="/accept")
    return best


def choose_form(accept: str | None, *, overlay: bool, include: Sequence[str]) -> str:
    """Return PNG or JSON, whichever the caller of a task that paints pictures wants; PNG where both will do.

    Args:
        accept: the `Accept` header.
        overlay: whether the picture is to be an overlay.
        include: what a JSON answer is to hold besides.

    Raises:
        NotAcceptable: neither is wanted.
        ParameterInvalid: what is asked for belongs to the other form.
    """
    media_type = choose(accept, (PNG, JSON))
    if overlay and media_type != PNG:
        raise ParameterInvalid("An overlay is a picture; accept image/png, or use include=overlay.", pointer="/overlay")
    if include and media_type != JSON:
        raise ParameterInvalid("Only a JSON answer includes more; accept application/json.", pointer="/include")
    return media_type


def _parse(entry: str) -> tuple[str, float]:
    media_range, *parameters = (part.strip().lower() for part in entry.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media_range, min(1.0, max(0.0, float(value)))
            except ValueError:
                return media_range, 0.0
    return media_range, 1.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> float:
    """Return the quality of the most specific range that covers `media_type`, 0 where none does."""
    kind = media_type.split("/")[0]
    for covering in (media_type, f"{kind}/*", "*/*"):
        qualities = [quality for media_range, quality in ranges if media_range == covering]
        if qualities:
            return max(qualities)
    return 0.0
