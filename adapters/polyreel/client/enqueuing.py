"""What clients do to have a job submitted later, by a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RequestError
from ..jobs.work import Engine, Submit
from ..plans.planning import Plan
from .checks import check_labels, check_reference, checked_output

if TYPE_CHECKING:
    from ..flows import Flow
    from ..ledger.database import Transaction
    from ..ledger.records import LedgerEntry


def enqueuing(
    plans: Plan | Sequence[Plan],
    *,
    simulated: bool,
    reference: str | None,
    output: str | Path | None,
    labels: Mapping[str, str] | None,
    limits: str | None,
    connection: object,
    engine: Engine | None,
) -> Flow[LedgerEntry]:
    """The flow that writes down a job that is submitted later. `plans` have to be one plan."""
    from ..jobs import queued, recovery
    from ..jobs.naming import named
    from ..ledger.events import Queue
    from ..ledger.records import Submission, new_idempotency_key

    if not isinstance(plans, Plan):
        raise RequestError(["enqueue takes one plan: the first of these, or another one"])
    check_reference(reference)
    check_reference(limits, "limits")
    check_labels(labels)
    queued.check(plans)
    folder = None
    if output is not None:
        folder = str(named(checked_output(output, [plans]), reference))
    submission = Submission.of(
        plans,
        idempotency_key=new_idempotency_key(),
        simulated=simulated,
        folder=folder,
        reference=reference,
        labels=labels,
        limits=limits,
    )
    carry = None if engine is None else _carry(engine)
    flow = queued.enqueue(Queue(submission, connection, carry))
    return recovery.submit_once(flow, [plans], reference, simulated=simulated)


def _carry(engine: Engine) -> Callable[[str, Transaction], None]:
    def carry(entry: str, transaction: Transaction) -> None:
        engine.put(Submit((entry,)), transaction)

    return carry
