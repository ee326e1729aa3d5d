"""Flows: what is to be done, without doing it.

A flow is a generator that yields steps and is sent their results. It opens no socket and reads no
clock, so blocking code, asyncio or a test can drive it. `polyreel.drivers` has the two drivers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol, TypeVar

from attrs import Factory, evolve, field, frozen

from .errors import BadReplyError, PolyreelError, TransportError
from .places import read_json

if TYPE_CHECKING:
    from pathlib import Path

MAX_JSON_BYTES: Final = 4_000_000
EVENT_STREAM: Final = "text/event-stream"
QUIET_SECONDS: Final = 120.0
"""Seconds that an event stream may stay silent.

As long as the client of the vendor that offers one waits (read in March 2026).
"""
CLOCK_DRIFT: Final = 60.0
"""Seconds by which two ages may differ, since the wall clock is corrected now and then."""
LAST_CALL: Final = 10.0
"""Seconds that each call gets, even where a deadline leaves less."""


@frozen
class Part:
    """One part of a multipart body: text, or a file, at a path or as bytes."""

    name: str
    text: str | None = None
    path: Path | None = None
    content_type: str | None = None
    content: bytes | None = field(default=None, repr=False)
    filename: str = ""  # at the vendor: else it is called `file`, as its own name stays here

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.path is not None or self.content is not None

    def digest(self) -> str:
        """The SHA-256 of a file's bytes. OSError is raised where it cannot be read."""
        import hashlib  # noqa: PLC0415

        if self.path is None:
            return hashlib.sha256(self.content or b"").hexdigest()
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@frozen
class Send:
    """Make one HTTP call to a vendor's own host. `url` is absolute.

    The result is a Reply; a TransportError is thrown in. The driver adds the key, and only for the
    vendor's own hosts.
    """

    vendor: str
    method: str
    url: str
    content: bytes | None = None
    parts: tuple[Part, ...] = ()
    headers: Mapping[str, str] = Factory(dict)
    params: Mapping[str, Any] = Factory(dict)
    deadline: float = 60.0
    """Seconds for the whole call, not per read."""
    paid: bool = False
    """A paid call goes out on a fresh connection and is never repeated."""
    stream: bool = False
    """Whether the answer is to be an event stream.

    Then the Reply has the data of the first event, and `NextEvent` asks for the others. Any other
    answer is a Reply as usual. A flow has one stream at a time. It is closed when the flow ends.
    """


@frozen
class NextEvent:
    """Wait for the next event of the stream that is open.

    The result is a Reply with the event's data. It has no content where the stream was alive for
    `quiet` seconds without an event. It is None where no stream is open any more: the stream ended,
    broke, was silent for `quiet` seconds, or was not done after `seconds`. None of that says
    anything about the job.
    """

    seconds: float
    quiet: float = QUIET_SECONDS


@frozen
class Sleep:
    """Wait at least `seconds`, and up to the share `jitter` of them more (0.1 is 10 %)."""

    seconds: float
    jitter: float = 0.0


@frozen
class Now:
    """Ask for the time in seconds since 1970."""


@frozen
class Fetch:
    """Download a file. The driver adds a suffix to `path` from the bytes. The result is a Saved."""

    vendor: str
    url: str
    path: Path
    kind: str = ""
    """The media kind that is expected: image, video, or empty for either."""
    suffix: str = ""
    """The suffix that is asked for; another where the bytes are of another type."""
    folder_url: str = ""
    """The folder in object storage where the file goes, under the name of `path`."""
    deadline: float = 1800.0
    method: ClassVar = "GET"


@frozen
class Put:
    """Send a file to a link that the vendor gave for it. The result is a Reply without a body.

    A TransportError is thrown in. Where the link leads is checked as for a download. Of no vendor,
    it is a call to somebody else, such as one that wants to hear of a job.
    """

    vendor: str
    url: str
    file: Part
    deadline: float = 300.0
    method: str = "PUT"
    headers: Mapping[str, str] = Factory(dict)


@frozen
class TryFolder:
    """Try whether files can be saved in a folder of object storage.

    A DownloadError is thrown in where they cannot.
    """

    url: str
    deadline: float = 90.0


Transfer = Fetch | Put
"""A step that moves a file."""


@frozen
class Notify:
    """Report to the client's listener how a job is doing. `event` is any object that it knows."""

    event: Any


@frozen
class Observe:
    """Tell the client's hooks what happened: see `polyreel.jobs.observed`."""

    event: object


@frozen
class Record:
    """Hand an event to the ledger: durable before anything else happens.

    See `polyreel.ledger.events`. The result is the ledger's, or None where no ledger is kept.
    """

    event: Any


@frozen
class Moment:
    """What two clocks show: the wall clock, and seconds since the machine was started.

    Anybody can set the wall clock. The other one cannot be set, and goes on while the machine is
    suspended, but begins anew with each start. Where the two agree on an age, it is right.
    """

    wall: float
    """Seconds since 1970."""
    boot: float
    """Seconds since the machine was started, suspension included."""

    def seconds_since(self, before: Moment) -> float | None:
        """Seconds since an earlier moment, the greater of both clocks; None where they differ.

        They differ where a clock was set, or the machine was started anew, or is another one.
        """
        ages = (self.wall - before.wall, self.boot - before.boot)
        if min(ages) < 0 or max(ages) - min(ages) > CLOCK_DRIFT:
            return None
        return max(ages)


@frozen
class ReadClocks:
    """Read both clocks, to write down when something was sent. The result is a Moment."""


