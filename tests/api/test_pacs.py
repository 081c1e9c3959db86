"""`POST /v1/ct?source=dicomweb`: what is refused, and what the archive is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from gateway.access.keys import digest_of
from tests.api.conftest import Start
from tests.support.app_client import AppClient
from tests.support.cts import slices
from tests.support.dicoms import SERIES, STUDY

HERE = {"source": "dicomweb", "study": STUDY, "series": SERIES}
URL = "http://127.0.0.1:1/dicom-web"


class Archive(httpx.AsyncBaseTransport):
    """Has one series, and fails to store where it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.takes = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.method, request.url.path))
        if request.method == "POST":
            return httpx.Response(200 if self.takes else 409)
        parts = [b"--x\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in slices(3, 1)]
        kind = {"Content-Type": "multipart/related; boundary=x"}
        return httpx.Response(200, stream=httpx.ByteStream(b"".join([*parts, b"--x--"])), headers=kind)


@pytest.fixture
def archive() -> Archive:
    return Archive()


def joined(app: AppClient, archive: Archive) -> AppClient:
    """Return an app whose DICOMweb server is `archive`."""
    assert app.services.pacs is not None
    app.services.pacs._transport = archive
    return app


@pytest.fixture
def connected(start: Start, archive: Archive) -> Iterator[AppClient]:
    app = joined(start(pacs={"url": URL}), archive)
    yield app
    assert app.sample("maskgate_inflight_bytes") == 0


def code(answer: httpx.Response) -> tuple[int, str, str | None]:
    told = answer.json()
    return answer.status_code, told["code"], told.get("errors", [{}])[0].get("pointer")


def test_parameters_belong_together(connected: AppClient, archive: Archive) -> None:
    refused: dict[str, list[dict[str, str]]] = {
        "/study": [{**HERE, "study": "1/2"}, {"source": "dicomweb", "series": SERIES}, {"study": STUDY}],
        "/series": [{**HERE, "series": "7?"}, {"source": "dicomweb", "study": STUDY}],
        "/store": [{"store": "dicom"}],
    }
    for pointer, queries in refused.items():
        for query in queries:
            assert code(connected.post("/v1/ct", params=query)) == (422, "parameter-invalid", pointer)
    assert connected.post("/v1/ct", params={**HERE, "source": "http://elsewhere"}).status_code == 422
    assert code(connected.post("/v1/ct", params=HERE, content=b"x")) == (400, "bad-request", None)
    assert archive.asked == []


def test_a_gateway_without_an_archive_says_so(client: AppClient) -> None:
    assert code(client.post("/v1/ct", params=HERE)) == (501, "pacs-missing", None)


def test_what_the_archive_does_not_take_is_no_answer(connected: AppClient, archive: Archive) -> None:
    archive.takes = False
    assert code(connected.post("/v1/ct", params={**HERE, "store": "dicom"})) == (502, "pacs-failed", None)
    assert archive.asked[-1] == ("POST", f"/dicom-web/studies/{STUDY}")


def test_an_answer_that_cannot_be_given_stores_nothing(connected: AppClient, archive: Archive) -> None:
    refused = connected.post("/v1/ct", params={**HERE, "store": "dicom"}, headers={"Accept": "image/png"})
    assert refused.status_code == 406
    assert {method for method, _ in archive.asked} == {"GET"}


def test_a_series_counts_as_a_body_does(start: Start, archive: Archive) -> None:
    app = joined(start(pacs={"url": URL}, limits={"body_bytes": 20_000}), archive)
    answer = app.post("/v1/ct", params=HERE)
    assert code(answer)[:2] == (413, "body-too-large")
    assert answer.json()["limit"] == 20_000


def test_the_archive_needs_a_scope_of_its_own(start: Start, archive: Archive) -> None:
    keys = {
        "ward": {"digest": digest_of("ward-key"), "scopes": ["ct"]},
        "reader": {"digest": digest_of("reader-key"), "scopes": ["ct", "pacs"]},
    }
    app = joined(start(pacs={"url": URL}, auth={"keys": keys}), archive)
    refused = app.post("/v1/ct", params=HERE, headers={"X-API-Key": "ward-key"})
    assert (refused.status_code, refused.json()["scope"]) == (403, "pacs")
    assert archive.asked == []
    assert app.post("/v1/ct", params=HERE, headers={"X-API-Key": "reader-key"}).status_code == 200
