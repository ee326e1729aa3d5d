"""The limits of a batch in the ledger, which its workers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from ..client import AsyncClient
from ..errors import LedgerError, RequestError
from ..ledger.keeping import StoredLedger
from ..ledger.limits import LimitChanges
from ..ledger.records import LedgerEntry
from ..money.amounts import CostRange
from .costs import most_spent
from .rows import Row
from .tasks import RowTask


def most_of(entry: LedgerEntry, rows: Mapping[str, RowTask]) -> Decimal | None:
    """The most dollars that an entry may have cost; None if unknown.

    Where it has no price of its own, that of its row counts, if the row is still there.
    """
    most, task = most_spent(entry), rows.get(entry.submission.reference or "")
    if most is None and task is not None:
        return CostRange.of(task.cost(entry.vendor)).most
    return most


def share_limits(
    client: AsyncClient,
    rows: Sequence[Row],
    entries: Sequence[LedgerEntry],
    tasks: Mapping[str, RowTask],
    limits: LimitChanges,
) -> StoredLedger:
    """Set the limits of a batch's name, under which its rows are written down; its ledger.

    Jobs of before that were made without limits count under them too. RequestError is raised for
    limits where the rows are not those of one batch.
    """
    ledger = client.ledger
    if not isinstance(ledger, StoredLedger):
        raise LedgerError("workers need a ledger of polyreel's own, in a file or in Postgres")
    names = {row.batch for row in rows}
    is_limited = any(value is not None for value in limits.values())
    if is_limited and (len(names) > 1 or None in names):
        raise RequestError(["limits that workers share are for the rows of one batch, by its name"])
    for name in names - {None}:
        assert name is not None
        if is_limited:
            before = {
                entry.id: entry
                for entry in entries
                if entry.submission.limits is None
                and (entry.submission.reference or "").startswith(f"{name}/")
            }
            most = {identity: most_of(entry, tasks) for identity, entry in before.items()}
            ledger.limits.adopt(name, before, most)
        client.set_limits(name, **limits)
    return ledger
