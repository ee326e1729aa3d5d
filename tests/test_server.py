"""The simulator over a real port: the vendors' own commands, the generated clients, and rude guests."""

from __future__ import annotations

import asyncio
import importlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pkgutil import walk_packages
from statistics import median
from types import ModuleType
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from polyreel.flows import Reply
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.serving.calls import full_path
from polyreel.simulator import Simulator, VirtualClock, server
from support.server import (
    BODIES,
    KEY,
    PROVIDERS,
    Curl,
    Submit,
    calls,
    check,
    example,
    new_simulator,
    path_of,
    seeds,
    send,
    status_query,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Running:
    """A simulator behind a port."""

    def __init__(self, simulator: Simulator, url: str) -> None:
        self.simulator = simulator
        self.url = url
        self.port = httpx.URL(url).port or 0

    def base(self, provider: Provider) -> str:
        """The base URL of a vendor."""
        return self.url + server.mounts()[provider.id]

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection((server.HOST, self.port), timeout=5)


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


# -- the vendors' own curl commands ------------------------------------------------------------------


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


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("one", COMMANDS, ids=str)
def test_curl_itself_is_served(shared: Running, one: Curl) -> None:
    """The command as it stands on the page, run by curl."""
    command = [
        *one.command(shared.url, "any-key"),
        "--silent",
        "--show-error",
        "--noproxy",
        "*",
        "--write-out",
        "\n%{http_code}",
    ]
    done = subprocess.run(command, capture_output=True, check=True, timeout=20)
    content, _, status = done.stdout.rpartition(b"\n")
    assert_accepted(shared, one, int(status), content)


def assert_accepted(running: Running, one: Curl, status: int, content: bytes) -> None:
    provider, operation = create_of(one)
    assert 200 <= status < 300, content
    check(provider, operation, status, content)
    facts = provider.read(Reply(status, {}, content))
    assert (provider.id, facts.id) in running.simulator.tasks
    assert facts.status == "queued"


def test_every_page_has_a_command() -> None:
    """There is one page at least for each vendor."""
    assert {one.vendor for one in COMMANDS} == {provider.id for provider in PROVIDERS}


# -- the generated clients ---------------------------------------------------------------------------


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
    """A documented body as the client's own model."""
    return one.reading.route.body.from_dict(one.body)


@pytest.mark.parametrize("one", BODIES, ids=str)
def test_the_generated_clients_are_served(shared: Running, one: Submit) -> None:
    """Create and query come back typed, for the blocking and for the awaiting functions."""
    create, query = (
        endpoint(one.provider, one.operation),
        endpoint(one.provider, status_query(one.provider)),
    )

    def client() -> Any:
        return package(one.provider).AuthenticatedClient(
            base_url=shared.base(one.provider), token="any-key"
        )

    with client() as blocking:
        made = create.sync_detailed(client=blocking, body=typed_body(one))
        read = query.sync_detailed(made.parsed.id, client=blocking)
        assert_typed(made, read)

    async def again() -> None:
        async with client() as awaiting:
            made = await create.asyncio_detailed(client=awaiting, body=typed_body(one))
            assert_typed(made, await query.asyncio_detailed(made.parsed.id, client=awaiting))

    asyncio.run(again())


def assert_typed(made: Any, read: Any) -> None:
    for response in (made, read):
        assert response.status_code == 200
        assert response.parse_error is None
        assert response.parsed is not None
    assert made.parsed.id == read.parsed.id


@each_vendor
def test_the_generated_clients_read_refusals(shared: Running, provider: Provider) -> None:
    """A documented error comes back typed too."""
    one = example(provider)
    body = typed_body(one)
    body.additional_properties["more"] = "x" * 5_000_000
    with package(provider).AuthenticatedClient(
        base_url=shared.base(provider), token="any-key"
    ) as client:
        made = endpoint(provider, one.operation).sync_detailed(client=client, body=body)
    assert made.status_code in {400, 413}
    assert made.parse_error is None
    assert made.parsed is not None


@each_vendor
def test_a_job_can_be_followed_to_its_file(fresh: Running, provider: Provider) -> None:
    """The output's URL is one of this server, needs no key, and says how long the file is."""
    one = example(provider)
    with httpx.Client(headers=KEY) as client:
        made = client.post(fresh.base(provider) + one.operation.path, json=one.body)
        task = provider.read(Reply(made.status_code, {}, made.content)).id
        assert isinstance(fresh.simulator.clock, VirtualClock)
        fresh.simulator.clock.advance(1000)
        link = f"{fresh.url}/{provider.id}{path_of(status_query(provider), str(task))}"
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


# -- many at once ------------------------------------------------------------------------------------


@each_vendor
def test_eight_threads_are_counted_exactly(fresh: Running, provider: Provider) -> None:
    """400 submits at once: 400 tasks with ids of their own, 400 charges, and one Idempotency-Key makes one job."""
    one = example(provider)
    url, policy = (
        fresh.base(provider) + one.operation.path,
        one.operation.spec["x-polyreel-idempotency"],
    )

    def client(number: int) -> list[str]:
        with httpx.Client(headers=KEY) as own:
            replies = [own.post(url, json=one.body) for _ in range(50)]
            assert {reply.status_code for reply in replies} == {200}
            return [str(provider.read(Reply(200, {}, reply.content)).id) for reply in replies]

    with ThreadPoolExecutor(8) as pool:
        ids = [task for part in pool.map(client, range(8)) for task in part]
    assert len(set(ids)) == len(ids) == fresh.simulator.bill.count(provider.id) == 400
    assert {task for _, task in fresh.simulator.tasks} == set(ids)
    if policy["mode"] == "replay":
        key = {**KEY, policy["header"]: "0123456789abcdef"}
        with ThreadPoolExecutor(8) as pool:
            replies = list(
                pool.map(lambda _: httpx.post(url, json=one.body, headers=key), range(8))
            )
        assert len({reply.content for reply in replies}) == 1
        assert fresh.simulator.bill.count() == 401


# -- who may ask -------------------------------------------------------------------------------------


def test_the_index_shows_the_way(fresh: Running) -> None:
    """Every vendor with its base path, and what was billed."""
    shown = httpx.get(fresh.url + "/").json()
    assert shown["vendors"] == server.mounts()
    assert shown["billed"] == 0
    for provider in PROVIDERS:
        one = example(provider)
        assert (
            httpx.post(
                fresh.base(provider) + one.operation.path, json=one.body, headers=KEY
            ).status_code
            == 200
        )
    assert httpx.get(fresh.url).json()["billed"] == len(PROVIDERS)
    assert (
        httpx.get(f"{fresh.url}/nobody").status_code
        == httpx.get(f"{fresh.url}/nobody/v1").status_code
        == 404
    )


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "evil.example:{port}",
        "127.0.0.1.example",
        "localhost.example",
        "localhost@evil.example",
        "0.0.0.0",
    ],
)
def test_a_foreign_host_name_is_refused(fresh: Running, host: str) -> None:
    """A web page that points its own name at loopback gets nothing, and nothing is billed."""
    one = example(PROVIDERS[0])
    headers = {**KEY, "Host": host.format(port=fresh.port)}
    assert httpx.get(fresh.url, headers=headers).status_code == 400
    assert (
        httpx.post(
            fresh.base(PROVIDERS[0]) + one.operation.path, json=one.body, headers=headers
        ).status_code
        == 400
    )
    assert httpx.get(fresh.url, headers={"Host": f"localhost:{fresh.port}"}).status_code == 200
    assert fresh.simulator.bill.count() == 0
    assert fresh.simulator.journal == []


