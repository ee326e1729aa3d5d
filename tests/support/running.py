"""A simulator behind a port, and its bill."""

from __future__ import annotations

import socket
from collections import Counter

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


def bills(simulator: Simulator) -> Counter[str]:
    """How often each job was billed, by its prompt."""
    tasks = (simulator.tasks[line.vendor, line.task] for line in simulator.bill.charges)
    return Counter(task.picture.prompt for task in tasks)
