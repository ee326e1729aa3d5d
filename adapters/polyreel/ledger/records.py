"""The records of a ledger: a paid call (`Submission`), and what became of it (`LedgerEntry`).

Nothing here touches a file or a clock. A ledger keeps one `LedgerEntry` for each paid submit.
Flows write `Intend` (or `Take`, of an entry that is queued) before the first byte is sent, `Settle`
when the outcome is known, `Keep` for each later state, and `Claim` to take a job over: see
`polyreel.ledger.events`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from attrs import Factory, evolve, frozen

from ..errors import LedgerError
from ..flows import Moment, Part, Send
from ..money.amounts import Cost, CostRange
from ..places import get, is_missing, put
from ..providers.base.calling import locator_of, own_id_place
from ..providers.base.registry import get_provider
from .states import started

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..places import JsonObject
    from ..plans.planning import Plan
    from ..providers.base.contract import Operation
    from ..providers.base.facts import Facts
    from ..providers.base.provider import Provider


State = Literal[
    "queued",
    "sending",
    "unsent",
    "rejected",
    "ambiguous",
    "accepted",
    "succeeded",
    "failed",
    "canceled",
    "saved",
    "abandoned",
    "resubmitted",
]
"""Where an entry is. `queued` waits for somebody who submits it.

`sending` of a process that has died counts as `ambiguous`.
"""


PROVED_UNPAID: Final = frozenset({"unsent", "rejected"})


OPEN: Final = frozenset({"queued", "sending", "ambiguous", "accepted", "succeeded"})
"""The states in which something is still to be done."""


SUPERSEDED: Final = frozenset({*PROVED_UNPAID, "abandoned", "resubmitted"})
"""The states in which an entry's reference can be used again."""


def after(state: State) -> str:
    """What to do about an entry in a state, in a few words."""
    if state in {"accepted", "succeeded"}:
        return "resume waits for it and saves its files, and costs nothing more"
    if state == "ambiguous":
        return "reconcile finds out what became of it, and costs nothing more"
    if state == "queued":
        return "a worker submits it (polyreel worker)"
    if state == "sending":
        return "ask again when that has ended"
    if state == "saved":
        return "its files are saved, and there is nothing left to do about it"
    return "there is nothing left to do about it"


def claimed_elsewhere(identity: str) -> str:
    """What a ClaimedError says of an entry that another living owner has."""
    return (
        f"another thread or process looks after {identity} just now, and this call has sent "
        "nothing; the same call again, when that has ended, goes on with the same job"
    )


def new_idempotency_key() -> str:
    """A random UUID (version 4)."""
    return str(uuid.uuid4())


