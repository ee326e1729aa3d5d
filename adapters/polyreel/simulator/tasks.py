"""What the simulated vendors remember: jobs, and what they billed for them."""

from __future__ import annotations

import json
from typing import Final, Literal

from attrs import Factory, define, frozen

from ..flows import EVENT_STREAM, Answer, Pace, Piece
from ..places import JsonObject
from ..providers.base.contract import Operation
from ..providers.base.facts import SimulatedTask, Status
from ..providers.base.routes import Route
from ..serving.answers import dumps, example, meaning, query
from ..serving.calls import Call
from ..serving.links import Links
from ..serving.shapes import Picture

QUEUED_SECONDS: Final = 4.0
SECONDS_PER_SECOND: Final = 6.0
"""A job runs this many seconds for each second of its clip, or each image: a stand-in, not a vendor's figure."""

End = Literal["succeeded", "failed", "canceled"]


@frozen
class Task:
    """One accepted job."""

    vendor: str
    id: str
    route: Route
    body: JsonObject
    picture: Picture
    created: float
    seconds: float
    """How long the job takes."""
    end: End = "succeeded"

    def status(self, now: float) -> Status:
        """Where the job is at a time."""
        age = now - self.created
        if age < min(QUEUED_SECONDS, self.seconds):
            return "queued"
        return "running" if age < self.seconds else self.end

    def facts(self, status: Status, now: float, links: Links) -> SimulatedTask:
        """What a vendor's answer can tell of the job."""
        picture = self.picture
        # Another process, whose clock was ahead, may have made the job.
        elapsed = max(0.0, min(now - self.created, self.seconds))
        share = 100 if self.seconds == 0 else int(100 * elapsed / self.seconds)
        return SimulatedTask(
            id=self.id,
            status=status,
            model=str(self.body.get("model", self.route.model)),
            created=int(self.created),
            elapsed=int(elapsed),
            progress={"queued": 0, "running": min(share, 99), "succeeded": 100}.get(status, share),
            duration=picture.seconds,
            width=picture.width,
            height=picture.height,
            prompt=picture.prompt,
            credits=picture.credits,
            body=self.body,
            urls=tuple(
                links.url(self.id, f"{n}{picture.suffix}", now) for n in range(1, picture.count + 1)
            ),
            content_type=picture.content_type,
        )


@frozen
class BillLine:
    """One accepted, and so billed, submit."""

    vendor: str
    task: str
    credits: float
    at: float


@define
class Bill:
    """What the simulated vendors have billed: the truth that tests compare with."""

    charges: list[BillLine] = Factory(list)

    def count(self, vendor: str | None = None) -> int:
        """How many jobs were billed."""
        return sum(vendor in {None, charge.vendor} for charge in self.charges)

    def total(self, vendor: str | None = None) -> float:
        """How many (simulated) credits were billed."""
        return sum(charge.credits for charge in self.charges if vendor in {None, charge.vendor})


MOMENT: Final = 0.001
"""Seconds by which an event is told after it has happened, so that rounding never puts it before."""


# -- tasks -------------------------------------------------------------------------------------------


def task_state(
    call: Call, task: Task, status: Status, now: float, operation: Operation | None = None
) -> JsonObject:
    """A task in the shape that a call (the status query, unless another is given) documents for a state."""
    names = [f"{status}_image", status] if task.picture.seconds == 0 else [status]
    _, sample = example(call.provider, operation or query(call.provider), *names)
    return impersonated(call, task, status, now, sample)


def impersonated(
    call: Call, task: Task, status: Status, now: float, sample: JsonObject
) -> JsonObject:
    """A sample with the facts of a task put in."""
    copy = json.loads(json.dumps(sample))
    return call.provider.impersonate(copy, task.facts(status, now, call.links))


def task_stream(call: Call, task: Task, pace: Pace) -> Answer:
    """The life of a task as an event stream, each event at its time."""
    times = {"queued": task.created, "running": task.created + min(QUEUED_SECONDS, task.seconds)}
    pieces = []
    for sample in _events(call, task.end):
        status = meaning(call.provider, sample)
        at = times.get(status, task.created + task.seconds)
        event = impersonated(call, task, status, at, sample)
        pieces.append(Piece(at + MOMENT, b"data: " + dumps(event) + b"\n\n"))
    content = b"".join(piece.content for piece in pieces)
    return Answer(200, {"content-type": EVENT_STREAM}, content, pieces=tuple(pieces), pace=pace)


def _events(call: Call, end: str) -> list[JsonObject]:
    """The events of the documented stream with this end; else the states of the status query."""
    for _, content_type, name, body in call.provider.contract.replies(call.operation):
        if name == end and content_type == EVENT_STREAM:
            return [
                json.loads(line.removeprefix("data:"))
                for line in body.splitlines()
                if line.startswith("data:")
            ]
    asked = query(call.provider)
    return [example(call.provider, asked, status)[1] for status in ("queued", "running", end)]
