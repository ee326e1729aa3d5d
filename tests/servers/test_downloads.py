"""Downloads that break off are continued; those that cannot be are given up."""

import gzip
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Final

import pytest
from attrs import evolve
from polyreel import drivers
from polyreel.drivers import downloads
from polyreel.errors import DownloadError
from support.faults import PACKED, Hasty, Kind, every_kind
from support.hosts import (
    FILM,
    HALF,
    LAST,
    OTHER,
    YESTERDAY,
    End,
    Host,
    Server,
    Way,
    fetch,
    film,
    handler_for,
    part,
    whole,
    wire,
)
from support.waiting import HANGS

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
        thread.join(HANGS)


@pytest.fixture
def host(running: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    running.give = lambda seconds: monkeypatch.setattr(downloads, "STALLED_SECONDS", seconds)
    running.play()
    return running


# --- breaking off ---------------------------------------------------------------------------------


ENDS: Final[tuple[End, ...]] = ("close", "reset", "stall")
POSITIONS: Final = {"no-answer": -1, "0": 0, "1-byte": 1, "half": HALF, "last-byte": LAST}
every_end = pytest.mark.parametrize("end", ENDS)


@pytest.mark.matrix("position+end", "kind")
@every_kind
@every_end
@pytest.mark.parametrize("position", POSITIONS)
def test_what_breaks_off_is_continued(
    host: Host, position: str, end: End, kind: Kind, tmp_path: Path
) -> None:
    """From the byte that is missing; what is here does not come twice."""
    for folder in host.scenes(end, tmp_path):
        host.play(Way(stop=POSITIONS[position], end=end))
        saved = fetch(kind, host, folder)
        assert (saved.size, saved.content_type, saved.path.name) == (
            len(FILM),
            "video/mp4",
            "clip-1.mp4",
        )
        whole(folder)
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


@pytest.mark.matrix("validator", "position+end", "kind")
@every_kind
@every_end
@pytest.mark.parametrize("position", [1, HALF, LAST])
@pytest.mark.parametrize(
    "validator", ["", 'W/"v1"', "v1", '"v\u00e9"'], ids=["none", "weak", "bare", "foreign"]
)
def test_what_cannot_be_distinguished_is_begun_again(
    host: Host, validator: str, position: int, end: End, kind: Kind, tmp_path: Path
) -> None:
    """Without a strong validator the rest could be that of another file."""
    plain = Way(headers={"ETag": validator})
    for folder in host.scenes(end, tmp_path):
        host.play(Way(headers={"ETag": validator}, stop=position, end=end), plain)
        fetch(kind, host, folder)
        whole(folder)
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


@pytest.mark.matrix("rest", "kind")
@every_kind
@pytest.mark.parametrize("rest", RESTS)
def test_a_wrong_rest_is_not_appended(host: Host, rest: str, kind: Kind, tmp_path: Path) -> None:
    """The file is begun again instead."""
    host.play(Way(stop=HALF), RESTS[rest])
    fetch(kind, host, tmp_path)
    whole(tmp_path)
    assert host.asked == [None, f"bytes={HALF}-", None][: 2 if rest == "range-ignored" else 3]


@pytest.mark.matrix("rest", "kind")
@every_kind
@pytest.mark.parametrize("rest", [rest for rest in RESTS if rest != "range-ignored"])
def test_wrong_rests_end(host: Host, rest: str, kind: Kind, tmp_path: Path) -> None:
    """A server that never goes on rightly is not asked to for ever, and its file is still brought
    home.
    """
    host.play(Way(stop=HALF), RESTS[rest], Way(stop=HALF), RESTS[rest], Way(stop=HALF))
    fetch(kind, host, tmp_path)
    whole(tmp_path)
    assert host.asked == [None, f"bytes={HALF}-", None, f"bytes={HALF}-", None, None]


@pytest.mark.matrix("position+checks", "kind")
@every_kind
@pytest.mark.parametrize("checks", [True, False], ids=["if-range", "no-if-range"])
@pytest.mark.parametrize("position", [1, HALF, LAST])
def test_a_file_that_changes_is_the_new_one(
    host: Host, position: int, checks: bool, kind: Kind, tmp_path: Path
) -> None:
    """Never the beginning of one and the end of another, whether the server heeds If-Range or
    not.
    """
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


@pytest.mark.matrix("status+begun", "kind")
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


@pytest.mark.matrix("status", "begun+kind")
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
    "compressed-not": Way(headers={"Content-Encoding": "gzip"}),
    "brotli": Way(headers={"Content-Encoding": "br"}),
    "bomb": Way(content=gzip.compress(film(1, 400_000)), headers={"Content-Encoding": "gzip"}),
    "said-to-be-too-large": Way(headers={"Content-Length": "300001"}),
    "too-large": Way(content=film(1, 300_001), headers={"Content-Length": ""}),
    "unasked-part": Way(status=206, headers={"Content-Range": f"bytes 0-{LAST}/{len(FILM)}"}),
    "no-content": Way(status=204, content=b"", headers={"Content-Length": ""}),
}


