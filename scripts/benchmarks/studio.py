"""The studio: what a keystroke costs the server, beside the plans alone."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, MutableMapping
from itertools import cycle
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from polyreel import AsyncClient
from polyreel.plans.requests import check_request
from polyreel.providers.base.registry import all_providers
from polyreel.studio.application import application
from polyreel.studio.door import Door
from polyreel.studio.making import view
from polyreel.studio.studio import Studio

from .measuring import PROMPTS, Figure, Peers, Row, in_turns

VENDORS: Final = list(all_providers())[:5]
SERVED: Final = {"duration": 5}
REFUSED: Final = {"duration": 1000, "aspect_ratio": "16:9", "seed": 4}
HOST: Final = "127.0.0.1:8780"


def replanning(peers: Peers) -> Iterator[Row]:
    """The columns of five vendors, drawn anew for another prompt: as HTML, beside their plans."""
    with tempfile.TemporaryDirectory() as folder:
        client = AsyncClient()
        studio = Studio(client=client, folder=Path(folder), door=Door(token=None))
        for what, fields in (("served", SERVED), ("refused", REFUSED)):
            yield _row(what, fields, studio)


def _row(what: str, fields: dict[str, Any], studio: Studio) -> Row:
    prompts, app = cycle(PROMPTS), application(studio)

    def pure() -> None:
        request = check_request({**fields, "prompt": next(prompts)})
        for vendor in all_providers().values():
            if vendor.id in VENDORS:
                made = studio.client.plan(request, vendor)
                _ = made.verdicts, made.violations, made.cost

    pairs = [*((name, str(value)) for name, value in fields.items())]
    pairs += [("vendor", name) for name in VENDORS]
    shown = str(view(studio, pairs)["shown"])
    with asyncio.Runner() as runner:

        def served() -> None:
            query = urlencode([*pairs, ("prompt", next(prompts)), ("shown", shown)])
            assert runner.run(_status(app, query)) == 200

        found = in_turns({"own": served, "pure": pure}, times=20, clock=time.process_time)
        slowest = _ninety_fifth(served)
    own, plans = found["own"], found["pure"]
    reported = f"{_milliseconds(own)}; 95 of 100 within {slowest * 1000:.0f} ms"
    beside = f"the same plans alone, {_milliseconds(plans)}"
    return Row(
        f"studio, five vendors planned anew, {what}", reported, beside, own / plans, "<= 1.5"
    )


def _milliseconds(figure: Figure) -> str:
    return f"{figure.median * 1000:.2f} ms"


def _ninety_fifth(call: Callable[[], None]) -> float:
    """The seconds in which 95 of 100 calls are over."""
    seconds = []
    for _ in range(100):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return sorted(seconds)[94]


async def _status(app: Any, query: str) -> int:
    """The status of one answer; its body is taken as a server takes it."""
    status = 0

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/plans",
        "raw_path": b"/plans",
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", HOST.encode()), (b"accept-encoding", b"identity")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8780),
    }
    await app(scope, receive, send)
    return status
