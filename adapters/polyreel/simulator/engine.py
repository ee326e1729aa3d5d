"""The engine: vendors' states, a clock and a bill, without I/O.

It checks every request against the vendor's contract and answers with the contract's own examples, with the
facts of the task put in. Nothing here knows a vendor: the contract and the provider's tables do.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, Protocol
from urllib.parse import parse_qs, urlsplit

from attrs import Factory, define, evolve, field, frozen

from ..codecs import Json
from ..contract import Operation
from ..errors import BadReplyError
from ..flows import Reply
from ..mapping import ConflictError, get, is_missing, put
from ..provider import Provider, Route, SimulatedTask, Status
from ..registry import all_providers
from ..translation import UnreadableError, read
from . import multipart, rendering
from .clock import VirtualClock
from .shapes import Picture, picture_of

HOST: Final = "simulator.invalid"
QUEUED_SECONDS: Final = 4.0
SECONDS_PER_SECOND: Final = 6.0
"""A job runs this many seconds for each second of its clip: a stand-in, not a vendor's figure."""


class Clock(Protocol):
    """What the engine needs of time."""

    def now(self) -> float:
        """Seconds since 1970."""


@frozen
class Task:
    """One accepted job."""

    vendor: str
    id: str
    route: Route
    body: Json
    picture: Picture
    created: float
    seconds: float
    """How long the job takes."""
    end: Literal["succeeded", "failed", "canceled"] = "succeeded"

    def status(self, now: float) -> Status:
        """Where the job is at a time."""
        age = now - self.created
        if age < min(QUEUED_SECONDS, self.seconds):
            return "queued"
        return "running" if age < self.seconds else self.end


@frozen
class Charge:
    """One accepted, and so billed, submit."""

    vendor: str
    task: str
    credits: float
    at: float


@define
class Bill:
    """What the simulated vendors have billed: the truth that tests compare with."""

    charges: list[Charge] = Factory(list)

    def count(self, vendor: str | None = None) -> int:
        """How many jobs were billed."""
        return sum(vendor in {None, charge.vendor} for charge in self.charges)

    def total(self, vendor: str | None = None) -> float:
        """How many (simulated) credits were billed."""
        return sum(charge.credits for charge in self.charges if vendor in {None, charge.vendor})


@define
class Call:
    """One request as it arrived."""

    vendor: str
    provider: Provider
    operation: Operation
    parameters: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    content: bytes
    public: str


