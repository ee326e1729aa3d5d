"""Every error that polyreel raises on purpose.

    PolyreelError
    ├── RequestError (ValueError)        the request is malformed; nothing was sent
    ├── UnknownNameError (LookupError)   no such vendor, model or workflow; nothing was sent
    ├── PlanRefusedError (ValueError)    the vendor cannot express the request; nothing was sent
    ├── BudgetError                      it could cost more than is allowed; nothing was sent
    ├── KeyMissingError                  a live call without a usable key; nothing was sent
    ├── MissingExtraError (ImportError)  an optional part is not installed
    ├── SubmitError                      a paid submit did not prove its acceptance
    │   ├── NeverSentError (ConnectionError)   no byte left; nothing was billed
    │   ├── RejectedError                      the vendor refused it; nothing was billed
    │   └── AmbiguousError                     it may be accepted and billed; do not repeat it
    ├── VendorError                      a call that costs nothing (status, upload) failed
    │   ├── TaskNotFoundError (LookupError)    the vendor does not know the task
    │   ├── TransportError (ConnectionError)   no usable answer
    │   └── BadReplyError (ValueError)         an answer that makes no sense
    ├── JobFailedError                   the vendor failed or canceled the job
    ├── LedgerError                      the ledger cannot be read or written
    │   ├── ClaimedError                       another thread or process has the job just now
    │   └── UnusableFileError                  its file cannot be used just now, or no longer
    │       └── UnwritableFileError                 nothing can be written: the disk is full
    ├── WebhookError (ValueError)        a forged, stale or unreadable webhook; nothing was changed
    ├── StillRunningError (TimeoutError) the wait is over, the job goes on; wait for it again
    │   └── UnknownStatusError               a strange status word beside a file or an error
    └── DownloadError (OSError)          the file was not saved; the job itself succeeded

Each has the facts that a program needs, as far as they are known: `vendor`, `status`, `code`,
`request_id`, `job`, `ledger_id` and `billed` (`"no"`, `"maybe"` or `"yes"`). PlanRefusedError holds
its plan and stands beside `Plan`, in `polyreel.plans.planning`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from polyreel_generated.shared import Job

Billed = Literal["no", "maybe", "yes"]
Error = TypeVar("Error", bound=Exception)


class Portable:
    """An error that pickle and copy keep with its message, notes and facts.

    Python's own way calls the class with the message alone, whatever its `__init__` takes.
    """

    args: tuple[object, ...]

    def __reduce__(self) -> tuple[object, ...]:
        return _bare, (type(self), self.args), self.__dict__.copy()


class PolyreelError(Portable, Exception):
    """The root of all errors polyreel raises on purpose."""

    def __init__(
        self,
        message: str,
        *,
        vendor: str | None = None,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        job: Job | None = None,
        ledger_id: str | None = None,
        billed: Billed = "no",
    ) -> None:
        super().__init__(message)
        self.vendor = vendor
        self.status = status
        self.code = code
        self.request_id = request_id
        self.job = job
        self.ledger_id = ledger_id
        self.billed = billed


def _bare(kind: type[Error], args: tuple[object, ...]) -> Error:
    """An error of a class without `__init__`, whose arguments nobody has kept."""
    made = kind.__new__(kind, *args)
    made.args = args
    return made


class RequestError(PolyreelError, ValueError):
    """The shared request is malformed. `problems` names each field; nothing was sent."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class UnknownNameError(PolyreelError, LookupError):
    """No such vendor, model or workflow. Nothing was sent."""


class BudgetError(PolyreelError):
    """It could cost more than the caller allows, or nobody can tell. Nothing was sent."""


class KeyMissingError(PolyreelError):
    """A live call without a usable key. Nothing was sent."""


class MissingExtraError(PolyreelError, ImportError):
    """An optional part of polyreel is not installed."""


RATE_LIMITED: Final = 429
"""The HTTP status of what is asked too often, or too much at once."""


class SubmitError(PolyreelError):
    """A paid submit that did not end in an accepted job. `billed` says what it may have cost."""


class NeverSentError(SubmitError, ConnectionError):
    """The vendor was not reached: no byte of the paid request left. It is safe to try again."""


