"""Lets polyreel find a vendor whose package is being written, and is not installed yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from ..providers.base import registry
from ..providers.base.provider import Provider


@frozen
class _Announced:
    """What an entry point of an installed package looks like to the registry."""

    name: str
    provider: type[Provider]

    def load(self) -> type[Provider]:
        """The class."""
        return self.provider


def registered(provider: type[Provider]) -> Provider:
    """The vendor as polyreel finds it. One that no installed package announces is announced for the rest of this
    process; AssertionError where another one has its id.
    """
    if provider.id not in registry.all_providers():
        registry.entry_points = _beside(registry.entry_points, provider)  # type: ignore[attr-defined]
        registry.all_providers.cache_clear()
    found = registry.get_provider(provider.id)
    same = (
        type(found).__qualname__ == provider.__qualname__
        and type(found).__module__ == provider.__module__
    )
    assert same, (
        f"another vendor is called {provider.id}: {type(found).__module__}.{type(found).__qualname__}"
    )
    return found


def _beside(known: Callable[..., Any], provider: type[Provider]) -> Callable[..., Any]:
    def entry_points(**selected: Any) -> list[Any]:
        return [*known(**selected), _Announced(provider.id, provider)]

    return entry_points
