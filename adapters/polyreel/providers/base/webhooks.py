"""Webhooks: what a vendor's call says about a job, once it is known to be the vendor's.

A signed delivery is verified before its body is read. An unsigned one proves nothing, because
anybody can send it: it is a hint to poll, and its `facts` may not be used as those of the job.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

import standardwebhooks
from attrs import frozen

from ...errors import BadReplyError, UnknownNameError, WebhookError
from ...flows import Reply
from ...keys import AROUND, value_without_held_keys
from . import header_signatures, published
from .answers import is_task_id
from .facts import Facts, PublishedKeys, Webhook
from .header_signatures import HeaderSignature
from .provider import Provider
from .registry import get_provider

MAX_BODY: Final = 65_536
"""Bytes; longer deliveries are refused."""
SIGNATURE_HEADERS: Final[Mapping[str, str]] = {
    "webhook-id": r"[\x21-\x7e]{1,200}",
    "webhook-timestamp": r"[0-9]{1,12}",
    "webhook-signature": r"[\x20-\x7e]{1,2000}",
}
"""The headers of Standard Webhooks, each with the pattern of its values."""


@frozen
class Event:
    """One delivery."""

    vendor: str
    id: str
    """The same for a repeated delivery: the vendor's own id, or a digest of an unsigned body."""
    task_id: str
    facts: Facts
    verified: bool
    """Whether the vendor's signature was checked; otherwise the event is only a hint to poll."""


def parse(
    vendor: str, headers: Mapping[str, str], body: bytes, secret: str | Sequence[str] | None = None
) -> Event:
    """Verify and read one delivery.

    `body` is the raw bytes as they came. `secret` may be several, so that a vendor's secret can be
    replaced. For a vendor that publishes its keys it is the key set: see `Client.webhook_keys`.
    Raises WebhookError for a delivery that is forged, unreadable, or more than 300 s old or early,
    UnknownNameError for a vendor that is unknown or documents no webhooks, and MissingExtraError
    where a library is missing that the vendor's signatures need.
    """
    provider = get_provider(vendor)
    webhook = provider.webhook
    if webhook is None:
        raise UnknownNameError(
            f"{vendor} documents no webhooks: its jobs are polled", vendor=vendor
        )
    if len(body) > MAX_BODY:
        _refuse(provider, f"has {len(body)} bytes, more than {MAX_BODY}")
    is_signed = webhook.signed and not (webhook.optional and not _secrets(secret))
    if is_signed:
        delivery = _verified(provider, webhook, headers, body, secret)
    else:
        delivery = hashlib.sha256(body).hexdigest()
    facts = _facts(provider, webhook, body)
    if facts.id is None or not is_task_id(facts.id):
        _refuse(provider, "names no task")
    return Event(provider.id, delivery, facts.id, facts, is_signed)


parse_webhook = parse


def _refuse(provider: Provider, reason: str) -> NoReturn:
    raise WebhookError(f"a webhook of {provider.id} {reason}", vendor=provider.id)


def _facts(provider: Provider, webhook: Webhook, body: bytes) -> Facts:
    try:
        raw = value_without_held_keys(Reply(200, {}, body).json())
    except BadReplyError:
        raw = None
    if not isinstance(raw, dict):
        _refuse(provider, "is not a JSON object")
    return provider.facts(raw, webhook)


def _verified(
    provider: Provider,
    webhook: Webhook,
    headers: Mapping[str, str],
    body: bytes,
    secret: str | Sequence[str] | None,
) -> str:
    """The id of a delivery that one of the secrets signed."""
    secrets = _secrets(secret)
    if not secrets:
        what = f"secret: set {webhook.secret_variable}"
        what = "vendor's published keys" if webhook.published else what
        _refuse(provider, f"cannot be verified without its {what}")
    if webhook.published is not None:
        return _verified_by_keys(provider, webhook.published, headers, body, secrets)
    if (kind := header_signatures.header_signature(provider.contract)) is not None:
        return _verified_in_header(provider, kind, headers, body, secrets)
    patterns = SIGNATURE_HEADERS
    signed = {name: _header(provider, headers, name, patterns[name]) for name in patterns}
    # The package's errors become texts before ours is raised: none may carry a secret along.
    reasons = [_objection(text, signed, body) for text in secrets]
    if None not in reasons:
        _refuse(provider, f"is not verified: {reasons[0]}")
    return signed["webhook-id"]


def _verified_by_keys(
    provider: Provider,
    keys: PublishedKeys,
    headers: Mapping[str, str],
    body: bytes,
    documents: Sequence[str],
) -> str:
    """The id of a delivery that one of the published keys signed."""
    patterns = dict.fromkeys((*keys.lines, keys.id), r"[\x21-\x7e]{1,500}")
    patterns |= {keys.timestamp: r"[0-9]{1,12}", keys.signature: r"[0-9a-fA-F]{128}"}
    signed = {name: _header(provider, headers, name, patterns[name]) for name in patterns}
    if reason := published.objection(keys, signed, body, documents):
        _refuse(provider, f"is not verified: {reason}")
    return signed[keys.id]


def _verified_in_header(
    provider: Provider,
    kind: HeaderSignature,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
) -> str:
    """The id of a delivery whose one header has a signature that one of the secrets made."""
    value = _header(provider, headers, kind.header, r"[\x20-\x7e]{1,2000}")
    identity = _header(provider, headers, kind.id, r"[\x21-\x7e]{1,200}")
    if reason := header_signatures.objection(kind, value, body, secrets):
        _refuse(provider, f"is not verified: {reason}")
    return identity


def _secrets(given: str | Sequence[str] | None) -> list[str]:
    """The secrets without blanks around them, and without empty ones."""
    texts = [given] if isinstance(given, str) else given or []
    return [text for text in (each.strip(AROUND) for each in texts) if text]


def _header(provider: Provider, headers: Mapping[str, str], name: str, pattern: str) -> str:
    """The one value of a header, in any case."""
    values = [
        value for key, value in headers.items() if isinstance(key, str) and key.lower() == name
    ]
    if len(values) != 1:
        _refuse(provider, f"has {len(values) or 'no'} {name} headers")
    if not isinstance(values[0], str) or not re.fullmatch(pattern, values[0]):
        _refuse(provider, f"has a {name} header that is none")
    return values[0]


def _objection(secret: str, headers: Mapping[str, str], body: bytes) -> str | None:
    """Why one secret does not verify a delivery, without any part of it; None where it does."""
    try:
        standardwebhooks.Webhook(secret).verify(body, dict(headers))
    except standardwebhooks.WebhookVerificationError as error:
        return str(error)  # one of the package's own fixed texts
    except Exception:
        # Odd headers, bodies and secrets raise any error of base64, Unicode or JSON (version 1.1).
        return "the signature, the body or the secret is malformed"
    return None
