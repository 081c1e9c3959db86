"""Sockets that connections come in by. Where several processes serve, all listen on those of their supervisor."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from contextlib import suppress
from pathlib import Path

from gateway.settings import ServerSettings

_WAITING = 2048  # connections, until the app is there; uvicorn's own figure


def listen_for(settings: ServerSettings) -> list[socket.socket]:
    """Return the listening sockets of a gateway, those of callers first.

    Raises:
        OSError: as `listen` and `listen_at` do.
    """
    path = settings.unix_socket
    sockets = listen(settings.host, settings.port) if path is None else [listen_at(path)]
    if settings.metrics_port is None:
        return sockets
    try:
        return sockets + listen(settings.metrics_host or settings.host, settings.metrics_port)
    except OSError:
        for each in sockets:
            each.close()
        raise


def listen_at(path: Path) -> socket.socket:
    """Return a listening socket at `path`, where owner and group may connect; what a dead process left there goes.

    Raises:
        OSError: there is something else, or somebody listens there, or no file may be made.
    """
    listening = socket.socket(socket.AF_UNIX)
    with suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
        if path.is_socket() and asking.connect_ex(str(path)) == errno.ECONNREFUSED:
            path.unlink()
    # It is never there with more rights, however briefly.
    before = os.umask(0o117)
    try:
        listening.bind(str(path))
        listening.listen(_WAITING)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening


def hold_for(settings: ServerSettings) -> list[socket.socket]:
    """Return what keeps gRPC's port: sockets that never listen, beside which its own can, in each process.

    Raises:
        OSError: as `listen` does.
    """
    if settings.grpc_port is None:
        return []
    for each in listen(settings.host, settings.grpc_port):
        each.close()
    return bind_together(settings.host, settings.grpc_port)


def check_tls(settings: ServerSettings) -> None:
    """Do nothing where the certificate can be served with.

    Raises:
        OSError: it, its key or the authorities cannot be read, or do not belong together.
    """
    if settings.tls_certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # An encrypted key would be asked for on a terminal that nobody watches.
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password="")
        if settings.tls_clients is not None:
            context.load_verify_locations(settings.tls_clients)


def listen(host: str, port: int) -> list[socket.socket]:
    """Return a listening socket for each address of `host`, all on one port; 0 lets the system choose.

    Raises:
        OSError: the host has no address, or one of them is not ours, or something listens there.
    """
    sockets = _bind(host, port, (socket.SO_REUSEADDR,))
    for each in sockets:
        each.listen(_WAITING)
    return sockets


def bind_together(host: str, port: int) -> list[socket.socket]:
    """Return bound sockets as `listen` does, for several processes that bind the same port like this.

    They do not listen yet. One that never does holds the port for the others.

    Raises:
        OSError: as `listen` does.
    """
    return _bind(host, port, (socket.SO_REUSEADDR, socket.SO_REUSEPORT))


def port_of(sockets: list[socket.socket]) -> int:
    """Return the port that `sockets` are bound to."""
    port: int = sockets[0].getsockname()[1]
    return port


def _bind(host: str, port: int, options: tuple[int, ...]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for family, *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            sockets.append(each := socket.socket(family))
            for option in options:
                each.setsockopt(socket.SOL_SOCKET, option, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind((address[0], port_of(sockets) if len(sockets) > 1 else port, *address[2:]))
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets
