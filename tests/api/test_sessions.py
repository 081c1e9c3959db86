"""`/v1/interactive/sessions`: the image once, one click at a time."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.app_client import AppClient
from tests.support.pictures import decode, encode
from tests.support.sessions import BOX, PIXELS, SESSIONS, SQUARE, TALLER, begin, begun, click, mask, once

AS_JSON = {"Accept": "application/json"}


def stages(answer: httpx.Response) -> list[str]:
    return [entry.split(";")[0] for entry in answer.headers["Server-Timing"].split(", ")]


def test_a_session_begins_with_an_image(client: AppClient) -> None:
    answer = begin(client, "?threshold=0.25")
    assert answer.status_code == 201
    state = answer.json()
    assert answer.headers["Location"] == f"{SESSIONS}/{state['id']}"
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert stages(answer) == ["receive", "queue", "decode", "encode"]
    assert len(state["id"]) == 32
    assert (state["width"], state["height"]) == (160, 120)
    assert (state["model"], state["version"], state["threshold"]) == ("click-lite0", 1, 0.25)
    assert state["digest"].startswith("sha256:")
    assert (state["objects"], state["clicks"], state["revision"], state["answer"]) == ([], 0, 0, None)
    ahead = datetime.fromisoformat(state["expires"]) - datetime.now(UTC)
    assert 0 < ahead.total_seconds() <= 900


def test_a_session_begins_with_a_prompt_and_its_answer(client: AppClient) -> None:
    answer = begin(
        client, "?include=mask&include=overlay&include=coco", {"objects": [BOX, BOX | {"tight": False}]}
    ).json()
    assert answer["objects"] == [BOX, BOX | {"tight": False}]
    assert [found["value"] for found in answer["answer"]["objects"]] == [1, 2]
    assert answer["answer"]["provenance"]["input_digest"] == answer["image"]
    assert len(answer["answer"]["coco"]["annotations"]) == 2
    np.testing.assert_array_equal(
        decode(b64decode(answer["answer"]["pictures"]["mask"])), once(client, {"objects": answer["objects"]})
    )
    assert decode(b64decode(answer["answer"]["pictures"]["overlay"])).shape == PIXELS.shape


@pytest.mark.parametrize("model", ["click-lite0", "grabcut"])
def test_every_click_is_answered_as_if_all_were_sent_at_once(client: AppClient, model: str) -> None:
    query = f"?model={model}"
    session = begun(client, query)
    np.testing.assert_array_equal(mask(click(client, session, BOX)), once(client, BOX, query))
    mask(click(client, session, {"positive": [[100, 80]]}))
    found = click(client, session, {"negative": [[60, 40]]})
    whole = {"box": BOX["box"], "positive": [[80, 60], [100, 80]], "negative": [[60, 40]]}
    np.testing.assert_array_equal(mask(found), once(client, whole, query))
    assert found.headers["Maskgate-Object"] == "1"
    assert found.headers["Maskgate-Revision"] == "3"
    assert found.headers["Maskgate-Model"] == model
    assert client.get(session).json()["objects"] == [whole]


def test_answers_are_negotiated_as_those_of_one_shot(client: AppClient) -> None:
    session = begun(client)
    report = click(client, session, BOX, "?include=mask", headers=AS_JSON).json()
    assert report["objects"][0]["area"] > 0
    assert report["provenance"]["model"] == "click-lite0"
    assert (decode(b64decode(report["pictures"]["mask"])) > 0).sum() == report["objects"][0]["area"]
    overlay = client.get(f"{session}/mask?overlay=true")
    assert decode(overlay.content).shape == PIXELS.shape
    assert click(client, session, BOX, headers={"Accept": "text/html"}).status_code == 406
    assert click(client, session, BOX, "?overlay=true", headers=AS_JSON).status_code == 422
    assert begin(client, headers={"Accept": "image/png"}).status_code == 406


def test_the_next_click_runs_the_head_alone_and_nothing_is_decoded_again(start: Any, decoded: list[None]) -> None:
    client = start()
    session = begun(client)

    def inferred(model: str) -> float:
        count: float = client.sample("maskgate_tiles_total", model=model)
        return count

    click(client, session, BOX)
    for n in range(3):
        mask(click(client, session, {"positive": [[90, 60 + n]]}))
    mask(client.get(f"{session}/mask"))
    mask(client.delete(f"{session}/clicks/last"))
    assert (inferred("click-lite0-encoder"), inferred("click-lite0")) == (1, 6)
    assert client.sample("maskgate_session_cache_misses_total") == 1
    assert client.sample("maskgate_session_cache_hits_total") == 5
    assert len(decoded) == 1


def test_of_a_brief_click_threads_are_asked_for_its_mask_and_its_picture_alone(start: Any) -> None:
    """To ask one takes longer than to read a few clicks, or to draw them."""
    client = start()
    session = begun(client)
    click(client, session, BOX)

    def asked(prompt: object) -> int:
        before = client.sample("maskgate_pool_wait_seconds_count", pool="worker")
        mask(click(client, session, prompt))
        return int(client.sample("maskgate_pool_wait_seconds_count", pool="worker") - before)

    assert asked({"positive": [[90, 60]]}) == 2
    assert asked({"positive": [[60 + n % 40, 40 + n % 50] for n in range(200)]}) == 4


def test_lost_features_are_made_again_unnoticed(start: Any) -> None:
    client = start(sessions={"bytes": PIXELS.nbytes + 100})
    session = begun(client)
    first = mask(click(client, session, BOX))
    second = mask(click(client, session, {"positive": [[90, 60]]}))
    np.testing.assert_array_equal(first, once(client, BOX))
    np.testing.assert_array_equal(second, once(client, {"box": BOX["box"], "positive": [[80, 60], [90, 60]]}))
    assert client.sample("maskgate_tiles_total", model="click-lite0-encoder") == 4
    assert client.sample("maskgate_session_cache_hits_total") == 0
    assert client.sample("maskgate_session_cache_misses_total") == 2


def test_features_give_way_to_images_and_a_session_without_room_is_refused(start: Any) -> None:
    client = start(sessions={"bytes": 2 * PIXELS.nbytes + 1000})
    first = begun(client, prompt=BOX)
    begun(client)
    assert client.sample("maskgate_session_cache_evictions_total") == 1
    refused = begin(client)
    assert refused.status_code == 503
    assert refused.json()["code"] == "sessions-full"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    mask(click(client, first, {"negative": [[60, 40]]}))
    assert client.delete(first).status_code == 204
    assert begin(client).status_code == 201
    too_large = start(sessions={"bytes": PIXELS.nbytes - 1})
    refused = begin(too_large)
    assert (refused.status_code, refused.json()["limit"]) == (413, PIXELS.nbytes - 1)
    assert too_large.sample("maskgate_session_cache_bytes") == 0


def test_undo_and_reset(client: AppClient) -> None:
    session = begun(client)
    first = click(client, session, BOX)
    click(client, session, {"negative": [[60, 40]]})
    np.testing.assert_array_equal(mask(client.delete(f"{session}/clicks/last")), mask(first))
    nothing = client.delete(f"{session}/clicks/last")
    assert not mask(nothing).any()
    assert nothing.headers["Maskgate-Object"] == "1"
    again = client.delete(f"{session}/clicks/last", headers=AS_JSON)
    assert (again.status_code, again.json()["code"], again.json()["retryable"]) == (409, "conflict", False)
    click(client, session, BOX)
    click(client, session, BOX | {"object": "new"})
    state = client.delete(f"{session}/clicks").json()
    assert (state["objects"], state["clicks"], state["revision"]) == ([], 0, 7)
    empty = client.get(f"{session}/mask", headers=AS_JSON).json()
    assert empty["objects"] == []
    np.testing.assert_array_equal(mask(click(client, session, BOX)), mask(first))


def test_objects_are_clicked_each_by_its_number_and_merged_later_on_top(client: AppClient) -> None:
    session = begun(client, "?model=polygon")
    first = click(client, session, SQUARE)
    second = click(client, session, TALLER | {"object": "new"})
    assert (first.headers["Maskgate-Object"], second.headers["Maskgate-Object"]) == ("1", "2")
    np.testing.assert_array_equal(mask(second), once(client, TALLER, "?model=polygon"))
    merged = mask(client.get(f"{session}/mask"))
    np.testing.assert_array_equal(merged, once(client, {"objects": [SQUARE, TALLER]}, "?model=polygon"))
    assert click(client, session, TALLER | {"object": 1}).headers["Maskgate-Object"] == "1"
    assert click(client, session, SQUARE).headers["Maskgate-Object"] == "1", "the one that was clicked last"
    assert client.get(session).json()["objects"] == [SQUARE, TALLER]
    assert client.delete(f"{session}/clicks/last").headers["Maskgate-Object"] == "1"
    assert client.delete(f"{session}/clicks/last").headers["Maskgate-Object"] == "1"
    assert client.delete(f"{session}/clicks/last").headers["Maskgate-Object"] == "2"


def test_undo_tells_and_shows_what_it_changed(client: AppClient) -> None:
    session = begun(client, "?model=polygon")
    first = click(client, session, SQUARE)
    click(client, session, TALLER | {"object": "new"})
    click(client, session, TALLER | {"object": 1})
    taken = client.delete(f"{session}/clicks/last")
    assert taken.headers["Maskgate-Object"] == "1"
    np.testing.assert_array_equal(mask(taken), mask(first))
    report = client.delete(f"{session}/clicks/last?object=1", headers=AS_JSON)
    assert (report.json()["object"], report.json()["objects"]) == (1, [])
    merged = mask(client.get(f"{session}/mask"))
    np.testing.assert_array_equal(merged, 2 * once(client, TALLER, "?model=polygon"))
    refused = client.delete(f"{session}/clicks/last?object=1")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert click(client, session, SQUARE | {"object": 1}, headers=AS_JSON).json()["object"] == 1
    assert client.delete(f"{session}/clicks/last?object=2").headers["Maskgate-Object"] == "2"


def test_a_click_alone_keeps_the_box_that_was_found(client: AppClient) -> None:
    session = begun(client)
    first = click(client, session, {"positive": [[80, 60]]}, headers=AS_JSON).json()["objects"][0]
    (kept,) = client.get(session).json()["objects"]
    assert kept["positive"] == [[80, 60]]
    again = client.get(f"{session}/mask", headers=AS_JSON).json()["objects"][0]
    assert again["rle"] == first["rle"]


def test_a_box_alone_keeps_the_inside_click_that_was_found(client: AppClient) -> None:
    session = begun(client, prompt={"box": BOX["box"]})
    (kept,) = client.get(session).json()["objects"]
    assert kept["box"] == BOX["box"]
    assert len(kept["positive"]) == 1
    other = begun(client)
    found = click(client, other, {"box": BOX["box"]})
    assert "the inside click was taken at" in found.headers["Maskgate-Notices"]
    assert client.get(other).json()["objects"] == [kept]
    before = client.sample("maskgate_tiles_total", model="click-lite0-encoder")
    mask(click(client, other, {"negative": [[60, 40]]}))
    assert client.sample("maskgate_tiles_total", model="click-lite0-encoder") == before


def test_the_image_is_upright_and_what_was_done_to_it_is_said(client: AppClient) -> None:
    grey = np.dstack([PIXELS, PIXELS[..., :1]])
    answer = client.post(SESSIONS, files={"image": encode(grey)})
    assert answer.json()["notices"] == ["alpha channel dropped"]
    assert answer.headers["Maskgate-Notices"] == "alpha channel dropped"
    assert "alpha channel dropped" in click(client, answer.headers["Location"], BOX).headers["Maskgate-Notices"]
