"""Who may call a gateway, and what the jobs of each may cost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from ..errors import BudgetError
from ..ledger.gateway_tokens import GatewayToken
from ..money.amounts import CostRange
from ..serving.calls import CallRefusedError

if TYPE_CHECKING:
    from ..ledger.gateway_tokens import TokenRows
    from ..ledger.limits import LimitChanges, LimitRows
    from ..plans.planning import Plan
    from ..providers.base.calling import KeyScheme

LOG: Final = logging.getLogger("polyreel")
OPEN: Final = GatewayToken("", metrics=True)
"""What stands for the token where none is asked for."""
REMEMBERED: Final = 2.0
"""For how many seconds a token is known without a look into the ledger: revoked ones end then."""
GUESSES: Final = 20
"""After how many wrong tokens in a minute a client is told to wait."""
MINUTE: Final = 60.0
CLIENTS: Final = 10_000
"""Of how many clients the wrong tokens are counted."""
PREFIX: Final = "gateway"


NOT_ONE: Final = (
    "the token is none of this gateway, or works no more: ask whoever runs it for one; polyreel "
    "gateway tokens list shows them, and tokens make NAME makes one"
)


def needed(scheme: KeyScheme) -> str:
    """What to say to a client without a token, by how the key of its vendor travels."""
    return (
        f"a token of this gateway is needed, as {scheme.header}: {scheme.prefix}TOKEN; whoever "
        "runs it makes one with polyreel gateway tokens make NAME"
    )


class Doorkeeper:
    """Lets clients in by their tokens; with no tokens to know, it lets everybody in."""

    def __init__(self, rows: TokenRows | None = None, *, until_made: bool = False) -> None:
        """Know these tokens; `until_made` says that all are let in until there is one."""
        self._rows = rows
        self._is_open = rows is None or until_made
        self._looked = -REMEMBERED
        self._known: OrderedDict[str, tuple[GatewayToken, float]] = OrderedDict()
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()

    @property
    def is_open(self) -> bool:
        """Whether no token is asked for."""
        return self._is_open

    async def _known_to(self) -> TokenRows | None:
        """The tokens, one of which a client needs; None where all are let in."""
        now = time.monotonic()
        if self._is_open and self._rows is not None and now >= self._looked + REMEMBERED:
            if await asyncio.to_thread(self._rows.were_made) and self._is_open:
                LOG.info("a token was made: from now on clients need one")
                self._is_open = False
            self._looked = now  # not before: where the ledger cannot be read, nobody is let in
        return None if self._is_open else self._rows

    async def knows(self, key: str | None) -> bool:
        """Whether a client that sends this key is let in."""
        rows = await self._known_to()
        if rows is None or key is None:
            return rows is None
        known = self._known.get(key)
        if known is not None and time.monotonic() < known[1]:
            return True
        return await asyncio.to_thread(rows.of, key, time.time()) is not None

    async def token(self, key: str, client: str) -> GatewayToken:
        """The token that a client has sent; CallRefusedError where it is none.

        A client that guesses is told to wait. A right token is let in all the same: many clients
        can have one address.
        """
        rows = await self._known_to()
        if rows is None:
            return OPEN
        now = time.monotonic()
        known = self._known.get(key)
        if known is not None and now < known[1]:
            return known[0]
        found = await asyncio.to_thread(rows.of, key, time.time())
        if found is None:
            self._known.pop(key, None)
            self._note_wrong(client, now)
            raise CallRefusedError("unauthorized", message=NOT_ONE)
        self._known[key] = (found, now + REMEMBERED)
        while len(self._known) > CLIENTS:
            self._known.popitem(last=False)
        return found

    def _note_wrong(self, client: str, now: float) -> None:
        times = self._wrong.setdefault(client, deque(maxlen=GUESSES))
        self._wrong.move_to_end(client)
        while len(self._wrong) > CLIENTS:
            self._wrong.popitem(last=False)
        is_guessing = len(times) == GUESSES and now - times[0] < MINUTE
        times.append(now)
        if is_guessing:
            raise CallRefusedError("rate_limited", message="too many wrong tokens: wait a minute")


class Budgets:
    """The limits of tokens, kept in the ledger for all gateways on it.

    A day of a token is a row of limits (see `polyreel.ledger.limits`). A limit in all holds what
    is left of it for the day.
    """

    def __init__(self, rows: LimitRows, *, simulated: bool) -> None:
        self._rows, self._simulated = rows, simulated
        self._set: dict[str, LimitChanges] = {}

    def of(self, token: GatewayToken, plans: Sequence[Plan]) -> tuple[str | None, list[Plan]]:
        """The name of the limits of a job, and the plans that may be submitted.

        Raises BudgetError where money is limited, and nobody knows what the job costs.
        """
        limited = token.per_day is not None or token.in_all is not None
        if not limited and token.rate is None:
            return None, [*plans]
        priced = [plan for plan in plans if CostRange.of(plan.cost).most is not None]
        if limited and not priced:
            if not token.unknown_prices:
                vendors = ", ".join(plan.vendor for plan in plans)
                raise BudgetError(
                    f"nobody knows what the job costs at {vendors}, and the token {token.name} "
                    "has a budget; nothing was sent: ask for another model, or have whoever runs "
                    "the gateway give the price (--prices-file), or make a token that may all the "
                    "same (--unknown-prices)"
                )
            return None, [*plans]
        name = self._today(token)
        changes: LimitChanges = {"max_cost": self._most(token, name), "rate": token.rate}
        if self._set.get(name) != changes:
            self._rows.set(name, simulated=self._simulated, changes=changes)
            self._set[name] = changes
        return name, priced if limited else [*plans]

    def _most(self, token: GatewayToken, name: str) -> Decimal | None:
        """The most that the jobs of a day may cost."""
        if token.in_all is None:
            return token.per_day
        left = max(Decimal(0), token.in_all - self.spent(token.name, without=name))
        return left if token.per_day is None else min(left, token.per_day)

    def left(self, token: GatewayToken) -> Decimal | None:
        """What further jobs of a token may cost today; None where its money is not limited."""
        name = self._today(token)
        most = self._most(token, name)
        if most is None:
            return None
        today = self.spent(token.name) - self.spent(token.name, without=name)
        return max(Decimal(0), most - today)

    def spent(self, token: str, *, without: str = "") -> Decimal:
        """What the jobs of a token may have cost, on all days but one."""
        found = self._rows.found(simulated=self._simulated)
        start = f"{PREFIX}/{token}/"
        amounts = (
            one.spent
            for one in found
            if not one.vendor and one.name.startswith(start) and one.name != without
        )
        return sum(amounts, Decimal(0))

    def _today(self, token: GatewayToken) -> str:
        """The name of the limits of a token's day."""
        return f"{PREFIX}/{token.name}/{datetime.now(UTC):%Y-%m-%d}"