@define(eq=False)
class Simulator:
    """All vendors in memory. `handle` takes one request and gives the answer; nothing is paid and nothing is sent.

    Every bearer token is a valid key, unless `keys` lists the valid ones. `balance` is the credits each vendor's
    account starts with; a job costs one simulated credit for each second of its clip.
    """

    clock: Clock = field(factory=VirtualClock)
    seed: int | None = None
    """For the same ids and durations on every run; without it they differ."""
    keys: frozenset[str] | None = None
    balance: float = float("inf")
    bill: Bill = field(factory=Bill, init=False)
    tasks: dict[tuple[str, str], Task] = field(factory=dict, init=False, repr=False)
    journal: list[tuple[str, str, str]] = field(factory=list, init=False, repr=False)
    """Every request as vendor, method and path, in order."""
    _scripted: dict[str, list[str]] = field(factory=dict, init=False, repr=False)
    _replays: dict[tuple[str, str], tuple[bytes, str]] = field(factory=dict, init=False, repr=False)
    _random: random.Random = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def script(self, vendor: str, *events: str) -> None:
        """Say what happens to the vendor's next submits, one event each: the name of a documented error example
        (such as `rate_limited`), or `failed` or `canceled` for a job that is accepted and ends so.
        """
        self._scripted.setdefault(vendor, []).extend(events)

    # -- one request -----------------------------------------------------------------------------

    def handle(
        self,
        vendor: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes = b"",
        public: str | None = None,
    ) -> Reply:
        """Answer one request. `target` is the path (and query) below the vendor's host; `public` is the URL below
        which output files are to be found.
        """
        path, _, query = target.partition("?")
        self.journal.append((vendor, method, path))
        provider = all_providers().get(vendor)
        if provider is None:
            return _json(404, {"error": f"no vendor is simulated at /{vendor}"})
        if path.startswith("/outputs/"):
            return self._output(vendor, path)
        found = _match(provider, method, path)
        if found is None:
            return self._unknown_route(provider, method, path)
        operation, parameters = found
        first = {name: values[0] for name, values in parse_qs(query).items()}
        lower = {name.lower(): value for name, value in headers.items()}
        where = public or f"https://{HOST}/{vendor}"
        call = Call(vendor, provider, operation, parameters, first, lower, content, where)
        if not self._authorized(call):
            return self._error(call, "unauthorized")
        answers = {
            "create": self._create,
            "stream": self._stream,
            "get": self._get,
            "list": self._list,
            "list-running": self._list,
            "batch-get": self._batch,
            "content": self._content,
        }
        return answers.get(operation.role, self._fixed)(call)

    def _authorized(self, call: Call) -> bool:
        kind, _, token = call.headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and bool(token.strip()) and (self.keys is None or token in self.keys)

    # -- submits ---------------------------------------------------------------------------------

    def _create(self, call: Call) -> Reply:
        outcome = self._accept(call)
        if isinstance(outcome, Reply):
            return outcome
        return self._task_reply(call, outcome, "queued", call.operation)

    def _stream(self, call: Call) -> Reply:
        """The whole life of a job as one event stream."""
        outcome = self._accept(call)
        if isinstance(outcome, Reply):
            return outcome
        query = call.provider.contract.operation("get")
        assert query is not None
        lines = []
        for status in ("queued", "running", outcome.end):
            body = self._task_reply(call, outcome, status, query).content
            lines.append(b"data: " + body + b"\n\n")
        # The stream ends with the job, so the job is over when it has been read.
        self.tasks[call.vendor, outcome.id] = evolve(outcome, seconds=0.0)
        return Reply(200, {"content-type": "text/event-stream"}, b"".join(lines))

    def _accept(self, call: Call) -> Task | Reply:
        """Check a submit and bill it, or answer with the error the vendor would give."""
        events = self._scripted.get(call.vendor, [])
        event = events.pop(0) if events else ""
        end: Any = event if event in {"failed", "canceled"} else "succeeded"
        if event and end == "succeeded":
            return self._error(call, event)
        body = self._body(call)
        if isinstance(body, Reply):
            return body
        if (replay := self._replayed(call)) is not None:
            return replay
        try:
            reading = read(body, call.provider, call.operation.path.replace("/sse/", "/"))
        except (UnreadableError, ConflictError) as error:
            return self._invalid(call, str(error), "model" if isinstance(error, UnreadableError) else "")
        breaches = call.provider.contract.accepts(reading.route.schema, body)
        if breaches:
            place = ".".join(map(str, breaches[0].path))
            return self._invalid(call, f"{place}: {breaches[0].message}" if place else breaches[0].message, place)
        picture = picture_of(reading)
        if self.bill.total(call.vendor) + picture.credits > self.balance:
            return self._error(call, "insufficient_credits")
        return self._bill(call, reading.route, body, picture, end)

    def _bill(self, call: Call, route: Route, body: Json, picture: Picture, end: Any) -> Task:
        now = self.clock.now()
        letters = "".join(self._random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=32))
        identity = call.provider.new_task_id(len(self.tasks) + 1, int(now), letters)
        seconds = QUEUED_SECONDS + SECONDS_PER_SECOND * picture.seconds * self._random.uniform(0.8, 1.2)
        task = Task(call.vendor, identity, route, body, picture, now, seconds, end)
        self.tasks[call.vendor, identity] = task
        self.bill.charges.append(Charge(call.vendor, identity, picture.credits, now))
        if key := self._idempotency_key(call):
            self._replays[call.vendor, key] = (call.content, identity)
        return task

    def _idempotency_key(self, call: Call) -> str | None:
        header = call.operation.spec.get("x-polyreel-idempotency", {}).get("header")
        return call.headers.get(header.lower()) if header else None

    def _replayed(self, call: Call) -> Task | Reply | None:
        """The task of an earlier submit with the same idempotency key, where the vendor knows such keys."""
        key = self._idempotency_key(call)
        if key is None or (call.vendor, key) not in self._replays:
            return None
        content, identity = self._replays[call.vendor, key]
        return self.tasks[call.vendor, identity] if content == call.content else self._error(call, "conflict")

    def _body(self, call: Call) -> Json | Reply:
        kind = call.headers.get("content-type", "")
        if kind.startswith("multipart/form-data") and call.operation.takes_files:
            return multipart.read(call.content, kind, call.provider.contract, call.operation)
        try:
            body = Reply(200, {}, call.content).json()
        except BadReplyError:
            return self._invalid(call, "the body is not JSON", "")
        return body if isinstance(body, dict) else self._invalid(call, "the body is not an object", "")

    # -- queries ---------------------------------------------------------------------------------

    def _get(self, call: Call) -> Reply:
        identity = next(iter(call.parameters.values()))
        task = self.tasks.get((call.vendor, identity))
        if task is None:
            return self._error(call, "not_found")
        return self._task_reply(call, task, task.status(self.clock.now()), call.operation)

    def _list(self, call: Call) -> Reply:
        now = self.clock.now()
        tasks = [task for (vendor, _), task in reversed(self.tasks.items()) if vendor == call.vendor]
        if call.operation.role == "list-running":
            tasks = [task for task in tasks if task.status(now) in {"queued", "running"}]
        limit = call.query.get("limit", call.query.get("page_size", ""))
        return self._page(call, tasks[: int(limit)] if limit.isascii() and limit.isdigit() else tasks[:50])

    def _batch(self, call: Call) -> Reply:
        body = self._body(call)
        if isinstance(body, Reply):
            return body
        schema = call.operation.request_schemas[0]
        if breaches := call.provider.contract.accepts(schema, body):
            return self._invalid(call, breaches[0].message, "")
        wanted = next(iter(body.values()))
        found = [self.tasks[call.vendor, name] for name in wanted if (call.vendor, name) in self.tasks]
        return self._page(call, found)

    def _page(self, call: Call, tasks: list[Task]) -> Reply:
        """The documented page with these tasks as its items."""
        status, _, example = self._example(call.provider, call.operation, "page")
        place = (
            next((name for name, value in example.items() if isinstance(value, list)), "")
            if isinstance(example, dict)
            else ""
        )
        samples = example[place] if place else example
        items = [self._item(call, task, samples[0]) for task in tasks]
        if not place:
            return _json(status, items)
        return _json(status, {**example, place: items, **({"total": len(items)} if "total" in example else {})})

    def _item(self, call: Call, task: Task, sample: Json) -> Json:
        """One task in a list: the sample's own members, as the status query shows them."""
        query = call.provider.contract.operation("get")
        assert query is not None
        shown = self._shape(call, task, task.status(self.clock.now()), query, sample)
        return {name: value for name, value in shown.items() if name in sample}

    def _content(self, call: Call) -> Reply:
        identity = next(iter(call.parameters.values()))
        task = self.tasks.get((call.vendor, identity))
        if task is None:
            return self._error(call, "not_found")
        if task.status(self.clock.now()) != "succeeded":
            return self._error(call, "not_completed", "invalid_request")
        return Reply(200, {"content-type": task.picture.content_type}, _render(task.picture, 1))

    def _fixed(self, call: Call) -> Reply:
        """Calls whose documented answer needs no state: credits and uploads."""
        name = "credits" if call.operation.role == "credits" else "uploaded"
        status, content_type, example = self._example(call.provider, call.operation, name)
        return Reply(status, {"content-type": content_type}, _dumps(example))

    def _output(self, vendor: str, path: str) -> Reply:
        found = re.fullmatch(r"/outputs/([^/]+)/([0-9]+)\.[a-z0-9]+", path)
        task = self.tasks.get((vendor, found[1])) if found else None
        if found is None or task is None or task.status(self.clock.now()) != "succeeded":
            return Reply(404, {"content-type": "text/plain"}, b"no such file")
        return Reply(200, {"content-type": task.picture.content_type}, _render(task.picture, int(found[2])))

    # -- answers ---------------------------------------------------------------------------------

    def _task_reply(self, call: Call, task: Task, status: Status, operation: Operation) -> Reply:
        return _json(200, self._shape(call, task, status, operation))

    def _shape(self, call: Call, task: Task, status: Status, operation: Operation, sample: Json | None = None) -> Json:
        """The contract's example for a state, with the task's facts in it."""
        picture, now = task.picture, self.clock.now()
        names = [f"{status}_image", status] if picture.seconds == 0 else [status]
        _, _, example = self._example(call.provider, operation, *names)
        place = call.provider.reads.status[0]
        if sample is not None:
            example = {**sample, place: get(example, place)}
        elapsed = min(now - task.created, task.seconds)
        share = 100 if task.seconds == 0 else int(100 * elapsed / task.seconds)
        facts = SimulatedTask(
            id=task.id,
            status=status,
            model=str(task.body.get("model", task.route.model)),
            created=int(task.created),
            elapsed=int(elapsed),
            progress={"queued": 0, "running": min(share, 99), "succeeded": 100}.get(status, share),
            duration=picture.seconds,
            width=picture.width,
            height=picture.height,
            prompt=picture.prompt,
            credits=picture.credits,
            body=task.body,
            urls=tuple(f"{call.public}/outputs/{task.id}/{n}{picture.suffix}" for n in range(1, picture.count + 1)),
            content_type=picture.content_type,
        )
        return call.provider.impersonate(json.loads(json.dumps(example)), facts)

    def _example(self, provider: Provider, operation: Operation, *names: str) -> tuple[int, str, Any]:
        """The first documented example reply with one of these names."""
        replies = list(provider.contract.replies(operation))
        for name in names:
            for status, content_type, found, body in replies:
                if found == name:
                    return status, content_type, body
        raise LookupError(f"{operation.id} documents no example {' or '.join(names)}")

    def _invalid(self, call: Call, message: str, place: str) -> Reply:
        names = ["model_not_found", "unsupported_model"] if place == "model" else []
        return self._error(call, *names, "invalid_request", message=message)

    def _error(self, call: Call, *names: str, message: str | None = None) -> Reply:
        """A documented error, by the first of these names that the call documents."""
        try:
            status, content_type, body = self._example(call.provider, call.operation, *names)
        except LookupError:
            status, content_type, body = 400, "application/json", {"message": names[-1]}
        if message is not None and isinstance(body, dict):
            body = json.loads(json.dumps(body))
            place = next((p for p in ("error.message", "message", "msg") if not is_missing(get(body, p))), "message")
            put(body, place, message)
        headers = {"content-type": content_type}
        if status == 429 and "Retry-After" in call.provider.contract.resolve(
            call.operation.spec["responses"].get("429", {})
        ).get("headers", {}):
            headers["retry-after"] = "2"
        return Reply(status, headers, _dumps(body))

    def _unknown_route(self, provider: Provider, method: str, path: str) -> Reply:
        for operation in provider.contract.operations.values():
            for status, content_type, name, body in provider.contract.replies(operation):
                if name == "unknown_route":
                    return Reply(status, {"content-type": content_type}, _dumps(body))
        return _json(404, {"error": "not_found", "message": f"no such route: {method} {path}"})


