"""Sockets that connections come in by: one process's own, or one port for several processes.

Several each have a listening socket (SO_REUSEPORT), and the kernel chooses among those by a hash of the connection.
With one socket for all, whichever process wakes first takes all that wait: of eight connections to two processes the
busier took 7.2 on a machine with much to do (4.4 on one with little), and 5.0 with a socket each. macOS knows the
option, and gives every connection to one of them.
"""

from __future__ import annotations

import socket

_WAITING = 2048  # connections, until the app is there; uvicorn's own figure


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
