"""`maskgate-gateway`: serve, show the settings in force, make a key, or move models."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import SettingsError

from gateway.access.keys import digest_of, new_key
from gateway.observability import logs
from gateway.observability.place import Place, SharedMemory
from gateway.registry import Registry
from gateway.repository import transfer
from gateway.server.listening import check_tls, hold_for, listen_for, port_of
from gateway.server.supervisor import supervise
from gateway.settings import (
    AuthSettings,
    EngineSettings,
    ModelSettings,
    ServerSettings,
    Settings,
    unknown_variables,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    return logs.ending_quietly(lambda: _run(sys.argv[1:] if arguments is None else arguments))


def _run(given: Sequence[str]) -> int:
    options = _parser().parse_args(given)
    try:
        if options.command == "key":
            print(_new_key(options.tenant))
            return 0
        settings = _settings(options)
    except SettingsError as error:
        # It says which group alone, and quotes what may be a secret.
        group = re.search('field "([a-z]+)"', str(error))
        variables = f"MASKGATE_{group[1].upper()}_…" if group else "MASKGATE_…"
        print(f"A setting of {variables} is to be JSON and is not.", file=sys.stderr)
        return 2
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            print(f"setting {'.'.join(map(str, problem['loc']))}: {problem['msg']}", file=sys.stderr)
        return 2
    for name, near in unknown_variables(os.environ, settings).items():
        print(f"The variable {name} is no setting{f'; {near} is one' if near else ''}.", file=sys.stderr)
    if options.command == "settings":
        print(settings.model_dump_json(indent=2))
        return 0
    if options.command == "models":
        return _move_models(settings, options)
    logs.configure(settings.log)
    if options.command == "work":
        return _work(settings, options)
    if options.command == "worker":
        return _work_on_jobs(settings)
    return _serve(settings, given[1:])


def _parser() -> argparse.ArgumentParser:
    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument("--host", help="address to listen on")
    settings.add_argument("--port", type=int, help="TCP port; 0 lets the system choose")
    settings.add_argument("--workers", type=int, help="processes that answer side by side")
    settings.add_argument("--models", type=Path, help="model repository")
    settings.add_argument("--engine", choices=("embedded", "triton"), help="what runs the models")
    settings.add_argument("--triton-url", help="host:port of Triton's gRPC service")
    # KServe appends these to whatever stands beside a predictor.
    settings.add_argument("--http_port", type=int, dest="port", help=argparse.SUPPRESS)
    for appended in ("--model_name", "--predictor_host", "--predictor_protocol"):
        settings.add_argument(appended, dest="of_kserve", help=argparse.SUPPRESS)
    parser = argparse.ArgumentParser(prog="maskgate-gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="{serve,settings,key,models,worker}")
    commands.add_parser("serve", help="start the gateway", parents=[settings])
    commands.add_parser("settings", help="print every setting with its value in force", parents=[settings])
    key = commands.add_parser("key", help="make a key, and show it once")
    key.add_argument("--tenant", default="tenant", help="whose it will be")
    _add_models(commands.add_parser("models", help="move models between the repository and elsewhere, and check them"))
    commands.add_parser("worker", help="work on jobs that gateways hand on to Temporal", parents=[settings])
    # What a supervisor starts; see gateway/server/supervisor.py.
    work = commands.add_parser("work", parents=[settings])
    work.add_argument("number", type=int)
    work.add_argument("memory", type=int)
    work.add_argument("lifeline", type=int)
    work.add_argument("listening", type=int, nargs="+")
    return parser


def _add_models(models: argparse.ArgumentParser) -> None:
    actions = models.add_subparsers(dest="action", required=True, metavar="{pull,push,verify}")
    elsewhere = "a folder, or a URL such as s3://bucket/prefix (extra `s3`)"
    for name, told, preposition in (
        ("pull", "fetch models into the repository", "from"),
        ("push", "store models of the repository elsewhere", "to"),
        ("verify", "compare model files with the digests in their cards", "in"),
    ):
        action = actions.add_parser(name, help=told)
        if name == "verify":
            action.add_argument("--place", help=f"{elsewhere}; the repository, where this is not given")
        else:
            action.add_argument("place", help=f"{preposition} {elsewhere}")
        action.add_argument("model", nargs="*", help="MODEL or MODEL@sha256:…; all, where none is named")
        action.add_argument("--models", type=Path, help="model repository")
        action.add_argument("--licence", default="", metavar="TEXT", help="only models whose licence contains TEXT")


def _move_models(settings: Settings, options: argparse.Namespace) -> int:
    root, check = settings.models.repository, Registry.discover(settings.models.tasks).check
    try:
        wanted = [transfer.Wanted.parse(text) for text in options.model]
        place = transfer.place(options.place or str(root))
        if options.action == "pull":
            models = transfer.pull(place, root, wanted, options.licence, check)
        elif options.action == "push":
            models = transfer.push(root, place, wanted, options.licence, check)
        else:
            models = transfer.verify(place, wanted, options.licence)
        for card, size in models:
            print(f"{card.name:<24} {size / 1e6:8.1f} MB  {card.licence}", flush=True)
    except (transfer.TransferFailed, OSError) as error:
        print(f"{options.action}: {error}", file=sys.stderr)
        return 1
    return 0


def _new_key(tenant: str) -> str:
    """Return a new key, and the setting that lets it in; the key is kept nowhere.

    Raises:
        ValidationError: no tenant may be named so.
    """
    key = new_key()
    digest = digest_of(key)
    AuthSettings.model_validate({"keys": {tenant: digest}})
    return f"""key      {key}