class RejectedError(SubmitError):
    """The vendor refused the request with an answer that proves it was not accepted."""

    retry_after: float | None = None
    """Seconds after which the vendor asks to be tried again, where it says."""
    unpayable: bool = False
    """Whether it says that the account has no money: another vendor's account may have some."""

    @property
    def is_busy(self) -> bool:
        """Whether the vendor takes no more just now: the same request may be taken later."""
        return self.status == RATE_LIMITED and not self.unpayable


class AmbiguousError(SubmitError):
    """The vendor may have accepted and billed the request. polyreel never repeats it by itself."""


class VendorError(PolyreelError):
    """A call that costs nothing, such as a status query or an upload, failed."""


class TaskNotFoundError(VendorError, LookupError):
    """The vendor does not know the task, or no longer."""


class TransportError(VendorError, ConnectionError):
    """No usable answer arrived. `sent` tells whether any byte of the request may have left."""

    def __init__(self, message: str, *, sent: bool, vendor: str | None = None) -> None:
        super().__init__(message, vendor=vendor)
        self.sent = sent


class BadReplyError(VendorError, ValueError):
    """The vendor answered with something that is not an answer to the question."""


class JobFailedError(PolyreelError):
    """The vendor failed or cancelled the job; `job.error` has its words."""


class StillRunningError(PolyreelError, TimeoutError):
    """The wait is over before the job ended, as far as is known. The job goes on, unless the text
    tells of trouble with asking; wait for it again at any time.
    """


class UnknownStatusError(StillRunningError):
    """The vendor's status word has no known meaning, and stands beside a file or an error.

    `job.outputs` and `job.error` have them. Waiting again asks the vendor again.
    """


class LedgerError(PolyreelError):
    """The ledger cannot be read or written.

    Where a paid call was made before, `job` and `billed` say so.
    """


class ClaimedError(LedgerError):
    """Another thread or process looks after the job just now."""


class UnusableFileError(LedgerError):
    """The file of the ledger cannot be read or written: just now, or no longer."""


class UnwritableFileError(UnusableFileError):
    """Nothing can be written to the file, such as on a full disk; it may still be read."""


class WebhookError(PolyreelError, ValueError):
    """A webhook that is forged, stale or unreadable. Nothing was changed."""


class DownloadError(PolyreelError, OSError):
    """The finished file could not be saved. The job succeeded; downloading again costs nothing."""


def alike(error: Error) -> Error:
    """A copy of an error.

    Where one error concerns several jobs, each job needs an error of its own to note its facts on.
    """
    made = _bare(type(error), error.args)
    made.__dict__.update(error.__dict__)
    return made


def did_you_mean(value: object, known: Collection[str]) -> str:
    """What follows the message that refuses a word: the known words that are near it, if any.

    The text is empty where none is. Case, separators and blanks do not count, nor does a mistyped
    letter or two.

    >>> did_you_mean("1080P", ["720p", "1080p"])
    '; did you mean 1080p?'
    >>> did_you_mean("9x16", ["16:9", "9:16"])
    '; did you mean 9:16?'
    >>> did_you_mean("nonesuch", ["16:9", "9:16"])
    ''
    """
    if not known:
        return ""
    *others, last = near(value, known) or _holding(value, known)[:3] or [""]
    return f"; did you mean {' or '.join(filter(None, [', '.join(others), last]))}?" * bool(last)


def near(value: object, known: Iterable[str], *, cutoff: float = 0.6) -> list[str]:
    """At most three of the known words, the nearest first: one that is the same but for its
    spelling, else those that differ in a few letters. `cutoff` is how much is alike, 1 being all.
    """
    from difflib import get_close_matches  # noqa: PLC0415

    word = _folded(str(value)[:100])
    words = {_folded(one): one for one in reversed([*known])}
    if word in words:
        return [words[word]]
    return [words[one] for one in get_close_matches(word, words, n=3, cutoff=cutoff)]


def _holding(value: object, known: Iterable[str]) -> list[str]:
    """The known words that a word is a part of, where it is more than one letter."""
    word = _folded(str(value)[:100])
    return sorted(one for one in known if len(word) > 1 and word in _folded(one))


def _folded(word: str) -> str:
    """A word without its case and separators, but for those between two digits."""
    parted = re.sub(r"(?<=\d)\s*[x\u00d7:/.*-]\s*(?=\d)", ":", word.casefold())
    return re.sub(r"[^\w:]|_", "", parted)
