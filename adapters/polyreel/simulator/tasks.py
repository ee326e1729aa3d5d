"""What the simulated vendors remember: jobs, and what they billed for them."""

from __future__ import annotations

from typing import Final, Literal

from attrs import Factory, define, frozen

from ..codecs import Json
from ..provider import Route, SimulatedTask, Status
from .links import Links
from .shapes import Picture

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
    body: Json
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
            urls=tuple(links.url(self.id, f"{n}{picture.suffix}", now) for n in range(1, picture.count + 1)),
            content_type=picture.content_type,
        )


@frozen
class Charge:
    """One accepted, and so billed, submit."""

    vendor: str
    task: str
    credits: float
    at: float


@define
class Bill:
    """What the simulated vendors have billed: the truth that tests compare with."""

    charges: list[Charge] = Factory(list)

    def count(self, vendor: str | None = None) -> int:
        """How many jobs were billed."""
        return sum(vendor in {None, charge.vendor} for charge in self.charges)

    def total(self, vendor: str | None = None) -> float:
        """How many (simulated) credits were billed."""
        return sum(charge.credits for charge in self.charges if vendor in {None, charge.vendor})
