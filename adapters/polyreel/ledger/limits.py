"""Limits that all share who work on a ledger: of money, of places, and of pace.

An entry may name its limits, such as `web`. A row of the table holds what all entries of that name
may cost together, and one for each vendor how many of them may be under way there, and how fast
they begin. Triggers count the entries in the transaction that changes their state, so that no crash
can come in between (`polyreel.ledger.limits_schema`). The transaction in which a submit begins is
taken back where a count would exceed its limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, Final, TypedDict

from attrs import frozen

from ..errors import BudgetError, LedgerError
from ..money.amounts import GIVE_PRICES
from .commands import command
from .limits_schema import NOW
from .records import Later
from .rows import NANODOLLARS, limits_columns, nanodollars

if TYPE_CHECKING:
    from .database import Database, StoredRow, Transaction
    from .records import LedgerEntry, Submission

WHOLE: Final = ""
"""The vendor of the row that holds for all vendors together."""
PLACE_SECONDS: Final = 1.0
"""Seconds after which it is tried again where no place was free."""
CLOCK_SECONDS: Final = 120.0
"""A moment that is later than a pause and this is of a clock that was set, and does not count."""
USED_UP: Final = "the limit of money is used up: "
"""How the reason begins of an entry that was not sent because of money."""
KEY: Final = "name = ? AND vendor = ? AND simulated = ?"


class NotYetError(LedgerError):
    """The limits of an entry do not allow its submit just now. Nothing was sent."""

    later: Later | None = None


def _not_yet(later: Later, vendor: str) -> NotYetError:
    error = NotYetError(
        f"the limits {later.limits!r} allow no further job at {vendor} just now; nothing was sent: "
        f"try again in {later.seconds:.0f} s, or change them with polyreel limits",
        vendor=vendor,
    )
    error.later = later
    return error


@frozen
class SharedLimit:
    """The limits of a name, as they are now: for all vendors together, or at one of them."""

    name: str
    vendor: str
    """Empty for all vendors together."""
    simulated: bool
    max_cost: Decimal | None
    """The most dollars that all may cost together; None for no limit, and in a vendor's row."""
    spent: Decimal
    """The most dollars that those may have cost that are not proved unpaid."""
    concurrency: int | None
    """How many may be under way at one vendor; None for no limit."""
    under_way: int
    """How many are being sent, or are accepted and have not ended."""
    rate: float | None
    """How many are begun at one vendor in a minute at most; None for no limit."""


class LimitChanges(TypedDict, total=False):
    """What can be changed. What is left out stays as it is; None takes a limit away."""

    max_cost: Decimal | int | None
    rate: float | None
    concurrency: int | None


