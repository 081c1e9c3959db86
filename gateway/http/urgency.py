"""How urgent a request is: the two headers by which its caller says so."""

from __future__ import annotations

import re

from starlette.requests import Request

from gateway.access.scopes import check_scope
from gateway.errors import ParameterInvalid
from gateway.scheduling.lanes import LANES, Lane

PRIORITY, DEADLINE = "Maskgate-Priority", "Maskgate-Deadline"
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def lane_of(request: Request) -> Lane:
    """Return the lane that a request asks for.

    Raises:
        ParameterInvalid: there is none of that name.
        Forbidden: its caller may not use it.
    """
    asked = request.headers.get(PRIORITY, "bulk")
    lane = next((lane for lane in LANES if lane == asked), None)
    if lane is None:
        raise ParameterInvalid(f"{PRIORITY} is one of {' and '.join(LANES)}.", pointer=f"/{PRIORITY}")
    if lane == "emergency":
        check_scope(request.scope["state"]["caller"], "emergency")
    return lane


def deadline_of(request: Request, longest: float) -> float | None:
    """Return the seconds that a request gives its answer, if it says.

    Raises:
        ParameterInvalid: they are no decimal number above 0, or more than `longest`.
    """
    asked = request.headers.get(DEADLINE)
    if asked is None:
        return None
    if not _DECIMAL.fullmatch(asked) or not 0 < float(asked) <= longest:
        raise ParameterInvalid(
            f"{DEADLINE} is a decimal number of seconds above 0, and {longest:g} at most.", pointer=f"/{DEADLINE}"
        )
    return float(asked)
