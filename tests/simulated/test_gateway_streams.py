"""Event streams of a face, and webhooks of the vendors behind."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import pytest
from polyreel.providers.base.provider import Provider
from polyreel.simulator import RunningClock, Simulator, ready_made
from polyreel.simulator.webhooks import deliveries
from support.gateway import HOST, gateway, live_client
from support.server import PROVIDERS, calls, key_of
from support.swaps import asked, id_in, swaps
from support.webhooks import SECRET, SIGNED, STANDARD

STREAMING: Final = list(dict.fromkeys(provider for provider, _ in calls("stream")))


@pytest.fixture(autouse=True)
def ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the files is not what these tests are about."""
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)


@pytest.mark.parametrize("provider", STREAMING, ids=lambda one: one.id)
@pytest.mark.parametrize("end", ["succeeded", "failed"])
def test_a_stream_tells_of_each_state(provider: Provider, end: str, tmp_path: Path) -> None:
    """In the words of the face, to the end; and nothing of its examples."""
    streams = {one.spec.get("x-polyreel-streams"): one for _, one in calls("stream")}
    face, back, made = next(
        one for one in swaps() if one.face is provider and one.made.operation.id in streams
    )
    stream = streams[made.operation.id]
    simulator = Simulator(clock=RunningClock(1000.0), seed=1)
    with gateway(tmp_path, back, simulator=simulator) as stage:
        if end == "failed":
            simulator.script(back.id, "failed")
        headers = {**key_of(face), "Content-Type": "application/json"}
        reply = stage.handle(face.id, "POST", stream.full_path, headers, made.content)
        kind = str(reply.header("content-type")).partition(";")[0]
        assert (reply.status, kind) == (200, "text/event-stream")
        lines = [one for one in reply.content.decode().split("\n\n") if one.startswith("data: ")]
        facts = [face.facts(json.loads(one.removeprefix("data: "))) for one in lines]
        assert (facts[0].status, facts[-1].status) == ("queued", end)
        assert len({one.id for one in facts}) == 1
        assert bool(facts[-1].urls) is (end == "succeeded")
        if end == "failed":
            assert str(facts[-1].error_message).startswith(back.id)
        assert simulator.bill.count() == 1


@pytest.mark.parametrize("provider", STREAMING, ids=lambda one: one.id)
def test_an_unmodified_client_follows_a_stream(provider: Provider, tmp_path: Path) -> None:
    """polyreel's own, with its base URL changed."""
    streams = {one.spec.get("x-polyreel-streams") for _, one in calls("stream")}
    face, back, made = next(
        one for one in swaps() if one.face is provider and one.made.operation.id in streams
    )
    simulator = Simulator(clock=RunningClock(1000.0), seed=1)
    with gateway(tmp_path, back, simulator=simulator) as stage:

        async def finished() -> str:
            async with live_client(stage, face) as client:
                job = await client.generate(
                    {"model": made.model, "prompt": "a cat"},
                    face,
                    stream=True,
                    output=tmp_path / "clips",
                )
            return str((job.outputs or [])[0].path)

        assert Path(stage.run(finished())).read_bytes()[4:8] == b"ftyp"
        assert simulator.bill.count() == 1


def test_webhooks_of_the_vendor_behind_end_its_jobs(tmp_path: Path) -> None:
    """A signed one is believed: the client hears of the end without a query of the vendor."""
    vendor = next(one for one in STANDARD if one in SIGNED)
    back = next(one for one in PROVIDERS if one.id == vendor)
    swap = next(one for one in swaps() if one.back is back)
    with gateway(tmp_path, back, secrets={vendor: SECRET}) as stage:
        id_in(asked(stage, swap.made), swap.face)
        task = next(task for _, task in stage.simulator.tasks)
        stage.simulator.clock.sleep(1000)
        last = deliveries(stage.simulator, vendor, task, SECRET, time.time())[-1]
        sent = stage.call("POST", f"{HOST}/webhooks/{vendor}", last.headers, last.body)
        assert sent.status == 200
        assert stage.client.jobs()[0].state == "succeeded"
        forged = stage.call("POST", f"{HOST}/webhooks/{vendor}", last.headers, last.body + b" ")
        assert forged.status == 401
