"""What every ledger does, whatever keeps it: tests that run with each kind of ledger.

The module that takes them has the fixtures: `path`, where a ledger can be opened, and `ledger`,
which is open there.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from polyreel.errors import ClaimedError, LedgerError, PolyreelError, UnknownNameError
from polyreel.flows import Moment
from polyreel.ledger.events import (
    Claim,
    Find,
    Intend,
    Keep,
    Known,
    Past,
    Queue,
    Released,
    Settle,
    Take,
)
from polyreel.ledger.keeping import StoredLedger
from polyreel.ledger.opening import open_ledger
from polyreel.ledger.records import LedgerEntry, State
from polyreel.ledger.store import DIED, LedgerStore

from .ledgers import NOW, VENDOR, job, submission

Place = Path | str


def outputs(*paths: str | None) -> list[dict[str, str]]:
    """Outputs, saved where they have a path."""
    return [
        {"url": f"https://x.example/{n}"} | ({"path": path} if path else {})
        for n, path in enumerate(paths)
    ]


def accepted(ledger: LedgerStore, task: str = "task-1", **changes: Any) -> str:
    """An entry with a job, owned by nobody."""
    owner = ledger.new_owner()
    entry: str = ledger.write(Intend(submission(**changes)), owner, NOW)
    ledger.write(Settle(entry, "accepted", job=job(task)), owner, NOW + 1)
    ledger.release(owner, sent=False)
    return entry


def ambiguous(ledger: LedgerStore, **changes: Any) -> str:
    """An entry whose outcome nobody knows."""
    owner = ledger.new_owner()
    entry: str = ledger.write(Intend(submission(**changes)), owner, NOW)
    ledger.write(Settle(entry, "ambiguous", reason="lost"), owner, NOW)
    ledger.release(owner, sent=True)
    return entry


# -- entries ---------------------------------------------------------------------------------------


def test_ends_of_flows_are_written_as_each_alone(ledger: LedgerStore) -> None:
    """Whoever comes through shares a commit; another one's submit is not touched."""
    owners = [ledger.new_owner() for _ in range(5)]
    events = [Intend(submission(reference=str(number))) for number in range(5)]
    first, second, sending, other, begun = (
        ledger.write(event, owner, NOW)
        for event, owner in zip(events, [owners[0], *owners[:3], owners[4]], strict=True)
    )
    ambiguous_before = ledger.write(Intend(submission()), owners[4], NOW)
    ledger.write(Settle(ambiguous_before, "ambiguous", reason="lost"), owners[4], NOW)
    again = ledger.write(Intend(submission(), follows=ambiguous_before), owners[4], NOW)
    for number, entry in enumerate((first, second, other)):
        ledger.write(Settle(entry, "accepted", job=job(f"task-{number}")), "", NOW)
    ended = [owners[0], owners[1], owners[3], owners[4]]
    assert ledger.write_all([(Released(owner), owner, NOW) for owner in ended]) == [None] * 4
    for owner in ended:
        ledger.end_owner(owner)
    found = {entry.id: (entry.state, entry.owned) for entry in ledger.entries()}
    assert found == {
        first: ("accepted", False),
        second: ("accepted", False),
        sending: ("unsent", False),
        other: ("accepted", True),
        begun: ("unsent", False),
        ambiguous_before: ("ambiguous", False),
        again: ("unsent", False),
    }


def test_entries_are_found_by_the_start_of_their_id(ledger: LedgerStore) -> None:
    """An id is typed by people."""
    entry = accepted(ledger)
    assert ledger.entry(entry[:5]).id == entry
    for name in ("", "0", "*", "????????", "nothing!", "x" * 500, "'; DROP TABLE jobs"):
        with pytest.raises(UnknownNameError):
            ledger.entry(name)


def test_entries_are_listed_by_state(ledger: LedgerStore) -> None:
    """Oldest first."""
    ids = [accepted(ledger, f"t{number}") for number in range(3)]
    lost = ambiguous(ledger)
    assert [entry.id for entry in ledger.entries()] == [*ids, lost]
    assert [entry.id for entry in ledger.entries(["ambiguous"])] == [lost]
    assert ledger.entries([], simulated=True) == []
    assert ledger.entries(simulated=False) == []


