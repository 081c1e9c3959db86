"""Settings of who may call."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from gateway.settings.group import Group

TenantName = Annotated[str, StringConstraints(pattern=r"^[\w.@:+-]{1,64}$")]
"""Names of tenants stand in log lines, so they hold neither blanks nor quotes."""


class KeySettings(Group):
    """What one tenant's key opens, and how much it may ask for."""

    digest: tuple[SecretStr, ...] = Field(min_length=1)
    """``sha256:<hex>`` of the key; or a list of several, each of which is taken: the old and the new one, while callers
    change over. They count as one."""

    scopes: frozenset[str] | None = None
    """The tasks it opens, `infer` (inference under `/v2`), `emergency` (the lane), `jobs` (to leave what a task would
    answer as a job, beside the task's own scope, and to upload for it), `pacs` (reading from and storing in the
    DICOMweb server, beside the task's own), `admin` (refreshing the repository, loading and unloading models) and
    `metrics`. Without, all of them. Cards, the progress of own requests and own jobs take any key."""

    requests_per_minute: int | None = Field(None, gt=0)
    """Requests to what needs a scope: so many at once, then as many a minute. Those that the gateway itself has no room
    for (503) count for none. Each process counts on its own, so with several a caller may get so much from each."""

    inflight: int | None = Field(None, gt=0)
    """Of those, how many may be under way at once, each counted until its answer is sent; in each process."""

    job_seconds: float | None = Field(None, gt=0)
    """How long the tenant's jobs and their results are kept after their end; None: as `jobs.keep_seconds` says."""

    @field_validator("digest", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, digest: object) -> object:
        return (digest,) if isinstance(digest, str | SecretStr) else digest


class AuthSettings(Group):
    """Who may call, with what, and how often. `maskgate-gateway key` makes a key and its digest."""

    keys: dict[TenantName, SecretStr | KeySettings] = Field(default_factory=dict)
    """Tenant → ``sha256:<hex>`` of its key, which opens everything, or an object with `digest`, `scopes`,
    `requests_per_minute`, `inflight` and `job_seconds`, all but the first optional; as a JSON object. A call under
    `/v1` or `/v2` and of `/metrics` then carries a key. None: every caller is the tenant "public"."""

    keys_file: Path | None = None
    """A file with the same JSON, for example a mounted secret; instead of `keys`, and read once, at the start."""

    @model_validator(mode="before")
    @classmethod
    def _read_keys_file(cls, values: object) -> object:
        if not isinstance(values, dict) or values.get("keys_file") is None:
            return values
        if values.get("keys"):
            raise ValueError("keys and keys_file exclude each other")
        try:
            keys = json.loads(Path(str(values["keys_file"])).read_bytes())
        except (OSError, ValueError):
            raise ValueError("keys_file cannot be read as JSON") from None
        if not (isinstance(keys, dict) and keys):
            # Else an empty secret would open the gateway to everybody.
            raise ValueError("keys_file has no keys")
        return {**values, "keys": keys}

    @field_validator("keys")
    @classmethod
    def _are_distinct_digests(cls, keys: dict[str, SecretStr | KeySettings]) -> dict[str, SecretStr | KeySettings]:
        digests = [digest.get_secret_value() for key in keys.values() for digest in _spelt_out(key).digest]
        if not all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in digests):
            raise ValueError("each digest must be sha256: and 64 hexadecimal digits in lower case")
        if len(set(digests)) < len(digests):
            raise ValueError("a key is there twice")
        return keys

    def by_tenant(self) -> dict[str, KeySettings]:
        """Return what each tenant's key opens, digests alone spelt out."""
        return {tenant: _spelt_out(key) for tenant, key in self.keys.items()}


def _spelt_out(key: SecretStr | KeySettings) -> KeySettings:
    return KeySettings(digest=(key,)) if isinstance(key, SecretStr) else key
