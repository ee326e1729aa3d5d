"""A job as a notebook shows it, with the files that were saved."""

from __future__ import annotations

import base64
import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from ..mapping.inputs import HEAD
from ..mapping.media import any_content_type
from ..money.charged import cost_text
from ..notebook.html import facts, text

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

EMBEDDED_BYTES: Final = 1_000_000
"""A larger file is not put into the notebook itself."""


def job_html(job: Job) -> str:
    """What is known of a job, and players for its files."""
    progress = "" if job.progress is None else f" {job.progress:.0%}"
    error = job.error and f"{job.error.code or 'error'}: {job.error.message}"
    cost = cost_text(job)
    outputs = job.outputs or []
    values = {
        "model": job.model,
        "workflow": job.workflow,
        "simulated": "yes: nothing was paid" if job.simulated else None,
        "ledger": job.ledger_id,
        "labels": ", ".join(f"{name}={value}" for name, value in (job.labels or {}).items())
        or None,
        "cost": cost and cost.removeprefix("cost: "),
        "element": job.element,
        "error": error,
        "files": "\n".join(one.path or f"not saved: {one.url}" for one in outputs) or None,
    }
    title = f"job {job.id} at {job.vendor}: {job.status}{progress}"
    players = (player(Path(one.path)) for one in outputs if one.path)
    return facts(title, values) + "".join(players)


def player(path: Path) -> str:
    """The element that plays or shows a file; empty where it is no media file, or not there.

    A small file is in it; another is named by its path from the notebook's folder.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            kind = any_content_type(head)
            if kind is None:
                return ""
            size = os.fstat(file.fileno()).st_size
            content = head + file.read() if size <= EMBEDDED_BYTES else None
        if content is not None:
            source = f"data:{kind};base64,{base64.b64encode(content).decode()}"
        else:
            below = path.resolve().relative_to(Path.cwd().resolve())
            source = f"./{quote(below.as_posix(), errors='surrogateescape')}"
    except (OSError, ValueError):
        return ""
    what = f"src='{escape(source)}' title='{text(path.name)}' style='max-width:480px'"
    element = kind.partition("/")[0]
    return (
        f"<div><img {what}></div>"
        if element == "image"
        else (f"<div><{element} controls {what}></{element}></div>")
    )
