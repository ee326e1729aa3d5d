"""What goes wrong, and how the vendors are set up, as a TOML file or a JSON object says it. Every mistake is told."""

from __future__ import annotations

import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from .engine import Simulator
from .faults import FAULTS

MAX_BYTES: Final = 1_000_000
MAX_SEED: Final = 2**63
MAX_TIMES: Final = 1_000_000_000
MAX_LATENCY: Final = 600.0
ALWAYS: Final = "always"
Span = tuple[float, float]
"""The least and the most seconds."""

_SPAN: Final = re.compile(r"([0-9]*\.?[0-9]+)(?:-([0-9]*\.?[0-9]+))?")
_FAULT_HEADER: Final = re.compile(r"\s*\[\[\s*[\"']?fault[\"']?\s*\]\]")
_HEADER: Final = re.compile(r"\s*\[\[?[^\[\]]+\]\]?\s*(#.*)?$")


class MistakeError(ValueError):
    """Something that cannot be meant. `field` is where; empty for the whole."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


@frozen
class Injection:
    """A fault that is asked for, as `Simulator.inject` takes it."""

    name: str
    vendor: str | None = None
    share: float = 1.0
    times: int | None = 1

    def into(self, simulator: Simulator) -> None:
        """Let it happen from now on."""
        simulator.inject(self.name, self.vendor, share=self.share, times=self.times)


@frozen
class Setup:
    """What a file sets; None where it says nothing."""

    faults: tuple[Injection, ...] = ()
    vendors: tuple[str, ...] | None = None
    seed: int | None = None
    balance: float | None = None
    link_seconds: float | None = None
    keys: frozenset[str] | None = None
    latency: Span | None = None


# -- values: each function gives the value, or raises ValueError with what it must be -----------------


def shown(value: Any) -> str:
    """A value for a message, not longer than a line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def number(least: float, most: float, words: str) -> Callable[[Any], float]:
    """Reads a number in a range."""

    def read(value: Any) -> float:
        # Compared first: an integer of hundreds of digits is no float.
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not least <= value <= most
        ):
            raise ValueError(f"must be {words}, not {shown(value)}")
        return float(value)

    return read


