"""What hooks are told of a job's life. `polyreel.drivers.hooks` tells them, and of each call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..errors import PolyreelError


@frozen
class SubmitBegan:
    """A paid call is about to be made, for the first or another time."""

    vendor: str
    model: str | None
    workflow: str
    simulated: bool


@frozen
class SubmitEnded:
    """A paid call has ended: with a job, or with an error that says what it may have cost."""

    vendor: str
    job: Job | None = None
    error: PolyreelError | None = None


@frozen
class JobEnded:
    """A job that was waited for, or asked about, has succeeded, failed or been canceled."""

    job: Job
    seconds: float
    """How long after its submit, by the clock of whoever waited."""