def test_known_tasks_are_distinguished_from_unknown_ones(ledger: LedgerStore) -> None:
    """So that no task is given to two entries."""
    accepted(ledger, "mine")
    owner = ledger.new_owner()
    assert ledger.write(Known(VENDOR, ("mine", "other"), simulated=True), owner, NOW) == {"mine"}
    assert ledger.write(Known(VENDOR, ("mine",), simulated=False), owner, NOW) == set()


def test_one_task_is_one_entry(ledger: LedgerStore) -> None:
    """Two entries with one task would be one bill counted twice."""
    accepted(ledger, "same")
    owner = ledger.new_owner()
    second = ledger.write(Intend(submission()), owner, NOW)
    with pytest.raises(LedgerError, match="already") as caught:
        ledger.write(Settle(second, "accepted", job=job("same")), owner, NOW)
    assert caught.value.ledger_id == second
    ledger.release(owner, sent=True)
    assert ledger.entry(second).state == "ambiguous"


def test_a_reference_is_used_once(ledger: LedgerStore) -> None:
    """Unless nothing was paid, or the user gave it up."""
    owner = ledger.new_owner()
    for state in ("unsent", "rejected"):
        entry = ledger.write(Intend(submission(reference="r")), owner, NOW)
        assert ledger.write(Find("r", simulated=True), owner, NOW).id == entry
        ledger.write(Settle(entry, state), owner, NOW)
        assert ledger.write(Find("r", simulated=True), owner, NOW) is None
    entry = ledger.write(Intend(submission(reference="r")), owner, NOW)
    with pytest.raises(ClaimedError, match=r"has a job already.*ask again") as caught:
        ledger.write(Intend(submission(reference="r")), owner, NOW)
    assert caught.value.ledger_id == entry
    ledger.write(Settle(entry, "ambiguous"), owner, NOW)
    ledger.release(owner, sent=True)
    ledger.abandon(entry)
    assert ledger.write(Find("r", simulated=True), owner, NOW) is None
    assert ledger.write(Intend(submission(reference="r")), owner, NOW)


def test_entries_that_hold_their_reference_no_longer_are_found_by_it(ledger: StoredLedger) -> None:
    """Beside the one that does, oldest first."""
    ledger.abandon(first := ambiguous(ledger, reference="b/1"))
    ledger.abandon(other := ambiguous(ledger, reference="b/2"))
    second = ambiguous(ledger, reference="b/1")
    for names, starts in ((["b/1", "b/2"], []), ([], ["b/"])):
        entries = ledger.of_references(names, starts, simulated=True)
        assert [entry.id for entry in entries] == [first, other, second]
    found = ledger.outstanding.states(["b/1", "b/2", "b/3"], simulated=True)
    assert found == {"b/1": (second, "ambiguous"), "b/2": (other, "abandoned")}


def test_what_is_abandoned_stays_so(ledger: LedgerStore) -> None:
    """A late report changes the job, not the user's word: the reference may be taken by then."""
    entry = accepted(ledger, reference="order 17")
    ledger.abandon(entry)
    other = accepted(ledger, "task-2", reference="order 17")
    known = ledger.write(Keep(job(status="succeeded", outputs=outputs(None))), "", NOW + 2)
    assert known.status == "succeeded"
    found = ledger.entry(entry)
    assert (found.state, found.job and found.job.status) == ("abandoned", "succeeded")
    held = ledger.write(Find("order 17", simulated=True), "", NOW)
    assert held.id == other


