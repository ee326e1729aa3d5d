"""Where files may come from: a vendor's links, redirects and names reach the public internet, and nothing else."""

import asyncio
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from attrs import Factory, define
from polyreel import drivers
from polyreel.drivers import addresses, downloads
from polyreel.drivers.watch import Watch
from polyreel.errors import DownloadError
from polyreel.flows import Fetch, Flow, Saved
from polyreel.hosts import is_public
from polyreel.keys import Secret
from support.faults import CLOSE, FILES, FaultServer, Hasty, Kind, every_kind, http, stopwatch

FILM: Final = FILES["video/mp4"]
KEY: Final = "sk-CANARY-0001-0123456789abcdef"
PUBLIC: Final = (
    "8.8.8.8",
    "1.1.1.1",
    "151.101.1.69",
    "2606:4700::6810:84e5",
    "2a00:1450:4001:81b::200e",
)


@define
class Names:
    """A resolver that knows these names, and reads numbers as the system's does."""

    known: Mapping[str, Sequence[Any]] = Factory(dict)
    asked: list[str] = Factory(list)

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        found = self.known.get(host.rstrip(".").lower())
        if found is not None:
            return [str(address) for address in found]
        places = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
        return [str(place[0]) for *_, place in places]


@define
class Rebinding:
    """A resolver that says something else each time."""

    answers: list[list[str]]
    asked: int = 0

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every address that a connection was begun to."""
    begun: list[str] = []
    see, asee = Watch.see, Watch.asee

    def heard(event: str, info: Mapping[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            begun.append(info["host"])

    def sees(self: Watch, event: str, info: Mapping[str, Any]) -> None:
        heard(event, info)
        see(self, event, info)

    async def asees(self: Watch, event: str, info: Mapping[str, Any]) -> None:
        heard(event, info)
        await asee(self, event, info)

    monkeypatch.setattr(Watch, "see", sees)
    monkeypatch.setattr(Watch, "asee", asees)
    return begun


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.fixture
def loopback_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 127.0.0.1, and no other address of this machine, stand for a public host."""
    monkeypatch.setattr(
        addresses, "is_public", lambda address: str(address) == "127.0.0.1" or is_public(address)
    )


def fetch(
    kind: Kind, url: str, folder: Path, resolver: addresses.Resolver, **options: Any
) -> Saved:
    wire = drivers.Wire(clock=Hasty(), resolver=resolver, **options)

    def step() -> Flow[Saved]:
        saved = yield Fetch("vendor", url, folder / "clip-1", "video", deadline=5.0)
        assert isinstance(saved, Saved)
        return saved

    return (
        drivers.run(step(), wire) if kind == "blocking" else asyncio.run(drivers.arun(step(), wire))
    )


# --- addresses ------------------------------------------------------------------------------------

PRIVATE_4: Final = (
    *(
        "127.0.0.1",
        "127.0.0.2",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
    ),
    *(
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "169.254.169.254",
        "169.254.0.1",
        "100.64.0.1",
    ),
    *(
        "100.100.100.200",
        "100.127.255.255",
        "168.63.129.16",
        "192.0.0.1",
        "192.0.0.9",
        "192.0.0.192",
        "192.0.2.1",
    ),
    *(
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "224.0.0.1",
        "239.255.255.255",
    ),
    *("240.0.0.1", "255.255.255.255"),
)
PRIVATE_6: Final = (
    *(
        "::1",
        "::",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "ff0e::1",
        "100::1",
    ),
    *(
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:10::1",
    ),
    *(
        "2001:20::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2002:808:808::1",
        "64:ff9b:1::1",
        "64:ff9b:1::808:808",
    ),
    *("::7f00:1", "::808:808", "::ffff:0:7f00:1", "0200::1", "4000::1", "e000::1"),
)


