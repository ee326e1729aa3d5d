"""What the gateway adds to a call, with 200 clients at once, and whether its memory grows.

Behind it is a vendor that answers at once. Beside it are an echo of the same bodies by Starlette on
the same server, and, where peers are measured, LiteLLM's proxy before the same vendor.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Final, NoReturn, cast
from urllib.parse import urlsplit

from attrs import frozen
from peers.environments import with_extra
from polyreel.providers.base.registry import all_providers, get_provider

from .measuring import Figure, Peers, Row, serving

VENDOR: Final = next(iter(all_providers()))
CLIENTS: Final = 200
JOBS: Final = 20_000
FEW: Final = 2_000
"""After how many jobs memory is read first; what is measured comes after them."""
ROUNDS: Final = 3
"""In how many turns each is measured; the medians count, those of ratios too."""
PEER_JOBS: Final = 2_000
"""In each turn."""
KEY: Final = "sk-bench-0123456789"
JOB: Final = {"request": {"model": "kling-v3", "prompt": "a cat in the rain", "duration": 5}}
VIDEO: Final = {"model": "sora-2", "prompt": "a cat in the rain", "seconds": "4"}
LENGTH: Final = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
NUMBERS: Final = itertools.count(1)
READY: Final = 120.0
"""Seconds in which a proxy has to start."""


# -- the vendor behind, and the servers ------------------------------------------------------------


class Vendor(asyncio.Protocol):
    """Accepts every job at once: in the words of the vendor, or in those of OpenAI."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        # uvloop's transports have no such class.
        self._transport, self._received = cast("asyncio.Transport", transport), b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is there."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            found = LENGTH.search(head)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            body = json.dumps(_accepted(head)).encode()
            length = str(len(body)).encode()
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                + length
                + b"\r\n\r\n"
                + body
            )


def _accepted(head: bytes) -> dict[str, object]:
    number = next(NUMBERS)
    if b"/generations" not in head:
        return {
            "id": f"video_{number}",
            "object": "video",
            "status": "queued",
            "model": "sora-2",
            "created_at": 1_790_000_000,
            "progress": 0,
            "seconds": "4",
            "size": "720x1280",
        }
    provider = get_provider(VENDOR)
    create = provider.operation(provider.routes[0])
    shown = next(body for _, _, name, body in provider.contract.replies(create) if name == "queued")
    return {**shown, "id": f"task-unified-1790000000-{number:08d}"}


def serve_part(which: str, vendor: str) -> NoReturn:
    """Be one of the servers until killed; print the URL."""
    from polyreel.gateway.server import run  # noqa: PLC0415

    parts = {"vendor": _vendor, "echo": _echo, "forward": _forward, "gateway": _gateway}
    run(parts[which](vendor))
    raise SystemExit


