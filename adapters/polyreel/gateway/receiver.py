"""Takes webhooks in: verified, once each, into the ledger. After a mere hint the vendor is asked, in the background."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from ..client import Client
from ..errors import LedgerError, PolyreelError, UnknownNameError, WebhookError
from ..flows import Answer
from ..ledger.store import Delivered
from ..providers.base import webhooks
from ..simulator.http import HttpRequest, Limits

LOG: Final = logging.getLogger("polyreel")
LIMITS: Final = Limits(body=webhooks.MAX_BODY)
MAX_HINTS: Final = 1000
"""How many jobs wait to be asked about. More hints are let go: polling finishes every job without any."""


class WebhookReceiver:
    """The handler of a webhook server: `POST /<vendor>`.

    It answers when the ledger has what was told, and before anything else happens. `listener` hears of every delivery.
    """

    def __init__(
        self,
        client: Client,
        secrets: Mapping[str, Sequence[str]],
        listener: Callable[[webhooks.Event, Delivered], None] | None = None,
    ) -> None:
        if client.ledger is None:
            raise LedgerError(
                "webhooks are told to the ledger, and this client has none: pass ledger="
            )
        self._client, self._ledger, self._secrets, self._listener = (
            client,
            client.ledger,
            secrets,
            listener,
        )
        self._hints: queue.Queue[str | None] = queue.Queue(MAX_HINTS)
        self._asker = threading.Thread(target=self._ask, name="polyreel-hints", daemon=True)

    def __enter__(self) -> Self:
        self._asker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._hints.put(None)
        self._asker.join(5)

    def handle(self, request: HttpRequest) -> Answer:
        """Answer one request. A stranger learns nothing: unknown jobs are answered like known ones."""
        vendor = request.target.partition("?")[0].strip("/")
        if request.method != "POST":
            return _answer(405, "webhooks are posted")
        try:
            event = webhooks.parse(
                vendor, request.headers, request.content, self._secrets.get(vendor)
            )
            done = self._ledger.deliver(
                event, self._client.wire.clock.now(), simulated=self._client.simulated
            )
        except UnknownNameError:
            return _answer(404, "no webhooks are taken here")
        except WebhookError as error:
            LOG.warning("%s", error)
            return _answer(401, "not verified")
        except LedgerError as error:
            LOG.error("%s", error)
            return _answer(503, "come again")  # the vendor delivers again
        self._after(event, done)
        return _answer(200, "received")

    def _after(self, event: webhooks.Event, done: Delivered) -> None:
        if done.effect == "hint" and done.entry is not None:
            try:
                self._hints.put_nowait(done.entry.id)
            except queue.Full:
                LOG.warning("too many hints at once: %s is left to polling", done.entry.id)
        if self._listener is not None:
            self._listener(event, done)

    def _ask(self) -> None:
        """Ask vendors about the jobs that were hinted at."""
        while (name := self._hints.get()) is not None:
            try:
                job = self._ledger.entry(name).job
                if job is not None:
                    self._client.get(job)
            except PolyreelError as error:
                LOG.warning("%s: %s", name, error)


def _answer(status: int, text: str) -> Answer:
    content = json.dumps({"message": text}).encode()
    return Answer(status, {"content-type": "application/json"}, content)
