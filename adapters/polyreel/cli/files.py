"""Files that a command line names: the request it reads, the folder it writes to."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from ..depth import MAX_DEPTH, json_is_deep
from ..errors import DownloadError, RequestError
from ..mapping.textfiles import STANDARD_INPUT, read_bytes, text_of
from ..places import JsonObject
from . import show

if TYPE_CHECKING:
    from ..jobs.locations import Location

REQUEST_DEPTH: Final = 600
"""Deeper than any request may be, so that the check of requests can name the field that is too
deep.
"""


def load(source: str, option: str = "--request ") -> JsonObject:
    """A request from a file or standard input; RequestError where it is not a JSON object."""
    where = f"{option}{source}"
    value = parse(read_bytes(source, where), where, depth=REQUEST_DEPTH)
    if not isinstance(value, dict):
        kind = "null" if value is None else type(value).__name__
        raise RequestError([f"{where}: a request is a JSON object, not {kind}"])
    return value


def typed_prompt() -> str:
    """The prompt on standard input; RequestError where there is none.

    A JSON object is refused: it is meant as a request, and not as the words of a prompt.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        show.note("type the prompt; it ends with Ctrl-D on a line of its own")
    content = read_bytes(STANDARD_INPUT, "prompt: standard input")
    try:
        text = text_of(content).strip()
    except UnicodeDecodeError:
        raise RequestError(["prompt: standard input is not UTF-8 text"]) from None
    if not text:
        raise RequestError(["prompt: there is nothing on standard input"])
    with suppress(RequestError):
        if isinstance(parse(content, ""), dict):
            problem = "standard input is a JSON object; give --request - for a request"
            raise typer.BadParameter(problem, param_hint="PROMPT")
    return text


def parse(content: bytes, where: str, *, depth: int = MAX_DEPTH) -> Any:
    """Any JSON value; RequestError that says why it is none."""
    if json_is_deep(content, depth):
        raise RequestError([f"{where}: nested too deeply"])
    try:
        # From bytes: JSON's own encodings are recognized, with and without a byte order mark.
        return json.loads(content, parse_constant=_no_constant, object_pairs_hook=_members)
    except UnicodeError:
        raise RequestError([f"{where}: not UTF-8 text"]) from None
    except ValueError as error:
        reason = str(error).partition(";")[0]
        raise RequestError([f"{where}: not a JSON request: {reason}"]) from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _members(pairs: Sequence[tuple[str, Any]]) -> JsonObject:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} is there twice")
    return members


def checked(request: JsonObject) -> JsonObject:
    """The request itself; RequestError where nothing is asked for."""
    if not request:
        raise RequestError(["nothing is asked for: give a prompt, or a file with --request"])
    return request


def target(output: str, filename: str | None) -> Location:
    """What --output and --filename say together."""
    from ..client.checks import located

    location = located(output)
    if filename is None:
        return location
    from ..jobs.naming import with_filename

    try:
        return with_filename(location, filename)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--filename") from None


def prepare(output: str | Location) -> None:
    """Make the folder that files are saved in, or try the one in object storage.

    That is before anything is paid. DownloadError is raised where nothing can be saved in it,
    RequestError where its name cannot be used.
    """
    from ..client.checks import located
    from ..jobs.naming import Target, problem_of_path

    location = located(output)
    if problem := problem_of_path(location):
        raise RequestError([f"output: {problem}"])
    folder = Target.of(location).folder
    if not isinstance(folder, Path):
        from ..drivers import Wire, run
        from ..jobs.finishing import try_output

        run(try_output(str(location)), Wire())
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = (
            "not a folder" if isinstance(error, FileExistsError) else error.strerror or str(error)
        )
        raise DownloadError(f"--output {folder}: {reason}; nothing was sent") from None
