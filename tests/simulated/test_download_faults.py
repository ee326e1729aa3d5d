"""What goes wrong with downloads, and ranges of files, through a plain httpx client."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx
import pytest
from hypothesis import example as also
from hypothesis import given
from hypothesis import strategies as st
from polyreel.flows import Reply
from polyreel.mapping.media import file_suffix
from polyreel.providers.base.provider import Provider
from polyreel.serving.shapes import Picture
from polyreel.simulator import Simulator, VirtualClock
from polyreel.simulator.outputs import OutputFile
from polyreel.simulator.tasks import Task
from polyreel.simulator.transport import SimulatedTransport
from support.browser import DOWNLOADS, Browser, Kind, each_kind, ended, status_of
from support.server import PROVIDERS, START, each_vendor, new_simulator, poll

# -- downloads -------------------------------------------------------------------------------------


def link(simulator: Simulator, provider: Provider, task: Task) -> str:
    """The link to the first output of a job."""
    return poll(simulator, provider, task.id).urls[0]


@pytest.mark.matrix("name", "provider", "kind")
@pytest.mark.parametrize("name", DOWNLOADS)
@each_vendor
@each_kind
def test_a_download_can_go_wrong(name: str, provider: Provider, kind: Kind) -> None:
    """Once; afterwards the link gives the file again, whole or in part."""
    simulator = new_simulator()
    browser = Browser(simulator, kind)
    url = link(simulator, provider, ended(simulator, provider))
    whole = browser.get(url, headers={})
    simulator.inject(name)
    ranged = {"range": "bytes=100-"}
    seen = browser.ask("GET", url, headers=ranged if name.startswith("range") else {})
    assert status_of(seen) == DOWNLOADS[name]
    if isinstance(seen, httpx.Response):
        check_file(name, seen, whole)
    after = browser.get(url, headers=ranged)
    assert (after.status_code, after.content) == (206, whole.content[100:])
    assert simulator.fired == [(provider.id, name)]
    assert simulator.bill.count() == 1


def check_file(name: str, seen: httpx.Response, whole: httpx.Response) -> None:
    """What a spoiled file looks like."""
    same = seen.content == whole.content
    assert same == (name == "range-ignored")
    if name in {"file-html", "file-empty"}:
        assert (not seen.content) == (name == "file-empty")
        assert seen.headers["content-type"] != whole.headers["content-type"]
    if name == "range-wrong":
        assert (
            seen.headers["content-range"]
            == f"bytes 99-{len(whole.content) - 1}/{len(whole.content)}"
        )
        assert seen.content == whole.content[99:]
    if name == "range-refused":
        assert seen.headers["content-range"] == f"bytes */{len(whole.content)}"
    if name == "file-changed":
        assert seen.headers["etag"] != whole.headers["etag"]
        assert len(seen.content) != len(whole.content)
        assert file_suffix(seen.content[:16]) == file_suffix(whole.content[:16]) in {".mp4", ".png"}


def run(blocking: Any, awaiting: Any, kind: Kind, *arguments: Any) -> Any:
    """Call the one of two functions that a kind of client needs."""
    return asyncio.run(awaiting(*arguments)) if kind == "awaiting" else blocking(*arguments)


def pieces(simulator: Simulator, url: str, into: bytearray, length: int) -> None:
    """Fetch a file, blocking, and keep what comes."""
    with (
        httpx.Client(transport=SimulatedTransport(simulator)) as client,
        client.stream("GET", url) as response,
    ):
        assert response.headers["content-length"] == str(length)
        for chunk in response.iter_bytes():
            into += chunk


async def apieces(simulator: Simulator, url: str, into: bytearray, length: int) -> None:
    """Fetch a file, awaiting, and keep what comes."""
    transport = SimulatedTransport(simulator)
    async with (
        httpx.AsyncClient(transport=transport) as client,
        client.stream("GET", url) as response,
    ):
        assert response.headers["content-length"] == str(length)
        async for chunk in response.aiter_bytes():
            into += chunk


@each_kind
def test_a_cut_file_announces_its_length(kind: Kind) -> None:
    """Half of the bytes come, and then the connection is closed."""
    simulator, provider = new_simulator(), PROVIDERS[0]
    url = link(simulator, provider, ended(simulator, provider))
    whole = Browser(simulator, kind).get(url, headers={}).content
    simulator.inject("file-cut")
    got = bytearray()
    with pytest.raises(httpx.RemoteProtocolError):
        run(pieces, apieces, kind, simulator, url, got, len(whole))
    assert got == whole[: len(whole) // 2]


@each_vendor
def test_links_expire_and_are_signed_again(provider: Provider) -> None:
    """An old link does not work, nor one that was tampered with; every status query makes fresh
    ones.
    """
    simulator = new_simulator(link_seconds=60)
    task = ended(simulator, provider)
    old = link(simulator, provider, task)
    browser = Browser(simulator, "blocking")
    assert browser.get(old, headers={}).status_code == 200
    assert isinstance(simulator.clock, VirtualClock)
    simulator.clock.advance(61)
    issued = httpx.URL(old).params["issued"]
    assert browser.get(old, headers={}).status_code == 410
    for forged in (
        old.partition("?")[0],
        old.replace(issued, f"{simulator.clock.now():.3f}"),
        old + "\u00e9",
        old[:-1],
    ):
        assert browser.get(forged, headers={}).status_code == 403
    fresh = link(simulator, provider, task)
    assert fresh != old
    assert browser.get(fresh, headers={}).status_code == 200


def test_links_are_those_of_one_simulator() -> None:
    """Another one signs with another secret; without a limit nothing is signed."""
    for seeds, same in (((1, 1), True), ((1, 2), False), ((None, None), False)):
        made = [
            Simulator(seed=seed, link_seconds=1).links("somebody").url("task", "1.mp4", START)
            for seed in seeds
        ]
        assert (made[0] == made[1]) == same
    assert Simulator().links("somebody").url("task", "1.mp4", START).endswith("/outputs/task/1.mp4")


# -- ranges ----------------------------------------------------------------------------------------


TINY: Final = Picture(0, 8, 8, False, "", ())


def fetch(headers: dict[str, str] | None = None, method: str = "GET") -> Reply:
    """A small picture."""
    return OutputFile(TINY, 1, START, method, headers or {}).reply()


BYTES: Final = fetch().content
positions = st.integers(0, len(BYTES) + 10)


@given(positions, st.none() | positions)
@also(len(BYTES) - 1, None)
@also(len(BYTES), None)
@also(0, len(BYTES) * 10**9)
def test_a_range_is_a_slice(start: int, end: int | None) -> None:
    """The bytes from the first to the last that was asked for, told in Content-Range; 416 beyond
    the end.
    """
    reply = fetch({"range": f"bytes={start}-{'' if end is None else end}"})
    expected = BYTES[start:] if end is None else BYTES[start : end + 1]
    if end is not None and end < start:
        assert (reply.status, reply.content) == (200, BYTES)
    elif start >= len(BYTES):
        assert (reply.status, reply.headers["content-range"]) == (416, f"bytes */{len(BYTES)}")
    else:
        reported = f"bytes {start}-{start + len(expected) - 1}/{len(BYTES)}"
        assert (reply.status, reply.content, reply.headers["content-range"]) == (
            206,
            expected,
            reported,
        )
    assert reply.headers["accept-ranges"] == "bytes"


def test_other_ranges_are_ignored() -> None:
    """Several, of other units, from the end, and nonsense."""
    for text in (
        "bytes=0-1,3-4",
        "bytes=-5",
        "lines=1-2",
        "bytes=a-",
        "bytes=",
        "",
        "bytes=\u00b2-",
        f"bytes={'9' * 5000}-",
    ):
        assert (fetch({"range": text}).status, fetch({"range": text}).content) == (200, BYTES)


def test_a_range_of_another_version_is_the_whole_file() -> None:
    """If-Range holds the strong ETag or the exact date; anything else means that the file has
    changed.
    """
    about = fetch().headers
    for validator, status in (
        (about["etag"], 206),
        (about["last-modified"], 206),
        ('"other"', 200),
        (f"W/{about['etag']}", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
        ("", 200),
    ):
        reply = fetch({"range": "bytes=5-", "if-range": validator})
        assert (reply.status, reply.content) == (status, BYTES[5:] if status == 206 else BYTES)


def test_headers_can_be_asked_for_alone() -> None:
    """HEAD tells what GET would, ranges aside, and faults do not meet it."""
    simulator, provider = new_simulator(), PROVIDERS[0]
    url = link(simulator, provider, ended(simulator, provider))
    browser = Browser(simulator, "blocking")
    simulator.inject("file-500")
    head = browser.ask("HEAD", url, headers={"range": "bytes=5-"})
    assert isinstance(head, httpx.Response)
    assert (head.status_code, head.content) == (200, b"")
    simulator.calm()
    whole = browser.get(url, headers={})
    for name in ("content-length", "etag", "last-modified", "content-type", "accept-ranges"):
        assert head.headers[name] == whole.headers[name]
