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
from polyreel.errors import AmbiguousError, NeverSentError, RejectedError
from polyreel.flows import EVENT_STREAM, MAX_JSON_BYTES, Flow, NextEvent
from polyreel.plans.planning import Plan
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

# -- a real socket ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loopback() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture(scope="module")
def clients(loopback: FaultServer) -> Iterator[Clients]:
    with Clients(keys=CANARIES, base_urls=dict.fromkeys(VENDORS, loopback.url)) as pair:
        yield pair


def streaming(clients: Clients, vendor: str) -> Plan:
    return clients.by_kind["blocking"].plan(REQUEST, vendor, stream=True)


UNTOLD: Final[dict[str, Answer]] = {
    "reset": RESET,
    "close": CLOSE,
    "silence": SILENCE,
    "html": http(200, b"<html>One moment, please.</html>", {"Content-Type": "text/html"}),
    "empty": raw(HEAD),
    "comments": raw(HEAD + b": hello\n\n: hello\n\n"),
    "comments that never end": slowly((0, HEAD), *[(0.02, b": x\n\n")] * 100),
    "an event that never ends": slowly((0, HEAD), *[(0.02, b"data: x")] * 100),
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


@pytest.mark.matrix("vendor", "kind", "name")
@every_kind
@every_streamer
@pytest.mark.parametrize("name", UNTOLD)
def test_a_stream_that_names_no_task_is_ambiguous(
    clients: Clients,
    loopback: FaultServer,
    monkeypatch: pytest.MonkeyPatch,
    vendor: str,
    kind: Kind,
    name: str,
) -> None:
    """However it fails; in time, and without a second call."""
    hurry(monkeypatch, 0.3)
    loopback.play(UNTOLD[name])
    with stopwatch() as seconds, pytest.raises(AmbiguousError) as caught:
        clients.do(kind, "submit", streaming(clients, vendor))
    assert seconds() < 1.5
    assert caught.value.billed == "maybe"
    assert loopback.posts == loopback.connections == 1
    assert loopback.requests[0].headers["accept"] == EVENT_STREAM


@every_kind
@every_streamer
def test_other_answers_are_what_they_always_are(
    clients: Clients, loopback: FaultServer, vendor: str, kind: Kind
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
    clients: Clients, loopback: FaultServer, vendor: str, kind: Kind, framing: bytes
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
    assert gone.wait(2)
    assert loopback.posts == len(loopback.requests) == 1


@every_kind
@every_streamer
def test_no_text_shows_the_key(
    clients: Clients, loopback: FaultServer, vendor: str, kind: Kind
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
    clients: Clients, kind: Kind, made: Plan, *steps: NextEvent, deadline: float = 0.3
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
    clients: Clients, loopback: FaultServer, vendor: str, kind: Kind
) -> None:
    """Its later events come when they come; the end of the stream is None, as often as it is asked
    for.
    """
    loopback.play(slowly((0, HEAD + said(b"1", b"2")), (0.4, said(b"3") + b"data: 4"), then=CLOSE))
    heard = listened(clients, kind, streaming(clients, vendor), *[NextEvent(5)] * 5)
    assert heard == [b"1", b"2", b"3", b"4", None, None]


@every_kind
@every_streamer
@pytest.mark.parametrize(
    ("answer", "step", "expected", "most"),
    [
        (slowly((0, HEAD + said(b"1"))), NextEvent(9, quiet=0.12), [b"1", None, None], 0.6),
        (slowly((0, HEAD + said(b"1"))), NextEvent(0.12), [b"1", None, None], 0.6),
        (
            slowly((0, HEAD + said(b"1")), *[(0.02, b"x")] * 200),
            NextEvent(0.12),
            [b"1", None, None],
            0.6,
        ),
        (
            slowly((0, CHUNKED + b"9\r\n" + said(b"1")), *[(0.02, b"0")] * 99),
            NextEvent(9, quiet=0.12),
            [b"1", None, None],
            1,
        ),
        (
            slowly((0, HEAD + said(b"1")), *[(0.02, b":\n")] * 200),
            NextEvent(9, quiet=0.12),
            [b"1", b"", b""],
            0.8,
        ),
        (
            slowly((0, HEAD + said(b"1") + b"data: 2"), then=RESET),
            NextEvent(9),
            [b"1", None, None],
            0.6,
        ),
        (
            raw(HEAD + said(b"1") + b"data: " + b"x" * (MAX_JSON_BYTES + 1)),
            NextEvent(9),
            [b"1", None, None],
            1.5,
        ),
    ],
    ids=["silence", "no time left", "drip", "dripping frame", "comments", "reset", "too large"],
)
def test_a_stream_holds_nobody(
    clients: Clients,
    loopback: FaultServer,
    vendor: str,
    kind: Kind,
    answer: Answer,
    step: NextEvent,
    expected: list[bytes | None],
    most: float,
) -> None:
    """Silence, drips and breaks end the listening in time; comments are a sign of life, and no
    news.
    """
    loopback.play(answer)
    with stopwatch() as seconds:
        assert listened(clients, kind, streaming(clients, vendor), step, step) == expected
    assert seconds() < most


@every_kind
@every_streamer
def test_no_stream_is_no_news(
    clients: Clients, loopback: FaultServer, vendor: str, kind: Kind
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
def test_a_task_that_is_cancelled_lets_its_stream_go(loopback: FaultServer, vendor: str) -> None:
    """In the middle of listening: the connection is closed."""
    gone, first = threading.Event(), events_of(vendor)[0]

    def listen(connection: socket.socket, stop: threading.Event) -> None:
        with suppress(OSError):
            connection.recv(1)
        gone.set()

    async def scene() -> None:
        async with AsyncClient(keys=CANARIES, base_urls={vendor: loopback.url}) as client:
            heard = asyncio.Event()
            client.wire.listener = lambda job: heard.set()
            task = asyncio.create_task(client.generate(REQUEST, vendor, stream=True))
            await heard.wait()
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    loopback.play(slowly((0, HEAD + said(first)), then=Answer(listen)))
    asyncio.run(scene())
    assert gone.wait(2)
