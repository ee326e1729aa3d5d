"""Live runs: one job at one vendor, after its price has been typed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from ..providers.base.registry import all_providers
from .answers import told
from .columns import VendorColumn, plans_of
from .forms import FAULT, TIMES, Pairs, StudioForm, read_form
from .notes import RUN_ID, RunNote
from .pages import base, rendered, typed
from .running import RunClashError
from .runs import RUN

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from ..money.amounts import Cost
    from ..plans.planning import Plan
    from .studio import Studio

AT: Final = "at"
"""The vendor, in the address of the page and in what it sends."""
SHOWN, TYPED = "shown", "typed"
"""The price that the page shows, and the one that was typed."""


SHOWN_STEP: Final = Decimal("0.0001")
"""Dollars are shown, and asked for, in steps of this."""


def asked_cost(cost: Cost) -> Cost:
    """A cost with dollars as they are shown and asked for: rounded up, so that nobody agrees to
    less than what is paid.
    """
    return cost if cost.usd is None else evolve(cost, usd=rounded_up(cost.usd))


def rounded_up(usd: Decimal) -> Decimal:
    """Dollars in whole steps, and no less."""
    return usd.quantize(SHOWN_STEP, ROUND_CEILING)


def price_word(cost: Cost) -> str:
    """What has to be typed: the most dollars, else the most credits, else `unknown`.

    >>> from polyreel.money.amounts import Cost
    >>> price_word(Cost("exact", usd=Decimal("0.397001"))), price_word(Cost("unknown"))
    ('0.3971', 'unknown')
    """
    if cost.confidence == "unknown":
        return "unknown"
    if cost.usd is not None:
        return f"{rounded_up(cost.usd):f}"
    return "unknown" if cost.credits is None else f"{cost.credits.normalize():f} credits"


@frozen
class LiveWish:
    """A live run that is asked for."""

    vendor: str
    form: StudioForm
    plan: Plan | None
    pairs: Pairs
    """What was typed of the request."""

    @property
    def price(self) -> str:
        """What has to be typed."""
        return "" if self.plan is None else price_word(self.plan.cost)

    @property
    def cost(self) -> str:
        """The price as the page shows it: the dollars are those that have to be typed."""
        return "" if self.plan is None else str(asked_cost(self.plan.cost))

    @property
    def column(self) -> VendorColumn | None:
        """What the vendor would be sent."""
        return None if self.plan is None else VendorColumn(self.plan, ())


def read_wish(studio: Studio, pairs: Pairs) -> LiveWish | None:
    """What a form asks for; None where the studio may pay nothing at its vendor."""
    vendor = dict(pairs).get(AT, "")
    client = studio.client_of(vendor, simulated=False) if vendor in all_providers() else None
    if client is None:
        return None
    own = {AT, SHOWN, TYPED, RUN, FAULT, TIMES}
    kept = [pair for pair in pairs if pair[0] not in own]
    form = read_form(kept, studio.uploads)
    plan = plans_of(form, client, [vendor])[0] if form.checked is not None else None
    return LiveWish(vendor, form, plan, kept)


def routes(studio: Studio) -> Sequence[BaseRoute]:
    """The page that shows the price, and what pays."""
    from starlette.responses import HTMLResponse, RedirectResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    def forbidden(request: Request) -> Response:
        text = (
            "Nothing was sent. Live jobs are made only where the studio was started with --live, "
            "and has a key for the vendor."
        )
        return told(request, 403, "Not live", text)

    def shown(
        request: Request, wish: LiveWish, problem: str = "", status: int = 200, *, typed: str = ""
    ) -> Response:
        values = {"base": base(request), "page": "", "wish": wish, "problem": problem}
        values["typed"] = typed
        return HTMLResponse(rendered("live.html", **values), status)

    async def page(request: Request) -> Response:
        """What would be sent, and what it costs."""
        pairs = request.query_params.multi_items()
        wish = await asyncio.to_thread(read_wish, studio, pairs)
        return forbidden(request) if wish is None else shown(request, wish)

    async def pay(request: Request) -> Response:
        """Submit, once, if the price of now was typed."""
        pairs = await typed(request)
        wish = None if pairs is None else await asyncio.to_thread(read_wish, studio, pairs)
        if pairs is None or wish is None:
            return forbidden(request)
        given = dict(pairs)
        refusal = refused(wish, given.get(SHOWN, ""), given.get(TYPED, ""))
        run = given.get(RUN, "")
        if refusal is None and not run:
            refusal = "This is the price. Nothing was sent: only the button pays."
        elif refusal is None and not RUN_ID.fullmatch(run):
            refusal = "This page is not whole. Reload it."
        if refusal is not None or wish.plan is None:
            return shown(request, wish, refusal or "", 422, typed=given.get(TYPED, ""))
        note = RunNote(run, wish.form.query, (wish.vendor,), live=True)
        try:
            studio.runner.begin(note, [wish.plan])
        except RunClashError:
            text = "This page has begun another run before. Reload it. Nothing more was sent."
            return shown(request, wish, text, 409)
        return RedirectResponse(f"{base(request)}/runs/{run}", 303)

    return [Route("/live", page), Route("/live", pay, methods=["POST"])]


def refused(wish: LiveWish, shown: str, typed: str) -> str | None:
    """Why nothing is paid; None where the vendor would take it, and its price was typed."""
    if wish.plan is None or wish.plan.refused:
        return "The vendor would not take this request. Nothing was sent."
    if shown != wish.price:
        return f"The price is {wish.price} now; the page showed {shown}. Nothing was sent."
    word = wish.price
    same = {word, word.rstrip("0").rstrip(".")} if "." in word else {word}
    if typed.strip().removeprefix("$") not in same:
        return f"Type the price, {wish.price}, exactly. Nothing was sent."
    return None
