"""Takes webhooks in, whatever server they come through: verified, and in the ledger once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import frozen

from ..client import AsyncClient, Client
from ..errors import (
    LedgerError,
    MissingExtraError,
    PolyreelError,
    UnknownNameError,
    WebhookError,
)
from ..flows import Flow
from ..jobs import waiting
from ..ledger.store import Delivered
from ..providers.base import webhooks
from ..providers.base.facts import FINAL
from ..providers.base.published import fetch_keys
from ..providers.base.registry import get_provider
from .hints import Hinted, Hints
from .keys import FetchedKeys, publishes_keys

LOG: Final = logging.getLogger("polyreel")


@frozen
class Taken:
    """What became of one request, and the answer to it.

    The answer is the same for known and unknown jobs, so that nobody learns which exist.
    """

    status: int
    message: str
    event: webhooks.Event | None = None
    delivered: Delivered | None = None
    """What the delivery changed; None where it was refused, or adds nothing."""
    wants_keys: bool = False
    """Whether the vendor's published keys should be fetched, and the delivery taken again."""


class WebhookDeliveries:
    """What all receivers share. Several threads may use one.

    Unsigned deliveries about one job lead to one query each `hints.HINT_PAUSE` seconds at most,
    however many come; those about a job that waits for its query are not written down.

    `secrets` are those of each vendor's signatures, by vendor id. Raises LedgerError where the
    client has no ledger.
    """

    def __init__(self, client: Client | AsyncClient, secrets: Mapping[str, Sequence[str]]) -> None:
        if client.ledger is None:
            raise LedgerError(
                "webhooks are told to the ledger, and this client has none: pass ledger="
            )
        self._client = client
        self._ledger = client.ledger
        self._secrets = secrets
        self._hints = Hints()
        self._keys = FetchedKeys()
        self.changed = threading.Condition()
        """Guards the hints; it is notified when they change."""

    def take(self, method: str, vendor: str, headers: Mapping[str, str], content: bytes) -> Taken:
        """Verify a delivery and write it down, before anything else happens."""
        if method != "POST":
            return Taken(405, "webhooks are posted")
        try:
            secrets = self._keys.of(vendor, self._now()) or self._secrets.get(vendor)
            event = webhooks.parse(vendor, headers, content, secrets)
            if self._adds_nothing(event):
                return Taken(200, "received")
            delivered = self._ledger.deliver(event, self._now(), simulated=self._client.simulated)
        except UnknownNameError:
            return Taken(404, "no webhooks are taken here")
        except WebhookError as error:
            if self._keys.are_wanted(vendor, self._now()):
                return Taken(503, "come again", wants_keys=True)
            LOG.warning("%s", error)
            known = not publishes_keys(vendor) or self._keys.of(vendor, self._now())
            return Taken(401, "not verified") if known else Taken(503, "come again")
        except MissingExtraError as error:
            LOG.error("%s", error)
            return Taken(503, "come again")
        except LedgerError as error:
            LOG.error("%s", error)
            return Taken(503, "come again")  # the vendor delivers again
        if delivered.effect == "hint" and delivered.entry is not None:
            with self.changed:
                noted = self._hints.add((event.vendor, event.task_id), self._now())
                self.changed.notify_all()
            if not noted:
                name = delivered.entry.id
                LOG.warning("too many hints at once: %s is left to polling", name)
        return Taken(200, "received", event, delivered)

    def fetching_keys(self, vendor: str) -> Flow[None]:
        """Fetch the keys that a vendor publishes; what goes wrong is in the log."""
        provider = get_provider(vendor)
        self._keys.asked(provider.id, self._now())
        try:
            text = yield from fetch_keys(provider)
        except PolyreelError as error:
            LOG.warning("%s", error)
        else:
            self._keys.keep(provider.id, text, self._now())

    def _adds_nothing(self, event: webhooks.Event) -> bool:
        """Whether an unsigned delivery is about a job that is to be asked about anyway.

        It is not written down then, so that strangers cannot fill the ledger.
        """
        with self.changed:
            return not event.verified and (event.vendor, event.task_id) in self._hints

    def _now(self) -> float:
        return self._client.wire.clock.now()

    def due(self) -> Hinted | None:
        """Take out a job that is to be asked about now; None where none is."""
        with self.changed:
            return self._hints.take(self._now())

    def pause(self) -> float | None:
        """Seconds until a job is to be asked about; None where none waits."""
        with self.changed:
            return self._hints.wait(self._now())

    def asking(self, hinted: Hinted) -> Flow[object] | None:
        """The query about a job of a hint; None where the ledger has its end already."""
        vendor, task = hinted
        entry = self._ledger.of_task(vendor, task, simulated=self._client.simulated)
        job = entry.job if entry is not None else None
        if entry is None or job is None:
            return None
        if job.status in FINAL and waiting.is_complete(job):
            return None
        return waiting.look(job, entry.submission.base_url)
