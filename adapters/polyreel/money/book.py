"""A price book: the user's own prices, before the published ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from ..errors import RequestError
from .amounts import CENTS, UNKNOWN, Cost, sensible_number
from .published import published_cost

if TYPE_CHECKING:
    from ..places import JsonObject
    from ..providers.base.provider import Provider
    from ..providers.base.routes import Route


@frozen
class Rate:
    """One line of a user's price file: dollars for each second, or each file, of what it is about."""

    vendor: str
    usd_per_second: Decimal | None = None
    usd_per_file: Decimal | None = None
    model: str | None = None
    workflow: str | None = None
    when: Mapping[str, Any] = {}
    """Shared fields and the values that they must have."""
    minimum_seconds: int = 0
    as_of: str | None = None


@frozen
class PriceBook:
    """The user's own prices, which come first, and the date whose published prices are meant (none: the newest)."""

    rates: tuple[Rate, ...] = ()
    as_of: str | None = None

    def cost(
        self, provider: Provider, route: Route | None, request: JsonObject, body: JsonObject
    ) -> Cost:
        """What a planned body costs."""
        if route is None:
            return UNKNOWN
        for rate in self.rates:
            if (own := _own(rate, provider, route, request, body)) is not None:
                return own
        rule = provider.contract.schema(route.schema).get("x-polyreel-price")
        return (
            published_cost(provider.contract, route.schema, rule, body, self.as_of)
            if rule
            else UNKNOWN
        )


# -- the user's own prices ---------------------------------------------------------------------------


def _own(
    rate: Rate, provider: Provider, route: Route, request: JsonObject, body: JsonObject
) -> Cost | None:
    """What a rate makes of a request; None where it is about something else."""
    if (
        rate.vendor != provider.id
        or rate.model not in {None, route.model}
        or rate.workflow not in {None, route.workflow}
    ):
        return None
    said = {**provider.defaults(route), **request}
    if any(said.get(name) != value for name, value in rate.when.items()):
        return None
    usd = _usd(rate, said)
    return (
        None if usd is None else Cost("exact", usd=usd, as_of=rate.as_of, source="your price file")
    )


def _usd(rate: Rate, said: Mapping[str, Any]) -> Decimal | None:
    if rate.usd_per_file is not None:
        return (rate.usd_per_file * Decimal(said.get("count", 1))).quantize(CENTS, ROUND_HALF_UP)
    seconds = sensible_number(said.get("duration"))
    if seconds is None or rate.usd_per_second is None:
        return None
    return (rate.usd_per_second * max(seconds, Decimal(rate.minimum_seconds))).quantize(
        CENTS, ROUND_HALF_UP
    )


def read_prices(data: Any, where: str, vendors: Iterable[str]) -> PriceBook:
    """A price book from the data of a price file: `{"price": [{"vendor": ..., "usd_per_second": ...}]}`."""
    rows = data.get("price") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not rows:
        raise RequestError([f"{where}: no [[price]] entries"])
    known = set(vendors)
    problems = [
        f"{where}: price {number}: {text}"
        for number, row in enumerate(rows, 1)
        for text in _wrong(row, known)
    ]
    if problems:
        raise RequestError(problems)
    return PriceBook(tuple(_rate(row) for row in rows))


NUMBERS: Final = ("usd_per_second", "usd_per_file")


TEXTS: Final = ("vendor", "model", "workflow", "as_of")


def _wrong(row: Any, vendors: set[str]) -> Iterable[str]:
    if not isinstance(row, dict):
        yield "not a table"
        return
    allowed = {*NUMBERS, *TEXTS, "when", "minimum_seconds"}
    yield from (
        f"unknown field {name!r}; there are {', '.join(sorted(allowed))}"
        for name in row
        if name not in allowed
    )
    if row.get("vendor") not in vendors:
        yield f"vendor: one of {', '.join(sorted(vendors))}, not {row.get('vendor')!r}"
    if sum(name in row for name in NUMBERS) != 1:
        yield f"exactly one of {' and '.join(NUMBERS)}"
    for name in NUMBERS:
        if name in row and sensible_number(str(row[name])) is None:
            yield f"{name}: not a price: {str(row[name])[:40]!r}"
    seconds = row.get("minimum_seconds", 0)
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
        yield "minimum_seconds: whole seconds"
    if not isinstance(row.get("when", {}), dict):
        yield "when: a table of shared fields"
    yield from (f"{name}: a text" for name in TEXTS if not isinstance(row.get(name, ""), str))


def _rate(row: JsonObject) -> Rate:
    second, file = (Decimal(str(row[name])) if name in row else None for name in NUMBERS)
    about = {name: row.get(name) for name in ("model", "workflow", "as_of")}
    when, least = row.get("when", {}), row.get("minimum_seconds", 0)
    return Rate(row["vendor"], second, file, when=when, minimum_seconds=least, **about)
