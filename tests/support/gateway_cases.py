"""What every ledger keeps for a gateway, whatever it is kept in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from polyreel.ledger.gateway_rows import GatewayJob
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
    assert rows.enter(call(4), "same", since=1001.5) == call(4)
    assert rows.enter(call(5)) == call(5)
    other = call(6, token="other", simulated=False)
    rows.enter(other)
    wanted = ["task-5", "task-1", "task-2", "task-6"]
    found = rows.found("one", wanted, "", simulated=True)
    assert sorted(one.id for one in found) == ["task-1", "task-5"]
    assert rows.found("one", ["task-6"], None, simulated=False) == [other]
    assert [one.id for one in rows.newest("one", "", 2, simulated=True)] == ["task-4", "task-5"]
    secret = rows.secret("links")
    assert (len(secret), rows.secret("links")) == (32, secret)
    assert rows.secret("others") != secret


def enters_once(ledger: StoredLedger) -> None:
    """Of many that enter the same call at once, all get one."""
    with ThreadPoolExecutor(8) as pool:
        entered = [
            pool.submit(ledger.gateway.enter, call(number), "same") for number in range(10, 26)
        ]
        assert len({one.result().id for one in entered}) == 1
