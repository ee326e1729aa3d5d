"""Applies faults to answers. Nothing else acts on a fault."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Final

from attrs import evolve, frozen

from ..flows import Answer, Reply
from ..places import JsonObject, get, is_missing, put
from ..serving import answers, pages
from ..serving.calls import Call, IncomingRequest
from ..serving.task_answers import task_body
from .faults import CallKind, Change, Fault
from .outputs import OutputFile
from .tasks import Task

UNDOCUMENTED_STATUS: Final = "PONDERING"
"""A status word that no vendor documents."""


@frozen
class FaultContext:
    """The request that a fault happens to, and what is known about it."""

    request: IncomingRequest
    kind: CallKind | None
    """None where no fault can happen."""
    connected: bool
    """Whether the connection was accepted before, so that it cannot be refused any more."""
    now: float
    """Seconds since 1970."""
    call: Call | None = None
    """None for a link to a file, which is no call of the contract."""
    task: Task | None = None


def rendered(file: OutputFile) -> Answer:
    """The answer with a file, which is rendered now."""
    return as_answer(file.reply())


def as_answer(reply: Reply) -> Answer:
    """A reply as an answer that arrives whole."""
    if isinstance(reply, Answer):
        return reply
    return Answer(reply.status, reply.headers, reply.content)


def apply(fault: Fault, context: FaultContext, reply: Reply | None) -> Answer:
    """The answer under a fault. `reply` is the vendor's own, where the fault needs one."""
    if fault.change == "first-event" and isinstance(reply, Answer):
        first = reply.pieces[:1]
        return evolve(reply, content=first[0].content, pieces=first, ending=fault.ending)
    if fault.content is not None:
        base = Reply(200, {}, fault.content)
    elif fault.error is not None:
        base = _error(fault.error, context)
        if fault.names_task and context.call is not None and reply is not None:
            base = _with_task_id(context.call, base, reply)
    elif fault.change in CHANGES and context.call is not None and reply is not None:
        base = CHANGES[fault.change](context, context.call, reply)
    else:
        base = reply or Reply(200, {}, b"")
    headers = {**base.headers, **_headers(fault, context.now)}
    return Answer(fault.status or base.status, headers, base.content, fault.ending)


def apply_to_file(fault: Fault, context: FaultContext, file: OutputFile) -> Answer:
    """The answer under a fault to the request for a file."""
    return apply(fault, context, file.reply(fault.change))


def _headers(fault: Fault, now: float) -> dict[str, str]:
    dates = {"now": formatdate(now, usegmt=True), "later": formatdate(now + 2, usegmt=True)}
    return {name: value.format(**dates) for name, value in fault.headers.items()}


def _error(error: str | int, context: FaultContext) -> Reply:
    """A documented error. The documented Retry-After is left out, since faults have their own."""
    call = context.call
    if call is None:
        return Reply(int(error), {"content-type": "text/plain"}, b"this file cannot be had")
    if isinstance(error, int):
        reply = answers.error_with_status(call, error)
    else:
        reply = answers.error(call, error)
    headers = {name: value for name, value in reply.headers.items() if name != "retry-after"}
    return Reply(reply.status, headers, reply.content)


def _with_task_id(call: Call, error: Reply, accepted: Reply) -> Reply:
    """An error that also has the id of the task that was accepted."""
    pieces = accepted.pieces if isinstance(accepted, Answer) else ()
    content = pieces[0].content.removeprefix(b"data: ") if pieces else accepted.content
    facts = call.provider.read(Reply(200, {}, content))
    return _edited(error, lambda body: put(body, call.provider.reads.id[0], facts.id))


# -- changed facts ---------------------------------------------------------------------------------


def _edited(reply: Reply, edit: Callable[[JsonObject], None]) -> Reply:
    """A status query's answer with another body."""
    body: JsonObject = json.loads(reply.content)
    edit(body)
    return Reply(reply.status, reply.headers, answers.dumps(body))


def _undocumented_status(_: FaultContext, call: Call, reply: Reply) -> Reply:
    def edit(body: JsonObject) -> None:
        for place in call.provider.reads.status:
            if not is_missing(get(body, place)):
                put(body, place, UNDOCUMENTED_STATUS)

    return _edited(reply, edit)


def _no_status(_: FaultContext, call: Call, reply: Reply) -> Reply:
    return _edited(reply, lambda body: _remove(body, call.provider.reads.status))


def _no_outputs(_: FaultContext, call: Call, reply: Reply) -> Reply:
    reads = call.provider.reads
    return _edited(reply, lambda body: _remove(body, (*reads.outputs, *reads.element)))


def _remove(body: JsonObject, places: tuple[str, ...]) -> None:
    for place in places:
        parent, _, name = place.rpartition(".")
        holder = get(body, parent) if parent else body
        if isinstance(holder, dict):
            holder.pop(name, None)


def _running_again(context: FaultContext, call: Call, reply: Reply) -> Reply:
    assert context.task is not None, "this fault only fits tasks that have ended"
    body = task_body(call, context.task, "running", context.now, call.operation)
    return Reply(reply.status, reply.headers, answers.dumps(body))


def _no_tasks(context: FaultContext, call: Call, _: Reply) -> Reply:
    return pages.page(call, [], context.now)


CHANGES: Final[Mapping[Change | None, Callable[[FaultContext, Call, Reply], Reply]]] = {
    "strange-status": _undocumented_status,
    "no-status": _no_status,
    "no-outputs": _no_outputs,
    "running-again": _running_again,
    "no-tasks": _no_tasks,
}
"""How answers about tasks are changed; `OutputFile` changes those with files."""
