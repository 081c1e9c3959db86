"""Whose call it is, by the key it carries, and what that key opens."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import Unauthorised
from gateway.settings import KeySettings, Scope

PUBLIC = "public"
"""The one tenant where no keys are configured."""


@dataclass(frozen=True)
class Limits:
    """How much one tenant may ask for; None: as much as there is."""

    requests_per_minute: int | None = None
    inflight: int | None = None


@dataclass(frozen=True)
class Caller:
    """Who calls.

    Attributes:
        tenant: its name in the settings.
        scopes: what its key opens; None: everything.
        limits: how much it may ask for.
    """

    tenant: str
    scopes: frozenset[Scope] | None = None
    limits: Limits = Limits()

    def may(self, scope: Scope) -> bool:
        """Return whether the caller's key opens what needs `scope`."""
        return self.scopes is None or scope in self.scopes


class Tenants:
    """Callers by the SHA-256 of their keys; the keys themselves are nowhere.

    Args:
        keys: tenant → digests of its keys and what they open; where empty, every caller is `PUBLIC` and may everything.
    """

    def __init__(self, keys: Mapping[str, KeySettings]) -> None:
        """Keep the digests."""
        self._callers = [
            (digest.get_secret_value().encode(), Caller(tenant, key.scopes, limits))
            for tenant, key in keys.items()
            for limits in [Limits(key.requests_per_minute, key.inflight)]
            for digest in key.digest
        ]

    def of(self, key: str | None) -> Caller:
        """Return whose `key` it is; takes equally long whichever that is.

        Raises:
            Unauthorised: there is no key, or it is nobody's.
        """
        if not self._callers:
            return Caller(PUBLIC)
        if key is None:
            raise _unauthorised("Send a key, as Authorization: Bearer … or as X-API-Key.")
        digest = digest_of(key).encode()
        found = [caller for known, caller in self._callers if hmac.compare_digest(known, digest)]
        if not found:
            raise _unauthorised("The key is not known here.")
        return found[0]


def new_key() -> str:
    """Return a key that nobody can guess: 256 random bits, 43 characters that need no quoting anywhere."""
    return secrets.token_urlsafe(32)


def digest_of(key: str) -> str:
    """Return what the settings hold of a key.

    One round of SHA-256 is enough of a hash for keys of 256 random bits: none can be searched for, as a password can.
    """
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def _unauthorised(detail: str) -> Unauthorised:
    return Unauthorised(detail, headers={"WWW-Authenticate": 'Bearer realm="maskgate"'})
