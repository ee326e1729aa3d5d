"""A route for vendors' webhooks that any ASGI application can mount.

    from fastapi import FastAPI
    from polyreel import AsyncClient, asgi

    client = AsyncClient.from_env()
    app = FastAPI()
    app.mount("/webhooks", asgi.webhooks(client))

Vendors post to `/webhooks/<vendor>`. No framework is needed: the route is a plain ASGI application.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

from .. import environment
from ..client import AsyncClient, Client
from ..drivers import arun
from ..errors import PolyreelError
from ..gateway.deliveries import LOG, Taken, WebhookDeliveries
from ..ledger.store import Delivered
from ..providers.base.webhooks import MAX_BODY, Event

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Listener = Callable[[Event, Delivered], Awaitable[None] | None]

LONGEST_WAIT: Final = 0.5
"""Seconds after which the clock is read again: a simulated one does not go by itself."""
BODY_SECONDS: Final = 10.0
"""How long a body may take to arrive."""
TOO_LARGE: Final = Taken(413, "the body is too large")
TOO_SLOW: Final = Taken(408, "the body did not arrive in time")


def webhooks(
    client: Client | AsyncClient,
    secrets: Mapping[str, str | Sequence[str]] | None = None,
    listener: Listener | None = None,
) -> WebhookRoute:
    """The route, to be mounted anywhere: the last part of the path names the vendor.

    A delivery is answered when it is in the client's ledger. Signed ones change their jobs, once
    each; of unsigned ones the vendor is asked in the background.

    Args:
        client: whose ledger the deliveries are written to.
        secrets: those of the vendors' signatures, by vendor id. By default those of the
            environment, such as SKILLS_VIDEO_WEBHOOK_SECRET.
        listener: called, or awaited, with each delivery that is written down, before it is
            answered. Where it raises, the server answers 500, and the vendor delivers again.

    Raises LedgerError where the client keeps no ledger.
    """
    given = environment.webhook_secrets() if secrets is None else secrets
    several = {name: [one] if isinstance(one, str) else one for name, one in given.items()}
    return WebhookRoute(client, several, listener)


class WebhookRoute:
    """An ASGI application that takes webhooks: see `webhooks`."""

    def __init__(
        self,
        client: Client | AsyncClient,
        secrets: Mapping[str, Sequence[str]],
        listener: Listener | None = None,
    ) -> None:
        self._client = client
        self._deliveries = WebhookDeliveries(client, secrets)
        self._listener = listener
        self._asker: asyncio.Task[None] | None = None

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or serve as a whole application."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    content = await _body(receive)
            except TimeoutError:
                await _answer(TOO_SLOW, scope, send)
                return
            if content is not None:
                await _answer(await self._take(scope, content), scope, send)

    async def _take(self, scope: Mapping[str, Any], content: bytes) -> Taken:
        if len(content) > MAX_BODY:
            return TOO_LARGE
        vendor = scope["path"].rstrip("/").rpartition("/")[2]
        headers = _headers(scope["headers"])
        # In a thread, since a ledger waits for others that write, and for the disk.
        delivery = (scope["method"], vendor, headers, content)
        taken = await asyncio.to_thread(self._deliveries.take, *delivery)
        if taken.wants_keys:
            await arun(self._deliveries.fetching_keys(vendor), self._client.wire)
            taken = await asyncio.to_thread(self._deliveries.take, *delivery)
        if self._deliveries.pause() is not None:
            self._ask_soon()
        if self._listener is not None and taken.event and taken.delivered:
            result = self._listener(taken.event, taken.delivered)
            if inspect.isawaitable(result):
                await result
        return taken

    def _ask_soon(self) -> None:
        """Begin to ask about the jobs of hints, unless that is under way in this loop."""
        loop = asyncio.get_running_loop()
        if self._asker is None or self._asker.done() or self._asker.get_loop() is not loop:
            self._asker = loop.create_task(self._ask(), name="polyreel-hints")

    async def _ask(self) -> None:
        while (wait := self._deliveries.pause()) is not None:
            if (hinted := self._deliveries.due()) is None:
                await asyncio.sleep(min(wait, LONGEST_WAIT))
                continue
            try:
                if (asking := self._deliveries.asking(hinted)) is not None:
                    await arun(asking, self._client.wire)
            except PolyreelError as error:
                LOG.warning("%s %s: %s", *hinted, error)


async def _body(receive: Receive) -> bytes | None:
    """The request's body, or a beginning that is too long; None where the client went away."""
    content = b""
    while len(content) <= MAX_BODY:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        content += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return content


async def _answer(taken: Taken, scope: Mapping[str, Any], send: Send) -> None:
    content = json.dumps({"message": taken.message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
    ]
    if taken.status == 405:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": taken.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else content
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    """What a server asks of a whole application when it starts and stops."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def _headers(pairs: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; the values of a repeated one are joined by commas."""
    found: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, text = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found
