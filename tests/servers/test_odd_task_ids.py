"""A submit whose answer has a task id that can be none says so at once, not at the first query."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from polyreel.errors import AmbiguousError
from polyreel.ledger.sqlite import Ledger
from polyreel.places import get, put
from polyreel.providers import first
from polyreel.providers.base.registry import all_providers
from support.faults import (
    CANARIES,
    VENDORS,
    Clients,
    FaultServer,
    Kind,
    accepted,
    encoded,
    every_kind,
    http,
    plans,
)

ODD = ["../../etc/passwd", "a/b", "x" * 201, "a b", "a\nb", "?x=1", "t\u00e4sk", ".."]


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.mark.matrix("vendor+kind", "odd")
@every_kind
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_an_odd_task_id_is_ambiguous_at_once(
    server: FaultServer, vendor: str, kind: Kind, odd: str, tmp_path: Path
) -> None:
    """The error names the id, and that the job may have been billed; the ledger has it so."""
    path = tmp_path / "ledger.sqlite3"
    made = next(iter(plans(vendor, server.url).values()))
    body = json.loads(accepted(vendor, made))
    places = all_providers()[vendor].reads.id
    for place in places:
        if get(body, place) == first(body, places):
            put(body, place, odd)
    server.play(http(200, encoded(body)))
    with (
        Clients(keys=CANARIES, base_urls={vendor: server.url}, ledger=path) as pair,
        pytest.raises(AmbiguousError, match="a task id that is none") as caught,
    ):
        pair.do(kind, "submit", made)
    assert caught.value.billed == "maybe"
    assert odd[:8].replace("\n", "?") in str(caught.value)
    with Ledger(path) as ledger:
        (entry,) = ledger.entries()
    assert entry.state == "ambiguous"
