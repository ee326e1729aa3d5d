"""Owners of ledger entries on many machines: a process is alive as long as it says so in time.

Each process has a row with the moment when it was last seen, by the database's clock. Who has not
been seen for a lease is taken for dead: its submits that were on their way are ambiguous then, and
others may take its jobs over. A lease proves nothing, so no money rests on it: who was taken for
dead too early settles its submits all the same, and sends no other.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from ..errors import LedgerError

if TYPE_CHECKING:
    from .database import Database

LOG: Final = logging.getLogger("polyreel")
LEASE: Final = 30.0
"""Seconds after which a process that was not seen is taken for dead."""
FORGOTTEN: Final = 86_400
"""Seconds after which the row of a dead process is forgotten."""
SEEN: Final = "seen_at > clock_timestamp() - make_interval(secs => ?)"
ALIVE: Final = (
    # After a restart nobody could be seen for a while.
    f"({SEEN} OR pg_postmaster_start_time() > clock_timestamp() - make_interval(secs => ?))"
)


class LeaseOwners:
    """The owners of a ledger in a database that many machines share."""

    def __init__(self, database: Database, lease: float = LEASE) -> None:
        self._database = database
        self._lease = lease
        self._guard = threading.Lock()
        self._process: _Process | None = None
        self._number = 0
        self._living: tuple[float, frozenset[str]] = (0.0, frozenset())

    def new(self) -> str:
        """Make a new owner in this process; the result is its name."""
        with self._guard:
            process = self._process
            if process is None or process.pid != os.getpid() or process.is_lost:
                process = self._process = _Process(self._database, self._lease)
            self._number += 1
            owner = f"{process.name}/{self._number}"
            process.owners.add(owner)
            return owner

    def end(self, owner: str) -> None:
        """End an owner of this process."""
        with self._guard:
            if self._process is not None:
                self._process.owners.discard(owner)

    def is_alive(self, owner: str | None, within: float = 0.0) -> bool:
        """Whether an owner is at work, in any process; or was so, so many seconds ago."""
        if owner is None:
            return False
        name = owner.partition("/")[0]
        with self._guard:
            process = self._process
            if process is not None and (process.pid, process.name) == (os.getpid(), name):
                return owner in process.owners
        return name in self._seen_lately(within) or name in self._seen_lately(0.0)

    def _seen_lately(self, seconds: float) -> frozenset[str]:
        read_at, living = self._living
        if time.monotonic() - read_at >= seconds:
            read_at = time.monotonic()
            statement = f"SELECT id FROM owners WHERE {ALIVE}"  # noqa: S608
            rows = self._database.query(statement, self._lease, self._lease)
            living = frozenset(str(row["id"]) for row in rows)
            self._living = read_at, living
        return living

    def processes(self) -> list[tuple[str, str, int | None, float]]:
        """The processes that were seen within a lease."""
        seen = "extract(epoch FROM clock_timestamp() - seen_at)"
        chosen = f"{ALIVE} ORDER BY host"
        select = f"SELECT id, host, {seen} AS ago FROM owners WHERE {chosen}"  # noqa: S608
        rows = self._database.query(select, self._lease, self._lease)
        places = [str(row["host"]).rpartition("/") for row in rows]
        return [
            (str(row["id"]), host, int(number), float(row["ago"]))
            for row, (host, _, number) in zip(rows, places, strict=True)
        ]

    def check(self, owner: str) -> None:
        """Raise LedgerError where an owner may soon be taken for dead: it must not pay any more."""
        process = self._process
        name = owner.partition("/")[0]
        if process is None or process.name != name or not process.may_send():
            raise LedgerError(
                "the ledger's database has not heard of this process for too long, so that others "
                "may take it for dead; nothing was sent: try again when the database answers"
            )

    def close(self) -> None:
        """End all owners of this process."""
        with self._guard:
            process, self._process = self._process, None
        if process is not None and process.pid == os.getpid():
            process.end()


class _Process:
    """A row of this process among the owners, and the thread that says that it is alive."""

    def __init__(self, database: Database, lease: float) -> None:
        self.pid = os.getpid()
        self.name = secrets.token_hex(8)
        self.owners: set[str] = set()
        self.is_lost = False
        """Whether it may have been taken for dead."""
        self._database, self._lease = database, lease
        self._beat_at = time.monotonic()
        with database.writing() as writing:
            writing.execute(
                f"DELETE FROM owners WHERE NOT {SEEN}",  # noqa: S608
                (float(FORGOTTEN),),
            )
            writing.execute(
                "INSERT INTO owners (id, host, seen_at) VALUES (?, ?, clock_timestamp())",
                (self.name, f"{socket.gethostname()}/{self.pid}"),
            )
        self._ended = threading.Event()
        threading.Thread(target=self._beat, name="polyreel-lease", daemon=True).start()

    def _beat(self) -> None:
        seen = "SET seen_at = clock_timestamp()"
        update = f"UPDATE owners {seen} WHERE id = ? AND {ALIVE}"
        is_away = False
        while not self._ended.wait(self._lease / 6) and not self.is_lost:
            began = time.monotonic()
            try:
                with self._database.writing() as writing:
                    values = (self.name, self._lease, self._lease)
                    is_seen = writing.execute(update, values).rowcount == 1
            except LedgerError as error:
                LOG.log(logging.DEBUG if is_away else logging.WARNING, "%s", error)
                is_away = True
                continue
            is_away = False
            if is_seen:
                self._beat_at = began
            else:
                self.is_lost = True

    def may_send(self) -> bool:
        """Whether nobody can have taken it for dead before the next half of a lease is over."""
        return not self.is_lost and time.monotonic() - self._beat_at < self._lease / 2

    def end(self) -> None:
        """Stop, and forget the process."""
        self._ended.set()
        try:
            with self._database.writing() as writing:
                writing.execute("DELETE FROM owners WHERE id = ?", (self.name,))
        except LedgerError as error:
            LOG.warning("%s", error)
