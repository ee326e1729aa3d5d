"""The ledger in Postgres, for work on several machines. It needs `polyreel[postgres]`.

    Client(ledger="postgresql://user@host/database", keys=...)

The tables are in a schema of their own. Statements are those of the other ledgers; a few words of
SQLite's are replaced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LedgerError, UnusableFileError
from .at_once import GroupedStatements, PreparedWrite, is_usual, prepared, write_at_once
from .commands import shown_place
from .events import Intend, Keep, LedgerEvent, Take
from .gathering import NOT_WRITTEN, GatheredWrites
from .keeping import StoredLedger
from .leases import LEASE, LeaseOwners
from .postgres_deliveries import BETWEEN, Delivery, deliver_at_once
from .postgres_states import keep_at_once
from .records import LedgerEntry
from .store import Delivered

try:
    import psycopg

    from .postgres_awaited import begin
    from .postgres_database import TAKEN_BACK, PostgresDatabase
    from .postgres_errors import as_own
except ImportError as error:
    raise LedgerError(
        f"a ledger in Postgres needs psycopg ({error}): pip install 'polyreel[postgres]'"
    ) from None

if TYPE_CHECKING:
    from ..providers.base.webhooks import Event
    from .postgres_connection import Outcome
    from .store import Write, Written


def _is_gathered(event: LedgerEvent) -> bool:
    """Whether an event can be written together with those of other threads."""
    return isinstance(event, Keep) or is_usual(event)


class PostgresLedger(StoredLedger):
    """The ledger in a Postgres database, shared by many machines.

    LedgerError is raised where it cannot be opened. An owner is alive as long as its process says
    so, by the database's clock: see `polyreel.ledger.leases`.
    """

    shares_commits = True

    def __init__(self, address: str, *, lease: float = LEASE) -> None:
        self.database = database = PostgresDatabase(address)
        self.named, self.lease = shown_place(address.strip()), lease
        """Seconds after which a process that was not seen is taken for dead."""
        self.place = database.place
        """Its address without a user and a password."""
        self.owners = LeaseOwners(database, lease)
        self._deliveries = count()
        self._callers: dict[str, float] = {}
        """When this process noted last that a vendor has called."""
        self._gathered = GatheredWrites(self._at_once, self._interrupted)
        self._delivered = GatheredWrites(self._deliver_all, lambda _: self._unknown())
        super().__init__(database, self.owners, self._local)

    def write(self, event: LedgerEvent, owner: str, now: float) -> Any:
        """Write one event of a flow durably; each event's class says what the result is."""
        if _is_gathered(event) and not self.database.is_writing:
            result = self._gathered.write(prepared((event, owner, now)))
            if result is not NOT_WRITTEN:
                return result
        return super().write(event, owner, now)

    def write_all(self, writes: Sequence[Write]) -> list[Any]:
        """Write several events of different flows durably, at once."""
        results = self._at_once([*map(prepared, writes)])
        return _with_others(writes, results, super().write_all)

    def begin_all(self, writes: Sequence[Write], written: Written) -> bool:
        """Begin to write without a thread what is as usual; see `LedgerStore.begin_all`."""
        every = dict(enumerate(map(prepared, writes)))
        if not all(one.row for one in every.values()) or not self._unwritten.is_empty:
            return False
        connection = self.database.take_idle()
        if connection is None:
            return False
        made = GroupedStatements(every)

        def answered(found: Sequence[Outcome] | Exception) -> None:
            self.database.give_back(connection)
            if isinstance(found, Exception):
                written(partial(self._after_error, writes, found))
                return
            try:
                results = made.results([answer.fetchall() for answer in found])
            except Exception as error:  # who waits is told so
                written(partial(_raise, error))
                return
            self._touch(writes, results)
            if len(results) < len(writes):
                written(partial(_with_others, writes, results, self.write_all))
            else:
                written([results[number] for number in range(len(writes))])

        if begin(connection, made.statements, answered):
            return True
        self.database.give_back(connection)
        return False

    def _after_error(self, writes: Sequence[Write], error: Exception) -> list[Any]:
        """The results of writes of which nothing is known, or nothing was written."""
        if isinstance(error, TAKEN_BACK):
            return self.write_all(writes)
        own = self._unknown()
        if isinstance(error, psycopg.Error | OSError):
            own = as_own(self.place, error)
        return [self._not_written(one, own) for one in writes]

    def _at_once(self, writes: Sequence[PreparedWrite]) -> dict[int, Any]:
        """The results of those writes that are made in few statements, by their numbers."""
        every = [one.write for one in writes]
        keeps = {n: (event, now) for n, (event, _, now) in enumerate(every) if type(event) is Keep}
        usual = {n: one for n, one in enumerate(writes) if one.row}
        if not usual and not keeps:
            return {}
        results: dict[int, Any] = {}
        try:
            self._write_unwritten()
            if usual:
                found = write_at_once([*usual.values()], self.database.run)
                results |= {number: found[n] for n, number in enumerate(usual) if n in found}
            if keeps:
                results |= keep_at_once(keeps, self.database.change)
        except UnusableFileError as error:
            left = {*usual, *keeps}.difference(results)
            results |= {number: self._not_written(every[number], error) for number in left}
        self._touch(every, results)
        return results

    def _touch(self, writes: Sequence[Write], results: Mapping[int, Any]) -> None:
        """Remember the entries that were written down here."""
        for number, result in results.items():
            event = writes[number][0]
            if isinstance(event, Take) and isinstance(result, LedgerEntry):
                self.touched.append(event.entry)
            elif isinstance(event, Intend) and isinstance(result, str):
                self.touched.append(result)

    def _interrupted(self, write: PreparedWrite) -> LedgerError:
        return self._not_written(write.write, self._unknown())

    def _unknown(self) -> LedgerError:
        text = "a thread was interrupted that wrote to it for others too; it may not be written"
        return LedgerError(f"the ledger {self.place}: {text}")

    def deliver(self, event: Event, now: float, *, simulated: bool = False) -> Delivered:
        """Write a webhook down, once; see `LedgerStore.deliver`."""
        if event.verified and not self.database.is_writing:
            result = self._delivered.write((event, now, simulated))
            if isinstance(result, Delivered):
                return result
        return super().deliver(event, now, simulated=simulated)

    def _deliver_all(self, deliveries: Sequence[Delivery]) -> dict[int, Any]:
        try:
            self._write_unwritten()
            numbers = [next(self._deliveries) for _ in deliveries]
            forgets = any(number % BETWEEN == 0 for number in numbers)
            found = deliver_at_once(
                deliveries, self.database.change, self._callers, forgets=forgets
            )
            return {
                number: Delivered(effect, self._entry(row, job))
                for number, (effect, row, job) in found.items()
            }
        except UnusableFileError as error:
            return dict.fromkeys(range(len(deliveries)), error)

    def _local(self, name: str) -> Path:
        import platformdirs  # noqa: PLC0415

        folder = hashlib.sha256(self.place.encode()).hexdigest()[:16]
        return platformdirs.user_data_path("polyreel") / f"postgres-{folder}" / name


def _raise(error: Exception) -> list[Any]:
    raise error


def _with_others(
    writes: Sequence[Write],
    results: Mapping[int, Any],
    write_all: Callable[[Sequence[Write]], list[Any]],
) -> list[Any]:
    """The results of writes, some of which are there by their numbers; the others are made here."""
    left = [number for number in range(len(writes)) if number not in results]
    others = write_all([writes[number] for number in left]) if left else []
    every = {**results, **dict(zip(left, others, strict=True))}
    return [every[number] for number in range(len(writes))]
