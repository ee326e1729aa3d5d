"""Signatures in one header: how a contract describes them, and what verifies."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from polyreel.errors import WebhookError
from polyreel.providers.base import header_signatures
from polyreel.providers.base.contract import Contract
from polyreel.providers.base.header_signatures import (
    HeaderSignature,
    header_signature,
    objection,
    signed_headers,
)
from polyreel.providers.base.registry import get_provider
from polyreel.providers.base.webhooks import parse
from support.webhooks import IN_HEADER, deliveries, signed, webhook

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


# -- at the vendors that sign so -------------------------------------------------------------------

every_vendor = pytest.mark.parametrize("vendor", IN_HEADER)


def delivery(vendor: str, name: str = "succeeded") -> bytes:
    """A documented body."""
    return json.dumps(deliveries(get_provider(vendor))[name]).encode()


def kind_of(vendor: str) -> HeaderSignature:
    """How a vendor signs."""
    found = header_signature(get_provider(vendor).contract)
    assert found is not None
    return found


def refusal(vendor: str, headers: dict[str, str], body: bytes, secret: Any = SECRET) -> str:
    """What is said of a delivery that is refused; never anything of a secret."""
    with pytest.raises(WebhookError) as caught:
        parse(vendor, headers, body, secret)
    assert "CANARY" not in f"{caught.value!r} {caught.value.__context__!r}"
    return str(caught.value)


@every_vendor
def test_a_delivery_is_known_by_its_id(vendor: str) -> None:
    """A repeat has the same, in any case of the headers and at another time."""
    body = delivery(vendor)
    first = signed(body, SECRET, vendor=vendor, identity="a", timestamp=NOW)
    later = signed(body, SECRET, vendor=vendor, identity="a", timestamp=NOW + 60)
    loud = {name.upper(): value for name, value in later.items()}
    found = [parse(vendor, each, body, ["another", f" {SECRET}\n"]) for each in (first, loud)]
    assert [(event.id, event.verified) for event in found] == [("a", True)] * 2
    assert found[0].task_id == found[0].facts.id


@every_vendor
def test_a_forged_delivery_is_refused(vendor: str) -> None:
    """Any other secret, body, time or signature; one without its headers, or with two."""
    body, kind = delivery(vendor), kind_of(vendor)
    good = signed(body, SECRET, vendor=vendor, timestamp=NOW)
    assert "no secret has made" in refusal(vendor, good, body, "another")
    assert "no secret has made" in refusal(vendor, good, delivery(vendor, "failed"))
    moved = good[kind.header].replace(str(NOW), str(NOW + 1))
    assert "no secret has made" in refusal(vendor, {**good, kind.header: moved}, body)
    for name in (kind.header, kind.id):
        left = {key: value for key, value in good.items() if key != name}
        assert f"no {name} header" in refusal(vendor, left, body)
        assert f"2 {name} headers" in refusal(vendor, {**good, name.title(): "x"}, body)
        for odd in ("", "a\nb", "é", "x" * 2001):
            assert "header that is none" in refusal(vendor, {**good, name: odd}, body)


@every_vendor
def test_a_late_delivery_is_refused(vendor: str) -> None:
    """It could be a replay."""
    body = delivery(vendor)
    late = signed(body, SECRET, vendor=vendor, timestamp=NOW - 301)
    assert "300 s old or early" in refusal(vendor, late, body)


@every_vendor
@pytest.mark.parametrize("secret", [None, "", " \n", []])
def test_without_a_secret_nothing_is_believed(vendor: str, secret: Any) -> None:
    """A delivery is a hint then, where a vendor signs only for those who have one."""
    body = delivery(vendor)
    given = signed(body, SECRET, vendor=vendor, timestamp=NOW)
    if webhook(vendor).optional:
        assert not parse(vendor, given, body, secret).verified
    else:
        assert str(webhook(vendor).secret_variable) in refusal(vendor, given, body, secret)


def test_such_vendors_are_there() -> None:
    """The tests above are about some."""
    assert IN_HEADER
