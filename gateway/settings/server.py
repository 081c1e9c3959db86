"""Settings of where the gateway listens, whom it believes there, and how it leaves."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from gateway.settings.group import Group

PREFIX = re.compile(r"(/[A-Za-z0-9._~-]{1,64}){1,8}")
"""What a proxy may show before our addresses."""

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:.]+\](:[0-9]{1,5})?")


class ServerSettings(Group):
    """Where the gateway listens, and how it leaves."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every interface."""

    port: int = Field(8080, ge=0, le=65535)
    """TCP port; 0 lets the system choose one, and the start-up text names it."""

    console: bool = True
    """Whether the web console is offered, at `/console`, and `/` leads to it."""

    unix_socket: Path | None = None
    """Socket file to listen on instead of host and port, for a proxy on this machine. Its owner and its group may
    connect."""

    tls_certificate: Path | None = None
    """PEM file of the certificate and what it is signed by; HTTP and gRPC are then served by TLS alone."""

    tls_key: Path | None = None
    """PEM file of the certificate's key, without a password; None: it is in the same file."""

    tls_clients: Path | None = None
    """PEM file of the authorities that a caller's certificate must be of; None: callers need none."""

    metrics_port: int | None = Field(None, ge=1, le=65535)
    """TCP port that `/metrics` has of its own, with `/healthz` and `/readyz`: no key is asked for there, and let nobody
    but the operator reach it. None: `/metrics` is beside everything else, and asks for a key where there are keys."""

    metrics_host: str | None = None
    """Address of that port; None: as `host`."""

    grpc_port: int | None = Field(None, ge=1, le=65535)
    """TCP port of the Open Inference Protocol by gRPC, on `host`; 8081 is usual. None: there is none, so that no door
    is open that nobody knows of."""

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

    root_path: str = ""
    """What a proxy shows before our addresses, such as `/maskgate`: links begin with it, and it may stand before the
    paths that are asked for."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose `X-Forwarded-Prefix` is believed, as a JSON list; `unix` for whoever
    connects by `unix_socket`."""

    cors_origins: tuple[str, ...] = ()
    """Origins such as `https://example.org` whose pages may call, as a JSON list; `*`: any. None: no other's may."""

    @field_validator("root_path")
    @classmethod
    def _is_a_path_of_none_of_ours(cls, path: str) -> str:
        if path and (not PREFIX.fullmatch(path) or path.split("/")[1] in ("v1", "v2")):
            raise ValueError("must be a path such as /maskgate, and not begin with /v1 or /v2")
        return path

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            if proxy != "unix":
                ipaddress.ip_network(proxy)
        return proxies

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if not all(origin == "*" or _ORIGIN.fullmatch(origin) for origin in origins):
            raise ValueError("each must be * or like https://example.org, with neither a path nor a slash at the end")
        return origins

    @model_validator(mode="after")
    def _ports_are_apart(self) -> Self:
        ports = [port for port in (self.port or None, self.metrics_port, self.grpc_port) if port is not None]
        if len(set(ports)) < len(ports):
            raise ValueError("port, metrics_port and grpc_port must differ")
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if self.tls_certificate is None and (self.tls_key or self.tls_clients):
            raise ValueError("tls_key and tls_clients need tls_certificate")
        for name in ("tls_certificate", "tls_key", "tls_clients"):
            path = getattr(self, name)
            if path is not None and not path.is_file():
                raise ValueError(f"{name} is no file")
        return self
