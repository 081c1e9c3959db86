"""Which of the media types a route can produce its caller wants (RFC 9110, 12.5.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.errors import NotAcceptable, ParameterInvalid

PNG, JSON = "image/png", "application/json"

Form = TypeVar("Form", bound=str)


@dataclass(frozen=True)
class Wish(Generic[Form]):
    """What a caller wants; what it gets depends on the input too.

    Attributes:
        accept: the `Accept` header.
        overlay: whether a PNG is to be an overlay.
        include: what a JSON answer is to hold besides.
        direct: the forms that are answers by themselves, by media type; in order, JSON's place being the second.
    """

    accept: str | None
    overlay: bool
    include: Sequence[Form]
    direct: Mapping[str, Form]

    @property
    def offered(self) -> tuple[str, ...]:
        """All media types of the route, a PNG first, as on all routes of masks."""
        first, *others = self.direct
        return (first, JSON, *others)

    def check(self) -> str:
        """Return the media type wanted, whatever the input, and refuse what no input could be answered with.

        Raises:
            NotAcceptable: none of the media types are those of this route.
            ParameterInvalid: what is asked for belongs to another form.
        """
        return choose_form(self.accept, self.offered, overlay=self.overlay, include=self.include)

    def granted(self, unfit: Mapping[Form, str], overlay: Form) -> tuple[str, tuple[Form, ...]]:
        """Return the media type of the answer, and the form that it is in, or those that a JSON answer holds.

        Args:
            unfit: the forms that this input cannot be answered with, and why.
            overlay: what the form of an overlay is called.

        Raises:
            NotAcceptable: `accept` names only what this input cannot be answered with.
            ParameterInvalid: `overlay` or `include` does.
        """
        asked = (overlay,) if self.overlay else tuple(dict.fromkeys(self.include))
        for form in asked:
            if form in unfit:
                raise ParameterInvalid(unfit[form], pointer="/overlay" if self.overlay else "/include")
        if asked:
            return (PNG if self.overlay else JSON), asked
        fit = [media_type for media_type in self.offered if self.direct.get(media_type) not in unfit]
        try:
            media_type = choose(self.accept, fit)
        except NotAcceptable as error:
            reason = unfit[self.direct[choose(self.accept, self.offered)]]
            raise NotAcceptable(f"{reason} Accept {', '.join(fit)}.", pointer="/accept") from error
        return media_type, () if media_type == JSON else (self.direct[media_type],)


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


def choose_form(
    accept: str | None, offered: Sequence[str] = (PNG, JSON), *, overlay: bool, include: Sequence[str]
) -> str:
    """Return what the caller of a task that paints pictures wants; the earlier offer where any will do.

    Args:
        accept: the `Accept` header.
        offered: media types, PNG and JSON among them.
        overlay: whether the picture is to be an overlay.
        include: what a JSON answer is to hold besides.

    Raises:
        NotAcceptable: none of them is wanted.
        ParameterInvalid: what is asked for belongs to the other form.
    """
    media_type = choose(accept, offered)
    if overlay and media_type != PNG:
        raise ParameterInvalid("An overlay is a picture; accept image/png, or use include=overlay.", pointer="/overlay")
    if include and media_type != JSON:
        raise ParameterInvalid("Only a JSON answer includes more; accept application/json.", pointer="/include")
    return media_type


def accepts_gzip(accept: str) -> bool:
    """Return whether an `Accept-Encoding` header takes gzip; what it does not name is not sent unasked."""
    qualities = dict(_parse(entry) for entry in accept.split(","))
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


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
