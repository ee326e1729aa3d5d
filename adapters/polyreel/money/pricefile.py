"""Reads a user's price file. It needs pydantic, so it is imported only when there is a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..errors import RequestError, did_you_mean
from ..mapping.workflows import REQUESTS
from ..places import JsonObject
from ..providers.base.contract import Contract
from .amounts import sensible_number


def _price(value: object) -> Decimal:
    """A number or a text as the decimal that stands in the file."""
    number = sensible_number(str(value))
    if number is None:
        raise ValueError("not a price")
    return number


Price = Annotated[Decimal | None, BeforeValidator(_price)]


class PriceEntry(BaseModel):
    """One `[[price]]` of a price file; `polyreel.money.book.Rate` says what each field means."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    vendor: str
    usd_per_second: Price = None
    usd_per_file: Price = None
    model: str | None = None
    workflow: str | None = None
    when: dict[str, Any] = {}
    minimum_seconds: int = Field(default=0, ge=0)
    as_of: str | None = None


PRICES: Final = ("usd_per_second", "usd_per_file")
KINDS: Final[dict[str, type | UnionType]] = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "array": list,
    "object": dict,
}
EXPECTED: Final = {
    **dict.fromkeys(("vendor", "model", "workflow", "as_of"), "a text"),
    "minimum_seconds": "whole seconds",
    "when": "a table of shared fields",
}
"""What each field can hold, in the words of error messages."""


def read_entries(data: object, where: str, vendors: Iterable[str]) -> list[PriceEntry]:
    """The entries of a price file; RequestError with every problem in them.

    `where` names the file in messages, and `vendors` are the ids that an entry can have.
    """
    rows = data.get("price") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not rows:
        raise RequestError([f"{where}: no [[price]] entries"])
    known = set(vendors)
    entries: list[PriceEntry] = []
    problems: list[str] = []
    for number, row in enumerate(rows, 1):
        found = _entry(row, known)
        if isinstance(found, PriceEntry):
            entries.append(found)
        else:
            problems += [f"{where}: price {number}: {problem}" for problem in found]
    if problems:
        raise RequestError(problems)
    return entries


def _entry(row: object, vendors: set[str]) -> PriceEntry | list[str]:
    """One entry, or what is wrong with it."""
    if not isinstance(row, dict):
        return ["not a table"]
    problems = list(_conditions(row.get("when")))
    vendor = row.get("vendor")
    if not isinstance(vendor, str) or vendor not in vendors:
        near = did_you_mean(vendor, vendors)
        problems.append(f"vendor: one of {', '.join(sorted(vendors))}, not {vendor!r}{near}")
    if sum(name in row for name in PRICES) != 1:
        problems.append(f"exactly one of {' and '.join(PRICES)}")
    try:
        entry = PriceEntry.model_validate(row)
    except ValidationError as error:
        wrong = dict.fromkeys(str(found["loc"][0]) for found in error.errors())
        if "vendor" not in row:
            del wrong["vendor"]  # it is in the list already
        return problems + [_problem(name, row.get(name)) for name in wrong]
    return problems or entry


def _conditions(when: object) -> Iterator[str]:
    """Why a condition could never be met; otherwise its price would silently not count."""
    if not isinstance(when, dict):
        return  # it is missing, or the check of the entry says so
    contract = Contract.load("polyreel")
    requests = [contract.schema(name)["properties"] for name in REQUESTS.values()]
    for name, value in when.items():
        fields = [contract.resolve(known[name]) for known in requests if name in known]
        if not fields:
            near = did_you_mean(name, [one for known in requests for one in known])
            yield f"when: unknown field {str(name)[:40]!r}{near}"
        elif not any(_fits(value, form) for field in fields for form in _forms(contract, field)):
            yield f"when: no request has the {name} {str(value)[:40]!r}"


def _forms(contract: Contract, field: JsonObject) -> Iterator[JsonObject]:
    """The forms that a field can have: a length is a number or a word."""
    yield from map(contract.resolve, field.get("anyOf", (field,)))


def _fits(value: object, schema: JsonObject) -> bool:
    """Whether a field can have a value, by its type and its names of values."""
    if "anyOf" in schema:
        contract = Contract.load("polyreel")
        return any(_fits(value, contract.resolve(one)) for one in schema["anyOf"])
    kind = KINDS[schema["type"]]
    is_kind = isinstance(value, kind) and isinstance(value, bool) is (kind is bool)
    return is_kind and value in schema.get("enum", [value])


def _problem(name: str, value: object) -> str:
    """What is wrong with one field, in our words."""
    if name not in PriceEntry.model_fields:
        known = ", ".join(sorted(PriceEntry.model_fields))
        near = did_you_mean(name, PriceEntry.model_fields)
        return f"unknown field {name!r}; there are {known}{near}"
    if name in PRICES:
        return f"{name}: not a price: {str(value)[:40]!r}"
    return f"{name}: {EXPECTED[name]}"
