"""A job's life on a clock that jumps: deadlines, odd words, trouble on the way, and what replies can hold."""

import json
import logging
import math
from collections.abc import Callable, Iterable
from itertools import chain, product, repeat
from pathlib import Path
from typing import Any

import pytest
from attrs import astuple, evolve
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polyreel.errors import (
    AmbiguousError,
    BadReplyError,
    DownloadError,
    JobFailedError,
    PolyreelError,
    StillRunningError,
    TaskNotFoundError,
    TransportError,
    VendorError,
)
from polyreel.flows import (
    Fetch,
    Flow,
    Notify,
    Now,
    Reply,
    Saved,
    Send,
    Sleep,
    Step,
    retry_after,
    send_patiently,
    until,
)
from polyreel.jobs import submitting as lifecycle
from polyreel.jobs import waiting
from polyreel.ledger import states
from polyreel.places import get, put
from polyreel.providers.base.facts import FINAL, Facts
from polyreel.providers.base.registry import get_provider
from polyreel_generated.shared import Job
from support.faults import VENDORS, accepted, encoded, plans

every_vendor = pytest.mark.parametrize("vendor", VENDORS)
Answer = Reply | PolyreelError
START = 1_800_000_000.0


class Stage:
    """Performs steps without I/O: calls get the next answer, sleeping moves the clock."""

    def __init__(self, answers: Iterable[Answer] = ()) -> None:
        self.answers = iter(answers)
        self.clock = START
        self.calls: list[Send] = []
        self.pauses: list[float] = []
        self.told: list[Any] = []
        self.fetch: Callable[[Fetch], Saved] = lambda step: Saved(
            step.path.with_suffix(".mp4"), "video/mp4", 1
        )

    @property
    def elapsed(self) -> float:
        return self.clock - START

    def run(self, flow: Flow[Any]) -> Any:
        outcome: Any = None
        while True:
            try:
                step = (
                    flow.throw(outcome)
                    if isinstance(outcome, PolyreelError)
                    else flow.send(outcome)
                )
            except StopIteration as stop:
                return stop.value
            try:
                outcome = self.perform(step)
            except PolyreelError as error:
                outcome = error

    def perform(self, step: Step) -> Any:
        if isinstance(step, Send):
            self.calls.append(step)
            answer = next(self.answers)
            if isinstance(answer, PolyreelError):
                raise answer
            return answer
        if isinstance(step, Sleep):
            assert step.seconds >= 0
            self.pauses.append(step.seconds)
            self.clock += step.seconds
        elif isinstance(step, Notify):
            self.told.append(step.event)
        elif isinstance(step, Fetch):
            return self.fetch(step)
        return self.clock if isinstance(step, Now) else None


def reply(vendor: str, status: str = "running", word: Any = None, code: int = 200) -> Reply:
    """The vendor's documented answer to a status query, or that with another status word."""
    provider = get_provider(vendor)
    query = provider.contract.operation("get")
    assert query is not None
    found = {
        name: body for number, _, name, body in provider.contract.replies(query) if number == code
    }
    body = json.loads(json.dumps(found.get(status) or found["running"]))
    if status == "canceled" and status not in found:
        word = next(word for word, meaning in provider.statuses.items() if meaning == "canceled")
    if word is not None:
        put(body, provider.reads.status[0], word)
    return Reply(code, {}, encoded(body))


def error_reply(vendor: str, name: str) -> Reply:
    """One of the vendor's documented errors of a status query."""
    query = get_provider(vendor).contract.operation("get")
    assert query is not None
    found = (
        (code, body)
        for code, _, label, body in get_provider(vendor).contract.replies(query)
        if label == name
    )
    code, body = next(found)
    return Reply(code, {}, encoded(body))


