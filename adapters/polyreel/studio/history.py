"""What was made before: the newest jobs, a search, two of them compared, and what they cost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import SequenceMatcher
from itertools import islice
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from attrs import define, field, frozen

from ..ledger.records import PROVED_UNPAID, LedgerEntry
from ..money.amounts import NOTHING, Cost
from ..money.charged import charged
from ..places import JsonObject
from .answers import told
from .cards import STATES, JobCard, native_of, pretty
from .notes import LABEL
from .pages import base, rendered
from .watching import card_of, find_card

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ..ledger.store import LedgerStore
    from .studio import Studio

PAGE: Final = 20
"""Jobs on a page."""
SEARCHED: Final = 5000
"""How many jobs, the newest, are searched and counted."""


@frozen
class HistoryPage:
    """Some jobs, the newest first."""

    cards: tuple[JobCard, ...]
    query: str
    number: int
    """From 1."""
    has_more: bool
    are_all: bool = True
    """Whether no older job was left out of the search."""

    def address(self, number: int) -> str:
        """The query of another page of the same search."""
        return urlencode({"q": self.query, "page": number} if self.query else {"page": number})


def history_page(studio: Studio, query: str, number: int) -> HistoryPage:
    """One page of the jobs that have all words of a query."""
    words, entries = query.casefold().split(), NewestJobs(studio.ledger)
    found = (one for one in entries if matches(one, words))
    start = (number - 1) * PAGE
    several = [*islice(found, start, start + PAGE + 1)]
    cards = tuple(card_of(studio, one) for one in several[:PAGE])
    return HistoryPage(cards, query, number, len(several) > PAGE, entries.are_all)


@define
class NewestJobs:
    """The newest jobs, up to as many as are searched."""

    ledger: LedgerStore
    are_all: bool = True
    """Whether no older one was left out. It is known once all of these were looked at."""

    def __iter__(self) -> Iterator[LedgerEntry]:
        for number, one in enumerate(self.ledger.each_entry(newest_first=True)):
            if number == SEARCHED:
                self.are_all = False
                return
            yield one


def matches(entry: LedgerEntry, words: Sequence[str]) -> bool:
    """Whether an entry has all words: in its prompt, names, labels or state."""
    if not words:
        return True
    own, job = entry.submission, entry.job
    texts = [
        entry.id,
        own.vendor,
        own.model or "",
        own.workflow,
        own.reference or "",
        "simulated" if own.simulated else "live",
        entry.state,
        STATES[entry.state],
        job.id if job else "",
        *(f"{name}={value}" for name, value in own.labels.items()),
        *_texts(own.body),
    ]
    text = "\n".join(texts).casefold()
    return all(word in text for word in words)


def _texts(value: object) -> Iterator[str]:
    """The texts in JSON, without the files in it."""
    if isinstance(value, str) and len(value) < 10_000:
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


# -- two jobs --------------------------------------------------------------------------------------


@frozen
class Line:
    """A line of a body, and whether the other body has it."""

    text: str
    is_same: bool


@frozen
class JobDifference:
    """Two jobs beside each other."""

    one: JobCard
    other: JobCard

    @property
    def bodies(self) -> tuple[Sequence[Line], Sequence[Line]]:
        """Both bodies, line by line."""
        texts = [pretty(native_of(card.own)).split("\n") for card in (self.one, self.other)]
        same = SequenceMatcher(None, texts[0], texts[1], autojunk=False).get_matching_blocks()
        left = {number for block in same for number in range(block.a, block.a + block.size)}
        right = {number for block in same for number in range(block.b, block.b + block.size)}
        first, second = (
            [Line(line, number in kept) for number, line in enumerate(text)]
            for text, kept in zip(texts, (left, right), strict=True)
        )
        return first, second

    @property
    def fields(self) -> Iterator[tuple[str, str, str]]:
        """The shared fields that differ: name, here and there."""
        here, there = self.one.request, self.other.request
        for name in dict.fromkeys([*here, *there]):
            if here.get(name) != there.get(name):
                yield name, _said(here, name), _said(there, name)


def _said(request: JsonObject, name: str) -> str:
    return pretty(request[name]) if name in request else "unset"


# -- money -----------------------------------------------------------------------------------------


@define
class LabelMoney:
    """What jobs with one value of a label were to cost, and did."""

    value: str
    simulated: bool
    jobs: int = 0
    estimate: Decimal = NOTHING
    charge: Decimal = NOTHING
    unknown: int = 0
    """Jobs of unknown price."""
    uncharged: int = 0
    """Jobs whose charge nobody knows in dollars."""

    def add(self, entry: LedgerEntry) -> None:
        """Count a job."""
        self.jobs += 1
        if entry.state in PROVED_UNPAID:
            return
        cost = Cost.read(entry.submission.estimate or {})
        self.estimate += cost.usd or NOTHING
        self.unknown += cost.usd is None
        if self.simulated:
            return
        charge = None if entry.job is None else charged(entry.job)
        self.charge += (charge and charge.usd) or NOTHING
        self.uncharged += charge is None or charge.usd is None


@define
class MoneyByLabel:
    """What jobs cost, by the values of one label."""

    names: Mapping[str, int]
    """The labels that there are, and how many jobs have each."""
    name: str
    rows: Sequence[LabelMoney] = field(factory=tuple)


def money_by_label(entries: Iterable[LedgerEntry], asked: str | None) -> MoneyByLabel:
    """What entries cost by a label; without one, by the commonest that is not the studio's own."""
    found = [*entries]
    names = Counter(name for one in found for name in one.submission.labels)
    likely = [name for name, _ in names.most_common() if name != LABEL]
    name = asked or next(iter(likely), LABEL)
    rows: dict[tuple[str, bool], LabelMoney] = {}
    for one in found:
        value, simulated = one.submission.labels.get(name, ""), one.submission.simulated
        rows.setdefault((value, simulated), LabelMoney(value, simulated)).add(one)
    return MoneyByLabel(names, name, [*rows.values()])


