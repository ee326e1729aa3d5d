"""The simulator over a port: the vendors' own commands, generated clients, many at once."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pkgutil import walk_packages
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from polyreel.flows import Reply
from polyreel.places import JsonObject
from polyreel.providers.base.calling import PLACEHOLDER, key_scheme_of, task_place
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.serving.calls import full_path
from polyreel.simulator import VirtualClock, server
from support.running import Running
from support.server import (
    BODIES,
    KEY,
    PROVIDERS,
    SEEDS,
    Curl,
    Submit,
    calls,
    check,
    example,
    key_of,
    named,
    new_simulator,
    path_of,
    seeds,
    status_query,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared() -> Iterator[Running]:
    """One server for tests that leave it as it was."""
    simulator = new_simulator()
    with server.running(simulator) as url:
        yield Running(simulator, url)


@pytest.fixture
def fresh() -> Iterator[Running]:
    """A server of one's own."""
    simulator = new_simulator()
    with server.running(simulator) as url:
        yield Running(simulator, url)


COMMANDS = list(seeds())
each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)


# -- the vendors' own curl commands ----------------------------------------------------------------


def create_of(one: Curl) -> tuple[Provider, Operation]:
    """The call that a page's command makes."""
    return next((p, o) for p, o in calls("create") if one.path == f"/{p.id}{full_path(o)}")


@pytest.mark.parametrize("one", COMMANDS, ids=str)
def test_every_command_of_the_vendors_pages_is_accepted(shared: Running, one: Curl) -> None:
    """With only host and key changed, it makes a task, and the answer is the documented one."""
    (method,), (data,) = one.option("-X", "--request"), one.option("-d", "--data")
    headers = dict(header.split(": ", 1) for header in one.option("-H", "--header"))
    billed = shared.simulator.bill.count()
    reply = httpx.request(method, shared.url + one.path, headers={**headers, **KEY}, content=data)
    assert_accepted(shared, one, reply.status_code, reply.content)
    assert shared.simulator.bill.count() == billed + 1


def assert_accepted(running: Running, one: Curl, status: int, content: bytes) -> None:
    provider, operation = create_of(one)
    assert 200 <= status < 300, content
    check(provider, operation, status, content)
    facts = provider.read(Reply(status, {}, content))
    assert (provider.id, facts.id) in running.simulator.tasks
    assert facts.status == "queued"


def test_every_page_has_a_command() -> None:
    """One at least, for a call of ours."""
    assert {one.page for one in COMMANDS} == {page.stem for page in SEEDS.glob("*.txt")}


# -- the generated clients -------------------------------------------------------------------------


def package(provider: Provider) -> ModuleType:
    """The generated client of a vendor."""
    return importlib.import_module(f"polyreel_generated.{provider.id.replace('-', '_')}")


def endpoint(provider: Provider, operation: Operation) -> Any:
    """The generated module of a call."""
    api = importlib.import_module(f"{package(provider).__name__}.api")
    modules = (
        importlib.import_module(found.name)
        for found in walk_packages(api.__path__, f"{api.__name__}.")
    )
    place = (operation.method, operation.path)
    return next(
        module
        for module in modules
        if (getattr(module, "METHOD", ""), getattr(module, "PATH", "")) == place
    )


def typed_body(one: Submit) -> Any:
    """A documented body as the client's own model.

    One that leaves out the word for its workflow is of the type that the vendor takes it for.
    """
    route = one.reading.route
    if any(row.is_left_out(one.body) for row in route.constants):
        route = next(
            other
            for other in one.provider.routes
            if other.path == route.path and all(row.matches(one.body) for row in other.constants)
        )
    return route.body.from_dict(one.body)


@pytest.mark.matrix("one.provider.id", "one.operation.id", "one.reading.route.workflow")
@pytest.mark.parametrize("one", BODIES, ids=str)
def test_the_generated_clients_are_served(shared: Running, one: Submit) -> None:
    """Create and query come back typed, for the blocking and for the awaiting functions."""
    create, query = (
        endpoint(one.provider, one.operation),
        endpoint(one.provider, status_query(one.provider)),
    )

    values = one.operation.fit(one.full_path) or {}
    others = [one.reading.route.path_values[name] for name in PLACEHOLDER.findall(query.PATH)[:-1]]

    def about(made: Any) -> tuple[list[Any], dict[str, Any]]:
        """The id of a new task, as the query takes it."""
        task = id_in(one.provider, made.parsed)
        where = task_place(one.provider.contract, status_query(one.provider))
        if where and where.place == "query":
            return [], {where.name: task}
        return [*others, task], {}

    with typed_client(shared, one.provider) as blocking:
        made = create.sync_detailed(*values.values(), client=blocking, body=typed_body(one))
        path, more = about(made)
        assert_typed(one.provider, made, query.sync_detailed(*path, client=blocking, **more))

    async def again() -> None:
        async with typed_client(shared, one.provider) as awaiting:
            body = typed_body(one)
            made = await create.asyncio_detailed(*values.values(), client=awaiting, body=body)
            path, more = about(made)
            read = await query.asyncio_detailed(*path, client=awaiting, **more)
            assert_typed(one.provider, made, read)

    asyncio.run(again())


