"""A vendor's links and names reach the public internet, and nothing else."""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polyreel import drivers
from polyreel.drivers import addresses, downloads
from polyreel.errors import DownloadError
from polyreel.flows import Fetch, Flow
from polyreel.hosts import is_public
from support.addresses import (
    FILM,
    LINKS,
    NAMES,
    PRIVATE_4,
    PRIVATE_6,
    PUBLIC,
    Names,
    fetch,
    wrapped,
)
from support.faults import FaultServer, Kind, every_kind, http, stopwatch
from support.waiting import HANGS


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


# --- addresses ------------------------------------------------------------------------------------


def test_what_is_not_public() -> None:
    """However it is wrapped."""
    addresses = [*PRIVATE_4, *PRIVATE_6, *(each for one in PRIVATE_4 for each in wrapped(one))]
    assert len(addresses) > 250
    assert [one for one in addresses if is_public(ipaddress.ip_address(one))] == []


def test_what_is_public() -> None:
    """Also IPv4 hosts as networks without IPv4 see them."""
    addresses = [*PUBLIC, "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
    assert [one for one in addresses if not is_public(ipaddress.ip_address(one))] == []


# --- links ----------------------------------------------------------------------------------------


def test_there_are_many_links() -> None:
    """Each is tried with both drivers."""
    assert len(LINKS) >= 250


@every_kind
def test_a_link_into_the_network_at_home_is_not_followed(
    server: FaultServer, connects: list[str], kind: Kind, tmp_path: Path
) -> None:
    """Refused before any connection is begun, and told as a failed download."""
    server.play(http(200, FILM))
    wrong: list[tuple[str, str]] = []
    for link in LINKS:
        names = Names(NAMES)
        try:
            fetch(kind, link.replace("PORT", str(server.port)), tmp_path, names)
        except DownloadError as error:
            if error.vendor != "vendor":
                wrong.append((link, f"told of {error.vendor}"))
        else:
            wrong.append((link, "followed"))
        if connects or server.connections or any(tmp_path.iterdir()):
            wrong.append((link, f"connected to {connects}"))
            connects.clear()
            server.play(http(200, FILM))
        if len(names.asked) > 1:
            wrong.append((link, f"asked for {names.asked}"))
    assert wrong == []


@pytest.mark.matrix("port", "scheme+kind")
@every_kind
@pytest.mark.parametrize("port", ["", ":80", ":443", ":1024", ":8080", ":65535"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_public_link_goes_to_the_address_that_was_checked(
    connects: list[str],
    scheme: str,
    port: str,
    kind: Kind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its name is not looked up again: where connecting fails, the next checked address is tried,
    in order.
    """

    def refuse(*_: Any, **__: Any) -> Any:
        raise ConnectionRefusedError(111, "refused")

    async def arefuse(*_: Any, **__: Any) -> Any:
        refuse()

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", arefuse)
    names = Names({"cdn.example": PUBLIC})
    with pytest.raises(DownloadError, match="connection failed"):
        fetch(kind, f"{scheme}://cdn.example{port}/x", tmp_path, names)
    assert connects == list(PUBLIC) * downloads.IDLE_TRIES
    assert names.asked == ["cdn.example"] * downloads.IDLE_TRIES


# --- resolvers ------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize(
    "error",
    [
        UnicodeError("label empty or too long"),
        ValueError("embedded null byte"),
        OSError("no network"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"),
    ],
)
def test_a_host_that_is_not_known_is_a_failed_download(
    error: Exception, kind: Kind, tmp_path: Path
) -> None:
    """Asked for once, whatever the resolver raises."""
    asked = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        raise error

    with pytest.raises(DownloadError, match="the host is not known"):
        fetch(kind, "https://cdn.example/x", tmp_path, resolver)
    assert asked == ["cdn.example"]


@every_kind
@pytest.mark.usefixtures("loopback_is_public")
def test_a_resolver_that_is_away_for_a_moment(
    server: FaultServer, kind: Kind, tmp_path: Path
) -> None:
    """It is asked again."""
    server.play(http(200, FILM))
    answers: list[Any] = [socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), ["127.0.0.1"]]

    def resolver(host: str, port: int) -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        found: list[str] = answer
        return found

    assert fetch(kind, f"http://cdn.example:{server.port}/x", tmp_path, resolver).size == len(FILM)


@every_kind
def test_a_resolver_that_hangs_ends_at_the_deadline(kind: Kind, tmp_path: Path) -> None:
    """Nobody waits for it, not even the end of the loop."""
    over, ended = threading.Event(), threading.Event()

    def resolver(host: str, port: int) -> list[str]:
        over.wait(HANGS)
        ended.set()
        return []

    with stopwatch() as seconds:
        with pytest.raises(DownloadError, match="in time"):
            short(kind, tmp_path, resolver)
        assert seconds() > 0.2
    assert not ended.is_set()
    over.set()


def short(kind: Kind, folder: Path, resolver: addresses.Resolver) -> Any:
    wire = drivers.Wire(resolver=resolver)

    def step() -> Flow[Any]:
        return (yield Fetch("vendor", "https://cdn.example/x", folder / "clip-1", deadline=0.25))

    return (
        drivers.run(step(), wire) if kind == "blocking" else asyncio.run(drivers.arun(step(), wire))
    )


def test_the_systems_resolver_is_asked_by_default() -> None:
    """For numbers it needs no network."""
    assert drivers.Wire().resolver is addresses.look_up
    assert set(addresses.look_up("127.1", 80)) == {"127.0.0.1"}
    assert set(addresses.look_up("::1", 80)) == {"::1"}
