"""Fault files: what goes wrong and how the vendors are set up, as TOML. Errors name the line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from ..depth import toml_is_deep, value_problem
from ..mapping.textfiles import text_of
from .settings import SettingError, Setup, span

__all__ = ["Setup", "read", "span"]

MAX_BYTES: Final = 1_000_000
_FAULT_HEADER: Final = re.compile(r"\s*\[\[\s*[\"']?fault[\"']?\s*\]\]")
_HEADER: Final = re.compile(r"\s*\[\[?[^\[\]]+\]\]?\s*(#.*)?$")


def read(path: str | os.PathLike[str], vendors: Sequence[str], chosen: Sequence[str] = ()) -> Setup:
    """The settings of a fault file.

    `vendors` are those that exist; `chosen` are those that answer (none: as the file says, or all).
    Raises ValueError with one message, which names the file and, where they are known, the line and
    the field.
    """
    # Imported here: pydantic takes long to import, and most servers are started without a file.
    from .settings_models import (  # noqa: PLC0415
        FaultSettings,
        FileSettings,
        SettingsContext,
        read_settings,
    )

    file = Path(path)
    source = _SourceText(file.name, _text(file))
    try:
        settings = read_settings(FileSettings, source.parsed(), SettingsContext(vendors))
    except SettingError as error:
        raise source.located(0, error) from None
    context, injections = SettingsContext(tuple(chosen) or settings.vendors or vendors), []
    for number, table in enumerate(settings.fault, 1):
        try:
            injections.append(read_settings(FaultSettings, table, context).injection())
        except SettingError as error:
            raise source.located(number, error) from None
    return settings.setup(injections)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
        if len(content) <= MAX_BYTES:
            return text_of(content)
    except UnicodeDecodeError:
        raise ValueError(f"{file.name} is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such name is possible"
        raise ValueError(f"{file.name} cannot be read: {reason}") from None
    raise ValueError(f"{file.name} is larger than {MAX_BYTES} bytes")


@frozen
class _SourceText:
    """The text of a file."""

    name: str
    text: str

    def parsed(self) -> dict[str, Any]:
        """The document; ValueError where it is not TOML."""
        if toml_is_deep(self.text):
            raise ValueError(f"{self.name} is nested too deeply")
        try:
            document = tomllib.loads(self.text)
        except ValueError as error:
            raise ValueError(f"{self.name} is not TOML: {error}") from None
        if problem := value_problem(document):
            raise ValueError(f"{self.name} is {problem}")
        return document

    def located(self, number: int, error: SettingError) -> ValueError:
        """An error in a fault, or before all of them (0), with its line where that can be found."""
        line = self._line(number, error.field)
        where = f"{self.name}, line {line}" if line else self.name
        return ValueError(f"{where}: {f'fault {number}, ' if number else ''}{error}")

    def _line(self, number: int, field: str) -> int | None:
        """The line of a field; that of its table where the field is missing."""
        assignment = re.compile(rf"\s*[\"']?{re.escape(field)}[\"']?\s*[.=]")
        faults, table_line, is_other_table = 0, None, False
        for position, line in enumerate(self.text.split("\n"), 1):
            if _HEADER.match(line):
                is_fault = _FAULT_HEADER.match(line) is not None
                faults, is_other_table = faults + is_fault, not is_fault
                table_line = position if is_fault and faults == number else table_line
                if number == 0 and field in line:
                    return position
            elif faults == number and not is_other_table and assignment.match(line):
                return position
        return table_line
