"""What strangers send to the socket of a gateway: nothing of it reaches a vendor."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
from pathlib import Path
from typing import Final

import pytest
from polyreel import asgi
from polyreel.gateway import application, server
from polyreel.ledger.gateway_tokens import GatewayToken
from polyreel.simulator import http
from support.gateway import gateway
from support.proxies import Authority
from support.server import PROVIDERS, key_of
from support.swaps import first_swap
from support.waiting import HANGS

FACE, BACK, MADE = first_swap(PROVIDERS[0])
PATH: Final = f"/{FACE.id}{MADE.operation.full_path}"
BODY: Final = MADE.content


def head(*lines: str, method: str = "POST", path: str = PATH, host: str = "localhost") -> bytes:
    """The head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


KEYED: Final = [f"{name}: {value}" for name, value in key_of(FACE).items()]
JSON: Final = "Content-Type: application/json"
ATTACKS: Final[dict[str, bytes]] = {
    "two lengths": head(*KEYED, JSON, "Content-Length: 5", "Content-Length: 6") + b"{}{}{}",
    "a length beside chunks": (
        head(*KEYED, JSON, "Content-Length: 6", "Transfer-Encoding: chunked") + b"0\r\n\r\nX"
    ),
    "a second request in a body": head(
        *KEYED, JSON, f"Content-Length: {len(BODY) + 5}", "Transfer-Encoding: chunked"
    )
    + b"0\r\n\r\n"
    + head(*KEYED, JSON, f"Content-Length: {len(BODY)}")
    + BODY,
    "a strange coding": head(*KEYED, JSON, "Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    "a blank before the colon": head(*KEYED, JSON, "Content-Length : 2") + b"{}",
    "a bare line feed": b"POST " + PATH.encode() + b" HTTP/1.1\nHost: localhost\nX: a\r b\n\n",
    "a flood of headers": head(*KEYED, *(f"X-{number}: {'a' * 90}" for number in range(1000))),
    "a long header": head(*KEYED, f"X: {'a' * 100_000}"),
    "a long path": head(*KEYED, path="/" + "a" * 100_000),
    "a length of 10 MB": head(*KEYED, JSON, "Content-Length: 10000000") + b"{",
    "a length that is none": head(*KEYED, JSON, "Content-Length: -1") + b"{}",
    "a foreign host": head(*KEYED, JSON, f"Content-Length: {len(BODY)}", host="evil.example")
    + BODY,
    "a foreign page": head(
        *KEYED, JSON, "Origin: https://evil.example", f"Content-Length: {len(BODY)}"
    )
    + BODY,
    "a path upwards": head(*KEYED, method="GET", path=f"/{FACE.id}/outputs/..%2f..%2f/1.mp4"),
    "a file's path": head(*KEYED, method="GET", path="/..%2f..%2fetc/passwd"),
    "a proxy's path": head(*KEYED, method="GET", path="http://169.254.169.254/latest"),
    "a tunnel": head(method="CONNECT", path="169.254.169.254:80"),
    "an upgrade": head(*KEYED, "Connection: Upgrade", "Upgrade: websocket", method="GET"),
    "no key": head(JSON, f"Content-Length: {len(BODY)}") + BODY,
    "a body that does not come": head(*KEYED, JSON, "Content-Length: 100") + b"{",
    "a long body": head(*KEYED, JSON, "Content-Length: 3000000") + b"{",
    "chunks without an end": head(*KEYED, JSON, "Transfer-Encoding: chunked") + b"1\r\n{\r\n",
    "a file for nobody": head(
        "Content-Length: 100000000", method="PUT", path=f"/{FACE.id}/uploads/1/a"
    ),
    "noise": b"\x16\x03\x01\x02\x00" + b"\x00" * 200,
}
"""What is sent, by what it tries."""
SLOW: Final = 100
"""How many clients begin a body that does not come, with a token that is good."""


@pytest.mark.slow
def test_nothing_gets_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is refused or let alone, and a good request is served beside all of them."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 3.0)
    monkeypatch.setattr(application, "BODY_SECONDS", 3.0)
    monkeypatch.setattr(application, "PROMPT_SECONDS", 0.1)
    with gateway(tmp_path, BACK, with_tokens=True) as stage:
        token = stage.gateway.faces.jobs.kept.tokens.make(GatewayToken("web"))
        good = [one.replace("any-key", token) for one in (*KEYED, JSON, "Connection: close")]
        slow = head(*good, "Content-Length: 100") + b"{"
        bound = http.listen(0)
        port = bound.getsockname()[1]

        async def sent(content: bytes, *, waits: bool = True) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(content)
            try:
                return await asyncio.wait_for(reader.read(), HANGS) if waits else b""
            except ConnectionError:
                return b""
            finally:
                writer.close()

        async def attacked() -> dict[str, bytes]:
            serving = asyncio.create_task(server.serve(stage.gateway, bound))
            half = asyncio.create_task(sent(b"POST / HT"))
            crowd = [asyncio.create_task(sent(slow)) for _ in range(SLOW)]
            await sent(slow, waits=False)
            answers = await asyncio.gather(*map(sent, ATTACKS.values()))
            found = dict(zip(ATTACKS, answers, strict=True))
            assert stage.simulator.journal == []
            found["good"] = await sent(head(*good, f"Content-Length: {len(BODY)}") + BODY)
            assert {status(one) for one in await asyncio.gather(*crowd)} == {408}
            assert await half in {b"", found["noise"]}
            signal.raise_signal(signal.SIGTERM)
            await serving
            return found

        replies = stage.run(attacked())
    done = replies.pop("good")
    assert status(done) in {200, 202}, done
    assert json.loads(done.partition(b"\r\n\r\n")[2])
    for name, reply in replies.items():
        assert not reply or 400 <= status(reply) < 600, (name, reply[:200])
        assert b"Traceback" not in reply
    for name in ("a body that does not come", "a long body", "chunks without an end"):
        assert status(replies[name]) == 401, name
    for name in ("a length beside chunks", "a second request in a body"):
        assert status(replies[name]) == 400, name
        assert replies[name].count(b"HTTP/1.1 ") == 1, name
    assert status(replies["a file for nobody"]) == 404
    assert len(stage.simulator.tasks) == 1
    assert [one.getMessage() for one in caplog.records if one.exc_info] == []


WEBHOOK: Final = f"/webhooks/{FACE.id}"
GOOD: Final = head(*KEYED, JSON, "Connection: close", f"Content-Length: {len(BODY)}") + BODY
OCCUPATIONS: Final[dict[str, bytes]] = {
    "heads": b"POST / HT",
    "bodies": head(JSON, "Content-Length: 100", path=WEBHOOK) + b"{",
    "answers": head(method="GET", path="/v1/openapi.json") * 9,
}
"""What a stranger begins on a connection, and does not go on with: answers are not read."""


async def begun(bound: socket.socket, content: bytes) -> asyncio.StreamWriter:
    """A connection on which somebody has sent something, and reads nothing."""
    mine = socket.socket()
    mine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    mine.connect(bound.getsockname())
    mine.setblocking(False)
    _, writer = await asyncio.open_connection(sock=mine)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(content)
    await writer.drain()
    return writer


@pytest.mark.parametrize("what", OCCUPATIONS)
def test_who_does_not_go_on_leaves_room_for_others(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many connections are open: of those whose clients wait, the oldest are closed."""
    monkeypatch.setattr(server, "max_open_files", lambda: 20)
    with gateway(tmp_path, BACK) as stage:
        bound = http.listen(0)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

        async def attacked() -> bytes:
            serving = asyncio.create_task(server.serve(stage.gateway, bound))
            halves = [await begun(bound, OCCUPATIONS[what]) for _ in range(9)]
            await asyncio.sleep(0.2)  # let the gateway answer what it can
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            writer.write(GOOD)
            done = await asyncio.wait_for(reader.read(), HANGS)
            for half in (*halves, writer):
                half.transport.abort()
            signal.raise_signal(signal.SIGTERM)
            await serving
            return done

        assert status(stage.run(attacked())) in {200, 202}


def test_an_answer_that_nobody_reads_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is closed after some seconds, and holds up no end of the gateway."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.1)
    monkeypatch.setattr(server, "GRACE", 2 * HANGS)
    with gateway(tmp_path, BACK) as stage:
        bound = http.listen(0)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

        async def attacked() -> None:
            serving = asyncio.create_task(server.serve(stage.gateway, bound))
            half = await begun(bound, OCCUPATIONS["answers"])
            await asyncio.sleep(0.2)  # let the gateway answer what it can
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(serving, HANGS)
            half.transport.abort()

        stage.run(attacked())


def test_handshakes_have_little_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its end, nobody knows of a connection, and it cannot be closed for another."""
    monkeypatch.setattr(server, "HANDSHAKE_SECONDS", 0.2)
    leaf = str(Authority(tmp_path).make().leaf)
    context = ssl.create_default_context(cafile=leaf)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with gateway(tmp_path, BACK) as stage:
        bound = http.listen(0)
        address = bound.getsockname()

        async def attacked() -> tuple[bytes, bytes]:
            serving = asyncio.create_task(server.serve(stage.gateway, bound, ssl_certfile=leaf))
            silent, half = await asyncio.open_connection(*address)
            nothing = await asyncio.wait_for(silent.read(), HANGS / 2)
            half.close()
            reader, writer = await asyncio.open_connection(*address, ssl=context)
            writer.write(head("Connection: close", method="GET", path="/healthz"))
            answer = await reader.read()
            writer.close()
            signal.raise_signal(signal.SIGTERM)
            await serving
            return nothing, answer

        nothing, answer = stage.run(attacked())
        assert (nothing, status(answer)) == (b"", 200)


@pytest.mark.parametrize("path", [PATH, WEBHOOK])
def test_a_body_that_drips_has_so_much_time(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a byte of it comes."""
    for module in (application, asgi):
        monkeypatch.setattr(module, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(application, "PROMPT_SECONDS", 0.1)
    with gateway(tmp_path, BACK) as stage:
        bound = http.listen(0)

        async def attacked() -> bytes:
            serving = asyncio.create_task(server.serve(stage.gateway, bound))
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            writer.write(head(*KEYED, JSON, "Content-Length: 1000000", path=path))
            answer = asyncio.create_task(reader.readline())
            while not answer.done():
                writer.write(b" ")
                await asyncio.wait({answer}, timeout=0.01)
            writer.close()
            signal.raise_signal(signal.SIGTERM)
            await serving
            return answer.result()

        assert status(stage.run(attacked())) == 408
        assert stage.simulator.journal == []


def status(reply: bytes) -> int:
    """The status of an answer."""
    return int(reply.split(b" ")[1])
