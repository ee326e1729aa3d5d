"""What comes after a submit: wait for the job, and save its files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import DownloadError, JobFailedError, MissingExtraError, VendorError
from ..flows import Fetch, Flow, Notify, Saved, TryFolder, now
from ..ledger.events import keep
from ..ledger.states import NO_OUTPUT, about, has_result, result_in_words
from ..mapping.workflows import kind_of
from ..providers.base.registry import get_provider
from .locations import Location, StorageUrl, location_of
from .naming import Target
from .waiting import get, wait

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

GONE: Final = frozenset({404, 410})
"""Statuses of a download whose link is dead."""
BLOCKED: Final = frozenset({401, 403, 406, 451})
"""Statuses that file hosts give for a link that is too old, and to whom they block."""
DEAD_LINK: Final = GONE | BLOCKED
"""Statuses of a download where a fresh link may help."""
TOO_OLD: Final = re.compile(r"expire|time ?frame|too old|no longer valid", re.IGNORECASE)
"""What file hosts say of a link that is too old, with any of the above or with 400."""
FRESH_LINKS: Final = 2
"""How often the vendor is asked for a fresh link."""


def try_output(output: str | None) -> Flow[None]:
    """Try whether files can be saved where those of a job go, before anything is paid.

    Only object storage is tried so: a folder of this machine is looked at when it is named.
    """
    if output is not None and isinstance(location := location_of(output), StorageUrl):
        yield TryFolder(str(Target.of(location).folder))


# -- download --------------------------------------------------------------------------------------


def download(job: Job, folder: Location, base_url: str | None = None) -> Flow[Job]:
    """Save every output; the result is the job with the paths. `naming` says how they are called.

    A subject mostly has none. Where a link no longer works, the vendor is asked for a fresh one.
    Each file is tried, whatever became of others; DownloadError is raised where one is not saved.
    """
    if job.status == "succeeded" and not has_result(job):
        raise about(job, _without_link(job))
    if job.status != "succeeded" and not (job.status == "unknown" and job.outputs):
        text = f"{job.id} is {job.status}: it has no file"
        raise about(job, DownloadError(text, vendor=job.vendor))
    target = Target.of(folder)
    failures: dict[int, DownloadError] = {}
    count = len(job.outputs or ())
    for index in range(count):
        try:
            job = yield from _save(job, index, target, base_url)
        except DownloadError as error:
            job, failures[index] = error.job or job, error
        except MissingExtraError as error:
            raise about(job, error) from None
    job = yield from keep(job)
    if failures:
        raise about(job, _not_all(job, failures, count))
    return job


def _without_link(job: Job) -> DownloadError:
    """The error of a job that is done, as its vendor says, and has no result."""
    text = (
        f"{job.vendor} says that {job.id} is done, and no {result_in_words(job)} is found in its "
        "answer, which is in `raw` of the job. It has not failed and is paid for, so do not submit "
        "it again: ask for it again with `get` or `resume`"
    )
    return DownloadError(text, vendor=job.vendor, code=NO_OUTPUT)


def _not_all(job: Job, failures: Mapping[int, DownloadError], count: int) -> DownloadError:
    """The error of a job whose files are not all saved."""
    first = next(iter(failures.values()))
    if count == 1:
        return first
    saved = [output.path for output in job.outputs or () if output.path]
    names = f" ({', '.join(saved)})" if saved else ""
    reasons = "; ".join(f"file {index + 1}: {error}" for index, error in failures.items())
    text = f"{len(saved)} of {count} saved{names}; {reasons}"
    return DownloadError(text, vendor=job.vendor, status=first.status)


def _save(job: Job, index: int, target: Target, base_url: str | None) -> Flow[Job]:
    kind: str = kind_of(job.workflow)
    kind = "" if job.workflow == "unknown" or kind == "element" else kind
    stem = target.stem_of(job, index)
    path, folder_url = (
        (Path(stem.name), str(stem.parent)) if isinstance(stem, StorageUrl) else (stem, "")
    )
    for tries_left in reversed(range(FRESH_LINKS + 1)):
        outputs = list(job.outputs or ())
        if index >= len(outputs):
            break
        file = Fetch(
            job.vendor, outputs[index].url, path, kind, suffix=target.suffix, folder_url=folder_url
        )
        try:
            saved = yield file
        except DownloadError as error:
            if not (error.status in DEAD_LINK or _says_too_old(error)) or not tries_left:
                raise about(job, (yield from _refused(job, error))) from None
            job = yield from _with_fresh_links(job, error, base_url)
            if error.status not in GONE and [*(job.outputs or ())][index:] == outputs[index:]:
                raise about(job, (yield from _refused(job, error))) from None
            continue
        assert isinstance(saved, Saved)
        update = {
            "path": saved.url or str(saved.path),
            "content_type": saved.content_type,
            "size_bytes": saved.size,
        }
        outputs[index] = outputs[index].model_copy(update=update)
        return job.model_copy(update={"outputs": outputs})
    text = f"{job.vendor} no longer lists file {index + 1} of {job.id}"
    raise about(job, DownloadError(text, vendor=job.vendor))


def _with_fresh_links(job: Job, error: DownloadError, base_url: str | None) -> Flow[Job]:
    try:
        return (yield from get(job, base_url))
    except VendorError:
        raise about(job, (yield from _refused(job, error))) from None


def _says_too_old(error: DownloadError) -> bool:
    return error.status in {400, *BLOCKED} and TOO_OLD.search(str(error)) is not None


def _refused(job: Job, error: DownloadError) -> Flow[DownloadError]:
    """The error of a file that its host does not give: for a link that is dead, or for who asks."""
    dead = error.status in GONE or _says_too_old(error)
    if not dead and error.status not in BLOCKED:
        return error
    seconds = get_provider(job.vendor).output_seconds
    age = (yield from now()) - (job.created_at or 0.0)
    if not dead and not (seconds and age > seconds):
        text = (
            f"{error}. The file's host refuses who asks, not a link that is too old: it may block "
            "this network, or programs by their User-Agent, which --user-agent and "
            f"Network(user_agent=...) set. The job {job.id} succeeded, and downloading its file "
            "again costs nothing"
        )
        return DownloadError(text, vendor=job.vendor, status=error.status)
    known = f"; {job.vendor} keeps files for {seconds / 3600:g} hours" if seconds else ""
    text = f"{error}: the link to {job.id} no longer works, and {job.vendor} gives no other{known}"
    return DownloadError(text, vendor=job.vendor, status=error.status)


# -- the whole way ---------------------------------------------------------------------------------


def generate(
    submitting: Flow[Job],
    *,
    folder: Location,
    timeout: float,
    base_urls: Mapping[str, str],
    stream: bool = False,
) -> Flow[Job]:
    """Submit, wait at most `timeout` seconds, and download.

    JobFailedError is raised where the vendor fails or cancels the job.
    """
    job = yield from submitting
    yield Notify(job)
    place = base_urls.get(job.vendor)
    return (yield from finish(job, folder=folder, timeout=timeout, base_url=place, stream=stream))


def finish(
    job: Job, *, folder: Location, timeout: float, base_url: str | None = None, stream: bool = False
) -> Flow[Job]:
    """Wait for an accepted job at most `timeout` seconds, and download its files.

    `stream` says that its submit may have opened an event stream.
    """
    job = yield from wait(job, timeout=timeout, base_url=base_url, stream=stream)
    if job.status != "succeeded":
        raise failed(job)
    return (yield from download(job, folder, base_url))


def failed(job: Job) -> JobFailedError:
    """The error of a job that the vendor failed or cancelled."""
    message = job.error.message if job.error else job.status
    return JobFailedError(
        f"{job.vendor} {job.status} the job {job.id}: {message}",
        vendor=job.vendor,
        code=job.error.code if job.error else None,
        job=job,
        ledger_id=job.ledger_id,
        billed="maybe",
    )
