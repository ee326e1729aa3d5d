"""What can be seen of calls and jobs: the log, hooks, and nothing that has to stay secret."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polyreel import Client, Job
from polyreel.drivers.hooks import CallEnded, FlowEnded, HookEvent
from polyreel.flows import Reply
from polyreel.jobs.observed import JobEnded, SubmitBegan, SubmitEnded
from polyreel.places import get, put
from polyreel.providers.base.registry import get_provider
from polyreel_generated.contracts.vendors import VendorId
from support.faults import (
    CANARIES,
    Clients,
    FaultServer,
    Kind,
    accepted,
    encoded,
    every_kind,
    every_vendor,
    http,
    plans,
)
from support.files import mp4
from support.stage import Stage, every_with_links_in_states, reply, submit, wait

SIGNATURES = ("SIGNED-0", "hmac=SIGNED-1", "SIGNED-2" + 40 * "x")
"""What opens a link: in its query, and in parts of its path."""


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_vendor
def test_a_whole_generate_is_in_the_log(
    vendor: str, kind: Kind, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each call on one line at DEBUG; the submit and the end at INFO; hooks are told the same."""
    events: list[HookEvent] = []
    caplog.set_level(logging.DEBUG, "polyreel")
    with Clients(hooks=[events.append]) as pair:
        job: Job = pair.do(kind, "generate", {"prompt": "a cat"}, vendor, output=tmp_path)
    lines = [(one.levelname, one.getMessage()) for one in caplog.records if one.name == "polyreel"]
    assert all("\n" not in line for _, line in lines)
    calls = [event for event in events if isinstance(event, CallEnded)]
    assert len([line for level, line in lines if level == "DEBUG"]) == len(calls) > 2
    assert calls[0].method == "POST"
    assert re.match(f"{vendor} POST {re.escape(calls[0].url)}: 20[02] in ", lines[0][1])
    assert [line for level, line in lines if level == "INFO"] == [
        f"{vendor} accepted {job.id} ({job.model}, {job.workflow}, simulated)",
        f"{vendor} {job.id}: succeeded after {round(events_of(events, JobEnded)[0].seconds)} s",
    ]
    kinds = [type(event) for event in events if not isinstance(event, CallEnded)]
    assert kinds == [SubmitBegan, SubmitEnded, JobEnded, FlowEnded]


def events_of(events: list[HookEvent], kind: Any) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.matrix("vendor", "kind")
@every_kind
@every_with_links_in_states
def test_nothing_secret_is_seen(
    server: FaultServer,
    vendor: VendorId,
    kind: Kind,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither a key that an answer repeats nor a signed link, in the log and in events."""
    caplog.set_level(logging.WARNING, "httpcore")  # shows headers that a server repeats
    caplog.set_level(logging.DEBUG, "polyreel")
    events: list[HookEvent] = []
    made = next(iter(plans(vendor).values()))
    place = f"{server.url.removeprefix('http://')}/{SIGNATURES[1]}/{SIGNATURES[2]}/clip.mp4"
    done = json.loads(reply(vendor, "succeeded").content)
    spot = get_provider(vendor).reads.outputs[0]
    link = f"http://{place}?sig={SIGNATURES[0]}"
    put(done, spot, linked(get(done, spot), link))
    named = {"x-request-id": f"id-{CANARIES[vendor]}"}
    server.play(
        http(200, accepted(vendor, made), named),
        http(200, encoded(done), named),
        http(200, mp4(b"mdat" * 200), {"content-type": "video/mp4"}),
    )
    settings: dict[str, Any] = {"keys": CANARIES, "base_urls": {vendor: server.url}}
    with Clients(hooks=[events.append], **settings).hurry() as pair:
        pair.by_kind[kind].wire.private_downloads = True
        job = pair.do(kind, "submit", pair.by_kind[kind].plan({"prompt": "a cat"}, vendor))
        done_job = pair.do(kind, "wait", job)
        pair.do(kind, "download", done_job, tmp_path)
    lines = [one.getMessage() for one in caplog.records if one.name == "polyreel"]
    assert len([line for line in lines if " GET " in line]) >= 2
    calls = events_of(events, CallEnded)
    for text in (*lines, *map(str, calls)):
        assert "CANARY" not in text
        assert "SIGNED" not in text


def linked(found: Any, link: str) -> Any:
    """What a vendor's place of links holds, with another link: a list of them, objects, or one."""
    if isinstance(found, list):
        return [linked(found[0], link)]
    return {**found, "url": link} if isinstance(found, dict) else link


@every_vendor
def test_a_failed_submit_is_in_the_log(
    server: FaultServer, vendor: VendorId, caplog: pytest.LogCaptureFixture
) -> None:
    """As refused, or as something that may be billed."""
    caplog.set_level(logging.INFO, "polyreel")
    with Clients(keys=CANARIES, base_urls={vendor: server.url}) as pair:
        server.play(http(500, b"{}"))
        with pytest.raises(Exception, match="may have been accepted"):
            pair.do("blocking", "submit", pair.by_kind["blocking"].plan({"prompt": "a"}, vendor))
    assert f"{vendor} may have accepted and billed a submit (HTTP 500)" in caplog.text


def test_a_hook_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def hook(event: HookEvent) -> None:
        raise ValueError("sk-" + "CANARY")

    client = Client(hooks=[hook])
    assert client.wait(client.submit(client.plan({"prompt": "a"}))).status == "succeeded"
    assert "a hook failed: ValueError" in caplog.text


@every_vendor
def test_progress_never_falls_and_is_whole_only_at_success(vendor: str) -> None:
    """Whatever vendors say: 100 % before the end, less than before, or nothing."""
    place = get_provider(vendor).reads.progress

    def says(progress: object, status: str = "running") -> Reply:
        body = json.loads(reply(vendor, status).content)
        for spot in place:
            put(body, spot, progress)
        return Reply(200, {}, encoded(body))

    said = [20, 50, 30, None, 100, "100%", 10]
    for end in ("succeeded", "failed"):
        stage = Stage([*(says(one) for one in said), says(100, end)])
        job = wait(stage, submit(vendor))
        assert job.status == end
        reported = [one.progress or 0.0 for one in stage.reported]
        assert reported == sorted(reported)
        assert [one for one in reported if one >= 1] == ([1.0] if end == "succeeded" else [])
