"""How a run is, from the ledger: at a moment, and as a stream of events."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Final

from attrs import frozen

from ..errors import UnknownNameError
from .cards import JobCard
from .notes import LABEL, RunNote
from .pages import rendered

if TYPE_CHECKING:
    from ..ledger.records import LedgerEntry
    from .studio import Studio

TICK: Final = 0.25
"""Seconds between two looks into the ledger while a run is watched."""
HEARTBEAT: Final = 15.0
"""Seconds after which a stream says that it is there still."""
SETTLED: Final = 8
"""How many looks have to find the same before a run counts as ended: jobs that are ambiguous may be
found at once."""
LOST: Final = "The studio ended before its call was begun: nothing was sent, and nothing was paid."
LINE_END: Final = re.compile(r"\r\n|\r|\n")
"""What ends a line of a stream of events; a prompt can have any of them."""


@frozen
class Slot:
    """The jobs of one vendor in a run, mostly one; or why it has none."""

    vendor: str
    cards: tuple[JobCard, ...]
    text: str = ""
    going: bool = False
    """Whether it is being submitted."""
    run: str = ""
    """The run in which it can be submitted now; empty where it cannot, as it costs money."""

    @property
    def mark(self) -> object:
        """What is another one when something has changed, and takes no time to make."""
        entries = [one.entry for one in self.cards]
        return self.text, [(one.id, one.state, one.updated_at, one.job) for one in entries]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens by itself soon."""
        return not self.going and all(one.has_ended for one in self.cards)


@frozen
class WatchedRun:
    """How a run is at a moment."""

    note: RunNote | None
    slots: tuple[Slot, ...]

    @property
    def has_ended(self) -> bool:
        """Whether all of it has ended."""
        return all(one.has_ended for one in self.slots)

    @property
    def summary(self) -> str:
        """How far it is, in words."""
        return f"{sum(one.has_ended for one in self.slots)} of {len(self.slots)} ended"


def watch(studio: Studio, run: str) -> WatchedRun | None:
    """How a run is now; None where nobody knows of it."""
    note = studio.runner.notes.find(run)
    entries = studio.ledger.labelled(LABEL, run)
    if note is None and not entries:
        return None
    names = dict.fromkeys([*(note.vendors if note else ()), *(one.vendor for one in entries)])
    return WatchedRun(note, tuple(_slot(studio, run, note, name, entries) for name in names))


def _slot(
    studio: Studio, run: str, note: RunNote | None, vendor: str, entries: Sequence[LedgerEntry]
) -> Slot:
    found = [card_of(studio, one, note) for one in entries if one.vendor == vendor]
    if found:
        return Slot(vendor, tuple(found))
    known = note.problems.get(vendor) if note else None
    if known is None and studio.runner.is_submitting(run, vendor):
        return Slot(vendor, (), "Being submitted.", going=True)
    return Slot(vendor, (), known or LOST, run=run if note and not note.live else "")


def card_of(
    studio: Studio, entry: LedgerEntry, note: RunNote | None = None, message: str = ""
) -> JobCard:
    """The card of an entry."""
    run = entry.submission.labels.get(LABEL)
    if note is None and run is not None:
        note = studio.runner.notes.find(run)
    client = studio.client_of(entry.vendor, simulated=entry.submission.simulated)
    return JobCard(entry, studio.uploads, note, client is not None, message)


def find_entry(studio: Studio, name: str) -> LedgerEntry | None:
    """The entry with this very id."""
    try:
        found = studio.ledger.entry(name)
    except UnknownNameError:
        return None
    return found if found.id == name else None


def find_card(studio: Studio, name: str, message: str = "") -> JobCard | None:
    """The card of an entry by its id."""
    entry = find_entry(studio, name)
    return None if entry is None else card_of(studio, entry, message=message)


def shown(slot: Slot, at: str) -> tuple[str, str]:
    """The cards of a slot as HTML, and a hash of it that changes when something has changed.

    `at` is where the studio is mounted.
    """
    html = rendered("slot.html", base=at, slot=slot)
    same = html
    for card in slot.cards:
        same = same.replace(card.again, "")
    return html, hashlib.sha256(same.encode()).hexdigest()[:16]


# -- events ----------------------------------------------------------------------------------------


async def events_of(studio: Studio, run: str, at: str) -> AsyncIterator[str]:
    """The events of a run: `slot-<vendor>` has cards, `summary` a text, and `done` is the last.

    `at` is where the studio is mounted.
    """
    seen: dict[str, str] = {}
    marks: dict[str, object] = {}
    same, silent = 0, 0.0
    while not studio.runner.stop.is_set():
        watched = await asyncio.to_thread(watch, studio, run)
        if watched is None:
            break
        changed = False
        for slot in watched.slots:
            if marks.get(slot.vendor) == slot.mark:
                continue
            marks[slot.vendor] = slot.mark
            html, digest = await asyncio.to_thread(shown, slot, at)
            if seen.get(slot.vendor) != digest:
                seen[slot.vendor], changed = digest, True
                yield event(f"slot-{slot.vendor}", html, digest)
        if changed:
            yield event("summary", watched.summary)
        same, silent = (0, 0.0) if changed else (same + 1, silent + TICK)
        if watched.has_ended and same >= SETTLED:
            break
        if silent >= HEARTBEAT:
            silent = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(TICK)
    else:
        return  # the studio ends: the browser asks again
    yield event("done", "")


def event(name: str, text: str, identity: str = "") -> str:
    """A server-sent event."""
    lines = [f"id: {identity}"] if identity else []
    lines += [f"event: {name}", *(f"data: {line}" for line in LINE_END.split(text))]
    return "\n".join(lines) + "\n\n"
