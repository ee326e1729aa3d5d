"""A world in which many jobs are waited for: simulated vendors, a clock that jumps for both
clients, and a line between them that notes every call and can spoil it.
"""

from __future__ import annotations

import asyncio
import json
import random
import selectors
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, ClassVar, Final, Self, TypeVar

import httpx
import pytest
from attrs import Factory, define, frozen
from polyreel import AsyncClient, Client, Simulator
from polyreel.flows import Moment
from polyreel.jobs.many import Completed
from polyreel.providers.base.calling import task_place
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import VirtualClock
from polyreel.simulator.faults import FAULTS
from polyreel.simulator.scripting import scriptable
from polyreel_generated.shared import Job

from .faults import VENDORS, Kind

T = TypeVar("T")
START: Final = 1_800_000_000.0
CLIP: Final = {"prompt": "a cat", "duration": 5}
SURVEYS: Final = {
    vendor: provider.survey for vendor, provider in all_providers().items() if provider.survey
}
BY_ID: Final = [vendor for vendor, survey in SURVEYS.items() if not survey.running_only]
"""Vendors that are asked about several tasks with one call."""
BY_LIST: Final = [vendor for vendor, survey in SURVEYS.items() if survey.running_only]
"""Vendors that list what runs."""
BY_ONE: Final = [vendor for vendor in VENDORS if vendor not in SURVEYS]
"""Vendors that are asked about one task at a time."""


# --- time -----------------------------------------------------------------------------------------


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: where nobody has anything to do, time jumps to the next moment that
    somebody waits for.
    """

    loop: JumpingLoop

    def select(self, timeout: float | None = None) -> Any:
        """What is ready now."""
        ready = super().select(0)
        if not ready and timeout is None:
            raise AssertionError("everybody waits for somebody else, for ever")
        if not ready and timeout:
            self.loop.seconds += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time: what runs at once takes as long as the longest of it, and no
    real time.

    A deadlock is an AssertionError instead of a wait.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        selector = _Jumping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Virtual seconds."""
        return self.seconds


@frozen
class LoopClock:
    """The clock of such a loop."""

    loop: JumpingLoop

    def now(self) -> float:
        """Seconds since 1970, virtually."""
        return START + self.loop.seconds

    def moment(self) -> Moment:
        """Both clocks are this one."""
        return Moment(self.now(), self.now())

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.loop.seconds += max(0.0, seconds)

    def sleep(self, seconds: float) -> None:
        """Move on."""
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


# --- the line -------------------------------------------------------------------------------------


@define
class Call:
    """One call, and when it began and ended."""

    vendor: str
    method: str
    path: str
    content: bytes
    began: float
    ended: float = float("inf")
    query: Mapping[str, str] = Factory(dict)

    @property
    def _operation(self) -> Operation | None:
        found = all_providers()[self.vendor].contract.match(self.method, self.path)
        return found[0] if found else None

    @property
    def single(self) -> bool:
        """Whether it is a status query about one task."""
        if self.asked is not None:
            return len(self.asked) == 1
        operation = self._operation
        return operation is not None and operation.role == "get"

    @property
    def asks_for_result(self) -> bool:
        """Whether it fetches what a status query has said to be there."""
        operation = self._operation
        return operation is not None and operation.role == "result"

    @property
    def asked(self) -> list[str] | None:
        """The tasks in the query of a call of which several can be asked about."""
        contract = all_providers()[self.vendor].contract
        operation = contract.operation("get")
        where = task_place(contract, operation) if operation else None
        if where is None or where.place != "query" or where.name not in self.query:
            return None
        return self.query[where.name].split(where.separator)

    @property
    def tasks(self) -> list[str]:
        """The tasks whose state it asks for."""
        if self.asked is not None:
            return self.asked
        provider, operation = all_providers()[self.vendor], self._operation
        if self.single and operation:
            where = task_place(provider.contract, operation)
            assert where is not None
            return [(operation.fit(self.path) or {})[where.name]]
        found = json.loads(self.content or b"{}")
        return [one for value in found.values() if isinstance(value, list) for one in value]


