"""Connections go to the address that was checked, after redirects too; keys go by the link."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from polyreel import Network
from polyreel.drivers import addresses, downloads
from polyreel.errors import DownloadError
from polyreel.keys import Secret
from support.addresses import ELSEWHERE, FILM, KEY, TARGETS, Names, Rebinding, fetch
from support.faults import CLOSE, FaultServer, Kind, every_kind, http
from support.waiting import HANGS


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


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
    """Serves the film over TLS until its listener is closed; keeps the names that clients asked
    for.
    """
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
) -> None:
    """The name is asked for, and the certificate must be for it."""
    network = Network(ca=certificate)
    seen: list[str | None] = []
    listener, thread = tls_server(certificate, seen)
    url = f"https://{host}:{listener.getsockname()[1]}/x"
    try:
        if good:
            saved = fetch(kind, url, tmp_path, Rebinding([["127.0.0.1"]]), network=network)
            assert saved.size == len(FILM)
        else:
            with pytest.raises(DownloadError, match="CERTIFICATE_VERIFY_FAILED"):
                fetch(kind, url, tmp_path, Rebinding([["127.0.0.1"]]), network=network)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(HANGS)
    assert seen == [host.rstrip(".")]


# --- redirects ------------------------------------------------------------------------------------


@pytest.mark.matrix("target", "status+kind")
@every_kind
@pytest.mark.usefixtures("loopback_is_public")
@pytest.mark.parametrize("target", TARGETS, ids=range(len(TARGETS)))
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_into_the_network_at_home_is_not_followed(
    server: FaultServer, connects: list[str], target: str, status: int, kind: Kind, tmp_path: Path
) -> None:
    """Each hop is checked as the first one is.

    What is left of an odd target on the same host is just not there.
    """
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


@pytest.mark.matrix("location", "kind")
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
    """The vendor's base URL is the user's word; other ports of that host, and redirects, are the
    vendor's.
    """
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
