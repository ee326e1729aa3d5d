"""What a job will cost, as far as anybody has said: exact, bounded, or unknown. Never a guess, and never a float.

A vendor's prices stand in its spec (`x-polyreel-price` on a request schema, `x-polyreel-money` for what a credit
costs, with date and source). What a vendor does not publish is unknown, not free; a price file of the user's fills it.
What a vendor says that it charged is read from the job's `usage`, at the places its spec names (`x-polyreel-usage`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from attrs import frozen

from .errors import RequestError, UnknownNameError
from .mapping import get, is_missing
from .registry import get_provider

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from .codecs import Json
    from .contract import Contract
    from .provider import Provider, Route

CENTS: Final = Decimal("0.000001")
"""What dollars are rounded to: prices per second have four and more digits."""


LARGEST: Final = Decimal(10) ** 9
"""Larger numbers are no durations and no prices."""

AMOUNTS: Final = ("credits", "usd", "at_least_credits", "at_least_usd")


@frozen
class Cost:
    """What a job costs. `credits` and `usd` are the most it can cost; `at_least_*` the least, where that differs."""

    confidence: Literal["exact", "bounded", "unknown"]
    credits: Decimal | None = None
    usd: Decimal | None = None
    at_least_credits: Decimal | None = None
    at_least_usd: Decimal | None = None
    as_of: str | None = None
    source: str | None = None

    def document(self) -> Json:
        """As JSON, with decimals as text."""
        facts: Json = {"confidence": self.confidence}
        for name in AMOUNTS:
            value = getattr(self, name)
            if value is not None or not name.startswith("at_least"):
                facts[name] = None if value is None else format(value, "f")
        # As text whatever a price book of somebody's holds: a job with another type could not be written down.
        return facts | {name: _text(getattr(self, name)) for name in ("as_of", "source")}

    @classmethod
    def read(cls, document: Mapping[str, str | None]) -> Self:
        """From such a document; what makes no sense in it is unknown."""
        amounts = {name: _number(document.get(name)) for name in AMOUNTS}
        texts = {name: document.get(name) for name in ("as_of", "source")}
        confidence = document.get("confidence")
        if confidence not in {"exact", "bounded"} or (amounts["credits"] is None and amounts["usd"] is None):
            confidence = "unknown"
        return cls(confidence, **amounts, **texts)  # type: ignore[arg-type]

    def __str__(self) -> str:
        if self.confidence == "unknown":
            least = f", at least ${self.at_least_usd:.4f}" if self.at_least_usd is not None else ""
            return f"unknown{least}"
        return f"{'' if self.confidence == 'exact' else 'at most '}{_amount(self.credits, self.usd, self.as_of)}"


UNKNOWN: Final = Cost("unknown")


@frozen
class Charge:
    """What a vendor says that it charged for a job."""

    credits: Decimal | None = None
    usd: Decimal | None = None
    as_of: str | None = None
    """The date of the price of a credit that made the dollars; None where the vendor said them, or nobody can."""

    def document(self) -> dict[str, str | None]:
        """As JSON, with decimals as text."""
        amounts = {"credits": self.credits, "usd": self.usd}
        told = {name: None if value is None else format(value, "f") for name, value in amounts.items()}
        return {**told, "as_of": self.as_of}

    def __str__(self) -> str:
        return _amount(self.credits, self.usd, self.as_of)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _amount(amount: Decimal | None, usd: Decimal | None, as_of: str | None) -> str:
    """An amount in words."""
    parts = [f"{amount.normalize():f} credits"] if amount is not None else []
    parts += [f"${usd:.4f}"] if usd is not None else []
    return " = ".join(parts) + (f" (prices of {as_of})" if as_of else "")


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

    def cost(self, provider: Provider, route: Route | None, request: Json, body: Json) -> Cost:
        """What a planned body costs."""
        if route is None:
            return UNKNOWN
        for rate in self.rates:
            if (own := _own(rate, provider, route, request, body)) is not None:
                return own
        rule = provider.contract.schema(route.schema).get("x-polyreel-price")
        return _published(provider.contract, route.schema, rule, body, self.as_of) if rule else UNKNOWN


# -- published prices --------------------------------------------------------------------------------


def _published(contract: Contract, schema: str, rule: Json, body: Json, as_of: str | None) -> Cost:
    least, most = _seconds(contract, schema, rule["seconds"], body)
    factor = _factor(contract, schema, rule.get("factor"), body)
    money = _money(contract.document.get("x-polyreel-money", ()), as_of)
    if least is None or factor is None or money is None:
        return UNKNOWN
    low = _credits(rule, least, factor)
    high = None if most is None else _credits(rule, most, factor)
    ratio = Decimal(money["credits_per_usd"])
    facts = {"as_of": money["as_of"], "source": rule["source"]}
    if high == low:
        return Cost("exact", low, _dollars(low, ratio), **facts)
    known = {"at_least_credits": low, "at_least_usd": _dollars(low, ratio), **facts}
    if high is None:
        return Cost("unknown", **known)
    return Cost("bounded", high, _dollars(high, ratio), **known)


def _credits(rule: Json, seconds: Decimal, factor: Decimal) -> Decimal:
    amount = seconds * factor * Decimal(rule["credits_per_second"])
    amount = max(amount, Decimal(rule.get("minimum_credits", "0")))
    return amount.quantize(Decimal(rule["round_to"]), ROUND_HALF_UP)


def _dollars(amount: Decimal, ratio: Decimal) -> Decimal:
    return (amount / ratio).quantize(CENTS, ROUND_HALF_UP)


def _money(dated: Iterable[Json], as_of: str | None) -> Json | None:
    """What a credit costs, newest first; on a date, what it cost then."""
    known = sorted(dated, key=lambda one: str(one["as_of"]), reverse=True)
    return next((one for one in known if as_of is None or str(one["as_of"]) <= as_of), None)


def _seconds(contract: Contract, schema: str, rule: Json, body: Json) -> tuple[Decimal | None, Decimal | None]:
    """The fewest and the most seconds that are billed."""
    if "of" in rule:
        asked = _number(_value(contract, schema, rule["of"], body))
        return asked, asked
    most = rule.get("at_most")
    if isinstance(most, dict):
        most = most["by"].get(_value(contract, schema, most["of"], body))
    return Decimal(rule["at_least"]), None if most is None else Decimal(most)


def _factor(contract: Contract, schema: str, rule: Json | None, body: Json) -> Decimal | None:
    if rule is None:
        return Decimal(1)
    key = " ".join(str(_value(contract, schema, place, body)) for place in rule["of"])
    return _number(rule["by"].get(key))


def _value(contract: Contract, schema: str, place: str, body: Json) -> Any:
    """What a body says, or what the vendor takes where it says nothing."""
    found = get(body, place)
    return (contract.property(schema, place) or {}).get("default") if is_missing(found) else found


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 <= number < LARGEST else None


# -- what was charged --------------------------------------------------------------------------------


def charged(job: Job) -> Charge | None:
    """What the vendor says that a job was charged; None where it does not say, or not yet for good.

    Credits become dollars only at a published price. Those of a simulated job have none: they are the simulator's.
    """
    try:
        document = get_provider(job.vendor).contract.document
    except UnknownNameError:
        return None  # a job of a vendor that was installed once
    rule = document.get("x-polyreel-usage")
    if rule is None or job.usage is None or job.status not in rule["settled"]:
        return None
    amount = _told(job.usage, rule.get("credits", ()))
    usd = None if job.simulated else _told(job.usage, rule.get("usd", ()))
    if usd is not None or amount is None:
        return None if usd is None else Charge(amount, usd)
    money = None if job.simulated else _money(document.get("x-polyreel-money", ()), _day(job.created_at))
    if money is None:
        return Charge(amount)
    return Charge(amount, _dollars(amount, Decimal(money["credits_per_usd"])), money["as_of"])


def with_charge(job: Job) -> Job:
    """The job with what its `usage` says that it was charged."""
    found = charged(job)
    charge = None if found is None else found.document()
    return job if job.charge == charge else job.model_copy(update={"charge": charge})


def _told(usage: Json, places: Iterable[str]) -> Decimal | None:
    """The first sensible number at one of these places."""
    return next((number for place in places if (number := _reported(get(usage, place))) is not None), None)


def _reported(value: Any) -> Decimal | None:
    """A number of a vendor's as it wrote it: not as the binary fraction that JSON makes of it. Texts are no numbers."""
    if isinstance(value, str):
        return None
    number = _number(repr(value) if isinstance(value, float) else value)
    return None if number is None else abs(number.quantize(CENTS, ROUND_HALF_UP).normalize())


