"""One live job with a local file, made over real sockets by each kind of client."""

import asyncio
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
from polyreel import AsyncClient, Client, Job, Network
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import Simulator

from support.faults import CANARIES
from support.files import png

KINDS: Final = ("blocking", "awaiting", "fast")
every_way = pytest.mark.parametrize("way", KINDS)


class Answering(Protocol):
    """A server that answers for the vendors."""

    simulator: Simulator


def make(
    way: str,
    vendor: str,
    server: Answering,
    folder: Path,
    network: Network | None,
    **more: Any,
) -> Job:
    """One live job with a local file, to its end."""
    image = folder / "first.png"
    image.write_bytes(png(b"x"))
    request = {"prompt": "a cat", "first_frame": str(image)}
    options = {"keys": {vendor: CANARIES[vendor]}, "retries": 0, "network": network, **more}
    if way == "blocking":
        with Client(**options) as client:
            client.wire.clock = server.simulator.clock
            return client.generate(_possible(client, request, vendor), output=folder / "clips")

    async def work() -> Job:
        async with AsyncClient(**options) as client:
            client.wire.clock = server.simulator.clock
            plan = _possible(client, request, vendor)
            return await client.generate(plan, output=folder / "clips")

    return asyncio.run(work())


def _possible(client: Client | AsyncClient, request: dict[str, str], vendor: str) -> Any:
    """The plan with the local file, or without it where a vendor takes none."""
    plan = client.plan(request, get_provider(vendor))
    return client.plan({"prompt": "a cat"}, plan.provider) if plan.refused else plan
