"""Webhooks: signatures, what is refused, hints that nobody signed, and secrets that nobody sees."""

import base64
import json
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import pytest
import standardwebhooks
import standardwebhooks.webhooks
from polyreel.errors import PolyreelError, UnknownNameError, WebhookError
from polyreel.providers.base import header_signatures
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.providers.base.webhooks import MAX_BODY, Event, parse
from support.loops import in_one
from support.webhooks import (
    CALLING,
    HOOKED,
    OTHER_SECRET,
    SECRET,
    STANDARD,
    UNSIGNED,
    deliveries,
    signed,
    webhook,
)

NOW = 1_800_000_000
BODIES = {vendor: deliveries(get_provider(vendor)) for vendor in HOOKED}
every_signed = pytest.mark.parametrize("vendor", STANDARD)
every_secretive = pytest.mark.parametrize(
    "vendor", [vendor for vendor in STANDARD if not webhook(vendor).optional]
)
every_unsigned = pytest.mark.parametrize("vendor", UNSIGNED)
every_hooked = pytest.mark.parametrize("vendor", HOOKED)
every_delivery = pytest.mark.parametrize(
    ("vendor", "name"), [(vendor, name) for vendor in HOOKED for name in BODIES[vendor]]
)


class FrozenTime(datetime):
    """A clock that stands."""

    @classmethod
    def now(cls, tz: Any = None) -> "FrozenTime":
        return cls.fromtimestamp(NOW, tz=UTC)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (standardwebhooks.webhooks, header_signatures):
        monkeypatch.setattr(module, "datetime", FrozenTime)


def content(vendor: str, name: str | None = None) -> bytes:
    """A documented body."""
    return json.dumps(BODIES[vendor][name or next(iter(BODIES[vendor]))]).encode()


def headers(body: bytes, secret: str = SECRET, **options: Any) -> dict[str, str]:
    """The headers of a delivery that is signed now, as far as the standing clock goes."""
    return signed(body, secret, **{"timestamp": NOW, **options})


def refused(vendor: str, given: Any, body: bytes, secret: Any = SECRET) -> str:
    """What is said of a delivery that is refused; never anything of a secret."""
    with pytest.raises(WebhookError) as caught:
        parse(vendor, given, body, secret)
    keeps_secrets(caught.value, [secret] if isinstance(secret, str) else secret or [])
    assert caught.value.vendor == vendor
    assert caught.value.billed == "no"
    return str(caught.value)


