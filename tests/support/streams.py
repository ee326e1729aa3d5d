"""Event streams of vendors, and what the tests of streams start from."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import pytest
from polyreel import Job, Simulator
from polyreel.drivers.streams import Events
from polyreel.flows import EVENT_STREAM
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import FAULTS, server
from polyreel_generated.contracts.vendors import VendorId

from support.faults import CANARIES, SILENCE, VENDORS, Answer, Clients, Kind

from .waiting import HANGS

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


def reported(pieces: list[bytes]) -> list[bytes]:
    parser = Events()
    return [event for piece in pieces for event in parser.feed(piece)]


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


class Scene:
    """A simulated vendor, both clients, a ledger, and what they heard."""

    def __init__(self, path: Path, url: str | None, simulator: Simulator) -> None:
        self.simulator, self.ledger, self.received = (
            simulator,
            Ledger(path / "ledger.sqlite3"),
            list[Job](),
        )
        settings: dict[str, Any] = {"ledger": self.ledger, "listener": self.received.append}
        if url is None:
            settings["simulator"] = simulator
        else:
            base_urls = {vendor: url + mount for vendor, mount in server.mounts().items()}
            settings |= {"keys": CANARIES, "base_urls": base_urls, "call_timeout": HANGS}
        self.clients = Clients(**settings)
        for client in self.clients.by_kind.values():
            client.wire.clock = simulator.clock

    def generate(self, kind: Kind, vendor: VendorId, folder: Path, **options: Any) -> Job:
        made = self.clients.by_kind[kind].plan(REQUEST, vendor, stream=True)
        job = self.clients.do(
            kind, "generate", made, output=folder, timeout=HANGS * SPEED, **options
        )
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
