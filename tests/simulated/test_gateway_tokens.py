"""Tokens: who may call a gateway, what the jobs of each may cost, and what is seen of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve
from polyreel.gateway.tokens import GUESSES, Doorkeeper
from polyreel.ledger.gateway_tokens import GatewayToken
from polyreel.money.amounts import CostRange
from polyreel.plans.planning import Plan
from polyreel.plans.translation import translate
from polyreel.providers.base.calling import key_scheme_of
from polyreel.providers.base.provider import Provider
from polyreel.serving.answers import find_error
from polyreel.simulator import ready_made
from support.cli import Command, stranger
from support.gateway import HOST, GatewayStage, gateway
from support.server import PROVIDERS, each_vendor, path_of, status_query
from support.swaps import Swap, asked, first_swap, id_in, swaps, with_prompt


def price_of(swap: Swap) -> Decimal | None:
    """The most that the vendor behind asks for a client's body, where that is known."""
    path = swap.made.route.path.removeprefix("/") if swap.made.route else ""
    made = translate(swap.made.body, swap.face, swap.back, source_model=path).plan
    return None if made is None else CostRange.of(made.cost).most


PRICED: Final = next(one for one in swaps() if price_of(one))
PRICE: Final = price_of(PRICED) or Decimal(0)
UNPRICED: Final = next(one for one in swaps() if price_of(one) is None)


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the files is not what these tests are about."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[GatewayStage]:
    with gateway(tmp_path, PRICED.back, with_tokens=True) as made:
        yield made


def token_of(stage: GatewayStage, name: str = "web", **options: Any) -> str:
    """A new token."""
    return stage.gateway.faces.jobs.kept.tokens.make(GatewayToken(name, **options))


@each_vendor
def test_only_tokens_are_let_in(provider: Provider, tmp_path: Path) -> None:
    """As the key of the vendor whose API is spoken, wherever that has its key."""
    _, back, made = first_swap(provider)
    with gateway(tmp_path, back, with_tokens=True) as stage:
        good = token_of(stage)
        for wrong in (None, "any-key", good[:-1] + ("a" if good[-1] != "a" else "b")):
            refused = asked(stage, made, token=wrong)
            assert refused.status == 401
            assert good.encode() not in refused.content
            assert b"polyreel gateway tokens" in refused.content
        assert stage.simulator.journal == []
        id_in(asked(stage, made, token=good), provider)


def test_everybody_is_let_in_until_a_token_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that runs then asks for it, too: what the token may not cost, nobody spends."""
    monkeypatch.setattr("polyreel.gateway.tokens.REMEMBERED", -1.0)
    with gateway(tmp_path, PRICED.back) as stage:
        faces = stage.gateway.faces
        faces.door = Doorkeeper(faces.jobs.kept.tokens, until_made=True)
        assert asked(stage, PRICED.made, token="any-key").ok
        assert faces.door.is_open
        good = token_of(stage)
        assert asked(stage, PRICED.made, token="any-key").status == 401
        assert asked(stage, PRICED.made, token=good).ok
        faces.jobs.kept.tokens.revoke("web", time.time())
        assert asked(stage, PRICED.made, token="any-key").status == 401
        assert not faces.door.is_open


def test_a_token_works_until_it_ends(stage: GatewayStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It expires, or is revoked; gateways hear of that within seconds."""
    monkeypatch.setattr("polyreel.gateway.tokens.REMEMBERED", -1.0)
    old = token_of(stage, "old", expires_at=time.time() - 1)
    assert asked(stage, PRICED.made, token=old).status == 401
    good = token_of(stage)
    assert asked(stage, PRICED.made, token=good).ok
    stage.gateway.faces.jobs.kept.tokens.revoke("web", time.time())
    assert asked(stage, PRICED.made, token=good).status == 401


def test_who_guesses_is_told_to_wait(stage: GatewayStage) -> None:
    """And a right token is let in all the same: many clients can have one address."""
    good = token_of(stage)
    replies = [asked(stage, PRICED.made, token=f"guess-{n}").status for n in range(GUESSES + 1)]
    assert replies[:GUESSES] == [401] * GUESSES
    assert replies[GUESSES] == 429
    assert asked(stage, PRICED.made, token=good).ok


def test_clients_see_their_own_jobs_only(stage: GatewayStage) -> None:
    """A job of another token is none; the same key under another token is another job."""
    face, _, made = PRICED
    one, two = token_of(stage, "one"), token_of(stage, "two", labels={"team": "ads"})
    first = id_in(asked(stage, made, token=one, key="0123456789abcdef-key"), face)
    second = id_in(asked(stage, made, token=two, key="0123456789abcdef-key"), face)
    assert first != second
    query = status_query(face)
    for token, task, status in ((one, first, 200), (two, first, 404), (one, second, 404)):
        headers = scheme(face, token)
        reply = stage.handle(face.id, query.method, path_of(query, task), headers)
        assert (reply.status == 200) is (status == 200)
    labels = [dict(entry.submission.labels) for entry in stage.client.jobs()]
    assert [one["token"] for one in labels] == ["one", "two"]
    assert labels[1]["team"] == "ads"


