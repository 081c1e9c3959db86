"""`POST /v1/ct`: a zipped series is inferred while it arrives, and is answered as one that was there at once."""

from __future__ import annotations

import asyncio
import gc
import io
import time
import zipfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import numpy as np
import pytest

from gateway.errors import ModelNotReady
from gateway.http.uploads import _Form
from gateway.media.medical.dicom_ct import DicomVolume
from gateway.tasks.ct.ahead import Ahead
from tests.support.app_client import AppClient
from tests.support.cts import GLASS, marked, nifti, places_in_seg, slices
from tests.support.dicoms import ct, saved, zipped
from tests.support.leaving import Message, converse, scope_of

BATCH = 8
COUNT = 20
JSON, DICOM, NIFTI = "application/json", "application/dicom", "application/x-nifti"
Wait = Callable[[], Any]


def archived(files: list[bytes]) -> bytes:
    """Return files as a zip, those with odd numbers first."""
    mixed = [*files[1::2], *files[::2]]
    return zipped((f"{number:03d}", content) for number, content in enumerate(mixed))


def begins(whole: bytes, number: int) -> int:
    """Return where a file of an archive begins."""
    return zipfile.ZipFile(io.BytesIO(whole)).infolist()[number].header_offset


def inferred(client: AppClient) -> float:
    return client.sample("maskgate_tiles_total", model="cogseg")


def asked(whole: bytes, accept: str) -> httpx.Request:
    headers = {"Accept": accept, "Content-Type": "application/zip"}
    return httpx.Request("POST", "http://gateway/v1/ct", content=whole, headers=headers)


def in_two(client: AppClient, whole: bytes, cut: int, wait: Wait, accept: str = JSON) -> httpx.Response:
    """Return the answer to a body whose part from byte `cut` on is sent when `wait` has returned."""
    request = asked(whole, accept)
    sent: list[Message] = []

    async def incoming() -> AsyncIterator[Message]:
        yield {"type": "http.request", "body": whole[:cut], "more_body": True}
        await wait()
        yield {"type": "http.request", "body": whole[cut:], "more_body": False}
        await asyncio.Event().wait()

    messages = incoming()

    async def send(message: Message) -> None:
        sent.append(message)

    converse(client, messages.__anext__, scope_of(request), send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    headers = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
    return httpx.Response(sent[0]["status"], content=body, headers=headers)


def until_inferred(client: AppClient, count: int) -> Wait:
    """Return what waits until so many slices more than now went through the model."""
    due = inferred(client) + count

    async def wait() -> None:
        while inferred(client) < due:  # noqa: ASYNC110 - a counter, which tells nobody
            await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def client(start: Callable[..., AppClient]) -> AppClient:
    return start(work={"threads": 2})


@pytest.mark.parametrize("accept", [JSON, NIFTI])
def test_slices_are_inferred_while_the_rest_arrives_and_none_twice(client: AppClient, accept: str) -> None:
    whole = archived(slices(COUNT, where=3))
    plain = client.post("/v1/ct", content=whole, headers={"Accept": accept, "Content-Type": "application/zip"})
    assert plain.status_code == 200
    before = inferred(client)
    wait = until_inferred(client, BATCH)
    answer = in_two(client, whole, begins(whole, BATCH + 1), wait, accept)
    assert answer.status_code == 200, answer.text
    assert inferred(client) - before == COUNT
    if accept == JSON:
        assert answer.json() == plain.json()
        assert [one["imaged_pixels"] > 0 for one in answer.json()["slices"]] == [True] * COUNT
        assert [number for number, one in enumerate(answer.json()["slices"]) if one["lesions"][0]["pixels"]] == [3]
    else:
        assert answer.content == plain.content
    assert client.sample("maskgate_inflight_bytes") == 0


def test_a_segmentation_has_the_frames_of_slices_that_were_seen_ahead(client: AppClient) -> None:
    whole = archived(slices(COUNT, where=3))
    answer = in_two(client, whole, begins(whole, BATCH + 1), until_inferred(client, BATCH), DICOM)
    plain = client.post("/v1/ct", content=whole, headers={"Accept": DICOM, "Content-Type": "application/zip"})
    assert answer.status_code == plain.status_code == 200
    assert (places_in_seg(answer.content) == places_in_seg(plain.content)).all()


def test_a_series_that_turns_out_to_be_none_has_its_own_error(client: AppClient) -> None:
    files = slices(COUNT, where=3)
    del files[10]
    whole = archived(files)
    answer = in_two(client, whole, begins(whole, BATCH + 1), until_inferred(client, BATCH))
    assert (answer.status_code, answer.json()["code"]) == (422, "series-gap")
    assert answer.json()["errors"][0]["pointer"] == "/image"
    assert client.sample("maskgate_inflight_bytes") == 0


def test_a_slice_whose_pixels_are_damaged_is_told_as_ever(client: AppClient) -> None:
    whole = bytearray(archived(slices(COUNT, where=3)))
    whole[begins(bytes(whole), 3) - 40] ^= 0xFF
    plain = client.post("/v1/ct", content=bytes(whole), headers={"Content-Type": "application/zip"})
    answer = in_two(client, bytes(whole), begins(bytes(whole), BATCH + 1), until_inferred(client, BATCH - 1))
    assert answer.status_code == plain.status_code == 422
    assert answer.json()["detail"] == plain.json()["detail"]


def test_slices_of_another_series_that_were_not_asked_for_are_not_in_the_answer(client: AppClient) -> None:
    files = slices(COUNT, where=3, SeriesInstanceUID="1.2.1")
    scouts = [
        saved(
            ct(
                marked(GLASS),
                position=(0, number, 0),
                orientation=(1, 0, 0, 0, 0, -1),
                instance=100 + number,
                SeriesInstanceUID="1.2.2",
                BodyPartExamined="CHEST",
            )
        )
        for number in range(4)
    ]
    whole = zipped((f"{number}", content) for number, content in enumerate([*scouts, *files]))
    before = inferred(client)
    answer = in_two(client, whole, begins(whole, 2 * BATCH + 1), until_inferred(client, BATCH - 4))
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["slices"]) == inferred(client) - before == COUNT
    assert "4 files of another series were passed over" in answer.json()["notices"]


