"""The HTML of columns, remembered for requests that differ in their texts alone.

While a prompt is typed, nothing of a column changes but that text in the body. So what the
template makes of a column is kept in pieces, and the texts are escaped and put between them.
Whether requests differ in nothing else is known from their plans: those of one shape (see
`plans.shapes`) share their entries. All other columns are made by the template each time.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import evolve, frozen

from ..mapping.reports import MappingEntry
from ..plans.planning import Plan
from ..plans.shapes import FREE, AnyValue, LookedAtError
from .columns import VendorColumn, shown_text
from .notes import new_run_id
from .pages import rendered

if TYPE_CHECKING:
    from .forms import StudioForm
    from .studio import Studio
    from .uploads import UploadFolder

TEXTS: Final = tuple(name for name, of in FREE.items() if of is str)
"""The fields that may differ in requests whose columns have the same pieces."""
VALUES: Final = tuple(name for name, of in FREE.items() if of is not str)
"""Further fields that may differ in requests of a shape: a column with others has other pieces."""
RUN: Final = "run"
"""What stands for the id of a run, which is another one in each answer."""
QUOTE: Final = "&#34;"
MOST: Final = 500
"""How many columns, and how many frames around them, are remembered."""

Key = tuple[object, ...]
Kept = TypeVar("Kept")
Texts = Mapping[str, str]
"""HTML by the names of the places where it stands."""


@frozen
class Pieces:
    """HTML with places."""

    parts: Sequence[str]
    """HTML, the name of a place, HTML, and so on."""

    @classmethod
    def of(cls, text: str, marks: Texts) -> Pieces:
        """A text in which each place has its mark: nothing that can stand there otherwise."""
        names = {mark: name for name, mark in marks.items()}
        return cls([names.get(one, one) for one in re.split(f"({'|'.join(names)})", text)])

    def filled(self, texts: Texts) -> str:
        """The HTML with these texts in its places, and new ids of runs."""
        found = [*self.parts]
        found[1::2] = [texts[name] if name in texts else new_run_id() for name in found[1::2]]
        return "".join(found)


def new_mark() -> str:
    """What marks a place. Nobody can guess it."""
    return secrets.token_hex(12)


@frozen
class ColumnText:
    """The HTML of a column, and what stands of it elsewhere."""

    vendor: str
    price: str
    """What the job would cost, in few words."""
    is_ready: bool
    """Whether the vendor would take the request."""
    text: str


@frozen(eq=False)
class KnownColumn:
    """A column that is remembered."""

    entries: tuple[MappingEntry, ...]
    """Those of the plan. While they are kept here, no others have their identity."""
    pieces: Pieces | None
    """None where more than its texts may be another one."""
    price: str


class ColumnTexts:
    """Makes the HTML of columns. Threads may share one: at worst, two of them make the same."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._known: dict[Key, KnownColumn] = {}
        self._last: dict[Key, tuple[MappingEntry, ...]] = {}

    def of(
        self, form: StudioForm, columns: Sequence[VendorColumn], base: str
    ) -> tuple[list[ColumnText], bool]:
        """The HTML of the columns of a form, and whether all of them were remembered."""
        fields = form.checked.fields if form.checked is not None else {}
        uploads = self._studio.uploads
        texts = {name: escaped(fields[name], uploads) for name in TEXTS if name in fields}
        values = tuple((name, str(fields[name])) for name in VALUES if name in fields)
        found, all_known = [], True
        for column in columns:
            known = self._known_column(form, column, base, values)
            if known is None or known.pieces is None:
                all_known = False
                price, text = column.brief_price, self._rendered(column, base)
            else:
                price, text = known.price, known.pieces.filled(texts)
            found.append(ColumnText(column.vendor, price, not column.plan.problems, text))
        return found, all_known

    def _rendered(
        self, column: VendorColumn, base: str, run_id: Callable[[], str] = new_run_id
    ) -> str:
        """A column as the template makes it. What is refused may name a file by its path."""
        text = rendered(
            "column.html",
            base=base,
            column=column,
            live_vendors=self._studio.live_vendors,
            new_run_id=run_id,
        )
        return self._studio.uploads.told(text, html)

    def _known_column(
        self, form: StudioForm, column: VendorColumn, base: str, values: object
    ) -> KnownColumn | None:
        """A column that is remembered, or can be."""
        plan = column.plan
        if plan.problems or plan.uploads or plan.parts or not plan.entries:
            return None
        key = (id(plan.entries), base, values)
        if key in self._known:
            return self._known[key]
        # The second plan with the same entries is one of a known shape.
        place = (plan.vendor, base)
        if self._last.get(place) is not plan.entries:
            self._last[place] = plan.entries
            return None
        made = KnownColumn(plan.entries, self._made(form, column, base), column.brief_price)
        keep(self._known, key, made)
        return made

    def _made(self, form: StudioForm, column: VendorColumn, base: str) -> Pieces | None:
        """The pieces of a column, tried with its own texts; None where it cannot be in pieces."""
        plan, uploads = column.plan, self._studio.uploads
        marks = {name: new_mark() for name in TEXTS if name in plan.request}
        asked = evolve(plan.checked, fields={**plan.request, **marks})
        marked = self._studio.client.plan(asked, plan.provider, allow=form.allow)
        if marked.entries is not plan.entries or looks_at_texts(marked, marks):
            return None
        run = new_mark()
        text = self._rendered(evolve(column, plan=marked), base, lambda: run)
        found = Pieces.of(text, {**marks, RUN: run})
        places = zip(found.parts[::2], found.parts[1::2], found.parts[2::2], strict=False)
        for before, name, after in places:
            if name != RUN and not (before.endswith(QUOTE) and after.startswith(QUOTE)):
                return None
        own = {name: escaped(plan.request[name], uploads) for name in marks}
        again = self._rendered(column, base, lambda: run)
        return found if found.filled({**own, RUN: run}) == again else None


def keep(known: dict[Key, Kept], key: Key, value: Kept) -> None:
    """Remember something. The oldest is forgotten where there is too much."""
    while len(known) >= MOST:
        known.pop(next(iter(known)), None)
    known[key] = value


def looks_at_texts(plan: Plan, marks: Mapping[str, str]) -> bool:
    """Whether the price of a plan may be another one for another text in the place of a mark."""
    absent: list[tuple[str, str]] = []
    any_text = {mark: AnyValue(str, absent, name) for name, mark in marks.items()}

    def without(value: object) -> object:
        if isinstance(value, dict):
            return {name: without(one) for name, one in value.items()}
        if isinstance(value, list):
            return [without(one) for one in value]
        return any_text.get(value, value) if isinstance(value, str) else value

    request, body = (
        {name: without(one) for name, one in values.items()} for values in (plan.request, plan.body)
    )
    try:
        plan.prices.cost(plan.provider, plan.route, request, body)
    except (Exception, LookedAtError):
        return True
    return bool(absent)


def html(text: str) -> str:
    """A text as the templates write it."""
    from markupsafe import escape  # noqa: PLC0415

    return str(escape(text))


def escaped(text: str, uploads: UploadFolder) -> str:
    """A text as it stands in the HTML of a body, between its quotes."""
    return html(shown_text(text, uploads)[1:-1])
