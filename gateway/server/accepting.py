"""Connections of a socket that several processes listen on, spread so that each has its share.

Whichever process wakes first would take all that wait, and the kernel's own spreading (SO_REUSEPORT) draws lots: of
eight connections to two processes the busier then had 5.0, and what it took longer for made the slowest answers. Here a
process takes one connection at a time, and leaves it to the others for a moment while one of them has fewer.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.observability.place import Place, Tally

PATIENCE_SECONDS, _LOOK_SECONDS = 0.02, 0.002
"""How long a connection is left to processes that have fewer, and how often is looked whether one took it."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_EXHAUSTED_SECONDS = 1.0

_log = logging.getLogger(__name__)


class Acceptor:
    """Takes connections of shared sockets for one of several processes.

    Args:
        place: which of them this is.
        connections: how many each holds; whoever makes and ends connections counts them.
    """

    def __init__(self, place: Place, connections: Tally) -> None:
        """Take none yet."""
        self._place = place
        self._connections = connections

    async def create_server(
        self,
        factory: Callable[[], asyncio.Protocol],
        *,
        sock: socket.socket,
        backlog: int,
        ssl: ssl.SSLContext | None = None,
        ssl_handshake_timeout: float | None = None,
    ) -> _Server:
        """Serve as the event loop's method of this name does, which uvicorn calls."""
        sock.setblocking(False)
        sock.listen(backlog)
        loop = asyncio.get_running_loop()

        def connected(connection: socket.socket) -> Coroutine[Any, Any, object]:
            return loop.connect_accepted_socket(
                factory, connection, ssl=ssl, ssl_handshake_timeout=ssl_handshake_timeout if ssl else None
            )

        return _Server(sock, connected, self._place, self._connections)


class _Server:
    """One listening socket in turn with other processes; what uvicorn uses of `asyncio.Server`.

    Args:
        listening: the socket, not blocking.
        connected: makes the protocol of an accepted connection.
        place: of this process.
        connections: how many each holds.
    """

    def __init__(
        self,
        listening: socket.socket,
        connected: Callable[[socket.socket], Coroutine[Any, Any, object]],
        place: Place,
        connections: Tally,
    ) -> None:
        """Take connections from now on."""
        self.sockets = (listening,)
        self._listening = listening
        self._connected = connected
        self._place = place
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None
        self._making: set[asyncio.Task[object]] = set()
        self._watch()

    def close(self) -> None:
        """Take no more connections; the socket stays open for the other processes."""
        if self._listening.fileno() < 0:
            return
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._listening)
        self._listening.close()

    async def wait_closed(self) -> None:
        """Wait for connections that are being made."""
        await asyncio.gather(*self._making)

    def _watch(self) -> None:
        self._later = None
        self._loop.add_reader(self._listening, self._look, PATIENCE_SECONDS)

    def _look(self, patience: float) -> None:
        """Take what waits, or where it is another's turn look again until the patience is at its end."""
        if patience > 0 and self._is_anothers_turn():
            self._loop.remove_reader(self._listening)
            self._later = self._loop.call_later(_LOOK_SECONDS, self._look, patience - _LOOK_SECONDS)
            return
        if self._later is not None:
            self._watch()  # before anything can fail
        pause = self._accept()
        if pause:
            self._loop.remove_reader(self._listening)
            self._later = self._loop.call_later(pause, self._watch)

    def _is_anothers_turn(self) -> bool:
        # What is being made is counted only once it is: of the others that is not seen, who have no fewer than told.
        own = self._connections.own + len(self._making)
        return any(self._connections.of(other) < own for other in self._place.others)

    def _accept(self) -> float:
        """Take one connection if one still waits; return how many seconds none can be taken."""
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return 0.0
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            _log.error("no connection can be taken for %.0f s: %s", _EXHAUSTED_SECONDS, error.strerror)
            return _EXHAUSTED_SECONDS
        connection.setblocking(False)
        making = self._loop.create_task(self._made(connection))
        self._making.add(making)
        making.add_done_callback(self._making.discard)
        return 0.0

    async def _made(self, connection: socket.socket) -> None:
        try:
            await self._connected(connection)
        except (OSError, ssl.SSLError) as error:  # a handshake that failed, or a caller that left
            _log.debug("a connection did not come about: %s", error)
            connection.close()
