"""Settings of the service: what it runs, what it keeps and what it tells."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from gateway.registry import Registry
from gateway.settings.group import Group
from gateway.settings.limits import MIB


class ModelSettings(Group):
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


class EngineSettings(Group):
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

    idle_seconds: float = Field(0.0, ge=0)
    """After so long without a request the embedded engine lets go of a model's memory. The model stays ready, and the
    next request waits until its file is open again. 0: never."""


class WorkSettings(Group):
    """How much is decoded, stitched and encoded at once."""

    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Threads for decoding, stitching and encoding. Every process has one at least."""

    turns: int = Field(0, ge=0)
    """Requests being worked on at once. 0: half as many again as threads; on Triton, where they mostly wait,
    eight times as many."""

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


class SessionSettings(Group):
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


class JobSettings(Group):
    """What callers leave to be worked on when there is room, and fetch later; and what they upload for it."""

    folder: Path | None = None
    """Where jobs, uploads and results lie, on a disk of this machine: they are the callers' images, and outlive the
    process. None: the gateway keeps no jobs. One gateway has a folder to itself, however many processes it runs as."""

    at_once: int = Field(2, ge=1, le=256)
    """Items worked on side by side, by one of the processes; each waits for its turns as any bulk request does."""

    items: int = Field(10_000, gt=0)
    """Most items of one job."""

    bytes: int = Field(64 * 1024 * MIB, gt=0)
    """Uploads and results that are kept, of all tenants together."""

    tenant_bytes: int | None = Field(None, gt=0)
    """Of those, one tenant's; None: a half where several tenants have keys, else all."""

    keep_seconds: float = Field(7 * 86_400.0, gt=0)
    """How long a job and its results are kept after its end, where the tenant's key says nothing else."""

    upload_seconds: float = Field(86_400.0, gt=0)
    """How long an upload is kept that no job names. One that a job named is kept until all items that name it ended."""

    resume_bytes: int = Field(1024 * MIB, ge=0)
    """What models have answered about an item that takes long is kept beside it until it ends, up to so many bytes of
    each: the item goes on there when the process ends. 0: it begins anew. Of the embedded engine alone."""

    tries: int = Field(5, ge=1)
    """How often an item is begun whose process ended while it was worked on."""

    patience_seconds: float = Field(3600.0, gt=0)
    """How long an item that the gateway has no room for, or no model, is tried again before it fails."""

    stores: tuple[str, ...] = ()
    """Where inputs may be fetched from, or read by ranges, as a JSON list of addresses that they begin with, each to
    the end of a step of its path: ``https://host/path/`` or ``s3://bucket/path/``. Without a folder too. Needs the
    extra `jobs`. For S3 the variables of the AWS tools hold: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    `AWS_REGION`, `AWS_ENDPOINT`."""

    engine: Literal["embedded", "temporal"] = "embedded"
    """Who works items off: this gateway, or workers (`maskgate-gateway worker`) that a Temporal server hands them to,
    and that ask gateways for the answers; those need the extra `jobs` and the settings that follow."""

    temporal: str = Field("localhost:7233", pattern=r"^[^/\s]+:[0-9]+$")
    """``host:port`` of the Temporal server."""

    namespace: str = "default"
    """Namespace there."""

    queue: str = "maskgate-jobs"
    """Task queue there, which the gateway and its workers agree on."""

    objects: str | None = Field(None, pattern=r"^s3://[^/\s]+/([^\s]*/)?$")
    """Where inputs and results lie on their way between gateway and workers, as ``s3://bucket/path/``; the variables of
    the AWS tools hold, and the bucket is private: it holds the callers' images."""

    gateways: str = "http://localhost:8080"
    """Of a worker: address of the gateways that answer, or of the balancer before them."""

    key: SecretStr | None = None
    """Of a worker: its key there, which opens the tasks; its quotas are those of all jobs."""

    @model_validator(mode="after")
    def _can_be_handed_on(self) -> Self:
        if self.engine == "temporal" and self.objects is None:
            raise ValueError("the engine temporal needs jobs.objects")
        if self.engine == "temporal" and (find_spec("temporalio") is None or find_spec("obstore") is None):
            raise ValueError("needs temporalio and obstore: install the extra `jobs`")
        return self

    @field_validator("stores")
    @classmethod
    def _can_be_read(cls, stores: tuple[str, ...]) -> tuple[str, ...]:
        for store in stores:
            if not re.fullmatch(r"(https?|s3)://[^/?#@\s]+/([^?#\s]*/)?", store):
                raise ValueError("a store is like https://host/path/ or s3://bucket/path/, a slash at its end")
        if stores and (find_spec("httpx") is None or find_spec("obstore") is None):
            raise ValueError("needs httpx and obstore: install the extra `jobs`")
        return stores


class PacsSettings(Group):
    """The DICOMweb server that `/v1/ct?source=dicomweb` reads series from and stores results in; callers name no other.

    Its addresses and answers are never logged. Needs the extra `pacs`.
    """

    url: str | None = Field(None, pattern=r"^https?://[^\s@?#]+$")
    """Base address, such as ``https://pacs.example/dicom-web``, below which `/studies` is. None: there is none."""

    token: SecretStr | None = None
    """Sent as ``Authorization: Bearer …``."""

    user: str | None = None
    """User name of HTTP's basic authentication, with `password`."""

    password: SecretStr | None = None
    """Password of it."""

    ca_file: Path | None = None
    """Certificates that the server's is checked against, PEM; None: those that come with certifi."""

    idle_seconds: float = Field(20.0, gt=0)
    """How long it may take to be reached, and to send or take the next bytes."""

    fetch_seconds: float = Field(120.0, gt=0)
    """How long a whole series may take to arrive. It may have `limits.body_bytes` and `limits.series_files`."""

    store_seconds: float = Field(60.0, gt=0)
    """How long it may take to store the results of one request."""

    connections: int = Field(8, gt=0)
    """Connections to it, of each process."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if self.url is not None and find_spec("httpx") is None:
            raise ValueError("needs httpx: install the extra `pacs`")
        if (self.user is None) != (self.password is None) or (self.user is not None and self.token is not None):
            raise ValueError("take either token, or user with password")
        if self.url is not None and not self.url.startswith("https:") and (self.token or self.user):
            host = urlsplit(self.url).hostname
            if host not in ("localhost", "127.0.0.1", "::1"):
                raise ValueError("credentials are sent over https alone, or to this machine")
        return self


class LogSettings(Group):
    """What is written to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level written. Nothing of an image, and no file name, is logged at any level."""

    format: Literal["text", "json"] = "text"
    """Lines for people, or one JSON object each: time (UTC), level, logger, message, request_id, trace_id and more."""


class TracingSettings(Group):
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
