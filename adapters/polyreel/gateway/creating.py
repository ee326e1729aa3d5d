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
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from attrs import frozen

from ..drivers import GroupedWrites
from ..errors import AmbiguousError, ClaimedError, LedgerError, NeverSentError
from ..ledger.gateway_rows import GatewayJob
from ..ledger.records import SUPERSEDED
from ..places import JsonObject
from ..serving.calls import INVALID, CallRefusedError
from . import refusals
from .behind import Behind
from .jobs import FacedJobs, Locks, Shown, ledger_of, limits_of
from .tokens import Budgets
from .uploads import KeptUploads

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..ledger.gateway_tokens import GatewayToken
    from ..ledger.records import LedgerEntry
    from ..plans.planning import Plan

LOG: Final = logging.getLogger("polyreel")
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


def checked_key(key: str | None) -> str | None:
    """A client's idempotency key, where it can be one; CallRefusedError for another text."""
    if key is not None and (not key.strip() or len(key) > LONGEST_KEY):
        text = f"the idempotency key has 1 to {LONGEST_KEY} characters"
        raise CallRefusedError(*INVALID, message=text)
    return key


class Offered(Protocol):
    """What the vendors behind make of a call."""

    @property
    def plans(self) -> list[Plan]:
        """The plans that can be submitted, in the order in which they are tried."""

    def refusal(self) -> str:
        """Why no vendor can serve the call: every reason of each."""

    def verdicts(self, vendor: str) -> str:
        """What becomes of the values of the call at a vendor that do not stay exact."""


class Wish(Protocol):
    """A call for a job, read and checked."""

    @property
    def token(self) -> GatewayToken:
        """Who makes it."""

    @property
    def face(self) -> str:
        """In whose words it is."""

    @property
    def path(self) -> str:
        """The path of the call."""

    @property
    def body(self) -> JsonObject:
        """The client's body."""

    @property
    def key(self) -> str | None:
        """By what the client says that it repeats a call."""

    @property
    def model(self) -> str | None:
        """The model family that is asked for."""

    @property
    def own_id(self) -> str | None:
        """The client's own id of the job, in its body."""

    @property
    def callback(self) -> str | None:
        """The URL at which the client wants to be called."""

    def new_id(self, now: float) -> str:
        """An id for the client, in the shape of the face's; `now` is in seconds since 1970."""

    def offers(self, behind: Behind) -> Offered:
        """What the vendors behind make of it."""


@frozen
class Made:
    """A job that a client has asked for."""

    shown: Shown
    headers: Mapping[str, str]
    """What the answer's headers say of it."""

    @property
    def is_repeated(self) -> bool:
        """Whether the call repeats an earlier one."""
        return REPLAYED in self.headers


Call = tuple[GatewayJob, str | None, float | None]
"""A call that is to be written down, as `GatewayRows.enter` takes it."""


