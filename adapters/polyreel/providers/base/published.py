"""Webhooks that are signed with Ed25519, under keys that the vendor publishes.

The contract has the call that gives the keys, as a JSON Web Key Set, with the role `webhook-keys`.
What is signed is the value of a few headers, each on a line, and the SHA-256 of the body in hex.
The signature is checked by the library `cryptography`, from the extra `polyreel[webhooks]`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ...errors import MissingExtraError, UnknownNameError, VendorError
from ...flows import Flow, Send, send_patiently

if TYPE_CHECKING:
    from .facts import PublishedKeys
    from .provider import Provider

MAX_AGE: Final = 300
"""Seconds that a delivery may be old, or early."""
KEYS_SECONDS: Final = 86_400
"""How long keys are used before they are asked for again."""
KEY_BYTES: Final = 32
EXTRA: Final = 'signed webhooks of this vendor need the extra: pip install "polyreel[webhooks]"'


def fetch_keys(provider: Provider) -> Flow[str]:
    """Ask a vendor for the keys that it publishes; the result is the key set as text.

    Raises UnknownNameError for a vendor that publishes none, and VendorError where there is no
    usable answer.
    """
    operation = provider.contract.operation("webhook-keys")
    if operation is None:
        text = f"{provider.id} publishes no keys of its webhooks"
        raise UnknownNameError(text, vendor=provider.id)
    step = Send(provider.id, operation.method, operation.server + operation.path)
    reply = yield from send_patiently(step)
    text = reply.content.decode("utf-8", "replace")
    if not reply.ok or not any(True for _ in public_keys(text)):
        text = f"{provider.id} answered HTTP {reply.status} to a query for its keys, without a key"
        raise VendorError(text, vendor=provider.id, status=reply.status)
    return text


def public_keys(text: str) -> Iterator[bytes]:
    """The Ed25519 keys of a JSON Web Key Set; others, and what makes no sense, are left out."""
    try:
        document = json.loads(text)
    except ValueError:
        return
    keys = document.get("keys") if isinstance(document, dict) else None
    for key in keys if isinstance(keys, list) else ():
        if isinstance(key, dict) and (key.get("kty"), key.get("crv")) == ("OKP", "Ed25519"):
            raw = _decoded(key.get("x"))
            if len(raw) == KEY_BYTES:
                yield raw


def _decoded(text: object) -> bytes:
    if not isinstance(text, str):
        return b""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""


def signed_message(keys: PublishedKeys, headers: Mapping[str, str], body: bytes) -> bytes:
    """What a signature is of."""
    lines = [headers[name] for name in keys.lines]
    return "\n".join([*lines, hashlib.sha256(body).hexdigest()]).encode()


def objection(
    keys: PublishedKeys, headers: Mapping[str, str], body: bytes, documents: Sequence[str]
) -> str | None:
    """Why a delivery is not verified by any key of the key sets; None where it is.

    Raises MissingExtraError where the library is not installed.
    """
    age = datetime.now(UTC).timestamp() - int(headers[keys.timestamp])
    if abs(age) > MAX_AGE:
        return f"its signature is more than {MAX_AGE} s old or early"
    verifies = _verifier()
    message, signature = signed_message(keys, headers, body), bytes.fromhex(headers[keys.signature])
    published = [key for text in documents for key in public_keys(text)]
    if any(verifies(key, signature, message) for key in published):
        return None
    return "no published key has made its signature"


def _verifier() -> Callable[[bytes, bytes, bytes], bool]:
    """The function that checks a signature by a key; MissingExtraError without the library."""
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError(EXTRA) from None

    def verifies(key: bytes, signature: bytes, message: bytes) -> bool:
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    return verifies
