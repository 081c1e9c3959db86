"""Inputs that lie elsewhere: fetched from the stores that the operator names, and from nowhere else.

An address is compared as text with those of the stores, after what could lead out of one was refused; a redirect is an
address like any other. So no caller can have the gateway ask a host of its choosing.

S3 is asked by addresses that obstore signs, and httpx asks for them: obstore by itself follows a redirect to wherever
it leads, and cannot be told not to.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

from gateway.errors import InputForbidden, InputUnreachable
from gateway.observability.logs import silence_addresses

if TYPE_CHECKING:
    import httpx
    from obstore.store import S3Config

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 30.0
_SIGNED_FOR = timedelta(minutes=15)
_PIECE = 1 << 20
# Printable ASCII without what browsers, servers and libraries read in different ways.
_PLAIN = re.compile(r"(https?|s3)://[!-~]+")
_ODD = re.compile(r"[\\@\"<>^`{|}#]")
MISSING = "The store does not have this input, or does not give it out."
SILENT = "The store did not answer, or broke off."


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
    import httpx

    size = 0
    file = await asyncio.to_thread(into.open, "wb")
    with file:
        async with new_client() as client:
            try:
                async with answering(client, stores, address) as answer:
                    if answer.status_code != 200:
                        raise InputUnreachable(MISSING)
                    async for piece in answer.aiter_raw(_PIECE):
                        size += len(piece)
                        if size > most:
                            raise InputUnreachable(f"An input may have {most} bytes.", limit=most)
                        await asyncio.to_thread(file.write, piece)
            except httpx.HTTPError as error:
                raise InputUnreachable(SILENT) from error


def new_client() -> httpx.AsyncClient:
    """Return a client that sends no more than it is told to, follows no redirect by itself, and is not logged."""
    import httpx

    silence_addresses()
    return httpx.AsyncClient(
        timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS), headers={"Accept-Encoding": "identity"}
    )


@asynccontextmanager
async def answering(
    client: httpx.AsyncClient, stores: Sequence[str], address: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[httpx.Response]:
    """Yield what is answered for an address in a store, whatever its status, its body not yet read.

    Raises:
        InputForbidden: the address is of no store, or leads out of them.
        InputUnreachable: it leads in circles, cannot be signed, or is answered with compressed bytes.
        httpx.HTTPError: the store did not answer.
    """
    for _ in range(_MOST_REDIRECTS + 1):
        check_address(address, stores)
        asked = await asyncio.to_thread(_signed, address) if address.startswith("s3://") else address
        async with client.stream("GET", asked, headers=headers) as answer:
            if answer.status_code in _REDIRECTS:
                # What S3 leads to is no address of a store: those are s3://….
                address = urljoin(asked, str(answer.headers.get("location", "")))
                continue
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise InputUnreachable("The store compresses what it was asked for as it is.")
            yield answer
            return
    raise InputUnreachable("The store sends in circles.")


def _signed(address: str) -> str:
    """Return by which address S3 gives out an object; the variables of the AWS tools say where it is, and to whom."""
    from obstore import sign
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    bucket, _, key = address.removeprefix("s3://").partition("/")
    anybody = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true", "yes")
    try:
        # Who needs no key gets the address that a key would have been for.
        given: S3Config = {"access_key_id": "-", "secret_access_key": "-", "skip_signature": False} if anybody else {}
        store = S3Store(bucket, config=given)
        signed: str = sign(store, "GET", key, _SIGNED_FOR)
    except (BaseError, OSError) as error:
        raise InputUnreachable(SILENT) from error
    return signed.partition("?")[0] if anybody else signed