@frozen
class Submission:
    """A paid call and its purpose, in a form that can be written down and sent again later.

    It is only sent again when the user says so.
    """

    vendor: str
    model: str | None
    workflow: str
    operation: str
    """The operation id of the call in the vendor's contract."""
    send: Send
    base_url: str
    idempotency_key: str
    simulated: bool
    folder: str | None = None
    """Where the files are to be saved."""
    reference: str | None = None
    """The caller's own name of the job. Each reference is paid once."""
    estimate: Mapping[str, str | None] | None = None
    """What the plan said it would cost, as JSON. Older entries, without an estimate, have None."""
    labels: Mapping[str, str] = Factory(dict)
    """The caller's own labels."""
    limits: str | None = None
    """The name of the limits that it shares with others: see `polyreel.ledger.limits`."""

    @classmethod
    def of(
        cls,
        plan: Plan,
        *,
        idempotency_key: str,
        simulated: bool,
        folder: str | None = None,
        reference: str | None = None,
        labels: Mapping[str, str] | None = None,
        limits: str | None = None,
    ) -> Self:
        """Make the submission of a plan whose uploads are done."""
        operation = plan.operation
        if (place := own_id_place(operation)) and is_missing(get(plan.body, place)):
            plan = evolve(plan, body=_with_own_id(plan.body, place, idempotency_key))
        return cls(
            vendor=plan.vendor,
            model=plan.model,
            workflow=plan.workflow,
            operation=operation.id,
            send=plan.step(_recognised_by(operation, idempotency_key)),
            base_url=plan.base_url,
            idempotency_key=idempotency_key,
            simulated=simulated,
            folder=folder,
            reference=reference,
            estimate=plan.cost.document(),
            labels=labels or {},
            limits=limits,
        )

    @property
    def most_usd(self) -> Decimal | None:
        """The most dollars that it can cost, as far as its plan knew; None if unknown."""
        return CostRange.of(Cost.read(self.estimate or {})).most

    @property
    def provider(self) -> Provider:
        """The vendor that would be paid."""
        return get_provider(self.vendor)

    def locator(self, task: str) -> str | None:
        """The path of the status query of a task, where it follows from the paid call."""
        url = self.send.url.partition("?")[0]
        routes = (one for one in self.provider.routes if self.base_url + one.path == url)
        route = next(routes, None)
        if route is None:
            return None
        return locator_of(self.provider.contract, route.path_values, task)

    @property
    def contract(self) -> Operation:
        """The call in the vendor's contract."""
        return self.provider.contract.operations[self.operation]

    @property
    def is_replayable(self) -> bool:
        """Whether the vendor answers a second call under the same key with the first task.

        Otherwise a second call makes a second task.
        """
        return bool(self.contract.spec.get("x-polyreel-idempotency", {}).get("mode") == "replay")

    @property
    def own_id_place(self) -> str | None:
        """The dotted place in the body that takes an id of ours, where the vendor has one.

        It has none for a call that its spec does not know: that of another version, or of a row
        that cannot be read.
        """
        operation = self.provider.contract.operations.get(self.operation)
        return own_id_place(operation) if operation is not None else None

    @property
    def own_id(self) -> str | None:
        """The id of ours that is in the body, by which the vendor can be asked for the task."""
        place = self.own_id_place
        found = get(self.body, place) if place else None
        return found if isinstance(found, str) else None

    @property
    def body(self) -> JsonObject:
        """The JSON body; of a form, its text fields."""
        if self.send.content is None:
            return {part.name: part.text for part in self.send.parts if part.text is not None}
        found = json.loads(self.send.content)
        assert isinstance(found, dict)
        return found

    @property
    def fingerprint(self) -> str:
        """A hash of what is requested, and from which vendor."""
        send = self.send
        parts = [
            [part.name, part.text, str(part.path or (part.digest() if part.content else ""))]
            for part in send.parts
        ]
        content = send.content if send.content is not None else json.dumps(parts).encode()
        if self.own_id is not None and (place := self.own_id_place):
            content = json.dumps(_with_own_id(self.body, place, "")).encode()
        return hashlib.sha256(f"{send.method} {send.url}\n".encode() + content).hexdigest()

    def job(self, facts: Facts, seconds: float) -> Job:
        """Make the job that the vendor accepted at `seconds` (since 1970)."""
        return started(
            facts,
            vendor=self.vendor,
            model=self.model,
            workflow=self.workflow,
            simulated=self.simulated,
            seconds=seconds,
            estimate=self.estimate,
            labels=self.labels,
        )

    def again(self, idempotency_key: str) -> Submission:
        """Make the same call as a new job, under a key of its own."""
        headers = {**self.send.headers, **_recognised_by(self.contract, idempotency_key)}
        content = self.send.content
        if (place := self.own_id_place) and content is not None:
            content = json.dumps(_with_own_id(self.body, place, idempotency_key)).encode()
        send = evolve(self.send, headers=headers, content=content)
        return evolve(self, idempotency_key=idempotency_key, send=send)

    def dump(self) -> str:
        """Write it as text. A key is never part of a submission: the driver adds it."""
        send = self.send
        parts = [
            [
                part.name,
                part.text,
                part.path and str(part.path.absolute()),
                part.content_type,
                None if part.content is None else base64.b64encode(part.content).decode(),
            ]
            for part in send.parts
        ]
        content = None if send.content is None else base64.b64encode(send.content).decode()
        document = {
            "operation": self.operation,
            "base_url": self.base_url,
            "method": send.method,
            "url": send.url,
            "headers": dict(send.headers),
            "content": content,
            "parts": parts,
            "stream": send.stream,
            "estimate": self.estimate,
            "labels": self.labels,
        }
        return json_text(document)

    @classmethod
    def load(
        cls,
        text: str,
        *,
        vendor: str,
        model: str | None,
        workflow: str,
        idempotency_key: str,
        simulated: bool,
        folder: str | None,
        reference: str | None,
    ) -> Self:
        """Read it from its text and the other columns of its entry."""
        document = json.loads(text)
        parts = tuple(_part(*columns) for columns in document["parts"])
        content = document["content"]
        send = Send(
            vendor=vendor,
            method=document["method"],
            url=document["url"],
            content=None if content is None else base64.b64decode(content),
            parts=parts,
            headers=document["headers"],
            paid=True,
            stream=document.get("stream", False),
        )
        return cls(
            vendor=vendor,
            model=model,
            workflow=workflow,
            operation=document["operation"],
            send=send,
            base_url=document["base_url"],
            idempotency_key=idempotency_key,
            simulated=simulated,
            folder=folder,
            reference=reference,
            estimate=document.get("estimate"),
            labels=document.get("labels", {}),
        )


