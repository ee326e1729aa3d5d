"""Receives webhooks: each is verified and written to the ledger once.

Where a webhook is only a hint, the vendor is asked in the background.
"""

from __future__ import annotations

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
from ..simulator.http import HttpRequest, Limits, plain

LOG: Final = logging.getLogger("polyreel")
LIMITS: Final = Limits(body=webhooks.MAX_BODY)
MAX_HINTS: Final = 1000
"""How many jobs may wait to be asked about. Further hints are dropped, as polling asks too."""


class WebhookReceiver:
    """The handler of a webhook server: `POST /<vendor>`.

    It answers after the delivery is in the ledger, and before anything else happens. `secrets` are
    those of each vendor's signatures, by vendor id. `listener` is called with every delivery.
    Raises LedgerError where the client has no ledger.
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
        self._client = client
        self._ledger = client.ledger
        self._secrets = secrets
        self._listener = listener
        self._hinted: queue.Queue[str | None] = queue.Queue(MAX_HINTS)
        """The ledger's names of jobs to ask about; None is the end."""
        self._asker = threading.Thread(target=self._ask, name="polyreel-hints", daemon=True)

    def __enter__(self) -> Self:
        self._asker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._hinted.put(None)
        self._asker.join(5)

    def handle(self, request: HttpRequest) -> Answer:
        """Answer one request.

        The answer is the same for known and unknown jobs, so that nobody learns which exist.
        """
        vendor = request.target.partition("?")[0].strip("/")
        if request.method != "POST":
            return plain(405, "webhooks are posted")
        try:
            event = webhooks.parse(
                vendor, request.headers, request.content, self._secrets.get(vendor)
            )
            delivered = self._ledger.deliver(
                event, self._client.wire.clock.now(), simulated=self._client.simulated
            )
        except UnknownNameError:
            return plain(404, "no webhooks are taken here")
        except WebhookError as error:
            LOG.warning("%s", error)
            return plain(401, "not verified")
        except LedgerError as error:
            LOG.error("%s", error)
            return plain(503, "come again")  # the vendor delivers again
        self._follow_up(event, delivered)
        return plain(200, "received")

    def _follow_up(self, event: webhooks.Event, delivered: Delivered) -> None:
        if delivered.effect == "hint" and delivered.entry is not None:
            name = delivered.entry.id
            try:
                self._hinted.put_nowait(name)
            except queue.Full:
                LOG.warning("too many hints at once: %s is left to polling", name)
        if self._listener is not None:
            self._listener(event, delivered)

    def _ask(self) -> None:
        """Ask vendors about the jobs of hints."""
        while (name := self._hinted.get()) is not None:
            try:
                job = self._ledger.entry(name).job
                if job is not None:
                    self._client.get(job)
            except PolyreelError as error:
                LOG.warning("%s: %s", name, error)
