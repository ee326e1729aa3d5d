"""The engine without a server: work is done in the process that looks for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from ..jobs.work import Work
from .finding import outstanding
from .performing import ledger_of

if TYPE_CHECKING:
    from ..client import AsyncClient
    from ..client.working import Stop
    from ..ledger.database import Transaction

LOG: Final = logging.getLogger("polyreel")
PAUSE: Final = 1.0
"""Seconds between two looks for work."""
REST: Final = 60.0
"""Seconds until work is tried again that went wrong."""


class InlineEngine:
    """Does the work of a client's ledger here, one piece after another.

    Without `stop`, it ends when nothing is left that can be done now.
    """

    def __init__(self, client: AsyncClient, *, stop: Stop | None = None) -> None:
        self._client, self._stop = client, stop
        self._resting: dict[Work, float] = {}

    def put(self, work: Work, transaction: Transaction | None = None) -> None:
        """Nothing to do: the ledger tells what work there is."""

    async def run(self, do: Callable[[Work], Awaitable[None]]) -> None:
        """Do the work that there is."""
        ledger_of(self._client).outstanding.show_up()
        while self._stop is None or not self._stop.is_set():
            now = time.monotonic()
            work = [one for one in outstanding(self._client) if self._resting.get(one, 0.0) <= now]
            for one in work:
                await self._try(one, do)
            if not work and self._stop is None:
                return
            if not work:
                await asyncio.sleep(PAUSE)

    async def _try(self, work: Work, do: Callable[[Work], Awaitable[None]]) -> None:
        self._resting.pop(work, None)
        try:
            await do(work)
        except Exception as error:  # the next piece may have nothing to do with it
            LOG.warning("tried again in %g s: %s", REST, error)
            self._resting[work] = time.monotonic() + REST
