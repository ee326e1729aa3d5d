"""The engine: vendors' states, a clock and a bill, without I/O.

It checks every request against the vendor's contract and answers with the contract's own examples, with the
facts of the task put in. Nothing here knows a vendor: the contract and the provider's tables do.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qs, unquote

from attrs import define, field

from ..flows import Answer, Pace, Reply
from ..places import JsonObject
from ..providers.base.facts import FINAL
from ..providers.base.registry import all_providers, get_provider
from ..providers.base.routes import Route
from ..serving import answers, calls
from ..serving.calls import INVALID, Call, CallRefusedError, IncomingRequest
from ..serving.links import Links
from ..serving.shapes import Picture, picture_of
from . import pages, uploads
from .clock import VirtualClock
from .corruption import Scene, spoil, spoiled_file, whole
from .faults import CALL_KINDS, CallKind, Fault, When, fault_named
from .injection import Rule, Rules
from .outputs import OutputFile
from .scripting import ENDS, scriptable, scripted
from .tasks import (
    QUEUED_SECONDS,
    SECONDS_PER_SECOND,
    Bill,
    BillLine,
    End,
    Task,
    task_state,
    task_stream,
)

__all__ = ["HOST", "Simulator", "scriptable"]

HOST: Final = "simulator.invalid"
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
NO_FILE: Final = Reply(404, MappingProxyType({"content-type": "text/plain"}), b"no such file")

Outcome = Reply | OutputFile
"""An answer, or a file that is still to be rendered."""
Slow = Callable[[], Answer]
"""What is slow, to be done when the lock is free again."""


@define(eq=False)
class Simulator:
    """All vendors in memory. `handle` takes one request and gives the answer; nothing is paid and nothing is sent.

    Every bearer token is a valid key, unless `keys` lists the valid ones. `balance` is the credits each vendor's
    account starts with; a job costs one simulated credit for each second of its clip. Threads may share one.
    """

    clock: Pace = field(factory=VirtualClock)
    seed: int | None = None
    """For the same ids and durations on every run; without it they differ."""
    keys: frozenset[str] | None = None
    balance: float = float("inf")
    link_seconds: float | None = None
    """How long a link to an output works; without it, for ever. Every status query gives out fresh ones."""
    bill: Bill = field(factory=Bill, init=False)
    tasks: dict[tuple[str, str], Task] = field(factory=dict, init=False, repr=False)
    journal: list[tuple[str, str, str]] = field(factory=list, init=False, repr=False)
    """Every request as vendor, method and path, in order."""
    heard: list[float] = field(factory=list, init=False, repr=False)
    """When each request of the journal came, by the clock."""
    fired: list[tuple[str, str]] = field(factory=list, init=False, repr=False)
    """Every fault that has happened as vendor and fault, in order."""
    on_accept: Callable[[Task, str | None], None] | None = field(
        default=None, init=False, repr=False
    )
    """Hears of every job that is accepted, with its idempotency key if it has one, before the answer is given.
    It must not call the simulator.
    """
    _rules: Rules = field(init=False, repr=False)
    _link_secret: bytes = field(init=False, repr=False)
    _scripted: dict[str, list[str | Fault]] = field(factory=dict, init=False, repr=False)
    _replays: dict[tuple[str, str], tuple[JsonObject, str]] = field(
        factory=dict, init=False, repr=False
    )
    _random: random.Random = field(init=False, repr=False)
    lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)
    """Held while a call is served. Who holds it sees everything at one moment, and must make no call."""

    def __attrs_post_init__(self) -> None:
        self.reset()

    def reset(self, seed: int | None = None) -> None:
        """Forget jobs, bill, journal, scripts and faults, and begin again, from another seed if one is given.

        The clock goes on, and a file that `memory.remember` writes stays as it is.
        """
        with self.lock:
            lists = (self.bill.charges, self.journal, self.heard, self.fired)
            for kept in (self.tasks, self._scripted, self._replays, *lists):
                kept.clear()
            self.seed = self.seed if seed is None else seed
            self._sow()

    def _sow(self) -> None:
        self._random = random.Random(self.seed)
        self._rules = Rules(self.seed)
        chance = random.Random() if self.seed is None else random.Random(f"links of {self.seed}")
        self._link_secret = chance.randbytes(16)

    # -- what goes wrong -------------------------------------------------------------------------

    def script(self, vendor: str, *events: str) -> None:
        """Say what happens to the vendor's next submits, one event each: the name of a documented error example
        (such as `rate_limited`), `failed` or `canceled` for a job that is accepted and ends so, or a fault of submits.

        Raises UnknownNameError for an event that is none of these.
        """
        named = scripted(vendor, events)
        with self.lock:
            self._scripted.setdefault(vendor, []).extend(named)

    def inject(
        self, fault: str, vendor: str | None = None, *, share: float = 1.0, times: int | None = 1
    ) -> None:
        """Let a fault happen to the next calls that it fits, of one vendor or of all: to this share of them, and
        at most so many times (None: always). Faults happen one to a call, those injected first before others.

        Raises UnknownNameError for a fault or a vendor that there is not.
        """
        known = fault_named(fault)
        if vendor is not None:
            get_provider(vendor)
        with self.lock:
            self._rules.add(known, vendor, share, times)

    def calm(self) -> None:
        """Let no injected fault happen any more. What is scripted stays."""
        with self.lock:
            self._rules.clear()

    @property
    def active(self) -> list[Rule]:
        """The injected faults that may still happen, in order."""
        return [rule for rule in self._rules._rules if rule.left != 0]

    # -- one request -----------------------------------------------------------------------------

    def connect(self, vendor: str, method: str, target: str) -> bool:
        """Whether a connection for a request is accepted. Who asks passes `connected=True` to `handle` then."""
        provider = all_providers().get(vendor)
        found = calls.match(provider, method, target.partition("?")[0]) if provider else None
        kind = CALL_KINDS.get(found[0].role) if found else None
        if kind is None:
            return True
        with self.lock:
            scripted = self._scripted_fault(vendor, kind)
            rule = self._rules.refusing(vendor, kind) if scripted is None else scripted
            if rule is None or not rule.fault.refuses:
                return True
            self._happened(vendor, rule)
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
        """Answer one request. `target` is the path (and query) below the vendor's host, as it stands in a URL; `public`
        is the URL below which output files are to be found; `connected` says that `connect` was asked before.
        """
        path, _, query = target.partition("?")
        first = {
            name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()
        }
        lower = {name.lower(): value for name, value in headers.items()}
        request = IncomingRequest(
            vendor, method, path, first, lower, content, self.links(vendor, public), connected
        )
        with self.lock:
            self.journal.append((vendor, method, path))
            self.heard.append(self.clock.now())
            outcome = self._outcome(request)
        return outcome if isinstance(outcome, Answer) else outcome()

    def links(self, vendor: str, public: str | None = None) -> Links:
        """The links to a vendor's outputs."""
        return Links(public or f"https://{HOST}/{vendor}", self.link_seconds, self._link_secret)

    def _outcome(self, request: IncomingRequest) -> Answer | Slow:
        vendor, method, path = request.vendor, request.method, request.path
        provider = all_providers().get(vendor)
        if provider is None:
            return whole(answers.plain(404, {"error": f"no vendor is simulated at /{vendor}"}))
        if path.startswith("/outputs/") and method in {"GET", "HEAD"}:
            scene = Scene(None, None, self.clock.now())
            kind: CallKind | None = "download" if method == "GET" else None
            return self._met(request, kind, scene, partial(self._output, request))
        found = calls.match(provider, method, path)
        if found is None:
            return whole(answers.unknown_route(provider, method, path))
        call = calls.call_of(request, provider, *found, len(self.journal))
        scene = Scene(call, self.tasks.get((vendor, call.task_id)), self.clock.now())
        return self._met(
            request, CALL_KINDS.get(call.operation.role), scene, partial(self._served, call)
        )

    def _met(
        self,
        request: IncomingRequest,
        kind: CallKind | None,
        scene: Scene,
        serve: Callable[[], Outcome],
    ) -> Answer | Slow:
        """What a request meets: a fault in the place of everything, or the vendor, and perhaps a fault behind it."""
        rule = self._rule(request, kind, scene) if kind else None
        if rule is not None and not rule.fault.accepted:
            self._happened(request.vendor, rule)
            return spoil(rule.fault, scene, None)
        outcome = serve()
        if rule is None or (isinstance(outcome, Reply) and not outcome.ok):
            return whole(outcome) if isinstance(outcome, Reply) else partial(_rendered, outcome)
        self._happened(request.vendor, rule)
        if isinstance(outcome, OutputFile):
            return partial(spoiled_file, rule.fault, scene, outcome)
        return spoil(rule.fault, scene, outcome)

    def _rule(self, request: IncomingRequest, kind: CallKind, scene: Scene) -> Rule | None:
        """What goes wrong with a call: what is scripted for it, else what was injected."""
        if (scripted := self._scripted_fault(request.vendor, kind)) is not None:
            return scripted
        status = scene.task.status(scene.now) if scene.task else "unknown"
        facts: set[When] = {"always"}
        facts |= {"ended"} if status in FINAL else set()
        facts |= {"succeeded"} if status == "succeeded" else set()
        facts |= {"ranged"} if "range" in request.headers and request.method == "GET" else set()
        pick = partial(self._rules.pick, request.vendor, facts=facts, connected=request.connected)
        streams = scene.call is not None and scene.call.operation.role == "stream"
        return pick(kind) or (pick("stream") if streams else None)

    def _scripted_fault(self, vendor: str, kind: CallKind) -> Rule | None:
        """The fault that is scripted for a call."""
        events = self._scripted.get(vendor) if kind == "submit" else None
        return Rule(events[0], vendor) if events and isinstance(events[0], Fault) else None

    def _happened(self, vendor: str, rule: Rule) -> None:
        events = self._scripted.get(vendor)
        if events and events[0] is rule.fault and not rule.fault.accepted:
            events.pop(0)  # accepted ones are taken off when the submit is accepted
        rule.spend()
        self.fired.append((vendor, rule.fault.name))

    def _served(self, call: Call) -> Outcome:
        try:
            return self._serve(call)
        except CallRefusedError as error:
            return answers.error(call, *error.names, message=error.message)

    def _serve(self, call: Call) -> Outcome:
        kind, _, token = call.headers.get("authorization", "").strip().partition(" ")
        if (
            kind.lower() != "bearer"
            or not token.strip()
            or (self.keys is not None and token.strip() not in self.keys)
        ):
            raise CallRefusedError("unauthorized")
        roles: dict[str, Callable[[Call], Outcome]] = {
            "create": self._create,
            "stream": self._stream,
            "get": self._get,
            "get-fallback": self._get,
            "list": self._list,
            "list-running": self._list,
            "batch-get": self._batch,
            "content": self._content,
        }
        role = call.operation.role
        return roles.get(role, uploads.upload if role.startswith("upload") else answers.fixed)(call)

    # -- submits ---------------------------------------------------------------------------------

    def _create(self, call: Call) -> Reply:
        task, replayed = self._accept(call)
        header = call.operation.spec.get("x-polyreel-idempotency", {}).get("replayed-header", "")
        extra = {header.lower(): "true"} if replayed and header else {}
        body = task_state(call, task, "queued", task.created, call.operation)
        return answers.reply(call, 200, body, extra)

    def _stream(self, call: Call) -> Reply:
        task, _ = self._accept(call)
        return task_stream(call, task, self.clock)

    def _accept(self, call: Call) -> tuple[Task, bool]:
        """Check a submit and bill it; or find the task of an earlier one that it repeats."""
        end = self._scripted_end(call)
        calls.documented(call, "header")
        body = calls.body(call)
        if (earlier := self._replayed(call, body)) is not None:
            return earlier, True
        reading = calls.understand(call, body)
        picture = picture_of(reading)
        if isfinite(self.balance) and self.bill.total(call.vendor) + picture.credits > self.balance:
            raise CallRefusedError("insufficient_credits")
        return self._bill(call, reading.route, body, picture, end), False

    def _scripted_end(self, call: Call) -> End:
        """How the job will end; a scripted error is raised."""
        events = self._scripted.get(call.vendor)
        event = events.pop(0) if events else "succeeded"
        if isinstance(event, Fault):
            return "succeeded"
        for end in ("succeeded", *ENDS):
            if event == end:
                return end
        raise CallRefusedError(event)

    def _bill(self, call: Call, route: Route, body: JsonObject, picture: Picture, end: End) -> Task:
        now = self.clock.now()
        seconds = QUEUED_SECONDS + SECONDS_PER_SECOND * picture.credits * self._random.uniform(
            0.8, 1.2
        )
        task, key = (
            Task(call.vendor, self._new_id(call, now), route, body, picture, now, seconds, end),
            _key(call),
        )
        self._keep(task, key)
        if self.on_accept is not None:
            self.on_accept(task, key)
        return task

    def _new_id(self, call: Call, now: float) -> str:
        """The id of a new task: another one where a process with the same seed has made it before."""
        while True:
            letters = "".join(self._random.choices(LETTERS, k=32))
            identity = call.provider.new_task_id(len(self.tasks) + 1, int(now), letters)
            if (call.vendor, identity) not in self.tasks:
                return identity

    def restore(self, task: Task, key: str | None = None) -> None:
        """Take over a job that was accepted and billed before, with its idempotency key; a known one stays as it is."""
        with self.lock:
            if (task.vendor, task.id) not in self.tasks:
                self._keep(task, key)

    def _keep(self, task: Task, key: str | None) -> None:
        self.tasks[task.vendor, task.id] = task
        self.bill.charges.append(BillLine(task.vendor, task.id, task.picture.credits, task.created))
        if key is not None:
            self._replays[task.vendor, key] = (task.body, task.id)

    def _replayed(self, call: Call, body: JsonObject) -> Task | None:
        """The task of an earlier submit with the same idempotency key, where the vendor knows such keys."""
        key = _key(call)
        if key is None or (call.vendor, key) not in self._replays:
            return None
        earlier, identity = self._replays[call.vendor, key]
        if earlier != body:
            raise CallRefusedError("conflict")
        return self.tasks[call.vendor, identity]

    # -- queries ---------------------------------------------------------------------------------

    def _task(self, call: Call) -> Task:
        task = self.tasks.get((call.vendor, call.task_id))
        if task is None:
            raise CallRefusedError("not_found")
        return task

    def _get(self, call: Call) -> Reply:
        task, now = self._task(call), self.clock.now()
        return answers.reply(
            call, 200, task_state(call, task, task.status(now), now, call.operation)
        )

    def _list(self, call: Call) -> Reply:
        now = self.clock.now()
        tasks = [
            task for (vendor, _), task in reversed(self.tasks.items()) if vendor == call.vendor
        ]
        if call.operation.role == "list-running":
            tasks = [task for task in tasks if task.status(now) in {"queued", "running"}]
        return pages.page(call, tasks, now)

    def _batch(self, call: Call) -> Reply:
        body, schema = calls.body(call), call.operation.request_schemas[0]
        calls.check(call, schema, body)
        properties = call.provider.contract.schema(schema)["properties"]
        name = next(name for name, member in properties.items() if member.get("type") == "array")
        wanted = dict.fromkeys(body.get(name, []))
        found = [
            self.tasks[call.vendor, identity]
            for identity in wanted
            if (call.vendor, identity) in self.tasks
        ]
        return pages.page(call, found, self.clock.now())

    def _content(self, call: Call) -> OutputFile:
        task = self._task(call)
        if task.status(self.clock.now()) != "succeeded":
            raise CallRefusedError("not_completed", *INVALID)
        return OutputFile(
            task.picture, 1, task.created + task.seconds, call.operation.method, call.headers
        )

    def _output(self, request: IncomingRequest) -> Outcome:
        found, now = (
            re.fullmatch(r"/outputs/([^/]+)/([0-9]{1,3})(\.[a-z0-9]+)", request.path),
            self.clock.now(),
        )
        task = self.tasks.get((request.vendor, unquote(found[1]))) if found else None
        if not found or not task or task.status(now) != "succeeded":
            return NO_FILE
        if not 1 <= int(found[2]) <= task.picture.count or found[3] != task.picture.suffix:
            return NO_FILE
        if (status := request.links.refusal(unquote(request.path), request.query, now)) is not None:
            return Reply(status, {"content-type": "text/plain"}, b"this link does not work")
        return OutputFile(
            task.picture,
            int(found[2]),
            task.created + task.seconds,
            request.method,
            request.headers,
        )


def _key(call: Call) -> str | None:
    """The idempotency key of a submit, where the vendor knows such keys."""
    policy = call.operation.spec.get("x-polyreel-idempotency", {})
    return call.headers.get(policy["header"].lower()) if policy.get("mode") == "replay" else None


def _rendered(file: OutputFile) -> Answer:
    return whole(file.reply())
