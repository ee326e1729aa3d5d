"""A simulator that also remembers what every request was answered, and which job and fault belong to it."""

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
    """One request, and what came of it."""

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
    """By lower-case names; the key is not among them."""
    tasks: tuple[str, ...] = ()
    """The jobs that were billed for it."""
    faults: tuple[str, ...] = ()
    """The faults that happened to it."""


@define(eq=False, repr=False)
class WatchedSimulator(Simulator):
    """A Simulator whose `exchanges` say more than its journal. It serves one request after the other."""

    exchanges: list[Exchange] = field(factory=list, init=False, repr=False)
    _turn: threading.RLock = field(factory=threading.RLock, init=False, repr=False)

    def __repr__(self) -> str:
        # Short, and without the keys: pytest shows it above every failure.
        return (
            f"<{type(self).__name__}: {len(self.exchanges)} requests, {self.bill.count()} billed>"
        )

    def reset(self, seed: int | None = None) -> None:
        """Forget everything, the exchanges too."""
        with self._turn:
            super().reset(seed)
            self.exchanges.clear()

    def connect(self, vendor: str, method: str, target: str) -> bool:
        """Whether a connection is accepted; one that is refused is an exchange too."""
        with self._turn:
            fired = len(self.fired)
            accepted = super().connect(vendor, method, target)
            if not accepted:
                self._note(
                    vendor,
                    method,
                    target,
                    {},
                    "the connection was refused",
                    len(self.bill.charges),
                    fired,
                )
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
        # One at a time: what is new on the bill and among the faults afterwards belongs to this request.
        with self._turn:
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
        kept = {
            name.lower(): value
            for name, value in headers.items()
            if name.lower() != "authorization"
        }
        tasks = tuple(charge.task for charge in self.bill.charges[charges:])
        faults = tuple(fault for _, fault in self.fired[fired:])
        path, number, at = target.partition("?")[0], len(self.exchanges) + 1, self.clock.now()
        self.exchanges.append(
            Exchange(number, vendor, method, path, at, outcome, kept, tasks, faults)
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
