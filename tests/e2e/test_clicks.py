"""The client against gateways as they are run: sessions on both engines, keys, expiry, the command."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from maskgate_client import AsyncClient, Client, Conflict, ObjectMask, Prompt, Rejected, Session, SessionLost
from maskgate_client.cli import main

from tests.support.pictures import decode, encode, noise
from tests.support.processes import GatewayProcess, gateway
from tests.support.triton import triton
from tests.support.trivial_interactive import write_trivial_interactive

pytestmark = pytest.mark.e2e
PIXELS = noise(120, 160)
IMAGE = encode(PIXELS)
BOX = (48, 28, 112, 92)
FIRST = Prompt(box=BOX, positive=[(80, 60)])
KEY = "k-4711"


class CountedTransport(httpx.HTTPTransport):
    """Goes over the network, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.read())
        return super().handle_request(request)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trivial_interactive(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[GatewayProcess]:
    with gateway(models) as process:
        yield process


def played(session: Session) -> list[ObjectMask]:
    """Return the answer to each step of a session with everything in it."""
    steps = [session.add(FIRST), session.click(100, 80), session.click(60, 40, positive=False)]
    session.next_object()
    steps += [session.box(20, 10, 60, 50, tight=False), session.click(140, 100)]
    left = session.undo()
    assert left is not None
    return [*steps, left, *session.report().objects]


def sample(process: GatewayProcess, name: str) -> float:
    lines = httpx.get(f"{process.address}/metrics").text.splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(f"{name} ")))


def test_a_session_gives_the_same_masks_on_both_engines(models: Path, server: GatewayProcess, tmp_path: Path) -> None:
    with triton(models, tmp_path / "log") as triton_server:
        settings = {"ENGINE_KIND": "triton", "ENGINE_TRITON_URL": triton_server.url}
        with (
            gateway(models, **settings) as other,
            Client(server.address) as ours,
            Client(other.address) as theirs,
            ours.interactive(IMAGE) as one,
            theirs.interactive(IMAGE) as two,
        ):
            answers = played(one)
            assert played(two) == answers
            for model, prompt in (
                ("iog", FIRST),
                ("dextr", Prompt(extreme=[(48, 60), (80, 28), (112, 60), (80, 92)])),
            ):
                mine, other_answer = (client.segment(IMAGE, prompt, model=model) for client in (ours, theirs))
                assert mine.objects == other_answer.objects
                assert (mine.provenance.engine, other_answer.provenance.engine) == ("embedded", "triton")
                assert mine.objects[0].area > 0
    assert all(found.area > 0 for found in answers)


def test_a_session_adds_up_to_what_one_request_answers(server: GatewayProcess) -> None:
    with Client(server.address) as client, client.interactive(IMAGE) as session:
        *steps, last, first_object, second_object = played(session)
        first, second = session.state().objects
        once = client.segment(IMAGE, Prompt(**first), Prompt(**second))
    found, mended, cut, other, grown = steps
    assert first == {"box": [*BOX], "positive": [[80, 60], [100, 80]], "negative": [[60, 40]]}
    assert (second["box"], second["tight"], len(second["positive"])) == ([20, 10, 60, 50], False, 1)
    assert once.objects == (first_object, second_object)
    np.testing.assert_array_equal(once.objects[0].mask, cut.mask)
    np.testing.assert_array_equal(once.objects[1].mask, other.mask)
    np.testing.assert_array_equal(last.mask, other.mask)
    assert [step.value for step in steps] == [1, 1, 1, 2, 2]
    assert any("grown" in notice for notice in grown.notices)
    assert not np.array_equal(found.mask, mended.mask)
    assert cut.area < mended.area


def test_the_image_is_sent_and_decoded_once_and_its_features_are_made_once(server: GatewayProcess) -> None:
    counters = [f"maskgate_{name}_total" for name in ("images_decoded", "session_cache_misses", "session_cache_hits")]
    before = [sample(server, name) for name in counters]
    transport = CountedTransport()
    with Client(server.address, transport=transport) as client, client.interactive(encode(noise(100, 90, seed=3))) as s:
        s.box(10, 10, 70, 80)
        for x in range(20, 60, 5):
            s.click(x, 50)
    assert sum(b"\x89PNG" in body for body in transport.bodies) == 1
    assert [sample(server, name) - n for name, n in zip(counters, before, strict=True)] == [1, 1, 8]


def test_undo_and_reset_lead_back_to_where_the_session_was(server: GatewayProcess) -> None:
    with Client(server.address) as client, client.interactive(IMAGE) as session:
        first, second = session.add(FIRST), session.click(100, 80)
        assert not np.array_equal(first.mask, second.mask)
        assert session.undo() == first
        assert session.undo() is None
        with pytest.raises(Conflict):
            session.undo()
        session.box(20, 10, 60, 50)
        session.reset()
        assert (session.state().clicks, session.report().objects) == (0, ())
        assert session.add(FIRST) == first


