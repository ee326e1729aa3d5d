"""Jobs that clients of a gateway ask for: each is submitted once, however often a client repeats.

Before anything is sent, the call is written down with the id that the client will know, and with a
reference of the ledger. A repeated call has the same reference: by the client's idempotency key, by
an id of the client's in the body, or by the same body within some time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from attrs import Factory, frozen

from ..errors import AmbiguousError, ClaimedError, NeverSentError
from ..flows import Reply
from ..ledger.gateway_rows import GatewayJob
from ..ledger.records import SUPERSEDED
from ..mapping import media
from ..places import JsonObject, get, is_missing
from ..plans.reading import Reading
from ..providers.base.calling import filled, own_id_place
from ..providers.base.provider import Provider
from ..serving import answers, calls
from ..serving.calls import INVALID, UNKNOWN_MODEL, Call, CallRefusedError
from ..serving.task_answers import task_reply
from . import refusals
from .behind import Behind
from .jobs import FacedJobs, Locks, limits_of
from .tokens import Budgets
from .uploads import KeptUploads

if TYPE_CHECKING:
    from ..ledger.gateway_tokens import GatewayToken
    from ..ledger.records import LedgerEntry

LOG: Final = logging.getLogger("polyreel")
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
KEY: Final = "idempotency-key"
LONGEST_KEY: Final = 500
VERDICTS: Final = "x-polyreel-verdicts"
"""The header that says what became of values that did not stay exact."""
UNTOLD: Final = "x-polyreel-untold"
"""The header that names the members of an answer that nobody knows, and that are neutral."""
JOB: Final = "x-polyreel-job"
"""The header with the id of the job in the gateway's ledger."""
REPLAYED: Final = "x-polyreel-replayed"
"""The header of an answer about an earlier call that this one repeats."""
UNDER_WAY: Final = 25.0
"""Seconds that a repeated call waits for the outcome of the first one."""
LOOK_AGAIN: Final = 0.2


def untold_header(names: Mapping[str, None]) -> dict[str, str]:
    """The header that names members of which nobody knows anything."""
    return {UNTOLD: ", ".join(names)[:1500]} if names else {}


@frozen
class Wish:
    """A call for a job, read and checked as the vendor of the face would."""

    call: Call
    token: GatewayToken
    path: str
    """The path of the plain call, where this one streams."""
    body: JsonObject
    reading: Reading
    files: Mapping[str, str] = Factory(dict)
    """Files of this machine, by the links that stand for them in the body."""

    @property
    def provider(self) -> Provider:
        """The vendor in whose words it is."""
        return self.call.provider


