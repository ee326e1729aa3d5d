"""Saving a file in object storage: downloaded and checked here, uploaded, compared, and only then
kept. A part of it is a generator of actions, as a download is; `fetching` performs them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from functools import partial
from typing import Any, Final, TypeVar

from attrs import evolve, frozen

from ..errors import DownloadError, MissingExtraError, PolyreelError
from ..flows import Fetch, Saved, Sleep, TryFolder
from ..mapping.media import shown
from . import storage
from .downloads import IDLE_TRIES, Action, Download, Pause
from .watch import LATE, Watch
from .wire import Wire

TRIED_SECONDS: Final = 600.0
"""For how long a folder that was tried counts as one in which files can be saved."""
FOR_GOOD: Final = (
    PermissionError,
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    FileExistsError,
    ValueError,
    TypeError,
)
"""What a later try does not mend."""
FOR_GOOD_BY_NAME: Final = re.compile(r"Credential|Auth|Validation|Profile|Config|Token")
"""The same among the exceptions of the stores' own packages, which have no common root."""
FROM_WHERE: Final = "credentials come from the store's own settings, such as AWS_PROFILE"
T = TypeVar("T")


@frozen
class BlockingCall:
    """Do something that blocks. The result is its own, or its exception is thrown in."""

    do: Callable[[], object]


Storing = Generator[Action | BlockingCall, Any, T]


class StoredDownload:
    """The download of one file into a folder of object storage."""

    def __init__(self, step: Fetch, wire: Wire) -> None:
        self.step, self.wire = step, wire
        self.watch = Watch(step.deadline, blind=wire.blind)

    def actions(self) -> Storing[Saved]:
        """Give the actions, one after the other; the result is the saved file."""
        step = self.step
        with storage.spool() as folder:
            local = evolve(step, path=folder / step.path.name, folder_url="")
            download = Download(local, self.wire)
            self.watch = download.watch
            with closing(download.actions()) as actions:
                saved = yield from actions
            file = storage.StoredFile(step.folder_url)
            try:
                url = yield from _patiently(partial(file.put, saved.path), self, self._error)
            except PolyreelError:
                with suppress(Exception):  # the first error matters more
                    yield BlockingCall(file.drop)
                raise
            return evolve(saved, url=url)

    def _error(self, reason: str) -> DownloadError:
        text = f"cannot save to {self.step.folder_url}: {reason}"
        return DownloadError(text, vendor=self.step.vendor)


class FolderTrial:
    """The trial of a folder of object storage, unless it was tried a short while ago."""

    def __init__(self, step: TryFolder, wire: Wire) -> None:
        self.step, self.wire = step, wire
        self.watch = Watch(step.deadline, blind=True)

    def actions(self) -> Storing[None]:
        """Give the actions, one after the other."""
        url, now = self.step.url, time.monotonic()
        if now - self.wire.tried_folders.get(url, -TRIED_SECONDS) >= TRIED_SECONDS:
            yield from _patiently(partial(storage.try_folder, url), self, self._error, tries=2)
            self.wire.tried_folders[url] = now

    def _error(self, reason: str) -> DownloadError:
        return DownloadError(f"output: {self.step.url}: {reason}; nothing was sent")


def _patiently(
    attempt: Callable[[], T],
    work: StoredDownload | FolderTrial,
    error: Callable[[str], Exception],
    tries: int = IDLE_TRIES,
) -> Storing[T]:
    """Try something until it is done, or a later try makes no sense."""
    vendor = getattr(work.step, "vendor", "")
    for number in range(1, tries + 1):
        try:
            return (yield BlockingCall(attempt))  # type: ignore[no-any-return]
        except MissingExtraError:
            raise
        except Exception as trouble:  # the stores' packages have no common root
            if work.watch.left <= 0:
                raise error(LATE) from None
            reason = _reason(trouble, lambda text: work.wire.without_secrets(vendor, text))
            failure = error(reason)
            if is_for_good(trouble) or number == tries:
                raise failure from None
        pause = work.wire.pause(Sleep(min(8.0, 0.25 * 2.0**number), jitter=0.2))
        if pause >= work.watch.left:
            raise failure
        try:
            yield Pause(pause)
        except OSError:  # asyncio's timeout
            raise failure from None
    raise AssertionError("unreachable")


def is_for_good(error: Exception) -> bool:
    """Whether a later try would fail in the same way."""
    named = FOR_GOOD_BY_NAME.search(type(error).__name__) is not None
    return named or isinstance(error, FOR_GOOD)


def _reason(error: Exception, redacted: Callable[[str], str]) -> str:
    """What went wrong in a store, in words that hold no signature and no key."""
    words = str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
    words = shown(redacted(re.sub(r"\?\S{12,}", "?...", words)))
    if isinstance(error, storage.UnequalError):
        return words
    if isinstance(error, PermissionError):
        return f"the store refuses it: {words}; {FROM_WHERE}"
    if isinstance(error, FileNotFoundError):
        return f"the store has no such bucket: {words}"
    if re.search("Credential|Profile", type(error).__name__):
        return f"{words}; {FROM_WHERE}"
    return words
