"""The command `maskgate segment`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
from maskgate_client.cli import main
from maskgate_client.images import png_bytes
from PIL import Image


def photo(folder: Path) -> Path:
    path = folder / "my photo.png"
    path.write_bytes(png_bytes(np.zeros((3, 4, 3), np.uint8)))
    return path


def test_an_object_is_saved_as_mask_overlay_and_report(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "objects"
    shown = ["--box", "0,0,3,2", "--click", "2,1", "--click", "1.5,1", "--not", "0,0", "--no-tight"]
    chosen = ["--model", "m", "--model-version", "3", "--threshold", "0.25", "--simplify", "2", "--largest"]
    command = ["segment", str(photo(tmp_path)), *shown, *chosen, "--out", str(out)]
    assert main(command, transport=gateway.transport) == 0
    (request,) = gateway.requests
    assert (
        b'{"box": [0.0, 0.0, 3.0, 2.0], "positive": [[2.0, 1.0], [1.5, 1.0]], "negative": [[0.0, 0.0]], "tight": false}'
    ) in request.read()
    assert dict(request.url.params) | {"include": ""} == {
        "model": "m",
        "version": "3",
        "threshold": "0.25",
        "simplify": "2.0",
        "largest": "true",
        "include": "",
    }
    assert (out / "my photo_mask.png").read_bytes() == b"mask"
    assert (out / "my photo_overlay.png").read_bytes() == b"overlay"
    assert json.loads((out / "my photo.json").read_text())["objects"][0]["area"] == 7
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "image     area  box      score",
        "my photo     7  1 0 4 3  0.75",
        "",
        f"Saved in {out}: my photo_mask.png, my photo_overlay.png, my photo.json",
    ]
    assert said.err.splitlines() == [
        "maskgate: my photo: note: alpha channel dropped",
        "maskgate: my photo: note: the inside click was taken at (2, 1)",
    ]


def test_outlines_strokes_and_extreme_points_are_taken_too(gateway: Any, tmp_path: Path) -> None:
    shown = ["--extreme", "0,0,1,1,2,2,3,0", "--polygon", "0,0,3,0,3,2", "--stroke", "0,1,2,1", "--stroke", "1,1"]
    command = ["segment", str(photo(tmp_path)), *shown, "--not-stroke", "3,0", "--out", str(tmp_path)]
    assert main(command, transport=gateway.transport) == 0
    assert (
        b'{"extreme": [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 0.0]], "polygon": [[0.0, 0.0], [3.0, 0.0], [3.0, 2.0]]'
        b', "strokes": {"object": [[[0.0, 1.0], [2.0, 1.0]], [[1.0, 1.0]]], "background": [[[3.0, 0.0]]]}}'
    ) in gateway.requests[0].read()


def test_an_object_as_json_and_for_coco(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["segment", str(photo(tmp_path)), "--click", "1,1", "--out", str(tmp_path), "--coco", "--json"]
    assert main(command, transport=gateway.transport) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["objects"] == [{"box": [1, 0, 4, 3], "area": 7, "score": 0.75}]
    coco = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["my photo.png"]
    assert [each["name"] for each in coco["categories"]] == ["object"]
    assert [each["bbox"] for each in coco["annotations"]] == [[1, 0, 3, 3]]


def test_a_dataset_has_the_callers_names_and_categories(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "boxes.json", tmp_path / "out"
    images = [{"id": 7, "file_name": "train/b.png"}, {"id": 9, "file_name": "train/a.png"}]
    annotations = [{"image_id": image, "bbox": [0, 0, 2, 1], "category_id": 40 + image} for image in (7, 9)]
    categories = [{"id": 47, "name": "cat"}, {"id": 49, "name": "dog"}]
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    command = ["segment", str(photos(tmp_path)), "--boxes", str(file), "--out", str(out)]
    exports = [word for kind in ("coco-rle", "yolo", "voc", "labelme") for word in ("--export", kind)]
    assert main([*command, *exports], transport=gateway.transport) == 0
    coco = json.loads((out / "coco-rle" / "annotations.json").read_text())
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    found = [(names[each["image_id"]], each["category_id"]) for each in coco["annotations"]]
    assert found == [("train/a.png", 49), ("train/b.png", 47)]
    assert coco["categories"] == [each | {"supercategory": ""} for each in categories]
    assert (out / "yolo" / "labels" / "b.txt").read_text().startswith("0 ")
    assert "Exported" in capsys.readouterr().out
    # Before anything is sent.
    gateway.requests.clear()
    for path in out.glob("*.*"):
        path.unlink()
    assert main([*command, "--export", "voc"], transport=gateway.transport) == 1
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert not gateway.requests


def test_labels_are_those_of_the_table_of_a_prompt_or_of_all(gateway: Any, tmp_path: Path) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text("image,x0,y0,x1,y1,label\na.png,0,0,2,1,cat\nb.png,0,0,2,1,\n")
    shown = ["--boxes", str(file), "--label", "thing"]
    assert (
        main(
            ["segment", str(photos(tmp_path)), *shown, "--coco", "--out", str(tmp_path / "one")],
            transport=gateway.transport,
        )
        == 0
    )
    prompt = '{"box": [0, 0, 2, 2], "label": "cup"}'
    command = ["segment", str(photo(tmp_path)), "--prompt", prompt, "--coco", "--out", str(tmp_path / "two")]
    assert main(command, transport=gateway.transport) == 0
    labels = [
        [each["name"] for each in json.loads((tmp_path / out / "coco" / "annotations.json").read_text())["categories"]]
        for out in ("one", "two")
    ]
    assert labels == [["cat", "thing"], ["cup"]]


def test_a_tiff_is_sent_as_png_and_told_in_degrees(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scene.tif"
    Image.new("RGB", (4, 3)).save(path)
    command = ["segment", str(path), "--click", "1,1", "--export", "geojson", "--out", str(tmp_path)]
    assert main(command, transport=gateway.transport) == 2
    assert "nothing says where it lies" in capsys.readouterr().err
    assert not gateway.requests
    profile = {"driver": "GTiff", "height": 3, "width": 4, "count": 3, "dtype": "uint8", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", **profile, transform=rasterio.Affine(0.1, 0, 10, 0, -0.1, 50)) as file:
        file.write(np.zeros((3, 3, 4), np.uint8))
    assert main(command, transport=gateway.transport) == 0
    assert b"Content-Type: image/png" in gateway.requests[0].read()
    [feature] = json.loads((tmp_path / "geojson" / "scene.geojson").read_text())["features"]
    x, y = np.array(feature["geometry"]["coordinates"][0]).T
    assert (x.min(), y.max()) == pytest.approx((10.1, 50))


def test_an_object_that_is_not_found_is_said(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    usual = gateway.transport.handler

    def instead(request: httpx.Request) -> httpx.Response:
        gateway.instead = lambda _: None
        answer = usual(request)
        document = answer.json()
        document["objects"][0] |= {"box": None, "score": None, "area": 0}
        return httpx.Response(200, json=document)

    gateway.instead = instead
    command = ["segment", str(photo(tmp_path)), "--click", "1,1", "--out", str(tmp_path)]
    assert main(command, transport=gateway.transport) == 0
    assert "nothing was found" in capsys.readouterr().out


def test_a_refused_prompt_is_one_clear_line_and_nothing_is_saved(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {"title": "Click outside the image", "detail": "It is.", "code": "click-outside", "request_id": "r-7"}
    gateway.instead = lambda _: httpx.Response(422, json=document)
    out = tmp_path / "objects"
    command = ["segment", str(photo(tmp_path)), "--click", "9,9", "--out", str(out)]
    assert main(command, transport=gateway.transport) == 1
    assert capsys.readouterr().err == "maskgate: Click outside the image: It is. (request r-7)\n"
    assert not out.exists()


@pytest.mark.parametrize("shown", [[], ["--tight"]])
def test_nothing_shown_is_misuse(
    gateway: Any, tmp_path: Path, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["segment", str(photo(tmp_path)), *shown], transport=gateway.transport) == 2
    assert "show the object" in capsys.readouterr().err
    assert not gateway.requests


def test_several_prompts_are_several_objects(gateway: Any, tmp_path: Path) -> None:
    more = '{"box": [0, 0, 2, 2], "strokes": {"object": [[[1, 1]]]}, "tight": false}'
    command = ["segment", str(photo(tmp_path)), "--click", "1,1", "--prompt", more, "--out", str(tmp_path)]
    assert main(command, transport=gateway.transport) == 0
    assert (
        b'{"objects": [{"positive": [[1.0, 1.0]]}, {"box": [0.0, 0.0, 2.0, 2.0], "strokes": {"object": [[[1.0, 1.0]]], '
        b'"background": []}, "tight": false}]}'
    ) in gateway.requests[0].read()


@pytest.mark.parametrize("prompt", ["{", "[1]", '{"circle": [1]}', '{"box": ["a"]}', '{"box": [NaN, 1, 2, 3]}'])
def test_a_prompt_that_is_none_is_misuse(prompt: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["segment", "x.png", "--prompt", prompt])
    assert caught.value.code == 2


def photos(folder: Path) -> Path:
    for name in ("a.png", "b.png", "c.png"):
        (folder / name).write_bytes(png_bytes(np.zeros((3, 4, 3), np.uint8)))
    return folder


def prompts_sent(gateway: Any) -> list[bytes]:
    sent = [request.read() for request in gateway.requests if request.method == "POST"]
    return sorted(body.partition(b"application/json\r\n\r\n")[2].partition(b"\r\n")[0] for body in sent)


def test_in_a_folder_every_image_is_shown_the_same(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "objects"
    command = ["segment", str(photos(tmp_path)), "--box", "0,0,3,2", "--out", str(out)]
    assert main(command, transport=gateway.transport) == 0
    assert prompts_sent(gateway) == [b'{"box": [0.0, 0.0, 3.0, 2.0]}'] * 3
    assert len(list(out.iterdir())) == 9
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[:4]] == ["image", "a", "b", "c"]
    assert main(command, transport=gateway.transport) == 1
    assert capsys.readouterr().err.count("is there already") == 3


@pytest.mark.parametrize("form", ["csv", "coco"])
def test_boxes_of_a_file_go_with_their_images(
    gateway: Any, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / ("boxes.csv" if form == "csv" else "boxes.json")
    if form == "csv":
        file.write_text("image,x0,y0,x1,y1,label\nimages/b.png,0,0,2,1,cat\nb.png,1,0,3,2,dog\nd.png,0,0,1,1,cat\n")
    else:
        boxes = [(7, [0, 0, 2, 1]), (7, [1, 0, 2, 2]), (9, [0, 0, 1, 1])]
        annotations = [{"image_id": image, "bbox": box} for image, box in boxes]
        images = [{"id": 7, "file_name": "images/b.png"}, {"id": 9, "file_name": "d.png"}]
        file.write_text(json.dumps({"images": images, "annotations": annotations}))
    command = ["segment", str(photos(tmp_path)), "--boxes", str(file), "--out", str(tmp_path / "out")]
    assert main(command, transport=gateway.transport) == 1, "d.png is not there"
    assert prompts_sent(gateway) == [b'{"objects": [{"box": [0.0, 0.0, 2.0, 1.0]}, {"box": [1.0, 0.0, 3.0, 2.0]}]}']
    assert f"d.png: {file} has boxes of it, but it is not there" in capsys.readouterr().err


def test_boxes_of_a_file_are_for_one_image_too(gateway: Any, tmp_path: Path) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text("file_name, xmin, ymin, xmax, ymax\nmy photo.png, 0, 0, 2, 1\n", "utf-8-sig")
    command = ["segment", str(photo(tmp_path)), "--boxes", str(file), "--out", str(tmp_path)]
    assert main(command, transport=gateway.transport) == 0
    assert prompts_sent(gateway) == [b'{"box": [0.0, 0.0, 2.0, 1.0]}']


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "", "the first line names the columns"),
        ("a.csv", "image,x,y\n", "the first line names the columns"),
        ("a.csv", "image,x0,y0,x1,y1\n", "there are no boxes in it"),
        ("a.csv", "image,x0,y0,x1,y1\nmy photo.png,0,0,2,1\nmy photo.png,0,0,2\n", "line 3 has no four numbers"),
        ("a.csv", "image,x0,y0,x1,y1\nmy photo.png,0,0,2,inf\n", "line 2"),
        ("a.csv", "image,x0,y0,x1,y1\n,0,0,2,1\n", "line 2"),
        ("a.csv", "image,x0,y0,x1,y1\nother.png,0,0,2,1\n", "has no boxes of"),
        ("a.json", "{", "no file of COCO annotations"),
        ("a.json", '{"images": []}', "no file of COCO annotations"),
        ("a.json", '{"images": [], "annotations": [{"bbox": [1, 2, 3, 4], "image_id": 1}]}', "annotation 0"),
        (
            "a.json",
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"bbox": [1], "image_id": 1}]}',
            "annotation 0",
        ),
    ],
)
def test_a_file_without_boxes_says_where(
    gateway: Any, tmp_path: Path, name: str, content: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(content)
    assert main(["segment", str(photo(tmp_path)), "--boxes", str(tmp_path / name)], transport=gateway.transport) == 2
    assert said in capsys.readouterr().err
    assert not gateway.requests


def test_boxes_and_another_way_to_show_are_misuse(
    gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["segment", str(photo(tmp_path)), "--boxes", "boxes.csv", "--click", "1,1"]
    assert main(command, transport=gateway.transport) == 2
    assert "leave out the other ways" in capsys.readouterr().err
    assert not gateway.requests


def test_the_click_at_fault_is_named(gateway: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = {"title": "Click outside the image", "detail": "It is.", "code": "click-outside", "request_id": "r-7"}
    document: dict[str, Any] = base | {"errors": [{"pointer": "/prompt/positive/0", "detail": "It is."}]}
    gateway.instead = lambda _: httpx.Response(422, json=document)
    command = ["segment", str(photo(tmp_path)), "--click", "9,9", "--out", str(tmp_path)]
    assert main(command, transport=gateway.transport) == 1
    said = "maskgate: Click outside the image: It is. (/prompt/positive/0, request r-7)\n"
    assert capsys.readouterr().err == said
