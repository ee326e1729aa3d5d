"""Explains why a bill is not what a test expected: charges, requests, faults, and advice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from ..providers.base.registry import get_provider
from ..simulator import FAULTS, Simulator
from ..simulator.tasks import BillLine
from .watching import Exchange, WatchedSimulator

READ_METHODS: Final = frozenset({"GET", "HEAD"})
MOST_LINES: Final = 20
NOT_ACCEPTED: Final = (
    "Not every submit was accepted: see above what they were answered. "
    "What is refused is not billed."
)
NOT_REACHED: Final = """\
No submit reached this simulator. Does the code under test use polyreel_transport, polyreel_client
or polyreel_server.base_url(vendor), and is this the simulator of that fixture?"""
ANSWER_LOST: Final = """\
After {faults} the vendor has the job, and has billed it, although its answer was lost:
a submit whose answer is lost may have been billed, and sending it again may be billed again."""
NO_KEYS: Final = (
    "{vendor} documents no idempotency key: do not send a submit again by yourself. "
    "Keep what was sent,\n"
    "look for the job with the vendor, and let a person decide. "
    "Only a refusal (429 or another 4xx, in the vendor's own form and without a task id),\n"
    "or a connection that was never made, proves that nothing was billed."
)
OTHER_KEY: Final = (
    "{vendor} was sent another {header} with each try: "
    "make one for each job, and send it with every try\n"
    "of that job."
)
NO_KEY_SENT: Final = (
    "{vendor} knows the header {header}: "
    "send the same one with every try of a job, and a repetition\n"
    "gets the first job and is not billed. "
    "Without it, do not send a submit again by yourself."
)
"""The advice, in lines."""


def explain(simulator: Simulator, expected: int, vendor: str | None = None) -> str:
    """The message for a bill with another number of jobs than expected."""
    case = BillCase.of(simulator, expected, vendor)
    who, jobs = vendor or "the vendors", _number(len(case.charges), "job")
    head = f"{who} billed {jobs}, expected {expected or 'none'}"
    parts = [[head], [*case.billed()], [*case.requests()], [*case.fired()], [*case.advice()]]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


@frozen
class BillCase:
    """A bill, and all that happened before it."""

    simulator: Simulator
    expected: int
    charges: Sequence[BillLine]
    exchanges: Sequence[Exchange]
    faults: Sequence[tuple[str, str]]
    start: float
    """When the first of it happened, in seconds since 1970."""

    @classmethod
    def of(cls, simulator: Simulator, expected: int, vendor: str | None) -> BillCase:
        """The part of a simulator's memory that is about one vendor, or all of it."""
        charges = [charge for charge in simulator.bill.charges if vendor in {None, charge.vendor}]
        exchanges = [one for one in exchanges_of(simulator) if vendor in {None, one.vendor}]
        faults = [fault for fault in simulator.fired if vendor in {None, fault[0]}]
        times = [
            *(charge.at for charge in charges),
            *(one.at for one in exchanges if one.at is not None),
        ]
        return cls(simulator, expected, charges, exchanges, faults, min(times, default=0.0))

    def billed(self) -> Iterator[str]:
        """Every charge: when, what, and for which request."""
        if self.charges:
            yield "billed:"
        for number, charge in enumerate(self.charges[:MOST_LINES], 1):
            task = f"{charge.vendor}, {charge.task}, {_number(charge.credits, 'credit')}"
            request = self._exchange(charge)
            cause = f", by request {request.number}" if request else ""
            earlier = self._earlier_job(charge)
            same = f", the same body as job {earlier}" if earlier else ""
            yield f"  job {number} {self._when(charge.at)}: {task}{cause}{same}"
        yield from _more(len(self.charges))

    def requests(self) -> Iterator[str]:
        """The requests that can cost money, and how each ended."""
        found = [one for one in self.exchanges if one.method not in READ_METHODS]
        if found:
            yield "requests (without status queries and downloads):"
        for one in found[:MOST_LINES]:
            when = f" {self._when(one.at)}" if one.at is not None else ""
            outcome = f": {one.outcome}" if one.outcome else ""
            faults = f" (fault {', '.join(one.faults)})" if one.faults else ""
            billed = next((f", billed as job {number}" for number in self._jobs_of(one)), "")
            yield f"  request {one.number}{when}: {one.method} {one.path}{outcome}{faults}{billed}"
        yield from _more(len(found))

    def fired(self) -> Iterator[str]:
        """The faults that happened."""
        if self.faults:
            names = ", ".join(f"{fault} ({vendor})" for vendor, fault in self.faults)
            yield f"faults that happened: {names}"

    def advice(self) -> Iterator[str]:
        """What to do about it."""
        if len(self.charges) < self.expected:
            yield from self._too_few()
            return
        repeated = [charge for charge in self.charges if self._earlier_job(charge)]
        if not repeated:
            yield "No two bodies are the same: these are different jobs. Is each of them meant?"
        else:
            yield "One job was sent, and billed, more than once."
            yield from self._about_faults()
        for vendor in dict.fromkeys(charge.vendor for charge in repeated):
            yield from self._about_keys(
                vendor, [charge for charge in self.charges if charge.vendor == vendor]
            )

    def _too_few(self) -> Iterator[str]:
        if any(one.method not in READ_METHODS for one in self.exchanges):
            yield NOT_ACCEPTED
        else:
            yield NOT_REACHED

    def _about_faults(self) -> Iterator[str]:
        lost = dict.fromkeys(
            name
            for _, name in self.faults
            if FAULTS[name].call == "submit" and FAULTS[name].accepted
        )
        if lost:
            yield ANSWER_LOST.format(faults=", ".join(lost))

    def _about_keys(self, vendor: str, charges: Sequence[BillLine]) -> Iterator[str]:
        header = idempotency_header(self.simulator, charges[0])
        if header is None:
            yield NO_KEYS.format(vendor=vendor)
            return
        sent = [
            one.headers.get(header.lower()) for charge in charges if (one := self._exchange(charge))
        ]
        text = OTHER_KEY if any(sent) else NO_KEY_SENT
        yield text.format(vendor=vendor, header=header)

    def _when(self, at: float) -> str:
        return f"at {at - self.start:.1f} s"

    def _jobs_of(self, exchange: Exchange) -> list[int]:
        """The numbers of the jobs that were billed for a request."""
        charges = enumerate(self.charges, 1)
        return [number for number, charge in charges if charge.task in exchange.tasks]

    def _exchange(self, charge: BillLine) -> Exchange | None:
        """The request that a charge is for."""
        for one in self.exchanges:
            if charge.task in one.tasks and charge.vendor == one.vendor:
                return one
        return None

    def _earlier_job(self, charge: BillLine) -> int | None:
        """The number of an earlier job with the same body, if there is one."""
        tasks = self.simulator.tasks
        own = tasks[charge.vendor, charge.task]
        for number, other in enumerate(self.charges[: self.charges.index(charge)], 1):
            earlier = tasks[other.vendor, other.task]
            if (earlier.vendor, earlier.route, earlier.body) == (own.vendor, own.route, own.body):
                return number
        return None


def exchanges_of(simulator: Simulator) -> Sequence[Exchange]:
    """What a simulator knows of its requests; one that is not watched has only its journal."""
    if isinstance(simulator, WatchedSimulator):
        return simulator.exchanges
    return [Exchange(number, *entry[:3]) for number, entry in enumerate(simulator.journal, 1)]


def idempotency_header(simulator: Simulator, charge: BillLine) -> str | None:
    """The header by which a vendor recognizes a repeated submit; None where it documents none."""
    route = simulator.tasks[charge.vendor, charge.task].route
    policy = get_provider(charge.vendor).operation(route).spec.get("x-polyreel-idempotency", {})
    return policy["header"] if policy.get("mode") == "replay" else None


def _number(count: float, noun: str) -> str:
    return f"{count:g} {noun}{'' if count == 1 else 's'}"


def _more(count: int) -> Iterator[str]:
    if count > MOST_LINES:
        yield f"  ... and {count - MOST_LINES} more"