def submit(vendor: str, answer: Answer | None = None, stage: Stage | None = None) -> Job:
    """A job of the vendor's first workflow, by way of a submit."""
    made = next(iter(plans(vendor).values()))
    stage = stage or Stage([answer or Reply(200, {}, accepted(vendor, made))])
    job = stage.run(lifecycle.submit(made, simulated=False, idempotency_key="key"))
    assert isinstance(job, Job)
    return job


def wait(stage: Stage, job: Job, timeout: float = 1800.0) -> Job:
    """The job after waiting."""
    done = stage.run(waiting.wait(job, timeout=timeout))
    assert isinstance(done, Job)
    return done


def generate(stage: Stage, vendor: str, folder: Path) -> Any:
    """The whole way, beginning with a submit that is accepted."""
    made = next(iter(plans(vendor).values()))
    stage.answers = chain([Reply(200, {}, accepted(vendor, made))], stage.answers)
    submitting = lifecycle.submit(made, simulated=False, idempotency_key="key")
    return stage.run(lifecycle.generate(submitting, folder=folder, timeout=600.0, base_urls={}))


LOST = TransportError("lost", sent=True)


# --- waiting --------------------------------------------------------------------------------------


@every_vendor
def test_waiting_ends_when_the_job_does(vendor: str) -> None:
    """Every change is told; nothing is asked after the end."""
    stage = Stage([reply(vendor, "queued"), reply(vendor), reply(vendor, "succeeded")])
    done = wait(stage, submit(vendor))
    assert done.status == "succeeded"
    assert done.outputs
    assert [job.status for job in stage.told] == ["queued", "running", "succeeded"]
    assert wait(stage, done) == done
    assert len(stage.calls) == 3
    assert not any(call.paid or call.content for call in stage.calls)


@every_vendor
@pytest.mark.parametrize("timeout", [0.0, 0.5, 4.0, 10.0, 100.0, 1800.0])
def test_running_out_of_patience_harms_nothing(vendor: str, timeout: float) -> None:
    """The deadline is met to the second, the error has the job, and waiting again finishes it."""
    stage = Stage(repeat(reply(vendor)))
    with pytest.raises(StillRunningError) as caught:
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
    """The deadline holds while nothing answers, and the error says what the trouble was."""
    stage = Stage(repeat(trouble))
    with pytest.raises(StillRunningError, match="last trouble"):
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


# --- what an answer means -------------------------------------------------------------------------

WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "DONE",
            "finished",
            "ok",
            "ready",
            "error",
            "\uff23ompleted",
            "succeeded!",
            "cancel",
            "\ufb01nished",
            "true",
        ]
    ),
    st.none(),
    st.booleans(),
    st.integers(),
    st.lists(st.sampled_from(["completed", "failed"]), max_size=2),
    st.dictionaries(st.just("status"), st.just("completed"), max_size=1),
)


@every_vendor
@given(word=WORDS)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_odd_words_are_never_final(vendor: str, word: Any) -> None:
    """Only documented words end a job, in any case; every other word, or none, is waited on."""
    provider = get_provider(vendor)
    place = provider.reads.status[0]
    body = {
        "id": "task-1",
        "video_url": "https://example.com/a.mp4",
        "results": ["https://example.com/a.mp4"],
    }
    put(body, place, word)
    facts = provider.read(Reply(200, {}, encoded(body)))
    if isinstance(word, str) and word.strip().lower() in provider.statuses:
        return
    assert facts.status == "unknown"
    assert states.advance(JOBS[vendor], facts, START).status == "unknown"


@every_vendor
def test_known_words_are_known_in_any_case(vendor: str) -> None:
    """Vendors' forks differ in case, and blanks happen."""
    provider = get_provider(vendor)
    for word, status in provider.statuses.items():
        for spelled in (word, word.upper(), word.title(), f" {word}\n"):
            assert provider.read(reply(vendor, word=spelled)).status == status


