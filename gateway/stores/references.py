"""References that stand in the place of an image: JSON that names one file in a store, or several.

    {"url": "s3://archive/2026/pre.tif"}
    {"stac": "https://data.example/items/a.json", "asset": "visual"}

A list of them names tiles of one image.

STAC item specification 1.0: https://github.com/radiantearth/stac-spec/blob/master/item-spec/item-spec.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Self
from urllib.parse import urljoin

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from gateway.errors import ReferenceInvalid
from gateway.stores.access import check_address
from gateway.stores.ranges import Allowance, StoredFile, Stores

_MOST_BYTES, _MOST = 1 << 20, 256

ITEM_BYTES = 1 << 20
"""Longest item that is read."""

_TIFF = ("image/tiff", "image/vnd.stac.geotiff")
_SHOWN = ("visual", "data")
_NAMED = 20


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


class _Asset(BaseModel):
    model_config = ConfigDict(frozen=True)

    href: str = Field(max_length=4096)
    type: str | None = None
    roles: tuple[str, ...] | None = None

    @property
    def is_tiff(self) -> bool:
        """Whether it says that it is TIFF; of one that says nothing its name does."""
        media_type = (self.type or "").partition(";")[0].strip().lower()
        return media_type in _TIFF or (not media_type and self.href.lower().endswith((".tif", ".tiff")))


class _Item(BaseModel):
    model_config = ConfigDict(frozen=True)

    stac_version: str
    assets: Mapping[str, _Asset]


def asset_address(address: str, text: bytes, wanted: str | None, otherwise: str) -> str:
    """Return where an asset of an item lies.

    Without a name that is the asset `otherwise`; or the only TIFF whose role is ``visual``; or else ``data``.

    Args:
        address: of the item, from which addresses in it may go on.
        text: of the item.
        wanted: name of the asset; None: none is named.
        otherwise: name that is looked for then.

    Raises:
        ReferenceInvalid: it is no item of STAC, has no such asset, or it cannot be told which is meant.
    """
    try:
        assets = _Item.model_validate_json(text).assets
    except ValidationError:
        raise ReferenceInvalid("What lies there is no item of STAC.") from None
    name = wanted or (otherwise if otherwise in assets else _only(assets))
    if name is None or name not in assets:
        # So many of them, and so many characters of each: whoever wrote the item may be anybody.
        known = ", ".join(name[:_NAMED] for name in sorted(assets)[:_NAMED]) or "none"
        asked = f"no asset '{wanted}'" if wanted else "more than one asset that could be meant, or none"
        raise ReferenceInvalid(f"The item of STAC has {asked}; name one (asset). There are: {known}.")
    return urljoin(address, assets[name].href)


def _only(assets: Mapping[str, _Asset]) -> str | None:
    """Return the name of the one asset that is a picture; None where there is none, or are several."""
    for role in _SHOWN:
        found = [name for name, asset in assets.items() if asset.is_tiff and role in (asset.roles or ())]
        if found:
            return found[0] if len(found) == 1 else None
    return None
