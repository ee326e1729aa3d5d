"""A law: what flows write together is what they would write one after the other, in some order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st
from polyreel.errors import PolyreelError
from polyreel.ledger.events import Claim, Intend, LedgerEvent, Queue, Released, Settle, Take
from polyreel.ledger.sqlite import Ledger
from support.ledgers import NOW, database, job, submission

STATES: Final = ("accepted", "ambiguous", "queued", "rejected", "unsent")
LETTERS: Final = st.sampled_from([None, "a", "b"])
NUMBERS: Final = st.integers(0, 3)
Event = tuple[Any, ...]
EVENTS: Final = st.one_of(
    st.tuples(st.sampled_from(["new", "queue"]), LETTERS),
    st.tuples(st.sampled_from(["again", "follow"]), NUMBERS, LETTERS),
    st.tuples(
        st.just("settle"), NUMBERS, st.sampled_from(STATES), LETTERS, st.sampled_from([None, 1, 2])
    ),
    st.tuples(st.just("released"), st.booleans()),
    st.tuples(st.sampled_from(["take", "claim"]), NUMBERS),
)
WRITES: Final = st.tuples(NUMBERS, EVENTS)
"""Whose they are, and what they say."""


def event_of(said: Event, owner: str, entries: Sequence[str]) -> LedgerEvent:
    """What is written; entries are known by their numbers."""
    match said:
        case "new", name:
            return Intend(submission(reference=name, labels={"for": name} if name else {}))
        case "queue", name:
            return Queue(submission(reference=name))
        case "released", sent:
            return Released(owner, sent)
    word, number, *more = said
    entry = entries[number % len(entries)] if entries else "none"
    match word, *more:
        case "again", name:
            return Intend(submission(reference=name), entry=entry)
        case "follow", name:
            return Intend(submission(reference=name), follows=entry)
        case "settle", state, task, attempt:
            known = job(f"task-{task}") if task is not None else None
            return Settle(entry, state, job=known, attempt=attempt)
        case "take", *_:
            return Take(entry, simulated=True)
    return Claim(entry)


def told(
    path: Path, before: Sequence[Event], group: Sequence[Event], order: Sequence[int] | None
) -> tuple[str, str]:
    """What each is told and what is in the ledger then; without an order, of one group."""
    with Ledger(path) as ledger:
        owners = [ledger.new_owner() for _ in range(4)]
        entries: list[str] = []
        results: list[Any] = [None] * len(group)

        def written(one: Event) -> Any:
            who, said = one
            try:
                return ledger.write(event_of(said, owners[who], entries), owners[who], NOW)
            except PolyreelError as error:
                return error

        def note(result: Any) -> None:
            name = getattr(result, "id", result)
            if isinstance(name, str) and name not in entries:
                entries.append(name)

        for one in before:
            note(written(one))
        if order is None:
            events = [(event_of(said, owners[who], entries), owners[who]) for who, said in group]
            results = ledger.write_all([(event, owner, NOW) for event, owner in events])
        for number in order or ():
            results[number] = written(group[number])
        for result in results:
            note(result)
        rows = [dict(row) for row in database(ledger).execute("SELECT * FROM jobs")]
        labels = [tuple(row) for row in database(ledger).execute("SELECT * FROM labels")]
        names = {name: f"<{n}>" for n, name in enumerate([*owners, *entries])}
        texts = [repr(results), *sorted(json.dumps(found) for found in [*rows, *labels])]
        text = "\n".join(texts)
        for name, known in names.items():
            text = text.replace(name, known)
        first, *others = text.split("\n")
        return first, "\n".join(sorted(others))


@given(
    st.lists(WRITES, max_size=5),
    st.lists(WRITES, min_size=2, max_size=4, unique_by=lambda write: write[0]),
)
def test_some_order_of_its_writes_says_what_a_group_says(
    before: list[Event], group: list[Event]
) -> None:
    """Results, errors and rows."""
    with TemporaryDirectory() as folder:
        together = told(Path(folder, "together"), before, group, None)
        alone = (
            told(Path(folder, f"alone-{number}"), before, group, order)
            for number, order in enumerate(permutations(range(len(group))))
        )
        assert any(found == together for found in alone)
