"""Opens a ledger where its user says that it is: in a file, or in a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .keeping import StoredLedger

POSTGRES: Final = ("postgresql://", "postgres://")


def open_ledger(place: str | Path) -> StoredLedger:
    """Open the ledger in a file, or at an address such as `postgresql://user@host/database`.

    LedgerError is raised where it cannot be opened.
    """
    if isinstance(place, str) and place.startswith(POSTGRES):
        from .postgres import PostgresLedger  # noqa: PLC0415

        return PostgresLedger(place)
    from .sqlite import Ledger  # noqa: PLC0415

    return Ledger(place)
