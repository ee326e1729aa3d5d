"""The protocol of a ledger, whatever keeps it. `polyreel.ledger.sqlite` keeps one in a file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, Self

from attrs import frozen

from .records import LedgerEntry, State

if TYPE_CHECKING:
    from ..providers.base.webhooks import Event
    from .events import LedgerEvent

PAST_JOBS: Final = 50
"""From how many past jobs it is learned when to ask a vendor."""
CALLER_SECONDS: Final = 3600.0
"""A vendor is expected to call back if its last webhook came no more than this long ago."""
DELIVERY_DAYS: Final = 7
"""How long webhook ids are kept. No signature stays valid nearly as long."""
ID_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""The characters of entry ids: none that looks like another one."""
ID_LENGTH: Final = 16
"""So long that of a billion ids no two are equal. Older entries have shorter ids."""
TOUCHED: Final = 10_000
"""How many of the entries that were written down or taken over last are remembered as such."""
DIED: Final = "the process ended while the submit was on its way"
INTERRUPTED: Final = "interrupted while the submit was on its way"
NOTHING_SENT: Final = "interrupted before anything was sent"

Write = tuple["LedgerEvent", str, float]
"""One write: an event, its owner, and the moment."""
Written = Callable[[list[Any] | Callable[[], list[Any]]], None]
"""Hears the results of writes, or what makes these in a thread."""
Effect = Literal["applied", "unchanged", "duplicate", "unknown-job", "hint"]


@frozen
class Delivered:
    """What a webhook changed in the ledger. After a `hint` the vendor has to be asked."""

    effect: Effect
    entry: LedgerEntry | None = None


class LedgerStore(Protocol):
    """A ledger, for everybody who works with one and does not open it.

    Every method raises LedgerError where the ledger cannot be read or written. Moments (`now`)
    are seconds since 1970.
    """

    named: str | None
    """What stands after --ledger in a command about it; None where commands find it unasked."""

    @property
    def touched(self) -> Collection[str]:
        """The ids of the last entries that this object has written down or taken over, in order."""

    def companion_file(self, name: str) -> Path:
        """Name the local file or folder for other data that belongs to this ledger."""

    # -- entries -----------------------------------------------------------------------------------

    def entries(
        self,
        states: Iterable[State] | None = None,
        *,
        simulated: bool | None = None,
        last: int | None = None,
    ) -> list[LedgerEntry]:
        """List the entries, oldest first: all, or those in some states, or of one kind.

        `last` is how many at most, the newest. Of a ledger with many entries, use `each_entry`.
        """

    def each_entry(
        self,
        states: Iterable[State] | None = None,
        *,
        simulated: bool | None = None,
        newest_first: bool = False,
    ) -> Iterator[LedgerEntry]:
        """The same entries one by one, read in pages: no more than a page is in memory.

        An entry that changes its state meanwhile is given once, or left out; what is written down
        later is left out.
        """

    def of_references(
        self, references: Iterable[str], beginnings: Iterable[str] = (), *, simulated: bool
    ) -> list[LedgerEntry]:
        """List the entries with one of these references, or one that begins so, oldest first."""

    def entry(self, name: str) -> LedgerEntry:
        """Find one entry by its id, or by the beginning of its id.

        UnknownNameError is raised where no entry, or more than one, has such an id.
        """

    def of_task(self, vendor: str, task: str, *, simulated: bool) -> LedgerEntry | None:
        """Find the entry of a vendor's task, if there is one."""

    def labelled(self, name: str, value: str) -> list[LedgerEntry]:
        """List the entries with a label, oldest first."""

    def last_simulated(self) -> float:
        """The newest moment, in simulated time, written down for simulated jobs; 0 if none."""

    # -- what flows write --------------------------------------------------------------------------

    def write(self, event: LedgerEvent, owner: str, now: float) -> Any:
        """Write one event of a flow durably; each event's class says what the result is.

        ClaimedError is raised where another owner has the entry, or has been faster.
        """

    @property
    def shares_commits(self) -> bool:
        """Whether a commit takes so long that awaited flows should share it: see `write_all`."""

    def write_all(self, writes: Sequence[Write]) -> list[Any]:
        """Write several events of different flows durably, at once.

        The results are in their order; the error of one is its result, and stops no other.
        """

    def begin_all(self, writes: Sequence[Write], written: Written) -> bool:
        """Begin to write the same in an event loop, without a thread.

        `written` hears the results, or what makes them in a thread. False where nothing was begun:
        then `write_all` has to be used.
        """

    def new_owner(self) -> str:
        """Make a name under which a flow owns entries. It is only valid while its process lives."""

    def check_owner(self, owner: str) -> None:
        """Raise LedgerError where a paid call of an owner must not begin any more.

        Others may take the owner for dead soon, and submit its job anew on their user's word.
        """

    def release(self, owner: str, *, sent: bool) -> None:
        """Free the entries of an owner, and end the owner: see `events.Released`."""

    def end_owner(self, owner: str) -> None:
        """End an owner whose entries were freed with an event."""

    def recover(self) -> None:
        """Mark the submits as ambiguous whose process has died before their outcome was known."""

    # -- what others write -------------------------------------------------------------------------

    def abandon(self, name: str) -> LedgerEntry:
        """Give an entry up: it is no longer resumed or reconciled. The vendor is not informed.

        ClaimedError is raised where the entry is owned, or nothing is left to do about it.
        """

    def deliver(self, event: Event, now: float, *, simulated: bool = False) -> Delivered:
        """Write a webhook down, once.

        The job ends in the same state in whatever order, and however often, webhooks come.
        """

    def close(self) -> None:
        """Close the ledger, and free the entries that this object owns."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
