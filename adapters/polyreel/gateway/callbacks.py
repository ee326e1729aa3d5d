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
from ..errors import DownloadError, MissingExtraError, PolyreelError, TransportError
from ..flows import Flow, Part, Put, Reply
from ..jobs.waiting import is_complete
from ..providers.base.facts import FINAL
from ..providers.base.provider import Provider
from ..providers.base.registry import get_provider
from ..serving.answers import dumps, status_query
from ..serving.calls import Call
from ..serving.task_answers import task_body
from .faces import FaceRequest, Faces
from .shared import JOBS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..ledger.gateway_rows import GatewayJob
    from ..places import Json, JsonObject
    from .jobs import Shown

LOG: Final = logging.getLogger("polyreel")
PAUSES: Final = (5.0, 30.0, 120.0, 600.0, 3600.0, 3600.0, 3600.0, 3600.0)
"""Seconds between the tries; after the last one it is given up."""
LOOK_AGAIN: Final = 5.0
"""Seconds between two looks at a job that has not ended."""
STORE_AGAIN: Final = 30.0
"""The same where nobody is to be called: files are there for some minutes at least."""
CLAIM: Final = 60.0
"""For how many seconds a process has a call for itself."""
AT_ONCE: Final = 50
TURN: Final = 1.0
PURGE: Final = 3600.0
"""Seconds between two looks for files that were fetched long ago."""
CALL_SECONDS: Final = 20.0


class Callbacks:
    """Looks at jobs that somebody wants to hear of, or whose files are to be stored."""

    def __init__(self, faces: Faces, own: Callable[[str, Shown], JsonObject]) -> None:
        """Call for these faces; `own` shows a job of the gateway's own API."""
        self.faces, self._own = faces, own
        self.wire = Wire(clock=RealClock(), network=faces.jobs.client.network)
        self.wire.private_downloads = faces.creator.private_callbacks
        self._working: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Do what is due until cancelled."""
        purged = time.monotonic()
        try:
            while True:
                try:
                    await self._begin()
                    if time.monotonic() - purged > PURGE:
                        purged = time.monotonic()
                        await asyncio.to_thread(self.faces.jobs.files.purge)
                except PolyreelError as error:
                    LOG.warning("calls to clients: %s", error)
                await asyncio.sleep(TURN)
        finally:
            working = [*self._working.values()]
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    async def turn(self) -> None:
        """Do what is due now, and wait until it is done."""
        await self._begin()
        await asyncio.gather(*self._working.values())

    async def _begin(self) -> None:
        """Begin what is due now, as far as there is room."""
        kept, simulated = self.faces.jobs.kept, self.faces.jobs.client.simulated
        find = partial(kept.due_calls, time.time(), AT_ONCE, simulated=simulated)
        for row in await asyncio.to_thread(find):
            name = (row.face, row.id)
            if name not in self._working and len(self._working) < AT_ONCE:
                task = self._working[name] = asyncio.create_task(self._one(row))
                task.add_done_callback(partial(self._end, name))

    def _end(self, name: tuple[str, str], _: asyncio.Task[None]) -> None:
        del self._working[name]

    async def _one(self, row: GatewayJob) -> None:
        try:
            await self._attend(row)
        except PolyreelError as error:
            LOG.warning("%s %s: %s", row.face, row.id, error)

    async def _attend(self, row: GatewayJob) -> None:
        """Look at a job; where it has ended, call its client, and store its files."""
        jobs = self.faces.jobs
        if not await asyncio.to_thread(jobs.kept.claim_call, row, time.time() + CLAIM):
            return
        found = await jobs.shown([row])
        if not found:  # the submit was refused; it may be repeated
            await self._later(row)
            return
        if found[0].job.status not in FINAL or not is_complete(found[0].job):
            pause = LOOK_AGAIN if row.callback is not None else STORE_AGAIN
            await asyncio.to_thread(jobs.kept.set_call, row, time.time() + pause, row.calls)
            return
        called = row.callback is None or await self._call(row, found[0])
        stored = jobs.files.store is None or await self._store(row, found[0])
        if called and stored:
            await asyncio.to_thread(jobs.kept.set_call, row, None, row.calls)
        else:
            await self._later(row)

    async def _call(self, row: GatewayJob, shown: Shown) -> bool:
        """Call the client of a job; the result is whether it has heard."""
        wanted = json.loads(row.callback or "{}")
        try:
            content = dumps(self._body(shown, wanted["public"]))
            provider = None if row.face == JOBS else get_provider(row.face)
            signatures = self.faces.signatures
            headers = signatures.headers(provider, row, content, time.time())
            reply = await arun(_posted(wanted["url"], content, headers), self.wire)
            trouble = None if reply.ok else f"HTTP {reply.status}"
        except (TransportError, MissingExtraError) as error:
            trouble = str(error)
        if trouble is not None:
            LOG.warning("%s %s: its client was not reached: %s", row.face, row.id, trouble)
            return False
        LOG.info("%s %s: its client was called", row.face, row.id)
        await asyncio.to_thread(self.faces.jobs.kept.note_called, row)
        return True

    async def _store(self, row: GatewayJob, shown: Shown) -> bool:
        """Store the files of a job; the result is whether there is nothing left to store."""
        if shown.job.status != "succeeded":
            return True
        try:
            await self.faces.jobs.store(row)
        except DownloadError as error:
            LOG.warning("%s %s: its files are not stored yet: %s", row.face, row.id, error)
            return False
        return True

    async def _later(self, row: GatewayJob) -> None:
        """Try it again after a while, or give it up."""
        at = time.time() + PAUSES[row.calls] if row.calls < len(PAUSES) else None
        await asyncio.to_thread(self.faces.jobs.kept.set_call, row, at, row.calls + 1)

    def _body(self, shown: Shown, public: str) -> JsonObject:
        """What a client is told, in the words of its face."""
        if shown.row.face == JOBS:
            return self._own(public, shown)
        provider = get_provider(shown.row.face)
        query = status_query(provider)
        asked = FaceRequest(provider.id, query.method, query.path, {}, b"", public)
        call = Call(self.faces.incoming(asked), provider, query)
        task = self.faces.jobs.task(call, shown)
        state, now = task.status(self.faces.jobs.now()), self.faces.jobs.now()
        found = sample_of(provider, state)
        if found is None or provider.webhook is None:
            return task_body(call, task, state, now)
        sample, schema = found
        return task.told(call, state, now, sample, schema, provider.webhook.reads)


def _posted(url: str, content: bytes, headers: Mapping[str, str]) -> Flow[Reply]:
    body = Part("body", content_type="application/json", content=content)
    reply = yield Put("", url, body, CALL_SECONDS, "POST", headers)
    assert isinstance(reply, Reply)
    return reply


def sample_of(provider: Provider, state: str) -> tuple[JsonObject, Json] | None:
    """The documented webhook of a state, and its schema; None where the contract has none."""
    for item in provider.contract.document.get("webhooks", {}).values():
        media = item["post"]["requestBody"]["content"].get("application/json", {})
        if state in media.get("examples", {}):
            return media["examples"][state]["value"], media.get("schema")
    return None