def test_a_submit_whose_process_dies_just_before_it_is_claimed_is_ambiguous(path: Place) -> None:
    """It was alive when somebody looked, and is dead when that one takes the entry over."""
    with open_ledger(path) as ledger:
        dying = open_ledger(path)
        entry = dying.write(Intend(submission(reference="order 17")), dying.new_owner(), NOW)
        assert ledger.entry(entry).state == "sending"
        dying.close()
        owner = ledger.new_owner()
        claimed = ledger.write(Claim(entry), owner, NOW)
        assert (claimed.state, claimed.reason) == ("ambiguous", DIED)
        ledger.release(owner, sent=False)
        assert ledger.entry(entry).state == "ambiguous"


def test_only_what_is_open_can_be_abandoned(ledger: LedgerStore) -> None:
    """And not under somebody's hands."""
    entry = accepted(ledger)
    owner = ledger.new_owner()
    ledger.write(Claim(entry), owner, NOW)
    with pytest.raises(ClaimedError, match="looks after it just now: ask again"):
        ledger.abandon(entry)
    ledger.release(owner, sent=False)
    assert ledger.abandon(entry).state == "abandoned"
    with pytest.raises(ClaimedError, match="nothing left"):
        ledger.abandon(entry)


# -- states ----------------------------------------------------------------------------------------


def test_an_outcome_is_settled_once(ledger: LedgerStore) -> None:
    """What is known is not overwritten by what comes late."""
    entry = accepted(ledger)
    owner = ledger.new_owner()
    for state in get_args(State):
        with pytest.raises(ClaimedError):
            ledger.write(Settle(entry, state), owner, NOW)
    assert ledger.entry(entry).state == "accepted"


STATES = [
    {"status": "queued"},
    {"status": "running"},
    {"status": "unknown"},
    {"status": "succeeded", "outputs": outputs(None)},
    {"status": "failed", "error": {"message": "x"}},
    {"status": "canceled"},
]


