"""What callers pass beside a request: checked before anything is written down or paid."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RequestError
from ..mapping.media import shown

if TYPE_CHECKING:
    from ..jobs.locations import Location
    from ..plans.planning import Plan


def check_number(name: str, value: object) -> float:
    """A number, finite or not. RequestError is raised for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RequestError([f"{name}: it is a number of seconds, not {_described(value)}"])
    return value


def check_seconds(name: str, given: object, *, endless: bool = True, zero: bool = True) -> None:
    """Raise RequestError where a value is no number of seconds."""
    value = check_number(name, given)
    if math.isnan(value) or value < 0 or (value == math.inf and not endless):
        raise RequestError([f"{name}: {value} is no number of seconds"])
    if value == 0 and not zero:
        raise RequestError([f"{name}: it is more than 0 seconds"])


def check_retries(value: object) -> None:
    """Raise RequestError where a value is no number of retries."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestError([f"retries: it is a whole number, not {_described(value)}"])
    if value < 0:
        raise RequestError([f"retries: {value} is less than 0, which means no retry"])


def check_by_vendor(keys: object, vendors: object) -> None:
    """Raise RequestError where keys are not by vendor id, or vendors are one text.

    What stands in the place of keys is not quoted: it may be a key.
    """
    if keys is not None and not isinstance(keys, Mapping):
        wrong = type(keys).__name__
        raise RequestError(
            [f"keys: a mapping of API keys by vendor id, not a value of type {wrong}"]
        )
    if isinstance(vendors, str):
        raise RequestError(["vendors: it is a list of vendor ids, not a text"])


def check_reference(value: object, what: str = "reference") -> None:
    """Raise RequestError where a value can be no reference. None is no reference at all."""
    if value is None:
        return
    if not isinstance(value, str):
        raise RequestError([f"{what}: it is a text, not {_described(value)}"])
    if not value.strip():
        raise RequestError([f"{what}: it is empty, so it would name no job; leave it out"])
    if not _is_unicode(value):
        raise RequestError([f"{what}: it is not Unicode text, so no ledger can hold it"])


def check_labels(value: object) -> None:
    """Raise RequestError where a value can be no labels. None is none at all."""
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise RequestError([f"labels: they are texts by name, not {_described(value)}"])
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str) or not name.strip():
            raise RequestError(["labels: each has a name, and both name and value are text"])
        if not _is_unicode(name + text):
            raise RequestError(["labels: they are not Unicode text, so no ledger can hold them"])


def checked_output(value: object, plans: Sequence[Plan] = ()) -> Location:
    """Where files are to be saved, as an absolute path or a URL: see `jobs.naming`. Nothing is
    made, and no object storage is asked.

    `~` is the home folder. RequestError is raised where it is no folder, file name or pattern for
    the files of these plans, or where no file could be written there. So a job is not paid whose
    file cannot be saved.
    """
    from ..jobs.naming import Target, problem_of_path

    path = located(value)
    text = str(value)
    try:
        path = path.absolute() if isinstance(path, Path) else path
    except OSError as error:  # the current folder is gone
        raise RequestError([f"output: the current folder: {error.strerror}"]) from None
    if not _is_unicode(str(path)):
        text = "its path is not UTF-8, so no ledger and no job can hold it"
        raise RequestError([f"output: {shown(str(path))}: {text}; choose another folder"])
    problem: str | None = None
    try:
        target = Target.of(path)
        if isinstance(target.folder, Path):
            problem = _folder_problem(target.folder)
        problem = problem or problem_of_path(path)
        if text.startswith("~") and path.name.startswith("~") and problem is None:
            problem = "there is no such home folder"
        for plan in () if problem else plans:
            count = plan.request.get("count", 1)
            problem = problem or target.problem(kind=plan.kind, count=count)
    except OSError as error:
        problem = f"it cannot be used: {error.strerror}"
    except ValueError:  # such as a NUL
        problem = "not a path"
    if problem is not None:
        raise RequestError([f"output: {shown(str(path))}: {problem}"])
    return path


def located(value: object) -> Location:
    """Where files are saved. RequestError where a value is no path and no URL to save at."""
    from ..jobs.locations import StorageUrl, location_of

    if isinstance(value, StorageUrl):
        return value
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise RequestError([f"output: it is a folder's path or URL, not {_described(value)}"])
    if not os.fspath(value):
        raise RequestError(["output: the folder's path is empty"])
    try:
        return location_of(value)
    except ValueError as error:
        raise RequestError([f"output: {error}"]) from None


def local_folder(value: object) -> Path:
    """The same, where it is on this machine. RequestError where it is in object storage."""
    location = located(value)
    if not isinstance(location, Path):
        raise RequestError([f"output: {location}: name a folder of this machine"])
    return location


def _folder_problem(folder: Path) -> str | None:
    """Say why no file could be written in a folder, which may not be there yet; or None."""
    for path in (folder, *folder.parents):
        try:
            path.stat()
        except FileNotFoundError:
            if path.is_symlink():
                return f"{shown(str(path))} is a link to nothing"
            continue
        except NotADirectoryError:
            continue  # a file lies further up
        if not path.is_dir():
            return f"{shown(str(path))} is a file, not a folder"
        if not os.access(path, os.W_OK | os.X_OK):
            return f"nothing can be written in {shown(str(path))}"
        return None
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _described(value: object) -> str:
    """A wrong value, as a message can hold it."""
    return f"{shown(repr(value))} ({type(value).__name__})"


def level_of_caller() -> int:
    """How many calls lie between a warning and the code that called this package."""
    package, frame, level = __name__.partition(".")[0], sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(package):
        frame, level = frame.f_back, level + 1
    return level
