"""What operators, browsers and proxies expect of every address."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.access.keys import digest_of
from gateway.settings.server import ServerSettings
from tests.support.app_client import AppClient
from tests.support.leaving import Message, converse, scope_of
from tests.support.pictures import encode, noise
from tests.support.trivial import write_trivial_model

Start = Any
GOOD = encode(noise(96, 96))
KEYS = {
    "all": digest_of("all"),
    "prometheus": {"digest": digest_of("prometheus"), "scopes": ["metrics"]},
    "ct": {"digest": digest_of("ct"), "scopes": ["ct"]},
}
PAGES = (
    "/console/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/v2",
    "/v2/health/live",
    "/v1/models",
    "/openapi.json",
    "/docs",
)
HARDENED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


@pytest.fixture(scope="module")
def keyed(start_session: Start) -> AppClient:
    client: AppClient = start_session(auth={"keys": KEYS}, server={"cors_origins": ["https://viewer.example"]})
    return client


# HEAD


@pytest.mark.parametrize("path", PAGES)
def test_head_is_get_without_a_body(client: AppClient, path: str) -> None:
    got, head = client.get(path), client.request("HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":
        assert head.headers["content-length"] == got.headers["content-length"]


def test_head_is_counted_by_its_route_and_logged_as_itself(start: Start) -> None:
    client = start()
    client.request("HEAD", "/v1/models/trivial")
    assert client.sample("maskgate_http_requests_total", route="/v1/models/{model}", method="HEAD", status_class="2xx")


def test_head_asks_for_a_key_where_get_does(keyed: AppClient) -> None:
    assert keyed.request("HEAD", "/v1/models").status_code == 401
    assert keyed.request("HEAD", "/metrics").status_code == 401


# Methods


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/interactive/sessions/x", {"GET", "HEAD", "DELETE"}),
        ("/v1/interactive/sessions/x/clicks", {"POST", "DELETE"}),
        ("/v1/damage", {"POST"}),
        ("/healthz", {"GET", "HEAD"}),
        ("/docs", {"GET", "HEAD"}),
    ],
)
def test_a_refused_method_is_told_all_that_there_are(client: AppClient, path: str, allowed: set[str]) -> None:
    answer = client.request("PATCH", path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed


def test_head_of_what_only_takes_post_is_a_refused_method(client: AppClient) -> None:
    answer = client.request("HEAD", "/v1/damage")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


# Keys of probes and of metrics


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_probes_have_no_key(keyed: AppClient, path: str) -> None:
    assert keyed.get(path).status_code == 200
    assert keyed.get(path, headers={"X-API-Key": "wrong"}).status_code == 200


def test_metrics_take_a_key_of_their_own_scope(keyed: AppClient) -> None:
    assert keyed.get("/metrics").status_code == 401
    assert keyed.get("/metrics", headers={"X-API-Key": "ct"}).json()["scope"] == "metrics"
    assert keyed.get("/metrics", headers={"Authorization": "Bearer prometheus"}).status_code == 200
    assert keyed.get("/metrics", headers={"X-API-Key": "all"}).status_code == 200
    assert keyed.get("/v1/models", headers={"X-API-Key": "prometheus"}).status_code == 200
    assert keyed.post("/v1/ct", headers={"X-API-Key": "prometheus"}).status_code == 403


def test_a_scrape_is_no_task_of_its_tenant(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    client = start(auth={"keys": {"one": {"digest": digest_of("one"), "requests_per_minute": 1}}})
    with caplog.at_level("INFO", "gateway.audit"):
        assert [client.get("/metrics", headers={"X-API-Key": "one"}).status_code for _ in range(3)] == [200] * 3
    assert not [record for record in caplog.records if record.name == "gateway.audit"]


def test_metrics_have_a_port_of_their_own(start: Start) -> None:
    client = start(auth={"keys": KEYS}, server={"metrics_port": 9464})
    for path in ("/metrics", "/healthz", "/readyz"):
        assert client.get(f"http://gateway:9464{path}").status_code == 200
    for path in ("/v1/models", "/", "/v2", "/v1/damage", "/docs"):
        answer = client.get(f"http://gateway:9464{path}", headers={"X-API-Key": "all"})
        assert (answer.status_code, answer.json()["code"]) == (404, "route-not-found")
    assert client.get("/metrics", headers={"X-API-Key": "all"}).status_code == 404
    # The port is that of the socket, whatever a caller says.
    assert client.get("/metrics", headers={"Host": "gateway:9464"}).status_code == 404
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [("gzip", True), ("br;q=1, gzip;q=0.2", True), ("*", True), ("", False), ("gzip;q=0", False), ("br", False)],
)
def test_metrics_are_compressed_where_that_is_accepted(client: AppClient, accepted: str, compressed: bool) -> None:
    answer = client.get("/metrics", headers={"Accept-Encoding": accepted})
    assert (answer.headers.get("content-encoding") == "gzip") is compressed
    assert "maskgate_inflight_requests" in answer.text
    assert "Accept-Encoding" in answer.headers["vary"]


# Browsers


@pytest.mark.parametrize(
    ("method", "path"), [("GET", path) for path in (*PAGES, "/none", "/problems/x")] + [("POST", "/v1/damage")]
)
def test_every_answer_says_what_a_browser_may_do_with_it(client: AppClient, method: str, path: str) -> None:
    answer = client.request(method, path)
    assert HARDENED.items() <= dict(answer.headers).items()
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_so_do_pictures_and_refused_keys(client: AppClient, keyed: AppClient) -> None:
    picture = client.post("/v1/waste", files={"image": GOOD})
    assert picture.headers["content-type"] == "image/png"
    for answer in (picture, keyed.get("/v1/models")):
        assert HARDENED.items() <= dict(answer.headers).items()


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/v1/models/trivial", "/v1/tasks", "/v2", "/v2/models/trivial/config", "/openapi.json", "/console/"],
)
def test_what_has_not_changed_is_not_sent_again(client: AppClient, path: str) -> None:
    first = client.get(path)
    tag = first.headers["ETag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = client.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        assert "content-length" not in again.headers
    assert client.get(path, headers={"If-None-Match": '"other"'}).content == first.content
    assert client.request("HEAD", path, headers={"If-None-Match": tag}).status_code == 304


def test_a_card_that_changed_is_sent(start: Start, tmp_path: Any) -> None:
    card = write_trivial_model(tmp_path, "trivial") / "card.json"
    client = start(models={"repository": tmp_path}, engine={"watch_seconds": 0})
    tag = client.get("/v1/models/trivial").headers["ETag"]
    card.write_text(card.read_text().replace('"title": "', '"title": "Another '))
    client.post("/v1/repository/refresh")
    answer = client.get("/v1/models/trivial", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert answer.headers["ETag"] != tag


def test_what_is_refused_has_no_tag(client: AppClient) -> None:
    for path in ("/v1/models/none", "/none"):
        answer = client.get(path, headers={"If-None-Match": "*"})
        assert (answer.status_code, "etag" in answer.headers) == (404, False)


# Other origins

PREFLIGHT = {
    "Origin": "https://viewer.example",
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, maskgate-priority",
}


def test_other_origins_are_off_by_default(client: AppClient) -> None:
    assert client.request("OPTIONS", "/v1/damage", headers=PREFLIGHT).status_code == 405
    plain = client.get("/v1/models", headers={"Origin": "https://viewer.example"})
    assert not [name for name in plain.headers if name.startswith("access-control")]


def test_a_preflight_carries_no_key(keyed: AppClient) -> None:
    answer = keyed.request("OPTIONS", "/v1/damage", headers=PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://viewer.example"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    "changed", [{"Origin": "https://evil.example"}, {"Access-Control-Request-Method": "TRACE"}, {"Origin": "null"}]
)
def test_a_preflight_of_others_is_refused(keyed: AppClient, changed: dict[str, str]) -> None:
    answer = keyed.request("OPTIONS", "/v1/damage", headers=PREFLIGHT | changed)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "access-control-allow-origin" not in answer.headers


def test_a_page_of_an_allowed_origin_reads_answers_and_refusals(keyed: AppClient) -> None:
    for key, status in (("all", 200), ("wrong", 401)):
        answer = keyed.get("/v1/models", headers={"Origin": "https://viewer.example", "X-API-Key": key})
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == "https://viewer.example"
        assert answer.headers["Access-Control-Expose-Headers"] == "*"
        assert "Origin" in answer.headers["Vary"]
    other = keyed.get("/v1/models", headers={"Origin": "https://evil.example", "X-API-Key": "all"})
    assert "access-control-allow-origin" not in other.headers


def test_an_options_without_an_origin_still_needs_a_key(keyed: AppClient) -> None:
    assert keyed.request("OPTIONS", "/v1/damage").status_code == 401


# Proxies

SHOWN = {"X-Forwarded-Prefix": "/shown"}


def told(client: AppClient, headers: dict[str, str], peer: tuple[str, int] | None) -> Any:
    """Return the `type` of the problem that `peer` is answered with where there is no route."""
    body = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        body.extend(message.get("body", b""))

    converse(client, receive, scope_of(client.build("GET", "/none", headers=headers)) | {"client": peer}, send)
    return json.loads(body)["type"]


def test_a_prefix_is_believed_of_trusted_proxies_alone(start: Start) -> None:
    client = start(server={"trusted_proxies": ["10.0.0.0/8", "fd00::1"]})
    for address in ("10.1.2.3", "fd00::1"):
        assert told(client, SHOWN, (address, 1)) == "/shown/problems/route-not-found"
    for peer in (("11.0.0.1", 1), ("::1", 1), ("nonsense", 1), None):
        assert told(client, SHOWN, peer) == "/problems/route-not-found"
    for odd in ("//evil.example", "https://evil.example", "/a b", "/" + "a" * 999, "/<script>", "/x/../y?"):
        assert told(client, {"X-Forwarded-Prefix": odd}, ("10.1.2.3", 1)) == "/problems/route-not-found"


def test_by_default_no_proxy_is_trusted(client: AppClient) -> None:
    assert told(client, SHOWN, ("127.0.0.1", 1)) == "/problems/route-not-found"


def test_over_a_unix_socket_a_proxy_is_trusted_where_that_is_said(start: Start) -> None:
    assert told(start(server={"trusted_proxies": ["unix"]}), SHOWN, None) == "/shown/problems/route-not-found"


def test_links_begin_with_the_root_path(start: Start) -> None:
    client = start(server={"root_path": "/maskgate"}, auth={"keys": {"all": digest_of("all")}})
    headers = {"X-API-Key": "all"}
    for before in ("", "/maskgate"):
        made = client.post(f"{before}/v1/interactive/sessions", files={"image": GOOD}, headers=headers)
        assert made.status_code == 201, made.text
        assert made.headers["Location"].startswith("/maskgate/v1/interactive/sessions/")
        assert client.get(made.headers["Location"], headers=headers).status_code == 200
        assert client.get(f"{before}/openapi.json").json()["servers"] == [{"url": "/maskgate"}]
        assert client.get(f"{before}/none").json()["type"] == "/maskgate/problems/route-not-found"
    # Links of pages are relative, so that they hold behind any path.
    assert client.get("/").headers["Location"] == "console/"
    assert 'href="openapi.json"' in client.get("/docs").text


@pytest.mark.parametrize("path", ["/v1/models", "/maskgate/v1/models", "/maskgate/v1/ct", "/maskgate/v2/models/x"])
def test_a_prefix_opens_no_door(start: Start, path: str) -> None:
    client = start(server={"root_path": "/maskgate"}, auth={"keys": KEYS})
    assert client.get(path).status_code == 401
    assert client.get(f"/maskgate{path}").status_code in (401, 404)
    assert client.get("/maskgate/metrics").status_code == 401
    assert client.get("/maskgatex/v1/models").status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"root_path": "/v1"},
        {"root_path": "maskgate"},
        {"root_path": "/maskgate/"},
        {"trusted_proxies": ["everybody"]},
        {"cors_origins": ["https://example.org/"]},
        {"cors_origins": ["example.org"]},
        {"metrics_port": 8080},
        {"metrics_port": 9000, "grpc_port": 9000},
        {"tls_key": "/none"},
        {"tls_certificate": "/none"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ServerSettings.model_validate(wrong)


# The API's description


def test_the_description_names_keys_and_problems(client: AppClient, keyed: AppClient) -> None:
    described = client.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    assert {"HTTPValidationError", "ValidationError"}.isdisjoint(schemas)
    assert described["components"]["securitySchemes"]["bearer"] == {
        "type": "http",
        "scheme": "bearer",
        "description": "A key, where the operator has set keys.",
    }
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operations = [
        (f"{method} {path}", operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    for name, operation in operations:
        assert operation["responses"]["422"]["content"] == problem, name
        for status, answer in operation["responses"].items():
            if status >= "400" and name != "get /readyz":
                assert answer["content"] == problem, (name, status)
    secured = {name for name, operation in operations if "security" in operation}
    assert {"post /v1/damage", "get /v2/models/{model}", "get /metrics"} <= secured
    assert secured.isdisjoint({"get /v2/health/live", "get /healthz", "get /problems/{code}"})
    optional = described["paths"]["/v1/damage"]["post"]["security"]
    needed = keyed.get("/openapi.json").json()["paths"]["/v1/damage"]["post"]["security"]
    assert optional == [*needed, {}]


def test_a_problem_is_as_it_is_described(client: AppClient) -> None:
    schema = client.get("/openapi.json").json()["components"]["schemas"]["Problem"]
    for answer in (client.get("/none"), client.get("/v2/models/none"), client.post("/v1/interactive?threshold=2")):
        problem = answer.json()
        assert set(schema["required"]) <= problem.keys() <= schema["properties"].keys()
