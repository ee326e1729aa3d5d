"""Downloading 200 MB from loopback to a file."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
from polyreel import Network
from polyreel.drivers import Wire, arun, run
from polyreel.flows import Fetch, Flow, Saved

from .file_server import PIECE, SIZE, authority
from .measuring import VENDOR, Figure, Peers, Row, in_turns, serving

PEERS: Final = ("openai", "litellm")


def downloading(peers: Peers) -> Iterator[Row]:
    """Plain and in TLS, beside httpx, which does not wait for the disk; and beside the least that
    it can be, with the file as safe on the disk.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = authority(folder)
        ca, leaf = made or (None, "")
        with serving(sys.argv[0], "--serve", str(leaf)) as urls:
            for url in urls.split():
                yield from _of(url, folder, ca, peers)


def _of(url: str, folder: Path, ca: Path | None, peers: Peers) -> Iterator[Row]:
    film = folder / "film"
    wire = Wire(private_downloads=True, network=Network(ca=ca))
    tls = ssl.create_default_context(cafile=ca)
    what = f"download 200 MB{' in TLS' if url.startswith('https') else ''}"

    def fetching() -> Flow[Saved]:
        saved = yield Fetch(VENDOR, url, film, "video")
        assert isinstance(saved, Saved)
        return saved

    def fetched() -> None:
        run(fetching(), wire)

    ways: Mapping[str, Callable[[], object]] = {
        "own": fetched,
        "own awaited": lambda: asyncio.run(arun(fetching(), wire)),
        "httpx": lambda: plainly(url, film, tls),
        "httpx awaited": lambda: asyncio.run(aplainly(url, film, tls)),
        "limit": lambda: barely(url, film, tls),
    }
    for way in ways.values():  # what is loaded only once does not count, nor does it in memory
        way()
        emptied(folder)
    before = peak()
    fetched()
    extra = peak() - before
    found = in_turns(ways, between=lambda: emptied(folder))
    own, awaited = found["own"], found["own awaited"]
    limit = f"recv_into, write and fsync, {speed(found['limit'])}"
    yield Row(what, speed(own), f"httpx, {speed(found['httpx'])}", found["httpx"] / own, ">= 1.3")
    beside = f"httpx, {speed(found['httpx awaited'])}"
    ratio = found["httpx awaited"] / awaited
    yield Row(f"{what}, awaited", speed(awaited), beside, ratio, ">= 1.3")
    yield Row(what, speed(own), limit, found["limit"] / own)
    yield Row(f"{what}, more memory", f"{extra:.1f} MiB", "4 MiB", extra / 4, "<= 1")
    trusted = {"SSL_CERT_FILE": str(ca)} if url.startswith("https") else {}
    for who, figures in peers.figures(
        "download", "--download-url", url, only=PEERS, environment=trusted
    ).items():
        rate, more = figures["megabytes_per_second"], figures["extra_memory_mib"]
        reported = f"{who}, {rate:.0f} MB/s, {more:.0f} MiB more"
        yield Row(what, speed(own), reported, SIZE / 1e6 / own.median / rate, ">= 1")


def emptied(folder: Path) -> None:
    """Delete the films: no download may find the last one."""
    for path in folder.glob("film*"):
        path.unlink()


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def speed(seconds: Figure) -> str:
    """In words."""
    return seconds.shown(lambda one: SIZE / one / 1e6, "MB/s")


def plainly(url: str, path: Path, tls: ssl.SSLContext) -> None:
    """With plain httpx."""
    with (
        httpx.Client(verify=tls, trust_env=False) as client,
        client.stream("GET", url) as response,
        path.open("wb") as file,
    ):
        for chunk in response.iter_bytes():
            file.write(chunk)


async def aplainly(url: str, path: Path, tls: ssl.SSLContext) -> None:
    """The same, awaited."""
    async with (
        httpx.AsyncClient(verify=tls, trust_env=False) as client,
        client.stream("GET", url) as response,
    ):
        with path.open("wb") as file:
            async for chunk in response.aiter_bytes():
                file.write(chunk)


def barely(url: str, path: Path, tls: ssl.SSLContext) -> None:
    """With nothing but a socket and a file, which is safe on the disk at the end."""
    place = urlsplit(url)
    connection = socket.create_connection((place.hostname or "", place.port or 0))
    if place.scheme == "https":
        connection = tls.wrap_socket(connection, server_hostname=place.hostname)
    buffer = memoryview(bytearray(PIECE))
    with connection, path.open("wb", buffering=0) as file:
        connection.sendall(b"GET /film HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1000)
        body = head.partition(b"\r\n\r\n")[2]
        file.write(body)
        left = SIZE - len(body)
        while left:
            count = connection.recv_into(buffer)
            file.write(buffer[:count])
            left -= count
        os.fsync(file.fileno())