def test_a_web_page_gets_no_leave(fresh: Running) -> None:
    """A browser's question before a call with a key is not answered with a yes."""
    one = example(PROVIDERS[0])
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    reply = httpx.options(fresh.base(PROVIDERS[0]) + one.operation.path, headers=headers)
    assert reply.status_code == 403
    assert httpx.options(fresh.url).status_code == httpx.post(fresh.url).status_code == 405
    assert not [name for name in reply.headers if name.startswith("access-control")]


def test_only_loopback_is_bound() -> None:
    """Other machines cannot connect, and a taken port is an error at once."""
    with server.listen(0) as bound:
        host, port = bound.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(OSError, match="in use"):
            server.listen(port)
        with socket.socket() as other, pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", port))


# -- rude guests -------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_a_413(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read to its end, and nothing is billed."""
    monkeypatch.setattr(server, "MAX_BODY_BYTES", 100_000)
    one, simulator = example(PROVIDERS[0]), new_simulator()
    with server.running(simulator) as address:
        own = Running(simulator, address)
        url = own.base(PROVIDERS[0]) + one.operation.path
        with own.connect() as guest:
            line = f"POST {httpx.URL(url).path} HTTP/1.1"
            head = f"{line}\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
            guest.sendall(head.encode() + b"x" * 200_000)
            assert guest.recv(4096).startswith(b"HTTP/1.1 413 ")
        assert (
            httpx.post(url, json={**one.body, "more": "x" * 200_000}, headers=KEY).status_code
            == 413
        )
        assert (
            httpx.post(url, json={**one.body, "more": "x" * 50_000}, headers=KEY).status_code == 200
        )
    assert simulator.bill.count() == 1