# -- pages -----------------------------------------------------------------------------------------


def routes(studio: Studio) -> Sequence[BaseRoute]:
    """The pages about jobs of before."""
    from starlette.responses import HTMLResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    def answer(request: Request, template: str, *, status: int = 200, **values: object) -> Response:
        text = rendered(template, base=base(request), page="history", **values)
        return HTMLResponse(text, status)

    async def history(request: Request, problem: str = "") -> Response:
        """The newest jobs, or those that a search finds."""
        query, text = request.query_params.get("q", "")[:200], request.query_params.get("page", "1")
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 1
        found = await asyncio.to_thread(history_page, studio, query.strip(), max(number, 1))
        asked = request.query_params
        chosen = {name: asked[name] for name in ("one", "other") if name in asked}
        return answer(
            request,
            "history.html",
            status=422 if problem else 200,
            found=found,
            searched=SEARCHED,
            chosen=chosen,
            problem=problem,
        )

    async def page(request: Request) -> Response:
        """The history, where nothing is wrong."""
        return await history(request)

    async def diff(request: Request) -> Response:
        """Two jobs beside each other."""
        names = [request.query_params.get(name, "") for name in ("one", "other")]
        if not all(names):
            return await history(request, "Choose two jobs: one, and the other.")
        one, other = [await asyncio.to_thread(find_card, studio, name) for name in names]
        if one is None or other is None:
            text = "Choose two jobs in the history: the ledger has none of this name."
            return told(request, 404, "No such job", text, "history")
        return answer(request, "diff.html", difference=JobDifference(one, other))

    async def money(request: Request) -> Response:
        """What jobs cost, by label."""
        asked = request.query_params.get("label")
        entries = NewestJobs(studio.ledger)
        found = await asyncio.to_thread(money_by_label, entries, asked)
        searched = None if entries.are_all else SEARCHED
        return answer(request, "money.html", money=found, searched=searched)

    return [Route("/history", page), Route("/diff", diff), Route("/money", money)]
