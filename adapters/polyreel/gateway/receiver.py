"""Receives webhooks on a server of polyreel's own: see `polyreel.asgi` for any other.

Where a webhook is only a hint, the vendor is asked in the background.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from ..client import Client
from ..drivers import run
from ..errors import PolyreelError
from ..flows import Answer
from ..ledger.store import Delivered
from ..providers.base import webhooks
from ..simulator.http import HttpRequest, Limits, plain
from .deliveries import LOG, WebhookDeliveries
from .hints import Hinted

LIMITS: Final = Limits(body=webhooks.MAX_BODY)
LONGEST_WAIT: Final = 0.5
"""Seconds after which the clock is read again: a simulated one does not go by itself."""


class WebhookReceiver:
    """The handler of a webhook server: `POST /<vendor>`.

    It answers after the delivery is in the ledger, and before anything else happens: see
    `WebhookIntake`. `listener` is called with every delivery that is written down.
    """

    def __init__(
        self,
        client: Client,
        secrets: Mapping[str, Sequence[str]],
        listener: Callable[[webhooks.Event, Delivered], None] | None = None,
    ) -> None:
        self._client = client
        self._deliveries = WebhookDeliveries(client, secrets)
        self._listener = listener
        self._over = False
        self._asker = threading.Thread(target=self._ask, name="polyreel-hints", daemon=True)

    def __enter__(self) -> Self:
        self._asker.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._deliveries.changed:
            self._over = True
            self._deliveries.changed.notify_all()
        self._asker.join(5)

    def handle(self, request: HttpRequest) -> Answer:
        """Answer one request."""
        vendor = request.target.partition("?")[0].strip("/")
        delivery = (request.method, vendor, request.headers, request.content)
        taken = self._deliveries.take(*delivery)
        if taken.wants_keys:
            run(self._deliveries.fetching_keys(vendor), self._client.wire)
            taken = self._deliveries.take(*delivery)
        if self._listener is not None and taken.event and taken.delivered:
            self._listener(taken.event, taken.delivered)
        return plain(taken.status, taken.message)

    def _ask(self) -> None:
        """Ask vendors about the jobs of hints."""
        while (hinted := self._next()) is not None:
            try:
                if (asking := self._deliveries.asking(hinted)) is not None:
                    run(asking, self._client.wire)
            except PolyreelError as error:
                LOG.warning("%s %s: %s", *hinted, error)

    def _next(self) -> Hinted | None:
        """Wait for the next job to ask about; None at the end."""
        changed = self._deliveries.changed
        with changed:
            while not self._over:
                if (hinted := self._deliveries.due()) is not None:
                    return hinted
                wait = self._deliveries.pause()
                changed.wait(None if wait is None else min(wait, LONGEST_WAIT))
        return None
