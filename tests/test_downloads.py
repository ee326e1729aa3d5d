"""Downloads that break off: continued where that is safe, begun again where it is not, and only ever kept whole."""

import asyncio
import errno
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from attrs import Factory, define, frozen
from polyreel import drivers
from polyreel.drivers import downloads, parts
from polyreel.errors import DownloadError
from polyreel.flows import Fetch, Flow, Saved
from support.faults import Hasty, Kind, every_kind, reset, stopwatch

End = Literal["", "close", "reset", "stall"]


def film(seed: int, size: int = 200_000) -> bytes:
    """An MP4 by its first bytes, and noise."""
    head = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00"
    return head + random.Random(seed).randbytes(size - len(head))


FILM: Final = film(1)
OTHER: Final = film(2)
HALF: Final = len(FILM) // 2
LAST: Final = len(FILM) - 1
YESTERDAY: Final = formatdate(time.time() - 86400, usegmt=True)


# --- a host of files ------------------------------------------------------------------------------


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

    def play(self, *ways: Way) -> None:
        """Begin a new scene."""
        self.over.set()
        self.over = threading.Event()
        self.ways, self.content, self.etag, self.asked, self.sent = list(ways), FILM, '"v1"', [], 0

    def next(self, asked: str | None) -> Way:
        with self.lock:
            self.asked.append(asked)
            return self.ways.pop(0) if self.ways else GOOD


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
                self.wfile.write(piece)
                with host.lock:
                    host.sent += len(piece)
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
                over.wait(5)
            elif way.end == "reset":
                time.sleep(0.02)  # what was sent should arrive
                reset(self.connection)

    return Handler


