"""Large answers leave piece by piece, and are what they were."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest

from gateway.http.middleware import AnswersInPieces

Message = MutableMapping[str, Any]
PIECE = 256 * 1024


def sent(*messages: Message) -> list[Message]:
    """Return what the server is handed of an app's `messages`."""
    taken: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    async def nothing() -> Message:
        raise AssertionError

    async def take(message: Message) -> None:
        taken.append(message)

    asyncio.run(AnswersInPieces(app)({"type": "http"}, nothing, take))
    return taken


@pytest.mark.parametrize(
    ("length", "sizes"),
    [
        (0, [0]),
        (PIECE - 1, [PIECE - 1]),
        (PIECE, [PIECE]),
        (PIECE + 1, [PIECE, 1]),
        (3 * PIECE, [PIECE] * 3),
    ],
)
@pytest.mark.parametrize("more", [False, True])
def test_pieces_are_the_body_and_only_the_last_ends_it(length: int, sizes: list[int], more: bool) -> None:
    body = bytes(i % 251 for i in range(length))
    start: Message = {"type": "http.response.start", "status": 200, "headers": []}
    first, *pieces = sent(start, {"type": "http.response.body", "body": body, "more_body": more})
    assert first is start
    assert [len(piece["body"]) for piece in pieces] == sizes
    assert b"".join(piece["body"] for piece in pieces) == body
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(sizes) - 1) + [more]


def test_no_piece_is_a_copy() -> None:
    body = bytes(2 * PIECE)
    for piece in sent({"type": "http.response.body", "body": body}):
        assert piece["body"].obj is body


def test_a_reader_sets_the_pace() -> None:
    """The second piece is not offered before the first was taken."""
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.body", "body": bytes(2 * PIECE)})
        order.append("sent")

    async def run() -> None:
        taken: Iterator[asyncio.Event] = iter(events := [asyncio.Event(), asyncio.Event()])

        async def slowly(message: Message) -> None:
            order.append("offered")
            await next(taken).wait()

        async def nothing() -> Message:
            raise AssertionError

        task = asyncio.create_task(AnswersInPieces(app)({"type": "http"}, nothing, slowly))
        for event in events:
            await asyncio.sleep(0)
            order.append("taken")
            event.set()
        await task

    asyncio.run(run())
    assert order == ["offered", "taken", "offered", "taken", "sent"]
