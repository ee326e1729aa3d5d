"""What a simulator knows at one moment: for the control API and for the page."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from .engine import Simulator
from .injection import Rule
from .tasks import BillLine, Task


@frozen
class LoggedRequest:
    """One request that a simulator has answered."""

    vendor: str
    method: str
    path: str
    at: float
    """Seconds since 1970."""


@frozen
class Snapshot:
    """A simulator at one moment."""

    now: float
    """Seconds since 1970."""
    tasks: Sequence[Task]
    charges: Sequence[BillLine]
    journal: Sequence[tuple[str, str, str]]
    """The requests as vendor, method and path."""
    request_times: Sequence[float]
    """When these requests arrived, in seconds since 1970."""
    rules: Sequence[Rule]
    """The faults that may still happen."""
    fired: Sequence[tuple[str, str]]
    """The faults that have happened, as vendor and fault."""

    def last_requests(self, most: int) -> list[LoggedRequest]:
        """The last requests, oldest first, at most so many."""
        pairs = zip(self.journal[-most:], self.request_times[-most:], strict=True)
        return [LoggedRequest(*request, at) for request, at in pairs]


def take_snapshot(simulator: Simulator) -> Snapshot:
    """A simulator as it is while no call is served."""
    with simulator.lock:
        return Snapshot(
            now=simulator.clock.now(),
            tasks=list(simulator.tasks.values()),
            charges=list(simulator.bill.charges),
            journal=list(simulator.journal),
            request_times=list(simulator.request_times),
            rules=simulator.active,
            fired=list(simulator.fired),
        )
