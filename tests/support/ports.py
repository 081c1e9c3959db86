"""Ports for servers that tests start."""

from __future__ import annotations

import secrets
import socket

# Below those that Linux gives to connections: a server that was killed finds its port free when it comes back.
_SERVED = range(20_000, 32_000)


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    [port] = free_ports(1)
    return port


def free_ports(count: int) -> list[int]:
    """Return so many of them, all different."""
    ports: set[int] = set()
    while len(ports) < count:
        port = secrets.choice(_SERVED)
        with socket.socket() as each:
            if not each.connect_ex(("127.0.0.1", port)):
                continue
        ports.add(port)
    return list(ports)
