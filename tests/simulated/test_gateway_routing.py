"""Who makes the jobs of a gateway: in general, of a model family, and of a token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from polyreel import plan
from polyreel.cli.gateway_routing import RoutingOptions, read_routing
from polyreel.gateway.behind import Behind
from polyreel.ledger.gateway_tokens import GatewayToken, ModelRouting
from polyreel.simulator import ready_made
from support.gateway import HOST, GatewayStage, gateway
from support.server import PROVIDERS

MODELS: Final = ("kling-v3", "kling-o3")
SELLERS: Final = [
    one
    for one in PROVIDERS
    if all(not plan({"model": name, "prompt": "a cat"}, one).refused for name in MODELS)
]
FIRST, SECOND = SELLERS[:2]


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the files is not what these tests are about."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)


def maker(stage: GatewayStage, model: str, key: str = "any-key") -> str:
    """Who makes a job of a model family; why nobody does, where it is refused."""
    body = {"request": {"model": model, "prompt": "a cat", "duration": 5}}
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    reply = stage.call("POST", f"{HOST}/v1/jobs", headers, json.dumps(body).encode())
    found: Any = json.loads(reply.content)
    return str(found["vendor"] if reply.ok else found["error"]["message"])


def test_a_model_family_has_a_vendor_of_its_own(tmp_path: Path) -> None:
    """The others are made by those of the gateway, also where there is only that one."""
    routing = {MODELS[0]: ModelRouting((SECOND.id,))}
    options = {"by_model": routing, "others": (SECOND,)}
    with gateway(tmp_path / "1", FIRST, options=options) as stage:
        assert [maker(stage, one) for one in MODELS] == [SECOND.id, FIRST.id]
    with gateway(tmp_path / "2", options=options) as stage:
        assert maker(stage, MODELS[0]) == SECOND.id
        assert "no vendor is behind" in maker(stage, MODELS[1])


def test_a_token_has_its_own_order(tmp_path: Path) -> None:
    """For single families, too; it gets no vendor that the gateway has not."""
    with gateway(tmp_path, FIRST, SECOND, with_tokens=True) as stage:
        make = stage.gateway.faces.jobs.kept.tokens.make
        plain = make(GatewayToken("plain"))
        turned = make(GatewayToken("turned", vendors=(SECOND.id, FIRST.id)))
        routing = {MODELS[0]: ModelRouting((SECOND.id,))}
        single = make(GatewayToken("single", vendors=(FIRST.id,), by_model=routing))
        foreign = make(GatewayToken("foreign", by_model={MODELS[0]: ModelRouting(("nonesuch",))}))
        assert maker(stage, MODELS[0], plain) == FIRST.id
        assert maker(stage, MODELS[0], turned) == SECOND.id
        assert [maker(stage, one, single) for one in MODELS] == [SECOND.id, FIRST.id]
        assert "no vendor is behind" in maker(stage, MODELS[0], foreign)


def test_the_nearest_word_decides_who_is_asked_first() -> None:
    """That of the token for the family, of the token, of the gateway for the family, of it."""
    ours = {MODELS[0]: ModelRouting(prefer="cheapest")}
    behind = Behind((FIRST, SECOND), by_model=ours)
    plain = GatewayToken("plain")
    assert [behind.for_call(plain, one).prefer for one in MODELS] == ["cheapest", "order"]
    ordered = GatewayToken("ordered", prefer="order", by_model={MODELS[1]: ours[MODELS[0]]})
    assert [behind.for_call(ordered, one).prefer for one in MODELS] == ["order", "cheapest"]
    assert behind.for_call(plain, None).vendors == (FIRST, SECOND)


def test_options_say_who_makes_what() -> None:
    """In general, or for a family."""
    to = [FIRST.id, f"{MODELS[0]}={SECOND.id}", f"{MODELS[0]}={FIRST.id}", FIRST.id]
    found = read_routing(to, ["cheapest", f"{MODELS[1]}=order"])
    assert (found.vendors, found.prefer, found.others) == ((FIRST.id,), "cheapest", (SECOND.id,))
    assert found.by_model == {
        MODELS[0]: ModelRouting((SECOND.id, FIRST.id)),
        MODELS[1]: ModelRouting(prefer="order"),
    }
    assert found.of_all() == found
    assert len(read_routing([], ["cheapest"]).of_all().vendors) >= len(PROVIDERS)


@pytest.mark.parametrize(
    ("to", "prefer", "text"),
    [
        ("nonesuch-v1=VENDOR", "order", "no vendor sells"),
        ("VENDOR", "dearest", "neither order nor cheapest"),
        ("VENDOR", "nonesuch-v1=order", "no vendor sells"),
        ("", "order", "name a vendor"),
    ],
)
def test_options_that_make_no_sense(to: str, prefer: str, text: str) -> None:
    """With what is wrong."""
    with pytest.raises(typer.BadParameter, match=text):
        read_routing([to.replace("VENDOR", FIRST.id)] if to else [], [prefer]).of_all()


def test_a_vendor_is_not_named_for_what_it_does_not_sell() -> None:
    """No job would ever be made."""
    other = next(one for one in PROVIDERS if MODELS[0] not in {r.model for r in one.routes})
    with pytest.raises(typer.BadParameter, match="does not sell"):
        read_routing([f"{MODELS[0]}={other.id}"], [])
    assert RoutingOptions().others == ()
