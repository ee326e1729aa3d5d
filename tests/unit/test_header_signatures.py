"""Signatures in one header: how a contract describes them, and what verifies."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from polyreel.providers.base import header_signatures
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.header_signatures import (
    HeaderSignature,
    header_signature,
    objection,
    signed_headers,
)

NOW: Final = 1_800_000_000
DESCRIBED: Final = {
    "header": "X-Acme-Signature",
    "time": "t",
    "signature": "v1",
    "separator": ",",
    "id": "X-Acme-Delivery",
}
KIND: Final = HeaderSignature("x-acme-signature", "t", "v1", ",", "x-acme-delivery")
BODY: Final = b'{"id": "1"}'
SECRET: Final = "CANARY of no certain form: é"


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    class Standing(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Standing:
            return cls.fromtimestamp(NOW, tz=UTC)

    monkeypatch.setattr(header_signatures, "datetime", Standing)


def digest(text: bytes, secret: str = SECRET) -> str:
    """HMAC-SHA256 in hex."""
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


GOOD: Final = digest(f"{NOW},".encode() + BODY)


def test_a_contract_describes_the_header() -> None:
    """Names of headers are compared in lower case. Without a description there is no such kind."""
    post = {"x-polyreel-signature": DESCRIBED}
    assert header_signature(Contract({"webhooks": {"ended": {"post": post}}})) == KIND
    assert header_signature(Contract({"webhooks": {"ended": {"post": {}}}})) is None
    assert header_signature(Contract({})) is None


def test_what_is_made_is_the_documented_text() -> None:
    """The time, the separator and the body, as they are."""
    made = signed_headers(KIND, "one", BODY, SECRET, NOW)
    assert made == {"x-acme-delivery": "one", "x-acme-signature": f"t={NOW},v1={GOOD}"}
    assert objection(KIND, made["x-acme-signature"], BODY, [SECRET]) is None


@pytest.mark.parametrize(
    "value",
    [
        f"v1={GOOD}, t={NOW}",
        f"t={NOW},v1={GOOD.upper()}",
        f"t={NOW},v0=00,v1=00,v1={GOOD},v2",
    ],
)
def test_parts_have_no_order(value: str) -> None:
    """Others are not looked at, and one of several signatures is enough."""
    assert objection(KIND, value, BODY, ["another", SECRET]) is None


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            ",",
            "t",
            "=",
            "t=",
            f"t={NOW}",
            f"v1={GOOD}",
            f"t={NOW},{GOOD}",
            f"t={NOW};v1={GOOD}",
        ),
        *(f"t={NOW},t={NOW},v1={GOOD}", f"t=-{NOW},v1={GOOD}", f"t={NOW}.0,v1={GOOD}"),
        *(f"t=1_800_000_000,v1={GOOD}", f"t={NOW}000000,v1={GOOD}", f"T={NOW},V1={GOOD}"),
        *(f"t={NOW},v1=", f"t={NOW},v1={GOOD[:-1]}", f"t={NOW},v1={GOOD}0", f"t={NOW},v2={GOOD}"),
        f"t={NOW},v1=" + digest(f"{NOW}.".encode() + BODY),
        f"t={NOW},v1=" + digest(f"{NOW},".encode() + BODY, "another"),
        f"t={NOW + 1},v1={GOOD}",
    ],
)
def test_anything_else_is_refused(value: str) -> None:
    """Without a part of a secret in the reason."""
    reason = objection(KIND, value, BODY, [SECRET, "another one"])
    assert reason
    assert "CANARY" not in reason


@pytest.mark.parametrize(("skew", "good"), [(300, True), (-300, True), (301, False), (-301, False)])
def test_the_time_counts(skew: int, good: bool) -> None:
    """More than five minutes either way could be a replay."""
    value = signed_headers(KIND, "one", BODY, SECRET, NOW + skew)["x-acme-signature"]
    reason = objection(KIND, value, BODY, [SECRET])
    assert reason is None if good else "300 s old or early" in str(reason)


def test_each_byte_of_the_body_counts() -> None:
    """As do one more and one less."""
    value = f"t={NOW},v1={GOOD}"
    changed = [BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :] for at in range(len(BODY))]
    for body in (*changed, BODY[1:], BODY + b" "):
        assert objection(KIND, value, body, [SECRET])


@pytest.mark.parametrize("secret", ["\ud800", "a" * 9999, "="])
def test_odd_secrets_sign_nothing_of_others(secret: str) -> None:
    """Whatever their text."""
    assert objection(KIND, f"t={NOW},v1={GOOD}", BODY, [secret])
