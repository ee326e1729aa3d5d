"""Lets polyreel find a vendor whose package is not installed yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from ..providers.base import registry
from ..providers.base.provider import Provider


@frozen
class _EntryPoint:
    """Has the part of an entry point of an installed package that the registry uses."""

    name: str
    provider: type[Provider]

    def load(self) -> type[Provider]:
        """The class."""
        return self.provider


def registered(provider: type[Provider]) -> Provider:
    """The vendor, as polyreel finds it.

    A vendor without an entry point is registered for the rest of this process. AssertionError where
    another vendor has its id.
    """
    if provider.id not in registry.all_providers():
        registry.entry_points = _with_provider(registry.entry_points, provider)
        registry.all_providers.cache_clear()
    found = registry.get_provider(provider.id)
    assert _name(type(found)) == _name(provider), (
        f"another vendor is called {provider.id}: {_name(type(found))}"
    )
    return found


def _name(provider: type[Provider]) -> str:
    return f"{provider.__module__}.{provider.__qualname__}"


def _with_provider(known: Callable[..., Any], provider: type[Provider]) -> Callable[..., Any]:
    def entry_points(**selected: str) -> list[Any]:
        return [*known(**selected), _EntryPoint(provider.id, provider)]

    return entry_points
