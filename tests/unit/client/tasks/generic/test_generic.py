"""Tasks that the client knows from the gateway alone."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from maskgate_client import (
    CtReport,
    LabelMapReport,
    MaskReport,
    Prompt,
    Rejected,
    ScoreReport,
    Task,
    TaskPart,
    UnexpectedAnswer,
)

PHOTO = b"\xff\xd8\xff and so on"


def test_tasks_are_described(ask: Any, gateway: Any) -> None:
    rust, breed, *_ = ask("tasks")
    assert rust == Task(
        "rust",
        "Rust on a photograph",
        (
            TaskPart("image", "PNG", True, ("image/png", "image/jpeg")),
            TaskPart("area", "GeoJSON", False, ("application/geo+json",)),
        ),
        ("image/png", "application/json", "image/tiff"),
        "label map",
        "rust-1",
    )
    assert (breed.name, breed.answer) == ("breed", "scores")
    assert [request.url.path for request in gateway.requests] == ["/v1/tasks"]


def test_a_label_map_is_read_without_knowing_the_task(ask: Any, gateway: Any) -> None:
    report = ask("ask", "rust", PHOTO, model="m", version=3, include=["overlay"], min_area=9, deep=True)
    assert type(report) is LabelMapReport
    assert (report.model, report.counts()) == ("rust-1", {"rigid_plastic": 0, "cardboard": 1})
    assert report.pictures.keys() == {"overlay"}
    described, request = gateway.requests
    assert described.url.path == "/v1/tasks"
    assert (request.method, request.url.path, request.headers["accept"]) == ("POST", "/v1/rust", "application/json")
    assert dict(request.url.params) == {
        "model": "m",
        "version": "3",
        "include": "overlay",
        "min_area": "9",
        "deep": "true",
    }
    body = request.read()
    assert b'name="image"; filename="image"' in body
    assert b"Content-Type: image/jpeg" in body


def test_a_ct_is_read_as_one(ask: Any, gateway: Any) -> None:
    report = ask("ask", "ct", PHOTO, include=["nifti"], body_part="chest")
    assert type(report) is CtReport
    assert (report.lesions[0].volume_ml, report.files) == (0.00525, {"nifti": b"nifti"})
    assert dict(gateway.requests[1].url.params) == {"include": "nifti", "body_part": "chest"}


def test_a_task_that_is_described_already_is_not_asked_for(ask: Any, gateway: Any) -> None:
    rust, *_ = ask("tasks")
    ask("ask", rust, image=PHOTO)
    assert [request.url.path for request in gateway.requests] == ["/v1/tasks", "/v1/rust"]


def test_scores_are_read_without_knowing_the_task(ask: Any) -> None:
    report = ask("ask", "breed", np.zeros((4, 5), np.uint8))
    assert type(report) is ScoreReport
    assert (report.label, report.scores, report.provenance.version) == (
        "NORMAL",
        {"COVID-19": 0.25, "NORMAL": 0.75},
        None,
    )


def test_masks_are_read_and_prompts_are_sent(ask: Any, gateway: Any) -> None:
    report = ask("ask", "interactive", BytesIO(PHOTO), prompt=Prompt(box=(0, 0, 3, 2)))
    assert type(report) is MaskReport
    assert report.objects[0].area == 7
    body = gateway.requests[-1].read()
    assert b'{"box": [0.0, 0.0, 3.0, 2.0]}' in body
    assert b'name="prompt"; filename="prompt"' in body


def test_another_format_is_a_file(ask: Any, gateway: Any) -> None:
    assert ask("ask", "rust", PHOTO, accept="image/tiff") == b"image/tiff"
    assert gateway.requests[-1].headers["accept"] == "image/tiff"


def test_an_answer_of_a_kind_unheard_of_is_its_document(ask: Any) -> None:
    assert ask("ask", "count", PHOTO) == b'{"count":7}'


def test_optional_parts_are_sent_as_what_they_are(ask: Any, gateway: Any) -> None:
    ask("ask", "rust", PHOTO, area={"type": "FeatureCollection"})
    ask("ask", "rust", PHOTO, area=b"{}")
    for request in gateway.requests[1::2]:
        assert request.read().count(b"Content-Type: application/geo+json") == 1


def test_no_such_task_says_which_there_are(ask: Any, gateway: Any) -> None:
    with pytest.raises(ValueError, match="no task 'moss'; it has rust, breed, interactive, ct, count"):
        ask("ask", "moss", PHOTO)
    assert len(gateway.requests) == 1


def test_a_part_that_is_missing_is_named(ask: Any, gateway: Any) -> None:
    with pytest.raises(ValueError, match="interactive needs prompt"):
        ask("ask", "interactive", PHOTO)
    assert len(gateway.requests) == 1


def test_what_cannot_be_sent_is_refused(ask: Any, gateway: Any) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        ask("ask", "rust", np.zeros((3, 3)))
    assert len(gateway.requests) == 1


def test_a_refusal_is_a_problem_and_a_stranger_is_unexpected(ask: Any, gateway: Any) -> None:
    answers = [httpx.Response(403, json={"code": "forbidden"}), httpx.Response(200, json={"tasks": [{"name": "rust"}]})]
    gateway.instead = lambda _: answers.pop(0)
    with pytest.raises(Rejected):
        ask("ask", "rust", PHOTO)
    with pytest.raises(UnexpectedAnswer):
        ask("ask", "rust", PHOTO)
