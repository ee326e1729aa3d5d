"""Who makes the jobs of a gateway, or of one of its clients, as options say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer
from attrs import Factory, frozen

from ..errors import did_you_mean
from ..jobs.routing import Preference
from ..ledger.gateway_tokens import ModelRouting
from ..providers.base.registry import all_providers, get_provider
from .options import known_vendors

if TYPE_CHECKING:
    from ..providers.base.provider import Provider

To = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[MODEL=]VENDOR",
        help="Vendor that makes the jobs, or those of one model family; of several, the next is "
        "asked where the one before is proved unpaid.",
        autocompletion=known_vendors,
        show_default=False,
    ),
]
Prefer = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[MODEL=]order|cheapest",
        help="Which of the vendors is asked first: in their order, unless it says cheapest. "
        "Without --to, cheapest is of all.",
        show_default=False,
    ),
]


@frozen
class RoutingOptions:
    """What --to and --prefer say."""

    vendors: tuple[str, ...] = ()
    prefer: Preference | None = None
    by_model: Mapping[str, ModelRouting] = Factory(dict)

    @property
    def others(self) -> tuple[str, ...]:
        """The vendors that are named for single model families only."""
        named = (vendor for one in self.by_model.values() for vendor in one.vendors)
        return tuple(one for one in dict.fromkeys(named) if one not in self.vendors)

    def of_all(self) -> RoutingOptions:
        """The same for a gateway: with all vendors where the cheapest is wanted, and none is named.

        A usage error where no vendor would make any job.
        """
        if self.vendors or self.by_model:
            return self
        if self.prefer != "cheapest":
            text = "name a vendor that makes the jobs, or write --prefer cheapest"
            raise typer.BadParameter(text, param_hint="--to")
        return RoutingOptions(tuple(all_providers()), self.prefer)


def read_routing(to: Sequence[str], prefer: Sequence[str]) -> RoutingOptions:
    """Read --to and --prefer; a usage error says what is wrong with them."""
    vendors: dict[str | None, dict[str, None]] = {}
    for text in to:
        model, name = _parts(text)
        provider = get_provider(name)
        if model is not None:
            _check_sold(model, provider)
        vendors.setdefault(model, {})[provider.id] = None
    prefers: dict[str | None, Preference] = {}
    for text in prefer:
        model, name = _parts(text)
        known = get_args(Preference)
        if name not in known:
            problem = f"{name[:40]!r} is neither {' nor '.join(known)}{did_you_mean(name, known)}"
            raise typer.BadParameter(problem, param_hint="--prefer")
        if model is not None:
            check_model(model, "--prefer")
        prefers[model] = cast("Preference", name)
    families = [one for one in dict.fromkeys([*vendors, *prefers]) if one is not None]
    by_model = {
        one: ModelRouting(tuple(vendors.get(one, ())), prefers.get(one)) for one in families
    }
    return RoutingOptions(tuple(vendors.get(None, ())), prefers.get(None), by_model)


def _parts(text: str) -> tuple[str | None, str]:
    model, equals, name = text.rpartition("=")
    return (model.strip() if equals else None), name.strip()


def check_model(model: str, option: str, sellers: Iterable[Provider] | None = None) -> None:
    """Raise a usage error where nobody sells a model family."""
    providers = all_providers().values() if sellers is None else sellers
    known = sorted({route.model for one in providers for route in one.routes})
    if model not in known:
        text = f"no vendor sells {model[:60]!r}{did_you_mean(model, known)}"
        raise typer.BadParameter(text, param_hint=option)


def _check_sold(model: str, provider: Provider) -> None:
    check_model(model, "--to")
    if model not in {route.model for route in provider.routes}:
        raise typer.BadParameter(f"{provider.id} does not sell {model}", param_hint="--to")
