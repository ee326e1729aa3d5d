"""One column for each vendor: what it would be sent, what becomes of each field, and the price."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from attrs import frozen

from ..mapping.reports import Allowance, Fate
from ..places import Json, pointer_text
from ..plans.comparison import LOSSES
from ..plans.planning import Plan, plan_checked
from ..plans.verdicts import Verdict, Violation
from ..providers.base.contract import Contract
from ..providers.base.registry import get_provider
from .uploads import UploadFolder

if TYPE_CHECKING:
    from ..client import AsyncClient
    from ..plans.translation import Translation
    from .forms import StudioForm

LONGEST_TEXT: Final = 400
"""Characters of a text in a body that are shown; the plan has them all."""
PENNY_HUNDREDTH: Final = Decimal("0.0001")


class JsonLine(NamedTuple):
    """One line of a body as it is shown."""

    depth: int
    text: str
    place: str = ""
    """The JSON Pointer of the value in it."""
    field: str = ""
    """The shared field that the value comes from."""
    fate: str = ""


@frozen
class Mend:
    """What can be allowed so that a refusal goes away."""

    field: str
    what: Allowance
    text: str
    """What it does, such as `leave seed out`."""


@frozen
class VendorColumn:
    """What one vendor would make of the request."""

    plan: Plan
    mends: tuple[Mend, ...]
    uploads: UploadFolder | None = None

    @property
    def vendor(self) -> str:
        """The vendor's id."""
        return self.plan.vendor

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What became of each leaf."""
        return self.plan.verdicts

    @property
    def fates(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Of each verdict: the field, the place, the fate, what it is said of, and the reason."""
        for one in self.verdicts:
            source = one.source or f"(unset) {one.field}"
            yield one.field, one.target, one.verdict.value, source, one.reason

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Why it is refused."""
        return self.plan.violations

    @property
    def state(self) -> str:
        """How it would go: see `state_of`."""
        return state_of(self.plan)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How many leaves have each verdict, the better ones first."""
        found = {fate.value: 0 for fate in Fate}
        for verdict in self.verdicts:
            found[verdict.verdict.value] += 1
        return {name: count for name, count in found.items() if count}

    @property
    def price(self) -> str:
        """What the job would cost, in words."""
        return str(self.plan.cost)

    @property
    def brief_price(self) -> str:
        """What the job would cost, in few words."""
        cost = self.plan.cost
        if cost.usd is not None and cost.confidence != "unknown":
            return f"{'' if cost.confidence == 'exact' else 'at most '}${cost.usd:.4f}"
        if cost.credits is not None and cost.confidence != "unknown":
            return f"{cost.credits.normalize():f} credits"
        return "unknown"

    @property
    def per_second(self) -> str | None:
        """What a second of the clip would cost; None where the price or the length is unknown."""
        usd, seconds = self.plan.cost.usd, self.plan.request.get("duration")
        if usd is None or type(seconds) is not int:
            return None
        each = (usd / seconds).quantize(PENNY_HUNDREDTH)
        return f"${each:f} a second"

    @cached_property
    def inferred(self) -> frozenset[str]:
        """The places in the body of which the vendor's spec says that they are only inferred."""
        route, contract = self.plan.route, self.plan.provider.contract
        if route is None:
            return frozenset()
        return frozenset(
            place
            for place in (one.target for one in self.verdicts if one.target)
            if _is_inferred(contract, route.schema, place)
        )

    @cached_property
    def lines(self) -> tuple[JsonLine, ...]:
        """The body, line by line."""
        if self.plan.parts:
            return tuple(self._parts())
        by_target: dict[str, Verdict] = {}
        for one in self.verdicts:
            if one.target:
                by_target.setdefault(one.target, one)
        return tuple(self._json(self.plan.body, 0, "", "", by_target, ""))

    def _parts(self) -> Iterator[JsonLine]:
        """The fields of a form."""
        for part in self.plan.parts:
            shown = part.text if part.text is not None else f"({part.content_type} file)"
            yield JsonLine(0, f"{part.name}: {_short(shown)}", f"/{part.name}")

    def _json(
        self,
        value: Json,
        depth: int,
        before: str,
        place: str,
        verdicts: Mapping[str, Verdict],
        after: str,
        above: Verdict | None = None,
    ) -> Iterator[JsonLine]:
        """The lines of a value; `before` and `after` stand around it."""
        own = verdicts.get(place, above)
        about = (place, own.field if own else "", own.verdict.value if own else "")
        items: Sequence[tuple[str, str, Json]]
        if isinstance(value, dict) and value:
            brackets = "{}"
            items = [(f"{json.dumps(k)}: ", place + pointer_text([k]), v) for k, v in value.items()]
        elif isinstance(value, list) and value:
            brackets = "[]"
            items = [("", f"{place}/{index}", one) for index, one in enumerate(value)]
        else:
            text = shown_text(value, self.uploads) if isinstance(value, str) else json.dumps(value)
            yield JsonLine(depth, before + text + after, *about)
            return
        yield JsonLine(depth, before + brackets[0], *about)
        for number, (name, at, one) in enumerate(items, 1):
            comma = "" if number == len(items) else ","
            yield from self._json(one, depth + 1, name, at, verdicts, comma, own)
        yield JsonLine(depth, brackets[1] + after, *about)


