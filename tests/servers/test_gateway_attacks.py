"""What strangers send to the socket of a gateway: nothing of it reaches a vendor."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Final

import pytest
from polyreel.gateway import server
from polyreel.ledger.gateway_tokens import GatewayToken
from polyreel.simulator import http
from support.gateway import gateway
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
    "noise": b"\x16\x03\x01\x02\x00" + b"\x00" * 200,
}
"""What is sent, by what it tries."""


@pytest.mark.slow
def test_nothing_gets_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is refused or let alone, and a good request is served after all of them."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 3.0)
    with gateway(tmp_path, BACK, with_tokens=True) as stage:
        token = stage.gateway.faces.jobs.kept.tokens.make(GatewayToken("web"))
        bound = http.listen(0)
        port = bound.getsockname()[1]

        async def sent(content: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(content)
            try:
                return await asyncio.wait_for(reader.read(), HANGS)
            except ConnectionError:
                return b""
            finally:
                writer.close()

        async def attacked() -> dict[str, bytes]:
            serving = asyncio.create_task(server.serve(stage.gateway, bound))
            half = asyncio.create_task(sent(b"POST / HT"))
            answers = await asyncio.gather(*map(sent, ATTACKS.values()))
            found = dict(zip(ATTACKS, answers, strict=True))
            assert await half in {b"", found["noise"]}
            assert stage.simulator.journal == []
            lines = [one.replace("any-key", token) for one in (*KEYED, JSON, "Connection: close")]
            length = f"Content-Length: {len(BODY)}"
            found["good"] = await sent(head(*lines, length) + BODY)
            signal.raise_signal(signal.SIGTERM)
            await serving
            return found

        replies = stage.run(attacked())
    good = replies.pop("good")
    assert good.split(b" ")[1] in {b"200", b"202"}, good
    assert json.loads(good.partition(b"\r\n\r\n")[2])
    for name, reply in replies.items():
        assert not reply or 400 <= int(reply.split(b" ")[1]) < 600, (name, reply[:200])
        assert b"Traceback" not in reply
    assert len(stage.simulator.tasks) == 1
