"""The simulated vendors as tests call them, in process and over a port, and the checks that every
answer passes.
"""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import pytest
from attrs import evolve
from polyreel.flows import Reply
from polyreel.places import JsonObject
from polyreel.plans.reading import Reading, read
from polyreel.providers.base.calling import key_scheme_of
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.facts import Facts
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.serving.calls import creating, full_path
from polyreel.simulator import Simulator, VirtualClock

from .paths import TESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SEEDS: Final = TESTS / "seeds"
START: Final = 1_790_000_000.0
KEY: Final = {"Authorization": "Bearer any-key"}
PROVIDERS: Final = list(all_providers().values())


class Submit(NamedTuple):
    """One documented request body of a paid call."""

    provider: Provider
    operation: Operation
    name: str
    body: JsonObject

    def __str__(self) -> str:
        return f"{self.provider.id}-{self.operation.id}-{self.name}"

    @property
    def path(self) -> str:
        """The path below the server's URL, with the model in it where that says one."""
        return self.operation.example_paths[self.name]

    @property
    def accepted(self) -> int:
        """The documented status of an accepted submit."""
        return min(int(one) for one in self.operation.spec["responses"] if one.startswith("2"))

    @property
    def full_path(self) -> str:
        """The path below the host."""
        return full_path(self.operation).removesuffix(self.operation.path) + self.path

    @property
    def reading(self) -> Reading:
        """What the body asks for: read once, for the axes of all tests."""
        if id(self) not in READINGS:
            plain = creating(self.provider, self.operation)
            path = self.path if plain is self.operation else plain.path
            READINGS[id(self)] = self, read(self.body, self.provider, path)
        return READINGS[id(self)][1]


READINGS: Final[dict[int, tuple[Submit, Reading]]] = {}
"""What bodies ask for, by the identity of each, which is kept: their bodies cannot be hashed."""


def calls(*roles: str) -> list[tuple[Provider, Operation]]:
    """Every vendor's calls with one of these roles."""
    return [(p, o) for p in PROVIDERS for o in p.contract.operations.values() if o.role in roles]


def submits(*roles: str) -> list[Submit]:
    """Every documented body of the calls with one of these roles."""
    return [
        Submit(p, o, name, body)
        for p, o in calls(*roles)
        for name, body in o.request_examples.items()
    ]


CREATES: Final = calls("create")
BODIES: Final = submits("create")


class Answering(Protocol):
    """Whoever answers the calls of vendors' clients."""

    def handle(
        self,
        vendor: str,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: bytes = b"",
    ) -> Reply:
        """Answer one request."""


def new_simulator(**options: Any) -> Simulator:
    """A simulator that does the same on every run."""
    return Simulator(clock=VirtualClock(START), seed=1, **options)


def example(provider: Provider, operation: Operation | None = None) -> Submit:
    """The first documented body of a create of a vendor."""
    return next(
        one
        for one in BODIES
        if one.provider.id == provider.id and operation in (None, one.operation)
    )


# -- in process ------------------------------------------------------------------------------------


def path_of(operation: Operation, task: str, content: Any = None) -> str:
    """The path of a call, about a task where it is about one, or for one of its example bodies."""
    if operation.slashed is not None and not task:
        given = content if isinstance(content, dict) else {}

        def likeness(name: str) -> tuple[bool, int]:
            body = operation.request_examples[name]
            return body == content, len(body.keys() & given.keys()) - len(
                body.keys() ^ given.keys()
            )

        return operation.example_paths[max(operation.request_examples, key=likeness)]
    path = "/".join(
        task if part.startswith("{") else part for part in full_path(operation).split("/")
    )
    query = {
        one["name"]: task if "x-polyreel-task-id" in one else one["schema"]["const"]
        for one in operation.spec.get("parameters", ())
        if (task and "x-polyreel-task-id" in one)
        or (one.get("in") == "query" and one.get("required") and "const" in one["schema"])
    }
    pairs = "&".join(f"{name}={value}" for name, value in query.items())
    return f"{path}?{pairs}" if pairs else path


def key_of(provider: Provider) -> dict[str, str]:
    """The header of a call with any key, as the vendor takes it."""
    return key_scheme_of(provider.contract).headers("any-key")


def key_at(url: str) -> dict[str, str]:
    """The header of a call with any key to a URL, as its vendor takes it."""
    return next((key_of(one) for one in PROVIDERS if url.startswith(one.servers)), KEY)


def send(
    simulator: Answering,
    provider: Provider,
    operation: Operation,
    content: Any = b"",
    *,
    headers: Mapping[str, str] | None = None,
    task: str = "",
    query: Mapping[str, str] | None = None,
    path: str = "",
) -> Reply:
    """Make one call; content that is not bytes is sent as JSON.

    The answer is one that the contract documents.
    """
    path = path or path_of(operation, task, content)
    if query:
        path += ("&" if "?" in path else "?") + "&".join(
            f"{name}={value}" for name, value in query.items()
        )
    own = {
        **key_of(provider),
        **({} if isinstance(content, bytes) else {"Content-Type": "application/json"}),
        **(headers or {}),
    }
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    reply = simulator.handle(provider.id, operation.method, path, own, data)
    check(provider, operation, reply.status, reply.content, reply.header("content-type"))
    return reply


