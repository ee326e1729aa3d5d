"""What `polyreel doctor` finds."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from .. import environment
from ..errors import PolyreelError
from ..places import JsonObject
from ..providers.base.registry import all_providers, broken_plugins
from .network import given

PARTS = ("polyreel", "httpx", "attrs", "pydantic", "jsonschema-rs", "typer")
EXTRA = ("av", "PIL")


def facts() -> JsonObject:
    """Versions, extras, keys as far as they may be shown, and what the environment sets."""
    missing = [name for name in EXTRA if find_spec(name) is None]
    return {
        "python": platform.python_version(),
        "versions": {part: installed(part) for part in PARTS},
        "simulator_extra": not missing,
        "missing": missing,
        "keys": {
            provider.key_variable: environment.key_state(vendor)
            for vendor, provider in all_providers().items()
        },
        "without_live": "simulated: nothing is sent or paid",
        "with_live": _live(),
        "broken_plugins": {
            name: f"cannot be loaded ({reason})" for name, reason in broken_plugins().items()
        },
        "vendor_order": _answer_or_error(environment.vendor_order),
        "base_urls": _answer_or_error(lambda: dict(environment.network(given()).base_urls)),
    }


def _live() -> str:
    """Which vendors a command with --live can pay."""
    usable = [vendor for vendor in all_providers() if environment.has_key(vendor)]
    return f"costs money at {', '.join(usable)}" if usable else "refused: no key is set"


def installed(part: str) -> str:
    """The version of an installed distribution."""
    try:
        return metadata.version(part)
    except metadata.PackageNotFoundError:
        return "not installed"


def plain(value: Any) -> str:
    """A fact in one cell."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _answer_or_error(question: Callable[[], Any]) -> Any:
    """The answer, or what is wrong."""
    try:
        return question()
    except PolyreelError as error:
        return str(error)
