"""The flows that wait for many jobs, driven by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel import Job
from polyreel.errors import TransportError, VendorError
from polyreel.flows import Flow, Now, Record, Reply, Send, Sleep, Step
from polyreel.jobs.many import ManyJobs, Paused, at_once
from polyreel.jobs.queues import unfinished
from polyreel.ledger.events import Keep, News, ReadNews
from polyreel.places import JsonObject, put
from polyreel.providers.base.facts import Webhook
from polyreel.providers.base.registry import all_providers, get_provider
from support.fleet import BY_ONE, by_survey


def test_a_flow_at_once_says_how_long_it_would_wait() -> None:
    """Everything before that happens, and the flow is closed."""
    closed = []

    def flow() -> Flow[str]:
        try:
            yield Now()
            yield Sleep(7.0, jitter=0.5)
            return "never"
        finally:
            closed.append(True)

    driven = at_once(flow())
    assert isinstance(driven.send(None), Now)
    with pytest.raises(Paused) as caught:
        driven.send(1.0)
    assert caught.value.seconds == 7.0
    assert closed == [True]


def test_a_flow_at_once_hears_of_failures_and_gives_its_result() -> None:
    """As if it were driven itself."""

    def flow() -> Flow[str]:
        try:
            yield Now()
        except TransportError as error:
            return str(error)
        return "nothing was thrown in"

    driven = at_once(flow())
    driven.send(None)
    with pytest.raises(StopIteration) as stop:
        driven.throw(TransportError("lost", sent=True))
    assert stop.value.value == "lost"


TEXTS = st.text(st.characters(exclude_categories=[]), max_size=6)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON, ascii_only=st.booleans())
def test_an_answer_is_read_as_it_stands(value: Any, ascii_only: bool) -> None:
    """The quick way and the careful one tell the same, and what they tell can be written in
    UTF-8.
    """
    content = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    reported = Reply(200, {}, content).json()
    json.dumps(reported, ensure_ascii=False, allow_nan=False).encode()
    if not any("\ud800" <= letter <= "\udfff" for letter in json.dumps(value, ensure_ascii=False)):
        assert reported == value


@given(body=JSON, word=st.sampled_from(["queued", "RUNNING", "in_progress", "done", "odd", 7]))
def test_an_answer_that_a_job_goes_on_is_read_as_ever(body: Any, word: Any) -> None:
    """What is read of it at a glance is what all of it says; any other answer is read in full."""
    for provider in all_providers().values():
        asking = provider.contract.operation("get")
        assert asking is not None
        replies = [(status, one) for status, *_, one in provider.contract.replies(asking)]
        drawn = dict(body) if isinstance(body, dict) else {}
        put(drawn, provider.reads.status[0], word)
        for status, one in [*replies, (200, body), (200, drawn)]:
            reply = Reply(status, {}, json.dumps(one).encode())
            status_word = unfinished(provider, reply)
            goes_on = isinstance(one, dict) and not provider.is_error(reply)
            facts = provider.read(reply) if goes_on else None
            if facts is not None and facts.status in {"queued", "running"}:
                assert (status_word, facts.is_strange) == (facts.status, False)
            else:
                assert status_word is None


def test_a_vendor_that_reads_answers_in_its_own_way_is_asked_what_they_mean() -> None:
    """Whatever its status word says."""

    class Own(type(get_provider(BY_ONE[0]))):  # type: ignore[misc]
        def facts(self, raw: JsonObject, webhook: Webhook | None = None) -> Any:
            raise AssertionError

    reply = Reply(200, {}, b'{"status": "running"}')
    assert unfinished(get_provider(BY_ONE[0]), reply) == "running"
    assert unfinished(Own(), reply) is None


ITEMS: st.SearchStrategy[Any] = st.lists(
    st.none()
    | st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["a", "b", "c", "", None, 1, []]),
            "status": st.sampled_from(["completed", "processing", "failed", "?", None, 3, {}]),
            "results": st.sampled_from([["https://x.example/1"], [], None, 1, {}]),
        },
    ),
    max_size=5,
)


@by_survey
@given(body=st.one_of(JSON, ITEMS, st.fixed_dictionaries({"data": st.one_of(ITEMS, JSON)})))
def test_what_is_reported_of_several_is_of_those_asked_about(vendor: str, body: Any) -> None:
    """Whatever stands in the answer: facts of those, with their ids and words, or a VendorError."""
    flow = get_provider(vendor).ask_about(["a", "b"], None)
    step: Step = next(flow)
    assert isinstance(step, Send)
    assert not step.paid
    reported: Mapping[str, Any] = {}
    try:
        flow.send(Reply(200, {}, json.dumps(body).encode()))
    except StopIteration as stop:
        reported = stop.value
    except VendorError:
        return
    assert set(reported) <= {"a", "b"}
    assert all(facts.id == task and facts.word is not None for task, facts in reported.items())
    read = get_provider(vendor).facts
    assert all(read(facts.raw).status == facts.status for facts in reported.values())


def test_a_job_whose_end_is_told_while_it_is_written_ends_once() -> None:
    """A write may be awaited, and by then the ledger tells another flow of the end."""
    provider = next(
        one
        for one in all_providers().values()
        if one.survey is None and not one.contract.operation("result")
    )
    asking = provider.contract.operation("get")
    assert asking is not None
    replies = provider.contract.replies(asking)
    body = next(body for *_, name, body in replies if name == "succeeded")
    facts = {"vendor": provider.id, "model": "m", "workflow": "text-to-video", "simulated": True}
    job = Job.model_validate({**facts, "id": "task", "status": "queued", "ledger_id": "entry"})
    many, clock, news = ManyJobs(simulated=True), [1000.0], News((), frozenset({provider.id}))

    def answer(step: Step) -> object:
        if isinstance(step, Now):
            return clock[0]
        if isinstance(step, Send):
            return Reply(200, {}, json.dumps(body).encode())
        is_question = isinstance(step, Record) and isinstance(step.event, ReadNews)
        return news if is_question else [] if isinstance(step, Record) else None

    def driven(flow: Flow[Any], before: type | None = None, outcome: object = None) -> Any:
        """The result of a flow, or its first write of a kind."""
        try:
            while True:
                step = flow.send(outcome)
                if before and isinstance(step, Record) and isinstance(step.event, before):
                    return step.event
                outcome = answer(step)
        except StopIteration as stop:
            return stop.value

    assert driven(many.enrol(job, timeout=10_000.0, news=news)) == []
    while True:
        work = many.next(clock[0])
        if isinstance(work, float):
            clock[0] += work
        elif isinstance(writing := driven(work, before=Keep), Keep):
            break
    kept = writing.job
    clock[0] += 1000.0
    news = News([kept], frozenset({provider.id}))
    told = many.next(clock[0])
    assert not isinstance(told, float)
    assert [end.job for end in driven(told)] == [kept]
    assert driven(work, outcome=kept) == []
    assert len(many) == 0
