"""Answers with the same bytes as the last one: they are no news, and change nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polyreel import Job
from polyreel.flows import Flow, Now, Reply, Send
from polyreel.jobs.many import Completed, ManyJobs
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers

STATES: Final = ("queued", "running", "succeeded", "failed", "odd", "gone")
PROVIDERS: Final = [one for one in all_providers().values() if one.contract.operation("get")]


def answers(contract: Contract, states: Sequence[str]) -> list[tuple[int, Any]]:
    """The documented answers for states; an odd word, and a task that is not known."""
    query = contract.operation("get")
    assert query is not None
    bodies = {name: body for status, _, name, body in contract.replies(query) if status < 300}
    odd = json.loads(json.dumps(bodies["running"]).replace("running", "sleepwalking"))
    found = {**bodies, "odd": odd}
    known = [state if state in found or state == "gone" else "running" for state in states]
    return [(404, {}) if state == "gone" else (200, found[state]) for state in known]


def waited(provider: Provider, said: list[tuple[int, Any]], *, distinct: bool) -> tuple[Any, int]:
    """How the waiting for one job ends, and how many calls that takes.

    `distinct` says that no two answers have the same bytes.
    """
    many, clock, calls = ManyJobs(simulated=True, randomness=random.Random(1)), 1000.0, 0
    route = provider.routes[0]
    facts = {"vendor": provider.id, "model": route.model, "workflow": route.workflow}
    job = Job.model_validate({**facts, "id": "task", "status": "queued", "simulated": True})

    def driven(flow: Flow[list[Completed]]) -> list[Completed]:
        nonlocal calls
        outcome: Any = None
        try:
            while True:
                step = flow.send(outcome)
                outcome = clock if isinstance(step, Now) else None
                if isinstance(step, Send):
                    status, body = said[min(calls, len(said) - 1)]
                    calls += 1
                    content = json.dumps(body).encode() + b" " * (calls if distinct else 0)
                    outcome = Reply(status, {}, content)
        except StopIteration as stop:
            ends: list[Completed] = stop.value
            return ends

    assert driven(many.enrol(job, timeout=5_000.0)) == []
    while True:
        work = many.next(clock)
        if isinstance(work, float):
            clock += work
        elif ends := driven(work):
            end = ends[0]
            return (end.job.status, end.job.outputs, str(end.error)), calls


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.id)
@given(states=st.lists(st.sampled_from(STATES), min_size=1, max_size=12))
def test_it_ends_as_if_each_answer_were_read(provider: Provider, states: list[str]) -> None:
    """After as many calls, in the same state, with the same error."""
    repeated = [state for state in states for _ in range(2)]
    said = answers(provider.contract, repeated)
    same = waited(provider, said, distinct=False)
    assert same == waited(provider, said, distinct=True)


def test_only_what_is_new_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the same words are read once."""
    provider = next(
        one
        for one in PROVIDERS
        if one.survey is None and not one.contract.operation("result") and one.query_paths.of("x")
    )
    read: list[bytes] = []
    whole = Reply.json

    def noted(self: Reply) -> Any:
        read.append(self.content)
        return whole(self)

    monkeypatch.setattr(Reply, "json", noted)
    said = answers(provider.contract, ["running"] * 10 + ["succeeded"])
    (status, *_), calls = waited(provider, said, distinct=False)
    assert (status, calls) == ("succeeded", 11)
    assert [read.count(one) for one in dict.fromkeys(read)] == [1, 2]  # the end, first at a glance
