"""Signatures of simulated vendors that publish their keys, and the key set itself.

The key is the simulator's own, and known to everybody: it proves nothing about a vendor.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Final

from ..errors import MissingExtraError
from ..flows import Reply
from ..places import JsonObject
from ..providers.base.facts import PublishedKeys
from ..providers.base.published import EXTRA, signed_message
from ..serving import answers
from ..serving.calls import Call

SEED: Final = hashlib.sha256(b"the key of polyreel's simulator").digest()
PUBLIC: Final = "MhQJf5nY7jk6D2VjBlcE9yYxj_2Wl40RDcCG0zdsQ0w"
"""The public key of SEED, in Base64 without padding: no library is needed to publish it."""
KEY: Final[JsonObject] = {"kty": "OKP", "crv": "Ed25519", "x": PUBLIC}


def key_set() -> str:
    """The key set as a document."""
    return json.dumps({"keys": [KEY]})


def keys_reply(_tasks: object, _now: float, call: Call) -> Reply:
    """The documented answer, with the simulator's key in the place of the vendor's."""
    status, sample = answers.example(call.provider, call.operation, "keys")
    return answers.reply(call, status, {**sample, "keys": [{**sample["keys"][0], **KEY}]})


def sign(keys: PublishedKeys, identity: str, content: bytes, now: float) -> dict[str, str]:
    """The headers of a delivery made at `now` (seconds since 1970).

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