@frozen
class Later:
    """A submit that its limits do not allow yet: nothing was sent."""

    limits: str
    seconds: float
    """After how many seconds it makes sense to try again."""


def json_text(document: object) -> str:
    """A document as JSON text, in a third of the time that `json` takes."""
    from pydantic_core import to_json  # noqa: PLC0415

    try:
        return to_json(document).decode()
    except ValueError:  # it has halves of letters, which only `json` can write
        return json.dumps(document)


def _part(
    name: str,
    text: str | None,
    path: str | None,
    content_type: str | None,
    content: str | None = None,  # not in the entries of older versions
) -> Part:
    given = None if content is None else base64.b64decode(content)
    return Part(name, text, Path(path) if path else None, content_type, given)


def _with_own_id(body: JsonObject, place: str, own_id: str) -> JsonObject:
    copy: JsonObject = json.loads(json.dumps(body))
    put(copy, place, own_id)
    return copy


def _recognised_by(operation: Operation, key: str) -> dict[str, str]:
    """The header by which a vendor recognises a repeated submit, where it has one."""
    header = operation.spec.get("x-polyreel-idempotency", {}).get("header")
    return {header: key} if header else {}


@frozen
class LedgerEntry:
    """One row of the ledger: one paid submit, and the job that it became."""

    id: str
    state: State
    submission: Submission
    job: Job | None
    reason: str | None
    """Why it is unsent, rejected, ambiguous or failed."""
    request_id: str | None
    attempts: int
    follows: str | None
    """The entry that this one was resubmitted from."""
    created_at: float
    """When it was first written down, in seconds since 1970; likewise the next two."""
    updated_at: float
    finished_at: float | None
    sent: Moment | None = None
    """When its last attempt was sent, by two clocks. Nothing that happens later changes it.

    None in the entries of older versions.
    """
    owned: bool = False
    """Whether a living thread or process works on it at the moment."""
    trouble: str | None = None
    """Why its row cannot be read. What could be read is there, and nothing can be done about it."""

    def check(self) -> LedgerEntry:
        """The entry itself; LedgerError where its row cannot be read."""
        if self.trouble is None:
            return self
        raise LedgerError(
            f"{self.id}: {self.trouble}, so nothing was done about it. "
            f"{self.vendor} may have billed it: look at its dashboard",
            vendor=self.vendor,
            ledger_id=self.id,
            billed="maybe",
        )

    @property
    def vendor(self) -> str:
        """The vendor that was to be paid."""
        return self.submission.vendor

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done about it."""
        return self.state in OPEN
