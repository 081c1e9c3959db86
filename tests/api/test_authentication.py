"""Keys: asked for where they are configured, on every call that costs or shows something."""

from __future__ import annotations

import hashlib
import logging

import pytest
from pydantic import ValidationError

from gateway import cli
from gateway.settings import AuthSettings, Settings
from tests.support.app_client import AppClient

KEY, OTHER = "correct horse battery staple", "ключ"


def digest(key: str) -> str:
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


@pytest.fixture(scope="module")
def guarded(start_session: object) -> AppClient:
    client: AppClient = start_session(auth={"keys": {"one": digest(KEY), "two": digest(OTHER)}})  # type: ignore[operator]
    return client


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/trivial", "/v1/nothing", "/v1", "/v2", "/v2/models/trivial"]
)
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "wrong"},
        {"X-API-Key": digest(KEY)},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong", "X-API-Key": KEY},
    ],
)
def test_no_call_without_a_known_key(guarded: AppClient, path: str, headers: dict[str, str]) -> None:
    answer = guarded.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="maskgate"'
    problem = answer.json()
    assert (problem["code"], problem["request_id"]) == ("unauthorised", answer.headers["X-Request-ID"])
    assert ("error" in problem) == path.startswith("/v2")


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer  {KEY} "}]
)
def test_a_known_key_opens(guarded: AppClient, headers: dict[str, str]) -> None:
    assert guarded.get("/v1/models", headers=headers).status_code == 200
    assert guarded.get("/v2", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/console/", "/healthz", "/readyz", "/docs", "/openapi.json", "/problems/unauthorised"),
        *("/v2/health/live", "/v2/health/ready"),
    ],
)
def test_what_shows_no_data_stays_open(guarded: AppClient, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_uploads_are_refused_unread(guarded: AppClient) -> None:
    before = guarded.sample("maskgate_rejected_total", reason="unauthorised")
    assert guarded.post("/v1/damage", content=b"x" * 1000).status_code == 401
    assert guarded.sample("maskgate_rejected_total", reason="unauthorised") == before + 1
    assert guarded.sample("maskgate_request_body_bytes_count", route="unmatched") == 0


def test_without_keys_everybody_may_call(client: AppClient) -> None:
    assert client.get("/v1/models").status_code == 200
    assert client.get("/v1/models", headers={"X-API-Key": "any"}).status_code == 200


def test_keys_are_not_logged(guarded: AppClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        guarded.get("/v1/models", headers={"X-API-Key": KEY})
        guarded.get("/v1/models", headers={"X-API-Key": "wrong"})
    assert "/v1/models 200" in caplog.text
    assert KEY not in caplog.text
    assert "wrong" not in caplog.text
    assert digest(KEY)[7:] not in caplog.text


def test_settings_are_read_from_the_environment_and_printed_masked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKGATE_AUTH_KEYS", f'{{"one": "{digest(KEY)}"}}')
    monkeypatch.setenv("MASKGATE_SESSIONS_URL", "redis://:secret@host/0")
    assert Settings().auth.by_tenant()["one"].digest[0].get_secret_value() == digest(KEY)
    assert cli.main(["settings"]) == 0
    printed = capsys.readouterr().out
    assert '"one": "*' in printed
    assert digest(KEY)[7:] not in printed
    assert "secret" not in printed


@pytest.mark.parametrize(
    "keys",
    [{"one": KEY}, {"one": digest(KEY).upper()}, {"one": digest(KEY)[:-1]}, {"a": digest(KEY), "b": digest(KEY)}],
)
def test_keys_that_are_no_digests_or_not_distinct_are_refused(keys: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        AuthSettings.model_validate({"keys": keys})


@pytest.mark.parametrize("url", ["http://host", "host:6379", ""])
def test_a_session_url_names_a_redis(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(sessions={"url": url})
