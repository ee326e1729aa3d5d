"""What a vendor documents of the media it takes, `x-polyreel-media`, beside what a file measures.

`formats` and the pairs of `min_` and `max_` with `bytes`, `side` (each of them, in pixels), `width`
(in pixels), `ratio` (width by height), `seconds` and `fps`. `inferred` lists those that no page
says. What the file's headers do not say is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import evolve, frozen

from .measures import Measures

FORMATS: Final[Mapping[str, frozenset[str]]] = {
    "image/jpeg": frozenset({"jpg", "jpeg"}),
    "image/png": frozenset({"png"}),
    "image/webp": frozenset({"webp"}),
    "video/mp4": frozenset({"mp4"}),
    "video/quicktime": frozenset({"mov"}),
}
"""The words of the specs for each media type."""
UNITS: Final = {
    "bytes": " bytes",
    "side": " px",
    "width": " px",
    "seconds": " s",
    "fps": " frames per second",
}


@frozen
class MeasuredFile:
    """What counts of a file."""

    content_type: str
    size: int
    measures: Measures


@frozen
class LimitViolation:
    """Why a vendor does not take a file. `fact` is the name of the fact in the spec."""

    fact: str
    reason: str
    limit: str
    inferred: bool = False


def limit_violations(facts: Mapping[str, Any], file: MeasuredFile) -> Iterator[LimitViolation]:
    """Each fact of a spec that a file does not keep to."""
    for found in _violations(facts, file):
        yield evolve(found, inferred=found.fact in facts.get("inferred", ()))


def _violations(facts: Mapping[str, Any], file: MeasuredFile) -> Iterator[LimitViolation]:
    formats = facts.get("formats")
    if formats and FORMATS.get(file.content_type, frozenset()).isdisjoint(formats):
        offered = ", ".join(dict.fromkeys(one.replace("jpeg", "jpg") for one in formats))
        yield LimitViolation("formats", f"the file is {file.content_type}", f"only {offered}")
    for name, values in _measured(file).items():
        low, high = facts.get(f"min_{name}"), facts.get(f"max_{name}")
        unit = UNITS.get(name, "")
        if low is not None and values and min(values) < low:
            yield LimitViolation(f"min_{name}", _said(name, file), f"at least {low}{unit}")
        if high is not None and values and max(values) > high:
            yield LimitViolation(f"max_{name}", _said(name, file), f"at most {high}{unit}")


def _measured(file: MeasuredFile) -> Mapping[str, list[float]]:
    """The numbers to compare, as exact as vendors mean them: 2.97 s are 3 s, 23.976 are 24."""
    measures = file.measures
    return {
        "bytes": [file.size],
        "side": [side for side in (measures.width, measures.height) if side],
        "width": [measures.width] if measures.width else [],
        "ratio": [] if measures.ratio is None else [round(measures.ratio, 2)],
        "seconds": [] if measures.seconds is None else [round(measures.seconds, 1)],
        "fps": [] if measures.fps is None else [round(measures.fps)],
    }


def _said(name: str, file: MeasuredFile) -> str:
    measures = file.measures
    if name == "bytes":
        return f"the file has {file.size} bytes"
    if name == "seconds":
        return f"it is {measures.seconds:.1f} s long"
    if name == "fps":
        return f"it has {measures.fps:.3g} frames per second"
    size = f"{measures.width}x{measures.height}"
    return (
        f"it is {size}" if name in {"side", "width"} else f"it is {size}, {measures.ratio:.2f} to 1"
    )