def typed_client(running: Running, provider: Provider) -> Any:
    """The generated client of a vendor, with any key."""
    prefix = key_scheme_of(provider.contract).prefix.strip()
    return package(provider).AuthenticatedClient(
        base_url=running.base(provider), token="any-key", prefix=prefix
    )


def id_in(provider: Provider, parsed: Any) -> str:
    """The id in a typed answer: where its vendor's answers have it."""
    for place in provider.reads.id:
        found = parsed
        for part in place.split("."):
            if isinstance(found, list):
                found = found[int(part)] if part.isdecimal() and int(part) < len(found) else None
            else:
                found = getattr(found, part, None)
        if isinstance(found, str):
            return found
    raise AssertionError(f"{parsed} has no id")


def assert_typed(provider: Provider, made: Any, read: Any) -> None:
    for response in (made, read):
        assert response.status_code in {200, 202}
        assert response.parse_error is None
        assert response.parsed is not None
    assert id_in(provider, made.parsed) == id_in(provider, read.parsed)


@each_vendor
def test_the_generated_clients_read_refusals(shared: Running, provider: Provider) -> None:
    """A documented error comes back typed too."""
    one = example(provider)
    body = typed_body(one)
    body.additional_properties["more"] = "x" * 5_000_000
    values = one.operation.fit(one.full_path) or {}
    with typed_client(shared, provider) as client:
        create = endpoint(provider, one.operation)
        made = create.sync_detailed(*values.values(), client=client, body=body)
    assert made.status_code in {400, 413, 422}
    assert made.parse_error is None
    assert made.parsed is not None


@each_vendor
def test_a_job_can_be_followed_to_its_file(fresh: Running, provider: Provider) -> None:
    """The output's URL is one of this server, needs no key, and says how long the file is."""
    one = example(provider)
    with httpx.Client(headers=key_of(provider)) as client:
        made = client.post(fresh.base(provider) + one.path, json=one.body)
        task = provider.read(Reply(made.status_code, {}, made.content)).id
        assert isinstance(fresh.simulator.clock, VirtualClock)
        fresh.simulator.clock.advance(1000)
        shown_by = provider.contract.operation("result") or status_query(provider)
        link = f"{fresh.url}/{provider.id}{path_of(shown_by, str(task))}"
        facts = provider.read(Reply(200, {}, client.get(link).content))
    (link,) = facts.urls
    assert link.startswith(f"{fresh.url}/{provider.id}/outputs/")
    file, head = httpx.get(link), httpx.head(link)
    assert (file.status_code, head.status_code) == (200, 200)
    assert (
        int(file.headers["content-length"])
        == len(file.content)
        == int(head.headers["content-length"])
    )
    assert file.headers["content-type"] == "video/mp4"


@pytest.mark.parametrize(("provider", "operation"), calls("stream"), ids=lambda value: value.id)
def test_streams_arrive_as_streams(
    fresh: Running, provider: Provider, operation: Operation
) -> None:
    """Events come one below the other, with the media type of event streams."""
    body, url = (
        next(iter(operation.request_examples.values())),
        f"{fresh.url}/{provider.id}{full_path(operation)}",
    )
    with httpx.stream(
        "POST", url, json=body, headers={**KEY, "Accept": "text/event-stream"}
    ) as stream:
        assert stream.headers["content-type"].partition(";")[0] == "text/event-stream"
        lines = [line for line in stream.iter_lines() if line]
    assert len(lines) == 3
    (task,) = fresh.simulator.tasks
    assert {json.loads(line.removeprefix("data: "))["id"] for line in lines} == {task[1]}
    assert fresh.simulator.bill.count(provider.id) == 1


# -- many at once ----------------------------------------------------------------------------------


def policy_of(provider: Provider) -> JsonObject:
    """What the vendor does with a key for a call."""
    found: JsonObject = example(provider).operation.spec["x-polyreel-idempotency"]
    return {**found, "mode": sys.intern(found["mode"])}


@pytest.mark.matrix("mode")
@pytest.mark.parametrize(
    ("provider", "mode"), [(one, policy_of(one)["mode"]) for one in PROVIDERS], ids=named
)
def test_eight_threads_are_counted_exactly(fresh: Running, provider: Provider, mode: str) -> None:
    """400 submits at once: 400 tasks with ids of their own, 400 charges, and one Idempotency-Key
    makes one job.
    """
    one, policy = example(provider), policy_of(provider)
    url = fresh.base(provider) + one.path

    def client(number: int) -> list[str]:
        with httpx.Client(headers=key_of(provider)) as own:
            replies = [own.post(url, json=one.body) for _ in range(50)]
            assert {reply.status_code for reply in replies} == {one.accepted}
            return [str(provider.read(Reply(200, {}, reply.content)).id) for reply in replies]

    with ThreadPoolExecutor(8) as pool:
        ids = [task for part in pool.map(client, range(8)) for task in part]
    assert len(set(ids)) == len(ids) == fresh.simulator.bill.count(provider.id) == 400
    assert {task for _, task in fresh.simulator.tasks} == set(ids)
    if mode == "replay":
        key = {**key_of(provider), policy["header"]: "0123456789abcdef"}
        with ThreadPoolExecutor(8) as pool:
            replies = list(
                pool.map(lambda _: httpx.post(url, json=one.body, headers=key), range(8))
            )
        assert len({reply.content for reply in replies}) == 1
        assert fresh.simulator.bill.count() == 401
