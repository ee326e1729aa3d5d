"""Signatures of calls about jobs, of each kind that a contract can document.

The calls are those of simulated vendors, and of a gateway to its clients.
"""

from __future__ import annotations

import base64
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from attrs import frozen

from ..errors import MissingExtraError
from ..flows import Reply
from ..places import JsonObject
from ..providers.base.facts import PublishedKeys
from ..providers.base.header_signatures import header_signature, signed_headers
from ..providers.base.provider import Provider
from ..providers.base.published import EXTRA, signed_message
from . import answers
from .calls import Call

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ID: Final = "webhook-id"
SIGNATURE: Final = "webhook-signature"


@frozen
class SigningKey:
    """The key of who publishes its keys."""

    seed: bytes
    """32 bytes."""
    owner: str
    """What stands in headers that say whose call it is."""

    def _private(self) -> Ed25519PrivateKey:
        try:
            from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
        except ImportError:
            raise MissingExtraError(EXTRA) from None
        return ed25519.Ed25519PrivateKey.from_private_bytes(self.seed)

    def public(self) -> JsonObject:
        """The public key, as key sets have it; MissingExtraError without the library."""
        raw = self._private().public_key().public_bytes_raw()
        text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return {"kty": "OKP", "crv": "Ed25519", "x": text}

    def signed(
        self, keys: PublishedKeys, identity: str, content: bytes, now: float
    ) -> dict[str, str]:
        """The headers of a delivery that this key signs; MissingExtraError without the library."""
        known = {keys.id: identity, keys.timestamp: str(math.floor(now))}
        headers = {name: known.get(name, self.owner) for name in (*keys.lines, keys.id)}
        signature = self._private().sign(signed_message(keys, headers, content))
        return {**headers, keys.signature: signature.hex()}


def keys_reply(call: Call, key: JsonObject) -> Reply:
    """The documented answer to a query for keys, with this one in the place of the vendor's."""
    status, sample = answers.example(call.provider, call.operation, "keys")
    return answers.reply(call, status, {**sample, "keys": [{**sample["keys"][0], **key}]})


def identity_header(provider: Provider) -> str:
    """The name of the header with the id of a signed delivery, in lower case."""
    if provider.webhook is not None and provider.webhook.published is not None:
        return provider.webhook.published.id
    kind = header_signature(provider.contract)
    return kind.id if kind is not None else ID


def signs(provider: Provider, post: JsonObject) -> bool:
    """Whether a webhook of a contract is signed where the vendor has a secret, or keys."""
    if provider.webhook is not None and provider.webhook.published is not None:
        return True
    named = any(one.get("name") == SIGNATURE for one in post.get("parameters", ()))
    return named or header_signature(provider.contract) is not None


def sign(
    provider: Provider, identity: str, content: bytes, secret: str, now: float
) -> dict[str, str]:
    """The headers of a delivery made at `now` (seconds since 1970), signed with a shared secret.

    They are those of Standard Webhooks where the contract says no other kind.
    """
    if (kind := header_signature(provider.contract)) is not None:
        return signed_headers(kind, identity, content, secret, math.floor(now))
    return standard(identity, content, secret, now)


def standard(identity: str, content: bytes, secret: str, now: float) -> dict[str, str]:
    """The headers of Standard Webhooks."""
    from standardwebhooks import Webhook  # noqa: PLC0415

    signature = Webhook(secret).sign(identity, datetime.fromtimestamp(now, UTC), content.decode())
    return {ID: identity, "webhook-timestamp": str(math.floor(now)), SIGNATURE: signature}
