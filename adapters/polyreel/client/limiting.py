"""Limits as callers give them, checked before they are written down."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ..errors import RequestError
from ..money.amounts import LARGEST

if TYPE_CHECKING:
    from ..ledger.limits import LimitChanges

MOST: Final = 1e6


def checked_changes(changes: LimitChanges, vendor: str) -> LimitChanges:
    """The changes themselves; RequestError where they make no sense.

    `vendor` is whose limits are changed; empty for those of all together.
    """
    found = []
    cost, rate, places = (changes.get(name) for name in ("max_cost", "rate", "concurrency"))
    if cost is not None and vendor:
        found.append("max_cost: it is for all vendors together")
    elif cost is not None and not _is_amount(cost):
        found.append("max_cost: dollars, a whole number or a Decimal, not less than 0")
    if rate is not None and not 1 / MOST <= _number(rate) <= MOST:
        found.append("rate: how many a minute, from 0.000001 to a million")
    if places is not None and not (1 <= _number(places) <= MOST and isinstance(places, int)):
        found.append("concurrency: how many at a time, a whole number from 1 to a million")
    if unknown := set(changes) - {"max_cost", "rate", "concurrency"}:
        found.append(f"{', '.join(sorted(unknown))}: there is no such limit")
    if found:
        raise RequestError(found)
    return changes


def _is_amount(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return False
    return Decimal(value).is_finite() and 0 <= value < LARGEST


def _number(value: object) -> float:
    """A number as it is; one that fits nowhere for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return -1.0
    return value if math.isfinite(value) else -1.0
