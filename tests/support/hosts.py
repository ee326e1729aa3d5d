"""A host of files that breaks off, changes its mind and lies."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Literal

from attrs import Factory, define, frozen
from polyreel import drivers
from polyreel.drivers import parts
from polyreel.flows import Fetch, Flow, Saved

from support import files
from support.faults import Hasty, Kind, reset

from .waiting import HANGS

End = Literal["", "close", "reset", "stall"]


def film(seed: int, size: int = 200_000) -> bytes:
    """An MP4 of this many bytes, whose pictures are noise."""
    return files.mp4(random.Random(seed).randbytes(size - len(files.mp4(b""))))


FILM: Final = film(1)
OTHER: Final = film(2)
HALF: Final = len(FILM) // 2
LAST: Final = len(FILM) - 1
YESTERDAY: Final = formatdate(time.time() - 86400, usegmt=True)


@frozen
class Way:
    """How one request is answered; as a good server does, but for what is set."""

    status: int | None = None
    content: bytes | None = None
    etag: str | None = None
    headers: dict[str, str] = Factory(dict)
    ranges: bool = True
    checks: bool = True
    """Whether If-Range is heeded."""
    without: tuple[str, ...] = ()
    stop: int | None = None
    """After how many bytes of the body the answer ends; -1 is before its first line."""
    end: End = "close"
    drip: float = 0.0


GOOD: Final = Way()


@define
class Host:
    """Serves one file, in the given ways first and well from then on; counts what it sent."""

    ways: list[Way] = Factory(list)
    content: bytes = FILM
    etag: str = '"v1"'
    asked: list[str | None] = Factory(list)
    """The Range of each request."""
    sent: int = 0
    over: threading.Event = Factory(threading.Event)
    url: str = ""
    lock: Any = Factory(threading.Lock)
    stalls: int = 0
    """How many answers are still on the way to the byte at which they stall."""
    hurried: bool = False
    """Whether a client asked again before such an answer was there: the machine was too slow for
    its patience.
    """
    give: Callable[[float], None] = lambda _: None
    """Give clients so many seconds of patience with an answer that stalls."""

    def play(self, *ways: Way) -> None:
        """Begin a new scene."""
        self.over.set()
        self.over = threading.Event()
        self.ways, self.content, self.etag, self.asked, self.sent = list(ways), FILM, '"v1"', [], 0
        self.stalls, self.hurried = 0, False

    def next(self, asked: str | None) -> Way:
        with self.lock:
            self.asked.append(asked)
            self.hurried = self.hurried or self.stalls > 0
            way = self.ways.pop(0) if self.ways else GOOD
            self.stalls += way.end == "stall"
            return way

    def scenes(self, end: End, folder: Path) -> Iterator[Path]:
        """A folder for a scene; and for one more, with more patience, as often as the machine was
        too slow.
        """
        for seconds in (0.3, 3.0, HANGS) if end == "stall" else (HANGS,):
            self.give(seconds)
            yield folder / str(seconds)
            if not self.hurried:
                return


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are no news."""


def handler_for(host: Host) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            """Be quiet."""

        def do_GET(self) -> None:
            self.close_connection = True
            asked = self.headers.get("range")
            way, over = host.next(asked), host.over
            if way.stop == -1:
                return self.stop(way, over)
            body = self.head(way, asked)
            for start in range(0, len(body), 16384):
                piece = body[start : start + 16384]
                with host.lock:  # before who asked has it, and looks at this
                    host.sent += len(piece)
                self.wfile.write(piece)
                if way.drip and over.wait(way.drip):
                    return None
            return self.stop(way, over) if way.stop is not None else None

        def head(self, way: Way, asked: str | None) -> bytes:
            """Send the head; the body that is to follow."""
            content = host.content if way.content is None else way.content
            etag = host.etag if way.etag is None else way.etag
            fresh = not way.checks or self.headers.get("if-range") in {
                etag,
                way.headers.get("Last-Modified"),
            }
            first = int(asked[6:-1]) if asked and way.ranges and fresh and way.status is None else 0
            body = content[first:]
            headers = {"ETag": etag, "Content-Length": str(len(body)), "Connection": "close"}
            if first:
                headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            headers |= way.headers
            self.send_response_only(way.status or (206 if first else 200))
            for name, value in headers.items():
                if name not in way.without and value:
                    self.send_header(name, value)
            self.end_headers()
            return body if way.stop is None else body[: max(0, way.stop - first)]

        def stop(self, way: Way, over: threading.Event) -> None:
            self.wfile.flush()
            if way.end == "stall":
                with host.lock:
                    host.stalls -= 1
                over.wait(HANGS)
            elif way.end == "reset":
                time.sleep(0.02)  # what was sent should arrive
                reset(self.connection)

    return Handler


def wire() -> drivers.Wire:
    return drivers.Wire(private_downloads=True, clock=Hasty())


def step(host: Host, folder: Path, **options: Any) -> Flow[Saved]:
    saved = yield Fetch("vendor", host.url, folder / "clip-1", "video", **options)
    assert isinstance(saved, Saved)
    return saved


def fetch(
    kind: Kind, host: Host, folder: Path, own: drivers.Wire | None = None, **options: Any
) -> Saved:
    own = own or wire()
    if kind == "blocking":
        return drivers.run(step(host, folder, **options), own)
    return asyncio.run(drivers.arun(step(host, folder, **options), own))


def whole(folder: Path, content: bytes = FILM) -> None:
    """The file is there, byte for byte, and nothing else is."""
    assert {path.name: path.read_bytes() == content for path in folder.iterdir()} == {
        "clip-1.mp4": True
    }


def part(folder: Path, content: bytes = FILM, etag: str = '"v1"') -> Path:
    """Where the part of a file lies."""
    return folder / parts.part_name("clip-1", parts.mark_of(etag, len(content)))


def arrived(folder: Path) -> int:
    """How many bytes of a part have reached the disk."""
    return part(folder).stat().st_size if part(folder).exists() else 0