def shown_text(text: str, uploads: UploadFolder | None) -> str:
    """A text as the JSON of a body shows it; the path of a dropped file is shown by its name."""
    named = (uploads.name(text) or text) if uploads is not None else text
    return json.dumps(_short(named), ensure_ascii=False)


def columns(
    form: StudioForm, client: AsyncClient, uploads: UploadFolder | None = None
) -> tuple[VendorColumn, ...]:
    """A column for each of the form's vendors; none where the request makes no sense yet."""
    if form.checked is None:
        return ()
    plans = plans_of(form, client, form.vendors)
    return tuple(VendorColumn(plan, tuple(_mends(plan, form)), uploads) for plan in plans)


def plans_of(form: StudioForm, client: AsyncClient, vendors: Sequence[str]) -> list[Plan]:
    """The plans of some vendors for a form whose request makes sense."""
    assert form.checked is not None
    providers = [get_provider(one) for one in vendors]
    return client.plans(form.checked, providers, allow=form.allow) if providers else []


def state_of(made: Plan | Translation) -> str:
    """`refused`, `changed` where something is lost, or `ready`."""
    if made.refused:
        return "refused"
    return "changed" if any(one.verdict in LOSSES for one in made.verdicts) else "ready"


@lru_cache(maxsize=4096)
def _is_inferred(contract: Contract, schema: str, pointer: str) -> bool:
    names = [part for part in pointer.split("/")[1:] if not part.isdecimal()]
    around = (".".join(names[: count + 1]) for count in range(len(names)))
    nodes = (contract.property(schema, place) for place in around)
    return any((node or {}).get("x-polyreel-mark") == "inferred" for node in nodes)


MEND_TEXTS: Final[Mapping[Allowance, str]] = {
    "nearest": "take the nearest",
    "drop": "leave {} out",
    "send": "send {} all the same",
}


def _mends(plan: Plan, form: StudioForm) -> Iterator[Mend]:
    """What would help a plan, where it is refused."""
    if not plan.problems:
        return iter(())
    assert form.checked is not None
    # Of the model that the plan has: without one, a vendor would try all of its models again.
    asked = form.checked.of_model(plan.model) if plan.route is not None else form.checked

    def refused(allow: Mapping[str, Allowance]) -> Iterator[str]:
        again = plan_checked(asked, plan.provider, allow=allow)
        return (problem.field for problem in again.problems)

    return mends((problem.field for problem in plan.problems), form.allow, refused)


def mends(
    fields: Iterable[str],
    allow: Mapping[str, Allowance],
    refused: Callable[[Mapping[str, Allowance]], Iterable[str]],
) -> Iterator[Mend]:
    """What would help each field that is refused, where allowing it alone is enough for it.

    `refused` names the fields that are refused where something else is allowed.
    """
    for name in dict.fromkeys(fields):
        for what, text in MEND_TEXTS.items():
            if allow.get(name) != what and name not in {*refused({**allow, name: what})}:
                yield Mend(name, what, text.format(name))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text)} characters)"
