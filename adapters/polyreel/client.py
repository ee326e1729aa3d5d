"""Client and AsyncClient: the same flows, driven with and without blocking."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from attrs import evolve

from . import lifecycle, media
from .drivers import RealClock, Wire, arun, origin, run
from .errors import RequestError, UnknownNameError
from .keys import Secret
from .mapping import Allowance
from .planning import Plan, choose
from .registry import all_providers, get_provider, ordered
from .simulator import Simulator

if TYPE_CHECKING:
    from polyreel_generated.shared import ImageRequest, Job, VideoRequest

    Request = VideoRequest | ImageRequest | Mapping[str, Any]

TIMEOUT: Final = 1800.0


class _Settings:
    """What both clients are made of."""

    def __init__(
        self,
        *,
        keys: Mapping[str, str] | None = None,
        vendors: Sequence[str] | None = None,
        base_urls: Mapping[str, str] | None = None,
        simulator: Simulator | None = None,
        listener: Callable[[Job], None] | None = None,
    ) -> None:
        """`keys` (vendor id to API key) makes the client live for just those vendors: their jobs cost money.
        Without `keys` everything runs against `simulator`, or one of its own.

        `vendors` is the order in which vendors are tried where a call names none; left out, it is that of `keys`,
        or alphabetical. `base_urls` replaces a vendor's base URL. `listener` hears of every change of a job that is
        waited for.
        """
        if keys and simulator:
            raise RequestError(["a client has keys, and is live, or a simulator, not both"])
        self.vendors = list(vendors or keys or ()) or None
        for vendor in (*(vendors or ()), *(base_urls or ()), *(keys or ())):
            get_provider(vendor)
        self.base_urls = {vendor: _base_url(vendor, url) for vendor, url in (base_urls or {}).items()}
        self.simulator = None if keys else simulator or Simulator()
        hosts = {vendor: self._hosts(vendor) for vendor in all_providers()}
        if self.simulator is None:
            secrets = {vendor: Secret.check(key, f"the key for {vendor}") for vendor, key in (keys or {}).items()}
            self.wire = Wire(secrets, hosts, clock=RealClock(), listener=listener)
        else:
            from .simulator.transport import SimulatedTransport  # noqa: PLC0415

            transport = SimulatedTransport(self.simulator, self.base_urls)
            secrets = dict.fromkeys(all_providers(), Secret("simulated"))
            clock: Any = self.simulator.clock
            self.wire = Wire(secrets, hosts, transport=transport, clock=clock, listener=listener)

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
    ) -> Plan:
        """What would be sent, and what becomes of every field. Sends nothing; the plan may be refused.

        Without `vendor` it is the plan of the first vendor, in the client's order, that can serve the request.
        """
        candidates = ordered([vendor] if vendor else self.vendors)
        return choose(
            request, candidates, allow=allow, preferences=preferences, base_urls=self.base_urls, override=override
        )

    def _here(self, plan: Plan) -> Plan:
        """The plan for this client's base URL, where it was made without one: submitting and polling go to one place.

        A plan for some other host is left as it is. The key does not go there, and it must not go to the vendor's
        own host instead: that could be billed.
        """
        own = self.base_urls.get(plan.vendor)
        return evolve(plan, base_url=own) if own and plan.base_url == plan.provider.base_url else plan

    def _submission(self, plan: Plan) -> Any:
        plan = self._here(plan)
        return lifecycle.submit(plan, simulated=self.simulated, idempotency_key=str(uuid.uuid4()))

    def _generation(self, plan: Plan, output: str | Path, timeout: float) -> Any:
        key = str(uuid.uuid4())
        return lifecycle.generate(
            self._here(plan), folder=Path(output), timeout=timeout, simulated=self.simulated, idempotency_key=key
        )

    def _known(self, job: Job) -> Job:
        if job.simulated != self.simulated:
            kind = "simulated" if job.simulated else "live"
            raise UnknownNameError(
                f"{job.id} is a {kind} job, and this client is not {kind}", vendor=job.vendor, job=job
            )
        return job


def _base_url(vendor: str, url: str) -> str:
    # The value is not shown: it may hold a password.
    trouble = "not an http(s) URL" if media.is_local(url) else media.url_problem(url)
    if trouble := trouble or ("it has a user name, query or fragment" if set("@?#") & set(url) else None):
        raise RequestError([f"the base URL of {vendor}: {trouble}"])
    return url.rstrip("/")


class Client(_Settings):
    """Plans, submits, waits and downloads, blocking. Usable from one thread at a time."""

    def submit(self, plan: Plan) -> Job:
        """Send the plan's bytes, once. Raises PlanRefusedError, or a SubmitError that tells what it may have cost."""
        job: Job = run(self._submission(plan), self.wire)
        return job

    def get(self, job: Job) -> Job:
        """Ask the vendor how the job is doing."""
        return run(lifecycle.get(self._known(job), self.base_urls.get(job.vendor)), self.wire)

    def wait(self, job: Job, timeout: float = TIMEOUT) -> Job:
        """Wait until the job is final; StillRunningError after `timeout` seconds, and the job goes on."""
        flow = lifecycle.wait(self._known(job), timeout=timeout, base_url=self.base_urls.get(job.vendor))
        return run(flow, self.wire)

    def download(self, job: Job, output: str | Path) -> Job:
        """Save the outputs in a folder; returns the job with their paths."""
        return run(lifecycle.download(self._known(job), Path(output)), self.wire)

    def generate(
        self,
        request: Request | Plan,
        vendor: str | None = None,
        *,
        output: str | Path = "clips",
        timeout: float = TIMEOUT,
        **options: Any,
    ) -> Job:
        """Plan, submit, wait and download. `options` are those of `plan`."""
        plan = request if isinstance(request, Plan) else self.plan(request, vendor, **options)
        job: Job = run(self._generation(plan, output, timeout), self.wire)
        return job

    def close(self) -> None:
        """Close the connections."""
        self.wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Settings):
    """Plans, submits, waits and downloads, awaiting. The same flows as Client, so the same bytes in the same order."""

    async def submit(self, plan: Plan) -> Job:
        """Send the plan's bytes, once. Raises PlanRefusedError, or a SubmitError that tells what it may have cost."""
        job: Job = await arun(self._submission(plan), self.wire)
        return job

    async def get(self, job: Job) -> Job:
        """Ask the vendor how the job is doing."""
        return await arun(lifecycle.get(self._known(job), self.base_urls.get(job.vendor)), self.wire)

    async def wait(self, job: Job, timeout: float = TIMEOUT) -> Job:  # noqa: ASYNC109 - a deadline, not a cancellation
        """Wait until the job is final; StillRunningError after `timeout` seconds, and the job goes on."""
        flow = lifecycle.wait(self._known(job), timeout=timeout, base_url=self.base_urls.get(job.vendor))
        return await arun(flow, self.wire)

    async def download(self, job: Job, output: str | Path) -> Job:
        """Save the outputs in a folder; returns the job with their paths."""
        return await arun(lifecycle.download(self._known(job), Path(output)), self.wire)

    async def generate(
        self,
        request: Request | Plan,
        vendor: str | None = None,
        *,
        output: str | Path = "clips",
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - a deadline, not a cancellation
        **options: Any,
    ) -> Job:
        """Plan, submit, wait and download. `options` are those of `plan`."""
        plan = request if isinstance(request, Plan) else self.plan(request, vendor, **options)
        job: Job = await arun(self._generation(plan, output, timeout), self.wire)
        return job

    async def close(self) -> None:
        """Close the connections."""
        await self.wire.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
