"""Mutants: polyreel with one safety rule switched off, to show that the worlds would find that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from decimal import Decimal
from typing import Any, Final
from unittest import mock

from attrs import frozen
from polyreel.batch.running import Batch
from polyreel.drivers.pump import _Run
from polyreel.errors import LedgerError, RejectedError, SubmitError
from polyreel.flows import Flow, Moment, Reply
from polyreel.jobs import recovery, submitting
from polyreel.ledger import states
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.refusals import Refusal, is_refusal

from . import ledger, table
from .table import MemoryOwners


@frozen
class Switch:
    """A function of polyreel, and what takes its place."""

    place: Any
    name: str
    other: Callable[..., Any]


def _always(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def _young(_: object) -> Flow[bool]:
    yield from ()
    return True


def _by_wall(self: Moment, before: Moment) -> float | None:
    return self.wall - before.wall


def _by_boot(self: Moment, before: Moment) -> float | None:
    return self.boot - before.boot


def _by_status(self: Provider, operation: Operation, reply: Reply) -> Refusal:
    code, _ = self.read_error(reply)
    return Refusal(is_refusal(operation, reply.status, code))


def _patient(error: SubmitError, attempt: int) -> float | None:
    return 1.0


def _ended(error: SubmitError, attempt: int) -> float | None:
    return None if isinstance(error, RejectedError) else 1.0


def _newest(known: Any, reported: Any) -> Any:
    return reported


def _unsent(self: _Run, *_: object) -> None:
    if self._owner is not None and self.wire.ledger is not None:
        with suppress(LedgerError):
            self.wire.ledger.release(self._owner, sent=False)


SWITCHES: Final[Mapping[str, tuple[Switch, ...]]] = {
    "age: a key is used again however old it is": (Switch(recovery, "_is_young", _young),),
    "age: only the wall clock counts": (Switch(Moment, "seconds_since", _by_wall),),
    "age: only the clock since the start counts": (Switch(Moment, "seconds_since", _by_boot),),
    "owner: nobody is alive": (Switch(MemoryOwners, "is_alive", _always(False)),),
    "owner: nobody ever dies": (Switch(MemoryOwners, "is_alive", lambda _, owner: bool(owner)),),
    "fingerprint: a reference stands for any request": (
        Switch(recovery, "check_request", _always(None)),
    ),
    "refusal: the status alone is proof": (Switch(Provider, "read_refusal", _by_status),),
    "free retry: none at all": (Switch(submitting, "pause_after", _ended),),
    "free retry: also of what may be paid": (
        Switch(submitting, "pause_after", _patient),
        Switch(submitting, "NeverSentError", SubmitError),
    ),
    "budget: earlier runs are not counted": (Switch(Batch, "_spent", _always((Decimal(0), ()))),),
    "absorption: the newest report counts": (Switch(states, "newer", _newest),),
    "reference: it can have several jobs": (
        Switch(table, "is_holder", _always(False)),
        Switch(ledger, "is_holder", _always(False)),
        Switch(table, "holds", _always(False)),
    ),
    "interruption: a submit on its way was not sent": (Switch(_Run, "__exit__", _unsent),),
}
"""What is switched off, by the rule's name and how it is broken."""


@contextmanager
def broken(rule: str) -> Iterator[None]:
    """Switch one rule off."""
    with ExitStack() as stack:
        for switch in SWITCHES[rule]:
            stack.enter_context(mock.patch.object(switch.place, switch.name, switch.other))
        yield
