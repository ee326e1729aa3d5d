"""Remembers a simulator's jobs in a file of JSON Lines, which several processes may share."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary, ref

from ..depth import json_is_deep
from ..plans.reading import read
from ..providers.base.registry import all_providers
from ..serving.shapes import picture_of
from .engine import Simulator
from .tasks import Task

ENDS: Final = ("succeeded", "failed", "canceled")
SECONDS_KEPT: Final = 7 * 86_400.0
FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND
PLATFORM_FLAGS: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
LOG: Final = logging.getLogger("polyreel")
_READ: Final[WeakKeyDictionary[Simulator, tuple[Path, int]]] = WeakKeyDictionary()
"""The file of a simulator that remembers its jobs, and up to which byte it was read."""


def remember(simulator: Simulator, path: str | os.PathLike[str]) -> None:
    """Take over the jobs that are remembered at `path`, and write every new job there.

    A job is remembered with its charge and its idempotency key. A missing file is an empty one.
    Damaged lines, and jobs that are older than seven days, are skipped.
    """
    file = Path(path)
    _READ[simulator] = file, 0
    recall(simulator)
    simulator.on_unknown = partial(_remembered, ref(simulator))
    simulator.on_accept = lambda task, key: _append(file, _line(task, key))


def recall(simulator: Simulator) -> None:
    """Take over what others have remembered since; nothing of a simulator that remembers none."""
    for task, key in _remembered(ref(simulator)):
        simulator.restore(task, key)


def _remembered(own: ref[Simulator]) -> Iterator[tuple[Task, str | None]]:
    """What was written since the file of a simulator was last read."""
    simulator = own()
    if simulator is None or simulator not in _READ:
        return
    file, start = _READ[simulator]
    oldest = simulator.clock.now() - SECONDS_KEPT
    content = _content(file, start)
    _READ[simulator] = file, start + content.rfind(b"\n") + 1
    for line in content.split(b"\n"):
        remembered = _read(line)
        if remembered is not None and remembered[0].created >= oldest:
            yield remembered


def _content(path: Path, start: int) -> bytes:
    """A file from a position on; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read()
    except OSError:
        return b""


def _line(task: Task, key: str | None) -> bytes:
    """A task as a line. The rest of it follows from the request and the vendor's tables."""
    facts = {
        "vendor": task.vendor,
        "id": task.id,
        "path": task.route.path,
        "body": task.body,
        "created": task.created,
        "seconds": task.seconds,
        "end": task.end,
        "key": key,
    }
    return json.dumps(facts).encode()


def _read(line: bytes) -> tuple[Task, str | None] | None:
    """The task of a line, and its idempotency key.

    None where the line is damaged or its vendor does not exist any more.
    """
    if json_is_deep(line):
        return None
    try:
        facts = json.loads(line)
        vendor, identity, body, end = (facts[name] for name in ("vendor", "id", "body", "end"))
        created, seconds, key = float(facts["created"]), float(facts["seconds"]), facts.get("key")
        reading = read(body, all_providers()[vendor], facts["path"])
        picture = picture_of(reading)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return None
    has_times = math.isfinite(created) and 0 <= seconds < math.inf
    if not isinstance(identity, str) or end not in ENDS or not has_times:
        return None
    task = Task(vendor, identity, reading.route, body, picture, created, seconds, end)
    return task, key if isinstance(key, str) else None


def _append(path: Path, line: bytes) -> None:
    """Add a line with one write, so that the lines of several processes never mix."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, FLAGS | PLATFORM_FLAGS, 0o600)
        try:
            # The first line break ends a line that a killed process has left unfinished.
            os.write(file, b"\n" + line + b"\n")
        finally:
            os.close(file)
    except OSError as error:
        # The job is accepted all the same, but no other process can go on with it.
        LOG.warning("the simulator cannot remember a job in %s: %s", path, error.strerror)
