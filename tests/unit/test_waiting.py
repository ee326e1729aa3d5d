"""Waiting for a job: when it ends, what is waited out, and how long the pauses are."""

import math
from itertools import repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polyreel.errors import StillRunningError, TaskNotFoundError, TransportError, VendorError
from polyreel.flows import Reply, Send, retry_after, send_patiently, until
from polyreel.jobs import waiting
from polyreel.providers.base.registry import get_provider
from polyreel_generated.shared import Job
from support.faults import VENDORS
from support.loops import in_one
from support.stage import LOST, START, Answer, Stage, error_reply, every_vendor, reply, submit, wait

# --- waiting --------------------------------------------------------------------------------------


@every_vendor
def test_waiting_ends_when_the_job_does(vendor: str) -> None:
    """Every change is told; nothing is asked after the end."""
    stage = Stage([reply(vendor, "queued"), reply(vendor), reply(vendor, "succeeded")])
    done = wait(stage, submit(vendor))
    assert done.status == "succeeded"
    assert done.outputs
    assert [job.status for job in stage.reported] == ["queued", "running", "succeeded"]
    assert wait(stage, done) == done
    assert len(stage.calls) == 3
    assert not any(call.paid or call.content for call in stage.calls)


@in_one
@every_vendor
@pytest.mark.parametrize("timeout", [0.0, 0.5, 4.0, 10.0, 100.0, 1800.0])
def test_running_out_of_patience_harms_nothing(vendor: str, timeout: float) -> None:
    """The deadline is met to the second, the error has the job, and waiting again finishes it."""
    stage = Stage(repeat(reply(vendor)))
    with pytest.raises(StillRunningError, match="It goes on there") as caught:
        wait(stage, submit(vendor), timeout)
    assert stage.elapsed == pytest.approx(timeout)
    assert (caught.value.billed, caught.value.vendor) == ("yes", vendor)
    job = caught.value.job
    assert job is not None
    assert job.status == ("running" if timeout else "queued")
    stored = Job.model_validate_json(job.model_dump_json())
    assert stored == job
    assert wait(Stage([reply(vendor, "succeeded")]), stored).status == "succeeded"


@every_vendor
@pytest.mark.parametrize("timeout", [-1.0, math.nan])
def test_no_time_is_no_time(vendor: str, timeout: float) -> None:
    """A timeout that is none asks nothing."""
    stage = Stage()
    with pytest.raises(StillRunningError):
        wait(stage, submit(vendor), timeout)
    assert stage.calls == []


@every_vendor
@pytest.mark.parametrize("patience", ["120", "119.5", "1000000"])
def test_a_vendor_that_asks_for_patience_gets_no_more_than_there_is(
    vendor: str, patience: str
) -> None:
    """Retry-After is followed, and does not move the deadline."""
    stage = Stage(repeat(Reply(429, {"Retry-After": patience}, b"{}")))
    with pytest.raises(StillRunningError, match="last trouble") as caught:
        wait(stage, submit(vendor), 300.0)
    assert stage.elapsed == pytest.approx(300.0)
    assert len(stage.calls) <= 4
    assert caught.value.job is not None


@in_one
@every_vendor
@pytest.mark.parametrize(
    "trouble",
    [
        LOST,
        *(Reply(code, {}, b"oops") for code in (429, 500, 502, 503, 504, 520)),
        Reply(200, {}, b"<html>"),
    ],
    ids=lambda trouble: str(getattr(trouble, "status", trouble) or trouble),
)
def test_trouble_with_asking_is_no_trouble_of_the_job(vendor: str, trouble: Answer) -> None:
    """Lost connections, overload and nonsense do not fail a job: it is asked again."""
    done = wait(Stage([*repeat(trouble, 30), reply(vendor, "succeeded")]), submit(vendor), math.inf)
    assert done.status == "succeeded"


@every_vendor
@pytest.mark.parametrize(
    "trouble", [LOST, Reply(503, {}, b""), Reply(400, {}, b"{}")], ids=["lost", "503", "400"]
)
def test_a_vendor_that_is_down_is_not_asked_for_ever(vendor: str, trouble: Answer) -> None:
    """The deadline holds while nothing answers. The error says what the trouble was, and nothing
    that nobody knows.
    """
    stage = Stage(repeat(trouble))
    with pytest.raises(StillRunningError, match=r"last trouble.*It may go on there"):
        wait(stage, submit(vendor), 600.0)
    assert stage.elapsed == pytest.approx(600.0)
    assert len(stage.calls) < 300


@every_vendor
@pytest.mark.parametrize("code", [401, 403])
def test_a_key_that_is_not_accepted_ends_waiting(vendor: str, code: int) -> None:
    """Asking again does not change it. The error has the job: it was paid."""
    job = submit(vendor)
    with pytest.raises(VendorError) as caught:
        wait(Stage([Reply(code, {}, b"{}")]), job)
    assert (caught.value.job, caught.value.billed, caught.value.status) == (job, "yes", code)


