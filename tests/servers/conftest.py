"""Fixtures of the tests that open sockets."""

from collections.abc import Mapping
from typing import Any

import pytest
from polyreel.drivers import addresses
from polyreel.drivers.watch import Watch
from polyreel.hosts import is_public


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that a connection was begun to."""
    begun: list[str] = []
    see, asee = Watch.see, Watch.asee

    def received(event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            begun.append(info["host"])

    def sees(self: Watch, event: str, info: Mapping[str, Any]) -> None:
        received(event, info)
        see(self, event, info)

    async def asees(self: Watch, event: str, info: Mapping[str, Any]) -> None:
        received(event, info)
        await asee(self, event, info)

    monkeypatch.setattr(Watch, "see", sees)
    monkeypatch.setattr(Watch, "asee", asees)
    return begun


@pytest.fixture
def loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 127.0.0.1, and no other address of this machine, stand for a public host."""
    monkeypatch.setattr(
        addresses, "is_public", lambda address: str(address) == "127.0.0.1" or is_public(address)
    )
