"""Webhooks that are signed in one header: `X-Acme-Signature: t=1800000000,v1=5f0c...`.

The signature is HMAC-SHA256, in hex, over the time, a separator and the body, under the secret as
it is written. The contract says how the header is made, beside the webhook:

    x-polyreel-signature: {header: X-Acme-Signature, time: t, signature: v1, separator: ',',
      id: X-Acme-Delivery}

`time` and `signature` are the names of the header's parts, and `id` is the header with the id of a
delivery. Where a secret is being replaced, there can be several signatures.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from attrs import frozen

from .published import MAX_AGE

if TYPE_CHECKING:
    from .contract import Contract

KEY: Final = "x-polyreel-signature"
_SECONDS: Final = re.compile(r"[0-9]{1,12}")


@frozen
class HeaderSignature:
    """How deliveries are signed in one header."""

    header: str
    """The name of the header, in lower case."""
    time: str
    """The name of the part with the time, in seconds since 1970."""
    signature: str
    """The name of the part with a signature, in hex."""
    separator: str
    """What stands between the time and the body in what is signed."""
    id: str
    """The header with the id of a delivery, in lower case: the same for a repeated one."""


@cache
def header_signature(contract: Contract) -> HeaderSignature | None:
    """How the webhooks of a contract are signed in one header; None where they are not."""
    for item in contract.document.get("webhooks", {}).values():
        if described := item["post"].get(KEY):
            names = {name: described[name].lower() for name in ("header", "id")}
            return HeaderSignature(**{**described, **names})
    return None


def signed_headers(
    kind: HeaderSignature, identity: str, body: bytes, secret: str, seconds: int
) -> dict[str, str]:
    """The headers of a delivery that is made at a time, in seconds since 1970."""
    made = _signature(kind, secret, str(seconds), body)
    value = f"{kind.time}={seconds},{kind.signature}={made}"
    return {kind.id: identity, kind.header: value}


def objection(kind: HeaderSignature, value: str, body: bytes, secrets: Sequence[str]) -> str | None:
    """Why a delivery with this value of the header is not verified by any of the secrets.

    None where it is. No part of a secret is in the text.
    """
    parts = [part.strip().partition("=") for part in value.split(",")]
    times = [text for name, _, text in parts if name == kind.time]
    given = [text.lower().encode() for name, _, text in parts if name == kind.signature]
    if len(times) != 1 or not _SECONDS.fullmatch(times[0]) or not given:
        return "the header has not the parts of a signature"
    age = datetime.now(UTC).timestamp() - int(times[0])
    if abs(age) > MAX_AGE:
        return f"its signature is more than {MAX_AGE} s old or early"
    for secret in secrets:
        own = _signature(kind, secret, times[0], body).encode()
        if any(hmac.compare_digest(own, each) for each in given):
            return None
    return "no secret has made its signature"


def _signature(kind: HeaderSignature, secret: str, time: str, body: bytes) -> str:
    key = secret.encode("utf-8", "surrogatepass")
    signed = f"{time}{kind.separator}".encode() + body
    return hmac.new(key, signed, hashlib.sha256).hexdigest()
