"""Many jobs waited for at once, where queries about several fail, or those about one, or both."""

from __future__ import annotations

from typing import Final

import httpx
import pytest
from polyreel import VendorError
from polyreel.jobs.waiting import EMPTY_POLLS
from polyreel.providers.base.facts import FINAL
from support.faults import Kind, every_kind
from support.fleet import (
    SURVEYS,
    USUALLY,
    Call,
    World,
    assert_all_succeed,
    by_id,
    by_survey,
    ids,
    one_by_one,
    refusal,
)


@pytest.mark.matrix("vendor", "kind+fault")
@every_kind
@by_survey
@pytest.mark.parametrize("fault", ["list-500", "list-empty"])
def test_a_query_about_several_that_is_out_of_order_holds_up_nobody(
    vendor: str, kind: Kind, fault: str
) -> None:
    """It says nothing about each, and the query about one may well work: jobs end as in waiting for
    each alone.
    """
    with World(kind) as world:
        jobs = world.submit(vendor, 10)
        world.simulator.inject(fault, vendor, times=None)
        assert_all_succeed(world.complete(jobs), jobs)
        assert max(world.moments.values()) < 2 * USUALLY


@pytest.mark.matrix("vendor", "kind", "content")
@every_kind
@by_survey
@pytest.mark.parametrize(
    "content",
    [
        b"<html>",
        b"[]",
        b"{}",
        b"null",
        b'{"data": {}}',
        b'{"data": [null, [], {"id": []}]}',
        b'[{"id": 1}]',
        b"",
    ],
)
def test_nonsense_about_several_holds_up_nobody(vendor: str, kind: Kind, content: bytes) -> None:
    """They are asked about one by one."""
    with World(kind) as world:
        jobs = world.submit(vendor, 4)
        world.line.meddle = lambda call: (
            None if call.single else httpx.Response(200, content=content)
        )
        assert_all_succeed(world.complete(jobs), jobs)
        assert max(world.moments.values()) < 2 * USUALLY


SPOILED: Final[dict[str, httpx.Response | None]] = {
    "500": refusal(500),
    "429": refusal(429),
    "400": refusal(400),
    "nonsense": httpx.Response(200, content=b"<html>"),
    "cut off": None,
}
"""What can be said once, instead of an answer."""


LAST_ONE: Final = 6
"""How often the last job of all, which is asked about alone, is asked about at most."""


def spoiled(how: str) -> httpx.Response:
    """An answer of these, or the lack of one."""
    found = SPOILED[how]
    if found is None:  # made anew: one that is kept has a traceback, which keeps all jobs
        raise httpx.ReadError("the connection was lost")
    return found


@pytest.mark.matrix("vendor", "kind", "how")
@every_kind
@by_id
@pytest.mark.parametrize("how", SPOILED)
def test_one_query_about_several_that_fails_costs_one_about_a_single_job(
    vendor: str, kind: Kind, how: str
) -> None:
    """Any call can fail once."""
    with World(kind) as world:
        jobs = world.submit(vendor, 120)
        left = [how]
        world.line.meddle = lambda call: spoiled(left.pop()) if left and not call.single else None
        assert_all_succeed(world.complete(jobs), jobs)
        assert 0 < len(world.calls(vendor, single=True)) <= 1 + LAST_ONE
        assert max(world.moments.values()) < USUALLY


@pytest.mark.matrix("vendor", "kind", "how")
@every_kind
@by_id
@pytest.mark.parametrize("how", [name for name in SPOILED if name != "400"])
def test_where_single_queries_fail_jobs_are_asked_about_together(
    vendor: str, kind: Kind, how: str
) -> None:
    """One about several that fails does not lead to many that fail."""
    with World(kind) as world:
        jobs = world.submit(vendor, 120)
        left, failed = [how], []

        def meddle(call: Call) -> httpx.Response | None:
            if left and not call.single:
                return spoiled(left.pop())
            if call.single and len(world.moments) < len(jobs) - 1:
                failed.append(call)
                return spoiled(how)
            return None

        world.line.meddle = meddle
        assert_all_succeed(world.complete(jobs), jobs)
        assert 0 < len(failed) <= 3
        assert max(world.moments.values()) < 2 * USUALLY


