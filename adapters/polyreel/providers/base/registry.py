"""Finds the vendors: the files in `polyreel.providers`, and packages with an entry point.

The group of the entry points is `polyreel.providers`, too. A vendor is loaded when it is asked for,
so that a program which uses one vendor does not wait for the others.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING

from ... import providers as folder
from ...errors import UnknownNameError
from .provider import Provider

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "polyreel.providers"


@cache
def all_providers() -> Mapping[str, Provider]:
    """Every installed vendor by its id: polyreel's own, then others, each in alphabetical order."""
    return _Vendors()


class _Vendors(Mapping[str, Provider]):
    def __init__(self) -> None:
        found = sorted(pkgutil.iter_modules(folder.__path__), key=lambda module: module.name)
        # A folder is none: `base` is what all vendors have in common.
        self._own = {one.name.replace("_", "-"): one.name for one in found if not one.ispkg}
        self._loaded: dict[str, Provider] = {}

    def __getitem__(self, vendor: str) -> Provider:
        known = self._loaded.get(vendor)
        if known is not None:
            return known
        if vendor not in self._own:
            return self._others[vendor]
        module = import_module(f"{folder.__name__}.{self._own[vendor]}")
        provider: Provider = module.PROVIDER.load()
        assert provider.id == vendor, f"{module.__name__} is named unlike its vendor, {provider.id}"
        return self._loaded.setdefault(vendor, provider)  # another thread may have been faster

    @cached_property
    def _others(self) -> Mapping[str, Provider]:
        """The vendors of other packages. They cannot take the id of one of polyreel's own."""
        found: dict[str, Provider] = {}
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
            provider: Provider = entry.load().load()
            if provider.id not in self._own:
                found.setdefault(provider.id, provider)
        return found

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._others

    def __len__(self) -> int:
        return len(self._own) + len(self._others)


def entry_points(*, group: str) -> Iterable[EntryPoint]:
    """The entry points of installed packages."""
    # Importing this takes about as long as importing all of polyreel's own vendors.
    from importlib.metadata import entry_points as installed  # noqa: PLC0415

    return installed(group=group)


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