class Creator:
    """Has jobs made by the vendors behind."""

    def __init__(self, jobs: FacedJobs, behind: Behind, dedupe: float | None = None) -> None:
        self.jobs, self.behind, self.dedupe = jobs, behind, dedupe
        self.budgets = Budgets(limits_of(jobs.client), simulated=jobs.client.simulated)
        self.uploads = KeptUploads(folder=jobs.folder / "uploads")
        self._submitting = Locks()

    async def create(self, call: Call, token: GatewayToken) -> Reply:
        """Answer a call for a job."""
        wish = self._read(call, token)
        row, is_first = await self._enter(wish)
        async with self._submitting(row.reference):
            entry = (await self.jobs.entries([row])).get(row.reference)
            headers: dict[str, str] = {}
            if entry is None or entry.state in SUPERSEDED:
                entry, headers = await self._submitted(wish, row)
            elif not is_first:
                headers = self._repeated(call)
        entry = await self._settled(row, entry)
        assert entry.job is not None
        task = self.jobs.task(call, row, entry, entry.job)
        status, body = task_reply(call, task, "queued", row.created_at, call.operation)
        headers |= {JOB: entry.id, **untold_header(dict.fromkeys(task.untold))}
        return answers.reply(call, status, body, headers)

    def _repeated(self, call: Call) -> dict[str, str]:
        """The headers of an answer about an earlier call."""
        own = call.operation.spec.get("x-polyreel-idempotency", {}).get("replayed-header")
        return {REPLAYED: "true", **({own.lower(): "true"} if own else {})}

    # -- reading -----------------------------------------------------------------------------------

    def _read(self, call: Call, token: GatewayToken) -> Wish:
        parts, public = calls.form(call), call.request.links.public
        body = calls.body(call)
        if parts is not None:
            body = self.uploads.of_form(call.request, parts, body)
        reading = calls.read_submit(call, body)
        plain = calls.creating(call.provider, call.operation)
        path = filled(plain.path, call.parameters, slashes=True)
        if token.models and reading.route.model not in token.models:
            text = f"the token may ask for {', '.join(token.models)}, not {reading.route.model}"
            raise CallRefusedError("forbidden_model", "forbidden", *UNKNOWN_MODEL, message=text)
        for name, _, value, _ in media.inputs(reading.request):
            if media.is_local(value) and not media.is_inline(value):
                text = f"{name}: give a public URL or the content itself, not the name of a file"
                raise CallRefusedError(*INVALID, message=text)
        if _callback_of(call, reading) is not None:
            text = "this gateway calls nobody back: leave the address out, and ask for the status"
            raise CallRefusedError(*INVALID, message=text)
        files = self.uploads.files_in(body, public)
        return Wish(call, token, path, body, reading, files)

    async def _enter(self, wish: Wish) -> tuple[GatewayJob, bool]:
        """Write a call down, or find the one that it repeats; and whether it is the first."""
        now = self.jobs.now()
        key = _key_of(wish)
        row = GatewayJob(
            face=wish.provider.id,
            id=_new_id(wish.provider, now),
            simulated=self.jobs.client.simulated,
            token=wish.token.name,
            reference=f"gateway/{secrets.token_hex(16)}",
            path=wish.path,
            body=wish.body,
            created_at=now,
        )
        same: str | None = None
        since: float | None = None
        if key is not None:
            same = _digest(row, "key", key)
        elif (seconds := wish.token.dedupe or self.dedupe) is not None:
            same, since = _digest(row, "body", _canonical(wish)), now - seconds
        enter = partial(self.jobs.kept.enter, row, same, since)
        entered = await asyncio.to_thread(enter)
        if (entered.path, entered.body) != (row.path, row.body):
            text = "the key was used before, for another request; nothing was sent"
            raise CallRefusedError("conflict", *INVALID, message=text)
        return entered, entered.reference == row.reference

    # -- submitting --------------------------------------------------------------------------------

    async def _submitted(self, wish: Wish, row: GatewayJob) -> tuple[LedgerEntry, dict[str, str]]:
        """Submit a job; the entry may be one that another process has submitted meanwhile."""
        body = _without_own_id(wish)
        behind = self.behind.for_token(wish.token)
        made = await asyncio.to_thread(behind.offers, wish.reading, body, wish.path, wish.files)
        plans = made.plans
        if not plans:
            raise refusals.refusing(made.refusal())
        own = {"token": row.token} if row.token else {}
        labels = {**wish.token.labels, **own, "face": row.face, "face_id": row.id}
        limits, plans = await asyncio.to_thread(self.budgets.of, wish.token, plans)
        try:
            job = await self.jobs.client.submit(
                plans, reference=row.reference, labels=labels, limits=limits
            )
        except ClaimedError:
            pass  # another process has it
        else:
            verdicts = made.verdicts(job.vendor)
            LOG.info("%s %s: %s by %s: %s", row.face, row.id, job.id, job.vendor, verdicts)
            entry = (await self.jobs.entries([row]))[row.reference]
            return entry, {VERDICTS: verdicts} if verdicts else {}
        return (await self.jobs.entries([row]))[row.reference], {}

    async def _settled(self, row: GatewayJob, entry: LedgerEntry) -> LedgerEntry:
        """The entry of a job once the outcome of its submit is known.

        Raises AmbiguousError where it cannot be found out.
        """
        waited = 0.0
        while entry.state == "sending" and waited < UNDER_WAY:
            await asyncio.sleep(LOOK_AGAIN)
            waited += LOOK_AGAIN
            entry = (await self.jobs.entries([row]))[row.reference]
        if entry.state == "ambiguous":
            for finding in await self.jobs.client.reconcile(entry.id):
                LOG.info("%s: %s", finding.entry, finding.text)
            entry = (await self.jobs.entries([row]))[row.reference]
        if entry.job is not None:
            return entry
        if entry.state in SUPERSEDED:
            raise NeverSentError(f"nothing was sent: {entry.reason}", vendor=entry.vendor)
        text = f"{entry.vendor} may have accepted and billed the job: {entry.reason or entry.state}"
        raise AmbiguousError(f"{text}. It is not sent again", vendor=entry.vendor, billed="maybe")


def _key_of(wish: Wish) -> str | None:
    """By what a client says that it repeats a call: its key, or its own id in the body."""
    key = calls.idempotency_key(wish.call) or wish.call.headers.get(KEY)
    if key is not None:
        if not key.strip() or len(key) > LONGEST_KEY:
            text = f"the idempotency key has 1 to {LONGEST_KEY} characters"
            raise CallRefusedError(*INVALID, message=text)
        return key
    own = _own_id(wish)
    return None if own is None else f"own id {own}"


def _own_id(wish: Wish) -> str | None:
    place = own_id_place(wish.provider.operation(wish.reading.route))
    value = get(wish.body, place) if place else None
    return value if isinstance(value, str) and value else None


def _without_own_id(wish: Wish) -> JsonObject:
    """The body without the client's own id: the vendor behind gets one of the gateway's."""
    place = own_id_place(wish.provider.operation(wish.reading.route))
    if place is None or is_missing(get(wish.body, place)):
        return wish.body
    body: JsonObject = json.loads(json.dumps(wish.body))
    *parents, last = place.split(".")
    holder = get(body, ".".join(parents)) if parents else body
    del holder[last]
    if parents and not holder:
        del body[parents[0]]
    return body


def _callback_of(call: Call, reading: Reading) -> str | None:
    """The address that a client wants to be called at."""
    row = reading.route.by_name.get("callback_url")
    native = next(iter(row.places), "") if row is not None else ""
    in_query = call.request.query.get(native[1:]) if native.startswith("?") else None
    found = reading.request.get("callback_url") or in_query
    return str(found) if found else None


def _canonical(wish: Wish) -> str:
    return json.dumps([wish.path, wish.body], sort_keys=True)


def _digest(row: GatewayJob, what: str, text: str) -> str:
    """What repetitions of a call have in common: nobody reads a client's key in it."""
    parts = [row.token, row.face, int(row.simulated), what, text]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _new_id(provider: Provider, now: float) -> str:
    letters = "".join(secrets.choice(LETTERS) for _ in range(32))
    return provider.new_task_id(secrets.randbelow(10**9), int(now), letters)
