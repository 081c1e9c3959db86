"""Every setting of the gateway, in one tree.

Each field is read from the environment as ``MASKGATE_<GROUP>_<FIELD>``, for example
``MASKGATE_LIMITS_BODY_BYTES=1048576``. `maskgate-gateway settings` prints the tree with
its values in force.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ServerSettings(_Group):
    """Where the gateway listens, and how it leaves."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every interface."""

    port: int = Field(8080, ge=0, le=65535)
    """TCP port; 0 lets the system choose one, and the start-up text names it."""

    keep_alive_seconds: int = Field(75, gt=0)
    """How long an idle connection is kept; longer than the balancer in front keeps its own."""

    drain_delay_seconds: float = Field(2.0, ge=0)
    """After SIGTERM: how long `/readyz` says 503 before the socket closes. At least a probe's period."""

    grace_seconds: float = Field(30.0, gt=0)
    """After the socket closed: how long requests in flight may still take."""


class ModelSettings(_Group):
    """Which models are served, and which answers when none is named."""

    repository: Path = Path("model_repository")
    """Folder in Triton's layout, with a `card.json` per model."""

    damage: str = "bd-siamunet"
    """Default model of `POST /v1/damage`."""

    fused_finder: str = "bd-fcn"
    """Finds the buildings of `POST /v1/damage?model=fused` in the pre image."""

    fused_grader: str = "bd-cnn"
    """Grades each of them on a crop of the post image."""

    interactive: str = "iog_refine"
    """Default model of `POST /v1/interactive`."""

    ct: str = "cogseg"
    """Default model of `POST /v1/ct`."""

    radiograph: str = "ensemble"
    """Default model of `POST /v1/radiograph`; ensemble: all of them that are ready, averaged."""

    waste: str = "waste-fanet"
    """Default model of `POST /v1/waste`."""

    required: tuple[str, ...] = ()
    """Models without which `/readyz` says 503. Empty: at least one model must be ready."""


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
    """Uploads, decoded pixels and label maps held at once, in bytes, over all requests."""

    inflight_requests: int = Field(256, gt=0)
    """Task requests held at once, waiting ones included."""

    deadline_seconds: float = Field(600.0, gt=0)
    """Time a task request may take, from its first byte on."""

    scene_deadline_seconds: float = Field(4 * 3600.0, gt=0)
    """The same for a pair of TIFF images, which may be hundreds of times as large."""

    upload_seconds: float = Field(120.0, gt=0)
    """Time a request body may take to arrive."""


class EngineSettings(_Group):
    """How models are run. `provider` and `lanes` are the embedded engine's, `triton_…` the other's."""

    kind: Literal["embedded", "triton"] = "embedded"
    """By ONNX Runtime in this process, or by a Triton Inference Server that serves the same repository."""

    provider: Literal["cpu", "cuda"] = "cpu"
    """ONNX Runtime execution provider; cuda needs the `gpu` extra."""

    lanes: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Batches computed side by side. On CPU each lane is one core; on CUDA two keep the device fed."""

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
    """Threads for decoding, stitching and encoding."""

    turns: int = Field(0, ge=0)
    """Requests being worked on at once. 0: as many as threads; on Triton, where they mostly wait, eight times that."""

    kept_bytes: int = Field(64 * MIB, ge=0)
    """Freed memory that each thread keeps for its next request, in bytes; 0: as the C library has it. Of glibc alone,
    and unless `MALLOC_TRIM_THRESHOLD_`, `MALLOC_MMAP_THRESHOLD_` or `GLIBC_TUNABLES` are set, which then say."""


class AuthSettings(_Group):
    """Who may call."""

    keys: dict[str, SecretStr] = Field(default_factory=dict)
    """Tenant → ``sha256:<hex>`` of its key, as a JSON object; `printf %s "$KEY" | sha256sum` has the hex. A call under
    `/v1` or `/v2` then carries a key. None: every caller is the tenant "public"."""

    @field_validator("keys")
    @classmethod
    def _are_distinct_digests(cls, keys: dict[str, SecretStr]) -> dict[str, SecretStr]:
        digests = [digest.get_secret_value() for digest in keys.values()]
        if not all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in digests):
            raise ValueError("each must be sha256: and 64 hexadecimal digits in lower case")
        if len(set(digests)) < len(digests):
            raise ValueError("two tenants have one key")
        return keys


class SessionSettings(_Group):
    """Where interactive sessions live. They hold the pixels of callers' images: a Redis for them must be private."""

    url: SecretStr | None = None
    """``redis://…``, ``rediss://…`` (TLS) or ``unix://…`` of a Redis, so that any replica answers any session; without
    it sessions live in this process, and a caller must come back to it."""

    bytes: int = Field(1024 * MIB, gt=0)
    """Images and features of all sessions together; on Redis over all replicas, which must agree on it. Features give
    way to images; an image that does not fit beside those of living sessions is refused."""

    idle_seconds: float = Field(900.0, gt=0)
    """How long a session lives after its last request."""

    clicks: int = Field(2000, gt=0)
    """Most steps that one session keeps, those of all its objects together."""

    local_bytes: int = Field(256 * MIB, gt=0)
    """With Redis: images and features kept in this process too, so that clicks on one replica fetch none again."""

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
