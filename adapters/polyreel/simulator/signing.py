"""Signatures of simulated vendors.

The key set of those that publish their keys has the simulator's own key, which is known to
everybody: it proves nothing about a vendor.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

from ..flows import Reply
from ..places import JsonObject
from ..providers.base.provider import Provider
from ..serving import signing
from ..serving.calls import Call
from ..serving.signing import SigningKey

SEED: Final = hashlib.sha256(b"the key of polyreel's simulator").digest()
PUBLIC: Final = "MhQJf5nY7jk6D2VjBlcE9yYxj_2Wl40RDcCG0zdsQ0w"
"""The public key of SEED, in Base64 without padding: no library is needed to publish it."""
KEY: Final[JsonObject] = {"kty": "OKP", "crv": "Ed25519", "x": PUBLIC}
SIGNING: Final = SigningKey(SEED, "simulated")


def key_set() -> str:
    """The key set as a document."""
    return json.dumps({"keys": [KEY]})


def keys_reply(_tasks: object, _now: float, call: Call) -> Reply:
    """The documented answer, with the simulator's key in the place of the vendor's."""
    return signing.keys_reply(call, KEY)


def sign(
    provider: Provider, identity: str, content: bytes, secret: str | None, now: float
) -> dict[str, str]:
    """The headers of a delivery made at `now` (seconds since 1970).

    Raises MissingExtraError where a library is missing, ValueError where a secret is needed.
    """
    if provider.webhook is not None and (keys := provider.webhook.published) is not None:
        return SIGNING.signed(keys, identity, content, now)
    if secret is None:
        raise ValueError(f"{provider.id} signs its webhooks: a secret is needed")
    return signing.sign(provider, identity, content, secret, now)