class LimitRows:
    """The limits that are kept in the database of a ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def found(self, name: str | None = None, *, simulated: bool | None = None) -> list[SharedLimit]:
        """List the limits: all, those of one name, those of live or of simulated jobs."""
        select = "SELECT * FROM limits WHERE name = coalesce(?, name)"
        rows = self._database.query(f"{select} ORDER BY name, simulated, vendor", name)
        return [_read(row) for row in rows if simulated in {None, bool(row["simulated"])}]

    def set(
        self, name: str, vendor: str = WHOLE, *, simulated: bool, changes: LimitChanges
    ) -> None:
        """Change limits. Without a vendor, rate and concurrency hold at each vendor alike."""
        columns: dict[str, int | float | None] = {}
        if "max_cost" in changes:
            usd = changes["max_cost"]
            whole = None if usd is None else (Decimal(usd) * NANODOLLARS)
            columns["most"] = None if whole is None else int(whole.to_integral_value(ROUND_FLOOR))
        pace: dict[str, int | float | None] = {}
        if "concurrency" in changes:
            pace["at_once"] = changes["concurrency"]
        if "rate" in changes:
            rate = changes["rate"]
            pace["interval_seconds"] = None if rate is None else 60 / rate
        with self._database.writing() as connection:
            self._add(connection, name, vendor, simulated)
            for changed, where in ((columns, "AND vendor = ''"), (pace, "AND vendor = ?")):
                if not changed:
                    continue
                text = ", ".join(f"{column} = ?" for column in changed)
                chosen, values = where, [*changed.values(), name, int(simulated)]
                if changed is pace:
                    chosen, values = ("", values) if vendor == WHOLE else (where, [*values, vendor])
                key = f"name = ? AND simulated = ? {chosen}"
                connection.execute(f"UPDATE limits SET {text} WHERE {key}", values)  # noqa: S608

    def adopt(self, name: str, entries: Mapping[str, LedgerEntry], most: Mapping[str, Any]) -> None:
        """Count entries under a name that have no limits. `most` are the dollars of each, by id."""
        with self._database.writing() as connection:
            for identity, entry in entries.items():
                self._add(connection, name, entry.vendor, entry.submission.simulated)
                usd = most.get(identity)
                connection.execute(
                    "UPDATE jobs SET limits = ?, reserved = ? WHERE id = ? AND limits IS NULL",
                    (name, None if usd is None else nanodollars(usd), identity),
                )

    # -- when submits begin ------------------------------------------------------------------------

    def begin(self, connection: Transaction, submission: Submission) -> None:
        """Have the rows of the limits that a new entry names.

        BudgetError is raised where money is limited, and its price is unknown.
        """
        name, simulated = submission.limits, submission.simulated
        if name is None:
            return
        select = "SELECT vendor, most FROM limits"
        chosen = "name = ? AND simulated = ? AND vendor IN ('', ?)"
        values = (name, int(simulated), submission.vendor)
        found = self._database.query(f"{select} WHERE {chosen}", *values)
        if len(found) < 2:
            self._add(connection, name, submission.vendor, simulated)
        if submission.most_usd is None and any(row["most"] is not None for row in found):
            raise BudgetError(
                f"the price at {submission.vendor} is unknown, and the limits {name!r} allow a "
                f"certain cost only; nothing was sent: {GIVE_PRICES}, or take the limit away with "
                f"{command('limits', name, '--max-cost', 'none', live=not simulated)}",
                vendor=submission.vendor,
            )

    def admit_new(self, connection: Transaction, submission: Submission) -> None:
        """Let a submit begin whose entry counts already, as `admit` does."""
        if submission.limits is not None:
            own = {"vendor": submission.vendor, "simulated": int(submission.simulated)}
            self.admit(connection, {"reserved": None, **own, **limits_columns(submission)})

    def admit(self, connection: Transaction, entry: StoredRow) -> None:
        """Let a submit begin whose entry, with its limits, counts in this transaction already.

        BudgetError is raised where money is used up, NotYetError where no place is free, or the
        last submit was too short ago. The caller takes the transaction back then.
        """
        name, vendor, simulated = entry["limits"], entry["vendor"], entry["simulated"]
        if name is None:
            return
        # Not locked: what was counted is, and the rest may change.
        wait = f"next_at - {NOW} AS wait"
        select = f"SELECT vendor, most, spent, at_once, under_way, interval_seconds, {wait}"
        chosen = "name = ? AND simulated = ? AND vendor IN ('', ?)"
        rows = self._database.query(f"{select} FROM limits WHERE {chosen}", name, simulated, vendor)
        found = {row["vendor"]: row for row in rows}
        whole, own = found[WHOLE], found[vendor]
        if whole["most"] is not None:
            _check_money(entry, whole)
        if own["at_once"] is not None and own["under_way"] > own["at_once"]:
            raise _not_yet(Later(name, PLACE_SECONDS), vendor)
        pause, left = own["interval_seconds"], own["wait"]
        if pause is None:
            return
        if left is not None and 0 < left <= pause + CLOCK_SECONDS:
            raise _not_yet(Later(name, float(left)), vendor)
        update = f"UPDATE limits SET next_at = {NOW} + interval_seconds WHERE {KEY}"  # noqa: S608
        connection.execute(update, (name, vendor, simulated))

    def _add(self, connection: Transaction, name: str, vendor: str, simulated: bool) -> None:
        """Make the rows that are missing; a vendor's has the pace of the whole."""
        insert = "INSERT INTO limits (name, vendor, simulated, at_once, interval_seconds)"
        key = (name, int(simulated))
        connection.execute(
            f"{insert} VALUES (?, '', ?, NULL, NULL) ON CONFLICT DO NOTHING",
            key,
        )
        if vendor != WHOLE:
            copied = "SELECT name, CAST(? AS TEXT), simulated, at_once, interval_seconds FROM"
            connection.execute(
                f"{insert} {copied} limits WHERE name = ? AND vendor = '' AND simulated = ?"
                " ON CONFLICT DO NOTHING",
                (vendor, *key),
            )


def _check_money(entry: StoredRow, whole: StoredRow) -> None:
    name, reserved = entry["limits"], entry["reserved"]
    if reserved is not None and whole["spent"] <= whole["most"]:
        return
    most, before = in_dollars(whole["most"]), in_dollars(whole["spent"] - (reserved or 0))
    what = "nobody knows what this job costs"
    if reserved is not None:
        what = f"this job can cost ${in_dollars(reserved):f}"
    typed = command("limits", name, "--max-cost", "USD", live=not entry["simulated"])
    raise BudgetError(
        f"{USED_UP}of the ${most:f} of {name!r}, ${before:f} may be spent, and {what}; nothing was "
        f"sent: raise the limit with {typed}, and submit it again",
        vendor=entry["vendor"],
    )


def in_dollars(amount: int) -> Decimal:
    """An amount of the table in dollars, without needless zeros."""
    usd = Decimal(amount) / NANODOLLARS
    return usd.quantize(Decimal(1)) if usd == usd.to_integral_value() else usd.normalize()


def was_used_up(reasons: Iterable[str | None]) -> bool:
    """Whether one of the reasons is that the money was used up."""
    return any(reason is not None and reason.startswith(USED_UP) for reason in reasons)


def _read(row: StoredRow) -> SharedLimit:
    pause = row["interval_seconds"]
    return SharedLimit(
        name=row["name"],
        vendor=row["vendor"],
        simulated=bool(row["simulated"]),
        max_cost=None if row["most"] is None else in_dollars(row["most"]),
        spent=in_dollars(row["spent"]),
        concurrency=row["at_once"],
        under_way=row["under_way"],
        rate=None if pause is None else 60 / pause,
    )
