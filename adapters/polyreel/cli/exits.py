"""Exit codes: what each one tells, and the errors that lead to it."""

from __future__ import annotations

from typing import Final

from .. import errors


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C is, from a program."""


EXIT_CODES: Final = (
    ("RequestError", 2),
    ("UnknownNameError", 2),
    ("PlanRefusedError", 2),
    ("JobFailedError", 3),
    ("KeyMissingError", 4),
    ("AmbiguousError", 6),
    ("BudgetError", 7),
    ("LedgerError", 2),
    ("WebhookError", 2),
    ("StillRunningError", 8),
    ("DownloadError", 9),
    ("MissingExtraError", 2),
    ("SubmitError", 3),
    ("VendorError", 3),
    ("Terminated", 143),
    ("KeyboardInterrupt", 130),
)
"""Names of error classes; the first that fits counts. Names need no imports."""
SOME_FAILED: Final = 5
AMBIGUOUS: Final = 6
INTERNAL: Final = 1


def exit_code(error: BaseException) -> int:
    """The exit code that tells what happened."""
    match error:
        case errors.RejectedError(status=401 | 403) | errors.VendorError(status=401 | 403):
            return 4
        case errors.LedgerError(billed="maybe" | "yes"):
            return AMBIGUOUS
    names = {kind.__name__ for kind in type(error).__mro__}
    return next((code for name, code in EXIT_CODES if name in names), INTERNAL)