def scheme(face: Provider, token: str) -> dict[str, str]:
    """The headers of a call with a token."""
    return key_scheme_of(face.contract).headers(token)


def test_a_budget_of_a_day_and_in_all_holds(stage: GatewayStage) -> None:
    """What would exceed it is refused before anything is sent, and says what is left."""
    face, _, made = PRICED
    daily = token_of(stage, "daily", per_day=PRICE * 2)
    whole = token_of(stage, "whole", in_all=PRICE)
    for token, many in ((daily, 2), (whole, 1)):
        for number in range(many):
            id_in(asked(stage, with_text(made, number), token=token), face)
        refused = asked(stage, with_text(made, many), token=token)
        assert made.route is not None
        _, documented = find_error(face, face.operation(made.route), ("insufficient_credits",))
        assert refused.status == documented.status
        assert b"the limit of money is used up" in refused.content
        assert b"polyreel limits" not in refused.content
    assert stage.simulator.bill.count() == 3


def with_text(made: Plan, number: int) -> Plan:
    """The same plan for another clip."""
    return evolve(made, body=with_prompt(made, f"cat {number}"))


def test_a_budget_of_yesterday_counts_in_all(stage: GatewayStage) -> None:
    """Each day has a row of its own; what is left in all is the limit of the day."""
    spent = stage.gateway.faces.creator.budgets
    whole = token_of(stage, "whole", in_all=PRICE)
    stage.client.set_limits("gateway/whole/2020-01-01", max_cost=100)
    assert spent.spent("whole") == 0
    id_in(asked(stage, PRICED.made, token=whole), PRICED.face)
    assert spent.spent("whole") == PRICE


def test_a_job_of_unknown_price_needs_a_word(tmp_path: Path) -> None:
    """A budget would say nothing of it; the word is given with the token."""
    face, back, made = UNPRICED
    with gateway(tmp_path, back, with_tokens=True) as stage:
        limited = token_of(stage, "limited", per_day=Decimal(5))
        refused = asked(stage, made, token=limited)
        assert not refused.ok
        assert b"nobody knows what the job costs" in refused.content
        assert b"--prices-file" in refused.content
        assert stage.simulator.journal == []
        word = token_of(stage, "word", per_day=Decimal(5), unknown_prices=True)
        id_in(asked(stage, made, token=word), face)


def test_a_token_may_ask_for_its_models_and_vendors_only(stage: GatewayStage) -> None:
    """Everything else is refused, and says what it may."""
    face, back, made = PRICED
    other = token_of(stage, "other", models=("another-model",))
    refused = asked(stage, made, token=other)
    assert not refused.ok
    assert b"the token may ask for another-model" in refused.content
    assert b"name one of these" in refused.content
    elsewhere = next(one for one in PROVIDERS if one is not back)
    nobody = token_of(stage, "nobody", vendors=(elsewhere.id,))
    refused = asked(stage, made, token=nobody)
    assert b"no vendor is behind" in refused.content
    assert b"with --to when it is started" in refused.content
    mine = token_of(stage, "mine", models=(str(made.model),), vendors=(back.id,))
    id_in(asked(stage, made, token=mine), face)


def test_a_rate_is_kept_to(stage: GatewayStage) -> None:
    """The second job of a minute has to wait, and is told how long."""
    slow = token_of(stage, "slow", rate=1.0)
    id_in(asked(stage, with_text(PRICED.made, 1), token=slow), PRICED.face)
    refused = asked(stage, with_text(PRICED.made, 2), token=slow)
    assert (refused.status, int(stage.header["retry-after"]) > 30) == (429, True)
    assert stage.simulator.bill.count() == 1


# -- what is seen ----------------------------------------------------------------------------------


