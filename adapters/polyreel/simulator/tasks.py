"""The jobs of the simulated vendors, and the bill for them."""

from __future__ import annotations

from typing import Final, Literal
from zlib import crc32

from attrs import Factory, define, field, frozen

from ..mapping.workflows import kind_of
from ..money.published import published_credits
from ..places import Json, JsonObject
from ..providers.base.contract import Contract
from ..providers.base.facts import SimulatedTask, Status
from ..providers.base.registry import get_provider
from ..providers.base.routes import Route
from ..serving.calls import Call
from ..serving.links import Links
from ..serving.shapes import Picture

QUEUED_SECONDS: Final = 4.0
SECONDS_PER_SECOND: Final = 6.0
"""Seconds that a job runs for each second of its clip, or for each image. No vendor's figure."""

End = Literal["succeeded", "failed", "canceled"]


def credits_of(contract: Contract, route: Route, body: JsonObject, picture: Picture) -> float:
    """What a simulated job costs: the price that its vendor publishes.

    Where there is none, it is one credit for each second of the clip, for each image, or for a
    subject.
    """
    published = published_credits(contract, route.schema, body, picture.seconds)
    return float(picture.units if published is None else published)


@frozen
class Task:
    """One accepted job."""

    vendor: str
    id: str
    route: Route
    body: JsonObject
    picture: Picture
    created: float
    """Seconds since 1970."""
    seconds: float
    """How long the job takes, from submit to end."""
    end: End = "succeeded"
    credits: float = field(
        init=False,
        default=Factory(
            lambda task: credits_of(
                get_provider(task.vendor).contract, task.route, task.body, task.picture
            ),
            takes_self=True,
        ),
    )
    """What the job costs. Every status query tells it, so it is found once."""

    @property
    def element(self) -> str | None:
        """The id of the subject that the job makes, if it makes one: a number, as of Kling's."""
        if kind_of(self.route.workflow) != "element":
            return None
        return str(10**11 + crc32(f"{self.vendor} {self.id}".encode()))

    @property
    def ended(self) -> float:
        """When the job ends or has ended, in seconds since 1970."""
        return self.created + self.seconds

    def status(self, now: float) -> Status:
        """The state of the job at a time, given in seconds since 1970."""
        age = now - self.created
        if age < min(QUEUED_SECONDS, self.seconds):
            return "queued"
        return "running" if age < self.seconds else self.end

    def facts(self, status: Status, now: float, links: Links) -> SimulatedTask:
        """What a vendor's answer can say about the job."""
        picture = self.picture
        # The job may come from another process, whose clock was ahead of this one's.
        elapsed = max(0.0, min(now - self.created, self.seconds))
        percent = 100 if self.seconds == 0 else int(100 * elapsed / self.seconds)
        progress = {"queued": 0, "running": min(percent, 99), "succeeded": 100}
        names = [f"{number}{picture.suffix}" for number in range(1, picture.count + 1)]
        return SimulatedTask(
            id=self.id,
            status=status,
            model=str(self.body.get("model", self.route.model)),
            created=int(self.created),
            elapsed=int(elapsed),
            progress=progress.get(status, percent),
            duration=picture.seconds,
            width=picture.width,
            height=picture.height,
            prompt=picture.prompt,
            credits=self.credits,
            body=self.body,
            urls=tuple(links.url(self.id, name, now) for name in names),
            content_type=picture.content_type,
            element=self.element if status == "succeeded" else None,
            path_values=self.route.path_values,
        )

    def shown(
        self, call: Call, status: Status, now: float, sample: JsonObject, schema: Json
    ) -> JsonObject:
        """A copy of a documented sample with the facts of the task in the place of its own."""
        links = call.request.links
        facts = self.facts(status, now, links)
        outputs = facts.urls if status == "succeeded" else ()
        return call.provider.impersonate(links.here(sample, call.provider.servers, outputs), facts)


@frozen
class BillLine:
    """One submit that was accepted, and so billed."""

    vendor: str
    task: str
    credits: float
    at: float
    """Seconds since 1970."""


@define
class Bill:
    """What the simulated vendors have billed. Tests compare with it."""

    charges: list[BillLine] = Factory(list)

    def count(self, vendor: str | None = None) -> int:
        """How many jobs were billed."""
        return sum(vendor in {None, charge.vendor} for charge in self.charges)

    def total(self, vendor: str | None = None) -> float:
        """How many (simulated) credits were billed."""
        return sum(charge.credits for charge in self.charges if vendor in {None, charge.vendor})
