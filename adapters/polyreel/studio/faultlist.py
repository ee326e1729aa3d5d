"""The faults of the simulator as a form offers them: by what they happen to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from ..simulator.faults import FAULTS, Fault

TITLES: Final[Mapping[str, str]] = {
    "lost": "submits that are accepted, and whose answer is lost",
    "submit": "submits that are not accepted",
    "stream": "event streams",
    "poll": "status queries",
    "list": "lists of tasks",
    "upload": "uploads",
    "download": "downloads",
}


@cache
def fault_groups() -> Sequence[tuple[str, Sequence[str]]]:
    """Each group of faults: what they happen to, and their names."""
    found: dict[str, list[str]] = {title: [] for title in TITLES.values()}
    for fault in FAULTS.values():
        found[TITLES[_group(fault)]].append(fault.name)
    return tuple((title, tuple(names)) for title, names in found.items())


def _group(fault: Fault) -> str:
    return "lost" if fault.call == "submit" and fault.accepted else fault.call
