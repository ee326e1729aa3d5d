"""Nothing that a vendor says is trusted: lists of tasks."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from polyreel.errors import BadReplyError, VendorError
from polyreel.flows import Reply, Send
from polyreel.providers.base.answers import moment
from polyreel.providers.base.facts import Listed, Listing
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import get_provider
from support.faults import VENDORS, encoded
from support.mutations import (
    ALL_CODES,
    COUNT,
    LISTING,
    TASK_ID,
    answers,
    bodies_of,
    documented_list,
    drawing,
    drive,
    items_of,
    leading,
    meaning,
    of_role,
    oracle,
    outcome,
)


@pytest.mark.slow
@pytest.mark.matrix
@pytest.mark.parametrize("vendor", LISTING)
def test_no_list_is_taken_for_what_it_is_not(vendor: str) -> None:
    """Tasks that are listed, each as it stands there, or a VendorError; odd items are left out and
    told.
    """
    random, provider, good, short = drawing(3), get_provider(vendor), 0, 0
    bodies = [*[documented_list(provider)] * 6, *bodies_of(provider, "list", "list-running")]
    for _ in range(COUNT):
        reply = answers(random, bodies, ALL_CODES)
        found = outcome(drive, provider.recent(), reply)
        if isinstance(found, Listing):
            good, short = good + 1, short + (not found.complete)
            assert reply.ok
            check_listing(found, oracle(reply.content), provider)
        else:
            assert type(found) is (VendorError if provider.is_error(reply) else BadReplyError)
    assert good > COUNT * 0.1
    assert short


@pytest.mark.parametrize("vendor", [vendor for vendor in VENDORS if vendor not in LISTING])
def test_a_vendor_without_a_list_lists_nothing(vendor: str) -> None:
    """And is not asked."""
    assert list(get_provider(vendor).recent()) == []
    assert drive(get_provider(vendor).recent(), Reply(500, {}, b"")) is None


def check_listing(listing: Listing, raw: Any, provider: Provider) -> None:
    """Every task is an item, and nothing is complete that leaves one out."""
    items = items_of(raw)
    assert items is not None
    assert listing.running_only == (provider.contract.operation("list-running") is not None)
    for task in listing.tasks:
        assert TASK_ID.fullmatch(task.id)
        assert ".." not in task.id
        assert any(is_item(task, item, provider) for item in items)
    assert len({task.id for task in listing.tasks}) == len(listing.tasks) <= len(items)
    assert not listing.complete or len(listing.tasks) == len(items)


def is_item(task: Listed, item: Any, provider: Provider) -> bool:
    """Whether a task is what an item of the list says."""
    if leading(item, provider.reads.id) != task.id:
        return False
    word = leading(item, provider.reads.status)
    status = meaning(word, provider.statuses)
    reported: list[Any] = [fact for fact in (task.model, task.body) if fact is not None]
    if task.created is not None:
        reported.append(next((one for one in item.values() if moment(one) == task.created), None))
    return task.status == status and all(fact in item.values() for fact in reported)


@pytest.mark.parametrize("vendor", LISTING)
def test_documented_lists_are_read(vendor: str) -> None:
    """Whole, with what each item tells."""
    provider = get_provider(vendor)
    raw = documented_list(provider)
    items = items_of(raw) or []
    listing = drive(provider.recent(), Reply(200, {}, encoded(raw)))
    assert listing.complete
    assert [task.id for task in listing.tasks] == [item["id"] for item in items]
    assert [task.body for task in listing.tasks] == [item.get("input") for item in items]
    assert [(task.model, task.created) for task in listing.tasks] == [
        (item.get("model"), moment(item.get("created_at") or item.get("create_time")))
        for item in items
    ]
    assert {task.status for task in listing.tasks} <= {"queued", "running", "succeeded"}


def listed(provider: Provider, page: Callable[[dict[str, Any]], Any]) -> tuple[int, bool, int]:
    """How many tasks are made of a vendor's pages, whether that is all, and how many calls it
    took.
    """
    flow, reply, calls = provider.recent(), None, 0
    while True:
        try:
            step = flow.send(reply)
        except StopIteration as stop:
            return len(stop.value.tasks), stop.value.complete, calls
        assert isinstance(step, Send)
        assert not step.paid
        asked = dict(step.params) if step.method == "GET" else json.loads(step.content or b"")
        reply, calls = Reply(200, {}, encoded(page(asked))), calls + 1


def tasks_of(vendor: str, count: int) -> list[Any]:
    """Items of a list."""
    return [
        {**(items_of(documented_list(get_provider(vendor))) or [])[0], "id": f"task-{n}"}
        for n in range(count)
    ]


@pytest.mark.parametrize("vendor", of_role("list-running"))
@pytest.mark.parametrize(
    ("count", "complete"), [(0, True), (1, True), (99, True), (100, False), (150, False)]
)
def test_a_list_that_is_full_is_not_complete(vendor: str, count: int, complete: bool) -> None:
    """There may be more than the longest list that can be asked for."""
    items = tasks_of(vendor, count)

    def page(asked: dict[str, Any]) -> Any:
        assert asked == {"limit": 100}
        return items

    assert listed(get_provider(vendor), page) == (count, complete, 1)


PAGED = [
    vendor
    for vendor in of_role("list")
    if (listing := get_provider(vendor).contract.operation("list")) and listing.method == "GET"
]


@pytest.mark.parametrize("vendor", [one for one in of_role("list") if one not in PAGED])
@pytest.mark.parametrize(
    ("count", "honest", "expected"),
    [
        (0, True, (0, True, 1)),
        (1, True, (1, True, 1)),
        (500, True, (500, True, 1)),
        (501, True, (501, True, 2)),
        (2001, True, (2000, False, 4)),
        (700, False, (500, False, 2)),  # a server whose cursor leads to the first page again
    ],
)
def test_cursors_are_followed_to_the_end(
    vendor: str, count: int, honest: bool, expected: tuple[int, bool, int]
) -> None:
    """Four pages at most; a list that repeats itself, or goes on, is not complete."""
    items = tasks_of(vendor, count)

    def page(asked: dict[str, Any]) -> Any:
        start = int(asked.get("cursor", 0)) if honest else 0
        last = min(start + 500, count)
        more = {"has_more": last < count, "next_cursor": str(last)}
        return {"code": 0, "data": {"result": items[start:last], **more}}

    assert listed(get_provider(vendor), page) == expected


@pytest.mark.parametrize("vendor", PAGED)
@pytest.mark.parametrize(
    ("count", "size", "total", "paged", "expected"),
    [
        (0, 50, True, True, (0, True, 1)),
        (1, 50, True, True, (1, True, 1)),
        (50, 50, True, True, (50, True, 1)),
        (51, 50, True, True, (51, True, 2)),
        (200, 50, True, True, (200, True, 4)),
        (201, 50, True, True, (200, False, 4)),
        (
            45,
            20,
            True,
            True,
            (45, True, 3),
        ),  # a server that gives shorter pages than it is asked for
        (0, 50, False, True, (0, True, 1)),
        (60, 50, False, True, (60, True, 3)),
        (170, 50, False, True, (170, False, 4)),
        (70, 50, True, False, (50, False, 2)),  # a server that knows one page only
        (100, 50, True, False, (50, False, 2)),
        (70, 50, False, False, (50, False, 2)),
    ],
)
def test_pages_are_asked_for_to_their_end(
    vendor: str, count: int, size: int, total: bool, paged: bool, expected: tuple[int, bool, int]
) -> None:
    """Four at most; a list that repeats itself, or of which something may be left, is not
    complete.
    """
    items = tasks_of(vendor, count)

    def page(asked: dict[str, Any]) -> Any:
        assert asked["page_size"] == 50
        start = size * (asked["page"] - 1) if paged else 0
        return {"data": items[start : start + size], **({"total": count} if total else {})}

    assert listed(get_provider(vendor), page) == expected
