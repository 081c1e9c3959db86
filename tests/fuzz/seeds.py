"""Sound requests of every format that is read, each with what makes hostile ones of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from pydicom.uid import JPEG2000Lossless, RLELossless

from tests.fuzz import mutators
from tests.fuzz.mutators import Mutator
from tests.support import cts, films
from tests.support.dicoms import baseline_jpeg, compressed, ct, film, ramp, saved
from tests.support.geotiffs import grid, write
from tests.support.oip import binary_request, json_request, sealed
from tests.support.pictures import encode, noise

SIDE = 96
_BOX = json.dumps({"box": [10, 10, 80, 80], "positive": [[40, 40]], "negative": [[4, 4]]}).encode()
_AFFINE = np.diag([0.7, 0.6, 2.5, 1.0])


@dataclass(frozen=True)
class Seed:
    """A sound request.

    Attributes:
        name: of its format.
        path: where it goes.
        parts: of its body, by name; `body` alone: all of the body.
        hostile: the part that is mutated.
        mutate: how.
        headers: beside those that the body has.
    """

    name: str
    path: str
    parts: Mapping[str, bytes]
    hostile: str
    mutate: Mutator
    headers: Mapping[str, str] = field(default_factory=dict)

    def request(self, content: bytes) -> dict[str, Any]:
        """Return the keyword arguments of httpx for a request with `content` in the place of the hostile part."""
        parts = {**self.parts, self.hostile: content}
        if self.hostile == "body":
            return {"content": content, "headers": dict(self.headers)}
        return {"files": parts, "headers": dict(self.headers)}


def seeds() -> list[Seed]:
    """Return them all."""
    return [*_pictures(), *_scenes(), *_medical(), *_texts()]


def _pictures() -> Iterator[Seed]:
    picture, grey = noise(SIDE, SIDE), noise(SIDE, SIDE)[..., 0]
    files: dict[str, tuple[bytes, Mutator]] = {
        "png": (encode(picture), mutators.png),
        "palette png": (encode(picture, mode="P"), mutators.png),
        "16-bit png": (encode(grey.astype(np.uint16) * 257), mutators.png),
        "jpeg": (encode(picture, "JPEG"), mutators.mutated),
        "progressive jpeg": (encode(picture, "JPEG", progressive=True), mutators.mutated),
        "grey jpeg": (encode(grey, "JPEG"), mutators.mutated),
    }
    for name, (data, mutate) in files.items():
        yield Seed(f"{name}: waste", "/v1/waste", {"image": data}, "image", mutate, {"Accept": "application/json"})
        yield Seed(f"{name}: damage", "/v1/damage", {"pre": data, "post": data}, "post", mutate)
        yield Seed(f"{name}: interactive", "/v1/interactive", {"image": data, "prompt": _BOX}, "image", mutate)
    for name, (data, mutate) in {"grey jpeg": files["grey jpeg"], "grey png": (encode(grey), mutators.png)}.items():
        yield Seed(f"{name}: ct", "/v1/ct", {"image": data}, "image", mutate)
        yield Seed(f"{name}: radiograph", "/v1/radiograph", {"image": data}, "image", mutate)


def _scenes() -> Iterator[Seed]:
    picture, place = noise(SIDE, SIDE), grid(SIDE, SIDE)
    plain = write(picture, place)
    profiles: dict[str, dict[str, Any]] = {
        "strips": {},
        "lzw": {"compress": "lzw"},
        "deflate": {"compress": "deflate", "predictor": 2},
        "jpeg": {"compress": "jpeg", "photometric": "ycbcr", "tiled": True, "blockxsize": 64, "blockysize": 64},
        "tiles": {"tiled": True, "blockxsize": 32, "blockysize": 32, "compress": "deflate"},
        "big": {"bigtiff": "yes", "compress": "deflate"},
        "apart": {"interleave": "band", "compress": "packbits"},
    }
    for name, profile in profiles.items():
        parts = {"pre": plain, "post": write(picture, place, **profile)}
        yield Seed(f"tiff {name}", "/v1/damage", parts, "post", mutators.mutated)
    wide = write(picture.astype(np.uint16) * 40, place)
    yield Seed("tiff of 16 bits", "/v1/damage", {"pre": wide, "post": wide}, "post", mutators.mutated)
    corners = place.to_lon_lat(np.array([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE], [0, 0]], np.float64))
    district = {"type": "Feature", "id": 1, "properties": {"name": "a"}, "geometry": _polygon(corners.tolist())}
    layer = json.dumps({"type": "FeatureCollection", "features": [district, {**district, "id": "b"}]}).encode()
    parts = {"pre": plain, "post": plain, "districts": layer}
    yield Seed("geojson districts", "/v1/damage", parts, "districts", mutators.text, {"Accept": "application/json"})
    parts = {"pre": plain, "post": plain, "footprints": layer}
    yield Seed("geojson footprints", "/v1/damage", parts, "footprints", mutators.text, {"Accept": "application/json"})
    yield Seed("tiff: land", "/v1/land", {"image": plain}, "image", mutators.mutated, {"Accept": "image/tiff"})
    yield Seed("tiff: restore", "/v1/restore", {"image": plain}, "image", mutators.mutated, {"Accept": "image/tiff"})
    graded = {**district, "properties": {"class": "destroyed"}}
    houses = json.dumps({"type": "FeatureCollection", "features": [graded, {**graded, "id": "b"}]}).encode()
    parts = {"image": plain, "buildings": houses, "districts": layer}
    yield Seed("geojson buildings", "/v1/land", parts, "buildings", mutators.text, {"Accept": "application/json"})


def _polygon(ring: list[Any]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [ring]}


def _medical() -> Iterator[Seed]:
    chest: dict[str, Any] = {"BodyPartExamined": "CHEST"}
    eight = film(ramp(SIDE, SIDE) % 256, bits=8, **chest)
    files: dict[str, tuple[str, bytes, Mutator]] = {
        "dicom ct": ("ct", saved(ct(ramp(64, 64), **chest)), mutators.mutated),
        "dicom of frames": ("ct", cts.multi_frame(), mutators.mutated),
        "dicom series": ("ct", mutators.archive(dict(_series())), mutators.zipped),
        "nifti": ("ct", cts.nifti(_AFFINE), mutators.mutated),
        "nifti.gz": ("ct", gzip.compress(cts.nifti(_AFFINE), mtime=0), mutators.gzipped),
        "dicom radiograph": ("radiograph", films.dicom(), mutators.mutated),
        "dicom jpeg": ("radiograph", saved(baseline_jpeg(eight)), mutators.mutated),
    }
    for name, syntax in (("dicom rle", RLELossless), ("dicom jpeg 2000", JPEG2000Lossless)):
        with suppress(RuntimeError, NotImplementedError):  # no encoder of it here
            data = saved(compressed(ct(ramp(64, 64), **chest), syntax))
            files[name] = "ct", data, mutators.mutated
    for name, (task, data, mutate) in files.items():
        yield Seed(name, f"/v1/{task}", {"image": data}, "image", mutate)


def _series() -> Iterator[tuple[str, bytes]]:
    return ((f"{number}.dcm", content) for number, content in enumerate(cts.slices(5, 3)))


def _texts() -> Iterator[Seed]:
    picture = encode(noise(SIDE, SIDE))
    prompts: dict[str, Any] = {
        "box": json.loads(_BOX),
        "objects": {"objects": [{"box": [9, 9, 40, 40]}, {"box": [30, 30, 90, 90], "tight": True}]},
    }
    for name, prompt in prompts.items():
        parts = {"image": picture, "prompt": json.dumps(prompt).encode()}
        yield Seed(f"prompt of {name}", "/v1/interactive", parts, "prompt", mutators.text)
    tiles = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    pair = {"pre": tiles, "post": tiles}
    path = "/v2/models/trivial/infer"
    asked = json.dumps(json_request(pair)).encode()
    yield Seed("oip json", path, {"body": asked}, "body", mutators.text)
    binary = sealed(*binary_request(pair))
    yield Seed("oip binary", path, {"body": binary["content"]}, "body", mutators.mutated, binary["headers"])
    multipart = _multipart(picture)
    headers = {"Content-Type": "multipart/form-data; boundary=b0"}
    yield Seed("multipart", "/v1/waste", {"body": multipart}, "body", mutators.mutated, headers)


def _multipart(picture: bytes) -> bytes:
    head = b'--b0\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    return head + picture + b"\r\n--b0--\r\n"


def inputs(number: int, seed: int) -> Iterator[tuple[int, Seed, Callable[[], bytes]]]:
    """Yield `number` hostile inputs: which it is, what it was made of, and a function that makes its content."""
    every = seeds()
    for which in range(number):
        chosen = every[which % len(every)]

        def make(chosen: Seed = chosen, which: int = which) -> bytes:
            return chosen.mutate(Random(f"{seed} {which}"), chosen.parts[chosen.hostile])

        yield which, chosen, make