@every_vendor
def test_an_unknown_word_is_told_once(vendor: str, caplog: pytest.LogCaptureFixture) -> None:
    """A new word of a vendor is worth one line in the log, and a wait until the deadline."""
    stage = Stage([*repeat(reply(vendor, word="REMIXING"), 20), reply(vendor, "succeeded")])
    with caplog.at_level(logging.WARNING, "polyreel"):
        assert wait(stage, submit(vendor)).status == "succeeded"
    assert [record.message.count("REMIXING") for record in caplog.records] == [1]


def facts(status: Any, urls: tuple[str, ...] = (), **own: Any) -> Facts:
    """What a reply would say."""
    empty: dict[str, Any] = dict.fromkeys(
        ("progress", "usage", "estimated_seconds", "error_code", "error_message"), None
    )
    return Facts(
        **{**empty, "id": "x", "status": status, "word": status, "urls": urls, "raw": {}, **own}
    )


@every_vendor
@pytest.mark.parametrize(
    ("final", "late"),
    list(
        product(sorted(FINAL), ["queued", "running", "succeeded", "failed", "canceled", "unknown"])
    ),
)
def test_final_states_absorb(vendor: str, final: str, late: str) -> None:
    """A late, stale or empty answer takes nothing back: not the state, not the files, not where they are."""
    links = ("https://example.com/1.mp4",) if final == "succeeded" else ()
    job = states.advance(JOBS[vendor], facts(final, links), START)
    assert job.status == final
    for urls in ((), links):
        assert states.advance(job, facts(late, urls), START + 1e6) == job
    if late != final:
        assert states.advance(job, facts(late, ("https://example.com/2.mp4",)), START + 1e6) == job


@every_vendor
def test_a_link_that_is_signed_anew_replaces_the_old_one(vendor: str) -> None:
    """Asking a finished job again brings the vendor's newest links."""
    job = states.advance(JOBS[vendor], facts("succeeded", ("https://example.com/1?sig=a",)), START)
    again = states.advance(job, facts("succeeded", ("https://example.com/1?sig=b",)), START + 60)
    assert [output.url for output in again.outputs or ()] == ["https://example.com/1?sig=b"]


def without_outputs(vendor: str) -> Reply:
    """A success that gives no file."""
    provider = get_provider(vendor)
    body = json.loads(reply(vendor, "succeeded").content)
    for place in provider.reads.outputs:
        top = place.partition(".")[0]
        if top in body:
            body[top] = None
    assert provider.read(Reply(200, {}, encoded(body))).status == "succeeded"
    return Reply(200, {}, encoded(body))


@every_vendor
def test_a_success_without_a_file_is_asked_again_and_then_failed(vendor: str) -> None:
    """Some vendors say they are done a moment before the link is there; some never give one."""
    empty = without_outputs(vendor)
    done = wait(
        Stage([*repeat(empty, waiting.EMPTY_POLLS), reply(vendor, "succeeded")]), submit(vendor)
    )
    assert done.status == "succeeded"
    assert done.outputs
    stage = Stage(repeat(empty))
    failed = wait(stage, submit(vendor))
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "no_output"
    assert len(stage.calls) == waiting.EMPTY_POLLS + 1
    assert wait(stage, failed) == failed


@every_vendor
@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_generate_tells_why_a_job_failed(vendor: str, end: str, tmp_path: Path) -> None:
    """The vendor's words, and the job."""
    stage = Stage([reply(vendor, end)])
    with pytest.raises(JobFailedError, match=end) as caught:
        generate(stage, vendor, tmp_path)
    assert caught.value.job is not None
    assert caught.value.job.status == end
    assert [call.paid for call in stage.calls] == [True, False]


