"""The ledger in memory of the worlds does what the ledger in a file does, step by step."""

from __future__ import annotations

import errno
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define, evolve, field
from polyreel import Job
from polyreel.errors import PolyreelError, UnusableFileError
from polyreel.flows import Moment
from polyreel.ledger.events import (
    Claim,
    Find,
    Intend,
    Keep,
    Known,
    Look,
    News,
    Past,
    Queue,
    ReadNews,
    Released,
    Settle,
    Take,
)
from polyreel.ledger.records import LedgerEntry
from polyreel.ledger.sqlite import Ledger
from polyreel.ledger.store import Delivered, LedgerStore
from polyreel.ledger.uploads import ForgetUpload, KeepUpload, TakeUpload, UploadKey
from polyreel.providers.base.facts import Facts
from polyreel.providers.base.webhooks import Event
from support import matrix
from support.ledgers import NOW, VENDOR, database, job, submission
from support.loops import hold_for_all
from support.webhooks import HOOKED, webhook
from support.worlds.ledger import MemoryLedger
from support.worlds.table import MemoryFile, Outage

SEQUENCES = 60
LENGTH = 60
STATUSES = ("queued", "running", "succeeded", "failed", "canceled")
OUTCOMES = ("accepted", "accepted", "accepted", "ambiguous", "rejected", "unsent", "queued")


