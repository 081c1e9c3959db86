"""What takes several calls, written once for both clients: a generator that yields calls, and pauses in between.

    def flow() -> Flow[int]:
        first = yield Call(...)   # what the gateway answered
        yield 0.5                 # seconds to wait
        return len(first)

An error of a call is raised in the generator, where the call was yielded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from maskgate_client.call import Call
from maskgate_client.errors import MaskgateError
from maskgate_client.methods import AsyncSend, Send

T = TypeVar("T")

Flow = Generator[Call[Any] | float, Any, T]


def carried(send: Send, flow: Flow[T]) -> T:
    """Return what a flow returns, each of its calls sent by a blocking client."""
    step, answer = flow.send, None
    while True:
        try:
            asked = step(answer)
        except StopIteration as end:
            value: T = end.value
            return value
        step, answer = flow.send, None
        try:
            if isinstance(asked, Call):
                answer = send(asked)
            else:
                time.sleep(asked)
        except MaskgateError as error:
            step, answer = flow.throw, error


async def carried_async(send: AsyncSend, flow: Flow[T]) -> T:
    """Do as `carried` on the event loop; the flow itself runs in threads, for it reads files."""
    step, answer = flow.send, None
    while True:
        done, asked = await asyncio.to_thread(_stepped, step, answer)
        if done:
            value: T = asked
            return value
        step, answer = flow.send, None
        try:
            if isinstance(asked, Call):
                answer = await send(asked)
            else:
                await asyncio.sleep(asked)
        except MaskgateError as error:
            step, answer = flow.throw, error


def _stepped(step: Callable[[Any], Any], answer: Any) -> tuple[bool, Any]:
    """Return whether the flow is over, and what it yields or returns; StopIteration cannot leave a thread."""
    try:
        return False, step(answer)
    except StopIteration as end:
        return True, end.value
