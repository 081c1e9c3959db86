"""`POST /v1/interactive`: the answers."""

from __future__ import annotations

import hashlib
import io
import json
from base64 import b64decode
from typing import Any, ClassVar

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO
from shapely import Polygon

from tests.support.app_client import AppClient
from tests.support.pictures import decode, encode

TRUTH = np.hypot(*np.mgrid[-60:60, -80:80]) <= 32
SCENE = np.where(TRUTH[..., None], (230, 220, 60), (40, 60, 150)).astype(np.uint8)
IMAGE = encode(SCENE)
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLICKS: dict[str, Any] = {"box": [48, 28, 113, 93], "positive": [[80, 60]]}
SQUARE = {"polygon": [[10, 10], [29, 10], [29, 19], [10, 19]]}
THREE = {"objects": [SQUARE, {"polygon": [[20, 5], [40, 5], [40, 40], [20, 40]]}, SQUARE]}
AS_JSON = {"Accept": "application/json"}


def ask(client: AppClient, prompt: object, query: str = "", image: bytes = IMAGE, **options: Any) -> httpx.Response:
    return client.post(
        f"/v1/interactive{query}", files={"image": image, "prompt": json.dumps(prompt).encode()}, **options
    )


def report(client: AppClient, prompt: object, query: str = "", image: bytes = IMAGE) -> dict[str, Any]:
    answer = ask(client, prompt, query, image, headers=AS_JSON)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def iou(mask: NDArray[Any], truth: NDArray[np.bool_] = TRUTH) -> float:
    return float(((mask > 0) & truth).sum() / ((mask > 0) | truth).sum())