@pytest.mark.matrix("vendor", "kind", "how")
@every_kind
@by_id
@pytest.mark.parametrize("how", SPOILED)
def test_a_job_that_spoils_each_query_is_found(vendor: str, kind: Kind, how: str) -> None:
    """The others are asked about together again; those that it was asked about with have queries of
    their own, once for every two that it spoils.
    """
    with World(kind) as world:
        jobs = world.submit(vendor, 150)
        bad = jobs[123].id
        world.line.meddle = lambda call: (
            spoiled(how) if not call.single and bad in call.tasks else None
        )
        assert_all_succeed(world.complete(jobs), jobs)
        assert len(world.calls(vendor, single=False)) > len(jobs) / SURVEYS[vendor].size
        others = [call for call in world.calls(vendor, single=True) if call.tasks != [bad]]
        assert len(others) <= 2.5 * SURVEYS[vendor].size
        assert max(world.moments.values()) < 2 * USUALLY


@pytest.mark.matrix("vendor", "kind", "how", "since")
@every_kind
@by_id
@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize("since", [0.001, 1000.0], ids=["at the last", "always"])
def test_the_last_query_about_a_job_is_one_that_is_answered(
    vendor: str, kind: Kind, how: str, since: float
) -> None:
    """Where those about several fail, nobody hears that a job goes on which is over."""
    with World(kind) as world:
        jobs = world.submit(vendor, 20)
        world.complete(jobs)
        timeout = min(world.moments.values()) - 0.01  # before this, nothing was heard of the end
    with World(kind) as world:
        assert ids(world.submit(vendor, 20)) == ids(jobs)
        world.line.meddle = lambda call: (
            None if call.single or world.seconds < timeout - since else spoiled(how)
        )
        ends = world.complete(jobs, timeout=timeout)
        assert ids(ends) == ids(jobs)
        assert any(end.error is None for end in ends)
        world.line.meddle = lambda _: None
        for job in [end.job for end in ends if end.error is not None]:
            assert world.do("get", job).status not in FINAL


@pytest.mark.matrix("vendor", "kind", "how")
@every_kind
@by_id
@pytest.mark.parametrize("how", [name for name in SPOILED if name != "400"])
def test_a_vendor_that_was_away_is_asked_about_several_again(
    vendor: str, kind: Kind, how: str
) -> None:
    """That all queries fail for a minute says nothing about those about several."""
    with World(kind) as world:
        jobs = world.submit(vendor, 200, duration=15)
        world.line.meddle = lambda _: spoiled(how) if 10 <= world.seconds < 70 else None
        assert_all_succeed(world.complete(jobs), jobs)
        assert len(world.calls(vendor)) < one_by_one(vendor, 100)
        if how != "nonsense":  # after which a vendor has no rest
            assert len(world.calls(vendor, single=True)) <= 1.5 * SURVEYS[vendor].size


@pytest.mark.matrix("vendor", "kind", "how")
@every_kind
@by_id
@pytest.mark.parametrize("how", SPOILED)
def test_queries_about_several_that_always_fail_are_made_once_a_minute(
    vendor: str, kind: Kind, how: str
) -> None:
    """Where those about one are answered."""
    with World(kind) as world:
        jobs = world.submit(vendor, 60, duration=15)
        world.line.meddle = lambda call: None if call.single else spoiled(how)
        assert_all_succeed(world.complete(jobs), jobs)
        failed = len(world.calls(vendor, single=False))
        assert 0 < failed <= 2 * (2 + world.seconds / 60)


@pytest.mark.matrix("vendor", "kind", "status")
@every_kind
@by_id
@pytest.mark.parametrize(("status", "calls"), [(401, 1), (403, 1), (404, 1 + EMPTY_POLLS)])
def test_what_is_said_of_one_job_lets_the_others_be_asked_about_alone(
    vendor: str, kind: Kind, status: int, calls: int
) -> None:
    """A key that is taken back, or tasks that are gone, end the waiting for all within minutes."""
    with World(kind) as world:
        jobs = world.submit(vendor, 150)
        world.line.meddle = lambda _: refusal(status)
        ends = world.complete(jobs)
        assert ids(ends) == ids(jobs)
        assert {isinstance(end.error, VendorError) and end.error.status for end in ends} == {status}
        assert len(world.calls(vendor)) <= 1.1 * calls * len(jobs)
        assert max(world.moments.values()) < 1.2 * USUALLY
