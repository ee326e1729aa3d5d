"""What the shared limits of every ledger do, whatever keeps it: tests that run with each kind.

The module that takes them has the fixtures of `ledger_cases`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from itertools import count
from typing import Any, Final

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from polyreel.errors import BudgetError, ClaimedError
from polyreel.ledger.events import Intend, Keep, Queue, Settle, Take
from polyreel.ledger.keeping import StoredLedger
from polyreel.ledger.limits import NotYetError, SharedLimit, was_used_up
from polyreel.ledger.opening import open_ledger
from polyreel.ledger.records import Later, State

from .ledger_cases import Place
from .ledgers import NOW, VENDOR, job, submission

NAMES: Final = (f"limits {number}" for number in count())
UNPAID: Final = {"queued", "rejected", "unsent"}
ENDS: Final[tuple[State, ...]] = ("rejected", "unsent", "ambiguous", "accepted", "queued")
REPORTS: Final = ("running", "succeeded", "failed")


def price(usd: str | None) -> dict[str, Any]:
    """An estimate of so many dollars."""
    return {"estimate": {"confidence": "unknown" if usd is None else "exact", "usd": usd}}


def enqueued(ledger: StoredLedger, name: str | None, usd: str | None = "1", **more: Any) -> str:
    """A queued entry under limits."""
    given = submission(limits=name, **price(usd), **more)
    return str(ledger.write(Queue(given), "", NOW).id)


def take(ledger: StoredLedger, entry: str) -> Any:
    """What comes of taking an entry; its owner is kept alive."""
    return ledger.write(Take(entry, simulated=True), ledger.new_owner(), NOW)


def limits(ledger: StoredLedger, name: str) -> Mapping[str, SharedLimit]:
    """The limits of a name, by their vendors."""
    return {limit.vendor: limit for limit in ledger.limits.found(name, simulated=True)}


def money(ledger: StoredLedger, name: str) -> str:
    """How many dollars count as spent under a name."""
    return f"{limits(ledger, name)[''].spent:f}"


def setting(ledger: StoredLedger, name: str, **changes: Any) -> None:
    """Set limits of simulated jobs."""
    ledger.limits.set(name, simulated=True, changes=changes)  # type: ignore[arg-type]


# -- money -----------------------------------------------------------------------------------------


def test_money_that_is_used_up_begins_no_submit(ledger: StoredLedger) -> None:
    """The entry is proved unpaid then, and says why; its reference is free."""
    setting(ledger, "web", max_cost=Decimal("2.5"))
    first, second = enqueued(ledger, "web", "1.2"), enqueued(ledger, "web", "1.3")
    third = enqueued(ledger, "web", "0.000000001", reference="r")
    assert take(ledger, first).state == take(ledger, second).state == "sending"
    with pytest.raises(BudgetError, match="nothing was sent") as caught:
        take(ledger, third)
    assert (caught.value.ledger_id, caught.value.billed) == (third, "no")
    entry = ledger.entry(third)
    assert (entry.state, entry.owned, entry.attempts) == ("unsent", False, 0)
    assert was_used_up([entry.reason])
    assert limits(ledger, "web")[""].spent == Decimal("2.5")
    setting(ledger, "web", max_cost=Decimal(3))
    assert take(ledger, enqueued(ledger, "web", "0.000000001", reference="r")).state == "sending"


def test_what_is_proved_unpaid_is_given_back(ledger: StoredLedger) -> None:
    """And nothing else is: not what was charged less, nor what nobody knows the outcome of."""
    setting(ledger, "web", max_cost=Decimal(1))
    for state in ("rejected", "unsent", "queued"):
        entry = enqueued(ledger, "web")
        assert take(ledger, entry).state == "sending"
        ledger.write(Settle(entry, state, attempt=1 if state == "queued" else None), "", NOW)
        assert limits(ledger, "web")[""].spent == 0
    taken = ledger.new_owner()
    ledger.write(Take(entry, simulated=True), taken, NOW)
    ledger.release(taken, sent=False)
    assert (ledger.entry(entry).state, money(ledger, "web")) == ("queued", "0")
    taken = ledger.new_owner()
    ledger.write(Take(entry, simulated=True), taken, NOW)
    ledger.release(taken, sent=True)
    assert (ledger.entry(entry).state, money(ledger, "web")) == ("ambiguous", "1")
    ledger.abandon(entry)
    assert limits(ledger, "web")[""].spent == 1


def test_a_charge_above_the_estimate_counts(ledger: StoredLedger) -> None:
    """It is what the vendor says at the end; one below it gives nothing back."""
    setting(ledger, "web", max_cost=Decimal(5))
    for usd, charge, spent in (("1", "1.75", "1.75"), ("1", "0.5", "2.75")):
        entry = enqueued(ledger, "web", usd)
        assert take(ledger, entry).state == "sending"
        task = f"task {charge}"
        ledger.write(Settle(entry, "accepted", job=job(task)), "", NOW)
        ledger.write(Keep(job(task, "failed", charge={"usd": charge})), "", NOW + 60)
        assert limits(ledger, "web")[""].spent == Decimal(spent)


def test_an_unknown_price_is_refused_where_money_is_limited(ledger: StoredLedger) -> None:
    """Before anything is written down, and also where the limit came later."""
    before = enqueued(ledger, "web", None)
    setting(ledger, "web", max_cost=Decimal(5))
    with pytest.raises(BudgetError, match=r"price .* is unknown"):
        enqueued(ledger, "web", None)
    with pytest.raises(BudgetError, match="nobody knows what this job costs"):
        take(ledger, before)
    assert [entry.state for entry in ledger.entries()] == ["unsent"]
    setting(ledger, "web", max_cost=None)
    assert take(ledger, enqueued(ledger, "web", None)).state == "sending"


def test_a_submit_again_counts_again(ledger: StoredLedger) -> None:
    """The first may have been paid too: both are, at worst."""
    setting(ledger, "web", max_cost=Decimal(2))
    entry, owner = enqueued(ledger, "web"), ledger.new_owner()
    ledger.write(Take(entry, simulated=True), owner, NOW)
    ledger.write(Settle(entry, "ambiguous"), owner, NOW)
    again = ledger.entry(entry).submission.again("another key")
    second = ledger.write(Intend(again, follows=entry), owner, NOW)
    assert limits(ledger, "web")[""].spent == 2
    ledger.write(Settle(second, "unsent"), owner, NOW)
    assert limits(ledger, "web")[""].spent == 1
    setting(ledger, "web", max_cost=Decimal(1))
    for event in (Intend(again, entry=second), Intend(again, follows=entry)):
        with pytest.raises(BudgetError):
            ledger.write(event, owner, NOW)
        assert (ledger.entry(entry).state, ledger.entry(second).state) == ("ambiguous", "unsent")


def test_what_was_made_without_limits_is_adopted(ledger: StoredLedger) -> None:
    """By what it may have cost, and whether it is under way."""
    names = [enqueued(ledger, None) for _ in range(2)]
    assert take(ledger, names[0]).state == "sending"
    entries = {name: ledger.entry(name) for name in names}
    for _ in range(2):  # once is enough
        ledger.limits.adopt("batch", entries, dict.fromkeys(names, Decimal("0.4")))
    under_way = [limits(ledger, "batch")[VENDOR].under_way]
    assert (money(ledger, "batch"), under_way) == ("0.4", [1])
    ledger.write(Settle(names[0], "rejected"), "", NOW)
    under_way = [limits(ledger, "batch")[VENDOR].under_way]
    assert (money(ledger, "batch"), under_way) == ("0", [0])


# -- places and pace -------------------------------------------------------------------------------


def test_places_are_taken_and_given_back(ledger: StoredLedger) -> None:
    """Who is ambiguous blocks none for ever."""
    setting(ledger, "web", concurrency=2)
    entries = [enqueued(ledger, "web") for _ in range(5)]
    assert take(ledger, entries[0]).state == take(ledger, entries[1]).state == "sending"
    later = take(ledger, entries[2])
    assert (type(later), later.limits) == (Later, "web")
    assert (ledger.entry(entries[2]).state, ledger.entry(entries[2]).attempts) == ("queued", 0)
    ledger.write(Settle(entries[0], "ambiguous"), "", NOW)
    assert take(ledger, entries[2]).state == "sending"
    ledger.write(Settle(entries[2], "accepted", job=job()), "", NOW)
    assert isinstance(take(ledger, entries[3]), Later)
    ledger.write(Keep(job(status="failed")), "", NOW)
    assert take(ledger, entries[3]).state == "sending"
    assert limits(ledger, "web")[VENDOR].under_way == 2
    ledger.limits.set("web", VENDOR, simulated=True, changes={"concurrency": 3})
    assert take(ledger, entries[4]).state == "sending"
    assert limits(ledger, "web")[""].concurrency == 2


def test_submits_begin_at_a_rate(ledger: StoredLedger) -> None:
    """By the clock of the database: it says after how many seconds the next one may."""
    setting(ledger, "web", rate=0.5)
    first, second = enqueued(ledger, "web"), enqueued(ledger, "web")
    assert take(ledger, first).state == "sending"
    later = take(ledger, second)
    assert 0 < later.seconds <= 120
    assert ledger.entry(second).state == "queued"
    setting(ledger, "web", rate=None)
    assert take(ledger, second).state == "sending"
    again = ledger.entry(first).submission.again("another key")
    ledger.write(Settle(first, "ambiguous"), "", NOW)
    setting(ledger, "web", concurrency=1)
    with pytest.raises(NotYetError, match="nothing was sent"):
        ledger.write(Intend(again, follows=first), ledger.new_owner(), NOW)
    assert ledger.entry(first).state == "ambiguous"


def test_a_clock_that_was_set_stops_nobody(ledger: StoredLedger) -> None:
    """A moment that lies further ahead than any pause is none."""
    setting(ledger, "web", rate=60)
    assert take(ledger, enqueued(ledger, "web")).state == "sending"
    with ledger._database.writing() as connection:
        connection.execute("UPDATE limits SET next_at = next_at + 86400")
    assert take(ledger, enqueued(ledger, "web")).state == "sending"


def test_entries_that_may_not_begin_keep_nobody_from_the_others(ledger: StoredLedger) -> None:
    """Who looks for work finds of each name what it allows."""
    setting(ledger, "slow", rate=6)
    setting(ledger, "narrow", concurrency=2)
    setting(ledger, "full", concurrency=1)
    setting(ledger, "late", rate=0.5)
    names = ("slow", "narrow", "full", "late", "free", None)
    by_name: dict[str | None, list[str]] = {
        name: [enqueued(ledger, name) for _ in range(4)] for name in names
    }
    for name in ("full", "late"):
        assert take(ledger, by_name[name].pop(0)).state == "sending"
    found = ledger.outstanding.queued(simulated=True, before=NOW, limit=3)
    allowed = {"slow": 2, "narrow": 2, "full": 0, "late": 0, "free": 3, None: 3}
    for each, ids in by_name.items():
        assert [one for one in found if one in ids] == ids[: allowed[each]]
    assert len(found) == sum(allowed.values())


# -- whatever happens ------------------------------------------------------------------------------


@define(eq=False)
class Accounts:
    """Entries under a name, and what its limits have to say of them."""

    ledger: StoredLedger
    place: Place
    name: str
    prices: dict[str, Decimal] = field(factory=dict)
    never_sent: set[str] = field(factory=set)
    """Those that were given up before they were sent."""

    def do(self, what: str, chosen: int, detail: int) -> None:
        """Do something, as far as it is allowed."""
        if what == "enqueue":
            usd = Decimal(detail) / 10
            self.prices[enqueued(self.ledger, self.name, str(usd))] = usd
        elif what == "limit":
            setting(self.ledger, self.name, max_cost=Decimal(detail), concurrency=1 + chosen % 4)
        elif self.prices:
            entry = [*self.prices][chosen % len(self.prices)]
            with suppress(BudgetError, ClaimedError):
                getattr(self, what)(entry, self.ledger.entry(entry).state, detail)

    def take(self, entry: str, state: State, _: int) -> None:
        """Begin a submit."""
        take(self.ledger, entry)

    def crash(self, entry: str, state: State, detail: int) -> None:
        """Begin one, and die: with a word of what was sent, or without."""
        with open_ledger(self.place) as dying, suppress(BudgetError):
            owner = dying.new_owner()
            dying.write(Take(entry, simulated=True), owner, NOW)
            if detail % 2:
                dying.release(owner, sent=bool(detail % 4 == 1))

    def settle(self, entry: str, state: State, detail: int) -> None:
        """Learn the outcome of a submit."""
        end: State = ENDS[detail % len(ENDS)]
        accepted = job(f"task {entry}") if end == "accepted" else None
        self.ledger.write(Settle(entry, end, job=accepted), "", NOW)

    def report(self, entry: str, state: State, detail: int) -> None:
        """Hear of a job, which may have cost more than was estimated."""
        charge = {"charge": {"usd": str(Decimal(detail) / 5)}} if detail % 3 else {}
        self.ledger.write(Keep(job(f"task {entry}", REPORTS[detail % 3], **charge)), "", NOW)

    def give_up(self, entry: str, state: State, _: int) -> None:
        """Abandon an entry."""
        self.ledger.abandon(entry)
        if state == "queued":
            self.never_sent.add(entry)

    def check(self) -> None:
        """Compare what counts with the entries."""
        spent, under_way = Decimal(0), 0
        for name, usd in self.prices.items():
            entry = self.ledger.entry(name)
            under_way += entry.state in {"sending", "accepted"}
            if entry.state not in UNPAID and name not in self.never_sent:
                charge = Decimal(((entry.job and entry.job.charge) or {}).get("usd") or 0)
                spent += max(usd, charge)
        found = limits(self.ledger, self.name)
        if found:
            assert found[""].spent == spent
        if VENDOR in found:
            assert found[VENDOR].under_way == under_way


STEPS: Final = st.tuples(
    st.sampled_from(("enqueue", "take", "take", "settle", "report", "crash", "give_up", "limit")),
    st.integers(0, 5),
    st.integers(0, 12),
)


@given(steps=st.lists(STEPS, min_size=5, max_size=30))
def test_limits_count_what_the_entries_say(
    ledger: StoredLedger, path: Place, steps: list[tuple[str, int, int]]
) -> None:
    """After whatever happens, in whatever order, and with crashes between."""
    accounts = Accounts(ledger, path, next(NAMES))
    for usd in (3, 5, 8):
        accounts.do("enqueue", 0, usd)
    for step in steps:
        accounts.do(*step)
        accounts.check()


CASES: Final[dict[str, Callable[..., None]]] = {
    name: case for name, case in globals().items() if name.startswith("test_")
}
"""The tests, by their names."""
