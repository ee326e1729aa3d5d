"""Event streams without a socket: bytes to events, events to a job, and plans."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from polyreel import Client, Job, Simulator, plan
from polyreel.drivers import streams
from polyreel.drivers.streams import Events
from polyreel.flows import EVENT_STREAM, MAX_JSON_BYTES, NextEvent, Notify, Now, Reply, Send, Step
from polyreel.jobs import waiting
from polyreel.ledger.states import started
from polyreel.plans.planning import PlanRefusedError
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel_generated.contracts.vendors import VendorId
from support.faults import VENDORS, encoded, save
from support.streams import (
    NAMELESS,
    OTHERS,
    REQUEST,
    STREAMERS,
    events_of,
    every_streamer,
    reported,
)

# -- bytes to events -------------------------------------------------------------------------------


WORDS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
OTHER = st.builds(
    "{}{}".format, st.sampled_from([":", ": ", "event:", "id: ", "retry: ", "datum: ", "x"]), WORDS
)
EVENT = st.lists(WORDS.filter(lambda word: not word.startswith(" ")), min_size=1, max_size=3)


@st.composite
def stories(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream, and its events."""
    text, events = draw(st.sampled_from(["", "\ufeff"])), []
    for lines in draw(st.lists(EVENT, max_size=5)):
        for line in lines:
            noise = "".join(other + draw(ENDS) for other in draw(st.lists(OTHER, max_size=2)))
            text += noise + draw(st.sampled_from(["data:", "data: "])) + line + draw(ENDS)
        # An empty line needs an end that the one before it does not swallow.
        text += "\n" if text.endswith("\n") else "\r"
        events += ["\n".join(lines).encode()] if any(lines) or len(lines) > 1 else []
    return text.encode(), events


@given(stories(), st.lists(st.integers(0, 400), max_size=12))
@example((b"data: \xe2\x82\xac\r\n\r\n", [b"\xe2\x82\xac"]), list(range(12)))
def test_it_does_not_matter_how_the_bytes_are_cut(
    story: tuple[bytes, list[bytes]], cuts: list[int]
) -> None:
    """In the middle of a character, of a line end, or not at all: the same events."""
    text, events = story
    at = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert reported([text[start:end] for start, end in pairwise(at)]) == events
    assert reported([text]) == reported([bytes([byte]) for byte in text]) == events


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(noise: bytes) -> None:
    """Nothing is raised, whatever a server says; and an event is what a server said."""
    assert (
        all(event and event.replace(b"\n", b"") for event in reported([noise])) or b"data" in noise
    )


def test_the_last_event_needs_no_empty_line() -> None:
    """At the end of a stream; one that is cut off in it is no JSON, so it is nobody's."""
    parser = Events()
    assert list(parser.feed(b"data: 1\n\ndata: 2\ndata: 3")) == [b"1"]
    assert list(parser.rest()) == [b"2\n3"]
    assert list(parser.rest()) == []


@pytest.mark.parametrize(
    "piece", [b"data: " + b"x" * 60_000, b"data: " + b"x" * 60_000 + b"\n", b":" + b"x" * 60_000]
)
def test_events_have_a_size(piece: bytes) -> None:
    """Of one line, or of many; a comment that never ends is not kept either."""
    most = MAX_JSON_BYTES // 60_000 + 1
    with pytest.raises(ValueError, match="too large"):
        reported([piece] * most)
    assert reported([b":" + b"x" * 60_000 + b"\n"] * most) == []  # what is not kept has none


# -- plans -----------------------------------------------------------------------------------------


@every_streamer
def test_a_plan_shows_where_it_goes(vendor: VendorId) -> None:
    """Another URL and another header, the same body; and `choose` finds who can."""
    plain, made = plan(REQUEST, vendor), plan(REQUEST, vendor, stream=True)
    assert (plain.stream, made.stream) == (False, True)
    assert plain.url != made.url
    assert (made.content, made.method) == (plain.content, "POST")
    assert (made.step().url, made.step().stream, made.step().paid) == (made.url, True, True)
    assert made.step().headers["Accept"] == EVENT_STREAM
    assert Client().plan(REQUEST, stream=True).vendor in STREAMERS
    assert (
        Client(base_urls={vendor: "http://127.0.0.1:9/x"})
        .plan(REQUEST, vendor, stream=True)
        .url.startswith("http://127.0.0.1:9/x/")
    )