@define(eq=False)
class Pair:
    """The same operations on a ledger in a file and on one in memory."""

    path: Path
    seed: int
    memory: MemoryFile = Factory(MemoryFile)
    made: list[tuple[str, str]] = Factory(list)
    """The ids of the entries in both."""
    owners: list[tuple[int, str, str]] = Factory(list)
    """A process, and the names of an owner in it."""
    processes: list[tuple[Ledger, MemoryLedger]] = Factory(list)
    now: float = NOW
    begun: int = 0
    chance: random.Random = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.memory.now = lambda: self.now
        for _ in range(2):
            self.open()

    def open(self) -> None:
        """Start a process."""
        self.begun += 1
        memory = MemoryLedger(self.memory, f"process {self.begun}")
        file = Ledger(self.path)
        keep = file._unwritten.keep

        def keep_if_there_is_room(event: Settle | Released, now: float) -> None:
            if self.memory.outage == "full":
                raise OSError(errno.ENOSPC, "No space left on device")
            keep(event, now)

        setattr(file._unwritten, "keep", keep_if_there_is_room)  # noqa: B010
        self.processes.append((file, memory))

    def both(self, number: int, do: Callable[[LedgerStore, int], Any]) -> Any:
        """Do the same in both; what comes out has to be the same."""
        in_file, in_memory = self.processes[number]
        file, memory = self._outcome(in_file, 0, do), self._outcome(in_memory, 1, do)
        assert file[1] == memory[1]
        return file[0], memory[0]

    def _outcome(
        self, ledger: LedgerStore, which: int, do: Callable[[LedgerStore, int], Any]
    ) -> tuple[Any, Any]:
        try:
            found = do(ledger, which)
        except PolyreelError as error:
            # The file's connection is made to refuse, which is no full disk for SQLite.
            unusable = isinstance(error, UnusableFileError)
            kind = UnusableFileError if unusable else type(error)
            return None, (kind.__name__, self._plain(error.ledger_id, which))
        return found, self._plain(found, which)

    def _plain(self, found: Any, which: int) -> Any:
        """A result without the ids, which are other ones in each ledger."""
        if isinstance(found, LedgerEntry):
            names = {name: self._plain(getattr(found, name), which) for name in ("id", "follows")}
            return evolve(found, job=self._plain(found.job, which), **names)
        if isinstance(found, Job):
            return found.model_copy(update={"ledger_id": self._plain(found.ledger_id, which)})
        if isinstance(found, News):
            return sorted(str(self._plain(one, which)) for one in found.ended), found.callers
        if isinstance(found, Delivered):
            return found.effect, self._plain(found.entry, which)
        if isinstance(found, list):
            return [self._plain(one, which) for one in found]
        if isinstance(found, str):
            return next((n for n, ids in enumerate(self.made) if ids[which] == found), "new")
        return found

    def fail(self, outage: Outage | None) -> None:
        """Begin or end an outage of the file. One connection is shared by the processes."""
        self.memory.outage = outage
        connection = database(self.processes[0][0])

        def refuse(action: int, *_: object) -> int:
            refused = outage == "torn" or action == sqlite3.SQLITE_TRANSACTION
            return sqlite3.SQLITE_DENY if refused else sqlite3.SQLITE_OK

        connection.set_authorizer(refuse if outage else None)

    def die(self, number: int) -> None:
        """End a process without any clean-up, and start another in its place."""
        file, memory = self.processes[number]
        if (process := file._process_owners._process) is not None:
            process[2].release()
        self.memory.living.discard(memory.process)
        file._file.close()
        self.owners = [owner for owner in self.owners if owner[0] != number]
        self.open()
        self.processes[number] = self.processes.pop()

    # -- one random operation ----------------------------------------------------------------------

    def step(self) -> None:
        """One operation, which may make no sense."""
        self.now += self.chance.choice((0.0, 1.0, 60.0, 4000.0))
        actions = {
            self.intend: 5,
            self.intend_again: 2,
            self.queue: 2,
            self.take: 4,
            self.settle: 5,
            self.keep: 3,
            self.claim: 2,
            self.release: 3,
            self.ask: 3,
            self.abandon: 1,
            self.deliver: 3,
            self.upload: 3,
            self.misfortune: 2,
            self.look: 3,
        }
        self.chance.choices([*actions], [*actions.values()])[0]()

    def _number(self) -> int:
        return self.chance.randrange(len(self.processes))

    def _owner(self) -> tuple[int, str, str]:
        """An owner of before, or a new one."""
        if not self.owners or self.chance.random() < 0.4:
            number = self._number()
            file, memory = self.processes[number]
            if self.memory.outage == "torn":
                self.fail(None)
            self.owners.append((number, file.new_owner(), memory.new_owner()))
        return self.chance.choice(self.owners)

    def _entry(self) -> tuple[str, str]:
        return self.chance.choice(self.made) if self.made else ("aaaaaaaa", "aaaaaaaa")

    def intend(self) -> None:
        number, *owners = self._owner()
        reference = self.chance.choice((None, "one", "two"))
        follows = self._entry() if self.chance.random() < 0.3 else None
        sent = self.chance.choice((None, Moment(self.now, 5.0)))
        own = submission(reference=reference)

        def do(ledger: LedgerStore, which: int) -> Any:
            event = Intend(own, follows=follows and follows[which], sent=sent)
            return ledger.write(event, owners[which], self.now)

        made = self.both(number, do)
        if made[0] is not None:
            self.made.append(made)

    def intend_again(self) -> None:
        number, *owners = self._owner()
        entry = self._entry()
        event = Intend(submission(), sent=Moment(self.now, 6.0))
        self.both(
            number,
            lambda ledger, which: ledger.write(
                evolve(event, entry=entry[which]), owners[which], self.now
            ),
        )

    def queue(self) -> None:
        own = submission(reference=self.chance.choice((None, "one", "two")))
        made = self.both(self._number(), lambda ledger, _: ledger.write(Queue(own), "", self.now))
        if made[0] is not None:
            self.made.append((made[0].id, made[1].id))

    def take(self) -> None:
        number, *owners = self._owner()
        entry, sent = self._entry(), self.chance.choice((None, Moment(self.now, 7.0)))

        def do(ledger: LedgerStore, which: int) -> Any:
            event = Take(entry[which], True, sent)
            return ledger.write(event, owners[which], self.now)

        self.both(number, do)

    def settle(self) -> None:
        number, *owners = self._owner()
        entry = self._entry()
        state: Any = self.chance.choice(OUTCOMES)
        made = self._job() if state == "accepted" else None
        attempt = self.chance.choice((1, 2)) if state == "queued" else None
        event = Settle("", state, f"it was {state}", made, attempt=attempt)
        self.both(
            number,
            lambda ledger, which: ledger.write(
                evolve(event, entry=entry[which]), owners[which], self.now
            ),
        )

    def _job(self) -> Job:
        status = self.chance.choice(STATUSES)
        more: dict[str, Any] = {"created_at": NOW}
        if status == "succeeded" and self.chance.random() < 0.7:
            path = {"path": "clips/1.mp4"} if self.chance.random() < 0.5 else {}
            more["outputs"] = [{"url": f"https://x.example/{self.chance.randrange(2)}", **path}]
        elif status in {"failed", "canceled"}:
            more["error"] = {"message": "it went wrong"}
        return job(f"task-{self.chance.randrange(5)}", status, **more)

    def keep(self) -> None:
        number, *owners = self._owner()
        event = Keep(self._job())
        self.both(number, lambda ledger, which: ledger.write(event, owners[which], self.now))

    def claim(self) -> None:
        number, *owners = self._owner()
        entry = self._entry()
        self.both(
            number,
            lambda ledger, which: ledger.write(Claim(entry[which]), owners[which], self.now),
        )

    def release(self) -> None:
        if not self.owners:
            return
        number, *owners = self.owners.pop(self.chance.randrange(len(self.owners)))
        sent = self.chance.random() < 0.5
        self.both(number, lambda ledger, which: ledger.release(owners[which], sent=sent))

    def ask(self) -> None:
        known = Known(VENDOR, ("task-0", "task-1", "no task"), simulated=True)
        news = ReadNews(self.now - 5000.0, True, self.chance.choice((None, self._job())))
        find = Find(self.chance.choice(("one", "two", "three")), simulated=True)
        event = self.chance.choice((known, news, find, Past(self._job())))
        self.both(self._number(), lambda ledger, _: ledger.write(event, "", self.now))

        entry = self._entry()
        self.both(
            self._number(),
            lambda ledger, which: ledger.write(Look(entry[which]), "", self.now),
        )

    def abandon(self) -> None:
        entry = self._entry()
        self.both(self._number(), lambda ledger, which: ledger.abandon(entry[which]))

    def deliver(self) -> None:
        vendor = self.chance.choice(HOOKED)
        status = self.chance.choice(("running", "succeeded", "failed"))
        urls = ("https://x.example/0",) if status == "succeeded" else ()
        task = f"task-{self.chance.randrange(5)}"
        facts = Facts(
            id=task,
            word=status,
            status=status,  # type: ignore[arg-type]
            progress=None,
            urls=urls,
            usage=None,
            estimated_seconds=None,
            error_code=None,
            error_message=None,
            raw={},
        )
        name = f"delivery {self.chance.randrange(9)}"
        event = Event(vendor, name, task, facts, webhook(vendor).signed)
        self.both(self._number(), lambda ledger, _: ledger.deliver(event, self.now, simulated=True))

    def upload(self) -> None:
        number, *owners = self._owner()
        key = UploadKey(VENDOR, self.chance.choice(("content", "other")), simulated=True)
        kept = KeepUpload(key, "https://x.example/file", self.chance.choice((5.0, 9000.0)))
        event = self.chance.choice((TakeUpload(key), TakeUpload(key), kept, ForgetUpload(key)))
        self.both(number, lambda ledger, which: ledger.write(event, owners[which], self.now))

    def misfortune(self) -> None:
        kind = self.chance.choice(("death", "locked", "full", "torn", None, None))
        if kind == "death":
            self.die(self._number())
        else:
            self.fail(kind)  # type: ignore[arg-type]

    def look(self) -> None:
        """All entries are the same in both."""
        states = self.chance.choice((None, None, ["ambiguous"], ["accepted", "saved"], []))
        last = self.chance.choice((None, None, 0, 1, 3))
        entries: Any = lambda ledger, _: ledger.entries(states, last=last)  # noqa: E731
        self.both(self._number(), entries)
        names, starts = ["one", "other"], self.chance.choice(((), ("t",), ("", "o")))
        self.both(
            self._number(),
            lambda ledger, _: ledger.of_references(names, starts, simulated=True),
        )
        self.both(self._number(), lambda ledger, _: ledger.last_simulated())


@pytest.mark.matrix
def test_the_model_does_what_the_file_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any sequence of operations has the same results and errors, and leaves the same entries."""

    def check(seed: int) -> None:
        pair = Pair(tmp_path / f"{seed}.sqlite3", seed)
        monkeypatch.setattr("time.time", lambda: pair.now)
        for _ in range(LENGTH):
            pair.step()
        pair.fail(None)
        pair.look()
        pair.both(0, lambda ledger, _: ledger.entries())
        for file, memory in pair.processes:
            file.close()
            memory.close()

    seeds = matrix.drawn(range(SEQUENCES), 10)
    hold_for_all(check, [(f"the seed {seed}", (seed,)) for seed in seeds])
