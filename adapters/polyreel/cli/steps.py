"""What to type next about a job: commands that act on the same ledger, and call the same hosts."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import PolyreelError
from .network import repeated

if TYPE_CHECKING:
    from ..ledger.records import LedgerEntry
    from ..ledger.store import LedgerStore


def about(entry: LedgerEntry, *words: str, ledger: LedgerStore) -> str:
    """A command about an entry of a ledger, with what is needed to mean this very job."""
    from ..ledger.commands import command

    live = not entry.submission.simulated
    return command(*words, ledger=ledger.named, live=live, options=repeated() if live else ())


def next_step(entry: LedgerEntry, ledger: LedgerStore) -> str | None:
    """What to type about an entry that is not finished."""
    if entry.owned:
        return None
    if entry.state == "ambiguous":
        return f"next: {about(entry, 'reconcile', entry.id, ledger=ledger)}"
    if entry.state in {"accepted", "succeeded"}:
        return f"next: {about(entry, 'resume', entry.id, ledger=ledger)}"
    if entry.state == "queued" and not has_workers(ledger):
        return f"next: {about(entry, 'worker', ledger=ledger)}"
    return None


def has_workers(ledger: LedgerStore) -> bool:
    """Whether another process is at work on a ledger just now."""
    import socket

    from ..ledger.keeping import StoredLedger

    if not isinstance(ledger, StoredLedger):
        return False
    own = (socket.gethostname(), os.getpid())
    return any((one.host, one.pid) != own for one in ledger.outstanding.processes())


def advise(error: PolyreelError, ledger: LedgerStore) -> None:
    """Note on an error about a job in the ledger what to type next, as far as there is anything."""
    with suppress(PolyreelError):
        if error.ledger_id is None:
            return
        if step := next_step(ledger.entry(error.ledger_id), ledger):
            error.add_note(step)
