"""Methods of both clients from one function each, which says what is sent and how the answer reads.

    def waste(image: ImageInput, *, model: str | None = None) -> Call[WasteReport]: ...

    class Client:
        waste = blocking(waste)  # (self, image, *, model=None) -> WasteReport

    class AsyncClient:
        waste = awaited(waste)  # the same, awaited

Type checkers see the signatures through `ParamSpec`; `help` and `inspect` see those that are set, and the docstrings.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from maskgate_client.call import Call

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Send(Protocol):
    """Carries a call to the gateway and returns its answer."""

    def __call__(self, call: Call[T]) -> T:
        """Return what the gateway answers; errors as of `Client`."""


class AsyncSend(Protocol):
    """`Send`, awaited."""

    async def __call__(self, call: Call[T]) -> T:
        """Return what the gateway answers; errors as of `Client`."""


class Sender(Protocol):
    """What has blocking methods."""

    def _send(self, call: Call[T]) -> T:
        """Return what the gateway answers."""


class AsyncSender(Protocol):
    """What has awaited ones."""

    async def _send(self, call: Call[T]) -> T:
        """Return what the gateway answers."""


def blocking(ask: Callable[P, Call[T]]) -> Callable[Concatenate[Sender, P], T]:
    """Return the method of a blocking client that sends what `ask` describes."""

    def method(self: Sender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(ask(*args, **kwargs))

    return dressed(method, ask)


def awaited(ask: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncSender, P], Coroutine[Any, Any, T]]:
    """Return the method of an asynchronous client that sends what `ask` describes."""

    async def method(self: AsyncSender, /, *args: P.args, **kwargs: P.kwargs) -> T:
        # In a thread, for it reads files and encodes pixels.
        return await self._send(await asyncio.to_thread(ask, *args, **kwargs))

    return dressed(method, ask)


def dressed(method: F, ask: Callable[..., Any], *, returns: str | None = None, bound: bool = False) -> F:
    """Return `method` with the name, docstring and signature of `ask`.

    Args:
        method: a function whose first parameter is `self`.
        ask: the function it is made of.
        returns: what the signature shows as returned; by default what the `Call` of `ask` answers.
        bound: the first parameter of `ask` is `self` too.
    """
    signature = inspect.signature(ask)
    answer = returns or str(signature.return_annotation).removeprefix("Call[").removesuffix("]")
    self = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [self, *list(signature.parameters.values())[bound:]]
    method.__dict__["__signature__"] = signature.replace(parameters=parameters, return_annotation=answer)
    method.__name__ = ask.__name__
    method.__doc__, method.__module__, method.__qualname__ = ask.__doc__, ask.__module__, ask.__qualname__
    return method