def keeps_secrets(error: BaseException, secrets: list[str]) -> None:
    """No secret is in an error's text or fields, nor in an error before it."""
    assert error.__context__ is None
    assert error.__cause__ is None
    shown = "".join(
        [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
    )
    for secret in [*secrets, SECRET, OTHER_SECRET]:
        plain = secret.strip().removeprefix("whsec_")
        assert len(plain) < 8 or plain not in shown
    assert "CANARY" not in shown


# --- what is read ---------------------------------------------------------------------------------


@every_delivery
def test_every_documented_delivery_is_read(vendor: str, name: str) -> None:
    """Its task, and what became of it: the contract's examples are named after their state."""
    body = content(vendor, name)
    event = parse(vendor, headers(body, vendor=vendor), body, SECRET)
    assert event.vendor == vendor
    assert event.facts.status == name
    assert event.task_id == event.facts.id
    assert event.facts.raw == json.loads(body)
    assert event.verified == webhook(vendor).signed


@every_signed
def test_a_signed_delivery_is_known_by_its_id(vendor: str) -> None:
    """A repeat has the same id, whatever the header's case; another has another."""
    body = content(vendor)
    first = parse(vendor, headers(body, identity="msg_a"), body, SECRET)
    loud = {
        name.upper(): value
        for name, value in headers(body, identity="msg_a", timestamp=NOW + 60).items()
    }
    assert first.id == parse(vendor, loud, body, SECRET).id == "msg_a"
    assert parse(vendor, headers(body, identity="msg_b"), body, SECRET).id == "msg_b"


@every_unsigned
def test_an_unsigned_delivery_is_a_hint(vendor: str) -> None:
    """It is not verified, whatever headers or secrets come along, and is known by its bytes."""
    one, other = content(vendor, "succeeded"), content(vendor, "failed")
    event = parse(vendor, {}, one)
    assert not event.verified
    assert event.id == parse(vendor, headers(one), one, SECRET).id
    assert event.id != parse(vendor, {}, other).id
    assert len(event.id) == 64
    assert webhook(vendor).secret_variable is None


@pytest.mark.parametrize("vendor", [vendor for vendor in all_providers() if vendor not in CALLING])
def test_a_vendor_without_webhooks_is_reported(vendor: str) -> None:
    """As is one that nobody knows."""
    with pytest.raises(UnknownNameError, match=f"{vendor} documents no webhooks"):
        parse(vendor, {}, b"{}")
    with pytest.raises(UnknownNameError, match="no vendor is called 'nobody'"):
        parse("nobody", {}, b"{}")


# --- what is refused ------------------------------------------------------------------------------


@every_signed
def test_a_forged_delivery_is_refused(vendor: str) -> None:
    """Any other secret, body, id, time or signature; an unsigned one, too."""
    body = content(vendor)
    good = headers(body)
    assert "No matching signature" in refused(vendor, headers(body, OTHER_SECRET), body)
    for name, value in {"webhook-id": "msg_2", "webhook-timestamp": str(NOW + 1)}.items():
        assert "No matching signature" in refused(vendor, {**good, name: value}, body)
    for name in good:
        left = {key: value for key, value in good.items() if key != name}
        assert f"no {name} header" in refused(vendor, left, body)
    refused(vendor, {}, body)


@every_signed
def test_a_body_with_one_other_byte_is_refused(vendor: str) -> None:
    """Each byte counts, as does one more or less."""
    body = content(vendor, "succeeded")
    good = headers(body)
    for position in range(len(body)):
        refused(vendor, good, body[:position] + bytes([body[position] ^ 1]) + body[position + 1 :])
        refused(vendor, good, body[:position] + body[position + 1 :])
    refused(vendor, good, body + b" ")
    assert parse(vendor, good, body, SECRET).verified


@every_signed
@pytest.mark.parametrize(
    ("skew", "fine"),
    [(0, True), (299, True), (-299, True), (300, True), (-300, True), (301, False), (-301, False)],
)
def test_the_clocks_may_differ_by_five_minutes(vendor: str, skew: int, fine: bool) -> None:
    """Either way, and no more: an old delivery could be a replay."""
    body = content(vendor)
    given = headers(body, timestamp=NOW + skew)
    if fine:
        assert parse(vendor, given, body, SECRET).verified
    else:
        assert f"too {'new' if skew > 0 else 'old'}" in refused(vendor, given, body)


@every_signed
def test_secrets_are_rotated(vendor: str) -> None:
    """Both the old and the new secret verify, in any order and beside unusable ones; blanks around
    are no matter.
    """
    body = content(vendor)
    for secret in (SECRET, OTHER_SECRET):
        for secrets in (
            [SECRET, OTHER_SECRET],
            (OTHER_SECRET, SECRET),
            ["whsec_", "é", "a", SECRET, OTHER_SECRET],
        ):
            assert parse(vendor, headers(body, secret), body, secrets).verified
    both = {
        **headers(body),
        "webhook-signature": " ".join(
            headers(body, each)["webhook-signature"] for each in (OTHER_SECRET, SECRET)
        ),
    }
    assert parse(vendor, both, body, f" {SECRET}\n").verified
    versions = f"v1a,AAAA {headers(body)['webhook-signature']}"
    assert parse(vendor, {**both, "webhook-signature": versions}, body, SECRET).verified


@every_secretive
@pytest.mark.parametrize("secret", [None, "", "  \n", [], ["", " "], ()])
def test_without_a_secret_nothing_is_believed(vendor: str, secret: Any) -> None:
    """The message says which variable to set."""
    body = content(vendor)
    assert str(webhook(vendor).secret_variable) in refused(
        vendor, headers(body, "whsec_"), body, secret
    )


@every_signed
@pytest.mark.parametrize(
    "secret",
    ["whsec_", "whsec_é", "whsec_a", "!!!!", "not base64 at all", "\ud800", "=", "a" * 9999],
)
def test_an_unusable_secret_verifies_nothing(vendor: str, secret: str) -> None:
    """Least of all what is signed with an empty key."""
    body = content(vendor)
    refused(vendor, headers(body, "whsec_"), body, secret)


ODD_HEADERS: dict[str, dict[str, Any]] = {
    "no-version": {"webhook-signature": "AAAA"},
    "two-commas": {"webhook-signature": "v1,a,b"},
    "only-blanks": {"webhook-signature": "   "},
    "not-base64": {"webhook-signature": "v1,\x7f"},
    "bad-padding": {"webhook-signature": "v1,A"},
    "many": {"webhook-signature": "v1,AAAA " * 1000},
    "not-ascii": {"webhook-signature": "v1,é"},
    "not-text": {"webhook-signature": 5},
    "bytes": {"webhook-signature": b"v1,AAAA"},
    "long-id": {"webhook-id": "x" * 201},
    "empty-id": {"webhook-id": ""},
    "id-with-blank": {"webhook-id": "a b"},
    "id-with-line": {"webhook-id": "a\nb"},
    "half-id": {"webhook-id": "\ud800"},
    "two-ids": {"Webhook-Id": "msg_1"},
    "two-signatures": {"WEBHOOK-SIGNATURE": "v1,AAAA"},
    "time-word": {"webhook-timestamp": "now"},
    "time-nan": {"webhook-timestamp": "nan"},
    "time-fraction": {"webhook-timestamp": f"{NOW}.5"},
    "time-signed": {"webhook-timestamp": f"+{NOW}"},
    "time-grouped": {"webhook-timestamp": "1_800_000_000"},
    "time-exponent": {"webhook-timestamp": "18e8"},
    "time-wide-digits": {
        "webhook-timestamp": "".join(chr(0xFF10 + int(digit)) for digit in str(NOW))
    },
    "time-huge": {"webhook-timestamp": "9" * 400},
    "time-milliseconds": {"webhook-timestamp": f"{NOW}000"},
    "time-iso": {"webhook-timestamp": "2027-01-15T08:00:00Z"},
}


@in_one
@every_signed
@pytest.mark.parametrize("name", ODD_HEADERS)
def test_odd_headers_are_refused(vendor: str, name: str) -> None:
    """A header that is there twice is none, nor is one that does not look like itself."""
    body = content(vendor)
    refused(vendor, {**headers(body), **ODD_HEADERS[name]}, body)


@every_hooked
def test_bodies_are_bounded(vendor: str) -> None:
    """65,536 bytes, and not one more."""
    body = content(vendor)
    full = body[:-1] + b" " * (MAX_BODY - len(body)) + body[-1:]
    assert len(full) == MAX_BODY
    assert parse(vendor, headers(full, vendor=vendor), full, SECRET).task_id
    over = full + b" "
    assert "65537 bytes" in refused(vendor, headers(over, vendor=vendor), over)


@in_one
@every_hooked
@pytest.mark.parametrize(
    "task_id",
    [
        "",
        "..",
        "a..b",
        "a/b",
        "../a",
        "a b",
        "a\n",
        "é",
        "x" * 201,
        "\x00",
        "%2e",
        None,
        5,
        ["a"],
        {"a": 1},
        True,
    ],
)
def test_a_task_id_that_is_none_is_refused(vendor: str, task_id: Any) -> None:
    """It would go into paths and file names."""
    body = BODIES[vendor][next(iter(BODIES[vendor]))]
    text = json.dumps(body).replace(json.dumps(_id(vendor)), json.dumps(task_id)).encode()
    assert "names no task" in refused(vendor, headers(text, vendor=vendor), text)


def _id(vendor: str) -> str:
    body = content(vendor)
    return parse(vendor, headers(body, vendor=vendor), body, SECRET).task_id


@in_one
@every_hooked
@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"5", b'"x"', b"{", b"\xff", b"[" * 60_000, b"<html>", b'{"a": ' * 70],
)
def test_a_body_that_is_no_object_is_refused(vendor: str, body: bytes) -> None:
    """Signed or not."""
    refused(vendor, headers(body, vendor=vendor), body)


