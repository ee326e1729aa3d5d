"""The results of a table as a table: each row as it was, with what became of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Final

from .results import Result
from .tables import SEPARATOR, Table

NAMES: Final = ("state", "vendor", "job", "files", "usd", "billed", "error", "simulated")
"""The columns that are added. One that the table has already is called `result_...`."""


def as_table(results: Iterable[Result]) -> bytes | None:
    """The results in the delimiter and with the columns of their file; None where it is no table.

    `usd` is what the vendor said that it charged, or else the estimate. Files have `|` between.
    """
    rows = [(one.row.record, one) for one in results if one.row.record is not None]
    if not rows:
        return None
    table = rows[0][0].table
    text = io.StringIO(newline="")
    writer = csv.writer(
        text, delimiter=table.delimiter, lineterminator="\r\n" if table.mark else "\n"
    )
    writer.writerow([*table.header, *_names(table)])
    for record, result in rows:
        writer.writerow([*record.cells, *_cells(result)])
    return text.getvalue().encode("utf-8-sig" if table.mark else "utf-8")


def _names(table: Table) -> list[str]:
    taken = {name.strip().lower() for name in table.header}
    return [f"result_{name}" if name in taken else name for name in NAMES]


def _cells(result: Result) -> list[str]:
    said = result.document()
    cells = {
        **said,
        "files": SEPARATOR.join(said["files"]),
        "usd": (said["charge"] or {}).get("usd") or said["cost"]["usd"],
        "error": said["error"] and said["error"]["message"],
        "simulated": {True: "yes", False: "no"}.get(said["simulated"]),
    }
    return [cells[name] or "" for name in NAMES]
