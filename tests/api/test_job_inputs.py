"""Inputs of jobs that lie elsewhere: fetched from the stores that are allowed, and from nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from gateway.errors import InputForbidden
from gateway.jobs import runner
from gateway.settings import JobSettings
from gateway.stores.access import check_address
from tests.support.app_client import AppClient
from tests.support.jobs import ended
from tests.support.pictures import encode, noise

pytest.importorskip("obstore", reason="the extra `jobs` is not installed")

PHOTO = encode(noise(64, 64))


class _Store(BaseHTTPRequestHandler):
    """Gives out a photograph, and redirects."""

    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        leads = {"/in/moved.png": "/in/photo.png", "/in/out.png": "/out/photo.png", "/in/round.png": "/in/round.png"}
        if self.path in leads:
            self.send_response(302)
            self.send_header("Location", leads[self.path])
            self.end_headers()
        elif self.path.endswith("photo.png"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(PHOTO)))
            self.end_headers()
            self.wfile.write(PHOTO)
        else:
            self.send_response(404)
            self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def store() -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a store, and the list of what is asked of it."""

    class Handler(_Store):
        asked: ClassVar[list[str]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", Handler.asked
        finally:
            server.shutdown()
            thread.join()


def of(*addresses: str) -> dict[str, Any]:
    return {"task": "waste", "items": [{"parts": {"image": {"url": address}}} for address in addresses]}


def test_inputs_come_from_an_allowed_store_and_no_redirect_leads_out(
    start: Callable[..., AppClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_FETCH_PAUSES", (0.0,))
    with store() as (address, asked):
        keeper = start(jobs={"folder": tmp_path, "stores": [f"{address}/in/"]})
        names = ("photo", "moved", "out", "round", "none")
        job = ended(keeper, keeper.post("/v1/jobs", json=of(*(f"{address}/in/{name}.png" for name in names))))
        states = {name: item["state"] for name, item in zip(names, job["items"], strict=True)}
        assert states == {"photo": "done", "moved": "done", "out": "failed", "round": "failed", "none": "failed"}
        codes = [item["problem"]["code"] for item in job["items"][2:]]
        assert codes == ["input-forbidden", "input-unreachable", "input-unreachable"]
        assert [path for path in asked if path.startswith("/out")] == []
        assert asked.count("/in/none.png") == 2, "tried again once"
        online = keeper.post("/v1/waste", files={"image": PHOTO})
        assert keeper.get(job["items"][0]["result"]["url"]).content == online.content
        refused = keeper.post("/v1/jobs", json=of(f"{address}/in/photo.png", f"{address}/out/photo.png"))
        assert (refused.status_code, refused.json()["code"]) == (422, "input-forbidden")
        assert refused.json()["errors"][0]["pointer"] == "/items/1/parts/image/url"
    assert list((tmp_path / "making").iterdir()) == []


def test_without_stores_no_address_is_taken(start: Callable[..., AppClient], tmp_path: Path) -> None:
    keeper = start(jobs={"folder": tmp_path})
    answer = keeper.post("/v1/jobs", json=of("https://example.org/photo.png"))
    assert (answer.status_code, answer.json()["code"]) == (422, "input-forbidden")


STORES = ("https://data.example.org/tiles/", "s3://bucket/a/")


@pytest.mark.parametrize(
    "address",
    [
        "https://data.example.org/tiles/a/b.tif",
        "https://data.example.org/tiles/a.tif?X-Amz-Signature=ab%2Fcd",
        "s3://bucket/a/b..c/d.tif",
    ],
)
def test_what_lies_in_a_store_is_taken(address: str) -> None:
    check_address(address, STORES)


@pytest.mark.parametrize(
    "address",
    [
        "http://data.example.org/tiles/a.tif",
        "https://data.example.org/other/a.tif",
        "https://data.example.org/tiles/",
        "https://data.example.org/tiles/../other/a.tif",
        "https://data.example.org/tiles/%2e%2e/other/a.tif",
        "https://data.example.org/tiles/%252e%252e/other/a.tif",
        "https://data.example.org/tiles/a\\..\\..\\b.tif",
        "https://data.example.org/tiles/a b.tif",
        "https://data.example.org/tiles/ä.tif",
        "https://data.example.org/tiles/a.tif\nHost: x",
        "https://data.example.org/tiles/a.tif#x",
        "https://data.example.org@evil.example/tiles/a.tif",
        "https://data.example.org.evil.example/tiles/a.tif",
        "s3://bucket/ab.tif",
        "s3://bucket/a/../b.tif",
        "file:///etc/passwd",
        "",
    ],
)
def test_what_lies_elsewhere_is_not(address: str) -> None:
    with pytest.raises(InputForbidden):
        check_address(address, STORES)


@pytest.mark.parametrize("odd", ["https://host", "https://host/a", "ftp://host/", "https://user@host/", "https:///a/"])
def test_stores_end_with_a_slash(odd: str) -> None:
    with pytest.raises(ValidationError, match="a slash at its end"):
        JobSettings.model_validate({"stores": [odd]})
