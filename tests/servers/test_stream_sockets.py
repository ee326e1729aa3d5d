"""Event streams over a socket: what names a task, what is heard, and what holds nobody."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest
from attrs import evolve
from polyreel import AsyncClient, drivers
from polyreel.errors import (
    AmbiguousError,
    NeverSentError,
    RejectedError,
    SubmitError,
    TransportError,
)
from polyreel.flows import EVENT_STREAM, MAX_JSON_BYTES, Flow, NextEvent
from polyreel.plans.planning import Plan
from polyreel_generated.contracts.vendors import VendorId
from support.faults import (
    CANARIES,
    CLOSE,
    RESET,
    SILENCE,
    VENDORS,
    Answer,
    Clients,
    FaultServer,
    Kind,
    drip,
    encoded,
    every_kind,
    http,
    hurry,
    raw,
    stopwatch,
)
from support.streams import (
    CHUNKED,
    HEAD,
    NAMELESS,
    REQUEST,
    events_of,
    every_streamer,
    said,
    slowly,
)
from support.waiting import DEADLINES, HANGS, until

# -- a real socket ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loopback() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(scope="module")
def clients(loopback: FaultServer) -> Iterator[Clients]:
    with Clients(keys=CANARIES, base_urls=dict.fromkeys(VENDORS, loopback.url)) as pair:
        yield pair


def streaming(clients: Clients, vendor: VendorId) -> Plan:
    return clients.by_kind["blocking"].plan(REQUEST, vendor, stream=True)


UNREPORTED: Final[dict[str, Answer]] = {
    "reset": RESET,
    "close": CLOSE,
    "silence": SILENCE,
    "html": http(200, b"<html>One moment, please.</html>", {"Content-Type": "text/html"}),
    "empty": raw(HEAD),
    "comments": raw(HEAD + b": hello\n\n: hello\n\n"),
    "comments that never end": drip(HEAD, b": x\n\n"),
    "an event that never ends": drip(HEAD, b"data: x"),
    "an event cut off": raw(HEAD + b'data: {"id": "task-1", "sta'),
    "a chunk cut off": raw(CHUNKED + b'80\r\ndata: {"id": "task-1", "sta', then="reset"),
    "nameless": raw(HEAD + said(NAMELESS)),
    "nameless and silent": raw(HEAD + said(NAMELESS, NAMELESS), then="stay"),
    "not JSON": raw(HEAD + said(b"[DONE]")),
    "too large": raw(HEAD + b"data: " + b"x" * (MAX_JSON_BYTES + 1)),
    "compressed": raw(HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n" + said(b'{"id": "task-1"}')),
    "redirected": http(307, b"", {"Location": "/elsewhere"}),
    "500": http(500, b"{}"),
}


ENDLESS: Final = {
    "silence",
    "comments that never end",
    "an event that never ends",
    "nameless and silent",
}
"""Answers that only the deadline of the call ends."""


@pytest.mark.matrix("vendor", "kind", "name")
@every_kind
@every_streamer
@pytest.mark.parametrize("name", UNREPORTED)
def test_a_stream_that_names_no_task_is_ambiguous(
    clients: Clients,
    loopback: FaultServer,
    monkeypatch: pytest.MonkeyPatch,
    vendor: VendorId,
    kind: Kind,
    name: str,
) -> None:
    """However it fails; at the deadline where nothing else ends it, and without a second call."""
    for deadline in DEADLINES if name in ENDLESS else [HANGS]:
        hurry(monkeypatch, deadline)
        loopback.play(UNREPORTED[name])
        with pytest.raises(SubmitError) as caught:
            clients.do(kind, "submit", streaming(clients, vendor))
        if type(caught.value) is not NeverSentError:
            break
    assert isinstance(caught.value, AmbiguousError)
    assert caught.value.billed == "maybe"
    until(lambda: loopback.posts == loopback.connections == 1)
    assert loopback.requests[0].headers["accept"] == EVENT_STREAM


@every_kind
@every_streamer
def test_other_answers_are_what_they_always_are(
    clients: Clients, loopback: FaultServer, vendor: VendorId, kind: Kind
) -> None:
    """A refusal is one, an unreachable vendor was sent nothing, and a whole answer with an id is a
    job.
    """
    made, (first, *_) = streaming(clients, vendor), events_of(vendor)
    loopback.play(http(402, encoded({"code": "INSUFFICIENT_CREDITS", "message": "no credits"})))
    with pytest.raises(RejectedError, match="no credits"):
        clients.do(kind, "submit", made)
    loopback.play(http(200, first))
    assert clients.do(kind, "submit", made).id == json.loads(first)["id"]
    assert loopback.posts == 1
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    lost = evolve(made, base_url=f"http://127.0.0.1:{port}")
    with (
        Clients(keys=CANARIES, base_urls={vendor: lost.base_url}) as nowhere,
        pytest.raises(NeverSentError),
    ):
        nowhere.do(kind, "submit", lost)


@every_kind
@every_streamer
@pytest.mark.parametrize("framing", [HEAD, CHUNKED])
def test_the_first_event_with_an_id_is_the_answer(
    clients: Clients, loopback: FaultServer, vendor: VendorId, kind: Kind, framing: bytes
) -> None:
    """Whatever came before it; and the stream is let go, with nothing else sent."""
    gone = threading.Event()

    def listen(connection: socket.socket, stop: threading.Event) -> None:
        with suppress(OSError):
            connection.recv(1)
        gone.set()

    first = events_of(vendor)[0]
    pieces = [b": hello\n\n", said(NAMELESS), said(first)]
    sent = (
        pieces if framing is HEAD else [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    )
    loopback.play(slowly((0, framing), *((0.03, piece) for piece in sent), then=Answer(listen)))
    job = clients.do(kind, "submit", streaming(clients, vendor))
    assert (job.id, job.status) == (json.loads(first)["id"], "queued")
    assert gone.wait(HANGS)
    assert loopback.posts == len(loopback.requests) == 1


@every_kind
@every_streamer
def test_no_text_shows_the_key(
    clients: Clients, loopback: FaultServer, vendor: VendorId, kind: Kind
) -> None:
    """A vendor that repeats it in an event does not get it into stored jobs, nor into errors."""
    seen = {"authorization": f"Bearer {CANARIES[vendor]}"}
    event = encoded({**json.loads(events_of(vendor)[0]), "seen": seen})
    loopback.play(raw(HEAD + said(event)))
    job = clients.do(kind, "submit", streaming(clients, vendor))
    assert job.raw["seen"] == {"authorization": "Bearer ****"}
    loopback.play(raw(HEAD + said(encoded({"message": CANARIES[vendor]}))))
    with pytest.raises(AmbiguousError) as caught:
        clients.do(kind, "submit", streaming(clients, vendor))
    frames = [frame for frame in _frames(caught.value) if "polyreel" in frame]
    assert CANARIES[vendor] not in "".join([repr(job), str(caught.value), *frames])


def _frames(error: BaseException) -> Iterator[str]:
    trace = error.__traceback__
    while trace is not None:
        if "adapters" in trace.tb_frame.f_code.co_filename:
            yield f"polyreel {trace.tb_frame.f_locals}"
        trace = trace.tb_next


# -- listening -------------------------------------------------------------------------------------


def listened(
    clients: Clients, kind: Kind, made: Plan, *steps: NextEvent, deadline: float = HANGS
) -> list[bytes | None]:
    """What a flow gets that opens a stream and hears this often."""

    def flow() -> Flow[list[bytes | None]]:
        replies = [(yield evolve(made.step(), deadline=deadline))]
        for step in steps:
            replies.append((yield step))  # noqa: PERF401
        return [reply and reply.content for reply in replies]

    wire = clients.by_kind[kind].wire
    if kind == "blocking":
        return drivers.run(flow(), wire)
    return clients.runner.run(drivers.arun(flow(), wire))


@every_kind
@every_streamer
def test_a_stream_outlives_the_first_deadline(
    clients: Clients, loopback: FaultServer, vendor: VendorId, kind: Kind
) -> None:
    """Its later events come when they come; the end of the stream is None, as often as it is asked
    for.
    """
    for deadline in DEADLINES:
        loopback.play(
            slowly(
                (0, HEAD + said(b"1", b"2")), (deadline + 0.1, said(b"3") + b"data: 4"), then=CLOSE
            )
        )
        with suppress(TransportError):  # the machine was too slow for the first event
            received = listened(
                clients,
                kind,
                streaming(clients, vendor),
                *[NextEvent(2 * HANGS)] * 5,
                deadline=deadline,
            )
            break
    assert received == [b"1", b"2", b"3", b"4", None, None]


@every_kind
@every_streamer
@pytest.mark.parametrize(
    ("answer", "step", "expected"),
    [
        (slowly((0, HEAD + said(b"1"))), NextEvent(HANGS, quiet=0.12), [b"1", None, None]),
        (slowly((0, HEAD + said(b"1"))), NextEvent(0.12), [b"1", None, None]),
        (drip(HEAD + said(b"1")), NextEvent(0.12), [b"1", None, None]),
        (
            drip(CHUNKED + b"9\r\n" + said(b"1"), b"0"),
            NextEvent(HANGS, quiet=0.12),
            [b"1", None, None],
        ),
        (drip(HEAD + said(b"1"), b":\n"), NextEvent(HANGS, quiet=0.12), [b"1", b"", b""]),
        (
            slowly((0, HEAD + said(b"1") + b"data: 2"), then=RESET),
            NextEvent(HANGS),
            [b"1", None, None],
        ),
        (
            raw(HEAD + said(b"1") + b"data: " + b"x" * (MAX_JSON_BYTES + 1)),
            NextEvent(HANGS),
            [b"1", None, None],
        ),
    ],
    ids=["silence", "no time left", "drip", "dripping frame", "comments", "reset", "too large"],
)
def test_a_stream_holds_nobody(
    clients: Clients,
    loopback: FaultServer,
    vendor: VendorId,
    kind: Kind,
    answer: Answer,
    step: NextEvent,
    expected: list[bytes | None],
) -> None:
    """Silence, drips and breaks end the listening; comments are a sign of life, and no news."""
    for times in (1, 10, 100):  # a server on a slow machine drips slowly
        loopback.play(answer)
        patient = evolve(step, quiet=step.quiet * times)
        with stopwatch() as seconds:
            received = listened(clients, kind, streaming(clients, vendor), patient, patient)
        if received == expected:
            break
    assert received == expected
    assert seconds() < HANGS


@every_kind
@every_streamer
def test_no_stream_is_no_news(
    clients: Clients, loopback: FaultServer, vendor: VendorId, kind: Kind
) -> None:
    """After a refusal there is nothing to hear, and a second call takes the place of the first
    stream.
    """
    made = streaming(clients, vendor)
    loopback.play(http(400, b"{}"))
    assert listened(clients, kind, made, NextEvent(5)) == [b"{}", None]
    loopback.play(slowly((0, HEAD + said(b"1"))), slowly((0, HEAD + said(b"2"))))

    def flow() -> Flow[list[Any]]:
        replies = []
        for step in (made.step(), made.step(), NextEvent(0.1)):
            replies.append((yield step))  # noqa: PERF401
        return [reply and reply.content for reply in replies]

    wire = clients.by_kind[kind].wire
    run = (
        drivers.run(flow(), wire)
        if kind == "blocking"
        else clients.runner.run(drivers.arun(flow(), wire))
    )
    assert run == [b"1", b"2", None]


@every_streamer
def test_a_task_that_is_cancelled_lets_its_stream_go(
    loopback: FaultServer, vendor: VendorId
) -> None:
    """In the middle of listening: the connection is closed."""
    gone, first = threading.Event(), events_of(vendor)[0]

    def listen(connection: socket.socket, stop: threading.Event) -> None:
        with suppress(OSError):
            connection.recv(1)
        gone.set()

    async def scene() -> None:
        async with AsyncClient(keys=CANARIES, base_urls={vendor: loopback.url}) as client:
            received = asyncio.Event()
            client.wire.listener = lambda job: received.set()
            task = asyncio.create_task(client.generate(REQUEST, vendor, stream=True))
            await received.wait()
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    loopback.play(slowly((0, HEAD + said(first)), then=Answer(listen)))
    asyncio.run(scene())
    assert gone.wait(HANGS)
