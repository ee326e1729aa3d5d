"""Event streams in the place of status queries, the whole way, embedded and over a port."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polyreel import AsyncClient, Job, Simulator
from polyreel.errors import PolyreelError
from polyreel.flows import NextEvent
from polyreel.jobs import waiting
from polyreel.simulator import RunningClock, VirtualClock, server
from polyreel_generated.contracts.vendors import VendorId
from support.faults import CANARIES, KINDS, Kind, every_kind
from support.streams import REQUEST, SPEED, STREAM_FAULTS, Scene, every_streamer
from support.waiting import HANGS


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path, None, Simulator(clock=VirtualClock(), seed=1)) as made:
        yield made


@pytest.fixture
def over_a_port(tmp_path: Path) -> Iterator[Scene]:
    simulator = Simulator(clock=RunningClock(SPEED), seed=1)
    with server.running(simulator) as url, Scene(tmp_path, url, simulator) as made:
        yield made


@pytest.fixture(params=["embedded", "over_a_port"])
def scene(request: pytest.FixtureRequest) -> Scene:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Scene)
    return made


@every_kind
@every_streamer
def test_nobody_is_asked(scene: Scene, vendor: VendorId, kind: Kind, tmp_path: Path) -> None:
    """One call from the submit to the end, each state as it comes, at the time at which it
    comes.
    """
    began = scene.simulator.clock.now()
    job = scene.generate(kind, vendor, tmp_path / "clips")
    (task,) = scene.simulator.tasks.values()
    assert job.status == "succeeded"
    assert [one.status for one in scene.received] == ["queued", "running", "succeeded"]
    assert scene.calls == ["POST"]
    assert scene.simulator.bill.count() == 1
    late = scene.simulator.clock.now() - began - task.seconds
    assert 0 <= late < (SPEED if isinstance(scene.simulator.clock, VirtualClock) else math.inf)
    assert Path((job.outputs or [])[0].path or "").stat().st_size > 1000
    (entry,) = scene.ledger.entries()
    assert (entry.state, entry.submission.send.stream) == ("saved", True)
    assert job.usage
    assert entry.job is not None
    assert (entry.job.status, entry.job.id) == ("succeeded", task.id)


@pytest.mark.matrix("scene+fault", "vendor", "kind")
@every_kind
@every_streamer
@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_a_stream_that_breaks_is_made_up_for(
    scene: Scene,
    vendor: VendorId,
    kind: Kind,
    fault: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The job is asked about as ever, and ends the same; it was paid once."""
    if isinstance(scene.simulator.clock, RunningClock):
        monkeypatch.setattr(waiting, "NextEvent", lambda seconds: NextEvent(seconds, quiet=0.1))
    scene.simulator.inject(fault)
    job = scene.generate(kind, vendor, tmp_path / "clips")
    assert (job.status, scene.simulator.fired) == ("succeeded", [(vendor, fault)])
    assert scene.calls[:2] == ["POST", "GET"]
    assert scene.calls.count("POST") == scene.simulator.bill.count() == 1
    assert [entry.state for entry in scene.ledger.entries()] == ["saved"]


@every_kind
@every_streamer
@pytest.mark.parametrize("end", ["failed"])
def test_an_end_that_is_no_success_is_heard_too(
    scene: Scene, vendor: VendorId, kind: Kind, end: str, tmp_path: Path
) -> None:
    """Without a question."""
    scene.simulator.script(vendor, end)
    with pytest.raises(PolyreelError) as caught:
        scene.generate(kind, vendor, tmp_path / "clips")
    assert caught.value.job is not None
    assert (caught.value.job.status, scene.calls) == ("failed", ["POST"])


@every_streamer
def test_a_submit_lets_its_stream_go(scene: Scene, vendor: VendorId) -> None:
    """The job is there after the first event, and is asked about like any other."""
    for kind in KINDS:
        made = scene.clients.by_kind[kind].plan(REQUEST, vendor, stream=True)
        job = scene.clients.do(kind, "submit", made)
        assert job.status == "queued"
        assert scene.clients.do(kind, "wait", job, timeout=HANGS * SPEED).status == "succeeded"
    assert scene.calls.count("POST") == scene.simulator.bill.count() == 2


@every_streamer
def test_thirty_streams_do_not_keep_each_other_waiting(vendor: VendorId, tmp_path: Path) -> None:
    """More than there are connections for other calls."""
    simulator = Simulator(clock=RunningClock(SPEED), seed=1)

    async def scene(url: str) -> list[Job]:
        base_urls = {one: url + mount for one, mount in server.mounts().items()}
        async with AsyncClient(keys=CANARIES, base_urls=base_urls) as client:
            client.wire.clock = RunningClock(SPEED)
            options: dict[str, Any] = {"stream": True, "output": tmp_path, "timeout": HANGS * SPEED}
            return await asyncio.gather(
                *(client.generate(REQUEST, vendor, **options) for _ in range(30))
            )

    with server.running(simulator) as url:
        done = asyncio.run(scene(url))
    assert {job.status for job in done} == {"succeeded"}
    assert [method for _, method, path in simulator.journal if "/outputs/" not in path] == [
        "POST"
    ] * 30
    assert simulator.bill.count() == len({job.id for job in done}) == 30
