"""Calls to clients that want to hear of the end of their jobs, in the words of the face.

The gateway asks the vendors itself, so no vendor has to call it. A call is made at least once: it
is tried again for hours, and after the gateway was started anew. Where it leads is checked as for
downloads: into no private network, and with nobody's key.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from ..drivers import RealClock, Wire, arun
from ..errors import PolyreelError, TransportError
from ..flows import Flow, Part, Put, Reply
from ..providers.base.facts import FINAL
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from ..serving.answers import dumps, status_query
from ..serving.calls import Call
from ..serving.task_answers import task_body
from .faces import FaceRequest, Faces

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..ledger.gateway_rows import GatewayJob
    from ..places import Json, JsonObject
    from .jobs import Shown

LOG: Final = logging.getLogger("polyreel")
PAUSES: Final = (5.0, 30.0, 120.0, 600.0, 3600.0, 3600.0, 3600.0, 3600.0)
"""Seconds between the tries of a call; after the last one it is given up."""
LOOK_AGAIN: Final = 5.0
"""Seconds between two looks at a job that has not ended."""
CLAIM: Final = 60.0
"""For how many seconds a process has a call for itself."""
AT_ONCE: Final = 20
TURN: Final = 1.0
CALL_SECONDS: Final = 20.0


class Callbacks:
    """Makes the calls that are due."""

    def __init__(self, faces: Faces, own: Callable[[str, Shown], JsonObject]) -> None:
        """Call for these faces; `own` shows a job of the gateway's own API."""
        self.faces, self._own = faces, own
        self.wire = Wire(clock=RealClock(), network=faces.jobs.client.network)
        self.wire.private_downloads = faces.creator.private_callbacks

    async def run(self) -> None:
        """Make calls until cancelled."""
        while True:
            try:
                await self.turn()
            except PolyreelError as error:
                LOG.warning("calls to clients: %s", error)
            await asyncio.sleep(TURN)

    async def turn(self) -> None:
        """Make the calls that are due now."""
        kept, simulated = self.faces.jobs.kept, self.faces.jobs.client.simulated
        find = partial(kept.due_calls, time.time(), AT_ONCE, simulated=simulated)
        due = await asyncio.to_thread(find)
        await asyncio.gather(*map(self._one, due))

    async def _one(self, row: GatewayJob) -> None:
        kept = self.faces.jobs.kept
        if not await asyncio.to_thread(kept.claim_call, row, time.time() + CLAIM):
            return
        found = await self.faces.jobs.shown([row])
        if not found:  # the submit was refused; it may be repeated
            await self._later(row)
            return
        if found[0].job.status not in FINAL:
            await asyncio.to_thread(kept.set_call, row, time.time() + LOOK_AGAIN, row.calls)
            return
        wanted = json.loads(row.callback or "{}")
        try:
            body = self._body(found[0], wanted["public"])
            reply = await arun(_posted(wanted["url"], body), self.wire)
            trouble = None if reply.ok else f"HTTP {reply.status}"
        except TransportError as error:
            trouble = str(error)
        if trouble is None:
            LOG.info("%s %s: its client was called", row.face, row.id)
            await asyncio.to_thread(kept.set_call, row, None, row.calls)
            return
        LOG.warning("%s %s: its client was not reached: %s", row.face, row.id, trouble)
        await self._later(row)

    async def _later(self, row: GatewayJob) -> None:
        """Try a call again after a while, or give it up."""
        at = time.time() + PAUSES[row.calls] if row.calls < len(PAUSES) else None
        await asyncio.to_thread(self.faces.jobs.kept.set_call, row, at, row.calls + 1)

    def _body(self, shown: Shown, public: str) -> JsonObject:
        """What a client is told, in the words of its face."""
        if shown.row.path.startswith("/v1/jobs") and shown.row.face == "jobs":
            return self._own(public, shown)
        provider = get_provider(shown.row.face)
        query = status_query(provider)
        asked = FaceRequest(provider.id, query.method, query.path, {}, b"", public)
        call = Call(self.faces.incoming(asked), provider, query)
        task = self.faces.jobs.task(call, shown.row, shown.entry, shown.job)
        state, now = task.status(self.faces.jobs.now()), self.faces.jobs.now()
        found = sample_of(provider, state)
        if found is None or provider.webhook is None:
            return task_body(call, task, state, now)
        sample, schema = found
        return task.told(call, state, now, sample, schema, provider.webhook.reads)


def _posted(url: str, body: JsonObject) -> Flow[Reply]:
    content = Part("body", content_type="application/json", content=dumps(body))
    reply = yield Put("", url, content, deadline=CALL_SECONDS, method="POST")
    assert isinstance(reply, Reply)
    return reply


def sample_of(provider: Provider, state: str) -> tuple[JsonObject, Json] | None:
    """The documented webhook of a state, and its schema; None where the contract has none."""
    for item in provider.contract.document.get("webhooks", {}).values():
        media = item["post"]["requestBody"]["content"].get("application/json", {})
        if state in media.get("examples", {}):
            return media["examples"][state]["value"], media.get("schema")
    return None
