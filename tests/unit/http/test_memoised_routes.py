"""Routes that memoise: what they answer is what they answered the first time, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import pytest
from anyio.from_thread import start_blocking_portal
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from starlette.responses import JSONResponse, Response

from gateway.http import memoised_routes
from gateway.http.memoised_routes import MemoisedRoute
from tests.support.app_client import AppClient

solved: list[str] = []


async def _wanted(request: Request, form: str = "plain") -> str:
    solved.append(form)
    return f"{form} as {request.headers.get('accept')}"


def app_of(router: APIRouter, services: str) -> FastAPI:
    app = FastAPI()
    app.state.services = services
    app.include_router(router)
    return app


@pytest.fixture
def router() -> APIRouter:
    router = APIRouter(prefix="/things", route_class=MemoisedRoute)

    @router.get("/{thing}")
    async def things(
        request: Request,
        thing: str,
        wanted: Annotated[str, Depends(_wanted)],
        count: Annotated[int, Query(ge=1)] = 1,
        names: Annotated[list[str] | None, Query()] = None,
    ) -> Response:
        """Tell what it was asked."""
        known = [request.app.state.services, thing, wanted, count, names, request.headers.get("x-who")]
        return JSONResponse(known)

    return router


@pytest.fixture
def client(router: APIRouter) -> Iterator[AppClient]:
    solved.clear()
    with start_blocking_portal() as portal:
        yield AppClient(app_of(router, "first"), portal)


def test_the_same_words_mean_the_same_and_are_worked_out_once(client: AppClient) -> None:
    asked = "/things/a?form=round&count=3&names=x&names=y"
    answers = [client.get(asked).json() for _ in range(3)]
    assert answers == [["first", "a", "round as */*", 3, ["x", "y"], None]] * 3
    assert solved == ["round"]


def test_what_is_of_the_request_is_never_anothers(client: AppClient) -> None:
    assert client.get("/things/a", headers={"X-Who": "one"}).json() == ["first", "a", "plain as */*", 1, None, "one"]
    assert client.get("/things/b", headers={"X-Who": "two"}).json() == ["first", "b", "plain as */*", 1, None, "two"]
    assert solved == ["plain"]


@pytest.mark.parametrize(
    ("query", "accept"), [("count=2", "*/*"), ("names=count", "*/*"), ("", "text/plain"), ("form=%20plain", "*/*")]
)
def test_other_words_mean_something_else(client: AppClient, query: str, accept: str) -> None:
    first = client.get("/things/a").json()
    assert client.get(f"/things/a?{query}", headers={"Accept": accept}).json() != first
    assert client.get("/things/a").json() == first
    assert len(solved) == 2


def test_what_was_refused_is_refused_again(client: AppClient) -> None:
    client.get("/things/a?count=1")
    assert [client.get("/things/a?count=0").status_code for _ in range(2)] == [422, 422]


def test_two_apps_know_nothing_of_each_other(client: AppClient, router: APIRouter) -> None:
    assert client.get("/things/a").json()[0] == "first"
    with start_blocking_portal() as portal:
        other = AppClient(app_of(router, "second"), portal)
        assert other.get("/things/a").json()[0] == "second"
    assert len(solved) == 2


def test_long_words_are_not_kept_and_others_not_for_ever(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memoised_routes, "_MOST_KNOWN", 2)
    for _ in range(2):
        assert client.get(f"/things/a?form={'x' * 600}").status_code == 200
    assert len(solved) == 2
    for form in ("a", "b", "a", "b", "c", "c", "a"):
        assert client.get(f"/things/a?form={form}").json()[2] == f"{form} as */*"
    assert solved[2:] == ["a", "b", "c", "a"]
