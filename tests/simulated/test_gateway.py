"""The gateway: what is repeated is paid once, and what cannot be served is refused with reasons."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest
from polyreel.flows import Reply
from polyreel.gateway.creating import REPLAYED, Made, Wish
from polyreel.places import JsonObject, put
from polyreel.plans.planning import Plan
from polyreel.plans.translation import translate
from polyreel.providers.base.calling import own_id_place
from polyreel.providers.base.provider import Provider
from polyreel.simulator import ready_made
from polyreel.simulator.faults import FAULTS
from support.gateway import HOST, gateway
from support.pictures import picture
from support.server import PROVIDERS, each_vendor, key_of, poll, send, status_query
from support.swaps import Swap, asked, first_swap, id_in, swaps, with_prompt

KEY: Final = "0123456789abcdef-key"
SWAP: Final = first_swap(PROVIDERS[0])


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the files is not what these tests are about."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)


def bare(made: Plan) -> JsonObject:
    """A client's body without an id of its own."""
    body: JsonObject = json.loads(made.content)
    return body


# -- paid once -------------------------------------------------------------------------------------


@each_vendor
def test_a_key_is_paid_once(provider: Provider, tmp_path: Path) -> None:
    """Over another connection, and after a restart too; another request under it is refused."""
    face, back, made = first_swap(provider)
    with gateway(tmp_path, back) as stage:
        first = id_in(asked(stage, made, key=KEY), face)
        assert REPLAYED not in stage.header
        again = id_in(asked(stage, made, key=KEY), face)
        assert (again, stage.header[REPLAYED]) == (first, "true")
        stage.stop()
        stage.start()
        assert id_in(asked(stage, made, key=KEY), face) == first
        other = with_prompt(made, "a dog")
        refused = asked(stage, made, other, key=KEY)
        assert refused.status in {400, 409, 422}
        assert b"used before" in refused.content
        assert stage.simulator.bill.count() == 1
        assert id_in(asked(stage, made), face) != first
        assert stage.simulator.bill.count() == 2


OWN_ID: Final = [one for one in PROVIDERS if own_id_place(first_swap(one).made.operation)]


@pytest.mark.parametrize("provider", OWN_ID, ids=lambda one: one.id)
def test_an_id_of_the_clients_in_the_body_is_paid_once(provider: Provider, tmp_path: Path) -> None:
    """As the vendor documents it; the job can be asked for by it, and no other vendor gets it."""
    face, back, made = first_swap(provider)
    place = own_id_place(made.operation)
    assert place is not None
    body = bare(made)
    put(body, place, "boat-1")
    with gateway(tmp_path, back) as stage:
        first = id_in(asked(stage, made, body), face)
        assert id_in(asked(stage, made, body), face) == first
        sent = stage.client.jobs()[0].submission
        assert "boat-1" not in sent.dump()
        parameter = next(
            one["name"]
            for one in map(face.contract.resolve, status_query(face).spec["parameters"])
            if one.get("x-polyreel-own-id")
        )
        found = send(stage, face, status_query(face), query={parameter: "boat-1"})
        assert face.read(found).id == first
        assert stage.simulator.bill.count() == 1


def test_the_same_body_is_paid_once_within_some_time(tmp_path: Path) -> None:
    """Where the gateway is told so. After that time, and for another body, it is another job."""
    face, back, made = SWAP
    with gateway(tmp_path, back, dedupe=600.0) as stage:
        first = id_in(asked(stage, made), face)
        assert id_in(asked(stage, made), face) == first
        assert id_in(asked(stage, made, with_prompt(made, "a dog")), face) != first
        stage.simulator.clock.sleep(601)
        assert id_in(asked(stage, made), face) != first
        assert stage.simulator.bill.count() == 3


@pytest.mark.matrix("provider", "fault")
@each_vendor
@pytest.mark.parametrize("fault", [name for name, one in FAULTS.items() if one.call == "submit"])
def test_a_lost_answer_is_never_paid_twice(provider: Provider, fault: str, tmp_path: Path) -> None:
    """A client that repeats its call under its key gets the first job, or no job."""
    face, back, made = first_swap(provider)
    with gateway(tmp_path, back) as stage:
        stage.simulator.inject(fault, back.id)
        replies = [asked(stage, made, key=KEY) for _ in range(3)]
        assert stage.simulator.bill.count() <= 1
        assert stage.simulator.fired
        ids = {id_in(reply, face) for reply in replies if reply.ok}
        assert len(ids) <= 1
        entry = stage.client.jobs()[-1]
        assert (entry.state in {"ambiguous", "rejected"}) is (not ids)


def test_a_job_that_was_never_sent_can_be_asked_for_again(tmp_path: Path) -> None:
    """Under the same key: nothing was paid."""
    face, back, made = SWAP
    with gateway(tmp_path, back) as stage:
        stage.simulator.inject("refused", back.id, times=None)
        refused = asked(stage, made, key=KEY)
        assert refused.status >= 500
        assert b"safe to try again" in refused.content
        stage.simulator.calm()
        id_in(asked(stage, made, key=KEY), face)
        assert stage.simulator.bill.count() == 1


def test_the_next_vendor_is_asked_where_one_is_not_reached(tmp_path: Path) -> None:
    """Several vendors behind are asked in their order."""
    face, first, second, made = next(
        (one.face, one.back, other, one.made)
        for one in swaps()
        for other in PROVIDERS
        if other not in {one.face, one.back} and is_served(one, other)
    )
    with gateway(tmp_path, first, second) as stage:
        stage.simulator.inject("refused", first.id, times=None)
        id_in(asked(stage, made), face)
        assert [vendor for vendor, _ in stage.simulator.tasks] == [second.id]