NOW: Final = Now()
READ_CLOCKS: Final = ReadClocks()

Step = (
    Send | NextEvent | Sleep | Now | ReadClocks | Transfer | TryFolder | Notify | Observe | Record
)


@frozen
class Reply:
    """The raw facts of an HTTP answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is a 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON that can be written again. Raises BadReplyError where it is none.

        Numbers that JSON cannot hold are null, so that one odd value never hides the task id.
        """
        if len(self.content) > MAX_JSON_BYTES:
            raise BadReplyError(
                f"the answer has {len(self.content)} bytes, more than {MAX_JSON_BYTES}",
                status=self.status,
            )
        try:
            return read_json(self.content)
        except ValueError:
            raise BadReplyError(
                f"the answer (HTTP {self.status}) is not usable JSON", status=self.status
            ) from None

    def header(self, name: str) -> str | None:
        """A header, in any case."""
        wanted = name.lower()
        if wanted in self.headers:  # the drivers give all in small letters
            return self.headers[wanted]
        for key, value in self.headers.items():
            if key.lower() == wanted:
                return value
        return None


Ending = Literal["whole", "cut", "drip", "close", "reset", "silence"]
"""How an answer reaches the client.

Whole, cut off halfway, or dripping: too slow for any deadline. Or not at all: the connection is
closed or reset, or the server says nothing.
"""


class Pace(Protocol):
    """The clock by which an answer is sent piece by piece."""

    def now(self) -> float:
        """Seconds since 1970."""

    def moment(self) -> Moment:
        """What both clocks show."""

    def sleep(self, seconds: float) -> None:
        """Wait, blocking."""

    async def asleep(self, seconds: float) -> None:
        """Wait, awaiting."""


@frozen
class Piece:
    """A piece of an answer, and when it is sent, in seconds since 1970."""

    at: float
    content: bytes


@frozen
class Answer(Reply):
    """An answer of one of polyreel's own servers."""

    ending: Ending = "whole"
    pieces: tuple[Piece, ...] = ()
    """The pieces of `content`, where they are sent one by one. The ending follows the last."""
    pace: Pace | None = field(default=None, eq=False, repr=False)


@frozen
class Saved:
    """A downloaded file."""

    path: Path
    content_type: str
    size: int
    url: str | None = None
    """Its URL, where it is in object storage, and no longer at `path`."""


T = TypeVar("T")
Flow = Generator[Step, Any, T]


def send(step: Send) -> Flow[Reply]:
    """Make one call."""
    reply = yield step
    assert isinstance(reply, Reply)
    return reply


def now() -> Flow[float]:
    """The time in seconds since 1970."""
    seconds = yield NOW
    assert isinstance(seconds, float)
    return seconds


def moment() -> Flow[Moment | None]:
    """What both clocks show; None where nobody reads them."""
    found = yield READ_CLOCKS
    return found if isinstance(found, Moment) else None


def send_patiently(step: Send, *, tries: int = 4) -> Flow[Reply]:
    """Make a call that costs nothing, and repeat it on lost connections, 429 and 5xx."""
    assert not step.paid, "a paid call is never repeated"
    for attempt in range(1, tries + 1):
        pause = min(8.0, 2.0 ** (attempt - 1))
        try:
            reply = yield from send(step)
        except TransportError:
            if attempt == tries:
                raise
        else:
            if attempt == tries or (reply.status != 429 and reply.status < 500):
                return reply
            pause = retry_after(reply) or pause
        yield Sleep(pause, jitter=0.2)
    raise AssertionError("unreachable")


def retry_after(reply: Reply, *, cap: float = 120.0) -> float | None:
    """The seconds that a Retry-After header asks for, at most `cap`; None without a usable one."""
    text = (reply.header("retry-after") or "").strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text), cap)
    seconds = _between(reply.header("date") or "", text)
    return None if seconds is None or seconds < 0 else min(seconds, cap)


def _between(start: str, end: str) -> float | None:
    """Seconds between two HTTP dates. Both are the server's, so its clock may be wrong."""
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    try:
        return (parsedate_to_datetime(end) - parsedate_to_datetime(start)).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def altered(flow: Flow[T], change: Callable[[Step], Flow[Step]]) -> Flow[T]:
    """The same flow with other steps. What `change` raises ends it."""
    result: Any = None
    failure: PolyreelError | None = None
    with closing(flow):
        while True:
            try:
                step = flow.throw(failure) if failure else flow.send(result)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            step = yield from change(step)
            try:
                result, failure = (yield step), None
            except PolyreelError as error:
                failure = error


def with_listener(flow: Flow[T], listener: Callable[[Any], None] | None) -> Flow[T]:
    """The same flow, which also reports to a listener of this one call how its job is doing."""
    if listener is None:
        return flow

    def notifying(step: Step) -> Flow[Step]:
        yield from ()
        if isinstance(step, Notify):
            listener(step.event)
        return step

    return altered(flow, notifying)


def until(end: float, flow: Flow[T]) -> Flow[T]:
    """The same flow with a deadline (seconds since 1970). A later pause raises TransportError."""

    def within_deadline(step: Step) -> Flow[Step]:
        left = end - (yield from now())
        if isinstance(step, Sleep) and step.seconds > left:
            yield Sleep(left)
            raise TransportError(
                "the last query failed, and there was no time for another", sent=True
            )
        if isinstance(step, Send):
            return evolve(step, deadline=min(step.deadline, max(left, LAST_CALL)))
        return step

    return altered(flow, within_deadline)
