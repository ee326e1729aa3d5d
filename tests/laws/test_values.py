"""Errors and values survive pickle, copy and deepcopy: found by walking the package."""

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import polyreel
import pytest
from polyreel import Client, Ledger
from polyreel.providers.base.registry import get_provider
from polyreel.providers.base.routes import Route
from pydantic import BaseModel
from support.errors import VENDOR, errors, made, plan
from support.loops import in_one

WAYS: tuple[Callable[[Any], Any], ...] = (
    copy.copy,
    copy.deepcopy,
    lambda value: pickle.loads(pickle.dumps(value)),
)
NO_VALUES = {"AsyncClient", "Client", "Ledger", "OpenTelemetryHook", "Simulator"}
"""Public classes that hold connections, files or threads."""


@in_one
@pytest.mark.parametrize("kind", errors())
@pytest.mark.parametrize("way", WAYS)
def test_every_error_survives(kind: type[BaseException], way: Callable[[Any], Any]) -> None:
    """With its class, message, arguments, notes, and all that it knows."""
    error = made(kind)
    again = way(error)
    assert type(again) is kind
    assert (str(again), repr(again), again.args) == (str(error), repr(error), error.args)
    assert vars(again) == vars(error)


def values_of_a_life(folder: Path) -> Iterator[Any]:
    """What the public calls give in the life of a job."""
    yield polyreel.VideoRequest(prompt="a cat", shots=[polyreel.Shot(prompt="a", duration=3)])
    yield polyreel.ImageRequest(prompt="a cat")
    yield polyreel.ElementRequest(name="boat", images=["https://example.com/a.png"])
    yield polyreel.Element(front_image="https://example.com/a.png")
    yield polyreel.Network(proxy="http://127.0.0.1:1")
    yield plan()
    yield polyreel.plan({"prompt": "a cat", "duration": 3000}, get_provider(VENDOR))
    for source in polyreel.all_providers():
        for target in polyreel.all_providers():
            shared = polyreel.plan({"model": "kling-o3", "prompt": "a cat"}, get_provider(source))
            yield polyreel.translate(
                shared.body, get_provider(source), get_provider(target), source_model="kling-o3"
            )
    with Ledger(folder / "jobs.sqlite3") as ledger, Client(ledger=ledger) as client:
        sent = client.submit(plan(), reference="one", output=folder)
        yield sent
        yield client.wait(sent)
        yield client.download(client.wait(sent), folder)
        yield from client.as_completed([sent])
        yield from client.jobs()
        assert client.simulator is not None
        client.simulator.inject("lost-reset", VENDOR)
        with pytest.raises(polyreel.AmbiguousError):
            client.submit(plan())
        yield from client.reconcile()


def parts(value: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """Every value object within a value."""
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from parts(one, seen)
    elif isinstance(value, dict):
        yield from parts(list(value.values()), seen)
    elif isinstance(value, Route):
        yield value  # its rows are code, not values
    elif attrs.has(type(value)):
        yield value
        for one in attrs.fields(type(value)):
            yield from parts(getattr(value, one.name), seen)
    elif isinstance(value, BaseModel):
        yield value
        yield from parts(list(vars(value).values()), seen)


def test_every_value_of_a_life_survives(tmp_path: Path) -> None:
    """Whatever the public calls give is the same after pickle, copy and deepcopy."""
    seen: dict[int, Any] = {}
    found = set()
    for value in values_of_a_life(tmp_path):
        for part in parts(value, seen):
            found.add(type(part))
            for way in WAYS:
                assert way(part) == part, type(part)
    public = {getattr(polyreel, name) for name in polyreel.__all__ if name not in NO_VALUES}
    classes_of_values = {
        kind for kind in public if isinstance(kind, type) and not issubclass(kind, BaseException)
    }
    assert classes_of_values <= found


def test_a_plan_computes_the_same_afterwards() -> None:
    """What a plan works out later is the same too: its bytes, verdicts, price and vendor."""
    before = polyreel.plan({"prompt": "a cat"}, get_provider(VENDOR))
    for way in WAYS:
        after = way(before)
        assert (after.content, after.verdicts, after.cost) == (
            before.content,
            before.verdicts,
            before.cost,
        )
        assert after.provider is before.provider
        assert after.route is before.route
        assert Client().submit(after).status == "queued"