def _day(seconds: float | None) -> str | None:
    """The date of a moment, None where nobody said when; of what is no moment, a date before all others."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return ""


# -- the user's own prices ---------------------------------------------------------------------------


def _own(rate: Rate, provider: Provider, route: Route, request: Json, body: Json) -> Cost | None:
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
    return None if usd is None else Cost("exact", usd=usd, as_of=rate.as_of, source="your price file")


def _usd(rate: Rate, said: Mapping[str, Any]) -> Decimal | None:
    if rate.usd_per_file is not None:
        return (rate.usd_per_file * Decimal(said.get("count", 1))).quantize(CENTS, ROUND_HALF_UP)
    seconds = _number(said.get("duration"))
    if seconds is None or rate.usd_per_second is None:
        return None
    return (rate.usd_per_second * max(seconds, Decimal(rate.minimum_seconds))).quantize(CENTS, ROUND_HALF_UP)


def read_prices(data: Any, where: str, vendors: Iterable[str]) -> PriceBook:
    """A price book from the data of a price file: `{"price": [{"vendor": ..., "usd_per_second": ...}]}`."""
    rows = data.get("price") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not rows:
        raise RequestError([f"{where}: no [[price]] entries"])
    known = set(vendors)
    problems = [f"{where}: price {number}: {text}" for number, row in enumerate(rows, 1) for text in _wrong(row, known)]
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
        f"unknown field {name!r}; there are {', '.join(sorted(allowed))}" for name in row if name not in allowed
    )
    if row.get("vendor") not in vendors:
        yield f"vendor: one of {', '.join(sorted(vendors))}, not {row.get('vendor')!r}"
    if sum(name in row for name in NUMBERS) != 1:
        yield f"exactly one of {' and '.join(NUMBERS)}"
    for name in NUMBERS:
        if name in row and _number(str(row[name])) is None:
            yield f"{name}: not a price: {str(row[name])[:40]!r}"
    seconds = row.get("minimum_seconds", 0)
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
        yield "minimum_seconds: whole seconds"
    if not isinstance(row.get("when", {}), dict):
        yield "when: a table of shared fields"
    yield from (f"{name}: a text" for name in TEXTS if not isinstance(row.get(name, ""), str))


def _rate(row: Json) -> Rate:
    second, file = (Decimal(str(row[name])) if name in row else None for name in NUMBERS)
    about = {name: row.get(name) for name in ("model", "workflow", "as_of")}
    when, least = row.get("when", {}), row.get("minimum_seconds", 0)
    return Rate(row["vendor"], second, file, when=when, minimum_seconds=least, **about)
