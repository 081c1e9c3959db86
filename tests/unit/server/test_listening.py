"""Who may listen where, and with whom."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gateway.server.listening import bind_together, listen, port_of


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def keep(stack: ExitStack, sockets: list[socket.socket]) -> list[socket.socket]:
    return [stack.enter_context(each) for each in sockets]


def test_all_addresses_of_a_host_have_one_port(stack: ExitStack) -> None:
    sockets = keep(stack, listen("localhost", 0))
    assert len(sockets) == len(socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE))
    assert {each.getsockname()[1] for each in sockets} == {port_of(sockets)}


def test_a_port_where_somebody_listens_is_refused(stack: ExitStack) -> None:
    for bound in (listen, bind_together):
        (listening,) = keep(stack, bound("127.0.0.1", 0))
        listening.listen()
        with pytest.raises(OSError, match="in use") as refusal:
            listen("127.0.0.1", port_of([listening]))
        assert refusal.value.errno == errno.EADDRINUSE


def test_several_listen_together_and_one_that_only_holds_the_port_takes_nothing(stack: ExitStack) -> None:
    (holder,) = keep(stack, bind_together("127.0.0.1", 0))
    port = port_of([holder])
    listening = [keep(stack, bind_together("127.0.0.1", port))[0] for _ in range(2)]
    for each in listening:
        each.listen()
        each.setblocking(False)
    for _ in range(64):
        stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
    taken = [0, 0]
    for number, each in enumerate(listening):
        try:
            while True:
                stack.enter_context(each.accept()[0])
                taken[number] += 1
        except BlockingIOError:
            pass
    assert sum(taken) == 64
    assert min(taken) > 0
