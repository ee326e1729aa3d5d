"""Connections of blocking queries: kept for the next one, and never in the way of a submit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from attrs import evolve
from polyreel.drivers import Wire
from polyreel.drivers.calls import exchange
from polyreel.drivers.kept import AT_A_HOST
from polyreel.errors import TransportError
from polyreel.flows import Reply, Send
from polyreel.keys import Secret
from support.faults import CLOSE, RESET, Answer, FaultServer, drip, http, raw

FOUND = http(200, b'{"status": "running"}')
CLOSING = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer([FOUND]) as made:
        yield made


@pytest.fixture
def wire(server: FaultServer) -> Iterator[Wire]:
    hosts = {"acme": frozenset({server.url})}
    made = Wire(keys={"acme": Secret("sk-0123456789abcdef")}, hosts=hosts)
    yield made
    made.close()


def ask(wire: Wire, server: FaultServer, **changes: Any) -> int:
    """The status of the answer to a query, or to another call."""
    found = exchange(evolve(Send("acme", "GET", f"{server.url}/v1/1"), **changes), wire)
    assert isinstance(found, Reply)
    return found.status


def test_queries_share_a_connection_and_nothing_else_does(wire: Wire, server: FaultServer) -> None:
    """What costs money, or changes anything, begins with a fresh one."""
    assert [ask(wire, server) for _ in range(3)] == [200, 200, 200]
    assert server.connections == 1
    for changes in ({"method": "POST", "paid": True}, {"method": "GET", "paid": True}):
        ask(wire, server, **changes)
    ask(wire, server, method="DELETE")
    assert server.connections == 4
    ask(wire, server)
    assert server.connections == 4


@pytest.mark.parametrize("end", [CLOSE, RESET], ids=["closed", "reset"])
def test_a_query_on_a_connection_that_was_closed_is_made_again(
    wire: Wire, server: FaultServer, end: Answer
) -> None:
    """Once, on a fresh one; nobody hears of it. On a fresh one, it is an error as ever."""
    server.play(FOUND, end, FOUND)
    assert [ask(wire, server), ask(wire, server)] == [200, 200]
    assert (len(server.requests), server.connections) == (3, 2)
    server.play(end, FOUND)
    wire.close()
    with pytest.raises(TransportError, match="connection failed"):
        ask(wire, server)
    assert len(server.requests) == 1
    server.play(FOUND, end, end)
    ask(wire, server)
    with pytest.raises(TransportError, match="connection failed"):
        ask(wire, server)
    assert len(server.requests) == 3


def test_a_connection_that_ends_with_its_answer_is_not_used_again(
    wire: Wire, server: FaultServer
) -> None:
    """Nor is one whose answer was not read to its end."""
    server.play(CLOSING, FOUND)
    assert [ask(wire, server), ask(wire, server)] == [200, 200]
    assert (len(server.requests), server.connections) == (2, 2)
    server.play(http(200, headers={"Content-Encoding": "rot13"}), FOUND)
    with pytest.raises(TransportError, match="encoding"):
        ask(wire, server)
    assert ask(wire, server) == 200
    assert (len(server.requests), server.connections) == (2, 2)


def test_the_deadline_holds_on_a_kept_connection(wire: Wire, server: FaultServer) -> None:
    """An answer that drips is cut off, and is not asked for again."""
    server.play(FOUND, drip(b"HTTP/1.1 200 OK\r\nX-Long: "), FOUND)
    ask(wire, server)
    with pytest.raises(TransportError, match="in time"):
        ask(wire, server, deadline=0.2)
    assert len(server.requests) == 2
    assert ask(wire, server) == 200


def test_a_fork_leaves_the_connections_of_its_parent_alone(
    wire: Wire, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers to two processes on one socket would be mixed up."""
    ask(wire, server)
    with monkeypatch.context() as child:
        child.setattr("polyreel.drivers.kept.os.getpid", lambda: 1)
        ask(wire, server)
        assert server.connections == 2
    ask(wire, server)
    assert server.connections == 2


def test_few_connections_are_kept_and_none_after_the_end(wire: Wire, server: FaultServer) -> None:
    """Threads beyond that have one for each call, and one in use at the end is closed after it."""
    with ExitStack() as stack:
        found = [
            stack.enter_context(wire.kept_connection(server.url)) for _ in range(AT_A_HOST + 1)
        ]
        assert [one is None for one in found] == [False] * AT_A_HOST + [True]
        assert ask(wire, server) == 200
        assert ask(wire, server) == 200
        assert server.connections == 2
        wire.close()
    assert ask(wire, server) == 200
    assert server.connections == 3