@every_vendor
def test_no_error_after_the_submit_loses_the_job(vendor: str, tmp_path: Path) -> None:
    """Whatever goes wrong later, the error has the job that was paid."""

    def fail(step: Fetch) -> Saved:
        raise DownloadError("disk full")

    endings: dict[type[PolyreelError], Stage] = {
        StillRunningError: Stage(repeat(reply(vendor))),
        VendorError: Stage([Reply(403, {}, b"")]),
        TaskNotFoundError: Stage(repeat(error_reply(vendor, "not_found"))),
        DownloadError: Stage([reply(vendor, "succeeded")]),
    }
    endings[DownloadError].fetch = fail
    for kind, stage in endings.items():
        with pytest.raises(kind) as caught:
            generate(stage, vendor, tmp_path)
        assert caught.value.job is not None
        assert caught.value.billed == "yes"


@every_vendor
def test_files_that_are_home_stay_known_when_one_is_not(vendor: str, tmp_path: Path) -> None:
    """Of several files the third fails: the error's job has the paths of the first two."""
    links = tuple(f"https://example.com/{number}.mp4" for number in range(4))
    job = states.advance(JOBS[vendor], facts("succeeded", links), START)

    def fetch(step: Fetch) -> Saved:
        if step.url == links[2]:
            raise DownloadError("gone")
        return Saved(step.path, "video/mp4", 5)

    stage = Stage()
    stage.fetch = fetch
    with pytest.raises(DownloadError) as caught:
        stage.run(lifecycle.download(job, tmp_path))
    assert caught.value.job is not None
    assert [bool(output.path) for output in caught.value.job.outputs or ()] == [
        True,
        True,
        False,
        False,
    ]


@every_vendor
def test_a_job_without_files_is_not_downloaded_in_silence(vendor: str, tmp_path: Path) -> None:
    """A running job has nothing to save, and the caller is told."""
    with pytest.raises(DownloadError, match="is queued"):
        Stage().run(lifecycle.download(JOBS[vendor], tmp_path))


JOBS = {vendor: submit(vendor) for vendor in VENDORS}


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


@pytest.mark.parametrize(("text", "seconds"), PATIENCE)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    """Whole and broken seconds, and dates beside the server's own; everything else is left to backoff."""
    headers = {"Date": DATE} | ({} if text is None else {"Retry-After": text})
    assert retry_after(Reply(429, headers, b"")) == seconds


@given(text=st.text(), date=st.one_of(st.just(DATE), st.text()))
@settings(max_examples=500, deadline=None)
def test_retry_after_never_raises(text: str, date: str) -> None:
    """A header is anybody's text."""
    seconds = retry_after(Reply(429, {"retry-after": text, "date": date}, b""))
    assert seconds is None or 0 <= seconds <= 120


def test_a_date_without_the_servers_own_is_left_to_backoff() -> None:
    """Without it, a clock that is wrong would decide."""
    assert retry_after(Reply(429, {"Retry-After": DATE}, b"")) is None


def test_free_calls_are_made_again_with_growing_pauses() -> None:
    """Four tries at most, the vendor's own pause where it gives one, and the last answer as it is."""
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


# --- replies --------------------------------------------------------------------------------------