def test_a_session_ends_with_its_block(server: GatewayProcess) -> None:
    with Client(server.address) as client:
        with client.interactive(IMAGE) as session:
            session.box(*BOX)
        with pytest.raises(SessionLost):
            session.click(80, 60)


def test_a_session_that_nobody_uses_is_lost(models: Path) -> None:
    with gateway(models, SESSIONS_IDLE_SECONDS="0.5") as process, Client(process.address) as client:
        with client.interactive(IMAGE) as session:
            session.box(*BOX)
            time.sleep(1)
            with pytest.raises(SessionLost, match="Session not found"):
                session.click(80, 60)
        with client.interactive(IMAGE) as another:
            assert another.box(*BOX).area > 0


def test_of_clicks_at_once_those_that_were_answered_are_kept(server: GatewayProcess) -> None:
    async def run() -> tuple[list[object], int]:
        async with AsyncClient(server.address) as client, client.interactive(IMAGE) as session:
            await session.box(*BOX)
            clicks = [session.click(60 + 5 * n, 50) for n in range(8)]
            answers = await asyncio.gather(*clicks, return_exceptions=True)
            return list(answers), (await session.state()).clicks

    answers, kept = asyncio.run(run())
    answered = sum(isinstance(answer, ObjectMask) for answer in answers)
    assert all(isinstance(answer, ObjectMask | Conflict) for answer in answers), answers
    assert kept == 1 + answered > 1


@pytest.mark.parametrize("model", ["grabcut", "watershed", "polygon"])
def test_tools_are_asked_like_models(server: GatewayProcess, model: str) -> None:
    pixels = PIXELS // 4
    pixels[40:80, 60:100] = 250
    with Client(server.address) as client, client.interactive(pixels, model=model) as session:
        if model == "grabcut":
            found = session.box(*BOX)
        elif model == "polygon":
            found = session.polygon((10, 10), (29, 10), (29, 19), (10, 19))
            assert (found.box, found.area) == ((10, 10, 30, 20), 200)
        else:
            with pytest.raises(Rejected) as caught:
                session.stroke((80, 60), (90, 60))
            assert caught.value.code == "prompt-invalid"
            found = session.add(Prompt(strokes=[[(80, 60), (90, 60)]], background_strokes=[[(5, 5), (150, 5)]]))
        assert found.area > 0
        assert (found.score, found.crop, session.started.version) == (None, None, None)


def test_a_key_opens_ones_own_sessions_alone(models: Path) -> None:
    digests = {name: f"sha256:{hashlib.sha256(f'{KEY}{name}'.encode()).hexdigest()}" for name in ("a", "b")}
    with gateway(models, AUTH_KEYS=json.dumps(digests)) as process:
        with Client(process.address) as nobody, pytest.raises(Rejected) as caught:
            nobody.segment(IMAGE, Prompt(box=BOX))
        assert caught.value.status == 401
        with (
            Client(process.address, key=f"{KEY}a") as one,
            Client(process.address, key=f"{KEY}b") as other,
            one.interactive(IMAGE) as session,
        ):
            assert session.box(*BOX).area > 0
            foreign = Session(other._send, session.started)
            with pytest.raises(SessionLost):
                foreign.click(80, 60)


def test_the_command_saves_what_one_request_answers(
    server: GatewayProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(IMAGE)
    shown = ["--box", "48,28,112,92", "--click", "80,60", "--not", "60,40", "--export", "coco-rle", "--json"]
    assert main(["segment", str(path), *shown, "--out", str(tmp_path), "--url", server.address]) == 0
    with Client(server.address) as client:
        report = client.segment(IMAGE, Prompt(box=BOX, positive=[(80, 60)], negative=[(60, 40)]), include=["coco"])
    np.testing.assert_array_equal(decode((tmp_path / "photo_mask.png").read_bytes()), report.instance_map())
    assert decode((tmp_path / "photo_overlay.png").read_bytes()).shape == PIXELS.shape
    exported = json.loads((tmp_path / "coco-rle" / "annotations.json").read_text())
    assert report.coco is not None
    assert exported["annotations"] == report.coco["annotations"]
    assert [image["file_name"] for image in exported["images"]] == ["photo.png"]
    (line,) = json.loads(capsys.readouterr().out)["objects"]
    assert line["area"] == report.objects[0].area
    outside = ["segment", str(path), "--click", "500,5", "--out", str(tmp_path / "none"), "--url", server.address]
    assert main(outside) == 1
    said = capsys.readouterr().err
    assert "Click outside the image" in said
    assert "(/prompt/positive/0, request " in said
