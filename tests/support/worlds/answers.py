"""What the ledger in memory answers to flows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from polyreel.ledger.events import Known, News, Past, ReadNews
from polyreel.ledger.rows import Columns, readable_job
from polyreel.ledger.store import CALLER_SECONDS, PAST_JOBS
from polyreel.ledger.uploads import SPARE, ForgetUpload, KeepUpload, UploadEvent
from polyreel.providers.base.registry import all_providers
from polyreel_generated.shared import Job

from .table import Uploads, made_at, number, sent_at, task_of


def answer(
    rows: Sequence[Columns],
    callers: Mapping[str, float],
    event: Known | Past | ReadNews,
    now: float,
) -> frozenset[str] | list[float] | News:
    """The answer to a question that a flow asks."""
    match event:
        case Known():
            return known(rows, event)
        case Past():
            return past(rows, event.job)
        case ReadNews():
            return news(rows, callers, event, now)


def known(rows: Sequence[Columns], event: Known) -> frozenset[str]:
    """Which of a vendor's tasks belong to entries."""
    return frozenset(
        str(row["task"])
        for row in rows
        if row["vendor"] == event.vendor
        and row["simulated"] == event.simulated
        and row["task"] in event.tasks
    )


def past(rows: Sequence[Columns], job: Job) -> list[float]:
    """How many seconds the newest jobs of a kind took."""
    found = [
        (number(row["finished_at"]), number(row["finished_at"]) - sent_at(row))
        for row in rows
        if row["vendor"] == job.vendor
        and row["simulated"] == job.simulated
        and row["model"] == job.model
        and row["workflow"] == job.workflow
        and row["state"] in {"succeeded", "saved"}
        and row["attempts"] == 1
        and number(row["finished_at"]) > made_at(row)
    ]
    newest = sorted(found, key=lambda one: -one[0])[:PAST_JOBS]
    return [seconds for _, seconds in newest]


def news(
    rows: Sequence[Columns], callers: Mapping[str, float], event: ReadNews, now: float
) -> News:
    """Which jobs have ended since a moment, and who calls back."""
    ended = [
        job.model_copy(update={"ledger_id": row["id"]})
        for row in rows
        if row["finished_at"] is not None
        and number(row["finished_at"]) >= event.since
        and row["simulated"] == event.simulated
        and row["job"] is not None
        and (event.job is None or task_of(row) == (event.job.vendor, event.job.id))
        and (event.tasks is None or task_of(row) in event.tasks)
        and (job := readable_job(row)) is not None
    ]
    confirmed = (
        vendor
        for vendor, at in callers.items()
        if at >= now - CALLER_SECONDS
        and (webhook := all_providers()[vendor].webhook) is not None
        and webhook.signed
    )
    return News(ended, frozenset(confirmed))


def uploaded(
    uploads: Uploads,
    event: UploadEvent,
    owner: str,
    now: float,
    is_alive: Callable[[str | None], bool],
) -> str | bool | None:
    """Write an event of an upload; the result is what the event says."""
    if isinstance(event, ForgetUpload):
        uploads.pop(event.key, None)
        return None
    if isinstance(event, KeepUpload):
        uploads[event.key] = (event.link, now + event.seconds, None)
        for key, (_, expires, uploader) in [*uploads.items()]:
            if uploader is None and expires <= now:
                del uploads[key]
        return None
    link, expires, uploader = uploads.get(event.key, (None, 0.0, None))
    if link and expires - now > SPARE:
        return link
    if uploader not in {None, owner} and is_alive(uploader):
        return False
    uploads[event.key] = (None, now, owner)
    return True
