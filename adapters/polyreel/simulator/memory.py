"""A simulator that remembers across processes: accepted jobs in a file of JSON Lines that processes may share."""

from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path
from typing import Any, Final

from ..plans.reading import read
from ..providers.base.registry import all_providers
from ..serving.shapes import picture_of
from .engine import Simulator
from .tasks import Task

ENDS: Final = ("succeeded", "failed", "canceled")
SECONDS_KEPT: Final = 7 * 86_400.0
LOG: Final = logging.getLogger("polyreel")


def remember(simulator: Simulator, path: str | os.PathLike[str]) -> None:
    """Take over the jobs that are remembered at `path`, with their charges and idempotency keys, and write down there
    every job that is accepted from now on.

    A missing file is an empty one. Lines that make no sense, and jobs older than seven days, are passed over.
    """
    file = Path(path)
    for line in _lines(file):
        found = _read(line)
        if found is not None and found[0].created >= simulator.clock.now() - SECONDS_KEPT:
            simulator.restore(*found)
    simulator.on_accept = lambda task, key: _append(file, _line(task, key))


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\n")
    except OSError:
        return []


def _line(task: Task, key: str | None) -> bytes:
    """What cannot be found out again from the request and the vendor's tables."""
    facts: dict[str, Any] = {
        "vendor": task.vendor,
        "id": task.id,
        "path": task.route.operation.PATH,
    }
    facts |= {
        "body": task.body,
        "created": task.created,
        "seconds": task.seconds,
        "end": task.end,
        "key": key,
    }
    return json.dumps(facts).encode()


def _read(line: bytes) -> tuple[Task, str | None] | None:
    """The task of a line and its idempotency key; None where the line is damaged, or the vendor is gone."""
    try:
        facts = json.loads(line)
        vendor, identity, body, end = (facts[name] for name in ("vendor", "id", "body", "end"))
        created, seconds, key = float(facts["created"]), float(facts["seconds"]), facts.get("key")
        reading = read(body, all_providers()[vendor], facts["path"])
        picture = picture_of(reading)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    if (
        not isinstance(identity, str)
        or end not in ENDS
        or not (math.isfinite(created) and 0 <= seconds < math.inf)
    ):
        return None
    task = Task(vendor, identity, reading.route, body, picture, created, seconds, end)
    return task, key if isinstance(key, str) else None


def _append(path: Path, line: bytes) -> None:
    """Add a line with one write, so that the lines of several processes never mix."""
    flags = (
        os.O_WRONLY
        | os.O_CREAT
        | os.O_APPEND
        | getattr(os, "O_BINARY", 0)
        | getattr(os, "O_NOFOLLOW", 0)
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, flags, 0o600)
        try:
            # A line break in front too: whatever a killed process left unfinished is a line of its own.
            os.write(file, b"\n" + line + b"\n")
        finally:
            os.close(file)
    except OSError as error:
        # The job was accepted all the same; what is lost is that another process can go on with it.
        LOG.warning("the simulator cannot remember a job in %s: %s", path, error.strerror)
