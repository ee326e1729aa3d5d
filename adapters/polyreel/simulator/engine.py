"""The engine: vendors' states, a clock and a bill, without I/O.

It checks every request against the vendor's contract and answers with the contract's own examples,
with the facts of the task put in. It knows no vendor by name: what differs between vendors is in
their contracts and in the tables of their providers.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from math import isfinite
from typing import Final
from urllib.parse import parse_qs

from attrs import define, field

from ..flows import Answer, Pace, Reply
from ..hosts import SIMULATED_HOST as HOST
from ..places import JsonObject
from ..providers.base.calling import key_scheme_of
from ..providers.base.facts import FINAL
from ..providers.base.provider import Provider
from ..providers.base.registry import all_providers, get_provider
from ..providers.base.routes import Route
from ..serving import answers, calls
from ..serving.calls import Call, CallRefusedError, IncomingRequest
from ..serving.links import Links
from ..serving.shapes import Picture, picture_of
from ..serving.task_answers import task_reply
from ..serving.uploads import Uploads
from . import forks, queries
from .clock import VirtualClock
from .corruption import FaultContext, apply, apply_to_file, as_answer, rendered
from .faults import CALL_KINDS, CallKind, Fault, When, fault_named
from .injection import Rule, Rules
from .outputs import OutputFile
from .scripting import ENDS, scriptable, scripted
from .task_streams import task_stream
from .tasks import QUEUED_SECONDS, SECONDS_PER_SECOND, Bill, BillLine, End, Task, credits_of

__all__ = ["HOST", "Simulator", "scriptable"]

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"

Outcome = Reply | OutputFile  # a file is still to be rendered
Serve = Callable[[float], Outcome]  # at a moment
OnAnswer = Callable[[IncomingRequest, Answer], None]
Deferred = Callable[[], Answer]  # slow work, to be done after the lock is released


@define(eq=False)
class Simulator:
    """All vendors in memory: `handle` answers a request. Nothing is paid, and nothing is sent.

    A job costs what its vendor publishes, in the vendor's credits. Where no price is published, it
    costs one credit for each second of its clip, or for each image. Threads may share one
    simulator.

    >>> from polyreel import Client, Simulator
    >>> simulator = Simulator(seed=1)
    >>> with Client(simulator=simulator) as client:
    ...     job = client.submit(client.plan({"prompt": "a cat", "duration": 5}, "uniall"))
    >>> simulator.bill.count("uniall"), simulator.bill.total()
    (1, 5.0)
    """

    clock: Pace = field(factory=VirtualClock)
    seed: int | None = None
    """The same seed gives the same ids and durations on every run; without one they differ.

    In a process that is forked later they differ always.
    """
    keys: frozenset[str] | None = None
    """The valid API keys; None for any bearer token."""
    balance: float = float("inf")
    """The credits that each vendor's account starts with."""
    link_seconds: float | None = None
    """How long a link to an output works; None for always. Every status query makes new links."""
    providers: Mapping[str, Provider] = field(factory=all_providers, repr=False)
    """The vendors, by the names under which they are called."""
    bill: Bill = field(factory=Bill, init=False)
    tasks: dict[tuple[str, str], Task] = field(factory=dict, init=False, repr=False)
    journal: list[tuple[str, str, str]] = field(factory=list, init=False, repr=False)
    """Every request as vendor, method and path, in order."""
    request_times: list[float] = field(factory=list, init=False, repr=False)
    """When each request of the journal arrived, in seconds since 1970."""
    fired: list[tuple[str, str]] = field(factory=list, init=False, repr=False)
    """Every fault that has happened as vendor and fault, in order."""
    on_accept: Callable[[Task, str | None], None] | None = field(
        default=None, init=False, repr=False
    )
    """Called with every accepted job and its idempotency key, before the submit is answered.

    It must not call the simulator.
    """
    on_unknown: Callable[[], Iterable[tuple[Task, str | None]]] | None = field(
        default=None, init=False, repr=False
    )
    """Called where a vendor would say that there is no such job or file, as others may have made it
    meanwhile: the result are their jobs, and it may set the clock. It must not call the simulator.
    """
    on_answer: OnAnswer | None = field(default=None, init=False, repr=False)
    """Called with every request and its answer, before the answer is given."""
    upstream: Callable[[IncomingRequest], Reply] | None = field(
        default=None, init=False, repr=False
    )
    """Answers the calls of APIs instead; the faults happen to its answers."""
    _rules: Rules = field(init=False, repr=False)
    _link_secret: bytes = field(init=False, repr=False)
    _heard: set[tuple[str, str]] = field(factory=set, init=False, repr=False)
    _scripted: dict[str, list[str | Fault]] = field(factory=dict, init=False, repr=False)
    _replays: dict[tuple[str, str], tuple[JsonObject, str]] = field(
        factory=dict, init=False, repr=False
    )
    _random: random.Random = field(init=False, repr=False)
    _uploads: Uploads = field(factory=Uploads, init=False, repr=False)
    lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)
    """Held while a call is served, so who holds it sees one moment, and must not make a call."""

    def __attrs_post_init__(self) -> None:
        self.reset()
        forks.ALL.add(self)

    def go_on_in_a_child(self) -> None:
        """Go on after a fork: with a lock of its own, and with other ids than the parent."""
        self.lock = threading.Lock()
        self._random = random.Random(f"{self._random.random()} {os.getpid()}")

    def reset(self, seed: int | None = None) -> None:
        """Forget jobs, bill, journal, scripts and faults, and start again.

        `seed` replaces the old seed, if it is given. The clock goes on, and a file that
        `memory.remember` writes stays as it is.
        """
        with self.lock:
            lists = (self.bill.charges, self.journal, self.request_times, self.fired)
            for collection in (self.tasks, self._heard, self._scripted, self._replays, *lists):
                collection.clear()
            self.seed = self.seed if seed is None else seed
            self._start_randomness()

    def _start_randomness(self) -> None:
        self._random = random.Random(self.seed)
        self._rules = Rules(self.seed)
        chance = random.Random() if self.seed is None else random.Random(f"links of {self.seed}")
        self._link_secret = chance.randbytes(16)

    # -- what goes wrong -------------------------------------------------------------------------

    def script(self, vendor: str, *events: str) -> None:
        """Say what happens to the vendor's next submits, one event each.

        An event is the name of a documented error example (such as `rate_limited`), `failed` or
        `canceled` for a job that is accepted and ends so, or a fault of submits. Raises
        UnknownNameError for any other event.
        """
        named = scripted(vendor, events)
        with self.lock:
            self._scripted.setdefault(vendor, []).extend(named)

    def inject(
        self, fault: str, vendor: str | None = None, *, share: float = 1.0, times: int | None = 1
    ) -> None:
        """Let a fault happen to the next calls that it fits, of one vendor or of all.

        `share` is the part of these calls that it happens to, from 0 to 1; `times` is how often it
        happens at most (None: always). A call has at most one fault, and the fault injected first
        goes first. Raises UnknownNameError for an unknown fault or vendor.
        """
        known = fault_named(fault)
        if vendor is not None:
            get_provider(vendor)
        with self.lock:
            self._rules.add(known, vendor, share, times)

    def calm(self, number: int | None = None) -> None:
        """Remove all injected faults, or the one with this number. What is scripted stays."""
        with self.lock:
            self._rules.clear(number)

    @property
    def active(self) -> list[Rule]:
        """The injected faults that may still happen, in order."""
        return self._rules.active()

    # -- one request -----------------------------------------------------------------------------

    def connect(self, vendor: str, method: str, target: str) -> bool:
        """Whether the connection for a request is accepted.

        A caller that asks this passes `connected=True` to `handle` afterwards.
        """
        provider = self.providers.get(vendor)
        found = provider.contract.match(method, target.partition("?")[0]) if provider else None
        kind = CALL_KINDS.get(found[0].role) if found else None
        if kind is None:
            return True
        with self.lock:
            rule = self._scripted_fault(vendor, kind) or self._rules.refusing(vendor, kind)
            if rule is None or not rule.fault.refuses:
                return True
            self._note_fault(vendor, rule)
            return False

    def handle(
        self,
        vendor: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes = b"",
        public: str | None = None,
        *,
        connected: bool = False,
    ) -> Answer:
        """Answer one request.

        `target` is the path (and query) below the vendor's host, quoted as in a URL. `public` is
        the URL below which clients find the output files. `connected` says that `connect` was
        asked before.
        """
        with self.lock:
            self.journal.append((vendor, method, target.partition("?")[0]))
            self.request_times.append(self.clock.now())
            request = self.incoming(vendor, method, target, headers, content, public)
            outcome = self._outcome(request, connected=connected)
        answer = outcome if isinstance(outcome, Answer) else outcome()
        if self.on_answer is not None:
            self.on_answer(request, answer)
        return answer

    def incoming(
        self,
        vendor: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes = b"",
        public: str | None = None,
    ) -> IncomingRequest:
        """A request as the calls of a contract read it; its number is that of the last one."""
        path, _, query = target.partition("?")
        pairs = parse_qs(query, keep_blank_values=True).items()
        number = len(self.journal)
        return IncomingRequest(
            vendor=vendor,
            method=method,
            path=path,
            links=self.links(vendor, public),
            number=number,
            request_id=f"simulated-{number}",
            query={name: values[0] for name, values in pairs},
            headers={name.lower(): value for name, value in headers.items()},
            content=content,
        )

    def links(self, vendor: str, public: str | None = None) -> Links:
        """Makes the links to a vendor's outputs, below `public` if that is given."""
        return Links(public or f"https://{HOST}/{vendor}", self.link_seconds, self._link_secret)

    def _outcome(self, request: IncomingRequest, *, connected: bool) -> Answer | Deferred:
        provider = self.providers.get(request.vendor)
        if provider is None:
            message = f"no vendor is simulated at /{request.vendor}"
            return as_answer(answers.plain(404, {"error": message}))
        now, method, path = self.clock.now(), request.method, request.path
        if path.startswith("/uploads/") and method == "PUT":
            return as_answer(self._uploads.put(request))
        if path.startswith("/outputs/"):
            if method not in {"GET", "HEAD"}:
                return as_answer(queries.NO_FILE)
            kind: CallKind | None = "download" if method == "GET" else None
            context = FaultContext(request, kind, connected, now)
            return self._served(context, lambda late: queries.output(self.tasks, late, request))
        found = provider.contract.match(method, path)
        if found is None:
            return as_answer(answers.unknown_route(provider, method, path))
        call = Call(request, provider, *found)
        kind = CALL_KINDS.get(call.operation.role)
        task = self.tasks.get((request.vendor, call.task_id))
        context = FaultContext(request, kind, connected, now, call, task)
        return self._served(context, partial(self._answered, call))

    def _served(self, context: FaultContext, serve: Serve) -> Answer | Deferred:
        """The answer of the vendor, unless a fault replaces or changes it."""
        vendor = context.request.vendor
        rule = self._rule(context)
        if rule is not None and not rule.fault.accepted:
            self._note_fault(vendor, rule)
            return apply(rule.fault, context, None)
        outcome = serve(context.now)
        if isinstance(outcome, Reply) and outcome.status == 404 and self.on_unknown is not None:
            for task, key in self.on_unknown():
                self._restore(task, key)
            outcome = serve(self.clock.now())
        if rule is None or (isinstance(outcome, Reply) and not outcome.ok):
            return as_answer(outcome) if isinstance(outcome, Reply) else partial(rendered, outcome)
        self._note_fault(vendor, rule)
        if isinstance(outcome, OutputFile):
            return partial(apply_to_file, rule.fault, context, outcome)
        return apply(rule.fault, context, outcome)

    def _rule(self, context: FaultContext) -> Rule | None:
        """The fault of a call: the one that is scripted for it, else one that was injected."""
        if context.kind is None:
            return None
        request, call, task = context.request, context.call, context.task
        if (rule := self._scripted_fault(request.vendor, context.kind)) is not None:
            return rule
        status = task.status(context.now) if task else "unknown"
        facts: set[When] = {"always"}
        facts |= {"ended"} if status in FINAL else set()
        facts |= {"succeeded"} if status == "succeeded" else set()
        facts |= {"ranged"} if "range" in request.headers and request.method == "GET" else set()
        pick = partial(self._rules.pick, request.vendor, facts=facts, connected=context.connected)
        streams = call is not None and call.operation.role == "stream"
        return pick(context.kind) or (pick("stream") if streams else None)

    def _scripted_fault(self, vendor: str, kind: CallKind) -> Rule | None:
        """The fault that is scripted for a call."""
        events = self._scripted.get(vendor) if kind == "submit" else None
        return Rule(events[0], vendor) if events and isinstance(events[0], Fault) else None

    def _note_fault(self, vendor: str, rule: Rule) -> None:
        events = self._scripted.get(vendor)
        if events and events[0] is rule.fault and not rule.fault.accepted:
            events.pop(0)  # one that is accepted is removed when its submit is accepted
        rule.count_down()
        self.fired.append((vendor, rule.fault.name))

    # -- the vendor's own answer -----------------------------------------------------------------

    def _answered(self, call: Call, now: float) -> Outcome:
        if self.upstream is not None:
            return self.upstream(call.request)
        try:
            self._authorize(call)
            calls.header_parameters(call)
            return self._answer_by_role(call, now)
        except CallRefusedError as error:
            return answers.error(call, *error.names, message=error.message)

    def _authorize(self, call: Call) -> None:
        key = key_scheme_of(call.provider.contract).key_in(call.headers)
        if key is None or not (self.keys is None or key in self.keys):
            raise CallRefusedError("unauthorized")

    def _answer_by_role(self, call: Call, now: float) -> Outcome:
        role = call.operation.role
        if role == "create":
            return self._create(call)
        if role == "stream":
            return task_stream(call, self._accept(call)[0], self.clock)
        if role.startswith("upload"):
            return self._uploads.upload(call)
        query = queries.BY_ROLE.get(role)
        return query(self.tasks, now, call) if query else answers.first_success(call)

    def _create(self, call: Call) -> Reply:
        task, is_replay = self._accept(call)
        header = call.operation.spec.get("x-polyreel-idempotency", {}).get("replayed-header", "")
        extra = {header.lower(): "true"} if is_replay and header else {}
        status, body = task_reply(call, task, "queued", task.created, call.operation)
        return answers.reply(call, status, body, extra)

    def _accept(self, call: Call) -> tuple[Task, bool]:
        """Check a submit and bill it, or find the task of an earlier submit that it repeats.

        The second value says whether it is a repetition.
        """
        end = self._scripted_end(call)
        body = calls.body(call)
        if (earlier := self._replayed(call, body)) is not None:
            return earlier, True
        reading = calls.read_submit(call, body)
        self._uploads.check(call, reading.route, body)
        picture = picture_of(reading)
        if isfinite(self.balance):
            price = credits_of(call.provider.contract, reading.route, body, picture)
            if self.bill.total(call.provider.id) + price > self.balance:
                raise CallRefusedError("insufficient_credits")
        return self._bill(call, reading.route, body, picture, end), False

    def _scripted_end(self, call: Call) -> End:
        """How the job will end; a scripted error is raised."""
        events = self._scripted.get(call.provider.id)
        event = events.pop(0) if events else "succeeded"
        if isinstance(event, Fault):
            return "succeeded"
        if (end := next((one for one in ("succeeded", *ENDS) if one == event), None)) is None:
            raise CallRefusedError(event)
        return end

    def _bill(self, call: Call, route: Route, body: JsonObject, picture: Picture, end: End) -> Task:
        now, key = self.clock.now(), calls.idempotency_key(call)
        running_seconds = SECONDS_PER_SECOND * picture.units * self._random.uniform(0.8, 1.2)
        task = Task(
            vendor=call.provider.id,
            id=self._new_id(call, now),
            route=route,
            body=body,
            picture=picture,
            created=now,
            seconds=QUEUED_SECONDS + running_seconds,
            end=end,
        )
        self._keep(task, key)
        if self.on_accept is not None:
            self.on_accept(task, key)
        return task

    def _new_id(self, call: Call, now: float) -> str:
        """The id of a new task; another process with the same seed may have made the first ones."""
        while True:
            letters = "".join(self._random.choices(LETTERS, k=32))
            identity = call.provider.new_task_id(len(self.tasks) + 1, int(now), letters)
            if (call.provider.id, identity) not in self.tasks:
                return identity

    def restore(self, task: Task, key: str | None = None) -> None:
        """Take over a job that was billed before, with its key; a known one stays as it is."""
        with self.lock:
            self._restore(task, key)

    def _restore(self, task: Task, key: str | None) -> None:
        if (task.vendor, task.id) not in self._heard:  # also of those that were deleted
            self._keep(task, key)

    def _keep(self, task: Task, key: str | None) -> None:
        self.tasks[task.vendor, task.id] = task
        self._heard.add((task.vendor, task.id))
        self.bill.charges.append(BillLine(task.vendor, task.id, task.credits, task.created))
        if key is not None:
            self._replays[task.vendor, key] = (task.body, task.id)

    def _replayed(self, call: Call, body: JsonObject) -> Task | None:
        """The task of an earlier submit with the same idempotency key."""
        key, vendor = calls.idempotency_key(call), call.provider.id
        if key is None or (vendor, key) not in self._replays:
            return None
        earlier_body, identity = self._replays[vendor, key]
        if earlier_body != body:
            raise CallRefusedError("conflict")
        return self.tasks[vendor, identity]