@pytest.mark.parametrize("vendor", OTHERS)
def test_who_has_no_stream_refuses(vendor: VendorId) -> None:
    """Before anything is sent, in the caller's words, with the vendors that have one."""
    simulator = Simulator()
    with Client(simulator=simulator) as client, pytest.raises(PlanRefusedError) as caught:
        client.generate(REQUEST, vendor, stream=True)
    (violation,) = caught.value.violations
    assert violation.field == "stream"
    assert f"{vendor} offers no event stream" in violation.message
    assert violation.served_by == tuple(STREAMERS)
    assert simulator.journal == []


@every_streamer
def test_local_files_do_not_go_with_a_stream(vendor: VendorId, tmp_path: Path) -> None:
    """Nobody documents that they do."""
    request = {"prompt": "x", "first_frame": str(save(tmp_path, "image/png"))}
    assert not plan(request, vendor).refused
    refused = plan(request, vendor, stream=True)
    assert ["pass URLs" in violation.message for violation in refused.violations] == [True]
    assert refused.parts == ()


@pytest.mark.parametrize("provider", all_providers().values(), ids=VENDORS)
def test_every_stream_names_its_twin(provider: Provider) -> None:
    """A create with the same bodies; no stream is left out."""
    contract = provider.contract
    assert set(contract.streams.values()) == {
        one for one in contract.operations.values() if one.role == "stream"
    }
    for plain, one in contract.streams.items():
        assert contract.operations[plain].role == "create"
        assert contract.operations[plain].request_schemas == one.request_schemas


# -- the reducer -----------------------------------------------------------------------------------


def stage(
    job: Job, events: list[bytes | None], answers: Callable[[Send], Reply]
) -> tuple[Job, list[Step]]:
    """Wait for a job whose stream says this, without I/O."""
    reported, steps, clock = iter(events), list[Step](), 1000.0
    outcome: Any = None
    flow = waiting.wait(job, timeout=600, stream=True)
    while True:
        try:
            step = flow.send(outcome)
        except StopIteration as stop:
            return stop.value, steps
        steps.append(step)
        outcome = None
        if isinstance(step, Now):
            outcome = clock
        elif isinstance(step, NextEvent):
            event = next(reported, None)
            outcome = None if event is None else Reply(200, {}, event)
        elif isinstance(step, Send):
            outcome = answers(step)
        else:
            clock += getattr(step, "seconds", 0.0)


@every_streamer
def test_what_makes_no_sense_tells_nothing(vendor: str) -> None:
    """Other tasks' events, nonsense, odd words and late events change nothing; an empty one asks
    once.
    """
    first, second, last = events_of(vendor)
    facts = get_provider(vendor).facts(json.loads(first))
    job = started(
        facts, vendor=vendor, model="m", workflow="text-to-video", simulated=True, seconds=0.0
    )
    other = encoded({**json.loads(last), "id": "another"})
    odd = encoded({**json.loads(first), "status": "PONDERING"})
    events = [
        other,
        b"[DONE]",
        b"{}",
        b"[]",
        b"\xff",
        b'{"id": 7}',
        NAMELESS,
        second,
        b"",
        first,
        last,
        other,
    ]
    done, steps = stage(job, list(events), lambda _: Reply(200, {}, second))
    assert done.status == "succeeded"
    assert done.outputs
    assert sum(isinstance(step, Send) for step in steps) == 1
    assert sum(isinstance(step, NextEvent) for step in steps) == len(events) - 1
    assert [step.event.id for step in steps if isinstance(step, Notify)] == [job.id] * 4
    done, steps = stage(job, [odd, None], lambda _: Reply(200, {}, last))
    assert done.status == "succeeded"
    assert [type(step) for step in steps].count(NextEvent) == 2
    assert [type(step) for step in steps].count(Send) == 1


def test_the_limits_are_those_of_the_vendors_own_client() -> None:
    """120 seconds of silence (Mar 2026); and streams take connections that nobody waits for."""
    assert NextEvent(1).quiet == 120
    assert streams.USE == "download"
