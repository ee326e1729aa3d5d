"""Finds the vendors: the files and folders in `polyreel.providers`, and packages with an entry
point.

The group of the entry points is `polyreel.providers`, too. A vendor is loaded when it is asked for,
so that a program which uses one vendor does not wait for the others.
"""

from __future__ import annotations

import copyreg
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING

from ... import providers as folder
from ...errors import UnknownNameError, did_you_mean
from .provider import Provider
from .routes import Route

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from polyreel_generated.contracts.vendors import VendorId

    Vendor = VendorId | Provider
    """How a program names a vendor. Type checkers know the ids of polyreel's own; a name that is
    read from somewhere, and a vendor of another package, goes through `get_provider`.
    """

GROUP = "polyreel.providers"


@cache
def all_providers() -> Mapping[str, Provider]:
    """Every installed vendor by its id: polyreel's own, then others, each in alphabetical order.

    Packages that cannot be loaded are left out: see `broken_plugins`.
    """
    return _Vendors()


def broken_plugins() -> Mapping[str, str]:
    """The entry points of vendors that cannot be loaded, with the class of the error of each."""
    vendors = all_providers()
    len(vendors)  # loads them
    return vendors.broken if isinstance(vendors, _Vendors) else {}


class _Vendors(Mapping[str, Provider]):
    def __init__(self) -> None:
        found = sorted(pkgutil.iter_modules(folder.__path__), key=lambda module: module.name)
        # `base` is what all vendors have in common.
        names = [one.name for one in found if one.name != "base"]
        self._own = {name.replace("_", "-"): name for name in names}
        self._loaded: dict[str, Provider] = {}

    def __getitem__(self, vendor: str) -> Provider:
        known = self._loaded.get(vendor)
        if known is not None:
            return known
        if vendor not in self._own:
            return self._others[vendor]
        provider = _load(self._own[vendor])
        return self._loaded.setdefault(vendor, provider)  # another thread may have been faster

    @cached_property
    def _others(self) -> Mapping[str, Provider]:
        """The vendors of other packages. They cannot take the id of one of polyreel's own.

        A package that cannot be loaded is left out: its mistake is not that of the others.
        """
        found: dict[str, Provider] = {}
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
            try:
                provider: Provider = entry.load().load()
                name = str(provider.id)
                _touch(provider)
            except (Exception, SystemExit) as error:
                # Its text is not shown: it may quote anything.
                self.broken[entry.name] = type(error).__name__
                continue
            if name not in self._own:
                _pickle_by_id(found.setdefault(name, provider))
        return found

    @cached_property
    def broken(self) -> dict[str, str]:
        """The entry points that cannot be loaded, by their names, with the error's class."""
        return {}

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from self._others

    def __len__(self) -> int:
        return len(self._own) + len(self._others)


@cache
def _load(name: str) -> Provider:
    """One of polyreel's own vendors, by the name of its file: one object in a process.

    Also where the vendors are looked for again, because there is another one.
    """
    module = import_module(f"{folder.__name__}.{name}")
    provider: Provider = module.PROVIDER.load()
    named = provider.id.replace("-", "_")
    assert named == name, f"{module.__name__} is named unlike its vendor, {provider.id}"
    _pickle_by_id(provider)
    return provider


def _pickle_by_id(provider: Provider) -> None:
    """Have a vendor pickled and copied as its id, and its routes as numbers: they are code.

    So each process has one object of each.
    """
    copyreg.pickle(type(provider), lambda one: (get_provider, (one.id,)))
    copyreg.pickle(Route, _route_as_number)


def _route_as_number(route: Route) -> tuple[Callable[[str, int], Route], tuple[str, int]]:
    vendors = all_providers().values()
    provider = next((one for one in vendors if route in one.readable_routes), None)
    if provider is None:
        raise TypeError(f"no installed vendor has the route {route.model} {route.workflow}")
    return _route, (provider.id, provider.readable_routes.index(route))


def _route(vendor: str, number: int) -> Route:
    return get_provider(vendor).readable_routes[number]


def _touch(provider: Provider) -> None:
    """Read what every command reads of a vendor, messages of errors too, so that it fails here."""
    assert isinstance(provider.key_variable, str)
    assert provider.servers is not None
    assert provider.routes is not None
    assert provider.contract.operations
    getattr(provider.webhook, "secret_variable", None)


def entry_points(*, group: str) -> Iterable[EntryPoint]:
    """The entry points of installed packages."""
    # Importing this takes about as long as importing all of polyreel's own vendors.
    from importlib.metadata import entry_points as installed  # noqa: PLC0415

    return installed(group=group)


def get_provider(vendor: str | Provider) -> Provider:
    """One vendor by its id; raises UnknownNameError."""
    if not isinstance(vendor, str) and isinstance(vendor, Provider):  # quick for what is a text
        return vendor
    try:
        return all_providers()[vendor]
    except TypeError:  # several vendors, where one is wanted
        raise UnknownNameError(unknown_vendor(vendor)) from None
    except KeyError:
        if reason := broken_plugins().get(vendor):
            raise UnknownNameError(
                f"the package of the vendor {vendor!r} cannot be loaded ({reason}): "
                "install it anew, or remove it"
            ) from None
        raise UnknownNameError(unknown_vendor(vendor)) from None


def unknown_vendor(name: object) -> str:
    """The message that refuses the id of a vendor: those that there are, and the near ones."""
    known = ", ".join(all_providers())
    near = did_you_mean(name, all_providers())
    return f"no vendor is called {name!r}; there are {known}{near}"


def ordered(names: Sequence[str | Provider] | None = None) -> list[Provider]:
    """The vendors to try, in order: the named ones, or all; UnknownNameError for a wrong name."""
    return [get_provider(name) for name in names] if names else list(all_providers().values())
