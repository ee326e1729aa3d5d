"""What clients do with jobs by their ids: look, cancel, and list those of the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, Unpack

from ..errors import LedgerError
from ..plans.planning import Plan
from ..providers.base.registry import all_providers, get_provider
from .checks import check_labels, check_reference, check_seconds, checked_output
from .settings import ClientSettings

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..flows import Flow
    from ..jobs.canceling import Cancellation
    from ..jobs.recovery import Finding
    from ..jobs.work import Engine
    from ..ledger.limits import LimitChanges, LimitRows, SharedLimit
    from ..ledger.records import LedgerEntry, State
    from ..ledger.store import Delivered
    from ..providers.base.registry import Vendor
    from ..providers.base.webhooks import Event
    from ..simulator import Simulator
    from .fromenv import EnvOptions
    from .working import LedgerWork

SIMULATED_SPEED: Final = 20.0
"""How many times faster than life the embedded simulator goes on between two queries."""
SIMULATED_STEP: Final = 5.0
"""The least seconds by which it goes on from query to query, so that every poll loop ends."""


class JobCalls(ClientSettings):
    """The calls about jobs that both clients have beside those of their own jobs."""

    _seen: float | None = None
    """When the embedded simulator's time was last moved, in seconds of a monotonic clock."""

    @classmethod
    def from_env(
        cls,
        env_file: str | Path | None = None,
        *,
        live: bool | None = None,
        vendors: Sequence[str] | None = None,
        **options: Unpack[EnvOptions],
    ) -> Self:
        """A client with the keys, base URLs, ledger and network of the environment.

        Variables come from the process, and then from a `.env` file: `env_file`, or the one in the
        current folder, if there is one. Keys that are not set there are those that `polyreel keys`
        has stored. The ledger is that of the command line (POLYREEL_LEDGER, or a file in the user's
        data folder); the order of vendors is that of POLYREEL_VENDORS.

        Args:
            env_file: a file with `NAME=value` lines. It is not put into the process's environment.
            live: True needs a key, False makes the client simulated. By default it is live where a
                key is set or stored: then its jobs cost money.
            vendors: the vendors whose keys are used, in the order to try them.
            options: other settings of the client, which go before those of the environment.

        Raises RequestError for a file or a setting that cannot be used, KeyMissingError where a key
        is needed or cannot be one, and LedgerError for an unusable ledger.
        """
        from .fromenv import settings

        return cls(**settings(env_file, live=live, vendors=vendors, given=options))

    def _repr_html_(self) -> str:
        """As a table in a notebook."""
        from ..notebook.html import facts

        kind = "simulated: nothing is sent or paid" if self.simulated else "live: jobs cost money"
        values = {
            "vendors": ", ".join(self.vendors or all_providers()),
            "keys": None if self.simulated else f"for {', '.join(self._keys)}, never shown",
            "base URLs": "\n".join(f"{k}: {v}" for k, v in self.base_urls.items()) or None,
            "ledger": getattr(self.ledger, "path", None)
            or "none; only this process knows the jobs",
        }
        return facts(f"{type(self).__name__}, {kind}", values)

    def _embedded_simulator(self) -> Simulator:
        self._seen = time.monotonic()
        return super()._embedded_simulator()

    def _let_time_pass(self, least: float = SIMULATED_STEP) -> None:
        """Move the embedded simulator's time: it goes on while a caller sleeps between queries."""
        simulator = self.simulator
        if simulator is None or self._seen is None:
            return
        from ..simulator import VirtualClock

        before, self._seen = self._seen, time.monotonic()
        if isinstance(simulator.clock, VirtualClock):
            simulator.clock.advance(max(least, (self._seen - before) * SIMULATED_SPEED))

    def _query(self, job: Job) -> Flow[Job]:
        from ..jobs import waiting

        known = self._known(job)
        self._let_time_pass()
        return waiting.look(known, self.base_urls.get(job.vendor))

    def _enqueuing(
        self,
        plans: Plan | Sequence[Plan],
        reference: str | None,
        output: str | Path | None,
        labels: Mapping[str, str] | None,
        limits: str | None,
        connection: object,
        engine: Engine | None,
    ) -> Flow[LedgerEntry]:
        from .enqueuing import enqueuing

        self._kept()
        return enqueuing(
            self._here(plans) if isinstance(plans, Plan) else plans,
            simulated=self.simulated,
            reference=reference,
            output=output,
            labels=labels,
            limits=limits,
            connection=connection,
            engine=engine,
        )

    def _webhook_keys(self, vendor: Vendor) -> Flow[str]:
        from ..providers.base.published import fetch_keys

        return fetch_keys(get_provider(vendor))

    def _delivery(self, event: Event) -> Delivered:
        return self._kept().deliver(event, self.wire.clock.now(), simulated=self.simulated)

    def _work(
        self, output: str | Path | None, listener: Callable[[Job], None] | None
    ) -> LedgerWork:
        from .working import LedgerWork

        folder = None if output is None else checked_output(output)
        ledger, many = self._kept(), self._many(float("inf"))
        return LedgerWork(ledger, self.simulated, many, folder, listener)

    def _tracking(self, vendor: str, task: str, labels: Mapping[str, str] | None) -> Flow[Job]:
        from ..jobs import tracking, waiting

        check_labels(labels)
        base_url = self.base_urls.get(get_provider(vendor).id)
        entry = None
        if self.ledger is not None:
            entry = self.ledger.of_task(vendor, task, simulated=self.simulated)
        self._let_time_pass()
        if entry is not None:
            job = _job_of(entry)
            return waiting.look(job, entry.submission.base_url)
        return tracking.track(
            vendor, task, simulated=self.simulated, base_url=base_url, labels=labels
        )

    def _look(self, name: str) -> Flow[Job]:
        from ..jobs import waiting

        entry = self._entry(name)
        self._let_time_pass()
        return waiting.look(_job_of(entry), entry.submission.base_url)

    def _cancellation(self, job: Job | str) -> Flow[Cancellation]:
        from ..jobs import canceling

        if isinstance(job, str):
            entry = self._entry(job)
            return canceling.cancel(_job_of(entry), entry.submission.base_url)
        return canceling.cancel(self._known(job), self.base_urls.get(job.vendor))

    def _adoption(self, name: str, task_id: str) -> Flow[Job]:
        from ..jobs import recovery

        return recovery.adopt(self._entry(name).id, task_id)

    def _resumption(self, name: str, output: str | Path | None, timeout: float) -> Flow[Job]:
        from ..jobs import recovery

        check_seconds("timeout", timeout)
        folder = None if output is None else checked_output(output)
        return recovery.resume(self._entry(name).id, folder=folder, timeout=timeout)

    def _reconciliation(self, names: tuple[str, ...]) -> Flow[list[Finding]]:
        from ..jobs import recovery

        if names:
            return recovery.reconcile([self._entry(name).id for name in names])
        ambiguous = self._kept().each_entry(["ambiguous"], simulated=self.simulated)
        return recovery.reconcile([entry.id for entry in ambiguous])

    def _resubmission(
        self, name: str, accepted: bool, output: str | Path | None, timeout: float
    ) -> Flow[Job]:
        from ..jobs import recovery

        check_seconds("timeout", timeout)
        folder = None if output is None else checked_output(output)
        entry = self._entry(name).id
        return recovery.resubmit(
            entry, accept_double_billing=accepted, folder=folder, timeout=timeout
        )

    def jobs(
        self,
        states: Iterable[State] | None = None,
        *,
        vendor: str | None = None,
        labels: Mapping[str, str] | None = None,
        name: str | None = None,
        reference: str | None = None,
        since: float | None = None,
        until: float | None = None,
        last: int | None = None,
    ) -> list[LedgerEntry]:
        """The ledger's entries of this client's kind (live or simulated), oldest first.

        Each argument selects some of them: states, a vendor, labels that an entry has all of, the
        `reference` it was submitted under, a `name` in which `*` is any text, and when they were
        made, in seconds since 1970, from `since` and before `until`. `last` is how many at most,
        the newest; `ledger.each_entry` gives any number one by one. A reference has several entries
        where the first were proved unpaid: the newest tells how it is. Raises LedgerError where the
        client keeps no ledger.
        """
        from ..ledger.selection import Selection

        chosen = Selection(
            states=None if states is None else frozenset(states),
            vendor=vendor,
            labels=labels or {},
            name=name,
            reference=reference,
            since=since,
            until=until,
            simulated=self.simulated,
        )
        return chosen.of(self._kept(), last)

    def set_limits(
        self, name: str, vendor: Vendor | None = None, **changes: Unpack[LimitChanges]
    ) -> None:
        """Set the limits that all jobs share which are enqueued with `limits=name`.

        They hold for all who work on the ledger, and are checked in the transaction in which a
        submit begins. What is left out stays as it is; None takes a limit away.

        Args:
            name: a name of yours, such as "web".
            vendor: whose rate and concurrency are set; by default those at each vendor.
            changes: `max_cost`, the most dollars that all may cost together, in which counts as
                spent what is not proved unpaid; `concurrency`, how many may be under way at one
                vendor; and `rate`, how many are begun there in a minute at most.

        Raises RequestError for limits that make no sense.

        >>> from tempfile import TemporaryDirectory
        >>> from polyreel import Client
        >>> with TemporaryDirectory() as folder, Client(ledger=f"{folder}/ledger") as client:
        ...     client.set_limits("web", max_cost=20, rate=30)
        ...     [limit.max_cost for limit in client.shared_limits("web")]
        [Decimal('20')]
        """
        from .limiting import checked_changes

        kept, own = self._limit_rows(), "" if vendor is None else get_provider(vendor).id
        check_reference(name, "limits")
        kept.set(name, own, simulated=self.simulated, changes=checked_changes(changes, own))

    def shared_limits(self, name: str | None = None) -> list[SharedLimit]:
        """List the limits of this client's kind of jobs, with what counts under them now.

        The first of each name is for all vendors together; its pace holds at each of them.
        """
        return self._limit_rows().found(name, simulated=self.simulated)

    def _limit_rows(self) -> LimitRows:
        from ..ledger.keeping import StoredLedger

        ledger = self._kept()
        if not isinstance(ledger, StoredLedger):
            raise LedgerError("limits are kept in a ledger of polyreel's own")
        return ledger.limits


def _job_of(entry: LedgerEntry) -> Job:
    job = entry.check().job
    if job is None:
        text = f"{entry.id} is {entry.state}: no task of it is known"
        raise LedgerError(text, vendor=entry.vendor, ledger_id=entry.id)
    return job
