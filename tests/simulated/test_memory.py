"""The memory of the simulator: jobs, keys and seeds from one run to the next."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from polyreel.places import JsonObject
from polyreel.simulator import Simulator, VirtualClock
from polyreel.simulator.memory import SECONDS_KEPT, remember
from polyreel.simulator.scripting import scriptable
from support.server import (
    BODIES,
    PROVIDERS,
    START,
    example,
    finish,
    key_of,
    new_simulator,
    poll,
    send,
    submit,
    submits,
)

if TYPE_CHECKING:
    from polyreel.providers.base.provider import Provider


each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where jobs are remembered."""
    return tmp_path / "deep" / "jobs.simulated"


def remembering(path: Path, start: float = START, **options: Any) -> Simulator:
    """A simulator in another process, as far as the file is concerned."""
    simulator = Simulator(clock=VirtualClock(start), **options)
    remember(simulator, path)
    return simulator


def test_jobs_go_on_in_another_process(path: Path) -> None:
    """Every documented body, plain or as a stream: the same tasks, answers and charges."""
    first = remembering(path)
    for one in [*BODIES, *submits("stream")]:
        assert send(first, one.provider, one.operation, one.body).ok
    second = remembering(path)
    assert second.tasks == first.tasks
    assert list(second.tasks) == list(first.tasks)
    assert second.bill == first.bill
    for later in (0, 6, 1000):
        for simulator in (first, second):
            assert isinstance(simulator.clock, VirtualClock)
            simulator.clock.advance(later)
        for vendor, task in first.tasks:
            provider = next(provider for provider in PROVIDERS if provider.id == vendor)
            assert poll(first, provider, task) == poll(second, provider, task)


@each_vendor
def test_age_counts_from_the_start(provider: Provider, path: Path) -> None:
    """A job runs on while nobody looks, and one from a clock that was ahead waits."""
    task = submit(remembering(path), example(provider))
    for start, status in (
        (START - 500, "queued"),
        (START + 6, "running"),
        (START + 1000, "succeeded"),
    ):
        simulator = remembering(path, start)
        assert poll(simulator, provider, task.id).status == status
        assert simulator.bill.count() == 1


@each_vendor
def test_bad_ends_are_remembered(provider: Provider, path: Path) -> None:
    """And lost answers do not keep a job from being remembered."""
    first = remembering(path)
    ends = [end for end in ("failed", "canceled") if end in scriptable(provider)]
    first.script(provider.id, *ends, "lost-500", "500")
    for _ in range(len(ends) + 2):
        one = example(provider)
        first.handle(
            provider.id, "POST", one.full_path, key_of(provider), json.dumps(one.body).encode()
        )
    second = remembering(path)
    finish(second)
    assert [poll(second, provider, task).status for _, task in first.tasks] == [*ends, "succeeded"]
    assert second.bill == first.bill


@each_vendor
def test_idempotency_keys_are_remembered(provider: Provider, path: Path) -> None:
    """Where the vendor knows them: the repetition in another process finds the job."""
    one = example(provider)
    policy = one.operation.spec["x-polyreel-idempotency"]
    if policy["mode"] != "replay":
        return
    headers = {policy["header"]: "0123456789abcdef"}
    task = submit(remembering(path), one, **headers)
    second = remembering(path)
    assert (
        provider.read(send(second, provider, one.operation, one.body, headers=headers)).id
        == task.id
    )
    assert second.bill.count() == 1
    assert remembering(path).bill.count() == 1


def test_a_missing_file_is_made_when_there_is_something_to_keep(path: Path) -> None:
    """For its owner's eyes only."""
    simulator = remembering(path)
    assert not path.exists()
    submit(simulator, example(PROVIDERS[0]))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def damaged(good: JsonObject) -> list[bytes]:
    """Lines that are no jobs."""
    wrong: list[Any] = [
        {**good, "vendor": "nobody"},
        {**good, "vendor": []},
        {**good, "id": 5},
        {**good, "end": "exploded"},
        {**good, "created": "yesterday"},
        {**good, "created": float("nan")},
        {**good, "created": float("inf")},
        {**good, "seconds": float("inf")},
        {**good, "seconds": -1},
        {**good, "end": []},
        {**good, "seconds": 10**400},
        {**good, "path": "/nowhere"},
        {**good, "body": []},
        {**good, "body": {}},
        {name: value for name, value in good.items() if name != "seconds"},
        [],
        None,
        7,
    ]
    lines = [json.dumps(value).encode() for value in wrong]
    return [*lines, json.dumps(good).encode()[:-9], b"\xff\xfe", b"", b"[" * 100_000, b"{"]


def test_damaged_lines_are_passed_over(path: Path) -> None:
    """Whatever stands in the file: the good lines count, once each, and new ones do not run into
    what was torn.
    """
    first = remembering(path)
    task = submit(first, example(PROVIDERS[0]))
    line = path.read_bytes().strip()
    bad = damaged(json.loads(line))
    path.write_bytes(b"\n".join([*bad, line, *bad, line, line[:-5]]))
    second = remembering(path)
    assert list(second.tasks) == list(first.tasks)
    assert second.bill == first.bill
    later = submit(second, example(PROVIDERS[-1]))
    assert {identity for _, identity in remembering(path).tasks} == {task.id, later.id}


def test_old_jobs_are_dropped(path: Path) -> None:
    """After seven days."""
    submit(remembering(path), example(PROVIDERS[0]))
    assert len(remembering(path, START + SECONDS_KEPT - 1).tasks) == 1
    assert len(remembering(path, START + SECONDS_KEPT + 1).tasks) == 0


def test_a_seed_makes_no_id_twice(path: Path) -> None:
    """A process with the same seed goes on with other ids than those it remembers."""
    ids = {submit(remembering(path, seed=1), example(PROVIDERS[0])).id for _ in range(3)}
    assert len(ids) == len(remembering(path).tasks) == 3


def test_a_disk_that_refuses_does_not_refuse_the_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The job is accepted, and the log says that it will not be remembered; a link is not
    followed.
    """
    target = tmp_path / "precious"
    target.write_text("mine", encoding="utf-8")
    (tmp_path / "link").symlink_to(target)
    for place in (tmp_path, tmp_path / "link"):
        simulator = new_simulator()
        remember(simulator, place)
        with caplog.at_level(logging.WARNING, "polyreel"):
            submit(simulator, example(PROVIDERS[0]))
        assert "cannot remember" in caplog.text
        assert simulator.bill.count() == 1
        caplog.clear()
    assert target.read_text(encoding="utf-8") == "mine"


def test_no_key_is_written(path: Path) -> None:
    """Nothing of the headers but an idempotency key."""
    submit(remembering(path), example(PROVIDERS[0]), Authorization="Bearer sk-CANARY-0001")
    assert "CANARY" not in path.read_text(encoding="utf-8")