def odd_inputs(seed: int, count: int, vendor: str) -> Iterator[tuple[dict[Any, Any], bytes, Any]]:
    """Headers, bodies and secrets of every unlikely kind, some of them all right."""
    random = Random(seed)
    body = content(vendor)
    texts = [
        "",
        " ",
        "v1,",
        ",",
        "v1,é",
        "\x00",
        "nan",
        "-1",
        "1e999",
        "whsec_",
        "\ud800",
        "v1,AAAA v1",
        "x" * 5000,
        "msg",
    ]
    for _ in range(count):
        noise = bytes(random.randrange(256) for _ in range(random.randrange(40)))
        changed = random.choice(
            [noise, body[: random.randrange(len(body))], body + noise, noise + body]
        )
        given: dict[Any, Any] = headers(
            random.choice([body, changed]), random.choice([SECRET, OTHER_SECRET])
        )
        odd = [*texts, noise.decode("latin-1"), base64.b64encode(noise).decode(), None, 7, noise]
        for name in random.sample([*given, "Webhook-ID", "x"], random.randrange(1, 4)):
            given[name] = random.choice(odd)
        if random.random() < 0.2:
            given[random.choice([None, 7, b"webhook-id"])] = "x"
        secrets = random.choice(
            [SECRET, [SECRET, OTHER_SECRET], random.choice(texts), [random.choice(texts)] * 3, None]
        )
        yield given, changed, secrets


