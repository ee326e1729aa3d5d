"""The keys that vendors publish, as long as they are used."""

from __future__ import annotations

from typing import Final

from attrs import define, field

from ..providers.base.published import KEYS_SECONDS
from ..providers.base.registry import all_providers

PAUSE: Final = 60.0
"""The least seconds between two queries for one vendor's keys, however many forgeries come."""


def publishes_keys(vendor: str) -> bool:
    """Whether a vendor signs its webhooks under keys that it publishes."""
    provider = all_providers().get(vendor)
    return bool(provider and provider.webhook and provider.webhook.published)


@define
class FetchedKeys:
    """Each vendor's key set. All moments are in seconds of one clock."""

    _texts: dict[str, tuple[str, float]] = field(factory=dict, init=False)
    _asked: dict[str, float] = field(factory=dict, init=False)

    def of(self, vendor: str, now: float) -> list[str]:
        """A vendor's key set, where it is not too old."""
        text, fetched = self._texts.get(vendor, ("", 0.0))
        return [text] if text and 0 <= now - fetched < KEYS_SECONDS else []

    def are_wanted(self, vendor: str, now: float) -> bool:
        """Whether to fetch a vendor's keys now: a signature is not that of any known one."""
        before = self._asked.get(vendor)
        waited = before is None or not 0 <= now - before < PAUSE
        return publishes_keys(vendor) and waited

    def asked(self, vendor: str, now: float) -> None:
        """Note that a vendor is asked for its keys."""
        self._asked[vendor] = now

    def keep(self, vendor: str, text: str, now: float) -> None:
        """Keep a vendor's key set."""
        self._texts[vendor] = (text, now)