class Creator:
    """Has jobs made by the vendors behind."""

    def __init__(self, jobs: FacedJobs, behind: Behind, dedupe: float | None = None) -> None:
        self.jobs, self.behind, self.dedupe = jobs, behind, dedupe
        self.budgets = Budgets(limits_of(jobs.client), simulated=jobs.client.simulated)
        self.uploads = KeptUploads(folder=jobs.files.folder / "uploads")
        self.private_callbacks = False
        """Whether clients in private networks may be called back."""
        self._submitting = Locks()
        # Calls that threads enter in a server's ledger at the same time share a statement there.
        self._is_file = not ledger_of(jobs.client).shares_commits
        self._entering: GroupedWrites[Call] | None = None

    async def made(self, wish: Wish) -> Made:
        """The job of a call: a new one, or that of the call that it repeats.

        Raises CallRefusedError and PolyreelErrors.
        """
        offered = wish.offers(self.behind.for_call(wish.token, wish.model))
        row, is_first = await self._enter(wish, offered)
        async with self._submitting(row.reference):
            # The reference of a first call is a new one, which no entry can have.
            found = {} if is_first else await self.jobs.entries([row])
            entry = found.get(row.reference)
            headers: dict[str, str] = {}
            if entry is None or entry.state in SUPERSEDED:
                made = await self._submitted(wish, row, offered)
                if made is not None:
                    return made
                entry = (await self.jobs.entries([row]))[row.reference]
            elif not is_first:
                headers = {REPLAYED: "true"}
        entry, job = await self._settled(row, entry)
        return Made(Shown(row, job, entry.finished_at), {**headers, JOB: entry.id})

    async def _enter(self, wish: Wish, offered: Offered) -> tuple[GatewayJob, bool]:
        """Write a call down, or find the one that it repeats; and whether it is the first.

        What no vendor can serve is not written down: its key is free for a call that is mended.
        """
        now = self.jobs.now()
        row = GatewayJob(
            face=wish.face,
            id=wish.new_id(now),
            simulated=self.jobs.client.simulated,
            token=wish.token.name,
            reference=f"gateway/{secrets.token_hex(16)}",
            path=wish.path,
            body=wish.body,
            created_at=now,
            callback=wish.callback,
            next_call=time.time() if wish.callback or self.jobs.files.store else None,
            own_id=wish.own_id,
        )
        same: str | None = None
        since: float | None = None
        entered: GatewayJob | None
        if wish.key is not None:
            same = _digest(row, "key", wish.key)
        elif (seconds := wish.token.dedupe or self.dedupe) is not None:
            same, since = _digest(row, "body", _canonical(wish)), now - seconds
        if not offered.plans:
            find = partial(self.jobs.kept.repeated, same, since)
            entered = await self.jobs.of_ledger(find)
            if entered is None:
                raise refusals.refusing(offered.refusal())
        elif self._is_file:
            self._entering = GroupedWrites.here(self._entering, self._enter_all)
            entered = await self._entering.write((row, same, since))
        else:
            entered = await asyncio.to_thread(self.jobs.kept.enter, row, same, since)
        if (entered.path, entered.body) != (row.path, row.body):
            text = "the key was used before, for another request; nothing was sent"
            raise CallRefusedError("conflict", *INVALID, message=text)
        return entered, entered.reference == row.reference

    def _enter_all(self, calls: Sequence[Call]) -> list[GatewayJob]:
        try:
            return self.jobs.kept.enter_all(calls)
        except Exception as error:
            raise LedgerError(f"the call is not written down: {error}") from None

    async def _submitted(self, wish: Wish, row: GatewayJob, offered: Offered) -> Made | None:
        """Submit a job; None where another process has submitted it meanwhile."""
        plans = offered.plans
        if not plans:
            raise refusals.refusing(offered.refusal())
        own = {"token": row.token} if row.token else {}
        labels = {**wish.token.labels, **own, "face": row.face, "face_id": row.id}
        limits, plans = await self.jobs.of_ledger(partial(self.budgets.of, wish.token, plans))
        try:
            job = await self.jobs.client.submit(
                plans, reference=row.reference, labels=labels, limits=limits
            )
        except ClaimedError:
            return None  # another process has it
        verdicts = offered.verdicts(job.vendor)
        LOG.info("%s %s: %s by %s: %s", row.face, row.id, job.id, job.vendor, verdicts)
        told = {VERDICTS: verdicts} if verdicts else {}
        return Made(Shown(row, job, None), {**told, JOB: job.ledger_id or ""})

    async def _settled(self, row: GatewayJob, entry: LedgerEntry) -> tuple[LedgerEntry, Job]:
        """The entry of a job, and the job, once the outcome of its submit is known.

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
            return entry, entry.job
        if entry.state in SUPERSEDED:
            raise NeverSentError(f"nothing was sent: {entry.reason}", vendor=entry.vendor)
        text = f"{entry.vendor} may have accepted and billed the job: {entry.reason or entry.state}"
        raise AmbiguousError(f"{text}. It is not sent again", vendor=entry.vendor, billed="maybe")


def _canonical(wish: Wish) -> str:
    return json.dumps([wish.path, wish.body], sort_keys=True)


def _digest(row: GatewayJob, what: str, text: str) -> str:
    """What repetitions of a call have in common: nobody reads a client's key in it."""
    parts = [row.token, row.face, int(row.simulated), what, text]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
