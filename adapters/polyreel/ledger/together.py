"""Writes of several flows in one transaction: each stands for itself, and all share the commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from ..errors import LedgerError, PolyreelError, UnusableFileError
from .events import Settle
from .store import Write


def write_together(
    writes: Sequence[Write],
    transaction: Callable[[], AbstractContextManager[object]],
    write: Callable[..., Any],
    keep: Callable[[Settle, float, LedgerError], LedgerError],
) -> list[Any]:
    """The results of writes, or their errors, in their order.

    The outcomes of submits are kept elsewhere, by `keep`, where the group cannot be committed.
    """

    def tried(one: Write) -> Any:
        try:
            return write(*one)
        except PolyreelError as error:
            return error

    if len(writes) == 1:
        return [tried(writes[0])]
    results: list[Any] = []
    try:
        with transaction():
            results += map(tried, writes)
    except UnusableFileError as error:
        return [
            keep(event, now, error) if isinstance(event, Settle) else error
            for event, _, now in writes
        ]
    return results