class Line(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Between a client and the simulator. `meddle` can answer a call in the place of the vendor,
    `edit` can change what the vendor answered, and `delay` says how many seconds a call takes.
    """

    traces: ClassVar[bool] = True

    def __init__(self, inner: Any, clock: Any) -> None:
        self.inner, self.clock = inner, clock
        self.calls: list[Call] = []
        self.meddle: Callable[[Call], httpx.Response | None] = lambda _: None
        self.edit: Callable[[Call, bytes], bytes] = lambda _, content: content
        self.delay: Callable[[Call], float] = lambda _: 0.0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """A blocking call."""
        call = self._begun(request, request.read())
        self.clock.sleep(self.delay(call))
        try:
            return self.meddle(call) or self._edited(call, self.inner.handle_request(request))
        finally:
            call.ended = self.clock.now()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """An awaited call."""
        call = self._begun(request, await request.aread())
        try:
            if seconds := self.delay(call):
                await self.clock.asleep(seconds)
            return self.meddle(call) or self._edited(
                call, await self.inner.handle_async_request(request)
            )
        finally:
            call.ended = self.clock.now()

    def _begun(self, request: httpx.Request, content: bytes) -> Call:
        vendor = _vendor_at(request.url.host)
        query = dict(request.url.params)
        call = Call(
            vendor, request.method, request.url.path, content, self.clock.now(), query=query
        )
        self.calls.append(call)
        return call

    def _edited(self, call: Call, response: httpx.Response) -> httpx.Response:
        if not hasattr(response, "_content"):
            return response  # one that is cut off
        content = self.edit(call, response.content)
        headers = {
            name: value for name, value in response.headers.items() if name != "content-length"
        }
        return httpx.Response(response.status_code, headers=headers, content=content)


@cache
def _vendor_at(host: str) -> str:
    return next(
        vendor
        for vendor, provider in all_providers().items()
        if host in {httpx.URL(url).host for url in provider.servers}
    )


def forgetful(chance: random.Random, share: float) -> Callable[[Call, bytes], bytes]:
    """An `edit` that leaves this share of the tasks out of every answer about several."""

    def edit(call: Call, content: bytes) -> bytes:
        if call.single:
            return content
        try:
            body = json.loads(content)
        except ValueError:
            return content
        holder = body if isinstance(body, dict) else {"": body}
        for name, value in holder.items():
            if isinstance(value, list):
                holder[name] = [item for item in value if chance.random() >= share]
        return json.dumps(body if isinstance(body, dict) else holder[""]).encode()

    return edit


def refusal(status: int, **headers: str) -> httpx.Response:
    """An answer that helps nobody."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, content=b"{}")


# --- the world ------------------------------------------------------------------------------------


class World:
    """Simulated vendors, one client of either kind, and what came out of waiting when."""

    def __init__(
        self, kind: Kind, seed: int = 1, simulator: dict[str, Any] | None = None, **options: Any
    ) -> None:
        self.kind = kind
        self.loop = JumpingLoop() if kind == "awaiting" else None
        self.clock: Any = LoopClock(self.loop) if self.loop else VirtualClock(START)
        self.simulator = Simulator(seed=seed, clock=self.clock, **(simulator or {}))
        make: Any = Client if kind == "blocking" else AsyncClient
        self.client: Any = make(simulator=self.simulator, retries=0, **options)
        self.wire = self.client.wire
        self.line = self.wire.transport = Line(self.wire.transport, self.clock)
        self.wire.randomness = random.Random(seed)
        self.moments: dict[str, float] = {}
        """When each job came out, in seconds since the start."""

    @property
    def seconds(self) -> float:
        """How much time has passed."""
        return float(self.clock.now() - START)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is awaited."""
        assert self.loop is not None
        return self.loop.run_until_complete(work)

    def do(self, action: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the client and give its result."""
        result = getattr(self.client, action)(*arguments, **options)
        return self.run(result) if asyncio.iscoroutine(result) else result

    def submit(self, vendor: str, number: int = 1, **request: Any) -> list[Job]:
        """Jobs of a vendor. The submits are not among the calls."""
        plan = self.client.plan({**CLIP, **request}, vendor)
        jobs = [self.do("submit", plan) for _ in range(number)]
        self.line.calls.clear()
        return jobs

    def complete(
        self,
        jobs: Iterable[Job],
        look: Callable[[Completed], None] = lambda _: None,
        **options: Any,
    ) -> list[Completed]:
        """What comes out of waiting for all jobs; `look` sees each as it comes."""
        ends: list[Completed] = []

        def note(end: Completed) -> None:
            ends.append(end)
            self.moments[end.job.id] = self.seconds
            look(end)

        async def awaiting() -> None:
            async for end in self.client.as_completed(jobs, **options):
                note(end)

        if self.kind == "awaiting":
            self.run(awaiting())
        else:
            for end in self.client.as_completed(jobs, **options):
                note(end)
        return ends

    def calls(self, vendor: str, *, single: bool | None = None) -> list[Call]:
        """The calls to a vendor: all, those about one task, or those about several."""
        return [
            call
            for call in self.line.calls
            if call.vendor == vendor
            and (single is None or (single is call.single and not call.asks_for_result))
        ]

    def pauses(self, vendor: str) -> list[float]:
        """The seconds between two queries about one task, for all tasks."""
        times: dict[str, list[float]] = {}
        for call in self.calls(vendor):
            for task in call.tasks:
                times.setdefault(task, []).append(call.began)
        return [after - before for moments in times.values() for before, after in pairwise(moments)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.do("close")
        if self.loop is not None:
            self.run(_stop())
            self.run(self.loop.shutdown_asyncgens())
            self.loop.close()


async def _stop() -> None:
    """End what a test that failed has left running."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


def ends_of(vendor: str) -> list[str]:
    """The ends other than success that the vendor's jobs can be made to have."""
    return [end for end in ("failed", "canceled") if end in scriptable(all_providers()[vendor])]


def busiest(calls: Iterable[Call]) -> int:
    """How many of the calls were under way at one time, at most."""
    edges: Iterator[tuple[float, int]] = (
        edge for call in calls for edge in ((call.began, 1), (call.ended, -1))
    )
    most = now = 0
    for _, change in sorted(edges):
        now += change
        most = max(most, now)
    return most


STATUS_FAULTS = [name for name, fault in FAULTS.items() if fault.call in {"poll", "list"}]
by_id = pytest.mark.parametrize("vendor", BY_ID)
by_list = pytest.mark.parametrize("vendor", BY_LIST)
by_survey = pytest.mark.parametrize("vendor", SURVEYS)
USUALLY = 150.0
"""Seconds after which every simulated job of these tests has ended and been heard of, where nothing
goes wrong.
"""


def outcome(job: Job) -> tuple[Any, ...]:
    """What matters of a job's end."""
    links = [output.url for output in job.outputs or ()]
    return job.vendor, job.id, job.status, links, job.error and (job.error.code, job.error.message)


def ids(found: list[Completed] | list[Job]) -> list[str]:
    """The tasks, in a fixed order."""
    return sorted(one.job.id if isinstance(one, Completed) else one.id for one in found)


def assert_all_succeed(ends: list[Completed], jobs: list[Job]) -> None:
    """Each job came out once, without an error."""
    assert ids(ends) == ids(jobs)
    assert {(end.job.status, end.error) for end in ends} == {("succeeded", None)}


def by_vendor(ends: list[Completed], vendor: str) -> list[Completed]:
    """Those of one vendor."""
    return [end for end in ends if end.job.vendor == vendor]


@cache
def one_by_one(vendor: str, number: int) -> int:
    """How many calls it takes to wait for each job alone, all at the same time."""
    with World("awaiting") as world:
        jobs = world.submit(vendor, number)

        async def wait() -> None:
            await asyncio.gather(*(world.client.wait(job) for job in jobs))

        world.run(wait())
        return len(world.line.calls)
