"""A price book: the user's own prices, and after them the published ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from attrs import frozen

from .amounts import DOLLAR_STEP, UNKNOWN, Cost, sensible_number
from .published import published_cost

if TYPE_CHECKING:
    from ..places import JsonObject
    from ..providers.base.provider import Provider
    from ..providers.base.routes import Route


@frozen
class Rate:
    """One price of the user's: dollars for each second, or for each file."""

    vendor: str
    usd_per_second: Decimal | None = None
    usd_per_file: Decimal | None = None
    model: str | None = None
    """The only model family that it is for."""
    workflow: str | None = None
    """The only workflow that it is for."""
    when: Mapping[str, Any] = {}
    """The values that shared fields must have."""
    minimum_seconds: int = 0
    """The fewest seconds that are billed."""
    as_of: str | None = None
    """The date of the price, such as 2026-10-10."""

    def cost(self, provider: Provider, route: Route, request: JsonObject) -> Cost | None:
        """What a request costs; None where this price is not for it, or says nothing about it."""
        limits = ((self.model, route.model), (self.workflow, route.workflow))
        is_other = any(wanted is not None and wanted != found for wanted, found in limits)
        if is_other or self.vendor != provider.id:
            return None
        full = {**provider.defaults(route), **request}
        if any(full.get(name) != value for name, value in self.when.items()):
            return None
        usd = self._usd(full)
        if usd is None:
            return None
        rounded = usd.quantize(DOLLAR_STEP, ROUND_HALF_UP)
        return Cost("exact", usd=rounded, as_of=self.as_of, source="your price file")

    def _usd(self, request: Mapping[str, Any]) -> Decimal | None:
        if self.usd_per_file is not None:
            return self.usd_per_file * Decimal(request.get("count", 1))
        seconds = sensible_number(request.get("duration"))
        if seconds is None or self.usd_per_second is None:
            return None
        each = self.usd_per_second * max(seconds, Decimal(self.minimum_seconds))
        return each * Decimal(request.get("count", 1))


@frozen
class PriceBook:
    """The prices by which plans are priced."""

    rates: tuple[Rate, ...] = ()
    """The user's own prices. They come first, and the first that fits counts."""
    as_of: str | None = None
    """The date whose published prices are used, such as 2026-03-01; None for the newest."""

    def cost(
        self, provider: Provider, route: Route | None, request: JsonObject, body: JsonObject
    ) -> Cost:
        """What a planned body costs."""
        if route is None:
            return UNKNOWN
        for rate in self.rates:
            if (own := rate.cost(provider, route, request)) is not None:
                return own
        contract = provider.contract
        rule = contract.schema(route.schema).get("x-polyreel-price")
        return published_cost(contract, route.schema, rule, body, self.as_of) if rule else UNKNOWN


def read_prices(data: object, where: str, vendors: Iterable[str]) -> PriceBook:
    """A price book from the data of a price file: `{"price": [{"vendor": ..., ...}]}`.

    `where` names the file in messages, and `vendors` are the ids that a price can have. Raises
    RequestError with every problem in the file.
    """
    from .pricefile import read_entries  # noqa: PLC0415 - pydantic is needed for files only

    return PriceBook(
        tuple(
            Rate(
                vendor=entry.vendor,
                usd_per_second=entry.usd_per_second,
                usd_per_file=entry.usd_per_file,
                model=entry.model,
                workflow=entry.workflow,
                when=entry.when,
                minimum_seconds=entry.minimum_seconds,
                as_of=entry.as_of,
            )
            for entry in read_entries(data, where, vendors)
        )
    )