@pytest.mark.matrix("first+second", "second+third")
@pytest.mark.parametrize(("first", "second", "third"), list(permutations(STATES, 3)))
def test_final_states_absorb(
    ledger: LedgerStore, first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    """Whatever comes in whatever order, the first final state stays, and its time with it."""
    states = (first, second, third)
    entry = accepted(ledger)
    finals = [
        state["status"]
        for state in states
        if state["status"] in {"succeeded", "failed", "canceled"}
    ]
    for seconds, state in enumerate(states):
        kept = ledger.write(Keep(job(**state)), "nobody", NOW + seconds)
    assert kept.ledger_id == entry
    found = ledger.entry(entry)
    assert found.state == (finals[0] if finals else "accepted")
    assert (found.finished_at is not None) == bool(finals)


def test_saved_files_are_not_forgotten(ledger: LedgerStore) -> None:
    """A poll after the download gives other links, not other files."""
    entry = accepted(ledger)
    for seconds, state in enumerate(
        (outputs(None, None), outputs("/a", None), outputs("/a", "/b"), outputs(None, None)), 60
    ):
        ledger.write(Keep(job(status="succeeded", outputs=state)), "nobody", NOW + seconds)
    found = ledger.entry(entry)
    assert found.finished_at == NOW + 60  # when it ended, not when its files were saved
    assert found.state == "saved"
    assert (
        [output.path for output in found.job.outputs or ()] == ["/a", "/b"] if found.job else False
    )


def test_a_resubmitted_entry_comes_back_where_its_successor_was_not_paid(
    ledger: LedgerStore,
) -> None:
    """The doubt about the first stays until the second is in its place."""
    first = ambiguous(ledger, reference="r")
    owner = ledger.new_owner()
    second = ledger.write(Intend(submission(reference="r"), follows=first), owner, NOW)
    assert ledger.entry(first).state == "resubmitted"
    ledger.write(Settle(second, "unsent"), owner, NOW)
    assert ledger.entry(first).state == "ambiguous"
    ledger.write(Intend(submission(reference="r"), entry=second), owner, NOW)
    assert ledger.entry(first).state == "resubmitted"
    ledger.release(owner, sent=False)
    assert (ledger.entry(first).state, ledger.entry(second).state) == ("ambiguous", "unsent")
    with pytest.raises(ClaimedError):
        ledger.write(Intend(submission(), follows=second), owner, NOW)


def test_writes_of_several_flows_share_a_commit(ledger: LedgerStore, path: Place) -> None:
    """Each stands for itself: what one must not do stops no other."""
    first, second, third = (ledger.new_owner() for _ in range(3))
    made = ledger.write_all(
        [
            (Intend(submission(reference="a")), first, NOW),
            (Intend(submission(reference="a")), second, NOW),
            (Intend(submission(reference="b")), third, NOW),
        ]
    )
    assert [type(one) for one in made] == [str, ClaimedError, str]
    settled = ledger.write_all(
        [
            (Settle(made[0], "accepted", job=job("task-a")), first, NOW),
            (Settle(made[2], "accepted", job=job("task-b")), third, NOW),
        ]
    )
    assert settled == [None, None]
    with open_ledger(path) as other:
        assert [entry.state for entry in other.entries()] == ["accepted", "accepted"]


# -- ownership -------------------------------------------------------------------------------------


def test_a_cut_submit_is_ambiguous_only_where_something_was_sent(ledger: LedgerStore) -> None:
    """The flow that ends in between knows; a process that dies does not."""
    for sent, state in ((True, "ambiguous"), (False, "unsent")):
        owner = ledger.new_owner()
        entry = ledger.write(Intend(submission()), owner, NOW)
        assert (ledger.entry(entry).state, ledger.entry(entry).owned) == ("sending", True)
        ledger.release(owner, sent=sent)
        assert (ledger.entry(entry).state, ledger.entry(entry).owned) == (state, False)


def test_one_owner_at_a_time(ledger: LedgerStore, path: Place) -> None:
    """Also for two objects on one file, as two processes have them."""
    entry = accepted(ledger)
    with open_ledger(path) as other:
        mine, theirs = ledger.new_owner(), other.new_owner()
        assert isinstance(ledger.write(Claim(entry), mine, NOW), LedgerEntry)
        assert isinstance(ledger.write(Claim(entry), mine, NOW), LedgerEntry)
        for owner, where in ((theirs, other), (ledger.new_owner(), ledger)):
            with pytest.raises(ClaimedError, match=r"looks after.*the same call again"):
                where.write(Claim(entry), owner, NOW)
        assert other.entry(entry).owned
        ledger.release(mine, sent=False)
        other.write(Claim(entry), theirs, NOW)
    ledger.write(Claim(entry), ledger.new_owner(), NOW)  # closing lets go
    with pytest.raises(UnknownNameError):
        ledger.write(Claim("zzzzzzzz"), mine, NOW)


def test_one_reference_is_won_by_one_thread(ledger: LedgerStore) -> None:
    """Of many that submit it at once."""

    def race(_: int) -> str | None:
        try:
            return str(ledger.write(Intend(submission(reference="r")), ledger.new_owner(), NOW))
        except PolyreelError:
            return None

    with ThreadPoolExecutor(16) as pool:
        assert sum(won is not None for won in pool.map(race, range(64))) == 1


# -- queued submits --------------------------------------------------------------------------------


def queued(ledger: LedgerStore, **changes: Any) -> str:
    """An entry that nobody has tried to submit yet."""
    entry = ledger.write(Queue(submission(**changes)), "", NOW)
    assert isinstance(entry, LedgerEntry)
    return entry.id


def test_a_queued_submit_is_an_open_entry_that_holds_its_reference(ledger: LedgerStore) -> None:
    """Nothing was sent, so it can be given up."""
    entry = queued(ledger, reference="r", labels={"for": "me"})
    found = ledger.entry(entry)
    assert (found.state, found.owned, found.is_open, found.attempts) == ("queued", False, True, 0)
    assert [one.id for one in ledger.labelled("for", "me")] == [entry]
    for event in (Queue(submission(reference="r")), Intend(submission(reference="r"))):
        with pytest.raises(ClaimedError, match="has a job already"):
            ledger.write(event, ledger.new_owner(), NOW)
    assert ledger.abandon(entry).state == "abandoned"
    assert ledger.write(Take(entry, simulated=True), ledger.new_owner(), NOW) is None
    queued(ledger, reference="r")


def test_a_queued_submit_is_taken_once(ledger: LedgerStore) -> None:
    """And by who makes jobs of its kind: live ones, or simulated ones."""
    entry, first, second = queued(ledger), ledger.new_owner(), ledger.new_owner()
    assert ledger.write(Take(entry, simulated=False), first, NOW) is None
    taken = ledger.write(Take(entry, simulated=True), first, NOW)
    assert (taken.state, taken.owned, taken.attempts) == ("sending", True, 1)
    for owner in (first, second):
        assert ledger.write(Take(entry, simulated=True), owner, NOW) is None
    ledger.write(Settle(entry, "accepted", job=job()), first, NOW + 1)
    ledger.release(first, sent=False)
    assert ledger.write(Take(entry, simulated=True), second, NOW) is None
    assert ledger.write(Take("zzzzzzzz", simulated=True), second, NOW) is None


def test_a_queued_submit_is_won_by_one_thread(ledger: LedgerStore) -> None:
    """Of many that take it at once."""
    entry = queued(ledger)

    def race(_: int) -> bool:
        return bool(ledger.write(Take(entry, simulated=True), ledger.new_owner(), NOW))

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(race, range(32))) == 1


