"""Parts of downloads that stay, and downloads of one file at once."""

import asyncio
import errno
import fcntl
import os
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from polyreel import drivers
from polyreel.drivers import downloads, parts
from polyreel.errors import DownloadError
from polyreel.flows import Saved
from support.faults import Hasty, Kind, every_kind
from support.hosts import (
    FILM,
    GOOD,
    HALF,
    LAST,
    OTHER,
    Host,
    Server,
    Way,
    arrived,
    fetch,
    film,
    handler_for,
    part,
    step,
    whole,
    wire,
)
from support.waiting import HANGS, until

# --- a host of files ------------------------------------------------------------------------------


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


# --- breaking off ---------------------------------------------------------------------------------


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


@pytest.mark.matrix("size", "kind")
@every_kind
@pytest.mark.parametrize("size", [1, 15, 16, 17, HALF, LAST, len(FILM)])
def test_a_later_process_goes_on(host: Host, size: int, kind: Kind, tmp_path: Path) -> None:
    """It knows the part by what the answer says of the file."""
    part(tmp_path).write_bytes(FILM[:size])
    fetch(kind, host, tmp_path)
    whole(tmp_path)
    # What is too short to tell what it is, is nothing worth keeping.
    assert host.asked == ([None] if size in {1, len(FILM)} else [None, f"bytes={size}-"])


@pytest.mark.matrix("rest", "kind")
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
@pytest.mark.parametrize("call", ["link", "replace", "fsync", "fdopen"])
def test_a_disk_that_refuses_is_reported(
    host: Host, call: str, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By folder and reason, at once."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call == "replace":  # which is what renames where there are no links

        def without_links(*_: Any, **__: Any) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", without_links)
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
        thread.join(HANGS)
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


def test_an_awaited_download_that_is_cancelled_can_be_continued(host: Host, tmp_path: Path) -> None:
    """Its part stays, and nobody holds it."""
    host.play(Way(stop=HALF, end="stall"))

    async def cancelled() -> None:
        task = asyncio.create_task(drivers.arun(step(host, tmp_path), wire()))
        await asyncio.to_thread(until, lambda: arrived(tmp_path) > HALF - 10_000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    here = part(tmp_path).stat().st_size
    assert HALF - 10_000 < here <= HALF
    fetch("awaiting", host, tmp_path)
    whole(tmp_path)
    assert host.asked == [None, None, f"bytes={here}-"]


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
