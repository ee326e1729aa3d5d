"""Jobs that go on: most answers are about them, and nothing else in these matters later."""

from __future__ import annotations

from collections.abc import Mapping

from ...places import JsonObject
from .answers import first
from .facts import Facts, Reads, Status, status_of


def unfinished_status(
    raw: JsonObject, reads: Reads, statuses: Mapping[str, Status]
) -> Status | None:
    """The status that an object says of a job that is queued or running; None for any other."""
    status = status_of(first(raw, reads.status), statuses)
    return status if status in {"queued", "running"} else None


def unfinished_facts(raw: JsonObject, reads: Reads, statuses: Mapping[str, Status]) -> Facts | None:
    """That a job is queued or running, where an object says so, and no more; None for any other."""
    status = unfinished_status(raw, reads, statuses)
    if status is None:
        return None
    identity = first(raw, reads.id)
    return Facts(
        id=identity if isinstance(identity, str) and identity else None,
        status=status,
        word=first(raw, reads.status),
        urls=(),
        progress=None,
        usage=None,
        estimated_seconds=None,
        error_code=None,
        error_message=None,
        raw=raw,
    )