def test_where_no_turn_is_free_nothing_is_inferred_before_its_time(start: Callable[..., AppClient]) -> None:
    client = start(work={"threads": 1, "turns": 1})
    whole = archived(slices(COUNT, where=3))
    turns, before = client.services.admission.queue.turns, inferred(client)

    async def wait() -> None:
        await asyncio.sleep(0.2)
        assert inferred(client) == before
        turns.give_back()

    client.run(turns.take, "bulk")
    answer = in_two(client, whole, len(whole) - 10, wait)
    assert answer.status_code == 200, answer.text
    assert inferred(client) - before == COUNT
    assert turns.free == 1


def test_a_caller_who_leaves_in_the_upload_ends_what_was_begun_with_it(client: AppClient) -> None:
    whole = archived(slices(COUNT, where=3))
    cut, wait = begins(whole, BATCH + 1), until_inferred(client, BATCH)
    turns = client.services.admission.queue.turns
    free = turns.free

    async def incoming() -> AsyncIterator[Message]:
        yield {"type": "http.request", "body": whole[:cut], "more_body": True}
        await wait()
        yield {"type": "http.disconnect"}

    converse(client, incoming().__anext__, scope_of(asked(whole, JSON)))
    assert client.sample("maskgate_inflight_bytes") == client.sample("maskgate_inflight_requests") == 0
    assert turns.free == free


def test_a_model_that_fails_ahead_fails_the_request_as_ever(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = archived(slices(COUNT, where=3))
    calls: list[int] = []
    asked_for = asyncio.Event()

    async def gone(*_: object) -> dict[str, Any]:
        calls.append(1)
        asked_for.set()
        raise ModelNotReady("Gone.")

    monkeypatch.setattr(client.services.engine, "infer", gone)
    answer = in_two(client, whole, begins(whole, BATCH + 1), asked_for.wait)
    assert (answer.status_code, answer.json()["code"]) == (503, "model-not-ready")
    assert len(calls) >= 2


@pytest.mark.parametrize("number", [0, 1])
def test_what_is_no_archive_is_not_looked_at(client: AppClient, number: int) -> None:
    body = (nifti(np.eye(4)), slices(1, where=0)[0])[number]

    async def wait() -> None:
        await asyncio.sleep(0.05)

    answer = in_two(client, body, len(body) // 2, wait, f"{NIFTI}, {JSON}")
    # It says that it is a zip; what it is its bytes say.
    assert answer.status_code == 200, answer.text


def held_of_requests() -> set[str]:
    # By type: some of torch's objects warn when they are asked for their class.
    return {type(one).__name__ for one in gc.get_objects() if issubclass(type(one), _Form | Ahead | DicomVolume)}


def test_nothing_of_a_body_waits_to_be_collected(client: AppClient) -> None:
    """A series is of hundreds of megabytes, and the collector of cycles looks at what is old rarely."""
    whole = archived(slices(COUNT, where=3))
    gc.collect()  # what tests before left
    gc.disable()
    try:
        assert client.post("/v1/ct", files={"image": whole}, headers={"Accept": JSON}).status_code == 200
        # The answer is there a moment before the tasks that it was made in are gone.
        due = time.monotonic() + 5
        while (left := held_of_requests()) and time.monotonic() < due:
            time.sleep(0.01)
    finally:
        gc.enable()
    assert left == set()
