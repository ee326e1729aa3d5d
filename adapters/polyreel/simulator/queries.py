"""Calls about tasks that are there: by their ids, lists of them, output files, canceling."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from attrs import evolve

from ..flows import Reply
from ..places import get as get_value
from ..places import put
from ..providers.base.calling import own_id_place, parameters
from ..serving import answers, calls
from ..serving.calls import INVALID, Call, CallRefusedError, IncomingRequest
from . import pages
from .outputs import OutputFile
from .task_answers import task_body, task_reply
from .tasks import Task

Tasks = dict[tuple[str, str], Task]
"""Tasks by vendor and id, in the order of their submits."""

_TEXT: Final = MappingProxyType({"content-type": "text/plain"})
NO_FILE: Final = Reply(404, _TEXT, b"no such file")
_OUTPUT: Final = re.compile(r"/outputs/([^/]+)/([0-9]{1,3})(\.[a-z0-9]+)")


def get(tasks: Tasks, now: float, call: Call) -> Reply:
    """Answer a status query, or a query for a result."""
    if place := call.operation.spec.get("x-polyreel-tasks"):
        return _each(tasks, now, call, place)
    task = next(_by_own_id(tasks, call), None) or _task(tasks, call)
    status = task.status(now)
    if call.operation.role == "result" and status != "succeeded":
        raise CallRefusedError("not_completed", *INVALID)
    return answers.reply(call, *task_reply(call, task, status, now, call.operation))


def _by_own_id(tasks: Tasks, call: Call) -> Iterator[Task]:
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


def _each(tasks: Tasks, now: float, call: Call, place: str) -> Reply:
    """Answer a query for several tasks by their ids, in one list."""
    known = [tasks[key] for one in call.task_ids if (key := (call.provider.id, one)) in tasks]
    known += _by_own_id(tasks, call)
    if not known:
        raise CallRefusedError("not_found")
    bodies = [task_body(call, task, task.status(now), now, call.operation) for task in known]
    put(bodies[0], place, [item for body in bodies for item in get_value(body, place)])
    return answers.reply(call, 200, bodies[0])


def newest_first(tasks: Tasks, now: float, call: Call) -> Reply:
    """Answer a list of tasks, or of those that have not ended."""
    vendor = call.provider.id
    found = [task for (owner, _), task in reversed(tasks.items()) if owner == vendor]
    if call.operation.role == "list-running":
        found = [task for task in found if task.status(now) in {"queued", "running"}]
    return pages.page(call, found, now)


def several(tasks: Tasks, now: float, call: Call) -> Reply:
    """Answer a query for several tasks by their ids."""
    body, schema = calls.body(call), call.operation.request_schemas[0]
    calls.check_body(call, schema, body)
    properties = call.provider.contract.schema(schema)["properties"]
    member = next(name for name, item in properties.items() if item.get("type") == "array")
    keys = [(call.provider.id, identity) for identity in dict.fromkeys(body.get(member, []))]
    return pages.page(call, [tasks[key] for key in keys if key in tasks], now)


def content(tasks: Tasks, now: float, call: Call) -> OutputFile:
    """The file that a call for the content of a task asks for."""
    calls.query_parameters(call)
    task = _task(tasks, call)
    if task.status(now) != "succeeded":
        raise CallRefusedError("not_completed", *INVALID)
    return OutputFile(task.picture, 1, task.ended, call.operation.method, call.headers)


def cancel(tasks: Tasks, now: float, call: Call) -> Reply:
    """Stop a task that has not ended; the answer is the documented one.

    Where the call deletes tasks, there is none afterwards, whether it had ended or not.
    """
    task = _task(tasks, call)
    if call.operation.spec.get("x-polyreel-cancel", {}).get("deletes"):
        del tasks[call.provider.id, task.id]
        return answers.first_success(call)
    if task.status(now) not in {"queued", "running"}:
        raise CallRefusedError("too_late", *INVALID)
    query = answers.status_query(call.provider)
    if any(name == "canceled" for *_, name, _ in call.provider.contract.replies(query)):
        stopped = evolve(task, seconds=max(0.0, now - task.created), end="canceled")
        tasks[call.provider.id, task.id] = stopped
    # Where no state of a stopped task is documented, the wish is taken, and the task goes on.
    return answers.first_success(call)


def _task(tasks: Tasks, call: Call) -> Task:
    task = tasks.get((call.provider.id, call.task_id))
    if task is None:
        raise CallRefusedError("not_found")
    return task


def output(tasks: Tasks, now: float, request: IncomingRequest) -> Reply | OutputFile:
    """The file behind a link, or why there is none."""
    found = _OUTPUT.fullmatch(request.path)
    task = tasks.get((request.vendor, unquote(found[1]))) if found else None
    if not found or not task or task.status(now) != "succeeded":
        return NO_FILE
    number, suffix = int(found[2]), found[3]
    if not 1 <= number <= task.picture.count or suffix != task.picture.suffix:
        return NO_FILE
    status = request.links.refusal(unquote(request.path), request.query, now)
    if status is not None:
        return Reply(status, _TEXT, b"this link does not work")
    return OutputFile(task.picture, number, task.ended, request.method, request.headers)
