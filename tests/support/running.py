"""A simulator behind a port."""

from __future__ import annotations

import socket

import httpx
from polyreel.providers.base.provider import Provider
from polyreel.simulator import Simulator, server

from .waiting import HANGS


class Running:
    """A simulator behind a port."""

    def __init__(self, simulator: Simulator, url: str) -> None:
        self.simulator = simulator
        self.url = url
        self.port = httpx.URL(url).port or 0

    def base(self, provider: Provider) -> str:
        """The base URL of a vendor."""
        return self.url + server.mounts()[provider.id]

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection((server.HOST, self.port), timeout=HANGS)
