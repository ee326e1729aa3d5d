"""The engine: vendors' states, a clock and a bill, without I/O.

It checks every request against the vendor's contract and answers with the contract's own examples, with the
facts of the task put in. Nothing here knows a vendor: the contract and the provider's tables do.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import isfinite
from typing import Final
from urllib.parse import parse_qs, unquote

from attrs import define, evolve, field, frozen

from ..codecs import Json
from ..errors import UnknownNameError
from ..flows import Reply
from ..provider import Provider, Route
from ..registry import all_providers, get_provider
from . import answers, intake, pages, rendering, uploads
from .clock import VirtualClock
from .intake import INVALID, Call, RefusedError
from .shapes import Picture, picture_of
from .tasks import QUEUED_SECONDS, SECONDS_PER_SECOND, Bill, Charge, Clock, End, Task

HOST: Final = "simulator.invalid"
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
ENDS: Final[tuple[End, ...]] = ("failed", "canceled")


@frozen
class _Output:
    """A file to render: slow, so it is done when the lock is free again."""

    picture: Picture
    number: int


@define(eq=False)
class Simulator:
    """All vendors in memory. `handle` takes one request and gives the answer; nothing is paid and nothing is sent.

    Every bearer token is a valid key, unless `keys` lists the valid ones. `balance` is the credits each vendor's
    account starts with; a job costs one simulated credit for each second of its clip. Threads may share one.
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
    _replays: dict[tuple[str, str], tuple[Json, str]] = field(factory=dict, init=False, repr=False)
    _random: random.Random = field(init=False, repr=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def script(self, vendor: str, *events: str) -> None:
        """Say what happens to the vendor's next submits, one event each: the name of a documented error example
        (such as `rate_limited`), or `failed` or `canceled` for a job that is accepted and ends so.

        Raises UnknownNameError for an event that the vendor does not document.
        """
        known = scriptable(get_provider(vendor))
        for event in events:
            if event not in known:
                raise UnknownNameError(f"{vendor} documents no {event!r}; there are {', '.join(known)}")
        with self._lock:
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
        """Answer one request. `target` is the path (and query) below the vendor's host, as it stands in a URL; `public`
        is the URL below which output files are to be found.
        """
        with self._lock:
            outcome = self._outcome(vendor, method, target, headers, content, public or f"https://{HOST}/{vendor}")
        if isinstance(outcome, Reply):
            return outcome
        return Reply(200, {"content-type": outcome.picture.content_type}, _render(outcome.picture, outcome.number))

    def _outcome(
        self, vendor: str, method: str, target: str, headers: Mapping[str, str], content: bytes, public: str
    ) -> Reply | _Output:
        path, _, query = target.partition("?")
        self.journal.append((vendor, method, path))
        provider = all_providers().get(vendor)
        if provider is None:
            return answers.plain(404, {"error": f"no vendor is simulated at /{vendor}"})
        if path.startswith("/outputs/") and method in {"GET", "HEAD"}:
            return self._output(vendor, path)
        found = intake.match(provider, method, path)
        if found is None:
            return answers.unknown_route(provider, method, path)
        first = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        lower = {name.lower(): value for name, value in headers.items()}
        call = Call(vendor, provider, *found, first, lower, content, public, len(self.journal))
        try:
            return self._serve(call)
        except RefusedError as error:
            return answers.error(call, *error.names, message=error.message)

    def _serve(self, call: Call) -> Reply | _Output:
        kind, _, token = call.headers.get("authorization", "").strip().partition(" ")
        if kind.lower() != "bearer" or not token.strip() or (self.keys is not None and token.strip() not in self.keys):
            raise RefusedError("unauthorized")
        roles: dict[str, Callable[[Call], Reply | _Output]] = {
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
        body = answers.state(call, task, "queued", task.created, call.operation)
        return answers.reply(call, 200, body, extra)

    def _stream(self, call: Call) -> Reply:
        task, _ = self._accept(call)
        # The stream ends with the job, so the job is over when it has been read.
        self.tasks[call.vendor, task.id] = task = evolve(task, seconds=0.0)
        return answers.stream(call, task, self.clock.now())

    def _accept(self, call: Call) -> tuple[Task, bool]:
        """Check a submit and bill it; or find the task of an earlier one that it repeats."""
        end = self._scripted_end(call)
        intake.documented(call, "header")
        body = intake.body(call)
        if (earlier := self._replayed(call, body)) is not None:
            return earlier, True
        reading = intake.understand(call, body)
        picture = picture_of(reading)
        if isfinite(self.balance) and self.bill.total(call.vendor) + picture.credits > self.balance:
            raise RefusedError("insufficient_credits")
        return self._bill(call, reading.route, body, picture, end), False

    def _scripted_end(self, call: Call) -> End:
        """How the job will end; a scripted error is raised."""
        events = self._scripted.get(call.vendor)
        event = events.pop(0) if events else "succeeded"
        for end in ("succeeded", *ENDS):
            if event == end:
                return end
        raise RefusedError(event)

    def _bill(self, call: Call, route: Route, body: Json, picture: Picture, end: End) -> Task:
        now = self.clock.now()
        letters = "".join(self._random.choices(LETTERS, k=32))
        identity = call.provider.new_task_id(len(self.tasks) + 1, int(now), letters)
        seconds = QUEUED_SECONDS + SECONDS_PER_SECOND * picture.credits * self._random.uniform(0.8, 1.2)
        task = Task(call.vendor, identity, route, body, picture, now, seconds, end)
        self.tasks[call.vendor, identity] = task
        self.bill.charges.append(Charge(call.vendor, identity, picture.credits, now))
        if key := _idempotency_key(call):
            self._replays[call.vendor, key] = (body, identity)
        return task

    def _replayed(self, call: Call, body: Json) -> Task | None:
        """The task of an earlier submit with the same idempotency key, where the vendor knows such keys."""
        key = _idempotency_key(call)
        if key is None or (call.vendor, key) not in self._replays:
            return None
        earlier, identity = self._replays[call.vendor, key]
        if earlier != body:
            raise RefusedError("conflict")
        return self.tasks[call.vendor, identity]

    # -- queries ---------------------------------------------------------------------------------

    def _task(self, call: Call) -> Task:
        task = self.tasks.get((call.vendor, call.task_id))
        if task is None:
            raise RefusedError("not_found")
        return task

    def _get(self, call: Call) -> Reply:
        task, now = self._task(call), self.clock.now()
        return answers.reply(call, 200, answers.state(call, task, task.status(now), now, call.operation))

    def _list(self, call: Call) -> Reply:
        now = self.clock.now()
        tasks = [task for (vendor, _), task in reversed(self.tasks.items()) if vendor == call.vendor]
        if call.operation.role == "list-running":
            tasks = [task for task in tasks if task.status(now) in {"queued", "running"}]
        return pages.page(call, tasks, now)

    def _batch(self, call: Call) -> Reply:
        body, schema = intake.body(call), call.operation.request_schemas[0]
        intake.check(call, schema, body)
        properties = call.provider.contract.schema(schema)["properties"]
        name = next(name for name, member in properties.items() if member.get("type") == "array")
        wanted = dict.fromkeys(body.get(name, []))
        found = [self.tasks[call.vendor, identity] for identity in wanted if (call.vendor, identity) in self.tasks]
        return pages.page(call, found, self.clock.now())

    def _content(self, call: Call) -> _Output:
        task = self._task(call)
        if task.status(self.clock.now()) != "succeeded":
            raise RefusedError("not_completed", *INVALID)
        return _Output(task.picture, 1)

    def _output(self, vendor: str, path: str) -> Reply | _Output:
        found = re.fullmatch(r"/outputs/([^/]+)/([0-9]{1,3})(\.[a-z0-9]+)", path)
        task = self.tasks.get((vendor, unquote(found[1]))) if found else None
        if found and task and task.status(self.clock.now()) == "succeeded":
            number = int(found[2])
            if 1 <= number <= task.picture.count and found[3] == task.picture.suffix:
                return _Output(task.picture, number)
        return Reply(404, {"content-type": "text/plain"}, b"no such file")


def scriptable(provider: Provider) -> list[str]:
    """What `Simulator.script` can let happen to a submit, by the vendor's contract."""
    failures = [one[2] for operation in answers.submits(provider) for one in answers.errors(provider, operation)]
    shown = {name for _, _, name, _ in provider.contract.replies(answers.query(provider))}
    return [*dict.fromkeys(failures), *(end for end in ENDS if end in shown)]


def _idempotency_key(call: Call) -> str | None:
    policy = call.operation.spec.get("x-polyreel-idempotency", {})
    return call.headers.get(policy["header"].lower()) if policy.get("mode") == "replay" else None


@lru_cache(maxsize=16)
def _render(picture: Picture, number: int) -> bytes:
    caption = [*picture.caption, f"{number} of {picture.count}"] if picture.count > 1 else [*picture.caption]
    width, height = picture.width, picture.height
    if picture.seconds == 0:
        return rendering.render_image(width=width, height=height, output_format=picture.image_format, caption=caption)
    return rendering.render_video(
        seconds=picture.seconds, width=width, height=height, audio=picture.audio, caption=caption
    )
