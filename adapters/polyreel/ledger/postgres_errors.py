"""The errors of Postgres as errors of the ledger: what is wrong, and what to do. They name no user.

libpq tells why a connection was refused in a text alone, in the language of the server. What is not
known here is taken for something that passes.
"""

from __future__ import annotations

import re
from typing import Final

import psycopg

from ..errors import UnusableFileError

AGAIN: Final = "try again when the database answers"
REFUSED: Final = (
    "the database refuses this user, or the password: check both in the address, and whether the "
    "user may connect from here (pg_hba.conf)"
)
LASTING: Final[tuple[tuple[str, str], ...]] = (
    ("password authentication failed|no password supplied|authentication failed", REFUSED),
    (r'role ".*" (does not exist|is not permitted to log in)|no pg_hba\.conf entry', REFUSED),
    (
        r'database ".*" does not exist',
        "there is no such database: make it (CREATE DATABASE), or check the name in the address",
    ),
    (
        "permission denied for",
        "this user may not make the ledger's tables, or use them, in the schema polyreel. GRANT "
        "CREATE ON DATABASE lets it make them. Where another user has made them: GRANT USAGE ON "
        "SCHEMA, SELECT, INSERT, UPDATE, DELETE ON ALL TABLES, and USAGE ON ALL SEQUENCES IN it",
    ),
)
"""What does not pass by itself, and what to say about it."""
PASSING: Final[tuple[tuple[str, str], ...]] = (
    (
        "read-only transaction",
        "the database takes no writes: it is a standby, or set to be read only. Give the address "
        "of one that does, or try again when it does",
    ),
    (
        "Connection refused|No such file or directory",
        f"nothing answers there: check the host and the port in the address, or {AGAIN}",
    ),
    (
        "failed to resolve host|could not translate host name",
        f"there is no such host: check the address, or {AGAIN}",
    ),
)


def is_lasting(error: psycopg.Error) -> bool:
    """Whether it is of no use to connect again: the address, or the database, has to be changed."""
    return _advice(error, LASTING) is not None


def as_own(place: str, error: psycopg.Error | OSError) -> UnusableFileError:
    """An error of the database at a place, as one that says what to do about it."""
    advice = _advice(error, LASTING + PASSING)
    if advice is None:
        text = " ".join(str(error).split())[:300]
        advice = f"{text}; {AGAIN}"
        if isinstance(error, psycopg.DataError | psycopg.errors.ProgramLimitExceeded):
            advice = f"{text}; this cannot be written: give a shorter text, or another number"
    return UnusableFileError(f"the ledger {place}: {advice}")


def _advice(error: Exception, known: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, advice in known:
        if re.search(pattern, str(error)):
            return advice
    return None