# -- helpers -----------------------------------------------------------------------------------------


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _json(status: int, value: Any) -> Reply:
    return Reply(status, {"content-type": "application/json"}, _dumps(value))


def full_path(operation: Operation) -> str:
    """The path of a call below its host."""
    return urlsplit(operation.server).path.rstrip("/") + operation.path


@lru_cache(maxsize=256)
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template)))


def _match(provider: Provider, method: str, path: str) -> tuple[Operation, Mapping[str, str]] | None:
    """The call for a method and path; fixed paths win over templates."""
    matches: Iterator[tuple[Operation, re.Match[str]]] = (
        (operation, found)
        for operation in provider.contract.operations.values()
        if operation.method == method and (found := _pattern(full_path(operation)).fullmatch(path))
    )
    best = min(matches, key=lambda match: len(match[1].groups()), default=None)
    return (best[0], best[1].groupdict()) if best else None


@lru_cache(maxsize=16)
def _render(picture: Picture, number: int) -> bytes:
    caption = [*picture.caption, f"{number} of {picture.count}"] if picture.count > 1 else [*picture.caption]
    if picture.seconds == 0:
        return rendering.render_image(
            width=picture.width, height=picture.height, output_format=picture.image_format, caption=caption
        )
    return rendering.render_video(
        seconds=picture.seconds, width=picture.width, height=picture.height, audio=picture.audio, caption=caption
    )
