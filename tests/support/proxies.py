"""A forwarding proxy on loopback that looks into TLS with a certificate of its own authority."""

import socket
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import urlsplit

from attrs import Factory, define
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import Simulator

from .waiting import HANGS

NAME, PASSWORD = "someone", "sk-canary-of-the-proxy"
FILES: Final = "files.example.com"
"""Where the simulated vendors' files are."""
VENDOR_AT: Final = {
    host: vendor
    for vendor, one in all_providers().items()
    for host in (urlsplit(server).hostname for server in one.servers)
    if host is not None
}


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@define
class Authority:
    """A private authority, and a certificate of it for every host of vendors."""

    folder: Path

    @property
    def ca(self) -> Path:
        """What a client has to trust."""
        return self.folder / "ca.pem"

    @property
    def leaf(self) -> Path:
        """What the proxy shows, with its key."""
        return self.folder / "leaf.pem"

    def make(self) -> Self:
        """Write all files."""
        own = self.folder
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        openssl("req", "-x509", *curve, "-days", "2", "-subj", "/CN=company",
                "-addext", "keyUsage=critical,keyCertSign",
                "-keyout", own / "ca.key", "-out", self.ca)  # fmt: skip
        names = ",".join(
            f"DNS:{host}" for host in (FILES, "*.example.com", "localhost", *VENDOR_AT)
        )
        (own / "names").write_text(f"subjectAltName={names},IP:127.0.0.1\n", encoding="utf-8")
        openssl("req", *curve, "-subj", "/CN=leaf", "-keyout", own / "leaf.key",
                "-out", own / "leaf.csr")  # fmt: skip
        openssl("x509", "-req", "-in", own / "leaf.csr", "-CA", self.ca, "-CAkey", own / "ca.key",
                "-CAcreateserial", "-days", "2", "-extfile", own / "names",
                "-out", own / "leaf.crt")  # fmt: skip
        texts = [(own / name).read_text() for name in ("leaf.key", "leaf.crt")]
        self.leaf.write_text("".join(texts))
        return self


