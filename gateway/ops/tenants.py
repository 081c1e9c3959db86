"""Whose call it is, by the key it carries."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from gateway.errors import Unauthorised

PUBLIC = "public"
"""The one tenant where no keys are configured."""


class Tenants:
    """Tenants by the SHA-256 of their keys; the keys themselves are nowhere.

    Args:
        digests: tenant → ``sha256:<hex>`` of its key; where empty, every caller is `PUBLIC`.
    """

    def __init__(self, digests: Mapping[str, str]) -> None:
        """Keep the digests."""
        self._digests = {tenant: digest.removeprefix("sha256:").encode() for tenant, digest in digests.items()}

    def of(self, key: str | None) -> str:
        """Return the tenant whose `key` it is; takes equally long whichever that is.

        Raises:
            Unauthorised: there is no key, or it is nobody's.
        """
        if not self._digests:
            return PUBLIC
        if key is None:
            raise _unauthorised("Send a key, as Authorization: Bearer … or as X-API-Key.")
        digest = hashlib.sha256(key.encode()).hexdigest().encode()
        found = [tenant for tenant, known in self._digests.items() if hmac.compare_digest(known, digest)]
        if not found:
            raise _unauthorised("The key is not known here.")
        return found[0]


def _unauthorised(detail: str) -> Unauthorised:
    return Unauthorised(detail, headers={"WWW-Authenticate": 'Bearer realm="maskgate"'})
