"""The life of a simulated task as an event stream."""

from __future__ import annotations

from typing import Final

from ..flows import EVENT_STREAM, Answer, Pace, Piece
from ..serving.answers import dumps, status_of_example
from ..serving.calls import Call
from ..serving.task_answers import event_samples
from .tasks import QUEUED_SECONDS, Task

EVENT_DELAY: Final = 0.001
"""Seconds from a change of state to its event, so that rounding puts no event before its change."""


def task_stream(call: Call, task: Task, pace: Pace) -> Answer:
    """The life of a task as an event stream, each event at its time."""
    times = {"queued": task.created, "running": task.created + min(QUEUED_SECONDS, task.seconds)}
    pieces = []
    for sample in event_samples(call, task.end):
        status = status_of_example(call.provider, sample)
        at = times.get(status, task.ended)
        event = task.shown(call, status, at, sample, None)
        pieces.append(Piece(at + EVENT_DELAY, b"data: " + dumps(event) + b"\n\n"))
    content = b"".join(piece.content for piece in pieces)
    return Answer(200, {"content-type": EVENT_STREAM}, content, pieces=tuple(pieces), pace=pace)
