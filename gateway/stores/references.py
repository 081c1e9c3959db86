"""References that stand in the place of an image: JSON that names one file in a store, or several.

    {"url": "s3://archive/2026/pre.tif"}
    {"stac": "https://data.example/items/a.json", "asset": "visual"}

A list of them names tiles of one image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from gateway.errors import ReferenceInvalid
from gateway.stores.access import check_address
from gateway.stores.ranges import Allowance, StoredFile, Stores
from gateway.stores.stac import ITEM_BYTES, asset_address

_MOST_BYTES, _MOST = 1 << 20, 256


class Reference(BaseModel):
    """One file in a store: by its address, or as an asset of a STAC item there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = Field(None, max_length=4096)
    stac: str | None = Field(None, max_length=4096)
    asset: str | None = Field(None, max_length=200)

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.url is None) == (self.stac is None) or (self.asset is not None and self.stac is None):
            raise ValueError("a reference has url, or stac and perhaps asset")
        return self

    @property
    def address(self) -> str:
        """What is asked for first."""
        return self.url or self.stac or ""


class _References(RootModel[Reference | list[Reference]]):
    """One, or those of tiles."""


def is_reference(data: bytes | memoryview) -> bool:
    """Return whether what stands in the place of an image begins as JSON does, which no image does."""
    return bytes(data[:64]).lstrip()[:1] in (b"{", b"[")


def read_references(text: bytes, allowed: Sequence[str]) -> list[Reference]:
    """Return the references of a JSON text, all into stores.

    Raises:
        ReferenceInvalid: it holds none, too many, or something else.
        InputForbidden: one leads to no store.
    """
    try:
        if len(text) > _MOST_BYTES:
            raise ValueError("too long")
        read = _References.model_validate_json(text).root
    except (ValidationError, ValueError):
        raise ReferenceInvalid(
            'A reference is like {"url": "https://…"} or {"stac": "https://…", "asset": "visual"}; tiles of one image '
            "are a list of them."
        ) from None
    references = read if isinstance(read, list) else [read]
    if not 0 < len(references) <= _MOST:
        raise ReferenceInvalid(f"An image is of 1 to {_MOST} tiles.")
    for reference in references:
        check_address(reference.address, allowed)
    return references


async def open_references(
    stores: Stores, references: Sequence[Reference], allowance: Allowance, otherwise: str
) -> list[StoredFile]:
    """Return the files that references name.

    Args:
        stores: that they are in.
        references: what `read_references` returned.
        allowance: of the request.
        otherwise: asset of a STAC item that is meant where none is named.

    Raises:
        ReferenceInvalid: one leads to something that is no item of STAC, or to one without the asset.
        MaskgateError: as `Stores.open`.
    """
    tasks = [asyncio.create_task(_opened(stores, reference, allowance, otherwise)) for reference in references]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _opened(stores: Stores, reference: Reference, allowance: Allowance, otherwise: str) -> StoredFile:
    file = await stores.open(reference.address, allowance)
    if reference.stac is None:
        return file
    if file.length > ITEM_BYTES:
        raise ReferenceInvalid(f"An item of STAC may have {ITEM_BYTES} bytes.", limit=ITEM_BYTES)
    rest = [(len(file.head), file.length)] if file.length > len(file.head) else []
    text = b"".join([file.head, *await file.parts(rest)])
    return await stores.open(asset_address(reference.stac, text, reference.asset, otherwise), allowance)
