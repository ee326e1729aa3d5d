"""The command line: arguments in, printing out."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from .exits import EXIT_CODES, INTERNAL, SOME_FAILED, Terminated, exit_code


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
        from .app import run

        code = run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt as error:
        code = exit_code(error)
    sys.exit(code)


def _terminate(*_: object) -> NoReturn:
    raise Terminated


__all__ = ["EXIT_CODES", "INTERNAL", "SOME_FAILED", "Terminated", "exit_code", "main"]
