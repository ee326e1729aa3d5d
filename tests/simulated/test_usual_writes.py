"""What many flows write into a file goes in few statements, and each flow is told what it would be
told alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from polyreel.errors import ClaimedError, LedgerError
from polyreel.ledger.events import Intend, Queue, Released, Settle
from polyreel.ledger.gateway_rows import GatewayJob
from polyreel.ledger.sqlite import Ledger
from support.ledgers import NOW, database, job, submission


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite3") as opened:
        yield opened


def call(name: str, reference: str) -> GatewayJob:
    """A call of a client."""
    return GatewayJob("jobs", name, True, "", reference, "/v1/jobs", {"prompt": name}, NOW)


def test_many_are_written_in_few_statements(ledger: Ledger) -> None:
    """As many for 64 jobs as for two: the commit, and one of each kind."""

    def statements(number: int) -> int:
        ran = list[str]()
        owners = [ledger.new_owner() for _ in range(number)]
        new = [submission(reference=f"{number}/{one}") for one in owners]
        before = database(ledger).total_changes
        entries = ledger.write_all(
            [(Intend(one), who, NOW) for one, who in zip(new, owners, strict=True)]
        )
        database(ledger).set_trace_callback(ran.append)
        results = ledger.write_all(
            [
                (Settle(entry, "accepted", job=job(f"task-{entry}")), who, NOW)
                for entry, who in zip(entries, owners, strict=True)
            ]
        )
        database(ledger).set_trace_callback(None)
        assert results == [None] * number
        assert database(ledger).total_changes == before + 2 * number
        return len({*ran})  # a trigger shows the statement again that fires it

    assert statements(2) == statements(64)


@pytest.mark.parametrize("number", [1, 3, 63, 64, 65, 131])
def test_each_of_many_is_written_as_it_is(ledger: Ledger, number: int) -> None:
    """However many there are: none is left out, and none has another's columns."""
    owners = [ledger.new_owner() for _ in range(number)]
    names = [f"{one}" for one in range(number)]
    entries = ledger.write_all(
        [
            (Intend(submission(reference=name, labels={"n": name, "of": "all"})), who, NOW)
            for name, who in zip(names, owners, strict=True)
        ]
    )
    outcomes = [
        (Settle(entry, "accepted", job=job(f"task-{name}")), who, NOW)
        for entry, name, who in zip(entries, names, owners, strict=True)
    ]
    assert ledger.write_all(outcomes) == [None] * number
    for entry, name in zip(entries, names, strict=True):
        (found,) = ledger.labelled("n", name)
        assert (found.id, found.submission.reference) == (entry, name)
        assert found.job is not None
        assert found.job.id == f"task-{name}"
    assert len(ledger.labelled("of", "all")) == number
    calls = [(call(name, f"gateway/{name}"), f"key-{name}", None) for name in names]
    repeated = (call("again", "gateway/again"), f"key-{names[-1]}", None)
    first = [one for one, *_ in calls]
    assert ledger.gateway.enter_all([*calls, repeated]) == [*first, first[-1]]
    for one in first:
        assert ledger.gateway.found("jobs", [one.id], None, simulated=True) == [one]


def test_each_of_many_gets_its_own_answer(ledger: Ledger) -> None:
    """What is in the way of one stops no other, and nothing is written twice."""
    mine, theirs = ledger.new_owner(), ledger.new_owner()
    sent = ledger.write(Intend(submission(reference="e")), mine, NOW)
    first, second, settled, labelled, waiting, limited = ledger.write_all(
        [
            (Intend(submission(reference="a")), mine, NOW),
            (Intend(submission(reference="a")), theirs, NOW),
            (Settle(sent, "accepted", job=job("task-e")), mine, NOW),
            (Intend(submission(reference="b", labels={"for": "me"})), mine, NOW),
            (Queue(submission(reference="c")), mine, NOW),
            (Intend(submission(reference="d", limits="web")), mine, NOW),
        ]
    )
    assert ledger.entry(first).state == "sending"
    assert isinstance(second, ClaimedError)
    assert "'a' has a job already" in str(second)
    assert settled is None
    assert ledger.entry(sent).job == job("task-e").model_copy(update={"ledger_id": sent})
    assert [entry.id for entry in ledger.labelled("for", "me")] == [labelled]
    assert {entry.id for entry in ledger.entries()} == {sent, first, labelled, waiting.id, limited}
    assert [one for one in ledger.touched if one != sent] == [first, labelled, limited]


