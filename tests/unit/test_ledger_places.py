"""Where a ledger can be: a file, or the address of a Postgres database, and nothing else."""

import os
from pathlib import Path

import pytest
from polyreel.errors import LedgerError
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
