"""Client and AsyncClient: the same flows, driven with and without blocking."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from attrs import evolve

from .drivers import ManyJobsDriver, RealClock, Wire, arun, completed, origin, run
from .errors import LedgerError, RequestError, UnknownNameError
from .flows import Flow
from .jobs import recovery, routing, submitting, waiting
from .jobs.many import Completed, ManyJobs
from .jobs.recovery import Finding
from .jobs.routing import Health, Preference, ranked
from .keys import Secret
from .ledger.records import LedgerEntry, State
from .ledger.sqlite import Ledger
from .mapping import media
from .mapping.reports import Allowance
from .money.book import PriceBook
from .plans.planning import Plan, choose
from .providers.base.registry import all_providers, get_provider, ordered
from .simulator import Simulator
from .simulator.clock import VirtualClock

if TYPE_CHECKING:
    from polyreel_generated.shared import ImageRequest, Job, VideoRequest

    Request = VideoRequest | ImageRequest | Mapping[str, Any]

TIMEOUT: Final = 1800.0
CALL_TIMEOUT: Final = 60.0


class _Settings:
    """What both clients are made of."""

    def __init__(
        self,
        *,
        keys: Mapping[str, str] | None = None,
        vendors: Sequence[str] | None = None,
        base_urls: Mapping[str, str] | None = None,
        simulator: Simulator | None = None,
        ledger: Ledger | str | Path | None = None,
        retries: int = 2,
        call_timeout: float = CALL_TIMEOUT,
        prices: PriceBook | None = None,
        listener: Callable[[Job], None] | None = None,
    ) -> None:
        """`keys` (vendor id to API key) makes the client live for just those vendors: their jobs cost money.
        Without `keys` everything runs against `simulator`, or one of its own.

        `vendors` is the order in which vendors are tried where a call names none; left out, it is that of `keys`,
        or alphabetical. `base_urls` replaces a vendor's base URL. `listener` hears of every change of a job that is
        waited for.

        `ledger`, a file or a Ledger, writes every submit down before it is sent, so that nothing paid for is lost when
        the process dies. `retries` is how often a submit that is proved to be unpaid (never sent, or refused because
        of too many requests) is tried again. `call_timeout` is how many seconds a call may take as a whole, without
        files. `prices` are the user's own, which come before what vendors publish.
        """
        if keys and simulator:
            raise RequestError(["a client has keys, and is live, or a simulator, not both"])
        self.vendors = list(vendors or keys or ()) or None
        for vendor in (*(vendors or ()), *(base_urls or ()), *(keys or ())):
            get_provider(vendor)
        self.base_urls = {
            vendor: _base_url(vendor, url) for vendor, url in (base_urls or {}).items()
        }
        self.retries = retries
        self.prices = prices or PriceBook()
        self.health = Health()
        self._owns_ledger = not isinstance(ledger, Ledger)
        self.ledger = Ledger(ledger) if isinstance(ledger, str | Path) else ledger
        self.simulator = None if keys else simulator or self._simulator()
        hosts = {vendor: self._hosts(vendor) for vendor in all_providers()}
        if self.simulator is None:
            secrets = {
                vendor: Secret.check(key, f"the key for {vendor}")
                for vendor, key in (keys or {}).items()
            }
            self.wire = Wire(
                secrets, hosts, clock=RealClock(), listener=listener, ledger=self.ledger
            )
        else:
            from .simulator.transport import SimulatedTransport  # noqa: PLC0415

            transport = SimulatedTransport(self.simulator, self.base_urls)
            secrets = dict.fromkeys(all_providers(), Secret("simulated"))
            clock: Any = self.simulator.clock
            self.wire = Wire(
                secrets,
                hosts,
                transport=transport,
                clock=clock,
                listener=listener,
                ledger=self.ledger,
            )
        self.wire.call_seconds = call_timeout

    def _simulator(self) -> Simulator:
        """An embedded simulator; beside a ledger it remembers its jobs, so that they can be resumed."""
        simulator = Simulator()
        if self.ledger is not None:
            from .simulator.memory import remember  # noqa: PLC0415

            remember(simulator, self.ledger.path.with_name(f"{self.ledger.path.name}.simulated"))
            # Its time goes on where another process left it: what was seen there has happened.
            simulator.clock = VirtualClock(max(simulator.clock.now(), self.ledger.last_simulated()))
        return simulator

    def _hosts(self, vendor: str) -> frozenset[str]:
        servers = get_provider(vendor).servers
        return frozenset(origin(url) for url in (*servers, self.base_urls.get(vendor, servers[0])))

    @property
    def simulated(self) -> bool:
        """Whether jobs are simulated, so that nothing is paid."""
        return self.simulator is not None

    def plan(
        self,
        request: Request,
        vendor: str | None = None,
        *,
        allow: Mapping[str, Allowance] | None = None,
        preferences: Mapping[str, Any] | None = None,
        override: bool = False,
        stream: bool = False,
    ) -> Plan:
        """What would be sent, and what becomes of every field. Sends nothing; the plan may be refused.

        Without `vendor` it is the plan of the first vendor, in the client's order, that can serve the request. With
        `stream` the vendor tells of the job over the connection of the submit; where it cannot, the plan is refused.
        """
        candidates = ordered([vendor] if vendor else self.vendors)
        options: dict[str, Any] = {
            "allow": allow,
            "preferences": preferences,
            "override": override,
            "stream": stream,
        }
        return evolve(
            choose(request, candidates, base_urls=self.base_urls, **options), prices=self.prices
        )

    def plans(
        self,
        request: Request,
        vendors: Sequence[str] | None = None,
        *,
        prefer: Preference = "order",
        **options: Any,
    ) -> list[Plan]:
        """The plans of several vendors, in the order in which they are to be tried: as they come, or cheapest first.

        `submit` and `generate` take the list: the next vendor is asked where the one before it is proved unpaid.
        Refused plans are among them, so that the job can tell why. `options` are those of `plan`.
        """
        made = [
            self.plan(request, provider.id, **options)
            for provider in ordered(vendors or self.vendors)
        ]
        return ranked(made, prefer)

    def _here(self, plan: Plan) -> Plan:
        """The plan for this client's base URL, where it was made without one: submitting and polling go to one place.

        A plan for some other host is left as it is. The key does not go there, and it must not go to the vendor's
        own host instead: that could be billed.
        """
        own = self.base_urls.get(plan.vendor)
        return (
            evolve(plan, base_url=own) if own and plan.base_url == plan.provider.base_url else plan
        )

    def _submission(
        self, plans: Plan | Sequence[Plan], reference: str | None, output: str | Path | None
    ) -> Flow[Job]:
        self._needs_ledger(reference)
        folder = None if output is None else str(Path(output).absolute())
        options: dict[str, Any] = {
            "simulated": self.simulated,
            "idempotency_key": str(uuid.uuid4()),
        }
        options |= {"reference": reference, "folder": folder, "retries": self.retries}
        if isinstance(plans, Plan):
            return submitting.submit(self._here(plans), **options)
        return routing.submit_somewhere(
            [self._here(plan) for plan in plans], self.health, **options
        )

    def _generation(
        self,
        plans: Plan | Sequence[Plan],
        output: str | Path,
        timeout: float,
        reference: str | None,
    ) -> Flow[Job]:
        folder = Path(output).absolute()
        chosen = [plans] if isinstance(plans, Plan) else plans
        return recovery.generate_once(
            self._submission(plans, reference, folder),
            reference=reference,
            simulated=self.simulated,
            folder=folder,
            timeout=timeout,
            base_urls={plan.vendor: self._here(plan).base_url for plan in chosen},
            stream=any(plan.stream for plan in chosen),
        )

    def _plans(
        self,
        request: Request | Plan | Sequence[Plan],
        vendor: str | None,
        options: Mapping[str, Any],
    ) -> Any:
        if isinstance(request, Plan) or (
            isinstance(request, Sequence) and all(isinstance(one, Plan) for one in request)
        ):
            return request
        return self.plan(request, vendor, **options)  # type: ignore[arg-type]

    def _needs_ledger(self, reference: str | None) -> None:
        if reference is not None and self.ledger is None:
            raise RequestError(
                ["reference: it is kept in a ledger, and this client has none: pass ledger="]
            )

    def _resumption(self, name: str, output: str | Path | None, timeout: float) -> Flow[Job]:
        return recovery.resume(
            self._entry(name).id, folder=Path(output) if output else None, timeout=timeout
        )

    def _reconciliation(self, names: tuple[str, ...]) -> Flow[list[Finding]]:
        found = [self._entry(name).id for name in names] or [
            entry.id for entry in self.jobs(["ambiguous"])
        ]
        return recovery.reconcile(found)

    def _resubmission(
        self, name: str, accepted: bool, output: str | Path | None, timeout: float
    ) -> Flow[Job]:
        entry, folder = self._entry(name).id, Path(output) if output else None
        return recovery.resubmit(
            entry, accept_double_billing=accepted, folder=folder, timeout=timeout
        )

    def _entry(self, name: str) -> LedgerEntry:
        entry = self._kept().entry(name)
        self._refuse_other_kind(entry.id, entry.submission.simulated, ledger_id=entry.id)
        return entry

    def _kept(self) -> Ledger:
        if self.ledger is None:
            raise LedgerError("this client keeps no ledger: give it one with ledger=")
        return self.ledger

    def jobs(self, states: Iterable[State] | None = None) -> list[LedgerEntry]:
        """The ledger's entries that this client can do something about, oldest first: all, or those in some states."""
        return self._kept().entries(states, simulated=self.simulated)

    def _known(self, job: Job) -> Job:
        self._refuse_other_kind(job.id, job.simulated, vendor=job.vendor, job=job)
        return job

    def _refuse_other_kind(self, name: str, simulated: bool, **facts: Any) -> None:
        """A live client leaves simulated jobs alone, and the other way round."""
        if simulated != self.simulated:
            kind = "simulated" if simulated else "live"
            raise UnknownNameError(
                f"{name} is a {kind} job, and this client is not {kind}", **facts
            )

    def __reduce__(self) -> str:
        raise TypeError("a client is not pickled: it holds keys and connections")

    def _close_ledger(self) -> None:
        if self.ledger is not None and self._owns_ledger:
            self.ledger.close()


