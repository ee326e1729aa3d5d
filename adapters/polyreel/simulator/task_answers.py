"""A simulated task in its vendor's own shapes: as the answer to a query, and as an event stream."""

from __future__ import annotations

import json
from typing import Final

from ..flows import EVENT_STREAM, Answer, Pace, Piece
from ..mapping.workflows import kind_of
from ..places import JsonObject
from ..providers.base.contract import Operation
from ..providers.base.facts import Status
from ..serving.answers import dumps, example, status_of_example, status_query
from ..serving.calls import Call
from .tasks import QUEUED_SECONDS, End, Task

EVENT_DELAY: Final = 0.001
"""Seconds from a change of state to its event, so that rounding puts no event before its change."""


def task_body(
    call: Call, task: Task, status: Status, now: float, operation: Operation | None = None
) -> JsonObject:
    """A task as a call shows it in a state; the call is the status query unless one is given."""
    return task_reply(call, task, status, now, operation)[1]


def task_reply(
    call: Call, task: Task, status: Status, now: float, operation: Operation | None = None
) -> tuple[int, JsonObject]:
    """The same, with the HTTP status that is documented for the state."""
    names = [f"{status}_{kind_of(task.route.workflow)}", status]
    shown_by = operation or status_query(call.provider)
    code, sample = example(call.provider, shown_by, *names)
    return code, sample_of_task(call, task, status, now, sample)


def sample_of_task(
    call: Call, task: Task, status: Status, now: float, sample: JsonObject
) -> JsonObject:
    """A copy of a documented sample with the facts of a task in the place of its own."""
    links = call.request.links
    facts = task.facts(status, now, links)
    outputs = facts.urls if status == "succeeded" else ()
    return call.provider.impersonate(links.here(sample, call.provider.servers, outputs), facts)


def task_stream(call: Call, task: Task, pace: Pace) -> Answer:
    """The life of a task as an event stream, each event at its time."""
    times = {"queued": task.created, "running": task.created + min(QUEUED_SECONDS, task.seconds)}
    pieces = []
    for sample in _event_samples(call, task.end):
        status = status_of_example(call.provider, sample)
        at = times.get(status, task.ended)
        event = sample_of_task(call, task, status, at, sample)
        pieces.append(Piece(at + EVENT_DELAY, b"data: " + dumps(event) + b"\n\n"))
    content = b"".join(piece.content for piece in pieces)
    return Answer(200, {"content-type": EVENT_STREAM}, content, pieces=tuple(pieces), pace=pace)


def _event_samples(call: Call, end: End) -> list[JsonObject]:
    """The events of the documented stream with this end; else the states of the status query."""
    for _, content_type, name, body in call.provider.contract.replies(call.operation):
        if name == end and content_type == EVENT_STREAM:
            lines = [line for line in body.splitlines() if line.startswith("data:")]
            return [json.loads(line.removeprefix("data:")) for line in lines]
    query = status_query(call.provider)
    return [example(call.provider, query, status)[1] for status in ("queued", "running", end)]
