"""The table of limits, and the triggers that count the entries that share them.

A trigger counts whatever statement changes an entry, in its transaction. Entries without limits
touch none of it.
"""

from __future__ import annotations

from typing import Final

NOW: Final = "((julianday('now') - 2440587.5) * 86400.0)"
"""The seconds since 1970 by the clock of the database, in SQLite's words."""
POSTGRES_NOW: Final = "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"
COLUMNS: Final = "state, reserved, charged, limits"


def _spent(row: str, greatest: str) -> str:
    """What an entry counts for: what it can cost, or what it was charged, unless it is unpaid."""
    amounts = f"coalesce({row}.reserved, 0), coalesce({row}.charged, 0)"
    return (
        f"CASE WHEN {row}.limits IS NULL OR {row}.state IN ('queued', 'rejected', 'unsent')"
        f" THEN 0 ELSE {greatest}({amounts}) END"
    )


def _place(row: str) -> str:
    """Whether an entry is under way."""
    return (
        f"CASE WHEN {row}.limits IS NOT NULL AND {row}.state IN ('accepted', 'sending')"
        " THEN 1 ELSE 0 END"
    )


_COUNT: Final = """
    UPDATE {table} SET spent = spent + {spent}
        WHERE name = NEW.limits AND vendor = '' AND simulated = NEW.simulated AND {spent} <> 0;
    UPDATE {table} SET under_way = under_way + {place}
        WHERE name = NEW.limits AND vendor = NEW.vendor AND simulated = NEW.simulated
        AND {place} <> 0;
"""
"""The whole comes before the vendor, always: who changes both in this order waits for nobody who
waits for it.
"""


def _table(number: str, strict: str) -> str:
    return f"""
    ALTER TABLE jobs ADD COLUMN limits TEXT;
    ALTER TABLE jobs ADD COLUMN reserved {number};
    ALTER TABLE jobs ADD COLUMN charged {number};
    CREATE TABLE limits (
        name TEXT NOT NULL,
        vendor TEXT NOT NULL,
        simulated INTEGER NOT NULL,
        most {number},
        spent {number} NOT NULL DEFAULT 0,
        at_once INTEGER,
        under_way INTEGER NOT NULL DEFAULT 0,
        interval_seconds {"REAL" if strict else "DOUBLE PRECISION"},
        next_at {"REAL" if strict else "DOUBLE PRECISION"},
        PRIMARY KEY (name, vendor, simulated)
    ){strict};
    CREATE INDEX by_limits ON jobs(limits, simulated, vendor, state{"" if strict else ", rowid"})
        WHERE limits IS NOT NULL;
    """


def _sqlite() -> str:
    now, before = (_spent(row, "max") for row in ("NEW", "OLD"))
    place, place_before = _place("NEW"), _place("OLD")
    new = _COUNT.format(table="limits", spent=f"({now})", place=f"({place})")
    changed = _COUNT.format(
        table="limits", spent=f"({now} - {before})", place=f"({place} - {place_before})"
    )
    return f"""
    {_table("INTEGER", " STRICT, WITHOUT ROWID")}
    CREATE TRIGGER count_new AFTER INSERT ON jobs WHEN NEW.limits IS NOT NULL
    BEGIN {new} END;
    CREATE TRIGGER count_changed AFTER UPDATE OF {COLUMNS} ON jobs WHEN NEW.limits IS NOT NULL
    BEGIN {changed} END;
    """


def postgres_limits(schema: str) -> str:
    """The same for Postgres, where the tables are in a schema."""
    count = _COUNT.format(table=f"{schema}.limits", spent="money", place="places")
    now, before = (_spent(row, "greatest") for row in ("NEW", "OLD"))
    return f"""
    {_table("BIGINT", "")}
    CREATE FUNCTION count_limits() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        money BIGINT := {now};
        places INTEGER := {_place("NEW")};
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            money := money - {before};
            places := places - {_place("OLD")};
        END IF;
        {count}
        RETURN NULL;
    END $$;
    CREATE TRIGGER count_new AFTER INSERT ON jobs FOR EACH ROW
        WHEN (NEW.limits IS NOT NULL) EXECUTE FUNCTION count_limits();
    CREATE TRIGGER count_changed AFTER UPDATE OF {COLUMNS} ON jobs FOR EACH ROW
        WHEN (NEW.limits IS NOT NULL) EXECUTE FUNCTION count_limits();
    """


SQLITE_LIMITS: Final = _sqlite()
"""The script that adds it all to a file."""