def whole(least: int, most: int, words: str) -> Callable[[Any], int]:
    """Reads a whole number in a range."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be {words}, not {shown(value)}")
        return value

    return read


def one_of(known: Sequence[str], what: str) -> Callable[[Any], str]:
    """Reads a known name."""

    def read(value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            raise ValueError(f"there is no {what} {shown(value)}; there are {', '.join(known)}")
        return value

    return read


def span(value: Any) -> Span:
    """Seconds, as a number or a text: `0.2`, or `0.1-0.5` for at random between the two."""
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        least = float(found[1])
        most = float(found[2] or found[1])
        if least <= most <= MAX_LATENCY:
            return least, most
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_LATENCY:
        return float(value), float(value)
    words = f"must be seconds from 0 to {MAX_LATENCY:.0f} such as 0.2, or two with a hyphen such as 0.1-0.5"
    raise ValueError(f"{words}, not {shown(value)}")


def _times(value: Any) -> int | None:
    words = f'a whole number from 1 on, or "{ALWAYS}"'
    return None if value is None or value == ALWAYS else whole(1, MAX_TIMES, words)(value)


def _keys(value: Any) -> frozenset[str]:
    # The values are not shown: somebody will put a real key here.
    if not isinstance(value, list) or not all(
        isinstance(key, str) and key.strip() == key != "" for key in value
    ):
        raise ValueError("must be a list of texts without blanks around them, such as ['test-key']")
    return frozenset(value)


def _names(known: Sequence[str]) -> Callable[[Any], tuple[str, ...]]:
    one = one_of(known, "vendor")

    def read(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError("must be a list of at least one vendor")
        return tuple(dict.fromkeys(one(name) for name in value))

    return read


seed: Final = whole(-MAX_SEED, MAX_SEED, "a whole number of at most 63 bits")

# -- tables -------------------------------------------------------------------------------------------


def fields(table: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """The values of a table, each read by its reader; MistakeError for a field that there is not, or a wrong value."""
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name not in readers:
            raise MistakeError(
                shown(name).strip("'"), f"there is no such field; there are {', '.join(readers)}"
            )
        try:
            found[name] = readers[name](value)
        except ValueError as error:
            raise MistakeError(name, str(error)) from None
    return found


def injection(table: Mapping[str, Any], vendors: Sequence[str]) -> Injection:
    """A fault that is asked for at one of these vendors; MistakeError where it cannot be meant."""
    readers: dict[str, Callable[[Any], Any]] = {
        "name": one_of(tuple(FAULTS), "fault"),
        "vendor": lambda value: None if value is None else one_of(vendors, "vendor")(value),
        "share": number(0, 1, "a number from 0 to 1"),
        "times": _times,
    }
    found = fields(table, readers)
    if "name" not in found:
        raise MistakeError("name", f"which fault? There are {', '.join(FAULTS)}")
    return Injection(**found)


# -- files --------------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str], vendors: Sequence[str], chosen: Sequence[str] = ()) -> Setup:
    """What a file sets, where there are these vendors and, of them, only the chosen answer (none chosen: all, or as
    the file says).

    Raises ValueError, with one message that names the file, and the line and the field as far as they are known.
    """
    file = Path(path)
    text = _text(file)
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"{file.name} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{file.name} is not TOML: {error}") from None
    return _setup(document, _Place(file.name, text), vendors, chosen)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        if len(content) <= MAX_BYTES:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{file.name} is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such name is possible"
        raise ValueError(f"{file.name} cannot be read: {reason}") from None
    raise ValueError(f"{file.name} is larger than {MAX_BYTES} bytes")


@frozen
class _Place:
    """Where in a file something stands."""

    name: str
    text: str

    def wrong(self, number: int, error: MistakeError) -> ValueError:
        """A mistake in the n-th fault, or before all of them (0), with its line where that can be found."""
        line = self._line(number, error.field)
        where = f"{self.name}, line {line}" if line else self.name
        return ValueError(f"{where}: {f'fault {number}, ' if number else ''}{error}")

    def _line(self, number: int, field: str) -> int | None:
        """The line of a field; that of its table where the field is missing."""
        wanted = re.compile(rf"\s*[\"']?{re.escape(field)}[\"']?\s*[.=]")
        faults, start, elsewhere = 0, None, False
        for position, line in enumerate(self.text.split("\n"), 1):
            if _HEADER.match(line):
                is_fault = _FAULT_HEADER.match(line) is not None
                faults, elsewhere = faults + is_fault, not is_fault
                start = position if is_fault and faults == number else start
                if number == 0 and field in line:
                    return position
            elif faults == number and not elsewhere and wanted.match(line):
                return position
        return start


def _setup(
    document: Mapping[str, Any], place: _Place, vendors: Sequence[str], chosen: Sequence[str]
) -> Setup:
    """The setup of a document; ValueError where something in it cannot be meant."""
    readers: dict[str, Callable[[Any], Any]] = {
        "fault": _tables,
        "vendors": _names(vendors),
        "seed": seed,
        "balance": number(0, math.inf, "a number of credits, 0 or more"),
        "link_seconds": number(0, math.inf, "a number of seconds, 0 or more"),
        "keys": _keys,
        "latency": span,
    }
    try:
        found = fields(document, readers)
    except MistakeError as error:
        raise place.wrong(0, error) from None
    answering = tuple(chosen) or found.get("vendors") or tuple(vendors)
    faults = []
    for index, table in enumerate(found.pop("fault", ()), 1):
        try:
            faults.append(injection(table, answering))
        except MistakeError as error:
            raise place.wrong(index, error) from None
    return Setup(faults=tuple(faults), **found)


def _tables(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise ValueError(
            'must be tables, each below a line [[fault]] with two brackets, such as name = "lost-reset"'
        )
    return value
