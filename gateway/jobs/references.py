"""Inputs that lie elsewhere: fetched from the stores that the operator names, and from nowhere else.

An address is compared as text with those of the stores, after what could lead out of one was refused; a redirect is an
address like any other. So no caller can have the gateway ask a host of its choosing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from gateway.errors import InputForbidden, InputUnreachable
from gateway.jobs.files import new_file
from gateway.observability.logs import silence_addresses

if TYPE_CHECKING:
    import httpx

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 30.0
# Printable ASCII without what browsers, servers and libraries read in different ways.
_PLAIN = re.compile(r"(https?|s3)://[!-~]+")
_ODD = re.compile(r"[\\@\"<>^`{|}#]")
_MISSING = "The store does not have this input, or does not give it out."
_SILENT = "The store did not answer, or broke off."


def check_address(address: str, stores: Sequence[str], *, pointer: str | None = None) -> None:
    """Do nothing where an address lies in one of the stores.

    Raises:
        InputForbidden: it does not, or would not once somebody resolves ``..`` in it.
    """
    path = unquote(unquote(urlsplit(address).path))
    inside = any(address.startswith(store) and len(address) > len(store) for store in stores)
    if (
        not inside
        or not _PLAIN.fullmatch(address)
        or _ODD.search(address)
        or {".", ".."} & set(re.split(r"[/\\]", path))
    ):
        raise InputForbidden("The address is of none of the stores that inputs may come from.", pointer=pointer)


async def fetch(stores: Sequence[str], address: str, into: Path, most: int) -> None:
    """Write what lies at an address to a file.

    Args:
        stores: see `check_address`.
        address: ``https://…`` or ``s3://…``.
        into: the file.
        most: bytes that it may have.

    Raises:
        InputForbidden: it is of no store, or leads out of them.
        InputUnreachable: it is not to be had, or too large.
    """
    check_address(address, stores)
    source = _of_s3(address) if address.startswith("s3://") else _of_http(address, stores)
    size = 0
    with new_file(into) as file:
        async with source as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > most:
                    raise InputUnreachable(f"An input may have {most} bytes.", limit=most)
                await asyncio.to_thread(file.write, piece)


@asynccontextmanager
async def _of_http(address: str, stores: Sequence[str]) -> AsyncIterator[AsyncIterator[bytes]]:
    import httpx

    silence_addresses()
    try:
        async with httpx.AsyncClient(timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)) as client:
            for _ in range(_MOST_REDIRECTS + 1):
                async with client.stream("GET", address) as answer:
                    if answer.status_code in _REDIRECTS:
                        address = _leads_to(address, answer)
                        check_address(address, stores)
                        continue
                    if answer.status_code != 200:
                        raise InputUnreachable(_MISSING)
                    yield answer.aiter_bytes(1 << 20)
                    return
            raise InputUnreachable("The store sends in circles.")
    except httpx.HTTPError as error:
        raise InputUnreachable(_SILENT) from error


def _leads_to(address: str, answer: httpx.Response) -> str:
    return urljoin(address, str(answer.headers.get("location", "")))


@asynccontextmanager
async def _of_s3(address: str) -> AsyncIterator[AsyncIterator[bytes]]:
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    bucket, _, key = address.removeprefix("s3://").partition("/")
    try:
        store = await asyncio.to_thread(S3Store, bucket)
        found = await store.get_async(key)

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in found.stream(1 << 20):
                yield bytes(piece)

        yield pieces()
    except FileNotFoundError:
        raise InputUnreachable(_MISSING) from None
    except (BaseError, OSError) as error:
        raise InputUnreachable(_SILENT) from error