def wrapped(address: str) -> Iterator[str]:
    """The IPv6 addresses that lead to an IPv4 address."""
    number = int(ipaddress.IPv4Address(address))
    high, low = number >> 16, number & 0xFFFF
    yield from (
        f"::ffff:{address}",
        f"::ffff:{high:x}:{low:x}",
        f"64:ff9b::{high:x}:{low:x}",
        f"64:ff9b::{address}",
    )
    yield from (f"2002:{high:x}:{low:x}::1", f"64:ff9b:1::{high:x}:{low:x}", f"::{address}")


@pytest.mark.parametrize(
    "address", [*PRIVATE_4, *PRIVATE_6, *(each for one in PRIVATE_4 for each in wrapped(one))]
)
def test_what_is_not_public(address: str) -> None:
    """However it is wrapped."""
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", [*PUBLIC, "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_what_is_public(address: str) -> None:
    """Also IPv4 hosts as networks without IPv4 see them."""
    assert is_public(ipaddress.ip_address(address))


# --- links ----------------------------------------------------------------------------------------


def spelled(address: str) -> Iterator[str]:
    """An IPv4 address as resolvers read it."""
    number = int(ipaddress.IPv4Address(address))
    parts = [int(part) for part in address.split(".")]
    yield from (address, str(number), hex(number), f"0{number:o}")
    yield ".".join(f"0{part:o}" for part in parts)
    yield ".".join(hex(part) for part in parts)
    yield f"{parts[0]}.{number & 0xFFFFFF}"
    yield address.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
    yield address.replace(".", "\u3002")


