"""A task in its vendor's own shapes: the documented samples, with the task's facts in them."""

from __future__ import annotations

import json
from typing import Protocol

from ..flows import EVENT_STREAM
from ..mapping.workflows import kind_of
from ..places import Json, JsonObject
from ..providers.base.contract import Operation
from ..providers.base.facts import Status
from ..providers.base.routes import Route
from .answers import example, status_query
from .calls import Call


class ShownTask(Protocol):
    """A task that can be shown: one that is simulated, or a job of another vendor's."""

    @property
    def id(self) -> str:
        """Its id, in the shape of the vendor that is spoken for."""

    @property
    def route(self) -> Route:
        """What was asked of that vendor."""

    @property
    def body(self) -> JsonObject:
        """The body in which it was asked."""

    def status(self, now: float) -> Status:
        """The state at a time, given in seconds since 1970."""

    def shown(
        self, call: Call, status: Status, now: float, sample: JsonObject, schema: Json
    ) -> JsonObject:
        """A copy of a documented sample of a state, with what is known of the task.

        `schema` is what the contract says of such values.
        """


def task_body(
    call: Call, task: ShownTask, status: Status, now: float, operation: Operation | None = None
) -> JsonObject:
    """A task as a call shows it in a state; the call is the status query unless one is given."""
    return task_reply(call, task, status, now, operation)[1]


def task_reply(
    call: Call, task: ShownTask, status: Status, now: float, operation: Operation | None = None
) -> tuple[int, JsonObject]:
    """The same, with the HTTP status that is documented for the state."""
    names = [f"{status}_{kind_of(task.route.workflow)}", status]
    shown_by = operation or status_query(call.provider)
    code, sample = example(call.provider, shown_by, *names)
    schema = call.provider.contract.reply_schema(shown_by, code)
    return code, task.shown(call, status, now, sample, schema)


def event_samples(call: Call, end: Status) -> list[JsonObject]:
    """The events of the documented stream with this end; else the states of the status query."""
    for _, content_type, name, body in call.provider.contract.replies(call.operation):
        if name == end and content_type == EVENT_STREAM:
            lines = [line for line in body.splitlines() if line.startswith("data:")]
            return [json.loads(line.removeprefix("data:")) for line in lines]
    query = status_query(call.provider)
    return [example(call.provider, query, status)[1] for status in ("queued", "running", end)]
