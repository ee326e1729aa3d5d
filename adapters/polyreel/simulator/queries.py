"""Calls about simulated tasks that are there: output files, canceling."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from attrs import evolve

from ..flows import Reply
from ..serving import answers, calls, queries
from ..serving.calls import INVALID, Call, CallRefusedError, IncomingRequest
from ..serving.queries import task_of
from .outputs import OutputFile
from .signing import keys_reply
from .tasks import Task

Tasks = dict[tuple[str, str], Task]
"""Tasks by vendor and id, in the order of their submits."""

_TEXT: Final = MappingProxyType({"content-type": "text/plain"})
NO_FILE: Final = Reply(404, _TEXT, b"no such file")
_OUTPUT: Final = re.compile(r"/outputs/([^/]+)/([0-9]{1,3})(\.[a-z0-9]+)")


def content(tasks: Tasks, now: float, call: Call) -> OutputFile:
    """The file that a call for the content of a task asks for."""
    calls.query_parameters(call)
    task = task_of(tasks, call)
    if task.status(now) != "succeeded":
        raise CallRefusedError("not_completed", *INVALID)
    return OutputFile(task.picture, 1, task.ended, call.operation.method, call.headers)


def cancel(tasks: Tasks, now: float, call: Call) -> Reply:
    """Stop a task that has not ended; the answer is the documented one.

    Where the call deletes tasks, there is none afterwards, whether it had ended or not.
    """
    task = task_of(tasks, call)
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


BY_ROLE: Final[Mapping[str, Callable[[Tasks, float, Call], Reply | OutputFile]]] = {
    "get": queries.get,
    "get-fallback": queries.get,
    "result": queries.get,
    "list": queries.newest_first,
    "list-running": queries.newest_first,
    "batch-get": queries.several,
    "content": content,
    "cancel": cancel,
    "webhook-keys": keys_reply,
}
"""What answers the calls about tasks that are there, by their roles in the contract."""
