"""What a vendor tells of its jobs, and where its answers hold it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from attrs import frozen

from ...places import JsonObject

Status = Literal["queued", "running", "succeeded", "failed", "canceled", "unknown"]


FINAL: Final = frozenset({"succeeded", "failed", "canceled"})


@frozen
class Reads:
    """Where a vendor's replies hold what a job is; dotted places, the first that is there counts."""

    id: tuple[str, ...]
    status: tuple[str, ...]
    outputs: tuple[str, ...]
    progress: tuple[str, ...] = ()
    usage: tuple[str, ...] = ()
    estimate: tuple[str, ...] = ()
    error_code: tuple[str, ...] = ()
    error_message: tuple[str, ...] = ()


@frozen
class Webhook:
    """How a vendor calls back about a job."""

    reads: Reads
    """Where the body holds what a job is."""
    signed: bool
    """Whether deliveries carry Standard Webhooks signatures. What is not signed is no more than a hint to poll."""
    secret_variable: str | None
    """The environment variable that holds the secret of the signatures."""
    statuses: Mapping[str, Status] | None = None
    """The status words of the body, in lower case, where they are not those of a status query."""


@frozen
class Facts:
    """What one reply says about a job."""

    id: str | None
    status: Status
    word: str | None
    urls: tuple[str, ...]
    progress: float | None
    usage: JsonObject | None
    estimated_seconds: float | None
    error_code: str | None
    error_message: str | None
    raw: JsonObject


@frozen
class Listed:
    """One task of a vendor's list, as far as the list tells."""

    id: str
    status: Status
    created: float | None = None
    """Seconds since 1970."""
    model: str | None = None
    """The vendor's own name of the model."""
    body: JsonObject | None = None
    """The request, where the list repeats it."""


@frozen
class Listing:
    """What a vendor lists of its tasks."""

    tasks: tuple[Listed, ...]
    complete: bool
    """Whether nothing that the list covers is missing here."""
    running_only: bool
    """Whether the list covers only tasks that have not ended."""


@frozen
class SimulatedTask:
    """What the simulator knows of a task when it answers in a vendor's shape."""

    id: str
    status: Status
    model: str
    """The native model name of the request, or the family where the body has none."""
    created: int
    """Seconds since 1970."""
    elapsed: int
    """Seconds from submit to the end, or to now."""
    progress: int
    """Percent."""
    duration: int
    width: int
    height: int
    prompt: str
    credits: float
    body: JsonObject
    urls: tuple[str, ...]
    content_type: str


@frozen
class Survey:
    """How a vendor tells of several tasks with one call (see `Provider.ask_about`)."""

    size: int
    """How many tasks it tells of at most."""
    running_only: bool = False
    """Whether it lists whatever runs, instead of what it is asked for: of tasks that have ended it tells nothing, and
    where more run than it lists, it is no help."""


def status_of(word: Any, statuses: Mapping[str, Status]) -> Status:
    """What a status word means, in any case; what is not in the table is `unknown`."""
    return statuses.get(word.strip().lower(), "unknown") if isinstance(word, str) else "unknown"