ODD_JSON: dict[str, bytes] = {
    "nested-list": b"[" * 100_000 + b"]" * 100_000,
    "nested-object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "nested-65": b'{"id":' + b"[" * 65 + b"]" * 65 + b"}",
    "empty": b"",
    "blank": b" \n",
    "cut": b'{"id": "x"',
    "two-values": b'{"id": "x"}{"id": "y"}',
    "comment": b'{"id": "x"} // done',
    "single-quotes": b"{'id': 'x'}",
    "not-utf-8": b'{"id": "\xff"}',
    "raw-control": b'{"id": "a\x01b"}',
    "too-large": b'{"id": "' + b"x" * 5_000_000 + b'"}',
    "html": b"<!doctype html><title>502</title>",
    "nul": b"\x00" * 10,
    "minus": b"-",
}
SANE_JSON: dict[str, tuple[bytes, Any]] = {
    "nan": (b'{"id": "x", "n": NaN}', {"id": "x", "n": None}),
    "infinity": (b'{"id": "x", "n": -Infinity}', {"id": "x", "n": None}),
    "too-large-float": (b'{"id": "x", "n": 1e999}', {"id": "x", "n": None}),
    "too-large-integer": (b'{"id": "x", "n": ' + b"9" * 5000 + b"}", {"id": "x", "n": None}),
    "large-integer": (b'{"n": 18446744073709551616}', {"n": 18446744073709551616}),
    "long-integer": (b'{"n": 1' + b"0" * 300 + b"}", {"n": 1e300}),
    "negative-zero": (b"[-0, -0.0]", [0, 0.0]),
    "duplicate-keys": (b'{"id": "x", "id": "y"}', {"id": "y"}),
    "half-a-character": (b'{"id": "x\\ud800", "\\udc00": 1}', {"id": "x?", "?": 1}),
    "half-a-character-raw": (b'{"id": "x\xed\xa0\x80"}', {"id": "x?"}),
    "whole-character": (b'{"id": "\\ud83c\\udf27"}', {"id": "🌧"}),
    "nul-character": (b'{"id": "a\\u0000b"}', {"id": "a\0b"}),
    "byte-order-mark": ("\ufeff".encode() + b'{"id": "x"}', {"id": "x"}),
    "utf-16": ('{"id": "x"}'.encode("utf-16"), {"id": "x"}),
    "utf-16-be": ('{"id": "x"}'.encode("utf-16-be"), {"id": "x"}),
    "utf-32": ('{"id": "x"}'.encode("utf-32"), {"id": "x"}),
    "deep-enough": (b"[" * 60 + b"]" * 60, json.loads("[" * 60 + "]" * 60)),
}


@pytest.mark.parametrize("name", ODD_JSON)
def test_what_is_not_json_is_a_bad_reply(name: str) -> None:
    """One exception, whatever is wrong; an error page is still read for a message."""
    answer = Reply(200, {}, ODD_JSON[name])
    with pytest.raises(BadReplyError):
        answer.json()
    for vendor in VENDORS:
        with pytest.raises(BadReplyError):
            get_provider(vendor).read(answer)
        code, message = get_provider(vendor).read_error(answer)
        assert code is None
        assert message
        assert len(message) < 600
        with pytest.raises(AmbiguousError):
            submit(vendor, answer)


@pytest.mark.parametrize("name", SANE_JSON)
def test_odd_json_becomes_sane(name: str) -> None:
    """What can be read can be stored and written again: an odd value must not lose the id beside it."""
    content, expected = SANE_JSON[name]
    value = Reply(200, {}, content).json()
    assert value == expected
    assert json.loads(json.dumps(value, allow_nan=False).encode()) == value


@every_vendor
def test_an_odd_value_does_not_lose_the_id(vendor: str) -> None:
    """Whatever stands beside the id of an accepted job, the job is had, and can be stored."""
    made = next(iter(plans(vendor).values()))
    body = json.loads(accepted(vendor, made))
    expected = submit(vendor).id
    for name in (
        "usage",
        "code",
        "message",
        "error",
        "progress",
        "status",
        "task_info",
        "data",
        "created",
        "extra",
    ):
        odd: Any
        for odd in (
            math.nan,
            math.inf,
            10**400,
            -1,
            "\ud800",
            [],
            {},
            [{}],
            {"a": {"b": [None]}},
            "x" * 10_000,
            True,
        ):
            if name == "status" or name in body or name == "extra":
                content = json.dumps({**body, name: odd}).encode()
                job = submit(vendor, Reply(200, {}, content))
                assert job.id == expected
                assert Job.model_validate_json(job.model_dump_json()).id == expected


def places(vendor: str) -> set[str]:
    """Every place a vendor's replies are read at."""
    reads = get_provider(vendor).reads
    return {place for group in astuple(reads) for place in group}


