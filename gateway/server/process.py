"""One process that serves: the app behind sockets, from the greeting to the drain."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from gateway.app import create_app
from gateway.engines.base import Status
from gateway.http.request_path import Services
from gateway.http.service import readiness
from gateway.observability.place import Place, Tally, tallies
from gateway.scheduling.memory import bound_memory
from gateway.server.accepting import Acceptor
from gateway.server.connections import bounded_http
from gateway.server.supervisor import BEAT_SECONDS, greet
from gateway.settings import Settings

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2

# A thread that comes back from C, or the event loop, waits so long for the GIL before its holder is made to let
# go of it. Python's own 5 ms are as much as a small picture takes to decode: cores idle meanwhile.
_GIL_SECONDS = 0.0003


def serve(settings: Settings, sockets: Sequence[socket.socket]) -> int:
    """Serve from this process alone until a signal ends it, and return the exit status."""
    _prepare(settings)
    server = GatewayServer(settings, create_app(settings), greet, tallies(None).connections)
    server.run(list(sockets))
    return 0 if server.started else 1


def serve_at(place: Place, settings: Settings, lifeline: int, listening: Sequence[int]) -> int:
    """Serve as one of several processes until a signal or the supervisor's end does it; return the exit status.

    Args:
        place: which of them this is.
        settings: of the whole gateway.
        lifeline: descriptor of a connection to the supervisor, which handed it down.
        listening: descriptors of the sockets that all listen on.
    """
    for descriptor in (lifeline, place.memory.descriptor, *listening):
        os.set_inheritable(descriptor, False)
    _prepare(settings)
    app = create_app(settings.of_each_process(), place)
    server = CrewServer(settings, app, place, Connection(lifeline))
    server.run([socket.socket(fileno=descriptor) for descriptor in listening])
    return 0


def _prepare(settings: Settings) -> None:
    """Bound what this process may allocate, its share where it is one of several, and how long threads hold the GIL."""
    sys.setswitchinterval(_GIL_SECONDS)
    amount = settings.work.memory_bytes
    if amount is None and settings.engine.provider == "cuda" and settings.engine.kind == "embedded":
        # CUDA maps addresses by far more than the memory that there is.
        amount = 0
    bound_memory(amount, settings.server.workers)


class GatewayServer(uvicorn.Server):
    """Greets once the models are loaded, and drains before it leaves.

    On SIGTERM readiness fails first, so that balancers look elsewhere, while requests are served; the socket closes
    `server.drain_delay_seconds` later. A second signal, or SIGINT, closes it at once. Requests in
    flight have their grace either way, unless SIGINT comes when the socket is closed already.

    Args:
        settings: of the whole gateway.
        app: whose gate closes.
        greet: called with the greeting.
        connections: counts those that are open.
    """

    def __init__(self, settings: Settings, app: FastAPI, greet: Callable[[str], None], connections: Tally) -> None:
        """Configure uvicorn; it logs errors alone, because the greeting and the access log say the rest."""
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
        bounds = settings.server
        config = uvicorn.Config(
            app,
            http=bounded_http(bounds, app.state.services.telemetry, connections),
            ws="none",
            access_log=False,
            log_config=None,
            timeout_keep_alive=bounds.keep_alive_seconds,
            timeout_graceful_shutdown=round(bounds.grace_seconds),
            # Whose prefix is believed, the app decides; of nobody else's word anything depends.
            proxy_headers=False,
            ssl_certfile=bounds.tls_certificate,
            ssl_keyfile=bounds.tls_key,
            ssl_ca_certs=None if bounds.tls_clients is None else str(bounds.tls_clients),
            ssl_cert_reqs=ssl.CERT_NONE if bounds.tls_clients is None else ssl.CERT_REQUIRED,
        )
        super().__init__(config)
        self._app = app
        self._scheme = "http" if bounds.tls_certificate is None else "https"
        self._drain_delay = bounds.drain_delay_seconds
        self._greet = greet
        self._greeting: asyncio.Task[None] | None = None
        self._began = time.monotonic()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and greet as soon as the models are loaded."""
        loop = asyncio.get_running_loop()
        if self.config.is_ssl:
            # uvicorn leaves a handshake the sixty seconds that asyncio gives it.
            seconds = self._app.state.services.settings.server.header_seconds
            loop.create_server = partial(loop.create_server, ssl_handshake_timeout=seconds)  # type: ignore[method-assign]
        await super().startup(sockets)
        if self.started:
            self._greeting = asyncio.create_task(self._greet_when_loaded())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin, or hasten, the way out.

        uvicorn's own method has the signal raised again at the end, so that the process would seem killed by it.
        """
        admission = self._app.state.services.admission
        first, admission.draining = not admission.draining, True
        if first and sig == signal.SIGTERM and self.started:
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(loop.call_later, self._drain_delay, self._close)
        elif self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        else:
            self._close()

    def _close(self) -> None:
        self._app.state.services.admission.closed = True
        self.should_exit = True

    async def _greet_when_loaded(self) -> None:
        await self._app.state.loading
        # What start-up made stays to the end. Collections that walk over it, a tenth of a second each, would be most of
        # what finding buildings takes.
        gc.collect()
        gc.freeze()
        where = self.servers[0].sockets[0].getsockname()
        self._greet(_greeting(self._scheme, where, self._app.state.services.engine.statuses()))
        await self._say_when_ready(self._app.state.services)

    async def _say_when_ready(self, services: Services) -> None:
        while True:
            if readiness(services).ready:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        _log.info("ready after %.1f seconds: every model was tried", time.monotonic() - self._began)


class CrewServer(GatewayServer):
    """Serves as one of several processes, and leaves when their supervisor is gone.

    It takes connections when its models are loaded: until then the others do. Its greeting goes to the supervisor.

    Args:
        settings: of the whole gateway.
        app: whose gate closes.
        place: where it beats, so that the supervisor sees whether its event loop turns.
        lifeline: to the supervisor; ends when that does, however it does.
    """

    def __init__(self, settings: Settings, app: FastAPI, place: Place, lifeline: Connection) -> None:
        """Hold on to the lifeline."""
        connections = tallies(place).connections
        super().__init__(settings, app, self._tell, connections)
        self._place = place
        self._acceptor = Acceptor(place, connections)
        self._lifeline = lifeline

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Watch the lifeline, load the models, take connections in turn with the others."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._lifeline.fileno(), self._leave_alone)
        loop.create_server = self._acceptor.create_server  # type: ignore[method-assign, assignment]
        self._beat()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin, or hasten, the way out; models that are still being loaded are not waited for."""
        super().handle_exit(sig, frame)
        if not self.started and (loading := getattr(self._app.state, "loading", None)):
            loading.cancel()

    def _beat(self) -> None:
        self._place.beat()
        asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)

    def _tell(self, greeting: str) -> None:
        with suppress(OSError):  # a supervisor that is gone shows at the lifeline too
            self._lifeline.send_bytes(greeting.encode())

    def _leave_alone(self) -> None:
        """Leave where the supervisor is gone: nobody would end this process any more."""
        asyncio.get_running_loop().remove_reader(self._lifeline.fileno())
        self.handle_exit(signal.SIGINT, None)


def _greeting(scheme: str, where: str | tuple[Any, ...], statuses: Sequence[Status]) -> str:
    """Return what to open, a request to copy, and how the models stand."""
    told = [f"{s.name:<14} {s.state}{f': {s.reason}' if s.reason else ''}" for s in statuses]
    models = ("\n" + " " * 12).join(told or ["none: the model repository is empty"])
    if isinstance(where, str):
        return f"""
  Maskgate answers at unix:{where}

    curl --unix-socket {where} {scheme}://maskgate/readyz
    models  {models}
"""
    host, port = where[:2]
    address = f"{scheme}://{'127.0.0.1' if ipaddress.ip_address(host).is_unspecified else _in_url(host)}:{port}"
    return f"""
  Maskgate answers at {address}

    open    {address}/      to try a pair by hand
            {address}/docs  for the API
    models  {models}

  Draw an example pair and send it, from a second terminal:

    .venv/serve/bin/maskgate example --out example
    curl -F pre=@example/example_00000001_pre_disaster.png -F post=@example/example_00000001_post_disaster.png \\
         '{address}/v1/damage?overlay=true' -o overlay.png
"""


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