@every_vendor
def test_a_job_may_take_a_moment_to_be_known(vendor: str) -> None:
    """A vendor that does not know the job yet is asked again; one that never does ends the wait."""
    missing, job = error_reply(vendor, "not_found"), submit(vendor)
    assert wait(Stage([*repeat(missing, 3), reply(vendor, "succeeded")]), job).status == "succeeded"
    stage = Stage(repeat(missing))
    with pytest.raises(TaskNotFoundError) as caught:
        wait(stage, job)
    assert caught.value.job == job
    assert len(stage.calls) <= waiting.EMPTY_POLLS + 1


# --- patience -------------------------------------------------------------------------------------


DATE = "Wed, 18 Nov 2026 10:00:00 GMT"
PATIENCE: list[tuple[str | None, float | None]] = [
    *(
        (text, None)
        for text in (
            None,
            "",
            " ",
            "soon",
            "-1",
            "-0",
            "+5",
            "1e9",
            "1e999",
            "NaN",
            "nan",
            "inf",
            "Infinity",
        )
    ),
    *(
        (text, None)
        for text in (
            "²",
            "٣",
            "½",
            "\uff11",
            "0x10",
            "1_0",
            "1,5",
            "1.2.3",
            ".",
            "--",
            "5s",
            "5 6",
            "\x00",
            "5;q=1",
        )
    ),
    *(
        ("0", 0.0),
        ("0.0", 0.0),
        ("1", 1.0),
        (" 7 ", 7.0),
        ("2.5", 2.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("007", 7.0),
    ),
    *(("120", 120.0), ("121", 120.0), ("1000000000", 120.0), ("9" * 5000, 120.0)),
    *(("Wed, 18 Nov 2026 10:00:30 GMT", 30.0), ("Wed, 18 Nov 2026 12:00:30 GMT", 120.0)),
    *(("Wed, 18 Nov 2026 09:59:59 GMT", None), ("Wednesday, 18-Nov-26 10:00:30 GMT", 30.0)),
    *(
        (text, None)
        for text in (
            "Wed, 99 Nov 2026 10:00:30 GMT",
            "Wed, 18 Nov 99999 10:00:00 GMT",
            "Wed, 18 Nov 2026",
        )
    ),
    *(
        (text, None)
        for text in (
            "18 Nov",
            "Mon, 01 Jan 0000 00:00:00 GMT",
            "Wed, 18 Nov 2026 10:00:30 +9999999999",
        )
    ),
]


@in_one
@pytest.mark.parametrize(("text", "seconds"), PATIENCE)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    """Whole and broken seconds, and dates beside the server's own; everything else is left to
    backoff.
    """
    headers = {"Date": DATE} | ({} if text is None else {"Retry-After": text})
    assert retry_after(Reply(429, headers, b"")) == seconds


@given(text=st.text(), date=st.one_of(st.just(DATE), st.text()))
@settings(max_examples=200, deadline=None)
def test_retry_after_never_raises(text: str, date: str) -> None:
    """A header is anybody's text."""
    seconds = retry_after(Reply(429, {"retry-after": text, "date": date}, b""))
    assert seconds is None or 0 <= seconds <= 120


def test_a_date_without_the_servers_own_is_left_to_backoff() -> None:
    """Without it, a clock that is wrong would decide."""
    assert retry_after(Reply(429, {"Retry-After": DATE}, b"")) is None


def test_free_calls_are_made_again_with_growing_pauses() -> None:
    """Four tries at most, the vendor's own pause where it gives one, and the last answer as
    it is.
    """
    step = Send(VENDORS[0], "GET", "https://example.com")
    answers: list[Answer] = [
        LOST,
        Reply(429, {"Retry-After": "30"}, b""),
        Reply(500, {}, b""),
        Reply(503, {}, b""),
    ]
    stage = Stage(answers)
    assert stage.run(send_patiently(step)).status == 503
    assert stage.pauses == [1.0, 30.0, 4.0]
    with pytest.raises(TransportError):
        Stage(repeat(LOST)).run(send_patiently(step))
    for code in (200, 302, 400, 404):
        assert Stage([Reply(code, {}, b"")]).run(send_patiently(step)).status == code
    with pytest.raises(AssertionError):
        Stage().run(send_patiently(Send(VENDORS[0], "POST", "https://example.com", paid=True)))


def test_a_call_near_the_deadline_is_short() -> None:
    """A query that hangs does not outlast the wait by a minute."""
    stage = Stage(repeat(LOST))
    with pytest.raises(TransportError):
        stage.run(
            until(START + 2.5, send_patiently(Send(VENDORS[0], "GET", "https://example.com")))
        )
    assert stage.elapsed == 2.5
    assert [call.deadline for call in stage.calls] == [10.0, 10.0]


@every_vendor
def test_the_vendors_floor_holds(vendor: str) -> None:
    """No job is asked for more often than the vendor's own clients do."""
    stage = Stage(repeat(reply(vendor)))
    with pytest.raises(StillRunningError):
        wait(stage, submit(vendor), 200.0)
    assert all(pause >= get_provider(vendor).poll_floor for pause in stage.pauses[:-1])
