"""Who visits a loopback server, as the server sees it."""

from __future__ import annotations

import socket
from typing import Any, Final

import pytest
from polyreel.simulator.http import Limits, server
from polyreel.simulator.http.connections import Connection

from .waiting import HANGS

PATIENT: Final = Limits(head_seconds=9 * HANGS, body_seconds=9 * HANGS, idle_seconds=9 * HANGS)
"""Whoever is shown out under these limits is not so because of the time."""


def watched(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """The clients of all loopback servers who come from now on."""
    come: list[Connection] = []

    def welcome(*arguments: Any) -> Connection:
        come.append(Connection(*arguments))
        return come[-1]

    monkeypatch.setattr(server, "Connection", welcome)
    return come


def never_waits(peer: Connection) -> bool:
    """Whether answers leave at once: with Nagle's algorithm each would be 40 ms late."""
    return bool(
        peer.writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    )


def closed(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
