"""Submits that begin under limits, in one statement: in the words of Postgres.

Whoever changes a row of limits keeps all others from it until it is durable. So what is allowed,
and what is then written, is worked out where the row is: no message goes there and back meanwhile.
"""

# ruff: noqa: S608 - all that is put together is from this file
from __future__ import annotations

from typing import Final

from .limits import CLOCK_SECONDS
from .limits_schema import POSTGRES_NOW

ENTRY: Final = (
    "SELECT jobs.id, jobs.limits, jobs.vendor, jobs.simulated, jobs.reserved, given.number"
    " FROM jobs, given WHERE jobs.id = ANY(ARRAY[given.id])"
    # Not by any index but that of ids: a plan that was made with few entries is kept.
    " AND jobs.simulated + 0 = given.simulated AND jobs.state || '' = 'queued'"
    " AND jobs.limits || '' IS NOT NULL"
    " ORDER BY given.id FOR UPDATE OF jobs"
)
"""The entries that are queued, with locks: first they, then the whole of their limits, then those
at their vendors, as triggers do. Who locks in this order waits for nobody who waits for it.
"""
WHOLE: Final = (
    "SELECT name, simulated, most, spent FROM limits WHERE vendor = ''"
    " AND (name, simulated) IN (SELECT limits, simulated FROM entry)"
    " ORDER BY name, simulated FOR UPDATE"
)
OWN: Final = (
    "SELECT name, vendor, simulated, at_once, under_way, interval_seconds,"
    f" next_at - {POSTGRES_NOW} AS wait FROM limits WHERE EXISTS (SELECT 1 FROM whole)"
    " AND (name, vendor, simulated) IN (SELECT limits, vendor, simulated FROM entry)"
    " ORDER BY name, vendor, simulated FOR UPDATE"
)
COUNTED: Final = (
    "SELECT *, sum(reserved) OVER (PARTITION BY limits, simulated ORDER BY number) AS money,"
    " row_number() OVER (PARTITION BY limits, simulated, vendor ORDER BY number) AS place"
    " FROM entry"
)
"""What each entry comes to, with those before it."""
ADMITTED: Final = (
    "SELECT counted.id, own.name, own.vendor, own.simulated FROM counted"
    " JOIN whole ON whole.name = counted.limits AND whole.simulated = counted.simulated"
    " JOIN own ON own.name = counted.limits AND own.simulated = counted.simulated"
    " AND own.vendor = counted.vendor"
    " WHERE (whole.most IS NULL OR counted.reserved IS NOT NULL"
    " AND whole.spent + counted.money <= whole.most)"
    " AND (own.at_once IS NULL OR own.under_way + counted.place <= own.at_once)"
    " AND (own.interval_seconds IS NULL OR counted.place = 1 AND (own.wait IS NULL"
    f" OR own.wait <= 0 OR own.wait > own.interval_seconds + {CLOCK_SECONDS}))"
)
"""Those that are allowed together with all before them. The others are asked about one by one."""
PACED: Final = (
    f"UPDATE limits SET next_at = {POSTGRES_NOW} + limits.interval_seconds FROM admitted"
    " WHERE limits.name = admitted.name AND limits.vendor = admitted.vendor"
    " AND limits.simulated = admitted.simulated AND limits.interval_seconds IS NOT NULL"
)


def taking(rows: str, changes: str) -> str:
    """The statement that takes entries with limits; `rows` are those that are given."""
    numbered = f"SELECT *, row_number() OVER () AS number FROM {rows} AS those"
    parts = {
        "given": numbered,
        "entry": ENTRY,
        "whole": WHOLE,
        "own": OWN,
        "counted": COUNTED,
        "admitted": ADMITTED,
        "paced": PACED,
    }
    tables = ", ".join(f"{name} AS MATERIALIZED ({text})" for name, text in parts.items())
    return (
        f"WITH {tables} UPDATE jobs SET {changes} FROM given, admitted"
        " WHERE given.id = admitted.id AND jobs.id = ANY(ARRAY[admitted.id]) RETURNING jobs.*"
    )
