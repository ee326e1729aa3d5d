"""What vendors say of their models at run time, and plans that are held to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve
from polyreel import Client, environment, plan
from polyreel.drivers.limits_file import MAX_BYTES, LimitsFolder
from polyreel.errors import BadReplyError, RequestError, UnknownNameError
from polyreel.flows import Now, Reply, Send
from polyreel.places import JsonObject
from polyreel.plans.livelimits import within
from polyreel.plans.planning import Plan
from polyreel.providers.base.limits import (
    KeptLimits,
    broken_limits,
    fetch_limits,
    has_limits,
    reading_of,
)
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.testing.laws import demanded

LISTING: Final = [one for one in all_providers().values() if has_limits(one.contract)]
NOON: Final = 1_796_040_000.0
"""29 November 2026."""
each_listing = pytest.mark.parametrize("provider", LISTING, ids=lambda one: one.id)


def answer(provider: Provider) -> JsonObject:
    """The documented answer."""
    call = provider.contract.operation("models")
    assert call is not None
    replies = provider.contract.replies(call)
    return next(body for _, _, name, body in replies if name == "models")


def listed(provider: Provider, **members: Any) -> KeptLimits:
    """The kept answer whose first entry says more, of the model of `made`."""
    how = reading_of(provider.contract)
    first, *others = answer(provider)[how["models"]]
    models = ({**first, **members}, *others)
    return KeptLimits(provider.id, provider.base_url, NOON, models)


def made(provider: Provider, **fields: Any) -> Plan:
    """A plan for the model of the documented answer, which a family takes by its id."""
    route = next(one for one in provider.routes if demanded(provider, one))
    extra = {provider.id: demanded(provider, route)}
    found = plan({"model": route.model, "prompt": "a cat", **fields, "extra": extra}, provider)
    assert not found.refused
    return found


def held(provider: Provider, kept: KeptLimits, **fields: Any) -> list[str]:
    """Why a plan is refused that is held to a kept answer."""
    found = within(made(provider, **fields), {provider.id: kept})
    assert found.refused == bool(found.violations)
    return [one.message for one in found.violations]


@each_listing
def test_what_a_model_lacks_is_refused(provider: Provider) -> None:
    """With the field, the values that it takes, and the day of the answer; all at once."""
    kept = listed(provider)
    assert held(provider, kept, duration=8, resolution="720p", audio=True) == []
    found = held(provider, kept, duration=5, resolution="4k")
    assert len(found) == 2
    assert found[0].startswith("resolution: ")
    assert "4k" in found[0]
    assert f"said on {kept.date}" in found[0]
    assert "takes 720p or 1080p" in found[0]
    assert found[1].startswith("duration: ")
    assert "takes 4 or 6 or 8" in found[1]
    assert "polyreel models --live" in found[1]


@each_listing
def test_a_field_that_a_model_has_not_is_refused(provider: Provider) -> None:
    """As is an item of a list of typed ones."""
    assert "does not take any seed" in held(provider, listed(provider), seed=7)[0]
    links = {"first_frame": "https://example.com/a.png", "last_frame": "https://example.com/b.png"}
    (found,) = held(provider, listed(provider), **links)
    assert found.startswith("last_frame: ")
    (silent,) = held(provider, listed(provider, generate_audio=False), audio=True)
    assert silent.startswith("audio: ")
    assert held(provider, listed(provider, generate_audio=False), audio=False) == []


@each_listing
def test_a_native_field_of_extra_is_held_to_it_too(provider: Provider) -> None:
    """The refusal says where it stands."""
    plain = made(provider)
    there = evolve(plain, body={**plain.body, "duration": 5})
    (found,) = within(there, {provider.id: listed(provider)}).violations
    assert found.field == "extra"
    assert "duration 5" in found.message


@each_listing
@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {},
        "4 to 8",
        8,
        True,
        {"min": 4, "max": 8},
        [{"value": 4}],
        [None, 4],
        [True],
        [[4]],
    ],
    ids=repr,
)
def test_nothing_is_guessed(provider: Provider, said: Any) -> None:
    """A form that is not certain says nothing."""
    assert held(provider, listed(provider, supported_durations=said), duration=5) == []


@each_listing
@pytest.mark.parametrize("said", [[5], [5.0], ["5"], ["5s"], ["4", "5 seconds"]], ids=repr)
def test_numbers_come_in_any_form(provider: Provider, said: Any) -> None:
    """As number or text, with a unit or without."""
    assert held(provider, listed(provider, supported_durations=said), duration=5) == []
    assert held(provider, listed(provider, supported_durations=said), duration=6) != []


@each_listing
def test_words_come_in_any_case(provider: Provider) -> None:
    """`4k` is `4K`."""
    kept = listed(provider, supported_resolutions=["1080P", "4k"])
    assert held(provider, kept, resolution="4k") == held(provider, kept, resolution="1080p") == []
    assert held(provider, kept, resolution="720p") != []


@each_listing
def test_only_what_is_at_hand_counts(provider: Provider) -> None:
    """Another model, another address and another vendor say nothing, nor does no answer."""
    plain = made(provider, duration=5)
    kept = listed(provider)
    assert within(plain, {}) is plain
    assert within(plain, {"another": kept}) is plain
    elsewhere = evolve(kept, base_url="https://gateway.example.com")
    assert within(plain, {provider.id: elsewhere}) is plain
    other = listed(provider, id="author/other")
    assert within(plain, {provider.id: other}) is plain
    how = reading_of(provider.contract)
    for body in ({}, {how["model"]: 5}, {how["model"]: None}):
        assert list(broken_limits(provider.contract, kept, body)) == []


@each_listing
def test_only_a_live_client_is_held_to_it(provider: Provider) -> None:
    """A simulated plan depends on nothing that was asked; neither does one of another model."""
    request, limits = made(provider, duration=5).request, {provider.id: listed(provider)}
    assert not Client(limits=limits).plan(request, provider).refused
    with Client(keys={provider.id: "sk-canary-0123456789"}, limits=limits) as client:
        assert client.plan(request, provider).refused
        assert not client.plan({**request, "duration": 4}, provider).refused


@each_listing
def test_another_vendor_is_taken_where_one_is_refused(provider: Provider) -> None:
    """As for every other reason."""
    other = next(name for name in all_providers() if name != provider.id)
    how = reading_of(provider.contract)
    plain = plan({"prompt": "a cat"}, provider)
    entry = {how["id"]: plain.body[how["model"]], "supported_durations": [99]}
    kept = KeptLimits(provider.id, provider.base_url, NOON, (entry,))
    keys = {provider.id: "sk-canary-0123456789", other: "sk-canary-0123456789"}
    with Client(keys=keys, limits={provider.id: kept}) as client:
        assert client.plan({"prompt": "a cat"}).vendor == provider.id
        assert client.plan({"prompt": "a cat", "duration": 5}).vendor == other
        assert client.plan({"prompt": "a cat", "duration": 99}).vendor == provider.id
    with Client(keys={provider.id: keys[other]}, limits={provider.id: kept}) as client:
        assert client.plan({"prompt": "a cat", "duration": 5}).refused


# -- asking ----------------------------------------------------------------------------------------


def asked(provider: Provider, body: Any, base_url: str | None = None) -> tuple[Send, KeptLimits]:
    """The call that is made, and what is read of its answer."""
    flow = fetch_limits(provider, base_url)
    step = next(flow)
    assert isinstance(step, Send)
    try:
        step_after = flow.send(Reply(200, {}, json.dumps(body).encode()))
        assert isinstance(step_after, Now)
        flow.send(NOON)
    except StopIteration as stop:
        return step, stop.value
    raise AssertionError("it goes on")


@each_listing
def test_a_list_is_read_as_it_comes(provider: Provider) -> None:
    """By a free call; bare, too, and without what is no entry."""
    how, body = reading_of(provider.contract), answer(provider)
    step, kept = asked(provider, body)
    assert (step.method, step.paid, step.content) == ("GET", False, None)
    assert kept == evolve(listed(provider), base_url=provider.base_url)
    assert kept.date == "2026-11-30"
    entries = body[how["models"]]
    assert asked(provider, [*entries, 5, {}, {how["id"]: 5}, None])[1].models == kept.models
    assert asked(provider, body, "https://g.example.com")[1].base_url == "https://g.example.com"
    odd: list[Any] = [{}, [], {how["models"]: []}, {how["models"]: {}}, {how["models"]: [5]}]
    for empty in odd:
        with pytest.raises(BadReplyError):
            asked(provider, empty)


def test_a_vendor_without_such_a_call_is_named() -> None:
    """Nothing is asked."""
    silent = next(one for one in all_providers().values() if not has_limits(one.contract))
    with pytest.raises(UnknownNameError, match=silent.id):
        next(fetch_limits(silent))


# -- keeping ---------------------------------------------------------------------------------------


@each_listing
def test_an_answer_is_kept(provider: Provider, tmp_path: Path) -> None:
    """In a file of the vendor's, with its day; a later one takes its place."""
    folder, kept = LimitsFolder(tmp_path / "deep" / "limits"), listed(provider)
    assert folder.read(provider.id) is None
    assert folder.keep(kept) == folder.file(provider.id)
    assert folder.read(provider.id) == kept
    assert json.loads(folder.file(provider.id).read_bytes())["date"] == kept.date
    later = evolve(kept, asked_at=NOON + 86_400, models=kept.models[:1])
    folder.keep(later)
    assert folder.read(provider.id) == later
    assert [path.name for path in folder.path.iterdir()] == [f"{provider.id}.json"]
    found = environment.kept_limits(all_providers(), {"POLYREEL_LIMITS": str(folder.path)})
    assert found == {provider.id: later}


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b" " * (MAX_BYTES + 1)),
        *(b'{"vendor": "x"}', b'{"vendor": "y", "base_url": "u", "asked_at": 1, "models": []}'),
        b'{"vendor": "x", "base_url": 5, "asked_at": 1, "models": []}',
        b'{"vendor": "x", "base_url": "u", "asked_at": "now", "models": []}',
        b'{"vendor": "x", "base_url": "u", "asked_at": -1, "models": []}',
        b'{"vendor": "x", "base_url": "u", "asked_at": 1e99, "models": []}',
    ],
    ids=lambda content: repr(content[:40]),
)
def test_a_file_that_makes_no_sense_is_none(tmp_path: Path, content: bytes) -> None:
    """It is asked anew; nothing else goes wrong."""
    folder = LimitsFolder(tmp_path)
    folder.file("x").write_bytes(content)
    assert folder.read("x") is None


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """It names the file."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RequestError, match=r"x\.json"):
        LimitsFolder(tmp_path / "file").keep(KeptLimits("x", "u", NOON, ()))
