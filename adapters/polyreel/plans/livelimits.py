"""Plans beside what a vendor said of its models when it was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from attrs import evolve

from ..mapping.codecs import word
from ..mapping.items import TypedItems
from ..mapping.reports import Problem
from ..mapping.rows import Field, Row
from ..places import Json, get, pointer_text
from ..providers.base.limits import BrokenLimit, KeptLimits, broken_limits
from ..providers.base.provider import Provider
from .planning import Plan
from .wording import row_at


def within(made: Plan, limits: Mapping[str, KeptLimits]) -> Plan:
    """The plan itself; refused where the kept answer of its vendor says that its model lacks a
    value.

    Nothing is guessed of a model that is not listed, or of an answer from another address.
    """
    kept = limits.get(made.vendor)
    if kept is None or made.route is None or kept.base_url != made.base_url:
        return made
    found = list(broken_limits(made.provider.contract, kept, made.body))
    if not found:
        return made
    problems = (*made.problems, *(_problem(made, kept, one) for one in found))
    return evolve(made, problems=problems, uploads=(), parts=())


def chosen_within(
    choose: Callable[[Sequence[Provider]], Plan],
    vendors: Sequence[Provider],
    limits: Mapping[str, KeptLimits],
) -> Plan:
    """The plan that `choose` finds among vendors, without those whose kept answers refuse it."""
    refused: Plan | None = None
    left = list(vendors)
    while True:
        plain = choose(left)
        made = within(plain, limits)
        if not made.refused or plain.refused:
            return made if refused is None or not made.refused else refused
        refused = refused or made
        left = [one for one in left if one is not made.provider]
        if not left:
            return refused


def _problem(made: Plan, kept: KeptLimits, broken: BrokenLimit) -> Problem:
    """What is wrong, in shared words, with the day of the answer."""
    assert made.route is not None
    row, name = row_at(made.route, broken.path)
    if isinstance(row, TypedItems):
        item = get(made.body, ".".join(map(str, broken.path[:2])))
        name = next((one.shared for one in row.items if one.matches(item, made.body)), name)
    given = row is not None and name in made.request
    at = f"/{name}" if given else f"/extra/{kept.vendor}{pointer_text(broken.path)}"
    native = ".".join(map(str, broken.path))
    what = name if isinstance(row, TypedItems) else _shared(row, broken.value)
    if not broken.allowed:
        what = f"any {name}" if given else f"any {native}"
    elif not given:
        what = f"{native} {what}"
    reason = (
        f"{broken.model} does not take {what}, as {kept.vendor} said on {kept.date} "
        f"({broken.member}; polyreel models --live asks it anew)"
    )
    limit = " or ".join(_shared(row, one) for one in broken.allowed)
    return Problem(name if given else "extra", at, reason, limit)


def _shared(row: Row | None, value: Json) -> str:
    """A native value in shared words, where there are some."""
    if isinstance(row, Field):
        with suppress(ValueError, TypeError, KeyError, AttributeError):
            return word(row.codec.decode(value, {}))
    return word(value)
