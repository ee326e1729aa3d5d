"""What the tools for agents do, without the protocol that they are called by.

Agents repeat calls whose answer was lost. So each job has a name, in the ledger, and a call under
the name of a job goes on with that job: it never pays again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, get_args

from attrs import define, field

from ..client import AsyncClient
from ..client.checks import check_seconds, checked_output, local_folder
from ..errors import LedgerError, PolyreelError, RequestError, UnknownNameError
from ..jobs.documents import entry_document, error_facts, finding_document
from ..jobs.sameness import check_request as check_same_request
from ..ledger.events import Find
from ..ledger.records import PROVED_UNPAID, LedgerEntry, State
from ..ledger.store import LedgerStore
from ..mapping.reports import Allowance
from ..places import JsonObject
from ..plans.planning import PORTABLE, Plan
from ..plans.requests import CheckedRequest, check_request
from ..plans.translation import translate
from ..providers.base.registry import get_provider, ordered
from .advice import next_step
from .limits import AgentBudget, check_files, check_limit
from .naming import check_name, derived_name

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

NAME: Final = "agents"
"""The name under which jobs of agents stand in a ledger, where no other is given."""
WAIT_SECONDS: Final = 45.0
"""Seconds that a call waits for a job. Many clients of the protocol give a call up after 60."""
MOST_WAIT: Final = 600.0
"""The most seconds that a call waits for a job. The job goes on after that."""


@define(eq=False)
class SharedWork:
    """Work on a job that all calls which ask for it wait for."""

    wanted: object
    """What is asked for, under whatever name; None where the call names a job that there is."""
    is_begun: asyncio.Event = field(factory=asyncio.Event)
    """Set as soon as it is known what became of the submit."""
    task: asyncio.Task[None] | None = None
    error: PolyreelError | None = None


Work = Callable[[SharedWork], Awaitable[None]]


@define(eq=False)
class AgentService:
    """The tools' work, for one client with a ledger. Use it with `async with`.

    Jobs that were begun go on in the background, whether or not anybody waits for their answers:
    a call that is given up interrupts no submit.
    """

    client: AsyncClient
    output: Path
    """The folder for the files of all jobs."""
    name: str = field(default=NAME, kw_only=True)
    """Jobs stand in the ledger as NAME/job name, and share the budget of that name."""
    max_cost: Decimal | None = field(default=None, kw_only=True)
    """The most dollars for all jobs of the name together; a live client needs it."""
    files: Sequence[Path] = field(default=(), kw_only=True)
    """Folders from which local files may be sent, beside `output`."""
    budget: AgentBudget = field(init=False)
    _running: dict[str, SharedWork] = field(factory=dict, init=False)
    """What is under way, by the job's name, or by its id where it has none."""
    _submits: set[asyncio.Task[LedgerEntry]] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        check_name(self.name, "name")
        check_limit(self.max_cost, live=not self.client.simulated)
        folder = checked_output(local_folder(self.output))
        assert isinstance(folder, Path)
        self.output = folder
        self.budget = AgentBudget(self.ledger, self.name, self.max_cost, self.client.simulated)

    @property
    def ledger(self) -> LedgerStore:
        """The client's ledger; LedgerError where it has none."""
        if self.client.ledger is None:
            raise LedgerError("jobs of agents are kept in a ledger, and this client has none")
        return self.client.ledger

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let submits that are on their way come to their end; waits can be taken up again."""
        await asyncio.gather(*self._submits, return_exceptions=True)
        waiting = [work.task for work in self._running.values() if work.task is not None]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    # -- what costs nothing ------------------------------------------------------------------------

    def plans(self, request: JsonObject, vendors: Sequence[str] = ()) -> list[Plan]:
        """The plans of some vendors, or of all, also of those without a key."""
        checked = self._checked(request)
        return self.client.plans(checked.fields, ordered(vendors), preferences=PORTABLE)

    def translation(
        self,
        body: JsonObject,
        source: str,
        target: str,
        models: tuple[str | None, str | None],
        allow: dict[str, Allowance],
    ) -> Any:
        """One vendor's body for another; `models` are families of the source and the target."""
        return translate(
            body,
            get_provider(source),
            get_provider(target),
            source_model=models[0],
            target_model=models[1],
            allow=allow,
        )

    def _checked(self, request: JsonObject) -> CheckedRequest:
        given = {name: value for name, value in request.items() if value is not None}
        checked = check_request(given)
        if not checked.fields:
            raise RequestError(["prompt: nothing is asked for"])
        check_files(checked.fields, [self.output, *self.files])
        return checked

    # -- jobs --------------------------------------------------------------------------------------

    def entries(self, states: Sequence[str], last: int) -> list[LedgerEntry]:
        """The newest jobs of the ledger that are of the client's kind, oldest first."""
        for state in states:
            if state not in get_args(State):
                raise RequestError([f"states: {state!r} is none of {', '.join(get_args(State))}"])
        return self.client.jobs(states or None, last=last)  # type: ignore[arg-type]

    def entry(self, name: str) -> LedgerEntry:
        """The job of a name or an id."""
        return self.of_name(name) or self._of_id(name)

    def _of_id(self, name: str) -> LedgerEntry:
        entry = self.ledger.entry(name)
        if entry.submission.simulated != self.client.simulated:
            kind = "simulated" if entry.submission.simulated else "live"
            raise UnknownNameError(f"{entry.id} is a {kind} job, and this server is not {kind}")
        return entry

    def of_name(self, name: str) -> LedgerEntry | None:
        """The job that holds a name; None where that is free."""
        found: LedgerEntry | None = self.ledger.write(
            Find(f"{self.name}/{name}", self.client.simulated), "", 0.0
        )
        return found

    def job_report(self, entry: LedgerEntry | None, error: PolyreelError | None) -> JsonObject:
        """How a job is, what went wrong, and what to do next."""
        if entry is None and error is not None and error.ledger_id is not None:
            entry = self._of_id(error.ledger_id)
        found: JsonObject = {} if entry is None else {"job": entry_document(entry)}
        if error is not None:
            kind = {"type": type(error).__name__, "message": str(error)}
            found["error"] = {**kind, **error_facts(error)}
            found["error"].pop("job", None)  # it stands above
        found["next"] = next_step(entry, error, self.ledger.named)
        if (budget := self.budget.document()) is not None:
            found["budget"] = budget
        return found

    async def generate(
        self,
        request: JsonObject,
        vendors: Sequence[str] = (),
        *,
        cheapest: bool = False,
        job_name: str | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> tuple[str, PolyreelError | None]:
        """Make the job of a name, or go on with it; the result is the name, and what went wrong.

        The outcome of the submit is waited for in any case. Nothing went wrong with a job that is
        still under way `wait_seconds` after that.
        """
        checked = self._checked(request)
        for vendor in vendors:
            get_provider(vendor)
        name = derived_name(checked, vendors, cheapest=cheapest)
        wanted = name  # what is asked for, under whatever name
        if job_name is not None:
            name = check_name(job_name)
        work = self._generation(name, checked, vendors, cheapest=cheapest)
        return name, await self._shared(name, wanted, work, wait_seconds)

    async def resume(self, name: str, wait_seconds: float = WAIT_SECONDS) -> PolyreelError | None:
        """Wait for a job, by its name or id, and save its files. Submits nothing."""
        entry = self.entry(name)

        async def work(shared: SharedWork) -> None:
            shared.is_begun.set()
            await self.client.resume(entry.id)

        key = (entry.submission.reference or "").removeprefix(f"{self.name}/") or entry.id
        return await self._shared(key, None, work, wait_seconds)

    async def reconcile(self, names: Sequence[str]) -> list[JsonObject]:
        """Find out what became of ambiguous jobs, all or these. Never makes a second job."""
        ids = [self.entry(name).id for name in names]
        findings = await self.client.reconcile(*ids)
        return [
            {
                **finding_document(finding),
                "next": next_step(self._of_id(finding.entry), None, self.ledger.named),
            }
            for finding in findings
        ]

    # -- one piece of work for all calls that ask for it -------------------------------------------

    async def _shared(
        self, key: str, wanted: object, work: Work, seconds: float
    ) -> PolyreelError | None:
        """Wait for a piece of work, and begin it where nobody has; what went wrong with it."""
        check_seconds("wait_seconds", seconds, endless=False)
        shared = self._running.get(key)
        if shared is None:
            shared = self._running[key] = SharedWork(wanted)
            shared.task = asyncio.create_task(self._finished(key, work, shared))
        elif wanted is not None and shared.wanted not in {wanted, None}:
            raise RequestError(
                [
                    f"job_name: {key!r} has the job of another request already, which is under "
                    "way; nothing was sent. Give the new request another job_name"
                ]
            )
        assert shared.task is not None
        await shared.is_begun.wait()
        await asyncio.wait({shared.task}, timeout=min(seconds, MOST_WAIT))
        return shared.error

    async def _finished(self, key: str, work: Work, shared: SharedWork) -> None:
        try:
            await work(shared)
        except PolyreelError as error:
            shared.error = error
        except Exception as error:  # its text is left out, since it may quote anything
            text = f"internal error ({type(error).__name__}); please report it"
            shared.error = PolyreelError(text, billed="maybe")
        finally:
            self._running.pop(key, None)
            shared.is_begun.set()

    def _generation(
        self, name: str, request: CheckedRequest, vendors: Sequence[str], *, cheapest: bool
    ) -> Work:
        async def work(shared: SharedWork) -> None:
            entry = self.of_name(name)
            if entry is None:
                plans = self._plans(request, vendors, cheapest=cheapest)
                submit = asyncio.create_task(self._submitted(name, plans))
                self._submits.add(submit)
                submit.add_done_callback(self._submits.discard)
                entry = await asyncio.shield(submit)
            plans = self._plans(request, vendors or [entry.vendor], cheapest=False)
            check_same_request(plans, entry, name)
            shared.is_begun.set()
            await self.client.resume(entry.id, output=self.output)

        return work

    def _plans(
        self, request: CheckedRequest, vendors: Sequence[str], *, cheapest: bool
    ) -> list[Plan]:
        """The plans of a job, in the order to try them, at least one of which can be submitted."""
        providers = [get_provider(vendor) for vendor in vendors]
        if cheapest or len(vendors) > 1:
            prefer: Any = "cheapest" if cheapest else "order"
            plans = self.client.plans(
                request.fields, providers, prefer=prefer, preferences=PORTABLE
            )
        else:
            provider = next(iter(providers), None)
            plans = [self.client.plan(request, provider, preferences=PORTABLE)]
        if all(plan.refused for plan in plans):
            plans[0].check()
        return plans

    async def _submitted(self, name: str, plans: list[Plan]) -> LedgerEntry:
        """Submit a job within the budget, unless another server has been faster."""
        async with self.budget.one_at_a_time():
            entry = self.of_name(name)
            if entry is not None:
                return entry
            self._check_unused(f"{self.name}/{name}")
            self.budget.check(plan.cost for plan in plans if not plan.refused)
            job: Job = await self.client.submit(
                plans if len(plans) > 1 else plans[0],
                reference=f"{self.name}/{name}",
                output=self.output,
            )
        return self._of_id(job.ledger_id or "")

    def _check_unused(self, reference: str) -> None:
        """Raise RequestError where a person has abandoned a job of this name.

        A ledger gives such a name away again. An agent that repeats its call means the old job.
        """
        for entry in self.ledger.of_references([reference], simulated=self.client.simulated):
            if entry.state not in PROVED_UNPAID:
                problem = (
                    f"job_name: {entry.id} had this name, and is {entry.state} by the person's "
                    "decision, although it may have been billed; nothing was sent. For a new job "
                    "give a new job_name"
                )
                error = RequestError([problem])
                error.vendor, error.ledger_id = entry.vendor, entry.id
                raise error
