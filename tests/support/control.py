"""The simulator's control page, as a program or a browser asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from polyreel.flows import Reply
from polyreel.providers.base.provider import Provider
from polyreel.simulator import Simulator, server

from support.server import PROVIDERS, example, key_of, new_simulator, path_of, status_query

from .waiting import HANGS

TOKEN = "a-token-that-nobody-guesses"
VENDORS = [provider.id for provider in PROVIDERS]
BY_ID = {provider.id: provider for provider in PROVIDERS}
JSON_TYPE = {"Content-Type": "application/json"}
CHANGES = [
    ("POST", "reset"),
    ("POST", "advance"),
    ("POST", "faults"),
    ("DELETE", "faults"),
    ("POST", "webhook"),
]
each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)


class Desk:
    """A simulator behind a port, and the calls that tests make."""

    def __init__(self, simulator: Simulator, url: str) -> None:
        self.simulator = simulator
        self.url = url
        self.client = httpx.Client(timeout=HANGS)

    def ask(self, method: str, name: str, body: Any = None, **options: Any) -> httpx.Response:
        """Call the control API with the token."""
        headers = {"X-Polyreel-Token": TOKEN, **options.pop("headers", {})}
        return self.client.request(
            method, f"{self.url}/_polyreel/{name}", json=body, headers=headers, **options
        )

    def get(self, name: str) -> Any:
        """What a GET shows, without a token."""
        reply = self.client.get(f"{self.url}/_polyreel/{name}")
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
        return reply.json()

    def refused(self, status: int, method: str, name: str, body: Any = None, **options: Any) -> str:
        """The message of a call that is refused."""
        reply = self.ask(method, name, body, **options)
        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json"), (
            reply.text
        )
        message: str = reply.json()["message"]
        assert 10 < len(message) < 1000
        return message

    def submit(self, provider: Provider, **options: Any) -> httpx.Response:
        """Submit a documented body."""
        one = example(provider)
        url = self.url + server.mounts()[provider.id] + one.path
        return self.client.post(url, json=one.body, headers=key_of(provider), **options)

    def job(self, provider: Provider) -> str:
        """The id of a new job."""
        facts = provider.read(Reply(200, {}, self.submit(provider).content))
        assert facts.id is not None
        return facts.id

    def state(self, provider: Provider, job: str) -> str:
        """The state of a job, as its vendor tells it."""
        path = path_of(status_query(provider), job)
        reply = self.client.get(f"{self.url}/{provider.id}{path}", headers=key_of(provider))
        return provider.read(Reply(reply.status_code, {}, reply.content)).status


@contextmanager
def desk(simulator: Simulator | None = None, **options: Any) -> Iterator[Desk]:
    """A server with these options."""
    made = simulator or new_simulator()
    with server.running(made, options=server.Options(token=TOKEN, **options)) as url:
        found = Desk(made, url)
        with found.client:
            yield found