def check(
    provider: Provider,
    operation: Operation,
    status: int,
    content: bytes,
    content_type: str | None = "application/json",
) -> None:
    """Assert that an answer is one that the contract documents."""
    assert str(status) in operation.spec["responses"], (operation.id, status, content[:500])
    if content_type != "application/json":
        assert (
            content_type
            in provider.contract.resolve(operation.spec["responses"][str(status)])["content"]
        )
        return
    schema = provider.contract.reply_schema(operation, status)
    assert schema is not None, (operation.id, status)
    assert provider.contract.fits(schema, json.loads(content)) == [], (
        operation.id,
        status,
        content[:500],
    )


def submit(simulator: Answering, one: Submit, **headers: str) -> Facts:
    """Submit a documented body, which is accepted."""
    reply = send(
        simulator, one.provider, one.operation, one.body, headers=headers, path=one.full_path
    )
    assert reply.ok, reply.content
    facts = one.provider.read(reply).of_submit(one.provider.reads)
    assert facts.id is not None
    assert facts.status == "queued"
    return facts


def status_query(provider: Provider) -> Operation:
    """The vendor's status query."""
    found = provider.contract.operation("get")
    assert found is not None
    return found


def poll(simulator: Answering, provider: Provider, task: str | None) -> Facts:
    """Ask for the state of a task."""
    reply = send(simulator, provider, status_query(provider), task=str(task))
    assert reply.ok, reply.content
    facts = provider.read(reply)
    result = provider.contract.operation("result")
    if result is None or facts.status != "succeeded":
        return facts
    return evolve(facts, urls=provider.read(send(simulator, provider, result, task=str(task))).urls)


def finish(simulator: Simulator) -> None:
    """Turn the clock until every job has ended."""
    assert isinstance(simulator.clock, VirtualClock)
    simulator.clock.advance(1000)


# -- the curl commands of the vendors' pages -------------------------------------------------------


class Curl(NamedTuple):
    """One command of a page, sent elsewhere."""

    page: str
    number: int
    vendor: str
    path: str
    """The path below the simulator's address."""
    arguments: tuple[str, ...]
    """All arguments but the URL and the Authorization header."""

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"

    def option(self, *names: str) -> list[str]:
        """The values of an option."""
        return [value for name, value in pairwise(self.arguments) if name in names]

    def command(self, url: str, key: str) -> list[str]:
        """The command with another host and key."""
        return ["curl", *self.arguments, "-H", f"Authorization: Bearer {key}", url + self.path]


def seeds() -> Iterator[Curl]:
    """Every curl command under tests/seeds."""
    for page in sorted(SEEDS.glob("*.txt")):
        # A shell drops an escaped line break, shlex keeps it.
        words = shlex.split(page.read_text(encoding="utf-8").replace("\\\n", " "), comments=True)
        starts = [index for index, word in enumerate(words) if word == "curl"] + [len(words)]
        for number, (start, end) in enumerate(pairwise(starts), 1):
            yield _moved(page.stem, number, words[start + 1 : end])


def _moved(page: str, number: int, words: list[str]) -> Curl:
    kept: list[str] = []
    address = ""
    rest = iter(words)
    for word in rest:
        value = next(rest) if word.startswith("-") else word
        if word in {value, "--url"}:
            address = value
        elif word in {"-H", "--header"} and value.startswith("Authorization: Bearer "):
            continue
        else:
            kept += [word, value]
    vendor = _vendor_of(address)
    path = urlsplit(address).path if "://" in address else address.partition("}")[2]
    return Curl(page, number, vendor, f"/{vendor}{path}", tuple(kept))


def _vendor_of(address: str) -> str:
    """The vendor that a page's URL belongs to; where it leaves the host open, by its path."""
    if address.startswith("{"):
        path = address.partition("}")[2].partition("?")[0]
        return next(
            p.id for p in PROVIDERS for o in p.contract.operations.values() if o.path == path
        )
    host = urlsplit(address).hostname
    return next(
        p.id for p in PROVIDERS if host in {urlsplit(server).hostname for server in p.servers}
    )


STREAMS: Final = submits("stream")


def named(value: object) -> str:
    """The name of a parameter in a test's id."""
    return value.id if isinstance(value, (Provider, Operation)) else str(value)


each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=named)


def each_body(test: Callable[..., None]) -> Callable[..., None]:
    """A test of every documented body: in a sample, of each call, workflow and kind of row."""
    sampled: Callable[..., None] = pytest.mark.matrix("one.reading.route.rows*")(
        each_workflow(test)
    )
    return sampled


def each_workflow(test: Callable[..., None]) -> Callable[..., None]:
    """A test of every documented body that no row is asked about: of each call and workflow."""
    axes = "one.operation.id", "one.provider.id+one.reading.route.workflow"
    sampled: Callable[..., None] = pytest.mark.matrix(*axes)(
        pytest.mark.parametrize("one", BODIES, ids=named)(test)
    )
    return sampled


each_create = pytest.mark.parametrize(("provider", "operation"), CREATES, ids=named)
each_call = pytest.mark.parametrize(
    ("provider", "operation"),
    [(p, o) for p in PROVIDERS for o in p.contract.operations.values()],
    ids=named,
)


def download(simulator: Simulator, url: str) -> Reply:
    """Fetch an output, as anyone may who has its URL."""
    vendor, _, path = url.removeprefix("https://simulator.invalid/").partition("/")
    return simulator.handle(vendor, "GET", "/" + path, {})


def members(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a JSON object, by the name of its member."""
    if isinstance(value, dict):
        for member, item in value.items():
            yield from members(item, member)
    else:
        yield name, value
