"""Which entries of a ledger are meant: by vendor, state, label, name and time."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from attrs import Factory, frozen

if TYPE_CHECKING:
    from .records import LedgerEntry, State
    from .store import LedgerStore


@frozen(slots=False)
class Selection:
    """What an entry has to be; None and nothing are anything."""

    states: frozenset[State] | None = None
    vendor: str | None = None
    labels: Mapping[str, str] = Factory(dict)
    name: str | None = None
    """The caller's own name of the job; a `*` in it stands for any characters."""
    since: float | None = None
    """Seconds since 1970."""
    until: float | None = None
    """Seconds since 1970; entries of before."""
    simulated: bool | None = None
    reference: str | None = None
    """The caller's own name of the job, in which every character stands for itself."""

    @cached_property
    def _names(self) -> re.Pattern[str] | None:
        if self.name is None:
            return None
        return re.compile(".*".join(map(re.escape, self.name.split("*"))), re.DOTALL)

    def of(self, ledger: LedgerStore, last: int | None = None) -> list[LedgerEntry]:
        """The entries of a ledger that are meant, oldest first; of these the `last`, the newest."""
        if last is not None and self == Selection(states=self.states, simulated=self.simulated):
            return ledger.entries(self.states, simulated=self.simulated, last=last)
        return [*deque(filter(self.has, self._likely(ledger)), maxlen=last)]

    def _likely(self, ledger: LedgerStore) -> Iterable[LedgerEntry]:
        if self.reference is not None and self.simulated is not None:
            return ledger.of_references([self.reference], simulated=self.simulated)
        for name, value in self.labels.items():
            return ledger.labelled(name, value)
        return ledger.each_entry(self.states, simulated=self.simulated)

    def has(self, entry: LedgerEntry) -> bool:
        """Whether an entry is meant."""
        own = entry.submission
        return (
            (self.states is None or entry.state in self.states)
            and self.vendor in {None, own.vendor}
            and self.simulated in {None, own.simulated}
            and all(own.labels.get(name) == value for name, value in self.labels.items())
            and self.reference in {None, own.reference}
            and (self._names is None or bool(self._names.fullmatch(own.reference or "")))
            and (self.since is None or entry.created_at >= self.since)
            and (self.until is None or entry.created_at < self.until)
        )
