"""Signatures of simulated vendors, of each kind that there is.

The key set of those that publish their keys has the simulator's own key, which is known to
everybody: it proves nothing about a vendor.
"""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, datetime
from typing import Final

from ..errors import MissingExtraError
from ..flows import Reply
from ..places import JsonObject
from ..providers.base.facts import PublishedKeys
from ..providers.base.header_signatures import header_signature, signed_headers
from ..providers.base.provider import Provider
from ..providers.base.published import EXTRA, signed_message
from ..serving import answers
from ..serving.calls import Call

SEED: Final = hashlib.sha256(b"the key of polyreel's simulator").digest()
PUBLIC: Final = "MhQJf5nY7jk6D2VjBlcE9yYxj_2Wl40RDcCG0zdsQ0w"
"""The public key of SEED, in Base64 without padding: no library is needed to publish it."""
ID: Final = "webhook-id"
SIGNATURE: Final = "webhook-signature"
KEY: Final[JsonObject] = {"kty": "OKP", "crv": "Ed25519", "x": PUBLIC}


def key_set() -> str:
    """The key set as a document."""
    return json.dumps({"keys": [KEY]})


def keys_reply(_tasks: object, _now: float, call: Call) -> Reply:
    """The documented answer, with the simulator's key in the place of the vendor's."""
    status, sample = answers.example(call.provider, call.operation, "keys")
    return answers.reply(call, status, {**sample, "keys": [{**sample["keys"][0], **KEY}]})


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
    provider: Provider, identity: str, content: bytes, secret: str | None, now: float
) -> dict[str, str]:
    """The headers of a delivery made at `now` (seconds since 1970).

    Raises MissingExtraError where a library is missing, ValueError where a secret is needed.
    """
    if provider.webhook is not None and (keys := provider.webhook.published) is not None:
        return signed_by_key(keys, identity, content, now)
    if secret is None:
        raise ValueError(f"{provider.id} signs its webhooks: a secret is needed")
    if (kind := header_signature(provider.contract)) is not None:
        return signed_headers(kind, identity, content, secret, math.floor(now))
    from standardwebhooks import Webhook  # noqa: PLC0415

    signature = Webhook(secret).sign(identity, datetime.fromtimestamp(now, UTC), content.decode())
    return {ID: identity, "webhook-timestamp": str(math.floor(now)), SIGNATURE: signature}


def signed_by_key(keys: PublishedKeys, identity: str, content: bytes, now: float) -> dict[str, str]:
    """The headers of a delivery that the simulator's key signs.

    Raises MissingExtraError where the library is not installed.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError(EXTRA) from None
    known = {keys.id: identity, keys.timestamp: str(math.floor(now))}
    headers = {name: known.get(name, "simulated") for name in (*keys.lines, keys.id)}
    key = ed25519.Ed25519PrivateKey.from_private_bytes(SEED)
    signature = key.sign(signed_message(keys, headers, content))
    return {**headers, keys.signature: signature.hex()}