async def _vendor(_: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Vendor, "127.0.0.1", 0, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


async def _echo(_: str) -> None:
    async def echo(content: bytes) -> bytes:
        return content

    await _answer(echo)


async def _forward(vendor: str) -> None:
    """The least that makes a call for a call: nothing is read, planned or written down."""
    import aiohttp  # noqa: PLC0415

    url, headers = f"{vendor}/v1/videos/generations", {"Authorization": f"Bearer {KEY}"}
    connector = aiohttp.TCPConnector(limit=CLIENTS)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def forward(content: bytes) -> bytes:
            async with session.post(url, data=content) as answer:
                return await answer.read()

        await _answer(forward)


async def _answer(answer: Callable[[bytes], Awaitable[bytes]]) -> None:
    """Serve answers to bodies by Starlette, on the same server as the gateway."""
    from polyreel.gateway.server import serve  # noqa: PLC0415
    from polyreel.simulator.http import listen  # noqa: PLC0415
    from starlette.applications import Starlette  # noqa: PLC0415
    from starlette.requests import Request  # noqa: PLC0415
    from starlette.responses import Response  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    async def answered(request: Request) -> Response:
        content = await answer(await request.body())
        return Response(content, 200, media_type="application/json")

    class Bare:
        def starlette(self) -> Starlette:
            return Starlette(routes=[Route("/v1/jobs", answered, methods=["POST"])])

    bound = listen(0)
    print(f"http://127.0.0.1:{bound.getsockname()[1]} {os.getpid()}", flush=True)
    await serve(Bare(), bound)  # type: ignore[arg-type]


async def _gateway(vendor: str) -> None:
    from polyreel import AsyncClient  # noqa: PLC0415
    from polyreel.gateway.application import Edge, GatewayApplication  # noqa: PLC0415
    from polyreel.gateway.behind import Behind  # noqa: PLC0415
    from polyreel.gateway.creating import Creator  # noqa: PLC0415
    from polyreel.gateway.faces import Faces  # noqa: PLC0415
    from polyreel.gateway.jobs import FacedJobs  # noqa: PLC0415
    from polyreel.gateway.server import serve  # noqa: PLC0415
    from polyreel.ledger.opening import open_ledger  # noqa: PLC0415
    from polyreel.simulator.http import listen  # noqa: PLC0415

    bound = listen(0)
    with tempfile.TemporaryDirectory() as name, open_ledger(f"{name}/ledger.sqlite3") as ledger:
        client = AsyncClient(keys={VENDOR: KEY}, base_urls={VENDOR: vendor}, ledger=ledger)
        jobs = FacedJobs(client, Path(name, "gateway"))
        creator = Creator(jobs, Behind((get_provider(VENDOR),)))
        print(f"http://127.0.0.1:{bound.getsockname()[1]} {os.getpid()}", flush=True)
        await serve(GatewayApplication(Faces(jobs, creator), Edge()), bound)


# -- the clients -----------------------------------------------------------------------------------


@frozen
class Taken:
    """How long calls took, in seconds."""

    p50: float
    p99: float


async def taken(url: str, path: str, body: object, number: int) -> Taken:
    """So many calls, by clients of which each waits for its answer."""
    host = urlsplit(url)
    content, left, times = json.dumps(body).encode(), iter(range(number)), list[float]()

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host.hostname, host.port)
        for _ in left:
            key = f"bench-{next(NUMBERS):012d}-{os.getpid()}"
            head = (
                f"POST {path} HTTP/1.1\r\nHost: {host.netloc}\r\nAuthorization: Bearer {KEY}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
                f"Idempotency-Key: {key}\r\n\r\n"
            )
            begin = time.perf_counter()
            writer.write(head.encode() + content)
            answered = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(answered)
            reply = await reader.readexactly(int(length[1]) if length else 0)
            times.append(time.perf_counter() - begin)
            assert answered.split(b" ")[1] in {b"200", b"201"}, (answered, reply)
        writer.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    hundredths = quantiles(times, n=100)
    return Taken(hundredths[49], hundredths[98])


@contextmanager
def litellm_proxy(peers: Peers, vendor: str) -> Iterator[str | None]:
    """LiteLLM's proxy before the vendor; None where no peers are measured."""
    if peers.folder is None:
        yield None
        return
    python = with_extra("litellm", "proxy", peers.folder)
    entry = {"model": "openai/sora-2", "api_base": f"{vendor}/v1", "api_key": KEY}
    with tempfile.TemporaryDirectory() as name:
        config = Path(name, "config.yaml")
        config.write_text(
            json.dumps({"model_list": [{"model_name": "sora-2", "litellm_params": entry}]})
        )
        port = _free_port()
        program = str(python.parent / "litellm")
        command = [program, "--config", str(config), "--port", str(port)]
        variables = {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "NO_PROXY": "127.0.0.1",
        }
        plain = {**os.environ, **variables}
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, env=plain, stdout=quiet, stderr=quiet) as proxy:
            try:
                asyncio.run(_listening(port))
                yield f"http://127.0.0.1:{port}"
            finally:
                proxy.terminate()


def _free_port() -> int:
    from polyreel.simulator.http import listen  # noqa: PLC0415

    with listen(0) as bound:
        port: int = bound.getsockname()[1]
    return port


async def _listening(port: int) -> None:
    end = time.monotonic() + READY
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.5)
        else:
            writer.close()
            return


