"""Downloading 200 MB from loopback to a file."""

from __future__ import annotations

import resource
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

import httpx
from polyreel.drivers import Wire, run
from polyreel.flows import Answer, Fetch, Flow, Saved
from polyreel.simulator import http

from .measuring import VENDOR, Peers, Row, serving, timed

SIZE: Final = 200_000_000


def serve() -> NoReturn:
    """Serve the file until killed."""
    head = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41\x00\x00\x00\x08moov"
    clip = head + struct.pack(">I4s", SIZE - len(head), b"mdat") + bytes(SIZE - len(head) - 8)
    answer = Answer(200, {"content-type": "video/mp4", "etag": '"film"'}, clip)
    with http.running(lambda _: answer) as url:
        print(url, flush=True)
        while True:
            time.sleep(60)


def downloading(peers: Peers) -> Iterator[Row]:
    """Beside plain httpx; and how much more memory the process had at its peak."""
    with serving(sys.argv[0], "--serve") as url, tempfile.TemporaryDirectory() as name:
        folder, wire = Path(name), Wire(private_downloads=True)
        for _ in range(
            2
        ):  # what is loaded only once does not count, nor does what the disk's cache begins with
            fetched(url, folder, wire)
            plainly(url, folder)
        before = peak()
        alone = [fetched(url, folder, wire) for _ in range(3)]
        extra = peak() - before
        own, peer = zip(
            *((fetched(url, folder, wire), plainly(url, folder)) for _ in range(8)), strict=True
        )
        theirs = peers.figures("download", "--download-url", url, only=("openai", "litellm"))
    best = min(*alone, *own)
    reported = speed(best)
    yield Row(
        "download 200 MB",
        reported,
        f"httpx to a file, {speed(min(peer))}",
        min(peer) / best,
        ">= 0.9",
    )
    yield Row("download 200 MB, more memory", f"{extra:.1f} MiB", "4 MiB", extra / 4, "<= 1")
    for who, figures in theirs.items():
        rate, more = figures["megabytes_per_second"], figures["extra_memory_mib"]
        yield Row(
            "download 200 MB",
            reported,
            f"{who}, {rate:.0f} MB/s, {more:.0f} MiB more",
            SIZE / 1e6 / best / rate,
        )


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def speed(seconds: float) -> str:
    """In words."""
    return f"{SIZE / seconds / 1e6:.0f} MB/s"


def fetched(url: str, folder: Path, wire: Wire) -> float:
    """Seconds that polyreel takes, with the file safe on the disk."""

    def fetching() -> Flow[Saved]:
        saved = yield Fetch(VENDOR, url, folder / "film", "video")
        assert isinstance(saved, Saved)
        return saved

    return timed(lambda: run(fetching(), wire))


def plainly(url: str, folder: Path) -> float:
    """Seconds that plain httpx takes."""

    def stream() -> None:
        with httpx.stream("GET", url) as response, (folder / "plain.mp4").open("wb") as file:
            for chunk in response.iter_bytes():
                file.write(chunk)

    return timed(stream)