@pytest.mark.parametrize(
    ("model", "prompt"),
    [
        ("grabcut", {"box": [40, 20, 120, 100]}),
        ("grabcut", {"box": [40, 100, 120, 20], "positive": [[80, 60]], "negative": [[42, 22]]}),
        ("watershed", {"strokes": {"object": [[[80, 50], [80, 70]]], "background": [[[5, 5], [150, 5]], [[80, 115]]]}}),
        ("watershed", {"positive": [[80, 60]], "negative": [[5, 5], [150, 110]]}),
    ],
)
def test_tools_answer_without_any_model(client: AppClient, model: str, prompt: object) -> None:
    answer = ask(client, prompt, f"?model={model}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    mask = decode(answer.content)
    assert mask.shape == TRUTH.shape
    assert set(np.unique(mask)) == {0, 1}
    assert iou(mask) > 0.95
    assert answer.headers["Maskgate-Model"] == model
    assert "Maskgate-Digest" not in answer.headers


@pytest.mark.parametrize("model", ["iog", "click-lite0", "dextr"])
def test_models_answer_and_are_named(client: AppClient, model: str) -> None:
    prompt = {"extreme": [[48, 60], [80, 28], [112, 60], [80, 92]]} if model == "dextr" else CLICKS
    answer = ask(client, prompt, f"?model={model}&threshold=0.5")
    assert answer.status_code == 200, answer.text
    mask = decode(answer.content)
    assert 0 < mask.sum() <= 65 * 65
    assert answer.headers["Maskgate-Model"] == model
    assert answer.headers["Maskgate-Version"] == "1"
    assert answer.headers["Maskgate-Digest"].startswith("sha256:")
    assert answer.headers["Cache-Control"] == "private, no-store"
    stages = [entry.split(";")[0] for entry in answer.headers["Server-Timing"].split(", ")]
    assert stages == ["receive", "queue", "decode", "infer", "finish", "encode"]


def test_the_default_model_is_the_refinement(client: AppClient) -> None:
    assert ask(client, CLICKS).headers["Maskgate-Model"] == "click-lite0"


def test_a_prompt_may_also_come_as_a_form_field(client: AppClient) -> None:
    answer = client.post("/v1/interactive?model=polygon", files={"image": IMAGE}, data={"prompt": json.dumps(SQUARE)})
    assert answer.status_code == 200, answer.text
    assert decode(answer.content).sum() == 200


def test_the_threshold_decides_and_is_told(client: AppClient) -> None:
    areas = []
    for threshold in (0.2, 0.5, 0.95):
        (found,) = report(client, CLICKS, f"?threshold={threshold}")["objects"]
        assert found["threshold"] == threshold
        areas.append(found["area"])
    assert areas[0] >= areas[1] > areas[2]
    assert report(client, CLICKS)["objects"][0]["threshold"] == 0.5


class TestReport:
    def test_every_form_of_the_mask_agrees_with_the_png(self, client: AppClient) -> None:
        document = report(client, CLICKS)
        assert (document["model"], document["width"], document["height"]) == ("click-lite0", 160, 120)
        (found,) = document["objects"]
        mask = decode(ask(client, CLICKS).content)
        np.testing.assert_array_equal(coco.decode(found["rle"]), mask)
        assert found["value"] == 1
        assert found["area"] == mask.sum() == sum(part["area"] for part in found["polygons"])
        ys, xs = np.nonzero(mask)
        assert found["box"] == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        assert 0.5 < found["score"] <= 1
        assert found["crop"] == [18, -2, 143, 123]
        shapes = [Polygon(part["polygon"], part["holes"]) for part in found["polygons"]]
        assert all(shape.is_valid for shape in shapes)
        assert sum(shape.area for shape in shapes) == found["area"]

    def test_its_box_is_a_prompt(self, client: AppClient) -> None:
        (found,) = report(client, SQUARE, "?model=polygon")["objects"]
        (again,) = report(client, {"box": found["box"], "positive": [[20, 15]]})["objects"]
        assert again["crop"] == [-20, -20, 60, 50]
        edge = {"polygon": [[100, 50], [159, 50], [159, 119]]}
        (found,) = report(client, edge, "?model=polygon")["objects"]
        assert found["box"] == [100, 50, 160, 120]
        assert ask(client, {"box": found["box"]}).status_code == 200

    def test_its_mask_is_a_prompt(self, client: AppClient) -> None:
        (found,) = report(client, CLICKS)["objects"]
        (again,) = report(client, {"mask": found["rle"], "negative": [[60, 40]]})["objects"]
        margin = [found["box"][0] - 30, found["box"][1] - 30, found["box"][2] + 30, found["box"][3] + 30]
        assert again["crop"] == margin
        assert not coco.decode(again["rle"])[40, 60]

    def test_where_it_comes_from(self, client: AppClient) -> None:
        origin = report(client, CLICKS)["provenance"]
        assert (origin["model"], origin["version"], origin["engine"]) == ("click-lite0", 1, "embedded")
        assert origin["digest"].startswith("sha256:")
        assert origin["encoder_digest"].startswith("sha256:")
        assert origin["encoder_digest"] != origin["digest"]
        assert origin["input_digest"] == f"sha256:{hashlib.sha256(IMAGE).hexdigest()}"
        assert report(client, CLICKS, "?model=iog")["provenance"]["encoder_digest"] is None

    def test_a_tool_says_that_it_is_no_model(self, client: AppClient) -> None:
        document = report(client, SQUARE, "?model=polygon")
        origin = document["provenance"]
        assert (origin["model"], origin["version"], origin["digest"]) == ("polygon", None, None)
        assert origin["engine"].startswith("opencv")
        (found,) = document["objects"]
        assert (found["score"], found["threshold"], found["crop"]) == (None, None, None)
        assert (found["area"], found["box"]) == (200, [10, 10, 30, 20])

    def test_holes_are_told(self, client: AppClient) -> None:
        ring = {
            "polygon": [[0, 0], [40, 0], [40, 40], [0, 40], [0, 0], [10, 10], [10, 30], [30, 30], [30, 10], [10, 10]]
        }
        (found,) = report(client, ring, "?model=polygon")["objects"]
        (part,) = found["polygons"]
        assert len(part["holes"]) == 1
        assert not coco.decode(found["rle"])[20, 20]

    def test_pictures_can_come_along(self, client: AppClient) -> None:
        document = report(client, CLICKS, "?include=mask&include=overlay")
        assert b64decode(document["pictures"]["mask"]) == ask(client, CLICKS).content
        assert b64decode(document["pictures"]["overlay"]) == ask(client, CLICKS, "?overlay=true").content
        assert document["coco"] is None
        assert report(client, CLICKS)["pictures"] == {}

    def test_coco_annotations_are_read_by_pycocotools(self, client: AppClient) -> None:
        prompt = {"objects": [SQUARE, {"polygon": [[50, 50], [60, 50], [60, 70]]}]}
        document = report(client, prompt, "?model=polygon&include=coco")["coco"]
        dataset = COCO()
        dataset.dataset = document
        dataset.createIndex()
        assert dataset.imgs[1] == {
            "id": 1,
            "width": 160,
            "height": 120,
            "file_name": f"sha256:{hashlib.sha256(IMAGE).hexdigest()}",
        }
        first, second = dataset.loadAnns(dataset.getAnnIds(imgIds=[1], catIds=[1]))
        mask = dataset.annToMask(first)
        assert mask[10:20, 10:30].all()
        assert mask.sum() == first["area"] == 200
        assert first["bbox"] == [10, 10, 20, 10]
        assert [first["iscrowd"], second["iscrowd"]] == [0, 0]
        assert dataset.annToMask(second).sum() == second["area"]

    def test_what_was_not_found_is_empty_everywhere(self, client: AppClient) -> None:
        black = encode(np.zeros((120, 160, 3), np.uint8))
        document = report(client, {"box": CLICKS["box"]}, "?include=coco", black)
        (found,) = document["objects"]
        assert (found["box"], found["area"], found["score"], found["polygons"]) == (None, 0, None, [])
        assert found["notices"] == ["the inside click was taken at (80, 60)", "nothing was found"]
        assert not coco.decode(found["rle"]).any()
        assert document["coco"]["annotations"] == []
        assert not decode(ask(client, {"box": CLICKS["box"]}, image=black).content).any()


class TestSeveralObjects:
    def test_they_become_one_map_with_the_later_ones_on_top(self, client: AppClient) -> None:
        instances = decode(ask(client, THREE, "?model=polygon").content)
        expected = np.zeros((120, 160), np.uint8)
        expected[5:41, 20:41] = 2
        expected[10:20, 10:30] = 3
        np.testing.assert_array_equal(instances, expected)

    def test_each_is_reported_as_the_map_shows_it_or_whole(self, client: AppClient) -> None:
        instances = decode(ask(client, THREE, "?model=polygon").content)
        objects = report(client, THREE, "?model=polygon")["objects"]
        for found in objects:
            np.testing.assert_array_equal(coco.decode(found["rle"]), instances == found["value"])
            assert found["area"] == sum(part["area"] for part in found["polygons"])
        whole = report(client, THREE, "?model=polygon&overlap=keep")["objects"]
        assert [(found["value"], found["area"]) for found in whole] == [(1, 200), (2, 36 * 21), (3, 200)]

    def test_each_has_a_colour_of_its_own(self, client: AppClient) -> None:
        image = Image.open(io.BytesIO(ask(client, THREE, "?model=polygon").content))
        palette = np.array(image.getpalette()).reshape(-1, 3)[:4].tolist()
        assert palette[0] == [0, 0, 0]
        assert len({tuple(colour) for colour in palette}) == 4

    def test_as_many_as_an_indexed_png_has_values(self, client: AppClient) -> None:
        many = [{"polygon": [[x % 150, x // 2], [x % 150 + 3, x // 2], [x % 150, x // 2 + 3]]} for x in range(230)]
        instances = decode(ask(client, {"objects": [*many, *[SQUARE] * 25]}, "?model=polygon").content)
        assert instances.max() == 255
        assert (instances[10:20, 10:30] == 255).all()

    def test_notices_name_the_object(self, client: AppClient) -> None:
        answer = ask(client, {"objects": [CLICKS, {**CLICKS, "negative": [[159, 0]]}]})
        assert answer.headers["Maskgate-Notices"] == "object 2: negative clicks outside the crop change nothing: 1"


def test_the_overlay_shows_the_image_where_nothing_was_found(client: AppClient) -> None:
    overlay = decode(ask(client, SQUARE, "?model=polygon&overlay=true").content)
    assert overlay.shape == SCENE.shape
    np.testing.assert_array_equal(overlay[50:], SCENE[50:])
    assert (overlay[15, 20] != SCENE[15, 20]).any()


class TestNotices:
    def test_a_positive_click_outside_the_crop_makes_another_crop_and_says_so(self, client: AppClient) -> None:
        prompt = {**CLICKS, "positive": [[80, 60], [155, 60]]}
        answer = ask(client, prompt)
        assert answer.headers["Maskgate-Notices"] == "the box was grown to hold a positive click outside the crop"
        (found,) = report(client, prompt)["objects"]
        assert found["crop"] == [18, -2, 186, 123]
        assert found["notices"] == ["the box was grown to hold a positive click outside the crop"]

    def test_a_box_over_the_whole_image_is_answered(self, client: AppClient) -> None:
        answer = ask(client, {"box": [0, 0, 160, 120]}, "?model=grabcut")
        assert "border was taken for background" in answer.headers["Maskgate-Notices"]
        assert iou(decode(answer.content)) > 0.95

    def test_a_box_alone_says_where_its_inside_click_went(self, client: AppClient) -> None:
        assert report(client, {"box": CLICKS["box"]})["objects"][0]["notices"] == [
            "the inside click was taken at (80, 60)"
        ]

    def test_what_was_done_to_the_image(self, client: AppClient) -> None:
        alpha = encode(np.dstack([SCENE, np.full(TRUTH.shape, 9, np.uint8)]))
        assert report(client, CLICKS, image=alpha)["notices"] == ["alpha channel dropped"]
        np.testing.assert_array_equal(
            decode(ask(client, CLICKS, image=alpha).content), decode(ask(client, CLICKS).content)
        )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_clicks_are_on_the_upright_image_whatever_its_exif_orientation(client: AppClient, orientation: int) -> None:
    # An object in a corner, so that no wrong turn goes unseen.
    upright = np.full((90, 140, 3), 30, np.uint8)
    upright[10:40, 80:130] = (240, 230, 60)
    stored = (
        upright,
        upright[:, ::-1],
        upright[::-1, ::-1],
        upright[::-1],
        upright.transpose(1, 0, 2),
        np.rot90(upright),
        np.rot90(upright, 2).transpose(1, 0, 2),
        np.rot90(upright, -1),
    )[orientation - 1]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = encode(np.ascontiguousarray(stored), exif=exif.tobytes())
    for model, prompt in (
        ("click-lite0", {"box": [80, 10, 130, 40], "positive": [[105, 25]]}),
        ("grabcut", {"box": [70, 5, 136, 51], "positive": [[105, 25]]}),
        ("polygon", {"polygon": [[80, 10], [129, 10], [129, 39], [80, 39]]}),
    ):
        mask = decode(ask(client, prompt, f"?model={model}", image).content)
        assert mask.shape == (90, 140)
        assert mask[25, 105] == 1
        assert not mask[:, :70].any()
        assert not mask[55:].any()
    corner = ask(client, {"polygon": [[130, 5], [139, 5], [139, 89]]}, "?model=polygon", image)
    assert corner.status_code == 200


def test_concurrent_requests_get_their_own_answers(client: AppClient) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def answer(x: int) -> bytes:
        prompt = {"box": [x, 20, x + 60, 90], "positive": [[x + 30, 60]]}
        return ask(client, prompt, f"?model={('grabcut', 'click-lite0')[x % 2]}").content

    alone = {x: answer(x) for x in range(30, 60, 5)}
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(answer, [*alone, *alone])) == [*alone.values(), *alone.values()]


class TestShapes:
    RING: ClassVar[dict[str, Any]] = {
        "polygon": [[0, 0], [40, 0], [40, 40], [0, 40], [0, 0], [10, 10], [10, 30], [30, 30], [30, 10], [10, 10]]
    }

    def test_holes_can_be_filled_in_every_form(self, client: AppClient) -> None:
        (found,) = report(client, self.RING, "?model=polygon&holes=fill")["objects"]
        assert (found["area"], found["polygons"][0]["holes"]) == (41 * 41, [])
        assert decode(ask(client, self.RING, "?model=polygon&holes=fill").content)[20, 20] == 1

    def test_the_largest_part_can_stay_alone(self, client: AppClient) -> None:
        two = {"polygon": [[5, 5], [45, 5], [45, 45], [5, 45], [5, 5], [100, 100], [110, 100], [110, 110], [100, 100]]}
        everything = decode(ask(client, two, "?model=polygon").content)
        assert everything[105, 108] == 1
        (found,) = report(client, two, "?model=polygon&largest=true")["objects"]
        assert len(found["polygons"]) <= len(report(client, two, "?model=polygon")["objects"][0]["polygons"])
        np.testing.assert_array_equal(
            coco.decode(found["rle"]), decode(ask(client, two, "?model=polygon&largest=true").content)
        )

    def test_outlines_can_be_simplified_and_stay_valid(self, client: AppClient) -> None:
        (exact,), (plain,) = (report(client, CLICKS, query)["objects"] for query in ("", "?simplify=2"))
        assert plain["rle"] == exact["rle"]
        assert sum(len(part["polygon"]) for part in plain["polygons"]) < sum(
            len(part["polygon"]) for part in exact["polygons"]
        )
        assert all(Polygon(part["polygon"], part["holes"]).is_valid for part in plain["polygons"])

    @pytest.mark.parametrize("query", ["simplify=-1", "simplify=nan", "holes=some", "overlap=x", "largest=2"])
    def test_what_is_no_shape_is_refused(self, client: AppClient, query: str) -> None:
        answer = ask(client, CLICKS, f"?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "parameter-invalid")


class TestHabits:
    """What callers of other tools are used to."""

    def test_a_click_alone_is_answered_with_what_it_may_mean(self, client: AppClient) -> None:
        (found,) = report(client, {"positive": [[80, 60]]})["objects"]
        assert coco.decode(found["rle"])[60, 80]
        assert found["notices"][0].startswith("no box was given: one was found at")
        assert found["candidates"][0]["rle"] == found["rle"]
        scores = [each["score"] for each in found["candidates"]]
        assert scores == sorted(scores, reverse=True)
        assert report(client, CLICKS)["objects"][0]["candidates"] == []

    @pytest.mark.parametrize(
        ("side", "model"), [(2, "click-lite0"), (8, "click-lite0"), (63, "iog"), (8, "grabcut"), (40, "grabcut")]
    )
    def test_small_images_are_answered(self, client: AppClient, side: int, model: str) -> None:
        image = encode(np.full((side, side, 3), 200, np.uint8))
        answer = ask(client, {"box": [0, 0, side, side]}, f"?model={model}", image)
        assert answer.status_code == 200, answer.text
        assert decode(answer.content).shape == (side, side)

    @pytest.mark.parametrize(
        "mask",
        [
            {"size": [120, 160], "counts": "x"},
            {"size": [120, 160], "counts": [19200]},
            {"size": [60, 320], "counts": [10, 19190]},
            {"size": [120, 160], "counts": [1, 2]},
        ],
    )
    def test_a_mask_that_is_none_is_refused(self, client: AppClient, mask: dict[str, Any]) -> None:
        answer = ask(client, {"mask": mask})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/prompt/mask")