def test_one_task_stops_only_its_own_outcome(ledger: Ledger) -> None:
    """Though the statement that wrote them together is taken back."""
    owner = ledger.new_owner()
    entries = [ledger.write(Intend(submission()), owner, NOW) for _ in range(4)]
    ledger.write(Settle(entries[0], "accepted", job=job("same")), owner, NOW)
    outcomes = [(entries[1], "same"), (entries[2], "other"), (entries[0], "late")]
    results = ledger.write_all(
        [(Settle(entry, "accepted", job=job(task)), owner, NOW) for entry, task in outcomes]
    )
    assert [type(result) for result in results] == [LedgerError, type(None), ClaimedError]
    states = [ledger.entry(entry).state for entry in entries]
    assert states == ["accepted", "sending", "accepted", "sending"]
    assert ledger.entry(entries[0]).job == job("same").model_copy(update={"ledger_id": entries[0]})


def test_what_nobody_can_write_stops_only_its_own_flow(ledger: Ledger) -> None:
    """Such as a text that is no Unicode: what was paid by the others is written down."""
    owner, words = ledger.new_owner(), "half a character: \ud800"
    entries = [ledger.write(Intend(submission()), owner, NOW) for _ in range(3)]
    outcomes = [
        Settle(entries[0], "accepted", job=job("first")),
        Settle(entries[1], "accepted", words, job=job("second")),
        Settle(entries[2], "rejected"),
    ]
    first, bad, rejected = ledger.write_all([(outcome, owner, NOW) for outcome in outcomes])
    assert (first, rejected) == (None, None)
    assert isinstance(bad, UnicodeEncodeError)
    states = [ledger.entry(entry).state for entry in entries]
    assert states == ["accepted", "sending", "rejected"]


def test_an_outcome_of_an_earlier_attempt_is_not_written(ledger: Ledger) -> None:
    """Its entry is queued again, and has another attempt by now."""
    owner = ledger.new_owner()
    entries = [ledger.write(Intend(submission()), owner, NOW) for _ in range(2)]
    late, good = ledger.write_all(
        [
            (Settle(entries[0], "accepted", job=job("a"), attempt=2), owner, NOW),
            (Settle(entries[1], "accepted", job=job("b"), attempt=1), owner, NOW),
        ]
    )
    assert isinstance(late, ClaimedError)
    assert good is None
    assert [ledger.entry(entry).state for entry in entries] == ["sending", "accepted"]


def test_owners_that_end_together_leave_what_each_would_leave(ledger: Ledger) -> None:
    """A submit that was interrupted is told of as such; the others are free."""
    owners = [ledger.new_owner() for _ in range(3)]
    entries = [ledger.write(Intend(submission()), owner, NOW) for owner in owners]
    ledger.write(Settle(entries[0], "accepted", job=job("a")), owners[0], NOW)
    sent = [False, False, True]
    ends = [Released(owner, one) for owner, one in zip(owners, sent, strict=True)]
    assert ledger.write_all([(end, end.owner, NOW) for end in ends]) == [None] * 3
    found = [ledger.entry(entry) for entry in entries]
    assert [entry.state for entry in found] == ["accepted", "unsent", "ambiguous"]
    assert not any(entry.owned for entry in found)


def test_calls_that_repeat_others_are_found_among_many(ledger: Ledger) -> None:
    """Of before, of the same moment, and where the earlier one is too old to count."""
    before, old = call("before", "r/1"), call("old", "r/2")
    assert ledger.gateway.enter_all([(before, "k1", None), (old, "k2", None)]) == [before, old]
    new = [call(name, f"r/{name}") for name in "abcdef"]
    entered = ledger.gateway.enter_all(
        [
            (new[0], "k1", None),
            (new[1], None, None),
            (new[2], "k3", None),
            (new[3], "k3", None),
            (new[4], "k2", NOW + 1),
            (new[5], None, None),
        ]
    )
    assert entered == [before, new[1], new[2], new[2], new[4], new[5]]
    assert ledger.gateway.repeated("k2") == new[4]
    names = ["before", "old", *"abcdef"]
    found = ledger.gateway.found("jobs", names, "", simulated=True)
    assert {one.id for one in found} == {"before", "old", "b", "c", "e", "f"}
