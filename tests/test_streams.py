"""Event streams in the place of questions: one paid call, its task id on file first, and a stream that may break."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st
from polyreel import AsyncClient, Client, Job, Simulator, drivers, plan
from polyreel.drivers import streams
from polyreel.drivers.streams import Events
from polyreel.errors import (
    AmbiguousError,
    NeverSentError,
    PolyreelError,
    RejectedError,
    SubmitError,
)
from polyreel.flows import (
    EVENT_STREAM,
    MAX_JSON_BYTES,
    Flow,
    NextEvent,
    Notify,
    Now,
    Reply,
    Send,
    Step,
)
from polyreel.jobs import waiting
from polyreel.ledger.sqlite import Ledger
from polyreel.ledger.states import started
from polyreel.plans.planning import Plan, PlanRefusedError
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import FAULTS, RunningClock, VirtualClock, server
from support.faults import (
    CANARIES,
    CLOSE,
    KINDS,
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
    save,
    stopwatch,
)

STREAMERS: Final = [vendor for vendor in VENDORS if get_provider(vendor).contract.streams]
OTHERS: Final = [vendor for vendor in VENDORS if vendor not in STREAMERS]
REQUEST: Final = {"prompt": "a cat", "duration": 3, "resolution": "720p", "audio": False}
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"
CHUNKED: Final = HEAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
STREAM_FAULTS: Final = [name for name, fault in FAULTS.items() if fault.call == "stream"]
SUBMIT_FAULTS: Final = [name for name, fault in FAULTS.items() if fault.call == "submit"]
SPEED: Final = 400.0

every_streamer = pytest.mark.parametrize("vendor", STREAMERS)


def events_of(vendor: str, end: str = "succeeded") -> list[bytes]:
    """The documented events of a stream."""
    contract = get_provider(vendor).contract
    operation = next(iter(contract.streams.values()))
    text = next(
        b for _, kind, name, b in contract.replies(operation) if (kind, name) == (EVENT_STREAM, end)
    )
    return [
        line.removeprefix("data:").strip().encode()
        for line in text.splitlines()
        if line.startswith("data:")
    ]


def said(*events: bytes) -> bytes:
    return b"".join(b"data: " + event + b"\n\n" for event in events)


# -- bytes to events -----------------------------------------------------------------------------------

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


def told(pieces: list[bytes]) -> list[bytes]:
    parser = Events()
    return [event for piece in pieces for event in parser.feed(piece)]


@given(stories(), st.lists(st.integers(0, 400), max_size=12))
@example((b"data: \xe2\x82\xac\r\n\r\n", [b"\xe2\x82\xac"]), list(range(12)))
def test_it_does_not_matter_how_the_bytes_are_cut(
    story: tuple[bytes, list[bytes]], cuts: list[int]
) -> None:
    """In the middle of a character, of a line end, or not at all: the same events."""
    text, events = story
    at = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert told([text[start:end] for start, end in pairwise(at)]) == events
    assert told([text]) == told([bytes([byte]) for byte in text]) == events


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(noise: bytes) -> None:
    """Nothing is raised, whatever a server says; and an event is what a server said."""
    assert all(event and event.replace(b"\n", b"") for event in told([noise])) or b"data" in noise


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
        told([piece] * most)
    assert told([b":" + b"x" * 60_000 + b"\n"] * most) == []  # what is not kept has none


# -- plans ---------------------------------------------------------------------------------------------


@every_streamer
def test_a_plan_shows_where_it_goes(vendor: str) -> None:
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
def test_who_has_no_stream_refuses(vendor: str) -> None:
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
def test_local_files_do_not_go_with_a_stream(vendor: str, tmp_path: Path) -> None:
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


# -- a real socket -------------------------------------------------------------------------------------


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


def slowly(*pieces: tuple[float, bytes], then: Answer = SILENCE) -> Answer:
    """Pieces of an answer, each after a pause."""

    def act(connection: socket.socket, stop: threading.Event) -> None:
        with suppress(OSError):
            for pause, piece in pieces:
                stop.wait(pause)
                connection.sendall(piece)
            then.act(connection, stop)

    return Answer(act)


NAMELESS: Final = b'{"hello": "world"}'
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
    """A refusal is one, an unreachable vendor was sent nothing, and a whole answer with an id is a job."""
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


# -- listening -----------------------------------------------------------------------------------------


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
    """Its later events come when they come; the end of the stream is None, as often as it is asked for."""
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
    """Silence, drips and breaks end the listening in time; comments are a sign of life, and no news."""
    loopback.play(answer)
    with stopwatch() as seconds:
        assert listened(clients, kind, streaming(clients, vendor), step, step) == expected
    assert seconds() < most


@every_kind
@every_streamer
def test_no_stream_is_no_news(
    clients: Clients, loopback: FaultServer, vendor: str, kind: Kind
) -> None:
    """After a refusal there is nothing to hear, and a second call takes the place of the first stream."""
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


# -- the whole way -------------------------------------------------------------------------------------


class Scene:
    """A simulated vendor, both clients, a ledger, and what they heard."""

    def __init__(self, path: Path, url: str | None, simulator: Simulator) -> None:
        self.simulator, self.ledger, self.heard = (
            simulator,
            Ledger(path / "ledger.sqlite3"),
            list[Job](),
        )
        settings: dict[str, Any] = {"ledger": self.ledger, "listener": self.heard.append}
        if url is None:
            settings["simulator"] = simulator
        else:
            base_urls = {vendor: url + mount for vendor, mount in server.mounts().items()}
            settings |= {"keys": CANARIES, "base_urls": base_urls, "call_timeout": 0.5}
        self.clients = Clients(**settings)
        for client in self.clients.by_kind.values():
            client.wire.clock = simulator.clock

    def generate(self, kind: Kind, vendor: str, folder: Path, **options: Any) -> Job:
        made = self.clients.by_kind[kind].plan(REQUEST, vendor, stream=True)
        job = self.clients.do(kind, "generate", made, output=folder, **options)
        assert isinstance(job, Job)
        return job

    @property
    def calls(self) -> list[str]:
        """All but downloads."""
        return [
            method for _, method, path in self.simulator.journal if not path.startswith("/outputs/")
        ]

    def __enter__(self) -> Self:
        self.clients.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.clients.__exit__()
        self.ledger.close()


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
def test_nobody_is_asked(scene: Scene, vendor: str, kind: Kind, tmp_path: Path) -> None:
    """One call from the submit to the end, each state as it comes, at the time at which it comes."""
    began = scene.simulator.clock.now()
    job = scene.generate(kind, vendor, tmp_path / "clips")
    (task,) = scene.simulator.tasks.values()
    assert job.status == "succeeded"
    assert [one.status for one in scene.heard] == ["queued", "running", "succeeded"]
    assert scene.calls == ["POST"]
    assert scene.simulator.bill.count() == 1
    assert 0 <= scene.simulator.clock.now() - began - task.seconds < SPEED
    assert Path((job.outputs or [])[0].path or "").stat().st_size > 1000
    (entry,) = scene.ledger.entries()
    assert (entry.state, entry.submission.send.stream) == ("saved", True)
    assert job.usage
    assert entry.job is not None
    assert (entry.job.status, entry.job.id) == ("succeeded", task.id)


@every_kind
@every_streamer
@pytest.mark.parametrize("fault", STREAM_FAULTS)
def test_a_stream_that_breaks_is_made_up_for(
    scene: Scene,
    vendor: str,
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
@pytest.mark.parametrize("fault", SUBMIT_FAULTS)
def test_the_bill_is_one_at_most(embedded: Scene, vendor: str, kind: Kind, fault: str) -> None:
    """Every fault of submits meets streams too: never a second call, and what is billed is told."""
    embedded.simulator.inject(fault)
    made, billed = embedded.clients.by_kind[kind].plan(REQUEST, vendor, stream=True), "yes"
    try:
        embedded.clients.do(kind, "submit", made)
    except SubmitError as error:
        billed = error.billed
    assert embedded.calls.count("POST") <= 1
    assert embedded.simulator.bill.count() == FAULTS[fault].accepted
    assert billed in ({"yes", "maybe"} if FAULTS[fault].accepted else {"no", "maybe"})


@every_kind
@every_streamer
@pytest.mark.parametrize("end", ["failed"])
def test_an_end_that_is_no_success_is_heard_too(
    scene: Scene, vendor: str, kind: Kind, end: str, tmp_path: Path
) -> None:
    """Without a question."""
    scene.simulator.script(vendor, end)
    with pytest.raises(PolyreelError) as caught:
        scene.generate(kind, vendor, tmp_path / "clips")
    assert caught.value.job is not None
    assert (caught.value.job.status, scene.calls) == ("failed", ["POST"])


@every_streamer
def test_a_submit_lets_its_stream_go(scene: Scene, vendor: str) -> None:
    """The job is there after the first event, and is asked about like any other."""
    for kind in KINDS:
        made = scene.clients.by_kind[kind].plan(REQUEST, vendor, stream=True)
        job = scene.clients.do(kind, "submit", made)
        assert job.status == "queued"
        assert scene.clients.do(kind, "wait", job).status == "succeeded"
    assert scene.calls.count("POST") == scene.simulator.bill.count() == 2


@every_streamer
def test_thirty_streams_do_not_keep_each_other_waiting(vendor: str, tmp_path: Path) -> None:
    """More than there are connections for other calls."""
    simulator = Simulator(clock=RunningClock(SPEED), seed=1)

    async def scene(url: str) -> list[Job]:
        base_urls = {one: url + mount for one, mount in server.mounts().items()}
        async with AsyncClient(keys=CANARIES, base_urls=base_urls) as client:
            client.wire.clock = RunningClock(SPEED)
            submits = (
                client.generate(REQUEST, vendor, stream=True, output=tmp_path) for _ in range(30)
            )
            return await asyncio.gather(*submits)

    with server.running(simulator) as url:
        done = asyncio.run(scene(url))
    assert {job.status for job in done} == {"succeeded"}
    assert [method for _, method, path in simulator.journal if "/outputs/" not in path] == [
        "POST"
    ] * 30
    assert simulator.bill.count() == len({job.id for job in done}) == 30


@every_kind
@every_streamer
def test_a_lost_one_is_found_or_paid_anew_on_your_word(
    embedded: Scene, vendor: str, kind: Kind, tmp_path: Path
) -> None:
    """Reconcile finds it among those that run; resubmit streams again, as an entry of its own."""
    scene = embedded
    scene.simulator.inject("lost-reset", times=2)
    for _ in range(2):
        with pytest.raises(AmbiguousError):
            scene.generate(kind, vendor, tmp_path / "clips")
    found, again = scene.ledger.entries(["ambiguous"])
    (finding,) = scene.clients.do(kind, "reconcile", found.id)
    assert finding.result == "found"
    job = scene.clients.do(kind, "resubmit", again.id, accept_double_billing=True)
    assert job.status == "succeeded"
    assert scene.simulator.bill.count() == scene.calls.count("POST") == 3
    assert [entry.submission.send.stream for entry in scene.ledger.entries()] == [True] * 3
    states = [entry.state for entry in scene.ledger.entries()]
    assert states == ["accepted", "resubmitted", "saved"]


# -- dying ---------------------------------------------------------------------------------------------

PROGRAM: Final = """
import asyncio, os, signal, sys
from polyreel import AsyncClient, Client
from polyreel.flows import Send, Record
from polyreel.ledger.events import Settle
from test_streams import REQUEST
vendor, kind, folder, at = sys.argv[1:]
def kill(moment, step):
    name = "Settle" if isinstance(step, Record) and isinstance(step.event, Settle) else type(step).__name__
    if f"{moment} {name}" == at:
        os.kill(os.getpid(), signal.SIGKILL)
