"""The studio: what a keystroke costs the server, beside the plans alone."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from itertools import cycle
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from polyreel import AsyncClient
from polyreel.plans.requests import check_request
from polyreel.providers.base.registry import all_providers
from polyreel.studio.application import application
from polyreel.studio.studio import Studio

from .measuring import PROMPTS, Figure, Peers, Row, in_turns

VENDORS: Final = list(all_providers())[:5]
SERVED: Final = {"duration": 5}
REFUSED: Final = {"duration": 1000, "aspect_ratio": "16:9", "seed": 4}
TIMES: Final = 20
"""How often a way is gone in a round."""
HOST: Final = "127.0.0.1:8780"


def replanning(peers: Peers) -> Iterator[Row]:
    """The columns of five vendors, drawn anew for another prompt: as HTML, beside their plans."""
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio(client=AsyncClient(), folder=Path(folder))
        for what, fields in (("served", SERVED), ("refused", REFUSED)):
            yield _row(what, fields, studio)


def _row(what: str, fields: dict[str, Any], studio: Studio) -> Row:
    prompts, app = cycle(PROMPTS), application(studio)

    def pure() -> None:
        """What the answer shows, by pure calls: five plans, their verdicts, violations and costs.

        What would mend a refusal is shown, too, and not counted here.
        """
        for _ in range(TIMES):
            request = check_request({**fields, "prompt": next(prompts)})
            for vendor in all_providers().values():
                if vendor.id in VENDORS:
                    made = studio.client.plan(request, vendor)
                    _ = made.verdicts, made.violations, made.cost

    pairs = [("workflow", "text-to-video"), ("times", "1")]
    pairs += [(name, str(value)) for name, value in fields.items()]
    pairs += [("vendor", name) for name in VENDORS]
    headers = _headers(studio)
    first = asyncio.run(_answered(app, urlencode([*pairs, ("prompt", "a cat")]), headers))
    shown = re.search(rb'id="shown" value="([0-9a-f]+)"', first)
    assert shown is not None
    typed = [[*pairs, ("prompt", prompt), ("shown", shown[1].decode())] for prompt in PROMPTS]
    queries = cycle(map(urlencode, typed[:TIMES]))

    async def one() -> None:
        assert await _answered(app, next(queries), headers)

    async def several() -> None:
        for _ in range(TIMES):
            await one()

    # A server answers in a loop that runs: to begin one is no part of an answer.
    with asyncio.Runner() as runner:
        runner.run(several())
        ways = {"own": lambda: runner.run(several()), "pure": pure}
        found = in_turns(ways, clock=time.process_time)
        slowest = runner.run(_ninety_fifth(one))
    own, plans = found["own"], found["pure"]
    reported = f"{_milliseconds(own)}; 95 of 100 within {slowest * 1000:.0f} ms"
    beside = f"the same plans, verdicts and prices alone, {_milliseconds(plans)}"
    return Row(
        f"studio, five vendors planned anew, {what}", reported, beside, own / plans, "<= 1.5"
    )


def _milliseconds(figure: Figure) -> str:
    return f"{figure.median / TIMES * 1000:.2f} ms"


async def _ninety_fifth(call: Callable[[], Awaitable[None]]) -> float:
    """The seconds in which 95 of 100 calls are over."""
    seconds = []
    for _ in range(100):
        begin = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - begin)
    return sorted(seconds)[94]


def _headers(studio: Studio) -> list[tuple[bytes, bytes]]:
    """What a browser sends when a page of the studio asks."""
    cookie = f"{studio.door.cookie_name(HOST)}={studio.door.session}"
    given = {
        "host": HOST,
        "accept": "*/*",
        "accept-encoding": "gzip, deflate, br, zstd",
        "accept-language": "en-US,en;q=0.9",
        "connection": "keep-alive",
        "cookie": cookie,
        "hx-current-url": f"http://{HOST}/",
        "hx-request": "true",
        "hx-target": "plans",
        "hx-trigger": "request",
        "referer": f"http://{HOST}/",
        "sec-fetch-dest": "empty",
        "sec-fetch-mode": "cors",
        "sec-fetch-site": "same-origin",
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140 Safari/537.36",
    }
    return [(name.encode(), value.encode()) for name, value in given.items()]


async def _answered(app: Any, query: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The body of one answer, which is taken as a server takes it."""
    status, text = 0, b""

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status, text
        status = message.get("status", status)
        text += message.get("body", b"")

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
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8780),
    }
    await app(scope, receive, send)
    assert status == 200
    return text
