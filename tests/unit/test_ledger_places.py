"""Where a ledger can be: a file, or the address of a Postgres database, and nothing else."""

import os
import shlex
from pathlib import Path

import pytest
from polyreel.errors import LedgerError
from polyreel.ledger.commands import command
from polyreel.ledger.opening import open_ledger


@pytest.mark.parametrize(
    "place",
    [
        "mysql://root:s3cretPW@db.example.com/x",
        "postgresql+psycopg://u:s3cretPW@h/db",
        "postgresql:/u:s3cretPW@h/db",
        "sqlite:///s3cretPW.db",
        "host=db.example.com dbname=x user=u password=s3cretPW",
        "password = s3cretPW",
    ],
)
def test_another_address_is_no_file(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each machine would have a ledger of its own, and a folder the name of a password."""
    monkeypatch.chdir(tmp_path)
    for one in (place, Path(place)):
        with pytest.raises(LedgerError, match="postgresql://") as caught:
            open_ledger(one)
        assert "s3cretPW" not in str(caught.value)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("postgresql://me:s3cretPW@h/db", "postgresql://me:PASSWORD@h/db"),
        ("postgresql://me:s3cret:PW@h:5433,i/db", "postgresql://me:PASSWORD@h:5433,i/db"),
        ("postgresql://:s3cretPW@/db", "postgresql://:PASSWORD@/db"),
        ("postgres://h/db?user=me&password=s3cretPW", "postgres://h/db?user=me&password=PASSWORD"),
        ("postgresql:///db?pass%77ord=s3cretPW", "postgresql:///db?pass%77ord=PASSWORD"),
        ("postgresql://h/db?sslpassword=s3cretPW", "postgresql://h/db?sslpassword=PASSWORD"),
        ("postgresql://me@h/db?application_name=a@b:c", None),
        ("jobs.sqlite3", None),
    ],
)
def test_a_printed_command_has_no_password(place: str, shown: str | None) -> None:
    """The rest of the address is as it was given."""
    printed = command("jobs", ledger=place)
    assert "s3cretPW" not in printed
    assert shlex.split(printed) == ["polyreel", "jobs", "--ledger", shown or place]
