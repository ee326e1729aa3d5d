"""What went wrong: one message on stderr, one exit code, and with --json one document on stdout."""

from __future__ import annotations

import os
import re
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import typer

from ..errors import PolyreelError, did_you_mean
from ..places import JsonObject
from . import show
from .exits import exit_code

USAGE: Final = 2
USAGE_ERRORS: Final = typer.BadParameter.__mro__[1:3]
"""Typer's UsageError and the root of its errors, which go by other names in other versions of it.
"""


def report(error: BaseException, *, as_json: bool) -> int:
    """Tell about an error; returns the exit code. A traceback never reaches a user."""
    if isinstance(error, BrokenPipeError):
        # The reader went away: nothing to tell anybody.
        discard_stdout()
        return 0
    usage = isinstance(error, USAGE_ERRORS)
    code = USAGE if usage else exit_code(error)
    message = _usage(error) if usage else _message(error)
    show.note(message)
    _print_next_steps(error)
    with suppress(OSError):
        if as_json:
            show.document(_document(error, message, code))
        sys.stdout.flush()
    return code


def report_one(error: PolyreelError) -> JsonObject:
    """Tell about one of several failures on stderr; the same as data."""
    message = _message(error)
    show.note(message)
    _print_next_steps(error)
    return _document(error, message, exit_code(error))


def as_own(error: Exception) -> PolyreelError:
    """A foreign error as one of polyreel's; its text is left out, since it may quote anything."""
    return PolyreelError(_message(error), billed="maybe")


def _print_next_steps(error: BaseException) -> None:
    """What to type after an error about a job: see `steps.advise`."""
    for step in getattr(error, "__notes__", ()):
        show.note(step)


def discard_stdout() -> None:
    """Send what is left in the buffer nowhere, so that leaving does not stumble over it again."""
    with suppress(OSError):
        stdout = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)


def _message(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, PolyreelError):
        return f"error: {error}"
    if isinstance(error, OSError):
        return f"error: {error.strerror or error}" + (
            f": {str(error.filename)[:200]}" if error.filename else ""
        )
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"
    return f"internal error ({where}); please report it with what you typed"


def _usage(error: Any) -> str:
    command = error.ctx.command_path if getattr(error, "ctx", None) else "polyreel"
    text = error.format_message().rstrip(".")
    if meant := _other_option(getattr(error, "option_name", None), getattr(error, "ctx", None)):
        text = f"{error.message.rstrip('.')}; did you mean {meant}?"
    elif options := getattr(error, "possibilities", None):
        text = error.message.rstrip(".") + did_you_mean(error.option_name, options)
    # Typer 0.29 writes "Value error, " before it, and tells the choices in its text only.
    text = text.replace("Value error, ", "", 1)
    if refused := re.match(r"(Value error, )?'(.*)' is not one of (.*)", error.message, re.DOTALL):
        text += did_you_mean(refused[2], re.findall(r"'([^']+)'", refused[3]))
    parameters = getattr(getattr(getattr(error, "ctx", None), "command", None), "params", ())
    if "unexpected extra argument" in text and any(one.name == "prompt" for one in parameters):
        text += ": a prompt of several words stands in quotes"
    return f"error: {text}{'' if text.endswith('?') else '.'} See {command} --help"


def _other_option(name: str | None, context: typer.Context | None) -> str | None:
    """The option that people mean by one that the command does not have."""
    from ..plans.mistakes import other_word

    if name is None or context is None or (field := other_word(name.lstrip("-"))) is None:
        return None
    option = f"--{field.replace('_', '-')}"
    return option if any(option in one.opts for one in context.command.params) else None


def _document(error: BaseException, message: str, code: int) -> JsonObject:
    facts: JsonObject = {
        "type": type(error).__name__,
        "message": message.removeprefix("error: "),
        "exit_code": code,
    }
    if isinstance(error, PolyreelError):
        from ..jobs.documents import error_facts

        facts |= error_facts(error)
    return {"status": "error", "error": facts}
