"""`POST /v1/damage?post_date=…`: images of several dates, for models that read series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from affine import Affine
from rasterio.io import MemoryFile

from gateway.app import create_app
from gateway.media.gdal import contained
from gateway.settings import Settings
from tests.support.app_client import AppClient, running
from tests.support.geotiffs import grid, write
from tests.support.pictures import decode, encode, noise
from tests.support.trivial import label_table, write_trivial_model

LABELS = label_table(5)
SLOTS = ("pre", "between_1", "between_2", "post")
DAYS = ("2018-10-11", "2018-10-13", "2018-11-02")
Files = list[tuple[str, tuple[str, bytes]]]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppClient]:
    """Return a client of an app whose models of series label by one of their inputs each, and have its name."""
    root = tmp_path_factory.mktemp("repository")
    write_trivial_model(root, "pair")
    for shown in SLOTS[1:]:
        others = [name for name in SLOTS if name != shown]
        write_trivial_model(root, shown, inputs=(*others, shown))
    with running(create_app(Settings(models={"repository": root, "damage": "pair"}))) as started:
        yield started


def pictures(*seeds: int) -> tuple[Files, list[np.ndarray]]:
    """Return the parts of an image before and of so many after, and their pixels."""
    images = [noise(96, 80, seed=seed) for seed in (99, *seeds)]
    names = ["pre", *["post"] * len(seeds)]
    return [(name, (name, encode(image))) for name, image in zip(names, images, strict=True)], images


def asked(client: AppClient, model: str, files: Files, dates: tuple[str, ...], **headers: str) -> Any:
    return client.post("/v1/damage", params={"model": model, "post_date": dates}, files=files, headers=headers)


@pytest.mark.parametrize(("shown", "image"), [("between_1", 2), ("between_2", 3), ("post", 1)])
def test_dates_order_the_images_whatever_order_they_come_in(client: AppClient, shown: str, image: int) -> None:
    files, images = pictures(1, 2, 3)
    answer = asked(client, shown, files, (DAYS[2], DAYS[0], DAYS[1]))
    assert answer.status_code == 200, answer.text
    np.testing.assert_array_equal(decode(answer.content), LABELS[images[image][..., 1]])


@pytest.mark.parametrize(("shown", "image"), [("between_1", 0), ("between_2", 1), ("post", 2)])
def test_where_there_are_fewer_dates_the_first_ones_are_the_image_before(
    client: AppClient, shown: str, image: int
) -> None:
    files, images = pictures(1, 2)
    answer = asked(client, shown, files, DAYS[:2])
    np.testing.assert_array_equal(decode(answer.content), LABELS[images[image][..., 1]])
    if shown == "between_1":
        plain = client.post("/v1/damage?model=between_2", files=files[:2])
        np.testing.assert_array_equal(decode(plain.content), LABELS[images[0][..., 1]])


def test_scenes_have_dates_too_and_what_one_does_not_show_has_not_changed(client: AppClient) -> None:
    """The date between is a tile of the left half and one of the right half, which shows nothing in its lower part."""
    pre, post, between = (noise(96, 128, seed=seed) for seed in (1, 2, 3))
    whole = grid(128, 96)
    right = grid(64, 96, affine=whole.affine @ Affine.translation(64, 0))
    hidden = np.ones((96, 64), bool)
    hidden[60:] = False
    files: Files = [
        ("pre", ("pre", write(pre, whole))),
        ("post", ("post", write(post, whole))),
        ("post", ("post", write(between[:, :64], grid(64, 96)))),
        ("post", ("post", write(between[:, 64:], right, mask=hidden))),
    ]
    dates = (DAYS[2], DAYS[0], DAYS[0])
    answer = client.post(
        "/v1/damage",
        params={"model": "between_2", "post_date": dates, "align": "off"},
        files=files,
        headers={"Accept": "image/tiff"},
    )
    assert answer.status_code == 200, answer.text
    with contained(), MemoryFile(answer.content) as file, file.open() as opened:
        labels = opened.read(1)
    expected = between.copy()
    expected[60:, 64:] = pre[60:, 64:]
    seen = labels != 255
    assert seen.mean() > 0.9
    np.testing.assert_array_equal(labels[seen], LABELS[expected[..., 1]][seen])


def test_what_cannot_be_read_as_a_series_is_refused(client: AppClient) -> None:
    files, _ = pictures(1, 2, 3)
    cases = [
        (("post", DAYS[:2]), "/post_date", "3 images and 2 dates"),
        (("pair", DAYS), "/model", "reads images of one date after the disaster; these are of 3"),
        (("post", ("2018-10-11", "soon", "2018-10-12")), "/post_date", ""),
    ]
    for (model, dates), pointer, detail in cases:
        problem = asked(client, model, files, dates).json()
        assert (problem["status"], problem["errors"][0]["pointer"]) == (422, pointer), problem
        assert detail in problem["detail"]
    more, _ = pictures(1, 2, 3, 4)
    problem = asked(client, "post", more, (*DAYS, "2019-01-01")).json()
    assert "3 dates at most" in problem["detail"]


def test_a_problem_names_an_image_as_it_was_sent(client: AppClient) -> None:
    files, _ = pictures(1, 2)
    files[2] = ("post", ("post", encode(noise(96, 80))[:200]))
    problem = asked(client, "post", files, (DAYS[2], DAYS[0])).json()
    assert (problem["status"], problem["errors"][0]["pointer"]) == (422, "/post/1"), problem
    other = [files[0], files[1], ("post", ("post", encode(noise(96, 96))))]
    problem = asked(client, "post", other, (DAYS[2], DAYS[0])).json()
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("pair-mismatch", "/post/1"), problem


def test_images_of_one_date_are_tiles_for_any_model(client: AppClient) -> None:
    files, _ = pictures(1, 2)
    problem = asked(client, "pair", files, (DAYS[0], DAYS[0])).json()
    assert "Several tiles of one image are GeoTIFF" in problem["detail"]
