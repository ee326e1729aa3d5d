"""Opens a ledger where its user says that it is: in a file, or in a database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import LedgerError, did_you_mean
from ..mapping.media import local_path

if TYPE_CHECKING:
    from .keeping import StoredLedger

POSTGRES: Final = ("postgresql", "postgres")
ADDRESS: Final = re.compile(r"\s*([a-z][a-z0-9+.-]+):/", re.IGNORECASE)
"""How an address begins. A drive of Windows has one letter."""

SETTINGS: Final = re.compile(r"\s*(host|hostaddr|port|dbname|user|password|service|sslmode)\s*=")
"""How an address begins in Postgres' other form, `host=... dbname=...`."""


def open_ledger(place: str | Path) -> StoredLedger:
    """Open the ledger in a file, or at an address such as `postgresql://user@host/database`.

    LedgerError is raised where it cannot be opened.
    """
    if SETTINGS.match(str(place)):
        raise LedgerError(
            "the ledger's address is in the form of settings, such as host=...; give it as "
            "postgresql://user@host/database"
        )
    scheme = ADDRESS.match(str(place))
    if scheme is not None:
        if scheme[1].lower() not in POSTGRES or "://" not in str(place):
            raise LedgerError(
                f"no ledger can be kept at an address that begins with {scheme[1]}:/ - give a "
                "file, or postgresql://user@host/database"
            )
        from .postgres import PostgresLedger  # noqa: PLC0415

        return PostgresLedger(str(place).strip())
    from .sqlite import Ledger  # noqa: PLC0415

    return Ledger(place)


def missing(place: str | Path) -> str | None:
    """Say that there is no ledger at a place; None where there is, or where opening it tells."""
    text = str(place)
    if SETTINGS.match(text) or ADDRESS.match(text):
        return None
    path = local_path(place)
    try:
        if path.exists():
            return None
    except (OSError, ValueError):
        return None
    beside = [one.name for one in path.parent.glob("*.sqlite3")] if path.parent.is_dir() else []
    return f"there is no ledger at {path}{did_you_mean(path.name, beside)}"
