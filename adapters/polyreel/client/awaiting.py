"""AsyncClient: the flows of a job, driven by asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from ..flows import with_listener
from .byid import JobCalls
from .fields import GenerateOptions
from .settings import IDLE_SECONDS, TIMEOUT, each_once

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

    from ..flows import Flow
    from ..jobs.canceling import Cancellation
    from ..jobs.many import Completed
    from ..jobs.recovery import Finding
    from ..jobs.work import Engine
    from ..ledger.records import LedgerEntry
    from ..ledger.store import Delivered
    from ..plans.planning import Plan
    from ..providers.base.registry import Vendor
    from ..providers.base.webhooks import Event
    from .settings import Request
    from .working import Stop

T = TypeVar("T")


class AsyncClient(JobCalls):
    """Plan, submit, wait and download, to be awaited. It sends the same bytes as Client does.

    >>> import asyncio, polyreel
    >>> async def make() -> str:
    ...     async with polyreel.AsyncClient() as client:  # simulated: nothing is sent or paid
    ...         job = await client.submit(client.plan({"prompt": "a cat"}, "uniall"))
    ...         return (await client.wait(job)).status
    >>> asyncio.run(make())
    'succeeded'
    """

    async def _run(self, flow: Flow[T]) -> T:
        from ..drivers import arun

        return await arun(flow, self.wire)

    async def submit(
        self,
        plan: Request | Plan | Sequence[Plan] | str,
        vendor: Vendor | None = None,
        *,
        reference: str | None = None,
        output: str | Path | None = None,
        labels: Mapping[str, str] | None = None,
        limits: str | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Job:
        """Send a plan's bytes once. A request or a text is planned first: see `plan`.

        Of several plans (see `plans`) the first that a vendor takes becomes the job. Two of them
        are never paid. With a ledger, a `reference` of yours is submitted once. `output` is the
        folder in which `resume` saves the files; `labels` are yours, and come back with the job.
        `limits` names limits that it shares with other jobs: see `set_limits`.

        Raises PlanRefusedError before anything is sent, ClaimedError where the reference has the
        job of this request already, RequestError where it has that of another one, and a
        SubmitError that says what the submit may have cost. Where limits are reached, it raises
        BudgetError, or LedgerError where the job may be submitted later. Nothing is sent then.
        """
        plans = self._planned(plan, vendor, options)
        return await self._run(self._submission(plans, reference, output, labels, limits))

    async def enqueue(
        self,
        request: Request | Plan | str,
        vendor: Vendor | None = None,
        *,
        reference: str | None = None,
        output: str | Path | None = None,
        labels: Mapping[str, str] | None = None,
        limits: str | None = None,
        connection: object = None,
        engine: Engine | None = None,
        **options: Unpack[GenerateOptions],
    ) -> LedgerEntry:
        """Have a job submitted later, by a worker: nothing is sent. The result is its ledger entry.

        The entry is `queued`, and holds its reference, as a submitted job does. A worker submits it
        (`polyreel worker`), and saves its files in `output`, where that is given.

        Args:
            request: a plan, or what `plan` takes.
            vendor: as for `plan`.
            reference: your own name of the job. It is submitted once.
            output: where a worker saves the files: a folder of its machine, or a URL of object
                storage such as `s3://bucket/clips`.
            labels: yours; they come back with the job.
            limits: the name of limits that it shares with others: see `set_limits`.
            connection: a psycopg connection of yours to the ledger's database. The entry is
                written in its transaction, and is there when you commit.
            engine: what carries the work to a worker, in the same transaction. Without one, a
                worker finds the entry in the ledger.
            options: those of `plan`, and the fields of a request that is given as a text.

        Raises PlanRefusedError as `submit` does, ClaimedError where the reference has an entry,
        whose id is its `ledger_id`, RequestError also for a request with files of this machine,
        BudgetError for an unknown price where `limits` limit the cost,
        and LedgerError where the client keeps no ledger.
        """
        plan = self._plans(request, vendor, options)
        flow = self._enqueuing(plan, reference, output, labels, limits, connection, engine)
        return await self._run(flow)

    async def get(self, job: Job) -> Job:
        """Ask the vendor how the job is doing."""
        return await self._run(self._query(job))

    async def track(
        self, vendor: str, task_id: str, *, labels: Mapping[str, str] | None = None
    ) -> Job:
        """The job of a task that was made elsewhere, or before, by its id.

        It enters the ledger, if there is one. Raises TaskNotFoundError where the vendor does not
        know the task.
        """
        return await self._run(self._tracking(vendor, task_id, labels))

    async def look(self, name: str) -> Job:
        """Ask the vendor how the job of a ledger entry is doing. Nothing is saved."""
        return await self._run(self._look(name))

    async def cancel(self, job: Job | str) -> Cancellation:
        """Ask the vendor to stop a job, or the job of a ledger entry, as far as that is offered.

        The result says what became of it, and what that means for the bill. A vendor that documents
        no such call is not asked. Raises VendorError where the vendor refuses.
        """
        return await self._run(self._cancellation(job))

    async def wait(
        self,
        job: Job,
        timeout: float = TIMEOUT,
        *,
        listener: Callable[[Job], None] | None = None,
    ) -> Job:
        """Wait until a job has ended, at most `timeout` seconds.

        `listener` is called with the job at each change, beside that of the client. Raises
        StillRunningError after that time. The job goes on, and can be waited for again.
        """
        return await self._run(with_listener(self._wait(job, timeout), listener))

    async def as_completed(
        self, jobs: Iterable[Job], timeout: float = TIMEOUT
    ) -> AsyncIterator[Completed]:
        """Wait for many jobs at once. Each comes out when it has ended, or after `timeout` seconds.

        What goes wrong with one job stops no other: it is in `Completed.error`. Several jobs of a
        vendor are asked about with one call where the vendor has such a call.
        """
        from ..drivers import ManyJobsDriver

        async with ManyJobsDriver(self.wire, self._many(timeout)) as driver:
            known = each_once(map(self._known, jobs))
            places = ((job, self.base_urls.get(job.vendor)) for job in known)
            await driver.enrol_all(places, timeout=timeout)
            async for end in driver:
                yield end

    async def download(self, job: Job, output: str | Path) -> Job:
        """Save the outputs in a folder, or in object storage. The result is the job with their
        paths, or URLs.

        Raises DownloadError where a file could not be saved; downloading again costs nothing.
        """
        return await self._run(self._download(job, output))

    async def generate(
        self,
        request: Request | Plan | Sequence[Plan] | str,
        vendor: Vendor | None = None,
        *,
        output: str | Path = "clips",
        timeout: float = TIMEOUT,
        reference: str | None = None,
        labels: Mapping[str, str] | None = None,
        listener: Callable[[Job], None] | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Job:
        """Plan, submit, wait and download; `options` are those of `plan`.

        A text is the prompt of a request whose other fields are keywords, such as `duration=5`.
        With a ledger, a `reference` of yours is paid once. Called again with it, the method goes on
        with the job that there is. `timeout` is how many seconds the job is waited for; `listener`
        is called with it at each change. Raises what `plan`, `submit`, `wait` and `download` raise,
        and JobFailedError for a job that failed.
        """
        plans = self._plans(request, vendor, options)
        flow = self._generation(plans, output, timeout, reference, labels)
        return await self._run(with_listener(flow, listener))

    async def resume(
        self,
        name: str,
        *,
        output: str | Path | None = None,
        timeout: float = TIMEOUT,
        listener: Callable[[Job], None] | None = None,
    ) -> Job:
        """Finish the job of a ledger entry: wait and download, as far as that is still to do."""
        return await self._run(with_listener(self._resumption(name, output, timeout), listener))

    async def reconcile(self, *names: str) -> list[Finding]:
        """Find out what became of ambiguous entries, all or these. It never makes a second job."""
        return await self._run(self._reconciliation(names))

    async def adopt(self, name: str, task_id: str) -> Job:
        """Say which of the vendor's tasks an ambiguous entry is."""
        return await self._run(self._adoption(name, task_id))

    async def resubmit(
        self,
        name: str,
        *,
        accept_double_billing: bool = False,
        output: str | Path | None = None,
        timeout: float = TIMEOUT,
        listener: Callable[[Job], None] | None = None,
    ) -> Job:
        """Submit an ambiguous entry once more, and finish it.

        The first submit may have been billed, so this needs `accept_double_billing=True`.
        `listener` is called with the job at each change.
        """
        flow = self._resubmission(name, accept_double_billing, output, timeout)
        return await self._run(with_listener(flow, listener))

    async def webhook_keys(self, vendor: Vendor) -> str:
        """The keys under which a vendor signs its webhooks, where it publishes them.

        The text is what `polyreel.parse_webhook` takes as `secret`; keep it for a day at most.
        UnknownNameError is raised for a vendor that publishes none.
        """
        return await self._run(self._webhook_keys(vendor))

    async def deliver(self, event: Event) -> Delivered:
        """Write a webhook's event (see `polyreel.parse_webhook`) into the ledger, once.

        The job changes as the event says where the vendor's signature was checked. The result's
        `effect` says what happened; after a `hint` nothing is believed, and `look` (or `work`) asks
        the vendor. Raises LedgerError where the client keeps no ledger, or it cannot be written.
        """
        return self._delivery(event)

    async def work(
        self,
        *,
        stop: Stop | None = None,
        until_done: bool = False,
        output: str | Path | None = None,
        listener: Callable[[Job], None] | None = None,
    ) -> int:
        """Finish what is in the ledger, until stopped: wait for each open job and save its files.

        Jobs of this client's kind (live or simulated) are taken up whoever submitted them, also
        while it works; several processes may work on one ledger. Nothing is ever submitted again:
        ambiguous submits are reconciled. What cannot be finished is logged, and tried again.

        Args:
            stop: such as an `asyncio.Event`: the work ends soon after it is set.
            until_done: whether to return when nothing is left that can be done now.
            output: where files of jobs are saved that were submitted without `output`. Without it,
                those jobs are only followed to their end.
            listener: called with each job that has ended.

        The result is how many jobs were finished. Raises LedgerError where the client keeps no
        ledger, or it cannot be read.
        """
        import asyncio

        work = self._work(output, listener)
        while not (stop is not None and stop.is_set()):
            step = work.next(self.wire.clock.now())
            if not isinstance(step, float):
                await self._run(step)
            elif not work.idle:
                await self.wire.clock.asleep(step)
            elif until_done:
                break
            else:
                await asyncio.sleep(IDLE_SECONDS)  # the clock of a simulator would not wait
                self._let_time_pass(0.0)
        return work.finished

    async def close(self) -> None:
        """Close the connections, and the ledger if it is the client's own."""
        if self._has_wire:
            await self.wire.aclose()
        self._close_ledger()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
