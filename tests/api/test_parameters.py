"""Query parameters: those that a route has not are refused on every route, and a refusal says what is allowed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.app_client import AppClient
from tests.support.toy_task.spec import TASK

Start = Any
_UNLISTED = [("GET", "/"), ("GET", "/docs"), ("GET", "/console"), ("GET", "/openapi.json")]


def routes(client: AppClient) -> list[tuple[str, str, list[str]]]:
    """Return method, path and query parameters of every route: those of the API's description, and those beside it."""
    described = client.get("/openapi.json").json()["paths"]
    found = [
        (method.upper(), path, [p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"])
        for path, operations in described.items()
        for method, operation in operations.items()
    ]
    return found + [(method, path, []) for method, path in _UNLISTED]


@pytest.fixture(scope="module")
def with_toy(start_session: Start) -> AppClient:
    client: AppClient = start_session(models={"tasks": [TASK.package]})
    return client


def test_every_route_refuses_what_it_does_not_declare(with_toy: AppClient) -> None:
    found = routes(with_toy)
    assert ("POST", f"/v1/{TASK.name}") in {(method, path) for method, path, _ in found}
    assert len(found) > 30
    for method, template, declared in found:
        path = re.sub(r"{[^}]*}", "none", template)
        answer = with_toy.request(method, f"{path}?no-such-thing=1")
        assert answer.status_code == 422, (method, path, answer.status_code)
        if method == "HEAD":
            continue
        problem = answer.json()
        assert problem["code"] == "parameter-invalid", (method, path)
        assert problem["errors"][0]["pointer"] == "/no-such-thing"
        for name in declared:
            assert name in problem["detail"], (method, path)


def test_every_declared_parameter_is_found_when_it_is_misspelt(with_toy: AppClient) -> None:
    for method, template, declared in routes(with_toy):
        path = re.sub(r"{[^}]*}", "none", template)
        for name in declared:
            problem = with_toy.request(method, f"{path}?{name}{name[-1]}=1").json()
            assert f"the nearest is '{name}'" in problem["detail"], (method, path, problem)


def test_a_misspelt_model_is_not_answered_by_another(client: AppClient) -> None:
    problem = client.post("/v1/interactive?modl=grabcut").json()
    assert problem["detail"] == "There is no parameter 'modl' here; the nearest is 'model'."


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/interactive?threshold=2", "'threshold' is a number, above 0 and below 1."),
        ("/v1/damage?version=0", "'version' is a whole number, 1 at least."),
        ("/v1/damage?overlay=perhaps", "'overlay' is true or false."),
        ("/v1/damage?align=maybe", "'align' is auto or off or require."),
        ("/v1/waste?include=mask", "'include' is one or several, each label_map or overlay."),
        ("/v1/ct?body_part=knee", "'body_part' is chest."),
        ("/v1/ct?scale=nan", "'scale' is a number, above 0 and 1e+06 at most."),
        ("/v1/ct?series=" + "1" * 65, "'series' is text, of 64 characters at most."),
    ],
)
def test_a_refusal_says_what_is_allowed(client: AppClient, path: str, allowed: str) -> None:
    answer = client.post(path)
    assert (answer.status_code, answer.json()["code"]) == (422, "parameter-invalid")
    assert answer.json()["detail"].endswith(allowed)


def test_no_parameter_is_refused_without_saying_what_it_may_be(with_toy: AppClient) -> None:
    for method, template, declared in routes(with_toy):
        for name in declared:
            path = re.sub(r"{[^}]*}", "none", template)
            problem = with_toy.request(method, f"{path}?{name}=%00&{name}=%00").json()
            assert "GET /docs" not in problem["detail"], (method, path, name)


def test_what_is_there_twice_means_neither(client: AppClient) -> None:
    problem = client.post("/v1/waste?model=a&model=b").json()
    assert (problem["code"], problem["detail"]) == ("parameter-invalid", "The parameter 'model' is there 2 times.")
    both = client.post("/v1/waste?include=overlay&include=label_map", headers={"Accept": "application/json"})
    assert both.json()["code"] != "parameter-invalid"


@pytest.mark.parametrize("name", ["%00", "%0d%0a", "%ff", "%C3%A9", "'", "a" * 5000, "%E2%80%AE"])
def test_odd_names_are_told_of_in_print(client: AppClient, name: str) -> None:
    answer = client.get(f"/v1/models?{name}=1")
    assert answer.status_code == 422
    assert answer.json()["detail"].isprintable()
    assert len(answer.json()["detail"]) < 200