def is_served(swap: Swap, back: Provider) -> bool:
    """Whether another vendor can make what a client asks for, too."""
    path = swap.made.route.path.removeprefix("/") if swap.made.route else ""
    return not translate(swap.made.body, swap.face, back, source_model=path).refused


def test_a_gateway_that_ends_says_under_what_a_call_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it waits no longer for a vendor: the answer is one of the face, and the job is made."""
    face, back, made = SWAP
    with gateway(tmp_path, back) as stage:
        creator, goes_on = stage.gateway.faces.creator, asyncio.Event()
        begun, make = asyncio.Event(), creator.made

        async def slowly(wish: Wish) -> Made:
            begun.set()
            await goes_on.wait()
            return await make(wish)

        monkeypatch.setattr(creator, "made", slowly)
        url = f"{HOST}/{face.id}{made.operation.full_path}"

        async def ended() -> int:
            asking = asyncio.create_task(stage.web.post(url, json=made.body, headers=key_of(face)))
            await begun.wait()
            asking.cancel("the server ends")
            reply = await asking
            assert b"idempotency key" in reply.content
            goes_on.set()
            (work,) = stage.gateway.working
            made_meanwhile = await work
            assert isinstance(made_meanwhile, Reply)
            assert made_meanwhile.ok
            return reply.status_code

        assert stage.run(ended()) >= 400
        assert stage.simulator.bill.count() == 1


def test_calls_at_the_same_time_are_paid_once(tmp_path: Path) -> None:
    """All of them are told of the one job."""
    face, back, made = SWAP
    with gateway(tmp_path, back) as stage:
        assert made.route is not None
        url = f"{HOST}/{face.id}{made.operation.full_path}"
        headers = {**key_of(face), "Idempotency-Key": KEY}

        async def several() -> list[Any]:
            asking = (stage.web.post(url, json=made.body, headers=headers) for _ in range(8))
            return [*await asyncio.gather(*asking)]

        ids = {face.facts(reply.json()).id for reply in stage.run(several())}
        assert len(ids) == 1
        assert stage.simulator.bill.count() == 1


def test_files_are_kept_for_some_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are fetched again where somebody asks for them."""
    face, back, made = SWAP
    with gateway(tmp_path, back) as stage:
        task = id_in(asked(stage, made), face)
        stage.simulator.clock.sleep(1000)
        (link,) = poll(stage, face, task).urls
        assert stage.call("GET", link).status == 200
        (tmp_path / "gateway" / "uploads" / "1").mkdir(parents=True)  # nothing was put there
        kept = [*(tmp_path / "gateway").glob("*/*")]
        stage.gateway.faces.jobs.files.purge()
        assert [*(tmp_path / "gateway").glob("*/*")] == kept != []
        monkeypatch.setattr("polyreel.gateway.files.KEPT_SECONDS", -60.0)
        stage.gateway.faces.jobs.files.purge()
        assert [*(tmp_path / "gateway").glob("*/*")] == []
        assert stage.call("GET", link).status == 200


@each_vendor
def test_a_refused_call_leaves_its_key_free(provider: Provider, tmp_path: Path) -> None:
    """Nothing was sent under it: a client can mend its call. A job that there is keeps its key."""
    face, back, made = first_swap(provider)
    other = next(one for one in PROVIDERS if made.model not in {r.model for r in one.routes})
    with gateway(tmp_path, other) as stage:
        assert asked(stage, made, with_prompt(made, "a cta"), key=KEY).status in {400, 422}
        stage.stop()
        stage.behind = (back,)
        stage.start()
        first = id_in(asked(stage, made, key=KEY), face)
        stage.stop()
        stage.behind = (other,)
        stage.start()
        assert id_in(asked(stage, made, key=KEY), face) == first
        assert stage.simulator.bill.count() == 1


# -- refusals --------------------------------------------------------------------------------------


@each_vendor
def test_what_nobody_serves_is_refused_with_every_reason(
    provider: Provider, tmp_path: Path
) -> None:
    """In the shape of the face, for each vendor behind, and nothing is sent."""
    _, _, made = first_swap(provider)
    others = [one for one in PROVIDERS if made.model not in {r.model for r in one.routes}]
    with gateway(tmp_path, *others[:2]) as stage:
        if not others:
            pytest.fail(f"every vendor sells {made.model}")
        reply = asked(stage, made)
        assert reply.status in {400, 422}
        for one in others[:2]:
            assert f"{one.id} does not sell".encode() in reply.content
        assert stage.simulator.journal == []
        assert stage.client.jobs() == []


@each_vendor
def test_no_file_of_the_server_is_sent(provider: Provider, tmp_path: Path) -> None:
    """A body that names a file of the machine gets nothing of it."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    swap = next((one for one in swaps() if one.face is provider and frame_of(one)), None)
    if swap is None:
        swap = first_swap(provider)
    body = with_frame(swap, str(secret))
    with gateway(tmp_path, swap.back) as stage:
        reply = asked(stage, swap.made, body)
        assert reply.status in {400, 422}, reply.content
        assert stage.simulator.journal == []


def frame_of(swap: Swap) -> str | None:
    """The link to a first frame in a client's body."""
    return next((one for one in strings(swap.made.body) if one.endswith("cat.png")), None)


def with_frame(swap: Swap, value: str) -> JsonObject:
    """A client's body with something else in the place of the link to its frame."""
    link = frame_of(swap)
    if link is None:
        return {**bare(swap.made), "image_url": value}
    found: JsonObject = json.loads(swap.made.content.decode().replace(link, value))
    return found


def strings(value: Any) -> list[str]:
    """All texts in a JSON value."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return [value] if isinstance(value, str) else []
