"""A key that a vendor repeats reaches no client of the gateway, and is not kept."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import pytest
from polyreel import AsyncClient
from polyreel.ledger.sqlite import Ledger
from polyreel.simulator import Simulator, VirtualClock, ready_made
from polyreel.simulator.transport import SimulatedTransport
from support.echoes import KEY, MODES, WRITTEN, EchoingTransport, holds_key
from support.gateway import GatewayStage
from support.server import PROVIDERS, key_of, path_of, status_query
from support.swaps import asked, first_swap


@pytest.mark.matrix("form", "mode", "paid")
@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("paid", [True, False], ids=["paid", "free"])
def test_no_client_of_a_gateway_sees_it(
    form: str,
    mode: str,
    paid: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the vendor behind answers, and however the key is written in it."""
    caplog.set_level(logging.DEBUG, logger="polyreel")
    face, back, made = first_swap(
        PROVIDERS[(list(WRITTEN).index(form) + MODES.index(mode)) % len(PROVIDERS)]
    )
    monkeypatch.setattr(type(back), "poll_floor", 0.0)
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)
    simulator = Simulator(clock=VirtualClock(), keys=frozenset({KEY}))
    echoing = EchoingTransport(SimulatedTransport(simulator), form)
    client = AsyncClient(keys={back.id: KEY}, ledger=Ledger(tmp_path / "ledger.sqlite3"), retries=0)
    client.wire.transport, client.wire.clock = echoing, simulator.clock
    stage = GatewayStage(tmp_path, (back,), simulator)
    stage.start(client)
    replies = [asked(stage, made)]
    task = face.read(replies[0]).id or "nobody"
    echoing.mode, echoing.paid = mode, paid
    for _ in range(3):
        replies.append(asked(stage, made))
        path = path_of(status_query(face), task)
        replies.append(stage.handle(face.id, "GET", path, key_of(face)))
        simulator.clock.sleep(1000)
    stage.close()
    shown = [f"{one.headers} {one.content.decode()}" for one in replies]
    assert not any(map(holds_key, shown))
    assert echoing.texts > 2
    logged = [f"{one.getMessage()} {one.args}" for one in caplog.records if one.name == "polyreel"]
    assert not holds_key("\n".join(logged))
    connection = sqlite3.connect(tmp_path / "ledger.sqlite3")
    for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"):
        for row in connection.execute(f"SELECT * FROM {table}"):
            assert not holds_key(repr(row)), table
    connection.close()
