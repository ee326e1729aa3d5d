"""The command line: arguments in, printing out."""

from __future__ import annotations

import os
import sys
from typing import Final

from .. import errors

EXIT_CODES: Final[tuple[tuple[type[BaseException], int], ...]] = (
    (errors.RequestError, 2),
    (errors.UnknownNameError, 2),
    (errors.PlanRefusedError, 2),
    (errors.JobFailedError, 3),
    (errors.KeyMissingError, 4),
    (errors.AmbiguousError, 6),
    (errors.StillRunningError, 8),
    (errors.DownloadError, 9),
    (errors.MissingExtraError, 2),
    (errors.SubmitError, 3),
    (errors.VendorError, 3),
    (KeyboardInterrupt, 130),
)
KEY_STATUSES: Final = frozenset({401, 403})
INTERNAL: Final = 1


def exit_code(error: BaseException) -> int:
    """The exit code that tells what happened."""
    if isinstance(error, (errors.RejectedError, errors.VendorError)) and error.status in KEY_STATUSES:
        return 4
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
        # Loading takes longest, and can be interrupted too.
        from .app import run  # noqa: PLC0415

        code = run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        code = exit_code(KeyboardInterrupt())
    sys.exit(code)
