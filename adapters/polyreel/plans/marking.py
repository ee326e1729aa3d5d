"""Warns of reference marks that cite nothing, in the prompt and in the prompts of shots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import evolve

from ..mapping.codecs import cited_inputs
from ..mapping.marks import idle_marks, may_have_marks
from ..mapping.reports import MappingReport


def idle_marks_of(shared: Mapping[str, Any]) -> Iterator[str]:
    """A warning for each text of a request whose marks cite nothing."""
    for source, text in _texts(shared):
        if reason := "; ".join(idle_marks(text, cited_inputs(shared))):
            yield f"{source.split('/')[1]}: {reason}"


def note_idle_marks(shared: Mapping[str, Any], report: MappingReport) -> None:
    """Warn, in the entry of its text, of each mark that cites no input of the request.

    Marks of any vendor's spelling count, and near ones. Such a text is sent as it is.
    """
    counts = None
    for source, text in _texts(shared):
        if not may_have_marks(text):
            continue
        counts = counts or cited_inputs(shared)
        reason = "; ".join(idle_marks(text, counts))
        if reason:
            _warn(source, reason, report)


def _texts(shared: Mapping[str, Any]) -> list[tuple[str, str]]:
    texts = [("/prompt", shared["prompt"])] if "prompt" in shared else []
    if "shots" in shared:
        texts += [
            (f"/shots/{index}/prompt", shot["prompt"]) for index, shot in enumerate(shared["shots"])
        ]
    return texts


def _warn(source: str, reason: str, report: MappingReport) -> None:
    """Put a warning in the entry of a text, or beside that of the list that it is in."""
    entries = report.entries
    at = next((at for at, one in enumerate(entries) if one.source == source), None)
    list_of = source.split("/")[1]
    parent = next((one for one in entries if one.source == f"/{list_of}"), None)
    entry = parent if at is None else entries[at]
    if entry is None:
        return  # the text was not written: the plan is refused
    warned = evolve(
        entry,
        source=source,
        target=entry.target and entry.target_of(source),
        reason="; ".join(filter(None, [reason, entry.reason])),
        warning=True,
    )
    if at is None:
        entries.append(warned)
    else:
        entries[at] = warned
