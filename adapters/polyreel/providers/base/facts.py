"""What a vendor's answers say about jobs, and at which places they say it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from attrs import evolve, field, frozen

from ...places import JsonObject
from .answers import first

Status = Literal["queued", "running", "succeeded", "failed", "canceled", "unknown"]
FINAL: Final = frozenset({"succeeded", "failed", "canceled"})
"""The states that a job never leaves."""


_WORDS: Final[Mapping[Status, str]] = {
    "queued": """accepted created enqueued initialized initializing inqueue new notstarted notstart
        pending preparing queued queueing queuing received scheduled starting submitted validating
        waiting""",
    "running": """active dreaming executing generating inprogress inprocess inprocessing ongoing
        processing progressing rendering running started throttled working""",
    "succeeded": """complete completed done finish finished generated ready succeed succeeded
        success successful successfully""",
    "failed": """error errored exception expired fail failed failure faulted nsfw rejected timeout
        timedout timeouted""",
    "canceled": "abort aborted cancel canceled cancelled revoked stopped terminated",
}
SYNONYMS: Final[Mapping[str, Status]] = MappingProxyType(
    {word: status for status, words in _WORDS.items() for word in words.split()}
)
"""Status words that mean the same at every vendor, in small letters without separators.

They count where a vendor's own table does not have the word. No vendor documents them all: they are
the words that vendors of this kind, and their gateways, are seen to use.
"""
_BEFORE_WORDS: Final = re.compile(r"^(?:(?:task|job)?(?:status|state)|task|job)")


def status_of(word: object, statuses: Mapping[str, Status]) -> Status:
    """What a status word means, in any case, by the vendor's table, then by SYNONYMS.

    A word that is in neither is `unknown`.

    >>> status_of("TASK_STATUS_SUCCEED", {}), status_of("In Progress", {}), status_of("odd", {})
    ('succeeded', 'running', 'unknown')
    """
    if not isinstance(word, str):
        return "unknown"
    plain = word.strip().lower()
    if plain in statuses:
        return statuses[plain]
    bare = re.sub(r"[\s_.-]", "", plain)
    return SYNONYMS.get(bare) or SYNONYMS.get(_BEFORE_WORDS.sub("", bare), "unknown")


def _with_task_ids(places: tuple[str, ...]) -> tuple[str, ...]:
    """Places of an id, and `task_id` beside each, for answers of the vendor's without its own."""
    beside = (
        place[: len(place) - len(place.rpartition(".")[2])] + name
        for place in places
        for name in ("task_id", "taskId")
    )
    return tuple(dict.fromkeys((*places, *beside)))


@frozen
class Reads:
    """The dotted places where a vendor's replies hold each fact; the first that exists counts."""

    id: tuple[str, ...] = field(converter=_with_task_ids)
    """Where an answer has no `id`, a `task_id` at its place counts."""
    status: tuple[str, ...]
    outputs: tuple[str, ...]
    progress: tuple[str, ...] = ()
    progress_end: Literal[1, 100] = field(default=100, kw_only=True)
    """The progress of a job that is done: 100, or 1 where the vendor counts from 0 to 1."""
    usage: tuple[str, ...] = ()
    estimate: tuple[str, ...] = ()
    error_code: tuple[str, ...] = ()
    error_message: tuple[str, ...] = ()
    locator: tuple[str, ...] = ()
    """The URL, of the vendor's own, at which the job is asked about. It is kept with the job."""
    element: tuple[str, ...] = ()
    """The id of the subject that was made."""
    result: tuple[str, ...] = ()
    """The URL of the result, where the vendor has a second call for it (role `result`)."""


@frozen
class PublishedKeys:
    """The headers of deliveries that are signed with Ed25519, in lower case.

    The vendor publishes its keys: the contract has the call with the role `webhook-keys`.
    """

    id: str
    """The id of a delivery, the same for a repeated one."""
    timestamp: str
    """Seconds since 1970."""
    signature: str
    """The signature, in hex."""
    lines: tuple[str, ...]
    """The headers whose values are signed, in order, before the SHA-256 of the body."""


@frozen
class Webhook:
    """How a vendor calls back about a job."""

    reads: Reads
    """Where the body holds each fact."""
    signed: bool
    """Whether deliveries are signed. An unsigned one is a hint to poll.

    The signatures are those of Standard Webhooks, unless `published` or the contract's
    `x-polyreel-signature` says another kind.
    """
    secret_variable: str | None
    """The environment variable that holds the secret of the signatures."""
    optional: bool = False
    """Whether deliveries are signed only where a secret is set at the vendor. Without one in the
    environment they are hints to poll."""
    statuses: Mapping[str, Status] | None = None
    """The status words of the body, in lower case, where they are not those of a status query."""
    published: PublishedKeys | None = None
    """How deliveries are signed that are not signed with a shared secret."""


@frozen
class Facts:
    """What one reply says about a job."""

    id: str | None
    status: Status
    word: str | None
    """The vendor's own word for the status."""
    urls: tuple[str, ...]
    """Links to files: those at a documented place, else those that look like an output."""
    progress: float | None
    """From 0 to 1."""
    usage: JsonObject | None
    estimated_seconds: float | None
    error_code: str | None
    error_message: str | None
    raw: JsonObject
    locator: str | None = None
    """The path below the base URL at which the job is asked about, where the vendor says it."""
    element: str | None = None
    """The id of the subject that was made."""

    @property
    def is_strange(self) -> bool:
        """Whether a status that nobody knows stands beside a link or an error."""
        return self.status == "unknown" and (bool(self.urls or self.element) or self.has_error)

    @property
    def has_error(self) -> bool:
        """Whether the reply has the code or the text of an error."""
        return bool(self.error_code or self.error_message)

    def of_submit(self, reads: Reads) -> Facts:
        """The facts, where the reply answers a submit: a job of which it says no more is queued."""
        word = first(self.raw, reads.status)
        says_more = word is not None or self.urls or self.element or self.has_error
        return self if says_more else evolve(self, status="queued")


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
    own_id: str | None = None
    """The id that the caller put into the request, where the list has it."""


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
    element: str | None = None
    """The id of the subject that the task makes, if it makes one."""
    path_values: Mapping[str, str] = MappingProxyType({})
    """What paths about the task have in the places of their parameters, beside its id."""
