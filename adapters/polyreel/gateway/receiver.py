"""Receives webhooks: each is verified and written to the ledger once.

Where a webhook is only a hint, the vendor is asked in the background.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from ..client import Client
from ..errors import LedgerError, PolyreelError, UnknownNameError, WebhookError
from ..flows import Answer
from ..jobs.waiting import is_complete
from ..ledger.store import Delivered
from ..providers.base import webhooks
from ..providers.base.facts import FINAL
from ..simulator.http import HttpRequest, Limits, plain
from .hints import Hinted, Hints

LOG: Final = logging.getLogger("polyreel")
LIMITS: Final = Limits(body=webhooks.MAX_BODY)
LONGEST_WAIT: Final = 0.5
"""Seconds after which the clock is read again: a simulated one does not go by itself."""


class WebhookReceiver:
    """The handler of a webhook server: `POST /<vendor>`.

    It answers after the delivery is in the ledger, and before anything else happens. Unsigned
    deliveries about one job lead to one query each `hints.HINT_PAUSE` seconds at most, however many
    come; those about a job that waits for its query are not written down, nor told to the listener.

    `secrets` are those of each vendor's signatures, by vendor id. `listener` is called with every
    other delivery.
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
        self._hints = Hints()
        self._changed = threading.Condition()
        """Guards the hints and the end; it is notified when they change."""
        self._over = False
        self._asker = threading.Thread(target=self._ask, name="polyreel-hints", daemon=True)

    def __enter__(self) -> Self:
        self._asker.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
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
            if self._adds_nothing(event):
                return plain(200, "received")
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
            with self._changed:
                taken = self._hints.add((event.vendor, event.task_id), self._now())
                self._changed.notify_all()
            if not taken:
                name = delivered.entry.id
                LOG.warning("too many hints at once: %s is left to polling", name)
        if self._listener is not None:
            self._listener(event, delivered)

    def _adds_nothing(self, event: webhooks.Event) -> bool:
        """Whether an unsigned delivery is about a job that is to be asked about anyway.

        It is not written down then, so that strangers cannot fill the ledger.
        """
        with self._changed:
            return not event.verified and (event.vendor, event.task_id) in self._hints

    def _now(self) -> float:
        return self._client.wire.clock.now()

    def _ask(self) -> None:
        """Ask vendors about the jobs of hints."""
        while (hinted := self._next()) is not None:
            vendor, task = hinted
            try:
                entry = self._ledger.of_task(vendor, task, simulated=self._client.simulated)
                job = entry.job if entry is not None else None
                if job is not None and not (job.status in FINAL and is_complete(job)):
                    self._client.get(job.model_copy(update={"ledger_id": entry and entry.id}))
            except PolyreelError as error:
                LOG.warning("%s %s: %s", vendor, task, error)

    def _next(self) -> Hinted | None:
        """Wait for the next job to ask about; None at the end."""
        with self._changed:
            while not self._over:
                now = self._now()
                if (hinted := self._hints.take(now)) is not None:
                    return hinted
                wait = self._hints.wait(now)
                self._changed.wait(None if wait is None else min(wait, LONGEST_WAIT))
        return None