NAMES = sorted(
    {part for vendor in VENDORS for place in places(vendor) for part in place.split(".")} | {"msg"}
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            "task-1",
            "completed",
            "failed",
            "Success",
            "https://example.com/a.mp4",
            "42%",
            "",
            "\ud800",
        ]
    ),
    st.text(max_size=8),
)
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(NAMES) | TEXTS, inner, max_size=3)
    ),
    max_leaves=5,
)
REPLIES = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4).map(encoded),
    VALUES.map(encoded),
    st.binary(max_size=60),
)
FUZZ = settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))


def at(raw: Any, names: tuple[str, ...]) -> list[Any]:
    """The values at several dotted places."""
    return [get(raw, name) for name in names]


@every_vendor
@given(content=REPLIES, code=st.sampled_from([200, 400, 404, 500]))
@example(content=b'{"id": "task-1", "code": {}, "error": {"code": []}}', code=200)
@example(
    content=b'{"id": "task-1", "progress": 1e308, "task_info": {"estimated_time": 1e308}}', code=200
)
@FUZZ
def test_reading_a_reply_never_goes_wrong(vendor: str, content: bytes, code: int) -> None:
    """Facts or BadReplyError; an id, an end or a file only where the reply says so in as many words."""
    provider, answer = get_provider(vendor), Reply(code, {}, content)
    word, message = provider.read_error(answer)
    assert word is None or isinstance(word, str)
    assert message.isprintable() or "\n" in message
    try:
        read = provider.read(answer)
    except BadReplyError:
        return
    raw, reads = answer.json(), provider.reads
    assert isinstance(raw, dict)
    assert read.id is None or (read.id and read.id in at(raw, reads.id))
    if read.status != "unknown":
        assert provider.statuses[str(read.word).strip().lower()] == read.status
        assert read.word in at(raw, reads.status)
    assert all(url in json.dumps(raw, ensure_ascii=False) for url in read.urls)
    assert read.progress is None or 0 <= read.progress <= 1
    job = states.advance(JOBS[vendor], read, START)
    assert Job.model_validate_json(job.model_dump_json()).status == job.status == read.status
    assert job.status != "succeeded" or [output.url for output in job.outputs or ()] == list(
        read.urls
    )


@every_vendor
@given(content=REPLIES)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_submit_has_a_job_or_a_doubt(vendor: str, content: bytes) -> None:
    """Whatever a 200 holds: a job with the id that is in it, or AmbiguousError."""
    try:
        job = submit(vendor, Reply(200, {}, content))
    except AmbiguousError:
        return
    raw = Reply(200, {}, content).json()
    assert job.id in at(raw, get_provider(vendor).reads.id)


@every_vendor
def test_every_documented_acceptance_has_an_id(vendor: str) -> None:
    """Each example of an accepted submit, old renders and variants included."""
    made = next(iter(plans(vendor).values()))
    assert made.route is not None
    replies = list(made.provider.contract.replies(made.provider.operation(made.route)))
    accepted_replies = [body for code, _, _, body in replies if code < 300]
    assert accepted_replies
    for body in accepted_replies:
        assert submit(vendor, Reply(200, {}, encoded(body))).id


# --- estimated and charged ------------------------------------------------------------------------


@every_vendor
def test_every_workflow_has_its_estimate_on_the_job(vendor: str) -> None:
    """That of its plan, from the submit to the end, with the charge that the vendor's last answer tells."""
    told = "x-polyreel-usage" in get_provider(vendor).contract.document
    for made in plans(vendor).values():
        answers = [
            Reply(200, {}, accepted(vendor, made)),
            reply(vendor),
            reply(vendor, "succeeded"),
        ]
        stage = Stage(answers)
        submitting = lifecycle.submit(
            evolve(made, uploads=()), simulated=False, idempotency_key="key"
        )
        job = stage.run(submitting)
        assert (job.estimate, job.charge) == (made.cost.document(), None)
        done = wait(stage, job)
        assert done.estimate == job.estimate
        assert (done.charge is not None) == told
        assert Job.model_validate_json(done.model_dump_json()) == done
