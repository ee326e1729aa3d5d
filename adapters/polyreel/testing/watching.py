"""A simulator that remembers the answer to every request, with its jobs and faults."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from attrs import define, field, frozen

from ..flows import Answer
from ..providers.base.registry import all_providers
from ..simulator import Simulator

ENDINGS: Final[Mapping[str, str]] = {
    "reset": "the connection was reset",
    "close": "the connection was closed without an answer",
    "silence": "no answer came",
    "drip": "the answer came too slowly",
    "cut": "the answer was cut in half",
}


@frozen
class Exchange:
    """One request, and how it ended."""

    number: int
    """Of all requests, from 1."""
    vendor: str
    method: str
    path: str
    at: float | None = None
    """Seconds since 1970, by the simulator's clock."""
    outcome: str = ""
    """What the client saw, in words."""
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    """By lower-case names, without the key."""
    tasks: tuple[str, ...] = ()
    """The jobs that were billed for it."""
    faults: tuple[str, ...] = ()
    """The faults that happened to it."""


@define(eq=False, repr=False)
class WatchedSimulator(Simulator):
    """A Simulator whose `exchanges` say more than its journal. It serves one request at a time."""

    exchanges: list[Exchange] = field(factory=list, init=False, repr=False)
    _one_at_a_time: threading.RLock = field(factory=threading.RLock, init=False, repr=False)

    def __repr__(self) -> str:
        # Short, and without the keys: pytest shows it above every failure.
        return (
            f"<{type(self).__name__}: {len(self.exchanges)} requests, {self.bill.count()} billed>"
        )

    def reset(self, seed: int | None = None) -> None:
        """Forget everything, including the exchanges."""
        with self._one_at_a_time:
            super().reset(seed)
            self.exchanges.clear()

    def connect(self, vendor: str, method: str, target: str) -> bool:
        """Whether a connection is accepted; a refused one is noted as an exchange."""
        with self._one_at_a_time:
            fired = len(self.fired)
            accepted = super().connect(vendor, method, target)
            if not accepted:
                charges, outcome = len(self.bill.charges), "the connection was refused"
                self._note(vendor, method, target, {}, outcome, charges, fired)
            return accepted

    def handle(
        self,
        vendor: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes = b"",
        public: str | None = None,
        *,
        connected: bool = False,
    ) -> Answer:
        """Answer one request, and remember it."""
        # Requests are served one at a time, so that new charges and faults belong to this one.
        with self._one_at_a_time:
            charges, fired = len(self.bill.charges), len(self.fired)
            answer = super().handle(
                vendor, method, target, headers, content, public, connected=connected
            )
            self._note(vendor, method, target, headers, outcome_of(vendor, answer), charges, fired)
        return answer

    def _note(
        self,
        vendor: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        outcome: str,
        charges: int,
        fired: int,
    ) -> None:
        """Note an exchange; `charges` and `fired` are how many there were before it."""
        lower = {name.lower(): value for name, value in headers.items()}
        lower.pop("authorization", None)
        self.exchanges.append(
            Exchange(
                number=len(self.exchanges) + 1,
                vendor=vendor,
                method=method,
                path=target.partition("?")[0],
                at=self.clock.now(),
                outcome=outcome,
                headers=lower,
                tasks=tuple(charge.task for charge in self.bill.charges[charges:]),
                faults=tuple(fault for _, fault in self.fired[fired:]),
            )
        )


def outcome_of(vendor: str, answer: Answer) -> str:
    """What a client sees of an answer, in words."""
    if answer.ending in ENDINGS:
        return ENDINGS[answer.ending]
    provider = all_providers().get(vendor)
    if answer.status < 400 or provider is None:
        return f"HTTP {answer.status}"
    code, message = provider.read_error(answer)
    return f"HTTP {answer.status}{f' {code}' if code else ''}: {message}"
