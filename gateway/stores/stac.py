"""Items of STAC: which of their files is meant, and where it lies.

STAC item specification 1.0: https://github.com/radiantearth/stac-spec/blob/master/item-spec/item-spec.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urljoin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.errors import ReferenceInvalid

ITEM_BYTES = 1 << 20
"""Longest item that is read."""

_TIFF = ("image/tiff", "image/vnd.stac.geotiff")
_SHOWN = ("visual", "data")
_NAMED = 20


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