def test_health_readiness_and_metrics(
    stage: GatewayStage, caplog: pytest.LogCaptureFixture
) -> None:
    """The first two for anybody; the metrics for tokens that may read them."""
    caplog.set_level("INFO", logger="polyreel.access")
    good = token_of(stage, per_day=PRICE * 5)
    reader = token_of(stage, "reader", metrics=True)
    id_in(asked(stage, PRICED.made, token=good), PRICED.face)
    assert stage.call("GET", f"{HOST}/healthz").status == 200
    assert stage.call("GET", f"{HOST}/readyz").status == 200
    assert stage.call("GET", f"{HOST}/metrics").status == 401
    bearer = {"Authorization": f"Bearer {good}"}
    assert stage.call("GET", f"{HOST}/metrics", bearer).status == 403
    bearer = {"Authorization": f"Bearer {reader}"}
    shown = stage.call("GET", f"{HOST}/metrics", bearer)
    lines = shown.content.decode().splitlines()
    face, back = PRICED.face.id, PRICED.back.id
    assert f'polyreel_gateway_requests_total{{face="{face}",call="create",status="200"}} 1' in [
        line.replace('status="202"', 'status="200"') for line in lines
    ]
    assert f'polyreel_jobs{{vendor="{back}",state="accepted"}} 1' in lines
    assert f'polyreel_gateway_spent_dollars{{token="web"}} {float(PRICE):g}' in lines
    assert f'polyreel_vendor_rests_seconds{{vendor="{back}"}} 0' in lines
    logged = [one.getMessage() for one in caplog.records if one.name == "polyreel.access"]
    assert any(f" web POST /{face}" in line for line in logged)
    assert good not in "\n".join(logged)
    assert stage.client.ledger is not None
    stage.client.ledger.close()
    assert stage.call("GET", f"{HOST}/readyz").status == 503


# -- the command -----------------------------------------------------------------------------------


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    return stranger(capsys, monkeypatch, tmp_path)


def test_tokens_are_made_listed_and_revoked(cli: Command) -> None:
    """A token is shown once."""
    vendor = PROVIDERS[0].id
    made = cli(
        "gateway", "tokens", "make", "web", "--to", vendor, "--per-day", "2.50", "--days", "1"
    )
    assert made.code == 0
    text = made.out.strip()
    assert text.startswith("polyreel_")
    again = cli("gateway", "tokens", "make", "web")
    assert (again.code, "take another name" in again.err) == (2, True)
    (listed,) = cli("gateway", "tokens", "list", "--json").document
    assert (listed["name"], listed["vendors"], listed["per_day"]) == ("web", [vendor], "2.50")
    assert listed["state"].startswith("usable until ")
    secret = cli("gateway", "tokens", "secret", "web").out
    assert secret.startswith("whsec_")
    assert cli("gateway", "tokens", "secret", "web", "--json").document["secret"] == secret.strip()
    assert cli("gateway", "tokens", "secret").out not in {"", secret}
    assert cli("gateway", "tokens", "secret", "nobody").code == 2
    assert cli("gateway", "tokens", "revoke", "web").code == 0
    shown = cli("gateway", "tokens", "list")
    assert "revoked" in shown.out
    assert text not in shown.out
    for action in ("revoke", "secret"):
        cli.fails(2, ("gateway", "tokens", action, "nobody"), "polyreel gateway tokens list")
        cli.fails(2, ("gateway", "tokens", action, "wbe"), "did you mean web?")


@pytest.mark.parametrize(
    "words",
    [
        ("tokens",),
        ("tokens", "mkae", "web"),
        ("tokens", "make"),
        ("tokens", "make", "a b"),
        ("tokens", "make", "web", "--model", "nonesuch"),
        ("nonesuch",),
        (),
        ("--to", PROVIDERS[0].id, "--max-cost", "5"),
        ("--to", "nonesuch"),
        ("--prefer", "dearest"),
        ("--to", PROVIDERS[0].id, "--public-url", "gateway.example.com"),
        ("--to", PROVIDERS[0].id, "--certificate", "none.pem"),
        ("--to", PROVIDERS[0].id, "--host", "0.0.0.0"),
        ("--replay", "none.jsonl"),
        ("--replay", "calls.jsonl", "--record", "calls.jsonl"),
        ("--replay", "calls.jsonl", "--host", "0.0.0.0"),
        ("--to", PROVIDERS[0].id, "--record", "none/calls.jsonl"),
        ("--to", PROVIDERS[0].id, "--store", "https://bucket.example.com/clips"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(cli: Command, words: tuple[str, ...]) -> None:
    """Said in a line that tells what to write; nothing is served."""
    found = cli("gateway", *words)
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith("error: ")


def test_the_check_says_what_is_missing(cli: Command) -> None:
    """A live gateway needs keys and a token."""
    vendor = PROVIDERS[0].id
    assert cli("gateway", "check", "--to", vendor).code == 0
    assert cli("gateway", "check", "--to", vendor, "--store", "kept").code == 0
    Path("file").touch()
    found = cli("gateway", "check", "--to", vendor, "--store", "file/kept")
    assert (found.code, "cannot save to" in found.out) == (1, True)
    found = cli("gateway", "check", "--to", vendor, "--live", "--json")
    assert found.code == 1
    state = {one["what"]: one["ok"] for one in found.document}
    assert state == {"ledger": True, "files": True, "tokens": False, f"key of {vendor}": True}
    assert json.dumps(found.document).count("polyreel gateway tokens make") == 1
