"""Writes of several flows in one transaction: each stands for itself, and all share the commit.

Where transactions wait for each other, the database takes one of them back. It is tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from ..errors import LedgerError, UnusableFileError
from .database import DeadlockError
from .events import OUTCOMES, Released, Settle
from .store import Write

TRIES: Final = 5
"""How often a transaction is tried that the database takes back."""
Keeping = Callable[[Settle | Released, float, LedgerError], LedgerError]
"""Keeps what became of a submit elsewhere; the result is the error to be raised."""
Given = ParamSpec("Given")
Found = TypeVar("Found")


def after_deadlocks(change: Callable[Given, Found]) -> Callable[Given, Found]:
    """Try a method again, which is one transaction, where a deadlock has taken it back."""

    @wraps(change)
    def repeated(*given: Given.args, **named: Given.kwargs) -> Found:
        for _ in range(TRIES - 1):
            with suppress(DeadlockError):
                return change(*given, **named)
        return change(*given, **named)

    return repeated


def write_alone(one: Write, write: Callable[..., Any], keep: Keeping) -> Any:
    """The result of one write, which has a transaction of its own."""
    for left in reversed(range(TRIES)):
        try:
            return write(*one)
        except DeadlockError as error:
            if left:
                continue
            event, _, now = one
            raise keep(event, now, error) if isinstance(event, OUTCOMES) else error from None
    raise AssertionError("unreachable")


def write_together(
    writes: Sequence[Write],
    transaction: Callable[[], AbstractContextManager[object]],
    write: Callable[..., Any],
    keep: Keeping,
    write_usual: Callable[[Sequence[Write]], dict[int, Any]],
) -> list[Any]:
    """The results of writes, or their errors, in their order.

    `write_usual` makes those that it can make together, and the others are made one by one.

    What became of submits is kept elsewhere, by `keep`, where the group cannot be committed.
    What a deadlock has taken back is written again after the group, in transactions of its own.
    """

    def tried(one: Write) -> Any:
        try:
            return write(*one)
        except Exception as error:  # whatever it is, it is about this write
            return error

    def again(one: Write) -> Any:
        try:
            return write_alone(one, write, keep)
        except Exception as error:
            return error

    if len(writes) == 1:
        return [again(writes[0])]
    results: list[Any] = []
    try:
        with transaction():
            usual = write_usual(writes)
            results += [usual[n] if n in usual else tried(one) for n, one in enumerate(writes)]
    except DeadlockError as error:
        results = [error] * len(writes)
    except UnusableFileError as error:
        return [
            keep(event, now, error) if isinstance(event, OUTCOMES) else error
            for event, _, now in writes
        ]
    return [
        again(one) if isinstance(result, DeadlockError) else result
        for one, result in zip(writes, results, strict=True)
    ]
