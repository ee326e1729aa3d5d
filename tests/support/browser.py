"""A plain httpx client on the simulator, and what it sees of each fault."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

import httpx
import pytest
from attrs import define, field
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.simulator import Simulator
from polyreel.simulator.tasks import Task
from polyreel.simulator.transport import SimulatedTransport

from support.server import BODIES, Submit, example, finish, key_at, path_of, submit

Kind = Literal["blocking", "awaiting"]
Seen = int | type[Exception]
"""What a client sees: an HTTP status, or an exception."""

LOST: Final[dict[str, Seen]] = {
    "lost-reset": httpx.ReadError,
    "lost-close": httpx.RemoteProtocolError,
    "lost-silence": httpx.ReadTimeout,
    "lost-cut": httpx.RemoteProtocolError,
    "lost-drip": httpx.ReadTimeout,
    "lost-html": 200,
    "lost-empty": 200,
    "lost-500": 500,
    "lost-502": 502,
    "lost-503": 503,
    "lost-504": 504,
    "lost-429-id": 429,
    "lost-400-json": 400,
    **{f"lost-{status}-html": status for status in (401, 403, 404, 429)},
    "lost-429-empty": 429,
}
RATE_LIMITS: Final = {
    "rate-limited-seconds": "2",
    "rate-limited-date": None,
    "rate-limited-zero": "0",
    "rate-limited-negative": "-1",
    "rate-limited-huge": "1000000000",
    "rate-limited-nan": "NaN",
    "rate-limited-superscript": "\u00b2",
    "rate-limited-none": None,
}
UNACCEPTED: Final[dict[str, Seen]] = {
    "refused": httpx.ConnectError,
    "unheard-reset": httpx.ReadError,
    "unheard-close": httpx.RemoteProtocolError,
    "unheard-silence": httpx.ReadTimeout,
    **{str(status): status for status in (500, 502, 503, 504)},
    **dict.fromkeys(RATE_LIMITS, 429),
    **{f"redirect-{status}": status for status in (301, 302, 303, 307, 308)},
}
POLLS: Final[dict[str, Seen]] = {
    "poll-reset": httpx.ReadError,
    "poll-silence": httpx.ReadTimeout,
    "poll-cut": httpx.RemoteProtocolError,
    "poll-html": 200,
    "poll-empty": 200,
    "poll-500": 500,
    "poll-503": 503,
    "poll-rate-limited": 429,
    "unknown-status": 200,
    "missing-status": 200,
    "regressing-status": 200,
    "no-output": 200,
}
LISTS: Final[dict[str, Seen]] = {"list-500": 500, "list-empty": 200}
UPLOADS: Final[dict[str, Seen]] = {
    "upload-500": 500,
    "upload-reset": httpx.ReadError,
    "upload-html": 200,
}
DOWNLOADS: Final[dict[str, Seen]] = {
    "link-403": 403,
    "link-404": 404,
    "link-410": 410,
    "file-cut": httpx.RemoteProtocolError,
    "file-reset": httpx.ReadError,
    "file-html": 200,
    "file-empty": 200,
    "file-500": 500,
    "range-ignored": 200,
    "range-wrong": 206,
    "range-refused": 416,
    "file-changed": 200,
}


each_kind = pytest.mark.parametrize("kind", ["blocking", "awaiting"])


@define
class Browser:
    """A plain httpx client on the simulator, and what a trace told it of the last request."""

    simulator: Simulator
    kind: Kind
    events: list[str] = field(factory=list)
    billed: list[int] = field(factory=list)
    """What was billed when each of the events was told."""

    def ask(self, method: str, url: str, **options: Any) -> httpx.Response | Exception:
        """Make one request and read the whole answer; or what the client raised."""
        options.setdefault("headers", key_at(url))
        self.events.clear()
        self.billed.clear()
        try:
            if self.kind == "awaiting":
                return asyncio.run(self._await(method, url, options))
            with httpx.Client(transport=SimulatedTransport(self.simulator), timeout=30) as client:
                return client.request(
                    method, url, extensions={"trace": self._see, "timeout": {"read": 30}}, **options
                )
        except httpx.HTTPError as error:
            return error

    def get(self, url: str, **options: Any) -> httpx.Response:
        """Make one request that is answered."""
        answer = self.ask("GET", url, **options)
        assert isinstance(answer, httpx.Response), answer
        return answer

    async def _await(self, method: str, url: str, options: dict[str, Any]) -> httpx.Response:
        extensions = {"trace": self._asee, "timeout": {"read": 30}}
        async with httpx.AsyncClient(transport=SimulatedTransport(self.simulator)) as client:
            return await client.request(method, url, extensions=extensions, **options)

    def _see(self, event: str, info: dict[str, Any]) -> None:
        assert info == {}
        self.events.append(event)
        self.billed.append(self.simulator.bill.count())

    async def _asee(self, event: str, info: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        self._see(event, info)


def address(operation: Operation, task: str = "") -> str:
    """The documented URL of a call."""
    return str(httpx.URL(operation.server).join(path_of(operation, task)))


def post(browser: Browser, one: Submit, **options: Any) -> httpx.Response | Exception:
    """Submit a documented body."""
    url = str(httpx.URL(one.operation.server).join(one.full_path))
    return browser.ask("POST", url, json=one.body, **options)


def status_of(seen: httpx.Response | Exception) -> Seen:
    """What a client has seen."""
    return seen.status_code if isinstance(seen, httpx.Response) else type(seen)


def ended(simulator: Simulator, provider: Provider) -> Task:
    """A job that has succeeded, with a small output."""
    one = SMALL.get(provider.id) or example(provider)
    task = submit(simulator, one)
    finish(simulator)
    return simulator.tasks[provider.id, str(task.id)]


SMALL: Final = {
    one.provider.id: one
    for one in reversed(BODIES)
    if one.reading.route.workflow == "generate-image"
}
"""Pictures are rendered faster than videos."""
