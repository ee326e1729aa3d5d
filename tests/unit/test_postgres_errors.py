"""What Postgres says when it refuses a connection, and what the ledger makes of it."""

from __future__ import annotations

import psycopg
import pytest
from polyreel.errors import LedgerError
from polyreel.ledger.opening import open_ledger
from polyreel.ledger.postgres_errors import as_own, is_lasting

FATAL = 'connection failed: connection to server at "db", port 5432 failed: FATAL:  '
LASTING = {
    f'{FATAL}password authentication failed for user "me"': "password",
    "connection failed: fe_sendauth: no password supplied": "password",
    f'{FATAL}role "me" does not exist': "user",
    f'{FATAL}role "me" is not permitted to log in': "user",
    f'{FATAL}no pg_hba.conf entry for host "10.0.0.1", user "me", database "x"': "pg_hba.conf",
    f'{FATAL}database "x" does not exist': "CREATE DATABASE",
    "permission denied for database x": "GRANT",
}
PASSING = {
    'connection to server at "db", port 9 failed: Connection refused': "the port in the address",
    "failed to resolve host 'db': [Errno -2] Name or service not known": "no such host",
    f"{FATAL}the database system is starting up": "try again",
    f"{FATAL}sorry, too many clients already": "too many clients",
    "server closed the connection unexpectedly": "try again",
    "cannot execute INSERT in a read-only transaction": "standby",
}


@pytest.mark.parametrize(("text", "said"), [*LASTING.items(), *PASSING.items()])
def test_it_says_what_to_do_without_the_user(text: str, said: str) -> None:
    error = psycopg.OperationalError(text)
    own = str(as_own("postgresql://db:5432/x", error))
    assert said in own
    assert "me" not in own.split()
    assert '"me"' not in own
    assert is_lasting(error) == (text in LASTING)
    assert ("try again" in own) == (text in PASSING)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.DataError("integer out of range"),
        psycopg.errors.ProgramLimitExceeded("index row requires 12016 bytes"),
    ],
)
def test_what_no_column_takes_is_not_tried_again(error: psycopg.Error) -> None:
    own = str(as_own("postgresql://db:5432/x", error))
    assert "cannot be written" in own
    assert "try again" not in own


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:a@secret1@localhost:1/db",
        "postgresql://u:a/secret1@localhost:1/db",
        "postgresql://u:a secret1@localhost:1/db",
        "postgresql://u:%zzsecret1@localhost:1/db",
        "postgresql://u:a?b@secret1@localhost:1/db?sslmode=prefer",
        "postgresql://u:a?/secret1@localhost:1/db",
        "postgresql://u:secret1/?x@localhost:1/db",
        " POSTGRESQL://u:%zzsecret1@localhost:1/db",
    ],
)
def test_a_password_that_is_not_encoded_is_in_no_message(address: str) -> None:
    """What libpq takes for a host, or quotes, may be a part of it."""
    with pytest.raises(LedgerError, match="%40") as caught:
        open_ledger(address)
    assert "secret1" not in str(caught.value)
