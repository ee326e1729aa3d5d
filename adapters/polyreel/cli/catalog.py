"""The commands about this installation: models, doctor."""

from __future__ import annotations

from ..providers.base.registry import all_providers
from . import checkup, show
from .options import AsJson, files_in_general


def models(as_json: AsJson = False) -> None:
    """List what every vendor sells: models and workflows."""
    rows = [
        {
            "vendor": vendor,
            "model": route.model,
            "workflow": route.workflow,
            "path": route.operation.PATH,
        }
        for vendor, provider in all_providers().items()
        for route in provider.routes
    ]
    unique = [row for index, row in enumerate(rows) if row not in rows[:index]]
    if as_json:
        show.document(unique)
    else:
        cells = [list(row.values()) for row in unique]
        show.table(["vendor", "model", "workflow", "path"], cells, beneath=("path",))


def doctor(as_json: AsJson = False) -> None:
    """Check this installation: versions, extras, keys (never shown), vendor order."""
    facts = checkup.facts()
    if as_json:
        show.document(facts)
    else:
        show.table(
            ["what", "value"], [[name, checkup.plain(value)] for name, value in facts.items()]
        )
    if notice := files_in_general(live=False):
        show.note(notice)
