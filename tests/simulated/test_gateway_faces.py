"""A vendor's clients are served by another vendor: every face, with every vendor behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from polyreel.gateway.tasks import KINDS, ok_place
from polyreel.places import Json, leaves, pointer_parts, put
from polyreel.providers.base.contract import Contract, Operation
from polyreel.providers.base.provider import Provider
from polyreel.simulator import ready_made
from support.gateway import gateway
from support.server import PROVIDERS, calls, each_vendor, poll, send, status_query
from support.swaps import LINK, Swap, asked, first_swap, id_in, swaps

CANARY: Final = "canary"
NUMBER: Final = 987_654_000


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the files is not what these tests are about."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)


@pytest.mark.matrix("swap.face.id", "swap.back.id", "swap.made.model")
@pytest.mark.parametrize("swap", swaps(), ids=str)
def test_a_client_finishes_a_clip_of_another_vendor(swap: Swap, tmp_path: Path) -> None:
    """Submit, ask, fetch: every answer is one that the contract of the face documents."""
    face, back, made = swap
    with gateway(tmp_path, back) as stage:
        task = id_in(asked(stage, made), face)
        assert [vendor for vendor, _ in stage.simulator.tasks] == [back.id]
        stage.simulator.clock.sleep(1000)
        done = poll(stage, face, task)
        assert (done.id or task, done.status, len(done.urls)) == (task, "succeeded", 1)
        file = stage.call("GET", done.urls[0], {"Authorization": "Bearer any-key"})
        assert (file.status, file.content[4:8]) == (200, b"ftyp")
        assert stage.simulator.bill.count() == 1


@each_vendor
@pytest.mark.parametrize("end", ["failed", "canceled"])
def test_a_failure_has_the_words_of_the_vendor_behind(
    provider: Provider, end: str, tmp_path: Path
) -> None:
    """In the shape of the face; of its own codes none is made up."""
    face, back, made = first_swap(provider)
    with gateway(tmp_path, back) as stage:
        if end == "canceled" and not has_example(back, end):
            end = "failed"
        stage.simulator.script(back.id, end)
        task = id_in(asked(stage, made), face)
        stage.simulator.clock.sleep(1000)
        done = poll(stage, face, task)
        assert done.status == (end if has_example(face, end) else "failed")
        words = stage.client.jobs()[0].job
        assert words is not None
        assert not done.error_code
        if end == "failed" and words.error is not None:
            assert done.error_message is not None
            assert words.error.message in done.error_message


def has_example(provider: Provider, name: str) -> bool:
    """Whether a status query documents a state."""
    found = provider.contract.replies(status_query(provider))
    return any(one == name for _, _, one, _ in found)


# -- nothing is made up ----------------------------------------------------------------------------


def planted(contract: Contract, operation: Operation, **_: Any) -> Iterator[tuple[Any, ...]]:
    """The examples of a contract, with a canary in every value that says something of a job."""
    for number, (status, kind, name, body) in enumerate(REPLIES(contract, operation)):
        value = json.loads(json.dumps(body)) if isinstance(body, dict) else body
        if isinstance(value, dict):
            provider = next(one for one in PROVIDERS if one.contract is contract)
            for at, leaf in list(leaves(value)):
                if (other := canary(provider, at, leaf, number)) is not None:
                    put(value, ".".join(pointer_parts(at)), other)
        yield status, kind, name, value


REPLIES: Final[Callable[..., Iterator[tuple[Any, ...]]]] = Contract.replies


def canary(provider: Provider, at: str, leaf: Json, number: int) -> Json:
    """What stands in the place of a value; None where it says what an answer is, and not whose."""
    parts = pointer_parts(at)
    place = ".".join(parts)
    words = {*provider.reads.status, ok_place(provider), "error.code", "code", "error"}
    is_own = place in {*words, *provider.reads.id, *provider.reads.locator, *provider.reads.result}
    if is_own or parts[-1] in KINDS or "cancel" in str(leaf).lower():
        return None
    if isinstance(leaf, bool) or leaf in (None, "", 0):
        return None
    if isinstance(leaf, int | float):
        return NUMBER + number
    if isinstance(leaf, str):
        return f"{LINK}/{CANARY}.mp4" if "://" in leaf else f"{CANARY} {leaf}"
    return None


@each_vendor
def test_nothing_of_an_example_is_in_an_answer(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the examples of the face say: no answer about a job says it."""
    face, back, made = first_swap(provider)
    with gateway(tmp_path, back) as stage:
        task = id_in(asked(stage, made), face)
        with monkeypatch.context() as patch:
            patch.setattr(Contract, "replies", planted)
            replies = [asked(stage, made)]
            for _ in range(2):
                for shown, operation in calls("get", "get-fallback", "list", "list-running"):
                    if shown is face:
                        replies.append(send(stage, face, operation, {}, task=task))
                stage.simulator.clock.sleep(1000)
            replies.append(asked(stage, made, {"prompt": 5}))
    for text in (reply.content.decode() for reply in replies):
        assert CANARY not in text
        assert str(NUMBER)[:6] not in text