NAMES: Final[dict[str, list[str]]] = {
    "localhost": ["127.0.0.1"],
    "loop.example": ["127.0.0.1"],
    "loop6.example": ["::1"],
    "metadata.example": ["169.254.169.254"],
    "xn--bcher-kva.example": ["10.0.0.1"],
    "first.example": ["127.0.0.1", "8.8.8.8"],
    "last.example": ["8.8.8.8", "2606:4700::1", "127.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat.example": ["64:ff9b::7f00:1"],
    "scoped.example": ["fe80::1%1"],
    "scoped-public.example": ["2606:4700::1%1"],
    "nowhere.example": [],
    "nonsense.example": ["not an address"],
    "octal.example": ["0177.0.0.1"],
    "public.example": ["8.8.8.8"],
}
HOSTS: Final = (
    *dict.fromkeys(
        each for address in (*PRIVATE_4[:8], *PRIVATE_4[11:17:2]) for each in spelled(address)
    ),
    *PRIVATE_4[8:],
    *(f"[{address}]" for address in PRIVATE_6),
    *(
        f"[{each}]"
        for address in ("127.0.0.1", "169.254.169.254", "10.0.0.1")
        for each in wrapped(address)
    ),
    *(
        "[0:0:0:0:0:0:0:1]",
        "[0000:0000:0000:0000:0000:0000:0000:0001]",
        "[fe80::1%25lo]",
        "[::1%25lo]",
        "127.0.0.1.",
    ),
    *(
        "127.000.000.001",
        "0",
        "127.0.1",
        "0x7f.1",
        "0177.1",
        "2130706433.",
        "127.1.",
        "%31%32%37.0.0.1",
        "127%2e0.0.1",
    ),
    *(name for name in NAMES if name != "public.example"),
    *(
        "LOCALHOST",
        "localhost.",
        "LoCaLhOsT.",
        "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
        "b\u00fccher.example",
    ),
    *(
        "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
        "loop\u3002example",
        "loop.example.",
        "unknown.example",
    ),
    *(
        "a" * 64 + ".example",
        "a..example",
        ".example",
        "-",
        "_",
        "*",
        "%",
        "%00",
        "[",
        "[::1",
        "::1",
        "[::1]]",
        "[v1.x]",
    ),
    *(
        "user@public.example",
        "user:password@public.example",
        ":@public.example",
        "public.example@127.0.0.1",
    ),
    *(
        "public.example%40127.0.0.1",
        "127.0.0.1\\@public.example",
        "public.example\\@127.0.0.1",
        "public.example\t@::1",
    ),
    *(
        "loop.exa\nmple",
        "loop.\texample",
        " loop.example",
        "loop.example\r\nX-Evil: 1",
        "127.0.0.1\x00.public.example",
    ),
)
_LINKS: Final = (
    *(f"http://{host}:PORT/x.mp4" for host in HOSTS),
    *(
        f"https://{host}:PORT/x.mp4"
        for host in ("127.0.0.1", "[::1]", "localhost", "2130706433", "metadata.example")
    ),
    *(
        f"http://{host}/x.mp4"
        for host in ("127.0.0.1", "[::1]", "localhost", "metadata.example", "last.example")
    ),
    *(
        f"http://public.example:{port}/x"
        for port in ("0", "1", "22", "25", "53", "445", "1023", "65536", "99999", "-1")
    ),
    *(
        f"http://public.example:{port}/x"
        for port in ("x", "0x50", "\uff18\uff10x", "80:80", "80@127.0.0.1:PORT")
    ),
    *(
        f"{scheme}://127.0.0.1:PORT/x"
        for scheme in ("ftp", "file", "gopher", "ws", "wss", "dict", "http+unix", "unix")
    ),
    *(
        "//127.0.0.1:PORT/x",
        "http:/127.0.0.1:PORT/x",
        "http:127.0.0.1:PORT/x",
        "http:///127.0.0.1:PORT/x",
        "http://",
    ),
    *(
        "https://",
        "http:",
        "http://?x",
        "http://#x",
        "127.0.0.1:PORT/x",
        "data:video/mp4,x",
        "file:///etc/passwd",
        "",
    ),
    *(
        "http://127.0.0.1:PORT#@public.example",
        "http://127.0.0.1:PORT?@public.example",
        "javascript:alert(1)",
        "\x00",
    ),
)
LINKS: Final = tuple(dict.fromkeys(_LINKS))


def test_there_are_many_links() -> None:
    """Each is tried with both drivers."""
    assert len(LINKS) >= 250


@every_kind
@pytest.mark.parametrize("link", LINKS, ids=range(len(LINKS)))
def test_a_link_into_the_network_at_home_is_not_followed(
    server: FaultServer, connects: list[str], link: str, kind: Kind, tmp_path: Path
) -> None:
    """Refused before any connection is begun, and told as a failed download."""
    server.play(http(200, FILM))
    names = Names(NAMES)
    with pytest.raises(DownloadError) as caught:
        fetch(kind, link.replace("PORT", str(server.port)), tmp_path, names)
    assert connects == []
    assert server.connections == 0
    assert len(names.asked) <= 1
    assert caught.value.vendor == "vendor"
    assert list(tmp_path.iterdir()) == []


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
    """Its name is not looked up again: where connecting fails, the next checked address is tried, in order."""

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


# --- pinning --------------------------------------------------------------------------------------


@every_kind
@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize(
    "host", ["cdn.example", "CDN.example", "cdn.example.", "b\u00fccher.example", "127.0.0.1"]
)
def test_the_connection_is_made_to_the_checked_address(
    server: FaultServer, connects: list[str], host: str, kind: Kind, tmp_path: Path
) -> None:
    """And the host is told its own name."""
    server.play(http(200, FILM))
    resolver = Rebinding([["127.0.0.1", "127.0.0.1"], ["10.0.0.1"]])
    assert fetch(kind, f"http://{host}:{server.port}/x?y=%2F#z", tmp_path, resolver).size == len(
        FILM
    )
    assert (connects, resolver.asked) == (["127.0.0.1"], 1)
    (request,) = server.requests
    name = host.lower() if host.isascii() else "xn--bcher-kva.example"
    assert (request.target, request.headers["host"]) == ("/x?y=%2F", f"{name}:{server.port}")
    assert "authorization" not in request.headers


@every_kind
@pytest.mark.usefixtures("loopback_is_public")
def test_a_name_that_changes_sides_is_checked_again(
    server: FaultServer, connects: list[str], kind: Kind, tmp_path: Path
) -> None:
    """Public for the first try, private for the second: the second is not made."""
    server.play(CLOSE, http(200, FILM))
    resolver = Rebinding([["127.0.0.1"], ["127.0.0.2"]])
    with pytest.raises(DownloadError, match="public internet"):
        fetch(kind, f"http://cdn.example:{server.port}/x", tmp_path, resolver)
    assert (connects, resolver.asked, len(server.requests)) == (["127.0.0.1"], 2, 1)


@every_kind
def test_an_address_that_refuses_is_followed_by_the_next(
    server: FaultServer,
    connects: list[str],
    kind: Kind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one try."""
    monkeypatch.setattr(addresses, "is_public", lambda address: address.is_loopback)
    server.play(http(200, FILM))
    resolver = Rebinding([["127.0.0.9", "127.0.0.8", "127.0.0.1", "127.0.0.7"]])
    fetch(kind, f"http://cdn.example:{server.port}/x", tmp_path, resolver)
    assert connects == ["127.0.0.9", "127.0.0.8", "127.0.0.1"]


@every_kind
@pytest.mark.usefixtures("loopback_is_public")
def test_hosts_at_one_address_share_no_connection_and_no_cookie(
    server: FaultServer, connects: list[str], kind: Kind, tmp_path: Path
) -> None:
    """What one of them set is not told to the other."""
    redirect = http(
        302, b"", {"Location": f"http://b.example:{server.port}/y", "Set-Cookie": "a=1; Path=/"}
    )
    server.play(redirect, http(200, FILM))
    fetch(kind, f"http://a.example:{server.port}/x", tmp_path, Rebinding([["127.0.0.1"]]))
    assert (len(connects), server.connections) == (2, 2)
    assert [request.headers["host"][:9] for request in server.requests] == [
        "a.example",
        "b.example",
    ]
    assert not any("cookie" in request.headers for request in server.requests)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for cdn.example that nobody else trusts, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subject = [
        "-subj",
        "/CN=x",
        "-addext",
        "subjectAltName=DNS:cdn.example",
        "-days",
        "2",
        "-nodes",
    ]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command = [
        "openssl",
        "req",
        "-x509",
        *curve,
        *subject,
        "-keyout",
        str(path),
        "-out",
        f"{path}.crt",
    ]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def tls_server(certificate: Path, seen: list[str | None]) -> tuple[socket.socket, threading.Thread]:
    """Serves the film over TLS until its listener is closed; keeps the names that clients asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _, name, __: seen.append(name)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(raw, server_side=True) as connection:
                    connection.recv(65536)
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(FILM) + FILM
                    )
            except OSError:
                raw.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener, thread


@every_kind
@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize(
    ("host", "good"), [("cdn.example", True), ("cdn.example.", True), ("evil.example", False)]
)
def test_tls_is_for_the_name_and_not_for_the_address(
    certificate: Path,
    host: str,
    good: bool,
    kind: Kind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name is asked for, and the certificate must be for it."""
    context = ssl.create_default_context(cafile=certificate)
    for name in ("HTTPTransport", "AsyncHTTPTransport"):
        monkeypatch.setattr(httpx, name, partial(getattr(httpx, name), verify=context))
    seen: list[str | None] = []
    listener, thread = tls_server(certificate, seen)
    url = f"https://{host}:{listener.getsockname()[1]}/x"
    try:
        if good:
            assert fetch(kind, url, tmp_path, Rebinding([["127.0.0.1"]])).size == len(FILM)
        else:
            with pytest.raises(DownloadError, match="CERTIFICATE_VERIFY_FAILED"):
                fetch(kind, url, tmp_path, Rebinding([["127.0.0.1"]]))
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
    assert seen == [host.rstrip(".")]


# --- redirects ------------------------------------------------------------------------------------

TARGETS: Final = (
    *(
        f"http://{host}:PORT/y"
        for host in ("127.0.0.2", "2130706434", "0x7f000002", "0177.0.0.2", "127.2", "[::1]", "0")
    ),
    *(
        f"http://{host}:PORT/y"
        for host in ("10.0.0.1", "169.254.169.254", "100.64.0.1", "168.63.129.16", "224.0.0.1")
    ),
    *(f"http://[{each}]:PORT/y" for each in wrapped("169.254.169.254")),
    *(
        f"http://{host}:PORT/y"
        for host in ("localhost", "metadata.example", "first.example", "last.example")
    ),
    *(
        f"http://{host}:PORT/y"
        for host in (
            "unknown.example",
            "nowhere.example",
            "user@cdn.example",
            "b\u00fccher.example",
        )
    ),
    *(
        "//169.254.169.254/y",
        "https://metadata.example/y",
        "http://public.example:22/y",
        "http://public.example:0/y",
    ),
    *(
        "ftp://cdn.example:PORT/y",
        "file:///etc/passwd",
        "data:video/mp4,x",
        "gopher://cdn.example:PORT/",
        "http://[",
    ),
    *(
        "http://",
        "http:///y",
        "https://cdn.example:99999/y",
        "javascript:x",
        "\\\\169.254.169.254\\y",
    ),
)
ELSEWHERE: Final = {
    **NAMES,
    "localhost": ["127.0.0.2"],
    "first.example": ["127.0.0.3", "8.8.8.8"],
} | {
    "last.example": ["8.8.8.8", "127.0.0.3"],
    "cdn.example": ["127.0.0.1"],
    "other.example": ["127.0.0.1"],
}


@every_kind
@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize("target", TARGETS, ids=range(len(TARGETS)))
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_into_the_network_at_home_is_not_followed(
    server: FaultServer, connects: list[str], target: str, status: int, kind: Kind, tmp_path: Path
) -> None:
    """Each hop is checked as the first one is. What is left of an odd target on the same host is just not there."""
    location = target.replace("PORT", str(server.port)).encode().decode("latin-1")
    server.play(http(status, b"", {"Location": location}), http(404))
    with pytest.raises(DownloadError):
        fetch(kind, f"http://cdn.example:{server.port}/x", tmp_path, Names(ELSEWHERE))
    assert set(connects) == {"127.0.0.1"}
    assert len(connects) <= 2
    assert {request.headers["host"] for request in server.requests} == {
        f"cdn.example:{server.port}"
    }
    assert list(tmp_path.iterdir()) == []


@every_kind
@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize(
    ("location", "host", "path"),
    [
        ("/y?z=1", "cdn.example", "/y?z=1"),
        ("y", "cdn.example", "/a/y"),
        ("../y", "cdn.example", "/y"),
        ("?z", "cdn.example", "/a/x?z"),
        ("//other.example:PORT/y", "other.example", "/y"),
        ("http://other.example:PORT/y#z", "other.example", "/y"),
        ("http://127.0.0.1:PORT/y", "127.0.0.1", "/y"),
    ],
)
def test_a_redirect_goes_on_from_the_link_and_not_from_the_address(
    server: FaultServer,
    connects: list[str],
    location: str,
    host: str,
    path: str,
    kind: Kind,
    tmp_path: Path,
) -> None:
    """Relative ones stay at the name, others get theirs."""
    server.play(
        http(302, b"", {"Location": location.replace("PORT", str(server.port))}), http(200, FILM)
    )
    fetch(kind, f"http://cdn.example:{server.port}/a/x", tmp_path, Names(ELSEWHERE))
    assert connects == ["127.0.0.1"] * 2
    assert (server.requests[1].headers["host"], server.requests[1].target) == (
        f"{host}:{server.port}",
        path,
    )


@every_kind
@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize("hops", [downloads.MAX_REDIRECTS, downloads.MAX_REDIRECTS + 1])
def test_redirects_end(server: FaultServer, hops: int, kind: Kind, tmp_path: Path) -> None:
    """A few are common, many are a trap; every hop is looked up once."""
    names = Names(ELSEWHERE)
    server.play(
        *(http(302, b"", {"Location": f"/{number}"}) for number in range(hops)), http(200, FILM)
    )
    if hops == downloads.MAX_REDIRECTS:
        fetch(kind, f"http://cdn.example:{server.port}/x", tmp_path, names)
    else:
        with pytest.raises(DownloadError, match="HTTP 302"):
            fetch(kind, f"http://cdn.example:{server.port}/x", tmp_path, names)
    assert len(server.requests) == len(names.asked) == downloads.MAX_REDIRECTS + 1


# --- the vendor's own hosts -----------------------------------------------------------------------


@every_kind
@pytest.mark.usefixtures("loopback_is_public")
def test_the_key_goes_by_the_link_and_not_by_the_address(
    server: FaultServer, kind: Kind, tmp_path: Path
) -> None:
    """A name that leads to the vendor's own address is not the vendor's own host."""
    own = f"http://127.0.0.1:{server.port}"
    options = {"keys": {"vendor": Secret(KEY)}, "hosts": {"vendor": frozenset({own})}}
    names = Names(ELSEWHERE)
    there, back = (
        http(302, b"", {"Location": f"http://cdn.example:{server.port}/y"}),
        http(302, b"", {"Location": f"{own}/z"}),
    )
    server.play(there, back, http(200, FILM))
    fetch(kind, f"{own}/x", tmp_path, names, **options)
    keys = [request.headers.get("authorization") for request in server.requests]
    assert keys == [f"Bearer {KEY}", None, f"Bearer {KEY}"]
    assert names.asked == ["cdn.example"]


@every_kind
def test_what_the_user_configured_may_be_private(
    server: FaultServer, kind: Kind, tmp_path: Path
) -> None:
    """The vendor's base URL is the user's word; other ports of that host, and redirects, are the vendor's."""
    hosts = {"vendor": frozenset({server.url})}
    server.play(http(200, FILM))
    fetch(kind, f"{server.url}/x", tmp_path / "a", Names(), hosts=hosts)
    server.play(http(302, b"", {"Location": f"http://127.0.0.2:{server.port}/y"}))
    with pytest.raises(DownloadError, match="public internet"):
        fetch(kind, f"{server.url}/x", tmp_path / "b", Names(), hosts=hosts)
    with pytest.raises(DownloadError, match="public internet"):
        fetch(kind, f"http://127.0.0.1:{server.port + 1}/x", tmp_path / "b", Names(), hosts=hosts)
    with pytest.raises(DownloadError, match="user name"):
        fetch(kind, f"http://user@127.0.0.1:{server.port}/x", tmp_path / "b", Names(), hosts=hosts)
    assert len(server.requests) == 1


@every_kind
def test_private_downloads_are_for_tests(server: FaultServer, kind: Kind, tmp_path: Path) -> None:
    """With that set, files may come from anywhere, still without a key."""
    server.play(http(200, FILM))
    fetch(
        kind,
        f"{server.url}/x",
        tmp_path,
        Names(),
        private_downloads=True,
        keys={"vendor": Secret(KEY)},
    )
    assert "authorization" not in server.requests[0].headers


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
    over = threading.Event()

    def resolver(host: str, port: int) -> list[str]:
        over.wait(10)
        return []

    with stopwatch() as seconds:
        with pytest.raises(DownloadError, match="in time"):
            short(kind, tmp_path, resolver)
        assert 0.2 < seconds() < 2.0
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
