"""Makes answers go wrong as a fault says: the one place that acts on faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Final

from attrs import evolve, frozen

from ..flows import Answer, Reply
from ..places import JsonObject, get, is_missing, put
from ..serving import answers
from ..serving.calls import Call
from . import pages
from .faults import Change, Fault
from .outputs import OutputFile
from .tasks import Task, task_state

STRANGE: Final = "PONDERING"
"""A status word that nobody documents."""


@frozen
class Scene:
    """What a fault meets: the call (None for a link to a file, which is no call of the contract), and its task."""

    call: Call | None
    task: Task | None
    now: float


def whole(reply: Reply) -> Answer:
    """An answer that arrives as it was given."""
    return (
        reply if isinstance(reply, Answer) else Answer(reply.status, reply.headers, reply.content)
    )


def spoil(fault: Fault, scene: Scene, reply: Reply | None) -> Answer:
    """The answer that a fault makes, out of the vendor's own where it gave one."""
    if fault.change == "first-event" and isinstance(reply, Answer):
        return evolve(
            reply, content=reply.pieces[0].content, pieces=reply.pieces[:1], ending=fault.ending
        )
    if fault.content is not None:
        base = Reply(200, {}, fault.content)
    elif fault.error is not None:
        base = _error(fault.error, scene)
    elif fault.change in CHANGES and scene.call is not None and reply is not None:
        base = CHANGES[fault.change](scene, scene.call, reply)
    else:
        base = reply or Reply(200, {}, b"")
    headers = {**base.headers, **_headers(fault, scene.now)}
    return Answer(fault.status or base.status, headers, base.content, fault.ending)


def spoiled_file(fault: Fault, scene: Scene, file: OutputFile) -> Answer:
    """The answer that a fault makes of a file that is asked for."""
    return spoil(fault, scene, file.reply(fault.change))


def _headers(fault: Fault, now: float) -> dict[str, str]:
    dates = {"now": formatdate(now, usegmt=True), "later": formatdate(now + 2, usegmt=True)}
    return {name: value.format(**dates) for name, value in fault.headers.items()}


def _error(error: str | int, scene: Scene) -> Reply:
    """A documented error; without the documented Retry-After, as faults have their own."""
    if scene.call is None:
        return Reply(int(error), {"content-type": "text/plain"}, b"this file cannot be had")
    made = (
        answers.failure(scene.call, error)
        if isinstance(error, int)
        else answers.error(scene.call, error)
    )
    headers = {name: value for name, value in made.headers.items() if name != "retry-after"}
    return Reply(made.status, headers, made.content)


# -- changed facts -----------------------------------------------------------------------------------


def _edited(reply: Reply, edit: Callable[[JsonObject], None]) -> Reply:
    """A status query's answer with another body."""
    body: JsonObject = json.loads(reply.content)
    edit(body)
    return Reply(reply.status, reply.headers, answers.dumps(body))


def _strange_status(_: Scene, call: Call, reply: Reply) -> Reply:
    def edit(body: JsonObject) -> None:
        for place in call.provider.reads.status:
            if not is_missing(get(body, place)):
                put(body, place, STRANGE)

    return _edited(reply, edit)


def _no_status(_: Scene, call: Call, reply: Reply) -> Reply:
    return _edited(reply, lambda body: _remove(body, call.provider.reads.status))


def _no_outputs(_: Scene, call: Call, reply: Reply) -> Reply:
    return _edited(reply, lambda body: _remove(body, call.provider.reads.outputs))


def _remove(body: JsonObject, places: tuple[str, ...]) -> None:
    for place in places:
        parent, _, name = place.rpartition(".")
        holder = get(body, parent) if parent else body
        if isinstance(holder, dict):
            holder.pop(name, None)


def _running_again(scene: Scene, call: Call, reply: Reply) -> Reply:
    assert scene.task is not None, "the fault is one of tasks that have ended"
    body = task_state(call, scene.task, "running", scene.now, call.operation)
    return Reply(reply.status, reply.headers, answers.dumps(body))


def _no_tasks(scene: Scene, call: Call, _: Reply) -> Reply:
    return pages.page(call, [], scene.now)


CHANGES: Final[Mapping[Change | None, Callable[[Scene, Call, Reply], Reply]]] = {
    "strange-status": _strange_status,
    "no-status": _no_status,
    "no-outputs": _no_outputs,
    "running-again": _running_again,
    "no-tasks": _no_tasks,
}
"""What the changes of facts do; those of files are done where files are given out."""