@pytest.fixture(scope="module")
def running() -> Iterator[Host]:
    host = Host()
    with Server(("127.0.0.1", 0), handler_for(host)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        host.url = f"http://127.0.0.1:{server.server_address[1]}/x"
        yield host
        host.over.set()
        server.shutdown()
        thread.join(5)


@pytest.fixture
def host(running: Host, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Host:
    end = request.node.callspec.params.get("end") if hasattr(request.node, "callspec") else None
    monkeypatch.setattr(downloads, "STALLED_SECONDS", 0.3 if end == "stall" else 5.0)
    running.play()
    return running


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


# --- breaking off ---------------------------------------------------------------------------------

ENDS: Final[tuple[End, ...]] = ("close", "reset", "stall")
POSITIONS: Final = {"no-answer": -1, "0": 0, "1-byte": 1, "half": HALF, "last-byte": LAST}
every_end = pytest.mark.parametrize("end", ENDS)


@every_kind
@every_end
@pytest.mark.parametrize("position", POSITIONS)
def test_what_breaks_off_is_continued(
    host: Host, position: str, end: End, kind: Kind, tmp_path: Path
) -> None:
    """From the byte that is missing; what is here does not come twice."""
    host.play(Way(stop=POSITIONS[position], end=end))
    saved = fetch(kind, host, tmp_path)
    assert (saved.size, saved.content_type, saved.path.name) == (
        len(FILM),
        "video/mp4",
        "clip-1.mp4",
    )
    whole(tmp_path)
    begun = POSITIONS[position] > 0
    assert [bool(asked) for asked in host.asked] == [False, begun]
    if end != "reset":  # which may swallow what was on its way
        assert host.asked[1] == (f"bytes={POSITIONS[position]}-" if begun else None)
        assert host.sent == len(FILM)


@every_kind
def test_a_download_that_breaks_off_often_goes_on(host: Host, kind: Kind, tmp_path: Path) -> None:
    """While every try brings something new."""
    stops = range(10_000, len(FILM), 10_000)
    host.play(*(Way(stop=stop) for stop in stops))
    fetch(kind, host, tmp_path)
    whole(tmp_path)
    assert (len(host.asked), host.sent) == (len(stops) + 1, len(FILM))


@every_kind
@every_end
@pytest.mark.parametrize("position", [1, HALF, LAST])
@pytest.mark.parametrize(
    "validator", ["", 'W/"v1"', "v1", '"v\u00e9"'], ids=["none", "weak", "bare", "foreign"]
)
def test_what_cannot_be_told_apart_is_begun_again(
    host: Host, validator: str, position: int, end: End, kind: Kind, tmp_path: Path
) -> None:
    """Without a strong validator the rest could be that of another file."""
    plain = Way(headers={"ETag": validator})
    host.play(Way(headers={"ETag": validator}, stop=position, end=end), plain)
    fetch(kind, host, tmp_path)
    whole(tmp_path)
    assert host.asked == [None, None]


# Answers to the question for the rest, with whether they are the end of the matter.
RESTS: Final[dict[str, Way]] = {
    "range-ignored": Way(ranges=False),
    "other-first-byte": Way(headers={"Content-Range": f"bytes {HALF + 1}-{LAST}/{len(FILM)}"}),
    "other-last-byte": Way(headers={"Content-Range": f"bytes {HALF}-{LAST - 1}/{len(FILM)}"}),
    "other-total": Way(headers={"Content-Range": f"bytes {HALF}-{LAST}/{len(FILM) + 1}"}),
    "unknown-total": Way(headers={"Content-Range": f"bytes {HALF}-{LAST}/*"}),
    "no-range": Way(without=("Content-Range",)),
    "nonsense-range": Way(headers={"Content-Range": "bytes"}),
    "short-rest": Way(headers={"Content-Length": str(HALF - 1)}),
    "other-etag": Way(etag='"v2"', content=OTHER, checks=False),
    "no-etag": Way(without=("ETag",)),
    "weak-etag": Way(headers={"ETag": 'W/"v1"'}),
    "not-satisfiable": Way(
        status=416, content=b"", headers={"Content-Range": f"bytes */{len(FILM)}"}
    ),
    "multipart": Way(
        headers={"Content-Range": "", "Content-Type": "multipart/byteranges; boundary=x"}
    ),
}


@every_kind
@pytest.mark.parametrize("rest", RESTS)
def test_a_wrong_rest_is_not_appended(host: Host, rest: str, kind: Kind, tmp_path: Path) -> None:
    """The file is begun again instead."""
    host.play(Way(stop=HALF), RESTS[rest])
    fetch(kind, host, tmp_path)
    whole(tmp_path)
    assert host.asked == [None, f"bytes={HALF}-", None][: 2 if rest == "range-ignored" else 3]


@every_kind
@pytest.mark.parametrize("rest", [rest for rest in RESTS if rest != "range-ignored"])
def test_wrong_rests_end(host: Host, rest: str, kind: Kind, tmp_path: Path) -> None:
    """A server that never goes on rightly is not asked to for ever, and its file is still brought home."""
    host.play(Way(stop=HALF), RESTS[rest], Way(stop=HALF), RESTS[rest], Way(stop=HALF))
    fetch(kind, host, tmp_path)
    whole(tmp_path)
    assert host.asked == [None, f"bytes={HALF}-", None, f"bytes={HALF}-", None, None]


@every_kind
@pytest.mark.parametrize("checks", [True, False], ids=["if-range", "no-if-range"])
@pytest.mark.parametrize("position", [1, HALF, LAST])
def test_a_file_that_changes_is_the_new_one(
    host: Host, position: int, checks: bool, kind: Kind, tmp_path: Path
) -> None:
    """Never the beginning of one and the end of another, whether the server heeds If-Range or not."""
    host.play(Way(stop=position), Way(checks=checks, content=OTHER, etag='"v2"'))
    host.content, host.etag = OTHER, '"v2"'
    host.ways[0] = Way(stop=position, content=FILM, etag='"v1"')
    fetch(kind, host, tmp_path)
    whole(tmp_path, OTHER)


@every_kind
@pytest.mark.parametrize("aged", [True, False])
def test_a_date_is_a_validator_where_it_is_old(
    host: Host, aged: bool, kind: Kind, tmp_path: Path
) -> None:
    """Two versions within one second have the same."""
    now = formatdate(time.time(), usegmt=True)
    dates = {"ETag": "", "Last-Modified": YESTERDAY if aged else now, "Date": now}
    host.play(Way(stop=HALF, headers=dates), Way(headers=dates))
    fetch(kind, host, tmp_path)
    whole(tmp_path)
    assert host.asked == [None, f"bytes={HALF}-" if aged else None]


@every_kind
@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("begun", [False, True])
def test_what_passes_by_itself_is_waited_for(
    host: Host, begun: bool, status: int, kind: Kind, tmp_path: Path
) -> None:
    """With growing pauses, or the one that the server asks for; what is here stays."""
    trouble = Way(status=status, content=b"busy")
    host.play(
        *[Way(stop=HALF)] * begun,
        trouble,
        Way(status=status, content=b"", headers={"Retry-After": "7"}),
    )
    own, clock = wire(), Hasty()
    own.clock = clock
    fetch(kind, host, tmp_path, own)
    whole(tmp_path)
    assert host.asked[-1] == (f"bytes={HALF}-" if begun else None)
    assert clock.pauses == sorted(clock.pauses)
    assert 7 <= clock.pauses[-1] < 9


# --- giving up ------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
@pytest.mark.parametrize("begun", [False, True])
def test_a_link_that_has_expired_ends_at_once(
    host: Host, begun: bool, status: int, kind: Kind, tmp_path: Path
) -> None:
    """A fresh link is for somebody else to find; with that, the same file is continued."""
    host.play(*[Way(stop=HALF)] * begun, Way(status=status, content=b"<html>"))
    with pytest.raises(DownloadError) as caught:
        fetch(kind, host, tmp_path)
    assert (caught.value.status, caught.value.vendor) == (status, "vendor")
    assert len(host.asked) == 1 + begun
    assert list(tmp_path.iterdir()) == [part(tmp_path)] * begun
    fetch(kind, host, tmp_path)
    whole(tmp_path)
    assert host.asked[-1] == (f"bytes={HALF}-" if begun else None)


NO_FILMS: Final = {
    "zero-bytes": Way(content=b""),
    "one-byte": Way(content=b"\x00"),
    "html": Way(
        content=b"<html>please log in</html>" * 9000, headers={"Content-Type": "video/mp4"}
    ),
    "json": Way(content=b'{"error": "expired"}'),
    "picture": Way(content=b"\x89PNG\r\n\x1a\n" + bytes(99)),
    "compressed": Way(headers={"Content-Encoding": "gzip"}),
    "said-to-be-too-large": Way(headers={"Content-Length": "300001"}),
    "too-large": Way(content=film(1, 300_001), headers={"Content-Length": ""}),
    "unasked-part": Way(status=206, headers={"Content-Range": f"bytes 0-{LAST}/{len(FILM)}"}),
    "no-content": Way(status=204, content=b"", headers={"Content-Length": ""}),
}


@every_kind
@pytest.mark.parametrize("name", NO_FILMS)
def test_what_is_no_film_is_not_kept(
    host: Host, name: str, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for once, and nothing of it stays."""
    monkeypatch.setattr(downloads, "MAX_FILE_BYTES", 300_000)
    host.play(NO_FILMS[name])
    with pytest.raises(DownloadError):
        fetch(kind, host, tmp_path)
    assert host.asked == [None]
    assert list(tmp_path.iterdir()) == []


@every_kind
@every_end
@pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS)
def test_tries_end(
    host: Host, position: int, end: End, kind: Kind, tmp_path: Path, monkeypatch: Any
) -> None:
    """Where nothing new arrives; what is here stays for the next time, under no name of a file."""
    monkeypatch.setattr(
        downloads, "STALLED_SECONDS", 0.05
    )  # however loaded the machine is, tries end
    host.play(*[Way(stop=position, end=end)] * 20)
    with pytest.raises(DownloadError):
        fetch(kind, host, tmp_path)
    assert len(host.asked) <= downloads.IDLE_TRIES + 2
    assert [path for path in tmp_path.iterdir() if path != part(tmp_path)] == []
    monkeypatch.setattr(downloads, "STALLED_SECONDS", 5.0)
    host.play()
    fetch(kind, host, tmp_path)
    whole(tmp_path)


@every_kind
@pytest.mark.parametrize(
    "way", [Way(stop=HALF, end="stall"), Way(drip=0.05), Way(stop=-1, end="stall")]
)
def test_the_deadline_is_for_all_tries_together(
    host: Host, way: Way, kind: Kind, tmp_path: Path
) -> None:
    """However many there are."""
    host.play(*[way] * 20)
    with stopwatch() as seconds:
        with pytest.raises(DownloadError, match="in time"):
            fetch(kind, host, tmp_path, deadline=0.4)
        assert seconds() < 1.5
    assert [path for path in tmp_path.iterdir() if path != part(tmp_path)] == []


@every_kind
def test_a_pause_beyond_the_deadline_is_not_begun(host: Host, kind: Kind, tmp_path: Path) -> None:
    """The reason is told at once."""
    host.play(Way(status=503, headers={"Retry-After": "60"}))
    own = wire()
    own.clock = drivers.RealClock()
    with pytest.raises(DownloadError) as caught:
        fetch(kind, host, tmp_path, own, deadline=5.0)
    assert (caught.value.status, host.asked) == (503, [None])


# --- parts that stay ------------------------------------------------------------------------------


@every_kind
def test_an_answer_that_is_no_file_ends_what_was_begun(
    host: Host, kind: Kind, tmp_path: Path
) -> None:
    """A page in the place of the rest is neither appended nor saved."""
    host.play(
        Way(stop=HALF), Way(ranges=False, etag="", content=b"<html>please log in</html>" * 9000)
    )
    with pytest.raises(DownloadError, match="not video"):
        fetch(kind, host, tmp_path)
    assert host.asked == [None, f"bytes={HALF}-"]
    assert list(tmp_path.iterdir()) == []


@every_kind
@pytest.mark.parametrize("size", [1, 15, 16, 17, HALF, LAST, len(FILM)])
def test_a_later_process_goes_on(host: Host, size: int, kind: Kind, tmp_path: Path) -> None:
    """It knows the part by what the answer says of the file."""
    part(tmp_path).write_bytes(FILM[:size])
    fetch(kind, host, tmp_path)
    whole(tmp_path)
    # What is too short to tell what it is, is nothing worth keeping.
    assert host.asked == ([None] if size in {1, len(FILM)} else [None, f"bytes={size}-"])


@every_kind
@pytest.mark.parametrize("rest", RESTS)
def test_a_later_process_appends_no_wrong_rest(
    host: Host, rest: str, kind: Kind, tmp_path: Path
) -> None:
    """As in one process."""
    part(tmp_path).write_bytes(FILM[:HALF])
    host.play(GOOD, RESTS[rest])
    fetch(kind, host, tmp_path)
    whole(tmp_path)


@every_kind
def test_a_part_that_is_too_long_is_begun_again(host: Host, kind: Kind, tmp_path: Path) -> None:
    """Somebody else wrote to it."""
    part(tmp_path).write_bytes(FILM + b"x")
    fetch(kind, host, tmp_path)
    whole(tmp_path)


@every_kind
def test_parts_of_other_versions_go(host: Host, kind: Kind, tmp_path: Path) -> None:
    """Of this output; those of other outputs, and whatever else lies there, stay."""
    names = ("clip-10.aaaaaaaa.part", "clip-1.part", "clip-1.zzzzzzzz.part", "clip-1.mov")
    others = [tmp_path / name for name in names]
    for path in [*others, part(tmp_path, etag='"v0"'), tmp_path / "clip-1.00000000.part"]:
        path.write_bytes(b"x")
    fetch(kind, host, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "clip-1.mp4"])


@every_kind
@pytest.mark.parametrize("etag", ['"v1"', '"v0"'], ids=["the-same", "another"])
def test_a_part_that_somebody_holds_is_left_alone(
    host: Host, etag: str, kind: Kind, tmp_path: Path
) -> None:
    """The file comes home beside it, in a part of its own."""
    with part(tmp_path, etag=etag).open("wb") as held:
        held.write(b"precious")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        host.play(Way(stop=HALF))
        fetch(kind, host, tmp_path)
        assert part(tmp_path, etag=etag).read_bytes() == b"precious"
        assert host.asked == [None, f"bytes={HALF}-"]
    fetch(kind, host, tmp_path)
    whole(tmp_path)


@every_kind
def test_a_part_is_no_link(host: Host, kind: Kind, tmp_path: Path) -> None:
    """Its name can be foreseen: it must not lead to another file."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "clips").mkdir()
    part(tmp_path / "clips").symlink_to(victim)
    with pytest.raises(DownloadError, match="cannot save to"):
        fetch(kind, host, tmp_path / "clips")
    assert victim.read_bytes() == b"precious"


@every_kind
@pytest.mark.parametrize("locks", ["none", "refused"])
def test_without_locks_no_part_is_shared(
    host: Host, locks: str, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On systems and file systems without them: a random name, and nothing of a failure stays."""
    if locks == "none":
        monkeypatch.setattr(parts, "fcntl", None)
    else:
        monkeypatch.setattr(parts, "_lock", lambda file: None)
    host.play(Way(stop=HALF), Way(status=404))
    with pytest.raises(DownloadError):
        fetch(kind, host, tmp_path)
    assert list(tmp_path.iterdir()) == []
    host.play(Way(stop=HALF))
    fetch(kind, host, tmp_path)
    whole(tmp_path)


@every_kind
@pytest.mark.parametrize("call", ["replace", "fsync", "fdopen"])
def test_a_disk_that_refuses_is_told(
    host: Host, call: str, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By folder and reason, at once."""

    def refuse(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "fdopen":
        monkeypatch.setattr(parts, "_open", refuse)
    else:
        monkeypatch.setattr(os, call, refuse)
    with pytest.raises(DownloadError, match=f"cannot save to {tmp_path}: No space left") as caught:
        fetch(kind, host, tmp_path)
    assert (caught.value.vendor, host.asked) == ("vendor", [None])
    assert list(tmp_path.iterdir()) == []


# --- at once, and killed --------------------------------------------------------------------------


def test_downloads_of_one_file_in_threads(host: Host, tmp_path: Path) -> None:
    """One holds the part that lasts, the others have their own; all bring the whole file."""
    host.play(
        *[Way(stop=stop, drip=0.002) for stop in range(20_000, 200_000, 20_000)],
        *[Way(drip=0.002)] * 20,
    )
    outcomes: list[Any] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(fetch("blocking", host, tmp_path).size))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert outcomes == [len(FILM)] * 8
    whole(tmp_path)


def test_downloads_of_one_file_in_one_loop(host: Host, tmp_path: Path) -> None:
    """The same, awaiting, over one wire."""
    host.play(*[Way(stop=HALF, drip=0.002)] * 4)
    own = wire()

    async def crowd() -> list[Saved]:
        return await asyncio.gather(*(drivers.arun(step(host, tmp_path), own) for _ in range(8)))

    assert [saved.size for saved in asyncio.run(crowd())] == [len(FILM)] * 8
    whole(tmp_path)


SCRIPT: Final = """
import sys
from pathlib import Path
from polyreel import drivers
from polyreel.flows import Fetch

def step():
    return (yield Fetch("vendor", sys.argv[1], Path(sys.argv[2]) / "clip-1", "video"))

print(drivers.run(step(), drivers.Wire(private_downloads=True)).size)
"""


def start(host: Host, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, host.url, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("position", [20_000, HALF, LAST])
def test_a_process_that_is_killed_loses_little(host: Host, position: int, tmp_path: Path) -> None:
    """The next one goes on from what reached the disk."""
    host.play(Way(stop=position, end="stall"))
    with start(host, tmp_path) as process:
        waiting = time.monotonic() + 20
        while not (part(tmp_path).exists() and part(tmp_path).stat().st_size > position - 10_000):
            assert time.monotonic() < waiting
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    (left,) = tmp_path.iterdir()
    here = left.stat().st_size
    assert (left, left.read_bytes()) == (part(tmp_path), FILM[:here])
    host.play()
    with start(host, tmp_path) as process:
        out, err = process.communicate(timeout=20)
    assert (out.strip(), err) == (str(len(FILM)), "")
    whole(tmp_path)
    assert host.asked == [None, f"bytes={here}-"]


def test_an_awaited_download_that_is_cancelled_can_be_continued(host: Host, tmp_path: Path) -> None:
    """Its part stays, and nobody holds it."""
    host.play(Way(stop=HALF, end="stall"))

    async def cancelled() -> None:
        task = asyncio.create_task(drivers.arun(step(host, tmp_path), wire()))
        await asyncio.sleep(0.15)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert part(tmp_path).exists()
    fetch("awaiting", host, tmp_path)
    whole(tmp_path)
    assert host.asked == [None, None, f"bytes={HALF}-"]


@every_kind
def test_a_large_file_takes_little_memory(host: Host, kind: Kind, tmp_path: Path) -> None:
    """Its bytes go to the disk as they come."""
    host.content = film(3, 16_000_000)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    fetch(kind, host, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - before < 4_000_000
    whole(tmp_path, host.content)


@every_kind
def test_a_host_that_is_away_for_a_moment(kind: Kind, tmp_path: Path) -> None:
    """A connection that is refused is tried again."""
    host = Host()
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        address = reserved.getsockname()
    host.url = f"http://127.0.0.1:{address[1]}/x"
    own = wire()
    own.clock = Returning(host, address)
    fetch(kind, host, tmp_path, own)
    whole(tmp_path)


class Returning(Hasty):
    """A clock during whose second pause a server comes up."""

    def __init__(self, host: Host, address: tuple[str, int]) -> None:
        super().__init__()
        self.host, self.address = host, address

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if len(self.pauses) == 2:
            server = Server(self.address, handler_for(self.host))
            threading.Thread(target=self.serve, args=(server,), daemon=True).start()

    def serve(self, server: Server) -> None:
        server.handle_request()
        server.server_close()

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)
