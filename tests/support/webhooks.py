"""Deliveries as vendors make them: their documented bodies, and signatures made by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from typing import Any, Final

from polyreel.providers.base.facts import Webhook
from polyreel.providers.base.header_signatures import header_signature
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider

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
IN_HEADER: Final = [one for one in SIGNED if header_signature(get_provider(one).contract)]
"""Those that sign in one header; of `SIGNED`, the others sign as Standard Webhooks has it."""
STANDARD: Final = [vendor for vendor in SIGNED if vendor not in IN_HEADER]
UNSIGNED: Final = [vendor for vendor in HOOKED if not webhook(vendor).signed]


def signed(
    body: bytes,
    secret: str = SECRET,
    *,
    vendor: str = "",
    identity: str = "msg_1",
    timestamp: int | None = None,
) -> dict[str, str]:
    """The headers of a signed delivery of a vendor; without one, as Standard Webhooks has them."""
    moment = int(time.time()) if timestamp is None else timestamp
    kind = header_signature(get_provider(vendor).contract) if vendor else None
    if kind is not None:
        text = f"{moment}{kind.separator}".encode() + body
        made = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
        return {kind.id: identity, kind.header: f"{kind.time}={moment},{kind.signature}={made}"}
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{identity}.{moment}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {
        "webhook-id": identity,
        "webhook-timestamp": str(moment),
        "webhook-signature": signature,
    }


STATES: Final = ("queued", "running", "succeeded", "failed", "canceled")


def told(vendor: str, end: str) -> list[str]:
    """The states of a job with this end that a vendor calls back about, in order."""
    documented = deliveries(get_provider(vendor))
    return [one for one in STATES if one in documented and one in {"queued", "running", end}]


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
