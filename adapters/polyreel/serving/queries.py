"""Calls about tasks that are there: by their ids, and lists of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from ..flows import Reply
from ..places import get as get_value
from ..places import put
from ..providers.base.calling import own_id_place, parameters
from . import answers, calls, pages
from .calls import INVALID, Call, CallRefusedError
from .task_answers import ShownTask, task_body, task_reply

Found = TypeVar("Found", bound=ShownTask)
Tasks = Mapping[tuple[str, str], Found]
"""Tasks by vendor and id, in the order of their submits."""


def get(tasks: Tasks[Found], now: float, call: Call) -> Reply:
    """Answer a status query, or a query for a result."""
    if place := call.operation.spec.get("x-polyreel-tasks"):
        return _each(tasks, now, call, place)
    task = next(_by_own_id(tasks, call), None) or task_of(tasks, call)
    status = task.status(now)
    if call.operation.role == "result" and status != "succeeded":
        raise CallRefusedError("not_completed", *INVALID)
    return answers.reply(call, *task_reply(call, task, status, now, call.operation))


def _by_own_id(tasks: Tasks[Found], call: Call) -> Iterator[Found]:
    """The tasks that were submitted under the id of the caller's that a query has."""
    for one in parameters(call.provider.contract, call.operation, "query"):
        own_id = call.request.query.get(one["name"])
        if one.get("x-polyreel-own-id") and own_id:
            for (vendor, _), task in tasks.items():
                if vendor != call.provider.id:
                    continue
                place = own_id_place(call.provider.operation(task.route))
                if place and get_value(task.body, place) == own_id:
                    yield task


def _each(tasks: Tasks[Found], now: float, call: Call, place: str) -> Reply:
    """Answer a query for several tasks by their ids, in one list."""
    known = [tasks[key] for one in call.task_ids if (key := (call.provider.id, one)) in tasks]
    known += _by_own_id(tasks, call)
    if not known:
        raise CallRefusedError("not_found")
    bodies = [task_body(call, task, task.status(now), now, call.operation) for task in known]
    put(bodies[0], place, [item for body in bodies for item in get_value(body, place)])
    return answers.reply(call, 200, bodies[0])


def newest_first(tasks: Tasks[Found], now: float, call: Call) -> Reply:
    """Answer a list of tasks, or of those that have not ended."""
    vendor = call.provider.id
    found = [task for (owner, _), task in reversed([*tasks.items()]) if owner == vendor]
    if call.operation.role == "list-running":
        found = [task for task in found if task.status(now) in {"queued", "running"}]
    return pages.page(call, found, now)


def several(tasks: Tasks[Found], now: float, call: Call) -> Reply:
    """Answer a query for several tasks by their ids."""
    body, schema = calls.body(call), call.operation.request_schemas[0]
    calls.check_body(call, schema, body)
    properties = call.provider.contract.schema(schema)["properties"]
    member = next(name for name, item in properties.items() if item.get("type") == "array")
    keys = [(call.provider.id, identity) for identity in dict.fromkeys(body.get(member, []))]
    return pages.page(call, [tasks[key] for key in keys if key in tasks], now)


def task_of(tasks: Tasks[Found], call: Call) -> Found:
    """The task that a call is about."""
    task = tasks.get((call.provider.id, call.task_id))
    if task is None:
        raise CallRefusedError("not_found")
    return task
