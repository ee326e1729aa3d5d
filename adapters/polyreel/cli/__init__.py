"""The command line: arguments in, printing out."""

from __future__ import annotations

import os
import signal
import sys
from typing import Final, NoReturn

from .. import errors
from ..plans.planning import PlanRefusedError


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C is, from a program."""


EXIT_CODES: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (errors.RequestError, 2),
    (errors.UnknownNameError, 2),
    (PlanRefusedError, 2),
    (errors.JobFailedError, 3),
    (errors.KeyMissingError, 4),
    (errors.AmbiguousError, 6),
    (errors.BudgetError, 7),
    (errors.LedgerError, 2),
    (errors.WebhookError, 2),
    (errors.StillRunningError, 8),
    (errors.DownloadError, 9),
    (errors.MissingExtraError, 2),
    (errors.SubmitError, 3),
    (errors.VendorError, 3),
    (Terminated, 143),
    (KeyboardInterrupt, 130),
)
SOME_FAILED: Final = 5
KEY_STATUSES: Final = frozenset({401, 403})
INTERNAL: Final = 1


def exit_code(error: BaseException) -> int:
    """The exit code that tells what happened."""
    if (
        isinstance(error, (errors.RejectedError, errors.VendorError))
        and error.status in KEY_STATUSES
    ):
        return 4
    if isinstance(error, errors.LedgerError) and error.billed != "no":
        return 6
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), INTERNAL)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    # A stream that the caller has closed takes everything and shows nothing.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A console that cannot show a character shows its code; it never stops the command.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        signal.signal(signal.SIGTERM, _terminate)
        # Loading takes longest, and can be interrupted too.
        from .app import run  # noqa: PLC0415

        code = run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt as error:
        code = exit_code(error)
    sys.exit(code)


def _terminate(*_: object) -> NoReturn:
    raise Terminated
