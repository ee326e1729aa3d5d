"""Why a bill is not what a test expected: charges, requests, faults, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from ..providers.base.registry import get_provider
from ..simulator import FAULTS, Simulator
from ..simulator.tasks import BillLine
from .watching import Exchange, WatchedSimulator

READING: Final = frozenset({"GET", "HEAD"})
MOST_LINES: Final = 20


def explain(simulator: Simulator, expected: int, vendor: str | None = None) -> str:
    """The message for a bill with another number of jobs than expected."""
    case = Case.of(simulator, expected, vendor)
    who, jobs = vendor or "the vendors", _number(len(case.charges), "job")
    head = f"{who} billed {jobs}, expected {expected or 'none'}"
    parts = [[head], [*case.billed()], [*case.asked()], [*case.went_wrong()], [*case.advice()]]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


@frozen
class Case:
    """What one bill is judged by."""

    simulator: Simulator
    expected: int
    charges: Sequence[BillLine]
    exchanges: Sequence[Exchange]
    faults: Sequence[tuple[str, str]]
    start: float

    @classmethod
    def of(cls, simulator: Simulator, expected: int, vendor: str | None) -> Case:
        """The part of a simulator's memory that is about one vendor, or everything."""
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
        yield from ["billed:"] if self.charges else []
        for number, charge in enumerate(self.charges[:MOST_LINES], 1):
            task = f"{charge.vendor}, {charge.task}, {_number(charge.credits, 'credit')}"
            request = self._exchange(charge)
            cause = f", by request {request.number}" if request else ""
            same = f", the same body as job {twin}" if (twin := self._twin(charge)) else ""
            yield f"  job {number} {self._when(charge.at)}: {task}{cause}{same}"
        yield from _more(len(self.charges))

    def asked(self) -> Iterator[str]:
        """The requests that can cost money, and what became of them."""
        found = [one for one in self.exchanges if one.method not in READING]
        yield from ["requests (without status queries and downloads):"] if found else []
        for one in found[:MOST_LINES]:
            when = f" {self._when(one.at)}" if one.at is not None else ""
            outcome = f": {one.outcome}" if one.outcome else ""
            faults = f" (fault {', '.join(one.faults)})" if one.faults else ""
            jobs = [
                number for number, charge in enumerate(self.charges, 1) if charge.task in one.tasks
            ]
            billed = f", billed as job {jobs[0]}" if jobs else ""
            yield f"  request {one.number}{when}: {one.method} {one.path}{outcome}{faults}{billed}"
        yield from _more(len(found))

    def went_wrong(self) -> Iterator[str]:
        """The faults that happened."""
        if self.faults:
            yield f"faults that happened: {', '.join(f'{fault} ({vendor})' for vendor, fault in self.faults)}"

    def advice(self) -> Iterator[str]:
        """What to do about it."""
        if len(self.charges) < self.expected:
            yield from self._too_few()
            return
        repeated = [charge for charge in self.charges if self._twin(charge)]
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
        if any(one.method not in READING for one in self.exchanges):
            yield "Not every submit was accepted: see above what they were answered. What is refused is not billed."
        else:
            yield "No submit reached this simulator. Does the code under test use polyreel_transport, polyreel_client"
            yield "or polyreel_server.base_url(vendor), and is this the simulator of that fixture?"

    def _about_faults(self) -> Iterator[str]:
        lost = dict.fromkeys(
            name
            for _, name in self.faults
            if FAULTS[name].call == "submit" and FAULTS[name].accepted
        )
        if lost:
            yield f"After {', '.join(lost)} the vendor has the job, and has billed it, although its answer was lost:"
            yield "a submit whose answer is lost may have been billed, and sending it again may be billed again."

    def _about_keys(self, vendor: str, charges: Sequence[BillLine]) -> Iterator[str]:
        header = idempotency_header(self.simulator, charges[0])
        if header is None:
            yield f"{vendor} documents no idempotency key: do not send a submit again by yourself. Keep what was sent,"
            yield "look for the job with the vendor, and let a person decide. Only a refusal (429 or another 4xx),"
            yield "or a connection that was never made, proves that nothing was billed."
            return
        sent = [
            one.headers.get(header.lower()) for charge in charges if (one := self._exchange(charge))
        ]
        if any(sent):
            yield f"{vendor} was sent another {header} with each try: make one for each job, and send it with every try"
            yield "of that job."
        else:
            yield f"{vendor} knows the header {header}: send the same one with every try of a job, and a repetition"
            yield "gets the first job and is not billed. Without it, do not send a submit again by yourself."

    def _when(self, at: float) -> str:
        return f"at {at - self.start:.1f} s"

    def _exchange(self, charge: BillLine) -> Exchange | None:
        return next(
            (
                one
                for one in self.exchanges
                if charge.task in one.tasks and charge.vendor == one.vendor
            ),
            None,
        )

    def _twin(self, charge: BillLine) -> int | None:
        """The number of an earlier job with the same body."""
        tasks = self.simulator.tasks
        own = tasks[charge.vendor, charge.task]
        for number, other in enumerate(self.charges[: self.charges.index(charge)], 1):
            earlier = tasks[other.vendor, other.task]
            if (earlier.vendor, earlier.route, earlier.body) == (own.vendor, own.route, own.body):
                return number
        return None


def exchanges_of(simulator: Simulator) -> Sequence[Exchange]:
    """What a simulator knows of its requests: of one that is not watched, no more than its journal."""
    if isinstance(simulator, WatchedSimulator):
        return simulator.exchanges
    return [Exchange(number, *entry[:3]) for number, entry in enumerate(simulator.journal, 1)]


def idempotency_header(simulator: Simulator, charge: BillLine) -> str | None:
    """The header by which a vendor knows a repeated submit, where it documents one."""
    route = simulator.tasks[charge.vendor, charge.task].route
    policy = get_provider(charge.vendor).operation(route).spec.get("x-polyreel-idempotency", {})
    return policy["header"] if policy.get("mode") == "replay" else None


def _number(count: float, noun: str) -> str:
    return f"{count:g} {noun}{'' if count == 1 else 's'}"


def _more(count: int) -> Iterator[str]:
    if count > MOST_LINES:
        yield f"  ... and {count - MOST_LINES} more"
