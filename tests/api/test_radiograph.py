"""`POST /v1/radiograph`: the answers."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from gateway.repository.card import ClassSpec, read_card
from gateway.vision.radiographs import mean_evidence, to_tile
from tests.api.conftest import Start
from tests.support.app_client import AppClient
from tests.support.dicoms import SURNAME, baseline_jpeg, compressed, film, saved
from tests.support.films import COLUMNS, ROWS, UInt8, chest, dicom
from tests.support.pictures import decode, encode
from tests.support.places import SAMPLES
from tests.support.trivial_radiograph import evidence_of, scores_of, write_trivial_radiograph

PNG = {"Accept": "image/png"}
SIZES, SHIFTS, CELLS = {"cxr-bright": 48, "cxr-even": 32}, {"cxr-bright": 0.25, "cxr-even": 0.0}, (6, 4)
BOTTOM_RIGHT = np.s_[ROWS * 3 // 4 :, COLUMNS * 3 // 4 :]
TOP_LEFT = np.s_[: ROWS // 4, : COLUMNS // 4]


def ask(client: AppClient, image: bytes, query: str = "", headers: dict[str, str] | None = None) -> httpx.Response:
    answer = client.post(f"/v1/radiograph{query}", files={"image": image}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def scores(pixels: UInt8, model: str) -> dict[str, Any]:
    """Return what a model should answer for a film."""
    first, second = scores_of(to_tile(pixels, SIZES[model])[None], SHIFTS[model])[0].tolist()
    return {"COVID-19": pytest.approx(first, abs=1e-5), "NORMAL": pytest.approx(second, abs=1e-5)}


@pytest.mark.parametrize("model", SIZES)
@pytest.mark.parametrize("level", [5, 100, 250])
def test_a_model_scores_a_film(client: AppClient, model: str, level: int) -> None:
    pixels = chest(level)
    answer = ask(client, encode(pixels), f"?model={model}")
    report = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert report["scores"] == scores(pixels, model)
    assert list(report["scores"]) == ["COVID-19", "NORMAL"]
    assert (report["model"], report["width"], report["height"]) == (model, COLUMNS, ROWS)
    assert (report["models"], report["pictures"], report["saliency_class"]) == ([], {}, None)
    assert report["provenance"]["model"] == answer.headers["Maskgate-Model"] == model
    assert report["provenance"]["digest"] == answer.headers["Maskgate-Digest"]
    assert report["provenance"]["input_digest"] == f"sha256:{hashlib.sha256(encode(pixels)).hexdigest()}"


def test_the_ensemble_is_the_default_averages_all_and_shows_each(client: AppClient) -> None:
    answer = ask(client, dicom())
    report = answer.json()
    assert report["model"] == report["provenance"]["model"] == answer.headers["Maskgate-Model"] == "ensemble"
    assert report["provenance"]["version"] is report["provenance"]["digest"] is None
    each = {entry["provenance"]["model"]: entry for entry in report["models"]}
    assert list(each) == sorted(SIZES)
    for name, entry in each.items():
        assert entry["scores"] == scores(chest(), name)
        assert entry["provenance"]["version"] == 1
        assert f"{name} 1 {entry['provenance']['digest']}" in answer.headers["Maskgate-Ensemble"].split(", ")
    for label, score in report["scores"].items():
        assert score == pytest.approx(np.mean([entry["scores"][label] for entry in each.values()]), abs=1e-5)
    assert sum(report["scores"].values()) == pytest.approx(1, abs=1e-5)


def test_each_decides_at_its_own_threshold_and_all_at_that_of_the_request(client: AppClient) -> None:
    # P(COVID-19): 0.39 by cxr-bright, which decides from 0.25 on, 0.64 by cxr-even, 0.51 on average.
    report = ask(client, dicom(chest(60, 185))).json()
    assert (report["label"], report["threshold"]) == ("COVID-19", 0.5)
    assert {entry["provenance"]["model"]: (entry["label"], entry["threshold"]) for entry in report["models"]} == {
        "cxr-bright": ("COVID-19", 0.25),
        "cxr-even": ("COVID-19", 0.5),
    }
    report = ask(client, dicom(chest(60, 185)), "?threshold=0.6").json()
    assert (report["label"], report["threshold"]) == ("NORMAL", 0.6)
    assert [(entry["label"], entry["threshold"]) for entry in report["models"]] == [
        ("NORMAL", 0.6),
        ("COVID-19", 0.6),
    ]
    alone = ask(client, dicom(chest(60, 185)), "?model=cxr-bright").json()
    assert (alone["label"], alone["threshold"]) == ("COVID-19", 0.25)


def test_every_answer_says_that_it_is_no_diagnosis_and_belongs_to_nobody_else(client: AppClient) -> None:
    for query, headers in (("", {}), ("?model=cxr-even", {}), ("", PNG), ("?include=saliency", {})):
        answer = ask(client, dicom(), query, headers)
        assert "not a diagnosis" in answer.headers["Maskgate-Notices"]
        assert "class and source are confounded" in answer.headers["Maskgate-Notices"]
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert SURNAME.lower() not in str(answer.headers).lower()
        assert SURNAME.encode() not in answer.content
    assert ask(client, dicom()).json()["notices"][0] == "a research demonstration, not a diagnosis"


def test_films_of_every_kind_are_seen_alike(client: AppClient) -> None:
    expected = ask(client, encode(chest())).json()["scores"]
    eight = film(chest(), bits=8, WindowCenter=128, WindowWidth=256)
    inverted = dicom(255 - chest(), PhotometricInterpretation="MONOCHROME1")
    kinds = {
        "DICOM": dicom(),
        "MONOCHROME1": inverted,
        "RLE": saved(compressed(film(chest().astype(int) * 16, WindowCenter=2040.5, WindowWidth=4081), RLELossless)),
        "JPEG 2000": saved(compressed(film(chest(), bits=8, WindowCenter=128, WindowWidth=256), JPEG2000Lossless)),
        "CR": dicom(Modality="CR"),
        "RGB PNG": encode(np.repeat(chest()[..., None], 3, axis=2)),
        "16-bit PNG": encode(chest().astype(np.uint16) * 257),
        "JPEG": encode(chest(), "JPEG", quality=95),
        "JPEG in DICOM": saved(baseline_jpeg(eight)),
    }
    for kind, data in kinds.items():
        found = ask(client, data).json()["scores"]
        assert found == pytest.approx(expected, abs=2e-3), kind


def test_a_lossless_jpeg_film_is_seen_alike(client: AppClient) -> None:
    data = saved(compressed(film(chest(), bits=8, WindowCenter=128, WindowWidth=256), JPEGLSLossless))
    assert ask(client, data).json()["scores"] == pytest.approx(ask(client, dicom()).json()["scores"], abs=2e-3)


def test_a_picture_shows_where_the_evidence_lies(client: AppClient) -> None:
    bright = decode(ask(client, dicom(), "?saliency_class=NORMAL", PNG).content).astype(int)
    dark = decode(ask(client, dicom(), "?saliency_class=COVID-19", PNG).content).astype(int)
    assert bright.shape == dark.shape == (ROWS, COLUMNS, 3)
    redder = bright[..., 0] - bright[..., 2], dark[..., 0] - dark[..., 2]
    assert redder[0][BOTTOM_RIGHT].min() > 60 > abs(redder[0][TOP_LEFT]).max()
    assert redder[1][TOP_LEFT].min() > 60 > redder[1][BOTTOM_RIGHT].max()


def test_the_ensembles_evidence_is_the_mean_of_its_models(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[UInt8] = []

    def drawing(grey: UInt8, evidence: UInt8) -> bytes:
        drawn.append(evidence)
        return b"png"

    monkeypatch.setattr("gateway.tasks.radiograph.route.encode_heat_overlay", drawing)
    ask(client, dicom(), "?saliency_class=NORMAL", PNG)
    ask(client, dicom(), "?saliency_class=NORMAL&model=cxr-even", PNG)
    maps = [evidence_of(to_tile(chest(), SIZES[m])[None], n)[0, ..., 1] for m, n in zip(SIZES, CELLS, strict=True)]
    assert np.abs(drawn[0].astype(int) - mean_evidence(maps, [1, 1], ROWS, COLUMNS)).max() <= 1
    assert np.abs(drawn[1].astype(int) - mean_evidence(maps[1:], [1], ROWS, COLUMNS)).max() <= 1


def test_without_a_class_the_evidence_is_for_the_one_decided_for(client: AppClient) -> None:
    for query, label in (("threshold=0.1", "COVID-19"), ("threshold=0.9", "NORMAL")):
        report = ask(client, dicom(), f"?include=saliency&{query}").json()
        assert report["label"] == report["saliency_class"] == label
        named = ask(client, dicom(), f"?saliency_class={label}", PNG).content
        assert b64decode(report["pictures"]["saliency"]) == named
        assert ask(client, dicom(), f"?{query}", PNG).content == named
        assert "where disease is" in report["notices"][-1]


def test_evidence_is_fetched_only_when_it_is_asked_for(client: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = client.services.engine
    fetched: list[list[str]] = []
    original = engine.infer

    async def watching(model: Any, inputs: Any, outputs: Any, timeline: Any) -> Any:
        fetched.append(list(outputs))
        return await original(model, inputs, outputs, timeline)

    monkeypatch.setattr(engine, "infer", watching)
    ask(client, dicom())
    assert fetched == [["scores"]] * 2
    ask(client, dicom(), "?model=cxr-even&include=saliency")
    assert fetched[2:] == [["scores", "saliency"]]


def test_notices_tell_what_was_done(client: AppClient) -> None:
    said = ask(client, saved(film(chest(), bits=8, BodyPartExamined=None))).json()["notices"]
    assert "the file does not say which part of the body it shows" in said
    assert "the file has no window: stretched from its lowest to its highest value" in said
    assert "film resampled from 120×96 to 32×32 and 48×48 for the models, its aspect not kept" in said
    square = encode(np.full((64, 64), 90, np.uint8))
    assert any("to 32×32 for" in notice for notice in ask(client, square, "?model=cxr-even").json()["notices"])


def test_a_film_unlike_those_that_were_learnt_from_is_not_to_be_trusted(start: Start, tmp_path: Path) -> None:
    write_trivial_radiograph(tmp_path, "cxr-mute")
    write_trivial_radiograph(tmp_path, "cxr-near", familiar=True)
    write_trivial_radiograph(tmp_path, "cxr-far", shift=0.25, familiar=True)
    client = start(models={"repository": tmp_path})
    mute = ask(client, encode(chest(250)), "?model=cxr-mute")
    assert mute.json()["distance"] is None
    assert "do not trust" not in mute.headers["Maskgate-Notices"]
    for level, strange in ((20, False), (240, True)):
        pixels = np.full((64, 64), level, np.uint8)
        near, far = (scores_of(to_tile(pixels, 32)[None], shift)[0, 1].item() * 2 for shift in (0.0, 0.25))
        report = ask(client, encode(pixels)).json()
        assert [entry["distance"] for entry in report["models"]] == [
            pytest.approx(far, abs=1e-5),
            None,
            pytest.approx(near, abs=1e-5),
        ]
        assert report["distance"] == pytest.approx((near + far) / 2, abs=1e-5)
        for query, headers in (("", {}), ("", PNG), ("?include=saliency", {})):
            assert (
                "do not trust" in ask(client, encode(pixels), query, headers).headers["Maskgate-Notices"]
            ) == strange


def test_scores_are_published(client: AppClient) -> None:
    def sample(kind: str) -> float:
        return client.sample(f"maskgate_output_class_score_ratio_{kind}", model="cxr-even", value="0")

    count, total, tiles = sample("count"), sample("sum"), client.sample("maskgate_tiles_total", model="cxr-even")
    found = ask(client, dicom(), "?model=cxr-even").json()["scores"]["COVID-19"]
    assert sample("count") - count == 1
    assert sample("sum") - total == pytest.approx(found, abs=1e-5)
    assert client.sample("maskgate_tiles_total", model="cxr-even") - tiles == 1


def test_bytes_are_reserved_before_pixels_are_decoded_and_given_back(
    client: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    original = client.services.admission.take

    def taking(amount: int) -> None:
        original(amount)
        held.append(int(client.sample("maskgate_inflight_bytes")))

    monkeypatch.setattr(client.services.admission, "take", taking)
    data = dicom()
    ask(client, data)
    assert max(held) > 2 * len(data) + 20 * ROWS * COLUMNS
    assert held[-1] == 0


def test_a_model_dropped_into_the_repository_is_served_and_joins_the_ensemble(start: Start, tmp_path: Path) -> None:
    write_trivial_radiograph(tmp_path, "cxr-a")
    client = start(models={"repository": tmp_path})
    before = ask(client, dicom()).json()
    assert [entry["provenance"]["model"] for entry in before["models"]] == ["cxr-a"]
    write_trivial_radiograph(tmp_path, "of-my-own", size=16, shift=-0.2)
    client.run(client.services.engine.refresh)
    after = ask(client, dicom()).json()
    assert [entry["provenance"]["model"] for entry in after["models"]] == ["cxr-a", "of-my-own"]
    assert after["scores"]["COVID-19"] == pytest.approx(before["scores"]["COVID-19"] + 0.1, abs=1e-3)
    assert ask(client, dicom(), "?model=of-my-own").json()["model"] == "of-my-own"


def test_a_model_of_several_networks_counts_as_often(start: Start, tmp_path: Path) -> None:
    write_trivial_radiograph(tmp_path, "cxr-a")
    write_trivial_radiograph(tmp_path, "cxr-three", shift=-0.2, members=3)
    client = start(models={"repository": tmp_path})
    report = ask(client, dicom()).json()
    alone, three = (entry["scores"]["COVID-19"] for entry in report["models"])
    assert three > alone
    assert report["scores"]["COVID-19"] == pytest.approx((alone + 3 * three) / 4, abs=1e-3)


def test_the_ensemble_goes_without_models_of_other_classes_and_says_so(start: Start, tmp_path: Path) -> None:
    other = [ClassSpec(value=v, name=n, colour=(v, v, v)) for v, n in enumerate(("pneumonia", "nothing"))]
    write_trivial_radiograph(tmp_path, "another", classes=other)
    for name in ("cxr-a", "cxr-b"):
        write_trivial_radiograph(tmp_path, name)
    client = start(models={"repository": tmp_path})
    report = ask(client, dicom()).json()
    assert [entry["provenance"]["model"] for entry in report["models"]] == ["cxr-a", "cxr-b"]
    assert "the ensemble goes without another: not ready, or of other classes" in report["notices"]
    assert list(ask(client, dicom(), "?model=another").json()["scores"]) == ["pneumonia", "nothing"]


def test_the_default_is_a_setting(start: Start) -> None:
    client = start(models={"radiograph": "cxr-even"})
    assert ask(client, dicom()).json()["model"] == "cxr-even"
    assert ask(client, dicom(), "?model=ensemble").json()["model"] == "ensemble"


def test_openapi_tells_of_the_answer(client: AppClient) -> None:
    document = json.loads(client.get("/openapi.json").text)
    route = document["paths"]["/v1/radiograph"]["post"]
    assert set(route["responses"]["200"]["content"]) == {"application/json", "image/png"}
    assert {parameter["name"] for parameter in route["parameters"]} == {
        "model", "version", "threshold", "include", "body_part", "saliency_class",
        "Maskgate-Priority", "Maskgate-Deadline", "Prefer", "Idempotency-Key",
    }  # fmt: skip


def test_a_real_film_is_answered(client: AppClient) -> None:
    folder = SAMPLES / "cxr_covid_cls" / "images"
    real = next(iter(sorted(folder.glob("*.jpg"))), None) if folder.is_dir() else None
    if real is None:
        pytest.skip("no real samples: ../shared/data/cxr_covid_cls is not there")
    pixels = decode(real.read_bytes())
    report = ask(client, real.read_bytes(), "?include=saliency").json()
    assert (report["height"], report["width"]) == pixels.shape[:2]
    assert report["models"][1]["scores"] == scores(pixels if pixels.ndim == 2 else pixels[..., 1], "cxr-even")
    assert decode(b64decode(report["pictures"]["saliency"])).shape == (*pixels.shape[:2], 3)


def test_cards_of_films_are_shown(client: AppClient, repository: Path) -> None:
    shown = client.get("/v1/models/cxr-bright").json()
    assert shown["task"] == "radiograph"
    assert shown["card"]["threshold"] == read_card(repository / "cxr-bright" / "card.json").threshold