def through_the_gateway(peers: Peers, jobs: int = JOBS) -> Iterator[Row]:
    """A paid submit through the gateway, with its ledger, and the memory of the gateway.

    The gateway and LiteLLM's proxy each make one call to the same vendor for each of a client; the
    gateway also writes it down before and after. The echo calls nobody. They are measured in turns.
    """
    program = sys.argv[0]
    with (
        serving(program, "--part", "vendor", "-") as vendor,
        serving(program, "--part", "echo", "-") as echoing,
        serving(program, "--part", "forward", vendor) as forwarding,
        serving(program, "--part", "gateway", vendor) as started,
        litellm_proxy(peers, vendor) as proxy,
    ):
        url, _, process = started.partition(" ")
        echo, _, beside = echoing.partition(" ")
        forward, _, forwarder = forwarding.partition(" ")
        asyncio.run(taken(url, "/v1/jobs", JOB, FEW))
        few = _resident(process)
        asyncio.run(taken(echo, "/v1/jobs", JOB, FEW))
        asyncio.run(taken(forward, "/v1/jobs", JOB, FEW))
        if proxy is not None:
            asyncio.run(taken(proxy, "/v1/videos", VIDEO, CLIENTS))
        echoes, forwards, owns, others = (list[Taken]() for _ in range(4))
        bare_cpu, forward_cpu, own_cpu = (list[float]() for _ in range(3))
        each = jobs // ROUNDS
        for _ in range(ROUNDS):
            with _cpu(beside, bare_cpu):
                echoes.append(asyncio.run(taken(echo, "/v1/jobs", JOB, each)))
            with _cpu(forwarder, forward_cpu):
                forwards.append(asyncio.run(taken(forward, "/v1/jobs", JOB, each)))
            with _cpu(process, own_cpu):
                owns.append(asyncio.run(taken(url, "/v1/jobs", JOB, each)))
            if proxy is not None:
                others.append(asyncio.run(taken(proxy, "/v1/videos", VIDEO, PEER_JOBS)))
        many = _resident(process)

        def per_job(seconds: float) -> float:
            return seconds / each * 1e3

        bare = Figure([one.p50 for one in echoes])
        what = f"gateway: a paid submit, {CLIENTS} clients"
        before = f"an echo by Starlette, {shown(echoes)}"
        every = f"{what}, {jobs:,} jobs"
        yield Row(
            f"{every}, added at p50",
            shown(owns),
            before,
            added("p50", owns, echoes) / bare,
            "<= 1.5",
        )
        ratio = added("p99", owns, echoes) / Figure([one.p99 for one in echoes])
        yield Row(f"{every}, added at p99", shown(owns), before, ratio)
        used_by_own, used_by_echo = Figure(own_cpu), Figure(bare_cpu)
        yield Row(
            f"{every}, CPU of the server",
            used_by_own.shown(per_job, "ms"),
            f"an echo by Starlette, {used_by_echo.median / each * 1e3:.2f} ms",
            used_by_own / used_by_echo,
        )
        bound = f"gateway: a bare forward by aiohttp, {CLIENTS} clients, {jobs:,} jobs"
        ratio = added("p50", forwards, echoes) / bare
        yield Row(f"{bound}, added at p50", shown(forwards), before, ratio)
        used = Figure(forward_cpu)
        name = f"a bare forward by aiohttp, {used.shown(per_job, 'ms')}"
        yield Row(
            f"{every}, CPU of the server",
            used_by_own.shown(per_job, "ms"),
            name,
            used_by_own / used,
        )
        if others:
            name = f"LiteLLM's proxy, which writes nothing down, {shown(others)}"
            for place in ("p50", "p99"):
                ratio = added(place, owns, echoes) / added(place, others, echoes)
                yield Row(f"{what}, added at {place}", shown(owns), name, ratio, "<= 0.2")
        yield Row(
            f"gateway: memory after {FEW + jobs:,} jobs",
            f"{many / 1e6:.0f} MB",
            f"after {FEW:,} jobs, {few / 1e6:.0f} MB",
            many / few,
            "<= 1.1",
        )


def added(place: str, rounds: Sequence[Taken], echoes: Sequence[Taken]) -> Figure:
    """What was added to an echo in each round, at `p50` or `p99`."""
    pairs = zip(rounds, echoes, strict=True)
    return Figure([getattr(one, place) - getattr(bare, place) for one, bare in pairs])


def shown(rounds: Sequence[Taken]) -> str:
    """What calls took: the medians of rounds."""
    halves, hundredths = Figure([one.p50 for one in rounds]), Figure([one.p99 for one in rounds])
    return f"{halves.shown(_in_ms, 'ms')}, p99 {hundredths.median * 1e3:.3g} ms"


def _in_ms(seconds: float) -> float:
    return seconds * 1e3


@contextmanager
def _cpu(process: str, found: list[float]) -> Iterator[None]:
    """Add the seconds of CPU that a process takes while the block runs."""

    def now() -> float:
        text = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2]
        return sum(map(int, text.split()[11:13])) / os.sysconf("SC_CLK_TCK")

    before = now()
    yield
    found.append(now() - before)


def _resident(process: str) -> float:
    """Bytes of memory that a process has."""
    text = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return float(re.findall(r"VmRSS:\s*(\d+)", text)[0]) * 1024
