"""A job's flows without any I/O: the test answers every step."""

import json
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from polyreel.errors import PolyreelError, TransportError
from polyreel.flows import Fetch, Flow, Notify, Now, Reply, Saved, Send, Sleep, Step
from polyreel.jobs import finishing, waiting
from polyreel.jobs import submitting as lifecycle
from polyreel.places import JsonObject, get, is_missing, put
from polyreel.providers.base.facts import Facts
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import get_provider
from polyreel_generated.shared import Job

from support.faults import VENDORS, accepted, encoded, plans, result_of

every_vendor = pytest.mark.parametrize("vendor", VENDORS)
ONE_STEP = [one for one in VENDORS if get_provider(one).contract.operation("result") is None]
every_with_links_in_states = pytest.mark.parametrize("vendor", ONE_STEP)
"""Vendors whose answers to status queries have the links, and no other call does."""
Answer = Reply | PolyreelError
START = 1_800_000_000.0


class Stage:
    """Performs steps without I/O: calls get the next answer, sleeping moves the clock."""

    def __init__(self, answers: Iterable[Answer] = ()) -> None:
        self.answers = iter(answers)
        self.clock = START
        self.calls: list[Send] = []
        self.pauses: list[float] = []
        self.reported: list[Any] = []
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
            if (result := result_of(step)) is not None:
                return result
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
            self.reported.append(step.event)
        elif isinstance(step, Fetch):
            return self.fetch(step)
        return self.clock if isinstance(step, Now) else None


def reply(vendor: str, status: str = "running", word: Any = None, code: int = 200) -> Reply:
    """The vendor's documented answer to a status query, or that with another status word."""
    provider = get_provider(vendor)
    query = provider.contract.operation("get")
    assert query is not None
    found = {
        name: (number, body)
        for number, _, name, body in provider.contract.replies(query)
        if number < 300
    }
    number, shown = found.get(status) or found["running"]
    body = json.loads(json.dumps(shown))
    if status == "canceled" and status not in found:
        words = (word for word, meaning in provider.statuses.items() if meaning == "canceled")
        word = next(words, "canceled")
    if word is not None:
        put(body, status_place(provider, body), word)
    return Reply(number if code == 200 else code, {}, encoded(body))


def status_place(provider: Provider, body: JsonObject) -> str:
    """Where a documented answer has the status word."""
    return next(place for place in provider.reads.status if not is_missing(get(body, place)))


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
    return stage.run(finishing.generate(submitting, folder=folder, timeout=600.0, base_urls={}))


LOST = TransportError("lost", sent=True)


def facts(status: Any, urls: tuple[str, ...] = (), **own: Any) -> Facts:
    """What a reply would say."""
    empty: dict[str, Any] = dict.fromkeys(
        ("progress", "usage", "estimated_seconds", "error_code", "error_message"), None
    )
    return Facts(
        **{**empty, "id": "x", "status": status, "word": status, "urls": urls, "raw": {}, **own}
    )


def without_outputs(vendor: str) -> Reply:
    """A success that gives no file."""
    provider = get_provider(vendor)
    body = json.loads(reply(vendor, "succeeded").content)
    for place in provider.reads.outputs:
        if not is_missing(get(body, place)):
            put(body, place, None)
    assert provider.read(Reply(200, {}, encoded(body))).status == "succeeded"
    return Reply(200, {}, encoded(body))


JOBS = {vendor: submit(vendor) for vendor in VENDORS}
