"""What both clients are made of: settings, plans, and the flows that they drive.

What only some calls need is imported by them, so that a client that only plans starts fast. A live
client never imports the simulator.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, cast

from attrs import evolve

from .. import environment
from ..errors import LedgerError, RequestError, UnknownNameError
from ..hosts import SIMULATED_HOST
from ..keys import Secret
from ..money.book import PriceBook
from ..plans.choosing import choose
from ..plans.livelimits import chosen_within
from ..plans.planning import Elsewhere, Plan
from ..plans.requests import CheckedRequest, check_request
from ..providers.base.registry import all_providers, get_provider, ordered
from .checks import (
    check_by_vendor,
    check_number,
    check_retries,
    check_seconds,
    checked_output,
    located,
)
from .fields import GenerateOptions, RequestFields, divided, with_fields

if TYPE_CHECKING:
    from polyreel_generated.shared import ElementRequest, ImageRequest, Job, VideoRequest

    from ..drivers import Wire
    from ..drivers.hooks import Hook
    from ..flows import Flow
    from ..jobs.many import ManyJobs
    from ..jobs.routing import Health, Preference
    from ..ledger.records import LedgerEntry
    from ..ledger.store import LedgerStore
    from ..mapping.reports import Allowance
    from ..network import Network
    from ..providers.base.limits import KeptLimits
    from ..providers.base.registry import Vendor
    from ..simulator import Simulator, VirtualClock

    Request = VideoRequest | ImageRequest | ElementRequest | Mapping[str, Any]

TIMEOUT: Final = 1800.0
"""Seconds that a job is waited for."""
CALL_TIMEOUT: Final = 60.0
"""Seconds that one call may take."""
T = TypeVar("T")
IDLE_SECONDS: Final = 1.0
"""The pause between two looks into a ledger that has nothing to do."""


class ClientSettings:
    """What both clients are made of, and what neither of them has to wait for."""

    def __init__(
        self,
        *,
        keys: Mapping[str, str] | None = None,
        vendors: Sequence[str] | None = None,
        base_urls: Mapping[str, str] | None = None,
        simulator: Simulator | None = None,
        ledger: LedgerStore | str | Path | None = None,
        retries: int = 2,
        call_timeout: float = CALL_TIMEOUT,
        prices: PriceBook | None = None,
        listener: Callable[[Job], None] | None = None,
        network: Network | None = None,
        hooks: Sequence[Hook] = (),
        limits: Mapping[str, KeptLimits] | None = None,
    ) -> None:
        """Make a client. Without `keys` it is simulated: nothing is sent or paid.

        Without the extra `simulator`, files of simulated jobs are ready-made. A
        `polyreel.simulator.ReadyMadeWarning` comes before a submit whose file will be another than
        the one asked for.

        Args:
            keys: API keys by vendor id. They make the client live for just these vendors: their
                jobs cost money. Without any key in it, it is refused.
            vendors: the order in which vendors are tried where a call names none. By default that
                of `keys`, or the alphabet.
            base_urls: other base URLs, by vendor id; those of `network` for short.
            simulator: the simulator of a simulated client. By default one of its own.
            ledger: a file or a Ledger. Each submit is written down before it is sent, so that a
                paid job survives the process.
            retries: how often a submit is tried again that is proved to be unpaid: never sent, or
                refused because of too many requests.
            call_timeout: seconds that one call may take as a whole; files have their own.
            prices: the user's own prices, which come before those that vendors publish.
            listener: called with each job that is waited for, at each change.
            network: proxies, certificates, own headers and more: see `polyreel.Network`.
            hooks: called with each call, submit and end of a job: see `polyreel.drivers.hooks`.
            limits: what vendors said of their models; a live client's plans are held to it.

        Raises RequestError for settings that contradict each other, UnknownNameError for an unknown
        vendor, KeyMissingError for a key that cannot be one, LedgerError for an unusable ledger.
        """
        check_retries(retries)
        check_seconds("call_timeout", call_timeout, endless=False, zero=False)
        check_by_vendor(keys, vendors)
        if keys is not None and not keys:
            raise RequestError(
                ["keys: it is empty, so nothing could be sent. Leave it out for a simulated client"]
            )
        if keys and simulator:
            raise RequestError(["a client has keys, and is live, or a simulator, not both"])
        self.vendors = list(vendors or keys or ()) or None
        for vendor in (*(vendors or ()), *(base_urls or ()), *(keys or ())):
            get_provider(vendor)
        known = self.vendors and [*self.vendors, *(keys or ())]
        self.network = environment.network(network, known, live=bool(keys), base_urls=base_urls)
        self.base_urls = self.network.base_urls
        self.retries, self.prices = retries, prices or PriceBook()
        given = (keys or {}).items()
        self._keys = {name: Secret.check(key, f"the key for {name}") for name, key in given}
        self._owns_ledger = isinstance(ledger, str | Path)
        self.ledger = _opened(ledger)
        self._given_simulator, self._call_timeout = simulator, call_timeout
        self._listener, self._hooks = listener, tuple(hooks)
        self._limits = dict(limits or {}) if keys else {}

    @property
    def simulated(self) -> bool:
        """Whether jobs are simulated, so that nothing is paid."""
        return not self._keys

    @cached_property
    def simulator(self) -> Simulator | None:
        """What answers in the place of the vendors; None for a live client."""
        return (self._given_simulator or self._embedded_simulator()) if self.simulated else None

    def _embedded_simulator(self) -> Simulator:
        """A simulator of the client's own. Beside a ledger it remembers its jobs."""
        from ..simulator import Simulator, VirtualClock

        simulator = Simulator()
        if self.ledger is not None:
            from ..simulator.memory import remember

            remember(simulator, self.ledger.companion_file("simulated"))
            # Its time goes on where another process left it: what was seen there has happened.
            clock = VirtualClock(max(simulator.clock.now(), self.ledger.last_simulated()))
            simulator.clock = clock
            if (others := simulator.on_unknown) is not None:
                simulator.on_unknown = partial(_as_late, others, clock, self.ledger)
        return simulator

    @cached_property
    def wire(self) -> Wire:
        """What calls are made with: connections, keys, the clock. Made at the first call."""
        from ..drivers import RealClock, Wire
        from ..providers.base.calling import key_scheme_of

        hosts = {vendor: self._hosts(vendor) for vendor in all_providers()}
        if self.simulator is None:
            wire = Wire(self._keys, hosts, clock=RealClock(), network=self.network)
            wire.moves = {vendor: self._moves(vendor) for vendor in self._keys}
            if self.network.ca or self.network.client_certificate:
                wire.tls()  # their files are read before anything is written down or sent
        else:
            from ..simulator.transport import SimulatedTransport

            secrets = dict.fromkeys(all_providers(), Secret("simulated"))
            transport = SimulatedTransport(self.simulator, self.base_urls)
            wire = Wire(secrets, hosts, transport=transport, clock=self.simulator.clock)
        wire.key_schemes = {k: key_scheme_of(one.contract) for k, one in all_providers().items()}
        wire.listener, wire.hooks, wire.ledger = self._listener, self._hooks, self.ledger
        wire.call_seconds = self._call_timeout
        return wire

    @property
    def _has_wire(self) -> bool:
        return "wire" in vars(self)

    @cached_property
    def health(self) -> Health:
        """Which vendors have failed too often of late to be asked first."""
        from ..jobs.routing import Health

        return Health()

    def _hosts(self, vendor: str) -> frozenset[str]:
        from ..drivers import origin

        simulated = f"https://{SIMULATED_HOST}" if self.simulator is not None else None
        own = (self.base_urls.get(vendor), self.network.upload_urls.get(vendor), simulated)
        return frozenset(map(origin, (*get_provider(vendor).servers, *filter(None, own))))

    def _moves(self, vendor: str) -> dict[str, str]:
        """What stands for the vendor's base URLs; nothing where they all stay."""
        base, *others = get_provider(vendor).servers
        other = self.network.upload_urls.get(vendor) or self.base_urls.get(vendor)
        return {base: base, **dict.fromkeys(others, other)} if other and others else {}

    def plan(
        self,
        request: Request | CheckedRequest | str,
        vendor: Vendor | None = None,
        *,
        allow: Mapping[str, Allowance] | None = None,
        preferences: Mapping[str, Any] | None = None,
        override: bool = False,
        stream: bool = False,
        **fields: Unpack[RequestFields],
    ) -> Plan:
        """Plan a request: see `polyreel.plan`. Nothing is sent, and the plan may be refused.

        A text is the prompt of a request whose other fields are keywords: `plan("a cat", fps=24)`.

        Without `vendor` it is the plan of the first vendor, in the client's order, that can serve
        the request. With `stream` the vendor reports the job's states over the connection of the
        submit; the plan is refused where it cannot.
        """
        choosing = partial(
            choose,
            check_request(with_fields(request, fields)),
            allow=allow,
            preferences=preferences,
            base_urls=self.base_urls,
            override=override,
            stream=stream,
        )
        vendors = ordered([vendor] if vendor else self.vendors)
        return chosen_within(choosing, vendors, self._limits).priced(self.prices)

    def plans(
        self,
        request: Request | CheckedRequest | str,
        vendors: Sequence[Vendor] | None = None,
        *,
        prefer: Preference = "order",
        **options: Unpack[GenerateOptions],
    ) -> list[Plan]:
        """The plans of several vendors in the order to try them: as they come, or cheapest first.

        `submit` and `generate` take the list. They go on to the next vendor only where the one
        before is proved unpaid. Refused plans are in the list too, so that an error can say why.
        """
        from ..jobs.routing import ranked

        providers = ordered(vendors or self.vendors)
        planning, fields = divided(options)
        checked = check_request(with_fields(request, fields))
        found = [self.plan(checked, one, **planning) for one in providers]
        if not any(planning.values()) and not self._limits:
            Elsewhere.note(checked, found)
        return ranked(found, prefer)

    def _here(self, plan: Plan) -> Plan:
        """The plan for this client's base URL, where it was made for the vendor's documented one.

        A plan for some other host stays as it is. The key does not go there. And the plan must not
        go to the vendor's own host instead: that could be billed.
        """
        own = self.base_urls.get(plan.vendor)
        if own and plan.base_url == plan.provider.base_url:
            return evolve(plan, base_url=own)
        return plan

    def _submission(
        self,
        plans: Plan | Sequence[Plan],
        reference: str | None,
        output: str | Path | None,
        labels: Mapping[str, str] | None = None,
        limits: str | None = None,
    ) -> Flow[Job]:
        self._needs_ledger(reference)
        self._needs_ledger(limits, "limits")
        here = self._here(plans) if isinstance(plans, Plan) else [*map(self._here, plans)]
        return _submission_of()(
            here,
            simulated=self.simulated,
            retries=self.retries,
            health=None if isinstance(plans, Plan) else self.health,
            reference=reference,
            output=output,
            labels=labels,
            limits=limits,
        )

    def _generation(
        self,
        plans: Plan | Sequence[Plan],
        output: str | Path,
        timeout: float,
        reference: str | None,
        labels: Mapping[str, str] | None = None,
    ) -> Flow[Job]:
        from ..jobs import recovery
        from ..jobs.naming import named

        check_seconds("timeout", timeout)
        chosen = [plans] if isinstance(plans, Plan) else plans
        folder = named(checked_output(output, chosen), reference)
        return recovery.generate_once(
            self._submission(plans, reference, str(folder), labels),
            chosen,
            reference=reference,
            simulated=self.simulated,
            folder=folder,
            timeout=timeout,
            base_urls={plan.vendor: self._here(plan).base_url for plan in chosen},
            stream=any(plan.stream for plan in chosen),
        )

    def _plans(
        self,
        request: Request | Plan | Sequence[Plan] | str,
        vendor: Vendor | None,
        options: GenerateOptions,
    ) -> Plan | Sequence[Plan]:
        """What is already planned as it is; the plan of a request."""
        planned = isinstance(request, Plan) or (
            isinstance(request, Sequence)
            and not isinstance(request, str)
            and all(isinstance(one, Plan) for one in request)
        )
        if planned:
            return cast("Plan | Sequence[Plan]", with_fields(request, divided(options)[1]))
        return self.plan(cast("Request | str", request), vendor, **options)

    def _planned(
        self,
        request: Request | Plan | Sequence[Plan] | str,
        vendor: Vendor | None,
        options: GenerateOptions,
    ) -> Plan | Sequence[Plan]:
        """What is to be submitted: what is planned already, or the plan of a request."""
        if isinstance(request, Plan) and vendor is None and not options:
            return request
        plans = self._plans(request, vendor, options)
        if plans is request and (given := [*options, *(["vendor"] if vendor else [])]):
            raise RequestError([f"{', '.join(given)}: this goes with a request, not with a plan"])
        return plans

    def _needs_ledger(self, value: str | None, what: str = "reference") -> None:
        if value is not None and self.ledger is None:
            problem = f"{what}: it is kept in a ledger, and this client has none: pass ledger="
            raise RequestError([problem])

    def _wait(self, job: Job, timeout: float) -> Flow[Job]:
        from ..jobs import waiting

        check_seconds("timeout", timeout)
        known = self._known(job)
        base_url = self.base_urls.get(known.vendor)
        return waiting.wait(known, timeout=timeout, base_url=base_url)

    def _download(self, job: Job, output: str | Path) -> Flow[Job]:
        from ..jobs import finishing

        known = self._known(job)
        return finishing.download(known, located(output), self.base_urls.get(known.vendor))

    def _many(self, timeout: float) -> ManyJobs:
        from ..jobs.many import ManyJobs

        check_number("timeout", timeout)  # one that is less than 0, or NaN, is no time at all
        return ManyJobs(self.simulated, self.wire.randomness)

    def _entry(self, name: str) -> LedgerEntry:
        entry = self._kept().entry(name)
        if entry.submission.simulated != self.simulated:
            message = _other_kind(entry.id, entry.submission.simulated)
            raise UnknownNameError(message, ledger_id=entry.id)
        return entry

    def _kept(self) -> LedgerStore:
        if self.ledger is None:
            raise LedgerError("this client keeps no ledger: give it one with ledger=")
        return self.ledger

    def _known(self, job: Job) -> Job:
        """The job itself. A live client refuses simulated jobs, a simulated one live jobs."""
        if not hasattr(job, "simulated"):
            if isinstance(job, Awaitable):
                raise RequestError([f"job: {job!r} is a job after `await`, and not before it"])
            raise RequestError(
                [
                    f"job: {job!r} is no Job, as submit returns it; client.track(vendor, task_id) "
                    "finds the job of a task's id, client.look(name) that of a ledger entry"
                ]
            )
        if job.simulated != self.simulated:
            raise UnknownNameError(_other_kind(job.id, job.simulated), vendor=job.vendor, job=job)
        return job

    def __reduce__(self) -> str:
        raise TypeError("a client is not pickled: it holds keys and connections")

    def _close_ledger(self) -> None:
        if self.ledger is not None and self._owns_ledger:
            self.ledger.close()


@cache
def _submission_of() -> Callable[..., Flow[Job]]:
    from .submitting import submission

    return submission


def _as_late(others: Callable[[], T], clock: VirtualClock, ledger: LedgerStore) -> T:
    """The jobs of other processes, after the clock has come to where theirs are."""
    clock.advance(ledger.last_simulated() - clock.now())
    return others()


def _opened(ledger: LedgerStore | str | Path | None) -> LedgerStore | None:
    """The ledger, opened where it is given as a file or as the address of a database."""
    if not isinstance(ledger, str | Path):
        return ledger
    from ..ledger.opening import open_ledger

    return open_ledger(ledger)


def _other_kind(name: str, simulated: bool) -> str:
    kind = "simulated" if simulated else "live"
    return f"{name} is a {kind} job, and this client is not {kind}"


def each_once(jobs: Iterable[Job]) -> Iterator[Job]:
    """Each job once, by vendor and task id."""
    seen: set[tuple[str, str]] = set()
    for job in jobs:
        if (job.vendor, job.id) not in seen:
            seen.add((job.vendor, job.id))
            yield job
