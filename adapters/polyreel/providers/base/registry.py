"""Finds the vendors: the files in `polyreel.providers`, and packages with an entry point.

The group of the entry points is `polyreel.providers`, too.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from types import MappingProxyType

from ... import providers as folder
from ...errors import UnknownNameError
from .provider import Provider


@cache
def all_providers() -> Mapping[str, Provider]:
    """Every installed vendor by its id: polyreel's own, then others, each in alphabetical order."""
    found: dict[str, Provider] = {}
    for module in sorted(pkgutil.iter_modules(folder.__path__), key=lambda module: module.name):
        if module.ispkg:
            continue  # `base`: what all vendors have in common
        provider = import_module(f"{folder.__name__}.{module.name}").PROVIDER.load()
        found[provider.id] = provider
    for entry in sorted(entry_points(group="polyreel.providers"), key=lambda entry: entry.name):
        provider = entry.load().load()
        found.setdefault(provider.id, provider)
    return MappingProxyType(found)


def get_provider(vendor: str) -> Provider:
    """One vendor by its id; raises UnknownNameError."""
    try:
        return all_providers()[vendor]
    except KeyError:
        known = ", ".join(all_providers())
        raise UnknownNameError(f"no vendor is called {vendor!r}; there are {known}") from None


def ordered(names: Sequence[str] | None = None) -> list[Provider]:
    """The vendors to try, in order: the named ones, or all; UnknownNameError for a wrong name."""
    return [get_provider(name) for name in names] if names else list(all_providers().values())
