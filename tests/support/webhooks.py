"""Deliveries as vendors make them: their documented bodies, and Standard Webhooks signatures made
by hand.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from typing import Any, Final

from polyreel.providers.base.facts import Webhook
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers

SECRET: Final = "whsec_" + base64.b64encode(b"CANARY-secret-of-the-first-kind.").decode()
OTHER_SECRET: Final = "whsec_" + base64.b64encode(b"CANARY-secret-of-another-sort...").decode()
CALLING: Final = [vendor for vendor, provider in all_providers().items() if provider.webhook]


def webhook(vendor: str) -> Webhook:
    """How a vendor calls back, where it does."""
    found = all_providers()[vendor].webhook
    assert found is not None
    return found


PUBLISHED: Final = [vendor for vendor in CALLING if webhook(vendor).published]
"""Those that sign under keys that they publish; the others sign with a shared secret, or not."""
HOOKED: Final = [vendor for vendor in CALLING if vendor not in PUBLISHED]
SIGNED: Final = [vendor for vendor in HOOKED if webhook(vendor).signed]
UNSIGNED: Final = [vendor for vendor in HOOKED if not webhook(vendor).signed]


def signed(
    body: bytes, secret: str = SECRET, *, identity: str = "msg_1", timestamp: int | None = None
) -> dict[str, str]:
    """The headers of a signed delivery."""
    moment = int(time.time()) if timestamp is None else timestamp
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{identity}.{moment}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(moment),
        "webhook-signature": signature,
    }


def deliveries(provider: Provider) -> dict[str, Any]:
    """Every documented body of a vendor's webhooks and callbacks, by its example's name."""
    return {
        name: example["value"]
        for post in _posts(provider)
        for media in post["requestBody"]["content"].values()
        for name, example in media["examples"].items()
    }


def _posts(provider: Provider) -> Iterator[Any]:
    document = provider.contract.document
    yield from (item["post"] for item in document.get("webhooks", {}).values())
    for operation in provider.contract.operations.values():
        for callback in operation.spec.get("callbacks", {}).values():
            yield from (item["post"] for item in callback.values())
