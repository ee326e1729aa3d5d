"""Job names: an equal call is the same job, so that a repeated call is never paid again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Final

from ..errors import RequestError
from ..plans.requests import CheckedRequest

MAX_NAME: Final = 100
"""Characters of a job's name."""
DERIVED: Final = "job-"
"""How the names begin that are derived from what a call asks for."""


def check_name(name: str, what: str = "job_name") -> str:
    """The name itself; RequestError where it can be none."""
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable() or "/" in name:
        raise RequestError(
            [f"{what}: one to {MAX_NAME} characters that can be printed, without a slash"]
        )
    return name


def derived_name(request: CheckedRequest, vendors: Sequence[str], *, cheapest: bool) -> str:
    """The name of a call that gives none: the same for every call that asks for the same."""
    content = [request.kind, request.fields, list(vendors), cheapest]
    text = json.dumps(content, sort_keys=True)
    return DERIVED + hashlib.sha256(text.encode()).hexdigest()[:16]
