"""`maskgate-gateway`: serve, or show the settings in force."""

from __future__ import annotations

import argparse
import asyncio
import gc
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from gateway.app import create_app
from gateway.engines.base import Status
from gateway.ops.memory import give_back_large_blocks
from gateway.settings import EngineSettings, ModelSettings, ServerSettings, Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            print(f"setting {'.'.join(map(str, problem['loc']))}: {problem['msg']}", file=sys.stderr)
        return 2
    if options.command == "settings":
        print(settings.model_dump_json(indent=2))
        return 0
    return _serve(settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="maskgate-gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="start the gateway")
    serve.add_argument("--host", help="address to listen on")
    serve.add_argument("--port", type=int, help="TCP port; 0 lets the system choose")
    serve.add_argument("--models", type=Path, help="model repository")
    serve.add_argument("--engine", choices=("embedded", "triton"), help="what runs the models")
    serve.add_argument("--triton-url", help="host:port of Triton's gRPC service")
    commands.add_parser("settings", help="print every setting with its value in force")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    """Return the settings of the environment, with the command line's on top."""
    settings = Settings()
    given = {key: value for key, value in vars(options).items() if value is not None}

    def fields(**names: str) -> dict[str, object]:
        return {field: given[name] for field, name in names.items() if name in given}

    server = settings.server.model_dump() | fields(host="host", port="port")
    models = settings.models.model_dump() | fields(repository="models")
    engine = settings.engine.model_dump() | fields(kind="engine", triton_url="triton_url")
    return settings.model_copy(
        update={
            "server": ServerSettings.model_validate(server),
            "models": ModelSettings.model_validate(models),
            "engine": EngineSettings.model_validate(engine),
        }
    )


def _serve(settings: Settings) -> int:
    logging.basicConfig(level=settings.log.level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Its start-up lines say what the greeting says; its errors still come through.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if not settings.models.repository.is_dir():
        print(f"The model repository {settings.models.repository} is not a folder.", file=sys.stderr)
        return 2
    give_back_large_blocks()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.server.host,
        port=settings.server.port,
        access_log=False,
        log_config=None,
        timeout_keep_alive=settings.server.keep_alive_seconds,
        timeout_graceful_shutdown=round(settings.server.grace_seconds),
    )
    server = GatewayServer(config, app, settings.server.drain_delay_seconds)
    server.run()
    return 0 if server.started else 1


class GatewayServer(uvicorn.Server):
    """Greets once the models are loaded, and drains before it leaves.

    On SIGTERM readiness fails first, so that balancers look elsewhere, and the socket closes
    `drain_delay` seconds later. A second signal, or SIGINT, closes it at once. Requests in
    flight have their grace either way.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_delay: float) -> None:
        """Keep the app whose gate closes."""
        super().__init__(config)
        self._app = app
        self._drain_delay = drain_delay
        self._greeting: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and greet as soon as the models are loaded."""
        await super().startup(sockets)
        if self.started:
            self._greeting = asyncio.create_task(self._greet())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin, or hasten, the way out."""
        admission = self._app.state.services.admission
        first, admission.draining = not admission.draining, True
        if first and sig == signal.SIGTERM:
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(loop.call_later, self._drain_delay, super().handle_exit, sig, frame)
        else:
            super().handle_exit(sig, frame)

    async def _greet(self) -> None:
        await self._app.state.loading
        # What start-up made stays to the end. Collections that walk over it, a tenth of a second each, would be most of
        # what finding buildings takes.
        gc.collect()
        gc.freeze()
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        print(_greeting(host, port, self._app.state.services.engine.statuses()), flush=True)


def _greeting(host: str, port: int, statuses: Sequence[Status]) -> str:
    """Return what to open, a request to copy, and how the models stand."""
    address = f"http://{'127.0.0.1' if ipaddress.ip_address(host).is_unspecified else host}:{port}"
    models = [f"{s.name:<14} {s.state}{f': {s.reason}' if s.reason else ''}" for s in statuses]
    return f"""
  Maskgate answers at {address}

    open    {address}/      to try a pair by hand
            {address}/docs  for the API
    models  {(chr(10) + " " * 12).join(models or ["none: the model repository is empty"])}

  Draw an example pair and send it, from a second terminal:

    .venv/serve/bin/maskgate example --out example
    curl -F pre=@example/example_00000001_pre_disaster.png -F post=@example/example_00000001_post_disaster.png \\
         '{address}/v1/damage?overlay=true' -o overlay.png
"""


if __name__ == "__main__":
    sys.exit(main())