digest   {digest}
setting  MASKGATE_AUTH_KEYS='{json.dumps({tenant: digest}, ensure_ascii=False)}'"""


def _settings(options: argparse.Namespace) -> Settings:
    """Return the settings of the environment, with the command line's on top."""
    settings = Settings()
    given = {key: value for key, value in vars(options).items() if value is not None}

    def fields(**names: str) -> dict[str, object]:
        return {field: given[name] for field, name in names.items() if name in given}

    server = settings.server.model_dump() | fields(host="host", port="port", workers="workers")
    models = settings.models.model_dump() | fields(repository="models")
    engine = settings.engine.model_dump() | fields(kind="engine", triton_url="triton_url")
    return settings.model_copy(
        update={
            "server": ServerSettings.model_validate(server),
            "models": ModelSettings.model_validate(models),
            "engine": EngineSettings.model_validate(engine),
        }
    )


def _serve(settings: Settings, arguments: Sequence[str]) -> int:
    if not settings.models.repository.is_dir():
        print(f"The model repository {settings.models.repository} is not a folder.", file=sys.stderr)
        return 2
    server = settings.server
    try:
        check_tls(server)
    except OSError as error:
        print(f"The gateway cannot use {server.tls_certificate}: {_reason(error)}.", file=sys.stderr)
        return 1
    try:
        sockets, held = listen_for(server), hold_for(server)
    except OSError as error:
        where = [server.unix_socket or f"{server.host}:{server.port}"]
        where += [f"{server.metrics_host or server.host}:{server.metrics_port}"] if server.metrics_port else []
        where += [f"{server.host}:{server.grpc_port}"] if server.grpc_port else []
        print(f"The gateway cannot listen on {' or '.join(map(str, where))}: {_reason(error)}.", file=sys.stderr)
        return 1
    try:
        if server.workers > 1:
            port = server.port if server.unix_socket else port_of(sockets)
            return supervise(server, (*arguments, "--port", str(port)), sockets)
        # Here and not above: a supervisor serves nothing, and would hold all that serving needs for nothing.
        from gateway.server.process import serve

        return serve(settings, sockets)
    finally:
        for each in held:
            each.close()
        if server.unix_socket is not None:
            server.unix_socket.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror | ssl.SSLError) or not error.errno:
        return str(error.strerror or error)
    return os.strerror(error.errno)


def _work(settings: Settings, options: argparse.Namespace) -> int:
    from gateway.server.process import serve_at

    memory = SharedMemory(options.memory, settings.server.workers)
    return serve_at(Place(options.number, memory), settings, options.lifeline, options.listening)


def _work_on_jobs(settings: Settings) -> int:
    if settings.jobs.engine != "temporal":
        print("Workers are for jobs on Temporal: set MASKGATE_JOBS_ENGINE=temporal.", file=sys.stderr)
        return 2
    from gateway.jobs.worker import work

    try:
        asyncio.run(work(settings))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
