"""What every ledger keeps for a gateway, whatever it is kept in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from polyreel.errors import RequestError, UnknownNameError
from polyreel.ledger.gateway_rows import GatewayJob
from polyreel.ledger.gateway_tokens import GatewayToken, ModelRouting
from polyreel.ledger.keeping import StoredLedger


def call(number: int, **changes: Any) -> GatewayJob:
    """A call that a client has made."""
    facts: dict[str, Any] = {
        "face": "one",
        "id": f"task-{number}",
        "simulated": True,
        "token": "",
        "reference": f"gateway/{number}",
        "path": "/v1/videos",
        "body": {"prompt": "a cät"},
        "created_at": 1000.0 + number,
    }
    return GatewayJob(**{**facts, **changes})


def keeps_calls(ledger: StoredLedger) -> None:
    """A repetition is the first call, until it is too old; ids are found as they were written."""
    rows = ledger.gateway
    first = call(1)
    assert rows.enter(first, "same") == first
    assert rows.enter(call(2), "same") == first
    assert rows.enter(call(3), "same", since=1001.0) == first
    assert rows.repeated("same", since=1001.0) == first
    assert rows.repeated("same", since=1001.5) is rows.repeated("other") is None
    assert rows.enter(call(4), "same", since=1001.5) == call(4)
    assert rows.enter(call(5)) == call(5)
    other = call(6, token="other", simulated=False)
    rows.enter(other)
    wanted = ["task-5", "task-1", "task-2", "task-6"]
    found = rows.found("one", wanted, "", simulated=True)
    assert sorted(one.id for one in found) == ["task-1", "task-5"]
    assert rows.found("one", ["task-6"], None, simulated=False) == [other]
    assert [one.id for one in rows.newest("one", "", 2, simulated=True)] == ["task-4", "task-5"]
    named = [call(number, own_id="boat-1") for number in (8, 9)]
    for one in (*named, call(10, own_id="boat-1", token="other"), call(11, own_id="boat-2")):
        rows.enter(one)
    assert rows.of_own_id("one", "boat-1", "", simulated=True) == named
    assert rows.of_own_id("one", "boat-1", "", simulated=False) == []
    rows.ping()
    called = call(7, callback="{}", next_call=5.0)
    rows.enter(called)
    assert rows.due_calls(4.0, 9, simulated=True) == []
    assert rows.due_calls(5.0, 9, simulated=True) == [called]
    assert rows.claim_call(called, 65.0)
    assert not rows.claim_call(called, 66.0)
    rows.set_call(called, 70.0, 1)
    assert [one.calls for one in rows.due_calls(70.0, 9, simulated=True)] == [1]
    rows.set_call(called, None, 1)
    assert rows.due_calls(1e9, 9, simulated=True) == []
    assert all(len(one) == 3 for one in rows.under_way(simulated=True))
    rows.note_called(called)
    assert rows.found("one", [called.id], None, simulated=True)[0].callback is None
    secret = rows.secret("links")
    assert (len(secret), rows.secret("links")) == (32, secret)
    assert rows.secret("others") != secret


def enters_once(ledger: StoredLedger) -> None:
    """Of many that enter the same call at once, all get one."""
    with ThreadPoolExecutor(8) as pool:
        for key in range(5):
            numbers = range(100 * key, 100 * key + 16)
            # The first one is too old for some of them, and is let go by one.
            ledger.gateway.enter(call(100 * key + 50, created_at=1.0), f"key {key}")
            entered = [
                pool.submit(ledger.gateway.enter, call(number), f"key {key}", 2.0)
                for number in numbers
            ]
            assert len({one.result().id for one in entered}) == 1


def keeps_tokens(ledger: StoredLedger) -> None:
    """A token is known by what its client sends until it expires or is revoked, and not shown."""
    rows = ledger.gateway.tokens
    assert not rows.were_made()
    web = GatewayToken(
        "web",
        vendors=("one",),
        prefer="cheapest",
        by_model={"some": ModelRouting(("two", "one")), "other": ModelRouting(prefer="order")},
        labels={"team": "ads"},
        per_day=Decimal("2.50"),
        allow={"watermark": "drop"},
        created_at=1000.0,
        expires_at=2000.0,
    )
    text = rows.make(web)
    assert rows.listed() == [web]
    assert rows.of(text, 1999.0) == web
    assert rows.of(text, 2000.0) is None
    for wrong in (
        "",
        "any-key",
        text[:-1],
        f"{text[:-1]}{'a' if text[-1] != 'a' else 'b'}",
        "\ud800",
    ):
        assert rows.of(wrong, 1500.0) is None
    with pytest.raises(RequestError, match="take another name"):
        rows.make(web)
    with pytest.raises(RequestError, match="a name has letters"):
        rows.make(GatewayToken("a b"))
    other = rows.make(GatewayToken("other"))
    assert rows.of(other, 1e12) is not None
    assert rows.revoke("other", 1500.0).revoked_at == 1500.0
    assert rows.revoke("other", 1600.0).revoked_at == 1500.0
    assert rows.of(other, 1501.0) is None
    with pytest.raises(UnknownNameError):
        rows.revoke("nobody", 1.0)
