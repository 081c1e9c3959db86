"""Every setting of the gateway, in one tree.

Each field is read from the environment as ``MASKGATE_<GROUP>_<FIELD>``, for example
``MASKGATE_LIMITS_BODY_BYTES=1048576``. `maskgate-gateway settings` prints the tree with
its values in force. Where the gateway runs as several processes, a setting is what all of them have together,
unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Self

from pydantic import BaseModel, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.registry import Registry
from gateway.settings.access import AuthSettings, KeySettings, TenantName
from gateway.settings.limits import MIB, LimitSettings
from gateway.settings.server import ServerSettings
from gateway.settings.service import (
    EngineSettings,
    JobSettings,
    LogSettings,
    ModelSettings,
    PacsSettings,
    SessionSettings,
    TracingSettings,
    WorkSettings,
)

__all__ = [
    "MIB",
    "AuthSettings",
    "EngineSettings",
    "JobSettings",
    "KeySettings",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "PacsSettings",
    "ServerSettings",
    "SessionSettings",
    "Settings",
    "TenantName",
    "TracingSettings",
    "WorkSettings",
    "unknown_variables",
]

_OF_THE_CLIENT = frozenset({"MASKGATE_URL", "MASKGATE_KEY"})
"""What the client reads, who may be called from the same environment."""


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        env_prefix="MASKGATE_", env_nested_delimiter="_", env_nested_max_split=1, frozen=True, extra="forbid"
    )

    server: ServerSettings = Field(default_factory=ServerSettings)
    models: ModelSettings = Field(default_factory=ModelSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    work: WorkSettings = Field(default_factory=WorkSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    sessions: SessionSettings = Field(default_factory=SessionSettings)
    jobs: JobSettings = Field(default_factory=JobSettings)
    pacs: PacsSettings = Field(default_factory=PacsSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)

    def of_each_process(self) -> Settings:
        """Return the tree with what one of `server.workers` processes has of threads, lanes and caches.

        `limits.inflight_bytes` and `limits.inflight_requests` stay: all processes count them together, so that one
        request may take the whole of them.
        """

        def share(group: BaseModel, *fields: str) -> BaseModel:
            shares = {field: max(1, getattr(group, field) // self.server.workers) for field in fields}
            return group.model_copy(update=shares)

        turns = ("turns",) if self.work.turns else ()
        kept = ("local_bytes", "connections") if self.sessions.url else ("bytes",)
        if not self.sessions.url and self.sessions.tenant_bytes:
            kept = (*kept, "tenant_bytes")
        return self.model_copy(
            update={
                "engine": share(self.engine, "lanes", "triton_inflight_bytes"),
                "work": share(self.work, "threads", *turns),
                "sessions": share(self.sessions, *kept),
            }
        )

    @property
    def registry(self) -> Registry:
        """The tasks that are served."""
        return Registry.discover(self.models.tasks)

    @property
    def keeps_sessions(self) -> bool:
        """Whether whichever process answers knows every session."""
        return self.server.workers == 1 or self.sessions.url is not None

    @model_validator(mode="after")
    def _scopes_are_known(self) -> Self:
        known = self.registry.scopes
        for tenant, key in self.auth.by_tenant().items():
            if unknown := sorted((key.scopes or frozenset()) - known):
                raise ValueError(
                    f"auth.keys.{tenant}: there is no scope '{unknown[0]}'; there are {', '.join(sorted(known))}"
                )
        return self

    @model_validator(mode="after")
    def _largest_request_fits(self) -> Self:
        largest = self.limits.body_bytes + 16 * self.limits.image_pixels
        if self.limits.inflight_bytes < largest:
            raise ValueError(
                f"limits.inflight_bytes must be at least {largest}: one body of limits.body_bytes "
                "and the pixels of one largest pair, or such a request could never be served"
            )
        return self

    @model_validator(mode="after")
    def _largest_ct_fits(self) -> Self:
        limits = self.limits
        slices = limits.volume_slices * 32 * 1024 + 4 * limits.volume_voxels
        largest = 2 * limits.body_bytes + limits.series_file_bytes + 20 * limits.slice_side**2 + slices
        if limits.inflight_bytes < largest:
            raise ValueError(
                f"limits.inflight_bytes must be at least {largest}: a body of limits.body_bytes and its copy, a file "
                "of limits.series_file_bytes, a slice of limits.slice_side, and headers and label maps of "
                "limits.volume_slices and limits.volume_voxels, or such a CT could never be answered by a DICOM SEG"
            )
        return self


def unknown_variables(environment: Iterable[str], settings: Settings) -> dict[str, str | None]:
    """Return the variables of an environment that begin as settings do and are none, each with the nearest that is.

    `settings` are those that were read from it: the tasks that are served say which default models there are.
    """
    known = [
        f"MASKGATE_{group}_{name}".upper() for group in Settings.model_fields for name, _ in getattr(settings, group)
    ]
    groups = tuple(f"MASKGATE_{group}".upper() for group in Settings.model_fields)
    offered = (name for name in environment if name.upper().startswith("MASKGATE_") and name not in _OF_THE_CLIENT)
    unknown = sorted(name for name in offered if name.upper() not in (*known, *groups))
    return {name: next(iter(get_close_matches(name.upper(), known, 1, 0.8)), None) for name in unknown}