@define
class ForwardingProxy:
    """Answers for every vendor, and for nobody without the right name and password."""

    authority: Authority
    simulator: Simulator
    refusal: int = 0
    """The status that answers every CONNECT; 0 where the proxy connects."""
    asked: list[str] = Factory(list)
    """Every CONNECT's target, and every URL that was asked for without one."""
    calls: list[tuple[str, str, str, Mapping[str, str]]] = Factory(list)
    """Host, method, path and headers of what came through."""
    files: str = f"https://{FILES}"
    """Where the links to files lead."""
    _server: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        """Host and port."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """The proxy's URL, with name and password."""
        return f"http://{NAME}:{PASSWORD}@{self.address}"

    def tls(self) -> ssl.SSLContext:
        """The TLS settings of the server's side."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.authority.leaf)
        return tls

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """What handles a connection."""
        return type("Handler", (_Connection,), {"proxy": self, "tls": self.tls()})

    def __enter__(self) -> Self:
        self._server = _QuietServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that are refused break off."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    proxy: ForwardingProxy
    tls: ssl.SSLContext
    host = ""

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Say nothing."""

    def finish(self) -> None:
        super().finish()
        with suppress(OSError):
            self.connection.close()

    def do_CONNECT(self) -> None:
        """Open a way to a host, which is this proxy itself."""
        self.proxy.asked.append(self.path)
        refusal = self.proxy.refusal or self._stranger()
        if refusal:
            words = b"your password was " + PASSWORD.encode()
            self.send_response_only(refusal)
            self.send_header("content-length", str(len(words)))
            self.end_headers()
            self.wfile.write(words)
            self.close_connection = True
            return
        self.send_response_only(200)
        self.end_headers()
        self.host = self.path.partition(":")[0]
        try:
            self.connection = self.tls.wrap_socket(self.connection, server_side=True)
        except OSError:
            self.close_connection = True
            return
        self.rfile.close()
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        self.close_connection = False

    def _stranger(self) -> int:
        known = b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
        return 0 if self.headers.get("Proxy-Authorization") == f"Basic {known}" else 407

    def _answer(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        content = self.rfile.read(length) if length else self._chunks()
        url = urlsplit(self.path)
        if url.scheme:
            self.proxy.asked.append(f"{url.scheme}://{url.netloc}")
        host = url.hostname or self.host
        target = url.path + (f"?{url.query}" if url.query else "")
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.proxy.calls.append((host, self.command, target, headers))
        vendor = VENDOR_AT.get(host)
        if vendor is None:
            vendor, _, rest = target.lstrip("/").partition("/")
            target = f"/{rest}"
        files = f"{self.proxy.files}/{vendor}"
        reply = self.proxy.simulator.handle(vendor, self.command, target, headers, content, files)
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            if name.lower() not in {"content-length", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("content-length", str(len(reply.content)))
        self.end_headers()
        self.wfile.write(reply.content)
        self.wfile.flush()

    def _chunks(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return b""
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    do_GET = do_POST = do_DELETE = do_PUT = _answer  # noqa: N815


# -- without a proxy, or behind one that only passes bytes on --------------------------------------


@define
class TlsVendors(ForwardingProxy):
    """The vendors themselves, by the name that is called; they may want a client's certificate."""

    wants_certificate: bool = False
    versions: tuple[ssl.TLSVersion, ssl.TLSVersion] = (
        ssl.TLSVersion.TLSv1_2,
        ssl.TLSVersion.TLSv1_3,
    )

    def tls(self) -> ssl.SSLContext:
        """The TLS settings; a certificate has to be the authority's."""
        made = ForwardingProxy.tls(self)
        made.minimum_version, made.maximum_version = self.versions
        if self.wants_certificate:
            made.verify_mode = ssl.CERT_REQUIRED
            made.load_verify_locations(self.authority.ca)
        return made

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """What handles a connection."""
        return type("Handler", (_DirectConnection,), {"proxy": self, "tls": self.tls()})

    def __enter__(self) -> Self:
        ForwardingProxy.__enter__(self)
        if self.wants_certificate:
            self.files = self.base
        return self

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.address.rpartition(":")[2])

    @property
    def base(self) -> str:
        """What the base URL of each vendor begins with."""
        return f"https://localhost:{self.port}"


class _DirectConnection(_Connection):
    def setup(self) -> None:
        self.request = self.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def _answer(self) -> None:
        self.host = self.headers["host"].partition(":")[0]
        super()._answer()

    do_GET = do_POST = do_DELETE = do_PUT = _answer  # noqa: N815


@define
class SocksProxy:
    """A SOCKS5 proxy (RFC 1928, RFC 1929) that leads every name to one server."""

    server: TlsVendors
    refusal: int = 0
    """The reply to every request; 0 where the proxy connects."""
    silence: Literal["", "greeting", "request"] = ""
    """The message that is never answered."""
    garbage: bytes | None = None
    """What answers the greeting, instead of SOCKS."""
    password: str = PASSWORD
    asked: list[str] = Factory(list)
    """Every host that was asked for."""
    _listener: socket.socket | None = None
    _open: list[socket.socket] = Factory(list)
    _threads: list[threading.Thread] = Factory(list)

    @property
    def url(self) -> str:
        """The proxy's URL, with name and password."""
        assert self._listener is not None
        return f"socks5h://{NAME}:{PASSWORD}@127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._start(self._accept, self._listener)
        return self

    def __exit__(self, *_: object) -> None:
        while self._threads:  # each may have started others before it ends
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._threads.pop(0).join(HANGS)

    def _start(
        self, work: Callable[..., None], own: socket.socket, *more: socket.socket
    ) -> threading.Thread:
        self._open.append(own)
        thread = threading.Thread(target=work, args=(own, *more), daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError), listener:
            while True:
                self._start(self._serve, listener.accept()[0])

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError), client:
            if self._negotiated(client):
                with socket.create_connection(("127.0.0.1", self.server.port)) as server:
                    back = self._start(_pass_on, server, client)
                    _pass_on(client, server)
                    back.join()

    def _negotiated(self, client: socket.socket) -> bool:
        """Whether a client is known, and asks for what it gets."""
        methods = _read(client, _read(client, 2)[1])
        if self.silence == "greeting":
            client.recv(1)
        if self.garbage is not None:
            client.sendall(self.garbage)
            return False
        if 2 not in methods:
            client.sendall(b"\x05\xff")
            return False
        client.sendall(b"\x05\x02")
        name = _read(client, _read(client, 2)[1])
        password = _read(client, _read(client, 1)[0])
        known = (name.decode(), password.decode()) == (NAME, self.password)
        client.sendall(b"\x01\x00" if known else b"\x01\x01")
        if not known:
            return False
        kind = _read(client, 4)[3]
        host = _read(client, {1: 4, 4: 16}.get(kind) or _read(client, 1)[0])
        _read(client, 2)
        self.asked.append(host.decode() if kind == 3 else str(ip_address(host)))
        if self.silence == "request":
            client.recv(1)
        client.sendall(bytes([5, self.refusal, 0, 1, 127, 0, 0, 1, 0, 0]))
        return not self.refusal


def _read(client: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        if not (more := client.recv(count - len(found))):
            raise EOFError
        found += more
    return found


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while content := one.recv(65536):
            other.sendall(content)
    with suppress(OSError):
        other.shutdown(socket.SHUT_WR)
