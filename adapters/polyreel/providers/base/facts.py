"""What a vendor's answers say about jobs, and at which places they say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from attrs import frozen

from ...places import JsonObject

Status = Literal["queued", "running", "succeeded", "failed", "canceled", "unknown"]
FINAL: Final = frozenset({"succeeded", "failed", "canceled"})
"""The states that a job never leaves."""


def status_of(word: object, statuses: Mapping[str, Status]) -> Status:
    """What a status word means, in any case; a word that is not in the table is `unknown`."""
    return statuses.get(word.strip().lower(), "unknown") if isinstance(word, str) else "unknown"


@frozen
class Reads:
    """The dotted places where a vendor's replies hold each fact; the first that exists counts."""

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
    """Where the body holds each fact."""
    signed: bool
    """Whether deliveries carry Standard Webhooks signatures. An unsigned one is a hint to poll."""
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
    """The vendor's own word for the status."""
    urls: tuple[str, ...]
    progress: float | None
    """From 0 to 1."""
    usage: JsonObject | None
    estimated_seconds: float | None
    error_code: str | None
    error_message: str | None
    raw: JsonObject


@frozen
class Listed:
    """One task of a vendor's list, as far as the list describes it."""

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
    """The tasks that a vendor lists."""

    tasks: tuple[Listed, ...]
    complete: bool
    """Whether `tasks` holds every task that the vendor's list covers."""
    running_only: bool
    """Whether the list covers only tasks that have not ended."""


@frozen
class Survey:
    """How one call asks a vendor about several tasks (see `Provider.ask_about`)."""

    size: int
    """The largest number of tasks that one call can answer about."""
    running_only: bool = False
    """Whether the call takes no ids, and lists whatever runs.

    Then it says nothing about tasks that have ended, and is no help where more run than it lists.
    """


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
    """Seconds of the clip."""
    width: int
    height: int
    prompt: str
    credits: float
    body: JsonObject
    urls: tuple[str, ...]
    content_type: str
