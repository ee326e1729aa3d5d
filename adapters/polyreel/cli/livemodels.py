"""`polyreel models --live`: what vendors say of their models, printed and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import typer

from .. import environment
from ..client import Client
from ..drivers import run
from ..errors import PolyreelError, UnknownNameError
from ..places import Json, JsonObject
from ..providers.base.limits import KeptLimits, fetch_limits, has_limits, reading_of
from ..providers.base.registry import all_providers, get_provider
from . import show
from .exits import exit_code
from .options import client
from .readiness import next_step


def ask_models(named: Sequence[str] | None, *, as_json: bool) -> None:
    """Ask these vendors, or all that list their models, print and keep the answers.

    typer.Exit where one does not answer. Nothing is paid: the call is free.
    """
    vendors = _asked(named)
    keys = environment.keys(vendors)  # an error names the variables where there is none
    found: list[KeptLimits] = []
    failures: list[tuple[PolyreelError, str]] = []
    with client([*keys], live=True) as made:
        for vendor in keys:
            try:
                found.append(_fetched(made, vendor))
            except PolyreelError as error:
                address = made.base_urls.get(vendor) or get_provider(vendor).base_url
                failures.append((error, next_step(error, vendor, address, "models")))
    if as_json:
        show.document({"vendors": [_document(one) for one in found]})
    elif found:
        rows = [row for one in found for row in _rows(one)]
        show.table(["vendor", "model", "what", "values"], rows, beneath=("values",))
    for one in found:
        show.note(f"{one.vendor}: kept in {environment.limits_folder().file(one.vendor)}")
    for failure, step in failures:
        show.note(f"error: {failure}")
        show.note(step)
    show.note("Nothing was billed: only free calls were made.")
    if failures:
        raise typer.Exit(exit_code(failures[0][0]))


def _asked(named: Sequence[str] | None) -> list[str]:
    """The vendors that have such a call; UnknownNameError for a named one without it."""
    having = [name for name, one in all_providers().items() if has_limits(one.contract)]
    wanted = [get_provider(one).id for one in dict.fromkeys(named or having)]
    for vendor in wanted:
        if vendor not in having:
            text = f"{vendor} documents no call that lists what its models take"
            raise UnknownNameError(text, vendor=vendor)
    return wanted


def _fetched(made: Client, vendor: str) -> KeptLimits:
    kept = run(fetch_limits(get_provider(vendor), made.base_urls.get(vendor)), made.wire)
    environment.limits_folder().keep(kept)
    return kept


def _document(kept: KeptLimits) -> JsonObject:
    file = str(environment.limits_folder().file(kept.vendor))
    return {"vendor": kept.vendor, "date": kept.date, "file": file, "models": list(kept.models)}


def _rows(kept: KeptLimits) -> Iterator[list[str]]:
    """A row for each member that says something of a model."""
    how = reading_of(get_provider(kept.vendor).contract)
    members = [*how["fields"].values(), *how.get("shown", ())]
    for entry in kept.models:
        said = [(name, entry[name]) for name in members if entry.get(name) is not None]
        for name, value in said or [("-", "-")]:
            yield [kept.vendor, str(entry.get(how["id"])), name, _text(value)]


def _text(value: Json) -> str:
    if isinstance(value, list) and not any(isinstance(one, dict | list) for one in value):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)