async def work():
    async with AsyncClient(ledger=folder + "/ledger") as client:
        client.wire.observer = kill
        await client.generate(REQUEST, vendor, stream=True, output=folder)
if kind == "awaiting":
    asyncio.run(work())
client = Client(ledger=folder + "/ledger")
client.wire.observer = kill
client.generate(REQUEST, vendor, stream=True, output=folder)
"""


@every_streamer
@pytest.mark.parametrize(
    ("kind", "at", "state"),
    [
        ("blocking", "after Send", "ambiguous"),
        ("blocking", "after Settle", "accepted"),
        ("awaiting", "after Settle", "accepted"),
    ],
)
def test_a_process_that_dies_has_written_the_id_down(
    vendor: str, kind: str, at: str, state: str, tmp_path: Path
) -> None:
    """Right after the first event: another process goes on with the job, and pays for nothing."""
    command = [sys.executable, "-c", PROGRAM, vendor, kind, str(tmp_path), at]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parent, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with Client(ledger=tmp_path / "ledger") as client:
        (entry,) = client.jobs()
        assert entry.state == state
        if state == "accepted":
            assert client.resume(entry.id).status == "succeeded"
        else:
            assert client.reconcile(entry.id)[0].result == "found"
        assert client.simulator
        assert client.simulator.bill.count() == 1
        assert "POST" not in [method for _, method, _ in client.simulator.journal]


# -- the reducer ---------------------------------------------------------------------------------------


def stage(
    job: Job, events: list[bytes | None], answers: Callable[[Send], Reply]
) -> tuple[Job, list[Step]]:
    """Wait for a job whose stream says this, without I/O."""
    told, steps, clock = iter(events), list[Step](), 1000.0
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
            event = next(told, None)
            outcome = None if event is None else Reply(200, {}, event)
        elif isinstance(step, Send):
            outcome = answers(step)
        else:
            clock += getattr(step, "seconds", 0.0)


@every_streamer
def test_what_makes_no_sense_tells_nothing(vendor: str) -> None:
    """Other tasks' events, nonsense, odd words and late events change nothing; an empty one asks once."""
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
