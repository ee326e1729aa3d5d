"""What is written down about a paid job: its submission, and what becomes of it. No file and no clock here.

The ledger (`polyreel.ledger.sqlite`) keeps one `Entry` for each attempt at a paid submit. Flows tell it of four events:
`Intend` before the first byte, `Settle` when the outcome is known, `Keep` for every later state, `Claim` to take a
job over.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from attrs import evolve, frozen

from ..flows import Part, Send
from ..providers.base.registry import get_provider

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..places import JsonObject
    from ..plans.planning import Plan
    from ..providers.base.contract import Operation
    from ..providers.base.provider import Provider


State = Literal[
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
"""Where an attempt is. `sending` of a process that has died is as good as `ambiguous`."""


PROVED_UNPAID: Final = frozenset({"unsent", "rejected"})


OPEN: Final = frozenset({"sending", "ambiguous", "accepted", "succeeded"})
"""States that somebody still has to do something about."""


SUPERSEDED: Final = frozenset({*PROVED_UNPAID, "abandoned", "resubmitted"})
"""States that do not keep a reference from being used again."""


@frozen
class Submission:
    """A paid call and what it is for, as it can be written down, and sent again on the user's word."""

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
    """The caller's own name of the job: one reference is paid once."""
    estimate: Mapping[str, str | None] | None = None
    """What the plan said that it would cost, as JSON; None in what was written down before that was kept."""

    @classmethod
    def of(
        cls,
        plan: Plan,
        *,
        idempotency_key: str,
        simulated: bool,
        folder: str | None = None,
        reference: str | None = None,
    ) -> Self:
        """The submission of a plan whose uploads are done."""
        operation = plan.operation
        fixed = (plan.vendor, plan.model, plan.workflow, operation.id)
        sent = plan.step(_recognised_by(operation, idempotency_key))
        estimate = plan.cost.document()
        return cls(
            *fixed, sent, plan.base_url, idempotency_key, simulated, folder, reference, estimate
        )

    @property
    def provider(self) -> Provider:
        """Who would be paid."""
        return get_provider(self.vendor)

    @property
    def contract(self) -> Operation:
        """The call in the vendor's contract."""
        return self.provider.contract.operations[self.operation]

    @property
    def about(self) -> dict[str, Any]:
        """What the job that it becomes takes over from it: see `jobs.started`."""
        names = ("vendor", "model", "workflow", "simulated", "estimate")
        return {name: getattr(self, name) for name in names}

    @property
    def is_replayable(self) -> bool:
        """Whether the vendor answers a repetition under the same key with the first task, instead of making another."""
        return bool(self.contract.spec.get("x-polyreel-idempotency", {}).get("mode") == "replay")

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
        """A hash of what is asked for, and of whom."""
        send = self.send
        parts = [[part.name, part.text, str(part.path or "")] for part in send.parts]
        content = send.content if send.content is not None else json.dumps(parts).encode()
        return hashlib.sha256(f"{send.method} {send.url}\n".encode() + content).hexdigest()

    def again(self, idempotency_key: str) -> Submission:
        """The same call as a new job, under a key of its own."""
        headers = {**self.send.headers, **_recognised_by(self.contract, idempotency_key)}
        return evolve(
            self, idempotency_key=idempotency_key, send=evolve(self.send, headers=headers)
        )

    def dump(self) -> str:
        """As text. A key is never part of a submission: the driver adds it."""
        send = self.send
        paths = [part.path and str(part.path.absolute()) for part in send.parts]
        parts = [
            [part.name, part.text, path, part.content_type]
            for part, path in zip(send.parts, paths, strict=True)
        ]
        content = None if send.content is None else base64.b64encode(send.content).decode()
        facts = {
            "operation": self.operation,
            "base_url": self.base_url,
            "method": send.method,
            "url": send.url,
        }
        sent = {
            "headers": dict(send.headers),
            "content": content,
            "parts": parts,
            "stream": send.stream,
        }
        return json.dumps({**facts, **sent, "estimate": self.estimate})

    @classmethod
    def load(cls, text: str, **columns: Any) -> Self:
        """From the text and the ledger's columns."""
        facts = json.loads(text)
        parts = tuple(
            Part(name, value, path and Path(path), kind)
            for name, value, path, kind in facts["parts"]
        )
        content = None if facts["content"] is None else base64.b64decode(facts["content"])
        sent = {
            "content": content,
            "parts": parts,
            "headers": facts["headers"],
            "stream": facts.get("stream", False),
        }
        send = Send(columns["vendor"], facts["method"], facts["url"], paid=True, **sent)
        told = {
            "operation": facts["operation"],
            "base_url": facts["base_url"],
            "estimate": facts.get("estimate"),
        }
        return cls(**told, send=send, **columns)


def _recognised_by(operation: Operation, key: str) -> dict[str, str]:
    """The header by which a vendor recognises a repeated submit, where it has one."""
    header = operation.spec.get("x-polyreel-idempotency", {}).get("header")
    return {header: key} if header else {}


@frozen
class LedgerEntry:
    """One row of the ledger: one attempt at a paid submit, and the job it became."""

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
    owned: bool = False
    """Whether a living thread or process looks after it just now."""

    @property
    def vendor(self) -> str:
        """Who was to be paid."""
        return self.submission.vendor

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done about it."""
        return self.state in OPEN