@pytest.mark.matrix("name", "kind")
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
@pytest.mark.parametrize("encoding", PACKED)
def test_a_compressed_film_is_unpacked(
    host: Host, encoding: str, kind: Kind, tmp_path: Path
) -> None:
    """Although none was asked for; one that breaks off is requested again, from its beginning."""
    packed = PACKED[encoding](FILM)
    way = Way(content=packed, headers={"Content-Encoding": encoding})
    host.play(evolve(way, stop=HALF), evolve(way, content=packed[:HALF]), way)
    fetch(kind, host, tmp_path)
    whole(tmp_path)
    assert host.asked == [None] * 3


PAGES: Final = {
    "error code: 1010": b"error code: 1010",
    "Access denied Sorry, you have been blocked": (
        b"<html><head><title>x</title></head><body><h1>Access denied</h1>\n<p>Sorry, you have "
        b"been blocked</p></body></html>"
    ),
    "AccessDenied Request has expired": (
        b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired"
        b"</Message></Error>"
    ),
    "see https://files.example/x?...": b"see https://files.example/x?signature=0123456789abcdef",
    "x" * 100 + "...": b"x" * 100_000,
}


@pytest.mark.matrix("words", "kind")
@every_kind
@pytest.mark.parametrize("words", PAGES)
def test_a_refusal_is_reported_with_its_words(
    host: Host, words: str, kind: Kind, tmp_path: Path
) -> None:
    """Their beginning, on one line, without markup and without what signs a link."""
    for content, headers in (
        (PAGES[words], {}),
        (gzip.compress(PAGES[words]), {"Content-Encoding": "gzip"}),
    ):
        host.play(Way(status=403, content=content, headers=headers))
        with pytest.raises(DownloadError) as caught:
            fetch(kind, host, tmp_path)
        text = f"the download failed: HTTP 403 instead of the file: {words}"
        assert (str(caught.value), caught.value.status) == (text, 403)


@every_kind
def test_a_refusal_that_breaks_off_is_still_one(host: Host, kind: Kind, tmp_path: Path) -> None:
    """Its status is known; its words are only words."""
    host.play(Way(status=403, content=b"no robots, please" * 9, stop=9))
    with pytest.raises(DownloadError, match="HTTP 403 instead of the file: no robots"):
        fetch(kind, host, tmp_path)
    assert len(host.asked) == 1


CUTS: Final = (5, 15, 16, 24, 31, HALF, LAST)


@pytest.mark.matrix("position+length", "kind")
@every_kind
@pytest.mark.parametrize("length", ["", str(len(FILM))], ids=["no-length", "length"])
@pytest.mark.parametrize("position", CUTS)
def test_a_film_that_was_cut_is_not_saved_as_whole(
    host: Host, position: int, length: str, kind: Kind, tmp_path: Path
) -> None:
    """Where no length says so, the film itself does; it is requested again."""
    host.play(Way(stop=position, headers={"Content-Length": length}))
    fetch(kind, host, tmp_path)
    whole(tmp_path)
    assert len(host.asked) == 2


@pytest.mark.matrix("position", "headers+kind")
@every_kind
@pytest.mark.parametrize("position", CUTS[2:])
@pytest.mark.parametrize("headers", [{}, {"Content-Length": ""}], ids=["length", "no-length"])
def test_a_film_that_lies_cut_on_the_server_is_given_up(
    host: Host, position: int, headers: dict[str, str], kind: Kind, tmp_path: Path
) -> None:
    """After a few tries, with a word on what is missing; nothing of it stays."""
    host.play()
    host.content = FILM[:position]
    host.ways = [Way(headers=headers)] * downloads.MAX_TRIES
    with pytest.raises(DownloadError, match="what arrived is not whole: it"):
        fetch(kind, host, tmp_path)
    assert len(host.asked) == downloads.IDLE_TRIES
    assert list(tmp_path.iterdir()) == []


@pytest.mark.matrix("position", "end+kind")
@every_kind
@every_end
@pytest.mark.parametrize("position", POSITIONS.values(), ids=POSITIONS)
def test_tries_end(host: Host, position: int, end: End, kind: Kind, tmp_path: Path) -> None:
    """Where nothing new arrives; what is here stays for the next time, under no name of a file."""
    host.give(0.05)  # however loaded the machine is, tries end
    host.play(*[Way(stop=position, end=end)] * downloads.MAX_TRIES)
    with pytest.raises(DownloadError):
        fetch(kind, host, tmp_path)
    # Where the machine is slow, a try may bring a piece: then it counts for one that brought
    # something new.
    assert len(host.asked) <= downloads.IDLE_TRIES + 1 + len(set(host.asked))
    assert host.hurried or len(host.asked) <= downloads.IDLE_TRIES + 2
    assert [path for path in tmp_path.iterdir() if path != part(tmp_path)] == []
    host.give(HANGS)
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
    """However many there are: one try would end later by itself, or not at all."""
    host.play(*[way] * 20)
    with pytest.raises(DownloadError, match="in time"):
        fetch(kind, host, tmp_path, deadline=0.4)
    assert [path for path in tmp_path.iterdir() if path != part(tmp_path)] == []


@every_kind
def test_a_pause_beyond_the_deadline_is_not_begun(host: Host, kind: Kind, tmp_path: Path) -> None:
    """The reason is told at once."""
    host.play(Way(status=503, headers={"Retry-After": "60"}))
    own = wire()
    own.clock = drivers.RealClock()
    with pytest.raises(DownloadError) as caught:
        fetch(kind, host, tmp_path, own, deadline=59.0)
    assert (caught.value.status, host.asked) == (503, [None])
