"""A server that answers status queries with documented answers, as quickly as Python can.

A job is queued, runs, and has succeeded at the query with the number that its id ends with.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Final, NoReturn

from polyreel.providers.base.registry import all_providers

HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
ID: Final = re.compile(rb"job-[0-9]+-([0-9]+)")
VENDORS: Final = tuple(
    name
    for name, one in all_providers().items()
    if one.survey is None and not one.contract.operation("result") and not one.reads.locator
)
"""The vendors that are asked about one job with one call."""


@cache
def answers(vendor: str) -> Mapping[str, bytes]:
    """The answers of a vendor, whole, by the state of the job."""
    contract = all_providers()[vendor].contract
    query = contract.operation("get")
    assert query is not None
    bodies = {
        name: json.dumps(body).encode()
        for status, _, name, body in contract.replies(query)
        if status == 200
    }
    return {name: HEAD % (len(body), body) for name, body in bodies.items()}


class Answering(asyncio.Protocol):
    """One connection: the vendor is the first part of each path."""

    asked: Final[Counter[bytes]] = Counter()
    """How often each job was asked about, by any client."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer each query that is there."""
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            found = ID.search(head)
            assert found
            self.asked[found[0]] += 1
            over = self.asked[found[0]] >= int(found[1])
            vendor = head.split(b"/", 2)[1].decode()
            self._transport.write(answers(vendor)["succeeded" if over else "running"])


def serve_statuses() -> NoReturn:
    """Serve until killed; print the URL."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Answering, "127.0.0.1", 0, backlog=512)
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()

    asyncio.run(serve())
    raise SystemExit
