"""Whose call it is, by the key it carries, what that key opens, and which scope a path needs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import TypeGuard

from gateway.errors import Forbidden, Unauthorised
from gateway.settings import KeySettings

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
    scopes: frozenset[str] | None = None
    limits: Limits = Limits()

    @property
    def is_limited(self) -> bool:
        """Whether it has a limit."""
        return self.limits != Limits()

    def may(self, scope: str) -> bool:
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


ANY = "any"
"""What a path needs that takes any key."""

METRICS = "metrics"
"""What a path needs that tells of everybody's requests."""

_OPEN = frozenset({"/v2/health/live", "/v2/health/ready"})

_NEEDED: Mapping[tuple[str, ...], str] = {
    ("metrics",): METRICS,
    ("v1", "jobs"): "jobs",
    ("v1", "models"): ANY,
    ("v1", "progress"): ANY,
    ("v1", "tasks"): ANY,
    ("v1", "repository"): "admin",
    ("v1", "uploads"): "jobs",
    ("v2",): ANY,
    ("v2", ""): ANY,
    ("v2", "health"): ANY,
    ("v2", "models"): "infer",
    ("v2", "repository"): "admin",
}
"""By the first two steps of a path; of a task it is the task's name."""

_READING = frozenset({"GET", "HEAD"})

_READ_BY_ANY = frozenset({("v1", "jobs"), ("v2", "models")})
"""What any key may read: the caller's own jobs; metadata, configuration and readiness, which /v1/models shows too."""


def takes_a_key(path: str, metrics: bool) -> bool:
    """Return whether a key is asked for, where there are keys; probes have none.

    Args:
        path: of the request.
        metrics: whether one is asked for metrics.
    """
    return (f"{path}/".startswith(("/v1/", "/v2/")) and path not in _OPEN) or (metrics and path == "/metrics")


def scope_needed(method: str, path: str, tasks: Container[str]) -> str | None:
    """Return what a path that takes a key asks of it, a scope or `ANY`; None where that is not known.

    Args:
        method: of the request.
        path: of the request.
        tasks: the names of all of them.
    """
    room, *rest = path[1:].split("/")[:2]
    if (room, *rest) in _READ_BY_ANY and method in _READING:
        return ANY
    if room == "v1" and rest and rest[0] in tasks:
        return rest[0]
    return _NEEDED.get((room, *rest))


def costs(needed: str | None) -> TypeGuard[str]:
    """Return whether it is a task or an operation that is asked for, and not a look at what there is."""
    return needed not in (None, ANY, METRICS)


def check_scope(caller: Caller, needed: str | None) -> None:
    """Do nothing where the caller's key opens what asks for `needed`.

    Raises:
        Forbidden: the key lacks the scope; or it has scopes, and what is needed is not known.
    """
    if needed is None and caller.scopes is not None:
        raise Forbidden("None of the scopes of this key opens this path.")
    if needed is not None and needed != ANY and not caller.may(needed):
        raise Forbidden(f"This key lacks the scope '{needed}'.", members={"scope": needed})
