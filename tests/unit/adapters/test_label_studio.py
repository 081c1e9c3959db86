"""Label Studio's backend without Label Studio: its brush, its percent, its configuration, and who learns its token."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from maskgate_label_studio.backend import Labelling, prompt_of
from maskgate_label_studio.brush import decode, encode
from maskgate_label_studio.server import fetcher
from numpy.typing import NDArray

CONFIG = """<View><Image name="photo" value="$picture" zoom="true"/>
<KeyPointLabels name="kp" toName="photo" smart="true"><Label value="Cat"/></KeyPointLabels>
<BrushLabels name="brush" toName="photo"><Label value="Cat" hint="a > b"/><Label value='Dog'/></BrushLabels></View>"""


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_a_brush_comes_back(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(decode(encode(mask), *mask.shape), mask)


def test_runs_of_any_length_are_written() -> None:
    mask = np.zeros((400, 500), np.bool_)
    mask[100:300, 3:] = mask[0, 0] = True
    np.testing.assert_array_equal(decode(encode(mask), 400, 500), mask)


def test_label_studio_itself_reads_and_writes_them() -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    mask = np.random.default_rng(0).random((30, 41)) < 0.3
    mask[10:20] = True
    image = brush.decode_rle(encode(mask)).reshape(30, 41, 4)
    np.testing.assert_array_equal(image[..., 3] > 0, mask)
    theirs = brush.encode_rle(np.repeat(mask.ravel().astype(np.uint8) * 255, 4))
    np.testing.assert_array_equal(decode(theirs, 30, 41), mask)


@given(st.lists(st.integers(0, 255), max_size=12))
def test_what_is_no_brush_is_refused(data: list[int]) -> None:
    with pytest.raises(ValueError, match="brush"):
        decode(data, 4000, 4000)


def test_a_configuration_says_where_masks_go() -> None:
    assert Labelling.read(CONFIG) == Labelling("photo", "picture", ("brush", "brushlabels"), ("Cat", "Dog"))
    for config in ("", "<View><Image name='a' value='$b'/></View>", "<BrushLabels name='a' toName='b'/>"):
        with pytest.raises(ValueError, match="no Image"):
            Labelling.read(config)


def drawn(kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": kind, "original_width": 200, "original_height": 100, "value": value, **more}


def test_percent_become_pixels() -> None:
    mask = np.zeros((100, 200), np.bool_)
    mask[10:20, 30:40] = True
    prompt, label = prompt_of(
        [
            drawn("rectanglelabels", {"x": 10, "y": 20, "width": 50, "height": 30, "rectanglelabels": ["Cat"]}),
            drawn("keypointlabels", {"x": 25.25, "y": 40.5, "keypointlabels": ["Cat"]}),
            drawn("keypointlabels", {"x": 0, "y": 0, "keypointlabels": ["Cat"]}, is_positive=False),
            drawn("brushlabels", {"rle": encode(mask), "brushlabels": ["Cat"]}),
        ]
    )
    assert label == "Cat"
    assert (prompt.box, prompt.positive, prompt.negative) == ((20, 20, 120, 50), [(50, 40)], [(0, 0)])
    np.testing.assert_array_equal(prompt.mask, mask)
    with pytest.raises(ValueError, match="ellipselabels"):
        prompt_of([drawn("ellipselabels", {"x": 1, "y": 2})])


@pytest.fixture
def hosts() -> Iterator[tuple[str, str, list[tuple[str, str | None]]]]:
    """Yield two hosts, the first of which sends on to the second, and the tokens that they were shown."""
    seen: list[tuple[str, str | None]] = []

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Authorization")))
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", f"http://127.0.0.1:{other.server_address[1]}/there")
            else:
                self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    first, other = HTTPServer(("127.0.0.1", 0), Host), HTTPServer(("127.0.0.1", 0), Host)
    threads = [threading.Thread(target=server.serve_forever) for server in (first, other)]
    for thread in threads:
        thread.start()
    try:
        one, two = (f"http://127.0.0.1:{server.server_address[1]}" for server in (first, other))
        yield one, two, seen
    finally:
        for server, thread in zip((first, other), threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def test_the_token_is_told_to_label_studio_alone(hosts: tuple[str, str, list[tuple[str, str | None]]]) -> None:
    studio, elsewhere, seen = hosts
    fetch = fetcher(studio, "secret")
    for address in ("/data/upload/1.png", f"{elsewhere}/2.png", "/moved"):
        fetch(address)
    assert dict(seen) == {
        "/data/upload/1.png": "Token secret",
        "/2.png": None,
        "/moved": "Token secret",
        "/there": None,
    }
    with pytest.raises(ValueError, match="by http"):
        fetch("file:///etc/hostname")
