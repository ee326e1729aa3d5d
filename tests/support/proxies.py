"""A forwarding proxy on loopback that looks into TLS with a certificate of its own authority."""

import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from attrs import Factory, define
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import Simulator

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
        names = ",".join(f"DNS:{host}" for host in (FILES, "localhost", *VENDOR_AT))
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

    def __enter__(self) -> Self:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.authority.leaf)
        handler = type("Handler", (_Connection,), {"proxy": self, "tls": tls})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
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
        reply = self.proxy.simulator.handle(
            vendor, self.command, target, headers, content, f"https://{FILES}/{vendor}"
        )
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