def _base_url(vendor: str, url: str) -> str:
    # The value is not shown: it may hold a password.
    trouble = "not an http(s) URL" if media.is_local(url) else media.url_problem(url)
    if trouble := trouble or (
        "it has a user name, query or fragment" if set("@?#") & set(url) else None
    ):
        raise RequestError([f"the base URL of {vendor}: {trouble}"])
    return url.rstrip("/")


def _each_once(jobs: Iterable[Job]) -> Iterator[Job]:
    seen: set[tuple[str, str]] = set()
    for job in jobs:
        if (job.vendor, job.id) not in seen:
            seen.add((job.vendor, job.id))
            yield job


class Client(_Settings):
    """Plans, submits, waits and downloads, blocking. Usable from one thread at a time."""

    def submit(
        self,
        plan: Plan | Sequence[Plan],
        *,
        reference: str | None = None,
        output: str | Path | None = None,
    ) -> Job:
        """Send the plan's bytes, once. Raises PlanRefusedError, or a SubmitError that tells what it may have cost.

        Of several plans (see `plans`) the first that a vendor takes is the job; never are two of them paid.

        With a ledger, a `reference` of yours is submitted once: ClaimedError where it has a job already. `output` is
        where `resume` will save the files.
        """
        return run(self._submission(plan, reference, output), self.wire)

    def get(self, job: Job) -> Job:
        """Ask the vendor how the job is doing."""
        return run(waiting.get(self._known(job), self.base_urls.get(job.vendor)), self.wire)

    def wait(self, job: Job, timeout: float = TIMEOUT) -> Job:
        """Wait until the job is final; StillRunningError after `timeout` seconds, and the job goes on."""
        flow = waiting.wait(
            self._known(job), timeout=timeout, base_url=self.base_urls.get(job.vendor)
        )
        return run(flow, self.wire)

    def as_completed(self, jobs: Iterable[Job], timeout: float = TIMEOUT) -> Iterator[Completed]:
        """Wait for many jobs at once; each comes out once, as it ends, or after `timeout` seconds as one that goes on.

        What goes wrong with one job stops none of the others: it is in `Completed.error`. Several jobs of a vendor are
        asked about with one call where it has such a call.
        """
        fleet = ManyJobs(self.simulated, self.wire.randomness)
        for job in _each_once(jobs):
            base_url = self.base_urls.get(job.vendor)
            yield from run(
                fleet.enrol(self._known(job), timeout=timeout, base_url=base_url), self.wire
            )
        yield from completed(fleet, self.wire)

    def download(self, job: Job, output: str | Path) -> Job:
        """Save the outputs in a folder; returns the job with their paths."""
        return run(
            submitting.download(self._known(job), Path(output), self.base_urls.get(job.vendor)),
            self.wire,
        )

    def generate(
        self,
        request: Request | Plan | Sequence[Plan],
        vendor: str | None = None,
        *,
        output: str | Path = "clips",
        timeout: float = TIMEOUT,
        reference: str | None = None,
        **options: Any,
    ) -> Job:
        """Plan, submit, wait and download. `options` are those of `plan`.

        With a ledger, a `reference` of yours is paid once: called again, it goes on with the job it has.
        """
        plans = self._plans(request, vendor, options)
        return run(self._generation(plans, output, timeout, reference), self.wire)

    def resume(
        self, name: str, *, output: str | Path | None = None, timeout: float = TIMEOUT
    ) -> Job:
        """Finish the job of a ledger entry: wait, download. Does nothing where nothing is left to do."""
        return run(self._resumption(name, output, timeout), self.wire)

    def reconcile(self, *names: str) -> list[Finding]:
        """Find out what became of ambiguous entries (all, or these). Never makes a second job."""
        return run(self._reconciliation(names), self.wire)

    def adopt(self, name: str, task_id: str) -> Job:
        """Say which of the vendor's tasks an ambiguous entry is."""
        return run(recovery.adopt(self._entry(name).id, task_id), self.wire)

    def resubmit(
        self,
        name: str,
        *,
        accept_double_billing: bool = False,
        output: str | Path | None = None,
        timeout: float = TIMEOUT,
    ) -> Job:
        """Pay for an ambiguous entry anew, on your word that being billed twice is accepted, and finish it."""
        flow = self._resubmission(name, accept_double_billing, output, timeout)
        return run(flow, self.wire)

    def close(self) -> None:
        """Close the connections, and the ledger if it is the client's own."""
        self.wire.close()
        self._close_ledger()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient(_Settings):
    """Plans, submits, waits and downloads, awaiting. The same flows as Client, so the same bytes in the same order."""

    async def submit(
        self,
        plan: Plan | Sequence[Plan],
        *,
        reference: str | None = None,
        output: str | Path | None = None,
    ) -> Job:
        """Send the plan's bytes, once. Raises PlanRefusedError, or a SubmitError that tells what it may have cost.

        Of several plans (see `plans`) the first that a vendor takes is the job; never are two of them paid.

        With a ledger, a `reference` of yours is submitted once: ClaimedError where it has a job already. `output` is
        where `resume` will save the files.
        """
        return await arun(self._submission(plan, reference, output), self.wire)

    async def get(self, job: Job) -> Job:
        """Ask the vendor how the job is doing."""
        return await arun(waiting.get(self._known(job), self.base_urls.get(job.vendor)), self.wire)

    async def wait(self, job: Job, timeout: float = TIMEOUT) -> Job:
        """Wait until the job is final; StillRunningError after `timeout` seconds, and the job goes on."""
        flow = waiting.wait(
            self._known(job), timeout=timeout, base_url=self.base_urls.get(job.vendor)
        )
        return await arun(flow, self.wire)

    async def as_completed(
        self, jobs: Iterable[Job], timeout: float = TIMEOUT
    ) -> AsyncIterator[Completed]:
        """Wait for many jobs at once; each comes out once, as it ends, or after `timeout` seconds as one that goes on.

        Ten thousand are no problem: there is no task and no connection for each. What goes wrong with one job stops
        none of the others: it is in `Completed.error`. Several jobs of a vendor are asked about with one call where it
        has such a call.
        """
        async with ManyJobsDriver(
            self.wire, ManyJobs(self.simulated, self.wire.randomness)
        ) as crew:
            for job in _each_once(jobs):
                base_url = self.base_urls.get(job.vendor)
                await crew.enrol(self._known(job), timeout=timeout, base_url=base_url)
            async for end in crew:
                yield end

    async def download(self, job: Job, output: str | Path) -> Job:
        """Save the outputs in a folder; returns the job with their paths."""
        return await arun(
            submitting.download(self._known(job), Path(output), self.base_urls.get(job.vendor)),
            self.wire,
        )

    async def generate(
        self,
        request: Request | Plan | Sequence[Plan],
        vendor: str | None = None,
        *,
        output: str | Path = "clips",
        timeout: float = TIMEOUT,
        reference: str | None = None,
        **options: Any,
    ) -> Job:
        """Plan, submit, wait and download. `options` are those of `plan`.

        With a ledger, a `reference` of yours is paid once: called again, it goes on with the job it has.
        """
        plans = self._plans(request, vendor, options)
        return await arun(self._generation(plans, output, timeout, reference), self.wire)

    async def resume(
        self, name: str, *, output: str | Path | None = None, timeout: float = TIMEOUT
    ) -> Job:
        """Finish the job of a ledger entry: wait, download. Does nothing where nothing is left to do."""
        return await arun(self._resumption(name, output, timeout), self.wire)

    async def reconcile(self, *names: str) -> list[Finding]:
        """Find out what became of ambiguous entries (all, or these). Never makes a second job."""
        return await arun(self._reconciliation(names), self.wire)

    async def adopt(self, name: str, task_id: str) -> Job:
        """Say which of the vendor's tasks an ambiguous entry is."""
        return await arun(recovery.adopt(self._entry(name).id, task_id), self.wire)

    async def resubmit(
        self,
        name: str,
        *,
        accept_double_billing: bool = False,
        output: str | Path | None = None,
        timeout: float = TIMEOUT,
    ) -> Job:
        """Pay for an ambiguous entry anew, on your word that being billed twice is accepted, and finish it."""
        flow = self._resubmission(name, accept_double_billing, output, timeout)
        return await arun(flow, self.wire)

    async def close(self) -> None:
        """Close the connections, and the ledger if it is the client's own."""
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
