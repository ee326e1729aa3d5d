"""The bytes of downloads: straight from their sockets, plain and within TLS, or not."""

import asyncio
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
from polyreel import Network, drivers
from polyreel.drivers import downloads, fetching
from polyreel.drivers.parts import Partial
from polyreel.errors import DownloadError
from polyreel.flows import Saved
from support.faults import Hasty, Kind, every_kind
from support.hosts import (
    FILM,
    HALF,
    LAST,
    End,
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
)
from support.proxies import Authority
from support.waiting import HANGS, until

LARGE: Final = film(4, 3_000_000)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who certifies the hosts."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    return Authority(tmp_path_factory.mktemp("authority")).make()


def tls_of(authority: Authority) -> ssl.SSLContext:
    """A server's side."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.leaf)
    return tls


@contextmanager
def serving(authority: Authority | None) -> Iterator[Host]:
    """A host of files, within TLS where there is an authority."""
    host = Host()
    with Server(("127.0.0.1", 0), handler_for(host)) as server:
        if authority is not None:
            server.socket = tls_of(authority).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        scheme = "http" if authority is None else "https"
        host.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/x"
        yield host
        host.over.set()
        server.shutdown()
        thread.join(HANGS)


@pytest.fixture(scope="module")
def plain() -> Iterator[Host]:
    with serving(None) as host:
        yield host


@pytest.fixture(scope="module")
def secure(authority: Authority) -> Iterator[Host]:
    with serving(authority) as host:
        yield host


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """What kinds of pieces were written to parts: those from a socket lie in shared memory."""
    kinds: list[type] = []
    write = Partial.write

    def noted(self: Partial, chunk: bytes | memoryview) -> None:
        kinds.append(type(chunk))
        write(self, chunk)

    monkeypatch.setattr(Partial, "write", noted)
    return kinds


def wire(authority: Authority, proxy: str | None = None) -> drivers.Wire:
    network = Network(ca=authority.ca, proxy=proxy)
    return drivers.Wire(private_downloads=True, clock=Hasty(), network=network)


# --- straight from the socket, or not -------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("tls", [False, True])
def test_a_body_of_a_known_length_comes_from_the_socket(
    authority: Authority, written: list[type], tls: bool, kind: Kind, tmp_path: Path
) -> None:
    with serving(authority if tls else None) as host:
        host.content = LARGE
        assert fetch(kind, host, tmp_path, wire(authority)).size == len(LARGE)
    whole(tmp_path, LARGE)
    assert set(written) == {bytes, memoryview}


@every_kind
def test_tls_within_tls_is_left_to_the_library(
    secure: Host, authority: Authority, written: list[type], kind: Kind, tmp_path: Path
) -> None:
    """Behind a proxy that is spoken to in TLS, the socket gives bytes of the inner TLS."""
    secure.play()
    secure.content = LARGE
    with tunnel(authority, secure) as url:
        assert fetch(kind, secure, tmp_path, wire(authority, url)).size == len(LARGE)
    whole(tmp_path, LARGE)
    assert set(written) == {bytes}


@contextmanager
def tunnel(authority: Authority, host: Host) -> Iterator[str]:
    """A proxy in TLS that leads every CONNECT to one host."""
    port = int(host.url.rsplit(":", 1)[1].removesuffix("/x"))

    def carry(from_: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := from_.recv(65536):
                to.sendall(data)
        with suppress(OSError):
            to.shutdown(socket.SHUT_RDWR)

    def connect(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", port)) as server:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=carry, args=(server, client), daemon=True)
            back.start()
            carry(client, server)
            back.join(HANGS)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=connect, args=(client,), daemon=True).start()

    raw = socket.create_server(("127.0.0.1", 0))
    with tls_of(authority).wrap_socket(raw, server_side=True) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        socket.socket.shutdown(listener, socket.SHUT_RDWR)
        thread.join(HANGS)


# --- what breaks off ------------------------------------------------------------------------------


@pytest.mark.matrix("position+end", "kind")
@every_kind
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("position", [1, HALF, LAST])
def test_what_breaks_off_within_tls_is_continued(
    secure: Host, authority: Authority, position: int, end: End, kind: Kind, tmp_path: Path
) -> None:
    """From the byte that is missing, as without TLS."""
    secure.play(Way(stop=position, end=end))
    assert fetch(kind, secure, tmp_path, wire(authority)).size == len(FILM)
    whole(tmp_path)
    assert [bool(asked) for asked in secure.asked][:1] == [False]
    if end == "close":
        assert secure.asked == [None, f"bytes={position}-"]


@every_kind
def test_what_stalls_within_tls_is_continued(
    secure: Host,
    authority: Authority,
    kind: Kind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What came before is kept, though a piece was still being gathered."""
    secure.give = lambda seconds: monkeypatch.setattr(downloads, "STALLED_SECONDS", seconds)
    for folder in secure.scenes("stall", tmp_path):
        secure.play(Way(stop=HALF, end="stall"))
        assert fetch(kind, secure, folder, wire(authority)).size == len(FILM)
        whole(folder)
    assert secure.asked == [None, f"bytes={HALF}-"]


@every_kind
def test_a_deadline_cuts_a_stalled_download(plain: Host, kind: Kind, tmp_path: Path) -> None:
    """Long before the silence of the host would."""
    plain.play(Way(stop=HALF, end="stall"))
    with pytest.raises(DownloadError, match="in time"):
        fetch(kind, plain, tmp_path, deadline=0.5)


# --- awaited downloads ----------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 2])
def test_more_downloads_than_threads_share_the_loop(
    plain: Host, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None waits for another."""
    monkeypatch.setattr(fetching, "MAX_THREADS", threads)
    plain.play()
    own = drivers.Wire(private_downloads=True)

    async def crowd() -> list[Saved]:
        folders = [tmp_path / str(number) for number in range(5)]
        return await asyncio.gather(*(drivers.arun(step(plain, one), own) for one in folders))

    assert [saved.size for saved in asyncio.run(crowd())] == [len(FILM)] * 5
    assert own.downloading == set()


def test_the_thread_of_a_cancelled_download_touches_nothing_more(
    plain: Host, tmp_path: Path
) -> None:
    """Its connection is cut at once, and the next download can have the part."""
    plain.play(Way(stop=HALF, end="stall"))
    own = drivers.Wire(private_downloads=True)

    async def cancelled() -> None:
        task = asyncio.create_task(drivers.arun(step(plain, tmp_path), own))
        await asyncio.to_thread(until, lambda: arrived(tmp_path) > HALF - 10_000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        here = part(tmp_path).stat().st_size
        await asyncio.to_thread(until, lambda: not own.downloading)
        assert part(tmp_path).stat().st_size == here

    asyncio.run(cancelled())


def test_a_download_that_is_cancelled_before_its_answer_begins_nothing(
    plain: Host, tmp_path: Path
) -> None:
    """The thread may hear of the answer only later."""
    plain.play(Way(stop=-1, end="stall"))
    own = drivers.Wire(private_downloads=True)

    async def cancelled() -> None:
        task = asyncio.create_task(drivers.arun(step(plain, tmp_path), own))
        await asyncio.to_thread(until, lambda: plain.asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(until, lambda: not own.downloading)

    with ExitStack() as stack:
        stack.callback(plain.over.set)
        asyncio.run(cancelled())
    assert list(tmp_path.iterdir()) == []
