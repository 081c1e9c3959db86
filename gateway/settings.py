"""Every setting of the gateway, in one tree.

Each field is read from the environment as ``MASKGATE_<GROUP>_<FIELD>``, for example
``MASKGATE_LIMITS_BODY_BYTES=1048576``. `maskgate-gateway settings` prints the tree with
its values in force. Where the gateway runs as several processes, a setting is what all of them have together,
unless it says otherwise.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.registry import Registry

MIB = 1024 * 1024

_OF_THE_CLIENT = frozenset({"MASKGATE_URL", "MASKGATE_KEY"})
"""What the client reads, who may be called from the same environment."""

TenantName = Annotated[str, StringConstraints(pattern=r"^[\w.@:+-]{1,64}$")]
"""Names of tenants stand in log lines, so they hold neither blanks nor quotes."""


_LONGEST_SECONDS, _MOST_AT_ONCE, _MOST = 10 * 365 * 86_400, 4096, 1 << 50
_AT_ONCE = frozenset({"threads", "lanes", "turns", "connections"})


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _is_of_this_world(self) -> Self:
        """Refuse numbers that no clock, machine or library takes, before one of them fails on it."""
        for name, value in self:
            if isinstance(value, int | float):
                most = _LONGEST_SECONDS if name.endswith("seconds") else _MOST_AT_ONCE if name in _AT_ONCE else _MOST
                if value > most:
                    raise ValueError(f"{name} may be {most} at most")
        return self


class ServerSettings(_Group):
    """Where the gateway listens, and how it leaves."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every interface."""

    port: int = Field(8080, ge=0, le=65535)
    """TCP port; 0 lets the system choose one, and the start-up text names it."""

    workers: int = Field(1, ge=1, le=64)
    """Processes that answer side by side, on one port; threads, lanes and caches are shared out among them. They count
    requests and bytes in flight, and metrics, together. Each for itself learns what requests cost, counts the quotas of
    keys, and knows the progress of its own requests."""

    hang_seconds: float = Field(30.0, ge=4)
    """Of several processes, one whose event loop stands still for so long, in seconds, is killed and replaced. It is
    watched from when it begins to load its models. Where there is one process, its orchestrator has to watch it."""

    keep_alive_seconds: int = Field(75, gt=0)
    """How long an idle connection is kept; longer than the balancer in front keeps its own."""

    header_seconds: float = Field(10.0, gt=0)
    """Time the request line and the header fields may take to arrive: from the connection on, or from the first byte
    that follows an answer. The rest of a body that was refused may take as long."""

    header_bytes: int = Field(32 * 1024, ge=1024)
    """Longest request line and header fields, in bytes, the trailers of a chunked body included."""

    send_seconds: float = Field(30.0, gt=0)
    """A caller who reads less than 64 KiB of an answer in this time is cut off, and what it held is freed."""

    drain_delay_seconds: float = Field(2.0, ge=0)
    """After SIGTERM: how long `/readyz` says 503 before the socket closes. At least a probe's period."""

    grace_seconds: float = Field(30.0, gt=0)
    """After the socket closed: how long requests in flight may still take."""


