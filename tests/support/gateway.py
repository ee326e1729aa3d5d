"""A gateway in the process, which tests call as they call the simulator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from attrs import define, field
from polyreel import AsyncClient, Network, Simulator, asgi
from polyreel.flows import Reply
from polyreel.gateway.application import Edge, GatewayApplication
from polyreel.gateway.behind import Behind
from polyreel.gateway.creating import Creator
from polyreel.gateway.faces import Faces
from polyreel.gateway.jobs import FacedJobs
from polyreel.gateway.tokens import Doorkeeper
from polyreel.jobs.locations import Location
from polyreel.ledger.opening import open_ledger
from polyreel.providers.base.provider import Provider
from polyreel.simulator.server import mounts

from .server import new_simulator

HOST = "http://127.0.0.1"
T = TypeVar("T")


@define(eq=False)
class GatewayStage:
    """A gateway before simulated vendors. `handle` answers one request, as the simulator's does."""

    folder: Path
    behind: tuple[Provider, ...]
    simulator: Simulator = field(factory=new_simulator)
    dedupe: float | None = None
    with_tokens: bool = False
    place: str = ""
    """The address of the ledger, where it is a database's."""
    secrets: Mapping[str, str] = field(factory=dict)
    """Those of vendors' webhooks."""
    options: dict[str, Any] = field(factory=dict)
    """Further options of what is behind."""
    store: Location | None = None
    """Where files are stored."""
    client: AsyncClient = field(init=False)
    gateway: GatewayApplication = field(init=False)
    application: Any = field(init=False)
    web: httpx.AsyncClient = field(init=False)
    _runner: asyncio.Runner = field(factory=asyncio.Runner, init=False)
    last: httpx.Response | None = None

    def start(self, client: AsyncClient | None = None) -> None:
        """Begin, or begin anew, as another process on the same ledger would."""
        ledger = self.place or str(self.folder / "ledger.sqlite3")
        opened = None if client is not None else open_ledger(ledger)
        self.client = client or AsyncClient(simulator=self.simulator, ledger=opened)
        jobs = FacedJobs(self.client, self.folder / "gateway", self.store)
        creator = Creator(jobs, Behind(self.behind, **self.options), self.dedupe)
        door = Doorkeeper(jobs.kept.tokens) if self.with_tokens else None
        webhooks = asgi.webhooks(self.client, self.secrets)
        self.gateway = GatewayApplication(Faces(jobs, creator, door), Edge(), webhooks)
        self.application = self.gateway.starlette()
        transport = httpx.ASGITransport(app=self.application)
        self.web = httpx.AsyncClient(transport=transport, base_url=HOST)

    def handle(
        self,
        vendor: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes = b"",
    ) -> Reply:
        """Answer one request to a face."""
        return self.call(method, f"{HOST}/{vendor}{target}", headers, content)

    def call(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
    ) -> Reply:
        """Make one request to a URL of the gateway."""
        asking = self.web.request(method, url, headers=headers, content=content)
        self.last = self._runner.run(asking)
        return Reply(self.last.status_code, dict(self.last.headers), self.last.content)

    def stop(self) -> None:
        """End, as a process does."""
        self._runner.run(self.web.aclose())
        self._runner.run(self.client.close())
        if self.client.ledger is not None:
            self.client.ledger.close()

    def close(self) -> None:
        """End for good."""
        self.stop()
        self._runner.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something beside the gateway."""
        return self._runner.run(work)

    @property
    def header(self) -> Mapping[str, str]:
        """The headers of the last answer."""
        assert self.last is not None
        return self.last.headers


@contextmanager
def gateway(folder: Path, *behind: Provider, **options: Any) -> Iterator[GatewayStage]:
    """A gateway with these vendors behind, while the block runs."""
    stage = GatewayStage(folder, behind, **options)
    stage.start()
    try:
        yield stage
    finally:
        stage.close()


def turn(stage: GatewayStage, monkeypatch: pytest.MonkeyPatch, later: float = 0.0) -> None:
    """Let the gateway do what is due, so many seconds later."""
    with monkeypatch.context() as patch:
        now = time.time() + later
        patch.setattr("polyreel.gateway.callbacks.time.time", lambda: now)
        stage.run(stage.gateway.callbacks.turn())


def live_client(stage: GatewayStage, face: Provider) -> AsyncClient:
    """A live client of a vendor, whose base URL leads to the gateway."""
    url = HOST + mounts([face.id])[face.id]
    made = AsyncClient(
        keys={face.id: "any-key"},
        base_urls={face.id: url},
        network=Network(upload_urls={face.id: url}),
    )
    made.wire.transport = httpx.ASGITransport(app=stage.application)
    made.wire.clock = stage.simulator.clock
    return made