def test_work_of_which_nothing_can_be_done_hides_no_other(ledger: StoredLedger) -> None:
    """Each look that finds too much goes on after the one before it."""
    find = partial(ledger.outstanding.queued, simulated=True, before=NOW, limit=2)
    first, second, third = (queued(ledger, reference=str(n)) for n in range(3))
    assert [find(), find(), find()] == [[first, second], [third, first], [second, third]]
    ledger.abandon(second)
    assert [find(), find()] == [[first, third], [first, third]]
    ledger.abandon(third)
    assert [find(), find()] == [[first], [first]]


def test_a_taken_submit_is_queued_again_only_where_nothing_was_sent(ledger: LedgerStore) -> None:
    """Otherwise it is ambiguous, as any other."""
    for sent, state in ((False, "queued"), (True, "ambiguous")):
        entry, owner = queued(ledger), ledger.new_owner()
        assert ledger.write(Take(entry, simulated=True), owner, NOW)
        ledger.release(owner, sent=sent)
        assert (ledger.entry(entry).state, ledger.entry(entry).owned) == (state, False)


def test_an_old_attempt_does_not_queue_a_submit_again(ledger: LedgerStore) -> None:
    """Its outcome was written before, or comes late: the attempt of now may have been paid."""
    entry = queued(ledger)
    for attempt in (1, 2):
        owner = ledger.new_owner()
        assert ledger.write(Take(entry, simulated=True), owner, NOW).attempts == attempt
        if attempt == 1:
            ledger.write(Settle(entry, "queued", reason="away", attempt=1), owner, NOW)
            assert ledger.entry(entry).reason == "away"
    with pytest.raises(ClaimedError):
        ledger.write(Settle(entry, "queued", attempt=1), owner, NOW)
    assert ledger.entry(entry).state == "sending"


def test_time_in_the_queue_does_not_count_as_time_of_the_job(ledger: LedgerStore) -> None:
    """When jobs are asked about is learned from how long they took at the vendor."""
    entry, owner = queued(ledger), ledger.new_owner()
    assert ledger.write(Take(entry, True, Moment(NOW + 1000, 5.0)), owner, NOW + 1000)
    ledger.write(Settle(entry, "accepted", job=job()), owner, NOW + 1001)
    ledger.write(Keep(job(status="succeeded", outputs=outputs(None))), owner, NOW + 1060)
    kind: dict[str, Any] = {"model": submission().model, "workflow": submission().workflow}
    assert [*ledger.write(Past(job(**kind)), owner, NOW)] == [60.0]


CASES: Final[dict[str, Callable[..., None]]] = {
    name: case for name, case in globals().items() if name.startswith("test_")
}
"""The tests, by their names."""