class ModelSettings(_Group):
    """Which models are served, and which answers when none is named.

    Beside the fields below, each task has one of its name for its default model, and some have more:
    `TaskSpec.models` has their names and defaults.
    """

    model_config = ConfigDict(extra="allow")

    repository: Path = Path("model_repository")
    """Folder in Triton's layout, with a `card.json` per model."""

    tasks: tuple[str, ...] = ()
    """Packages of tasks beside those of this tree, each with a `spec.TASK` and a `route.router`; as a JSON list."""

    required: tuple[str, ...] = ()
    """Models without which `/readyz` says 503. Empty: the default model of each task that there are models of."""

    __pydantic_extra__: dict[str, str] = Field(init=False)

    @model_validator(mode="before")
    @classmethod
    def _have_the_defaults_of_their_tasks(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        packages = values.get("tasks", ())
        if not isinstance(packages, list | tuple) or not all(isinstance(package, str) for package in packages):
            return values
        models = Registry.discover(packages).models
        if unknown := sorted(values.keys() - models.keys() - cls.model_fields.keys()):
            raise ValueError(f"there is no setting models.{unknown[0]}; there are {', '.join(sorted(models))}")
        return {name: model.default for name, model in models.items()} | values

    def named(self, name: str) -> str:
        """Return the model that a task takes where a request names none: its default one has the task's name."""
        return self.__pydantic_extra__[name]


class LimitSettings(_Group):
    """What is refused, and from where on."""

    body_bytes: int = Field(512 * MIB, gt=0)
    """Largest request body, in bytes."""

    json_bytes: int = Field(64 * MIB, gt=0)
    """Longest JSON text of an inference request under `/v2`, in bytes; its binary tensors do not count."""

    image_side: int = Field(12_000, ge=64)
    """Longest image side, in pixels."""

    image_pixels: int = Field(12_000 * 12_000, ge=64 * 64)
    """Most pixels in one image."""

    image_side_minimum: int = Field(64, ge=1)
    """Shortest image side, in pixels."""

    scene_side: int = Field(60_000, ge=64)
    """Longest side of a TIFF image, in pixels. It is read by windows and never held decoded."""

    scene_pixels: int = Field(24_000 * 24_000, ge=64 * 64)
    """Most pixels in one TIFF image."""

    districts: int = Field(10_000, gt=0)
    """Most polygons in one layer of districts."""

    district_bytes: int = Field(32 * MIB, gt=0)
    """Longest GeoJSON text of one, in bytes."""

    prompt_points: int = Field(1000, ge=4)
    """Most points in one object's prompt: clicks, corners, vertices and points of strokes."""

    prompt_objects: int = Field(255, ge=1, le=255)
    """Most objects in one prompt; an instance map has 255 values beside the background."""

    prompt_bytes: int = Field(MIB, gt=0)
    """Longest JSON text of a prompt, in bytes."""

    slice_side: int = Field(2048, ge=64)
    """Longest side of a CT slice, in pixels."""

    slice_side_minimum: int = Field(32, ge=1)
    """Shortest side of a CT slice, in pixels."""

    volume_slices: int = Field(2000, gt=0)
    """Most slices of one CT."""

    volume_voxels: int = Field(512 * MIB, gt=0)
    """Most voxels of one CT, 2,048 slices of 512×512. Its slices are never held decoded at once, its label maps are."""

    series_files: int = Field(4000, gt=0)
    """Most files in the zip of a CT series, those without an image among them."""

    series_file_bytes: int = Field(64 * MIB, gt=0)
    """Largest file of it, unpacked, in bytes."""

    series_bytes: int = Field(4096 * MIB, gt=0)
    """All its files, unpacked, in bytes. They are unpacked one at a time."""

    film_side: int = Field(6000, ge=64)
    """Longest side of a radiograph, in pixels; detectors for a chest have 4,300 at most."""

    inflight_bytes: int = Field(6 * 1024 * MIB, gt=0)
    """Uploads, decoded pixels and label maps held at once, in bytes, over all requests of all processes."""

    inflight_requests: int = Field(256, gt=0)
    """Task requests held at once by all processes, waiting ones included."""

    queue_seconds: float = Field(120.0, gt=0)
    """Longest time that a task request is expected to wait for its turn; it is refused where that would be longer."""

    deadline_seconds: float = Field(600.0, gt=0)
    """Time a task request may take, from its first byte on, and the most that `Maskgate-Deadline` may ask for."""

    scene_deadline_seconds: float = Field(4 * 3600.0, gt=0)
    """The same for a pair of TIFF images, which may be hundreds of times as large."""

    upload_seconds: float = Field(120.0, gt=0)
    """Time a request body may take to arrive."""

    upload_stall_seconds: float = Field(20.0, gt=0)
    """How far a body of declared length may fall behind the even pace at which it would arrive in `upload_seconds`: its
    bytes are reserved from the start."""


class EngineSettings(_Group):
    """How models are run. `provider` and `lanes` are the embedded engine's, `triton_…` the other's."""

    kind: Literal["embedded", "triton"] = "embedded"
    """By ONNX Runtime in this process, or by a Triton Inference Server that serves the same repository."""

    provider: Literal["cpu", "cuda"] = "cpu"
    """ONNX Runtime execution provider; cuda needs the `gpu` extra."""

    lanes: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Batches computed side by side. On CPU each lane is one core; on CUDA two keep the device fed. Every process has
    one at least."""

    triton_url: str = Field("localhost:8001", pattern=r"^[^/\s]+:[0-9]+$")
    """``host:port`` of Triton's gRPC service."""

    triton_shared_memory: bool = True
    """Share memory with a Triton on this host, where that can be; else tensors travel as bytes."""

    triton_inflight_bytes: int = Field(128 * MIB, gt=0)
    """Tensors on their way to Triton and back at once, in bytes; also the most memory shared per tile size."""

    watch_seconds: float = Field(5.0, ge=0)
    """How often the embedded engine looks for changes in the model repository; 0: only when told to refresh."""


class WorkSettings(_Group):
    """How much is decoded, stitched and encoded at once."""

    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Threads for decoding, stitching and encoding. Every process has one at least."""

    turns: int = Field(0, ge=0)
    """Requests being worked on at once. 0: as many as threads; on Triton, where they mostly wait, eight times that."""

    turn_seconds: float = Field(5.0, gt=0)
    """How long one request is worked on while others wait; then the next has its turn, and it goes on later."""

    bulk_every: int = Field(10, ge=2)
    """Of so many turns one goes to the bulk lane while emergencies wait too; all others are theirs."""

    kept_bytes: int = Field(64 * MIB, ge=0)
    """Freed memory that each thread keeps for its next request, in bytes; 0: as the C library has it. Of glibc alone,
    and unless `MALLOC_TRIM_THRESHOLD_`, `MALLOC_MMAP_THRESHOLD_` or `GLIBC_TUNABLES` are set, which then say."""

    memory_bytes: int | None = Field(None, ge=0)
    """Memory that the gateway may allocate, in bytes, on Linux: past it a request is refused with 503, where the system
    would end the process. Shared out among processes. 0: no bound. None: the limit of the control group less a
    sixteenth, where it has one and models run on the CPU."""


class KeySettings(_Group):
    """What one tenant's key opens, and how much it may ask for."""

    digest: tuple[SecretStr, ...] = Field(min_length=1)
    """``sha256:<hex>`` of the key; or a list of several, each of which is taken: the old and the new one, while callers
    change over. They count as one."""

    scopes: frozenset[str] | None = None
    """The tasks it opens, `infer` (inference under `/v2`), `emergency` (the lane) and `admin` (refreshing the
    repository). Without, all of them. Cards, health and the progress of own requests take any key."""

    requests_per_minute: int | None = Field(None, gt=0)
    """Requests to what needs a scope: so many at once, then as many a minute. Those that the gateway itself has no room
    for (503) count for none. Each process counts on its own, so with several a caller may get so much from each."""

    inflight: int | None = Field(None, gt=0)
    """Of those, how many may be under way at once, each counted until its answer is sent; in each process."""

    @field_validator("digest", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, digest: object) -> object:
        return (digest,) if isinstance(digest, str | SecretStr) else digest


class AuthSettings(_Group):
    """Who may call, with what, and how often. `maskgate-gateway key` makes a key and its digest."""

    keys: dict[TenantName, SecretStr | KeySettings] = Field(default_factory=dict)
    """Tenant → ``sha256:<hex>`` of its key, which opens everything, or an object with `digest`, `scopes`,
    `requests_per_minute` and `inflight`, all but the first optional; as a JSON object. A call under `/v1` or `/v2` then
    carries a key. None: every caller is the tenant "public"."""

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


class SessionSettings(_Group):
    """Where interactive sessions live. They hold the pixels of callers' images: a Redis for them must be private."""

    url: SecretStr | None = None
    """``redis://…``, ``rediss://…`` (TLS) or ``unix://…`` of a Redis, so that any replica answers any session; without
    it sessions live in the process, and a caller must come back to it. Several processes offer none without it."""

    bytes: int = Field(1024 * MIB, gt=0)
    """Images and features of all sessions together; on Redis over all replicas, which must agree on it. Features give
    way to images; an image that does not fit beside those of living sessions is refused."""

    tenant_bytes: int | None = Field(None, gt=0)
    """Of those, the images of one tenant's sessions; None: a half where several tenants have keys, else all."""

    idle_seconds: float = Field(900.0, gt=0)
    """How long a session lives after its last request."""

    clicks: int = Field(2000, gt=0)
    """Most steps that one session keeps, those of all its objects together."""

    local_bytes: int = Field(256 * MIB, gt=0)
    """With Redis: images and features kept in the replica too, so that clicks on it fetch none again."""

    connections: int = Field(8, gt=0)
    """Connections to Redis, a thread each."""

    timeout_seconds: float = Field(5.0, gt=0)
    """How long Redis may take to be reached, and to send or take the next bytes."""

    @field_validator("url")
    @classmethod
    def _names_a_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return url


class LogSettings(_Group):
    """What is written to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level written. Nothing of an image, and no file name, is logged at any level."""

    format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON object each: time (UTC), level, logger, message, request_id, trace_id and more."""


class TracingSettings(_Group):
    """Where traces of requests go. OpenTelemetry's own `OTEL_EXPORTER_OTLP_HEADERS` and the like hold as well."""

    endpoint: str | None = Field(None, pattern=r"^https?://[^\s@]+$")
    """OTLP/HTTP address that spans are sent to, such as ``http://collector:4318/v1/traces``; needs the extra `otel`.
    None: nothing is traced, and what would is not loaded."""

    sample_ratio: float = Field(1.0, ge=0, le=1)
    """Share of the requests whose trace is recorded, drawn by lot."""

    trust_sampling: bool = False
    """Whether to follow a caller whose `traceparent` says that the trace is recorded, or that it is not."""

    service_name: str = Field("maskgate", min_length=1)
    """`service.name` of the spans."""

    @field_validator("endpoint")
    @classmethod
    def _can_be_sent_to(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and find_spec("opentelemetry.exporter") is None:
            raise ValueError("needs OpenTelemetry: install the extra `otel`")
        return endpoint


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


def unknown_variables(environment: Iterable[str]) -> dict[str, str | None]:
    """Return the variables of an environment that begin as settings do and are none, each with the nearest that is."""
    known = [
        f"MASKGATE_{group}_{name}".upper()
        for group, field in Settings.model_fields.items()
        for name in field.annotation.model_fields  # type: ignore[union-attr]
    ]
    groups = tuple(f"MASKGATE_{group}".upper() for group in Settings.model_fields)
    offered = (name for name in environment if name.upper().startswith("MASKGATE_") and name not in _OF_THE_CLIENT)
    unknown = sorted(name for name in offered if name.upper() not in (*known, *groups))
    return {name: next(iter(get_close_matches(name.upper(), known, 1, 0.8)), None) for name in unknown}