def test_slow_and_silent_guests_do_not_block_others(
    fresh: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten that say nothing, half a head or half a body: others are served at once, and no error is logged."""
    one = example(PROVIDERS[0])
    path = httpx.URL(fresh.base(PROVIDERS[0]) + one.operation.path).path
    body = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\nContent-Length: 500\r\n\r\n{{"
    starts = [
        b"",
        b"POST ",
        f"POST {path} HTTP/1.1\r\nHost: loc".encode(),
        body.encode(),
        b"\x16\x03\x01\x02",
    ]
    with ExitStack() as stack:
        for start in starts * 2:
            stack.enter_context(fresh.connect()).sendall(start)
        begin = time.monotonic()
        reply = httpx.post(fresh.url + path, json=one.body, headers=KEY)
        assert reply.status_code == 200
        assert time.monotonic() - begin < 3
    time.sleep(0.1)
    assert httpx.get(fresh.url).json()["billed"] == 1
    assert [
        record.getMessage()
        for record in caplog.records
        if record.levelname in {"ERROR", "CRITICAL"}
    ] == []


def test_answers_come_at_once(shared: Running) -> None:
    """Nothing on the way waits for the other side: a small call takes a few milliseconds."""
    seconds = []
    with httpx.Client() as client:
        for _ in range(25):
            begin = time.monotonic()
            assert client.get(shared.url).status_code == 200
            seconds.append(time.monotonic() - begin)
    assert median(seconds) < 0.03  # with Nagle's algorithm it is 0.04


def test_the_server_stops_quickly(caplog: pytest.LogCaptureFixture) -> None:
    """Also with guests that never finish; afterwards the port is closed and no thread is left."""
    before = set(threading.enumerate())
    with ExitStack() as stack:
        simulator = new_simulator()
        with server.running(simulator) as url:
            running = Running(simulator, url)
            for start in (
                b"",
                b"GET / HTTP/1.1\r\n",
                b"POST /x/y HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n",
            ):
                stack.enter_context(running.connect()).sendall(start)
            assert httpx.get(url).status_code == 200
            begin = time.monotonic()
        assert time.monotonic() - begin < 3
        with pytest.raises(ConnectionRefusedError):
            running.connect()
    assert set(threading.enumerate()) - before == set()
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    ("fault", "error", "billed"),
    [
        ("lost-reset", httpx.ReadError, 1),
        ("lost-close", httpx.RemoteProtocolError, 1),
        ("lost-cut", httpx.RemoteProtocolError, 1),
        ("lost-silence", httpx.ReadTimeout, 1),
        ("unheard-reset", httpx.ReadError, 0),
        ("unheard-close", httpx.RemoteProtocolError, 0),
    ],
)
def test_answers_get_lost_over_a_port_too(
    fresh: Running, fault: str, error: type[Exception], billed: int
) -> None:
    """What is injected ends connections for real; the next submit arrives."""
    one = example(PROVIDERS[0])
    url = fresh.base(PROVIDERS[0]) + one.operation.path
    fresh.simulator.inject(fault)
    with httpx.Client(headers=KEY, timeout=1) as client:
        with pytest.raises(error):
            client.post(url, json=one.body)
        assert fresh.simulator.bill.count() == billed
        assert client.post(url, json=one.body).status_code == 200
    assert [name for _, name in fresh.simulator.fired] == [fault]


@each_vendor
def test_quoted_paths_stay_quoted(fresh: Running, provider: Provider) -> None:
    """A quoted slash or question mark belongs to the task's id, not to the path."""
    query = status_query(provider)
    expected = send(fresh.simulator, provider, query, task="none")
    for task in ("a%2Fb", "a%3Fb=1", "%2e%2e", "%00", "caf%C3%A9", "%ff"):
        with fresh.connect() as guest:
            line = f"GET /{provider.id}{path_of(query, task)} HTTP/1.1"
            guest.sendall(
                f"{line}\r\nHost: localhost\r\nAuthorization: Bearer k\r\nConnection: close\r\n\r\n".encode()
            )
            answer = b"".join(iter(lambda: guest.recv(65536), b""))
        head, _, content = answer.partition(b"\r\n\r\n")
        assert (int(head.split()[1]), content) == (expected.status, expected.content)


SERVE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us deaf to it
sys.path[:0] = {path!r}
from polyreel.simulator import RunningClock, Simulator, server
bound = server.listen(0)
print(bound.getsockname()[1], flush=True)
try:
    server.serve(bound, Simulator(clock=RunningClock(speed={speed}), seed=0))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(
    ("number", "last"), [(signal.SIGINT, "interrupted\n"), (signal.SIGTERM, "")]
)
def test_a_process_serves_until_it_is_interrupted(number: int, last: str) -> None:
    """`serve` runs jobs on the machine's clock, sped up, and ends on Ctrl-C or when it is told to without a word."""
    command = [sys.executable, "-W", "error", "-c", SERVE.format(path=sys.path, speed=1000)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        provider = PROVIDERS[0]
        one, mount = example(provider), url + server.mounts()[provider.id]
        reply = httpx.post(mount + one.operation.path, json=one.body, headers=KEY, timeout=20)
        facts = provider.read(Reply(reply.status_code, {}, reply.content))
        path = path_of(status_query(provider), str(facts.id))
        deadline = time.monotonic() + 10
        while facts.status != "succeeded" and time.monotonic() < deadline:
            time.sleep(0.05)
            facts = provider.read(
                Reply(200, {}, httpx.get(f"{url}/{provider.id}{path}", headers=KEY).content)
            )
        process.send_signal(number)
        out, said = process.communicate(timeout=10)
    assert facts.status == "succeeded"
    assert (process.returncode, out, said) == (0, last, "")