@every_signed
def test_odd_input_has_one_error(vendor: str) -> None:
    """500 odd deliveries: WebhookError, with no secret in it, and never an event that nobody
    signed.
    """
    events = 0
    for given, body, secret in odd_inputs(14, 500, vendor):
        try:
            event = parse(vendor, given, body, secret)
        except WebhookError as error:
            keeps_secrets(error, [secret] if isinstance(secret, str) else secret or [])
        else:
            assert isinstance(event, Event)
            if not event.verified:  # where no secret is set, a hint
                assert webhook(vendor).optional
                assert not "".join([secret] if isinstance(secret, str) else secret or []).strip()
                continue
            again = [headers(body, each, identity=event.id) for each in (SECRET, OTHER_SECRET)]
            assert given["webhook-signature"] in [each["webhook-signature"] for each in again]
            events += 1
    assert events < 50


@every_signed
def test_whatever_the_package_raises_is_one_error(
    vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of verifying that holds the secret takes it nowhere."""
    body = content(vendor)

    def leak(secret: str) -> None:
        raise RuntimeError(f"cannot use {secret}")

    monkeypatch.setattr(standardwebhooks, "Webhook", leak)
    assert "malformed" in refused(vendor, headers(body), body)


def test_the_error_is_one_of_ours() -> None:
    """It is a PolyreelError and a ValueError."""
    assert issubclass(WebhookError, PolyreelError)
    assert issubclass(WebhookError, ValueError)


VECTOR: Final = {
    "home": "klingai.com",
    "secret": "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI=",
    "webhook-id": "9876543210",
    "webhook-timestamp": "1781080794",
    "webhook-signature": "v1,UsKlJP00XoQyOn410NM9xv34sP+Gl0jnOO9Lcpr7NJ4=",
    "body": '{"id":"1234567890","status":"succeeded","message":"","create_time":1781080778802,'
    '"update_time":1781080794151}',
}
"""A delivery that the page of Kling's own API publishes for checking (callbacks, 2026)."""
TOLD: Final = (True, "1234567890", "succeeded")


def test_the_published_delivery_is_of_a_vendor_here() -> None:
    """Whose page has it; the test below reads it as a job's end."""
    assert [vendor for vendor in STANDARD if VECTOR["home"] in get_provider(vendor).base_url]


@every_signed
def test_a_published_delivery_is_verified(vendor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within five minutes of its time, by its own secret, and with no other body.

    Of another vendor, what is refused once it is verified is that it names no task there.
    """
    moment = datetime.fromtimestamp(int(VECTOR["webhook-timestamp"]) + 299, tz=UTC)
    monkeypatch.setattr(FrozenTime, "now", lambda tz=None: moment)
    given = {name.title(): text for name, text in VECTOR.items() if name.startswith("webhook-")}
    if VECTOR["home"] in get_provider(vendor).base_url:
        event = parse(vendor, given, VECTOR["body"].encode(), VECTOR["secret"])
        assert (event.verified, event.task_id, event.facts.status) == TOLD
        assert event.id == VECTOR["webhook-id"]
    else:
        with pytest.raises(WebhookError, match="names no task"):
            parse(vendor, given, VECTOR["body"].encode(), VECTOR["secret"])
    with pytest.raises(WebhookError, match="not verified"):
        parse(vendor, given, VECTOR["body"].replace("1234", "1235").encode(), VECTOR["secret"])
    with pytest.raises(WebhookError, match="not verified"):
        parse(vendor, given, VECTOR["body"].encode(), SECRET)
