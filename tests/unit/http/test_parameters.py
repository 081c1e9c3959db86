"""`Accept` against what a route offers."""

from __future__ import annotations

import pytest

from gateway.errors import NotAcceptable
from gateway.http.parameters import preferred

OFFERED = ("image/png", "application/json")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "image/png"),
        ("", "image/png"),
        ("*/*", "image/png"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("image/*", "image/png"),
        ("text/html, application/*;q=0.5", "application/json"),
        ("image/png;q=0.1, application/json;q=0.2", "application/json"),
        ("image/png;q=0.1, */*", "application/json"),
        ("image/png;q=0, */*;q=0.1", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "image/png"),
    ],
)
def test_prefers_what_the_caller_does(accept: str | None, chosen: str) -> None:
    assert preferred(accept, OFFERED) == chosen


@pytest.mark.parametrize("accept", ["text/html", "image/jpeg", "image/png;q=0", "*/*;q=0", "image/png;q=high"])
def test_refuses_what_the_caller_refuses(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="image/png, application/json"):
        preferred(accept, OFFERED)
