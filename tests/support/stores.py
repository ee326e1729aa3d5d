"""Object storage for tests: an S3 server of this process's own on loopback, which can fail on
purpose, and stores in memory.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar, Final, Literal

import fsspec
import pytest
from attrs import Factory, define
from fsspec.implementations.memory import MemoryFileSystem
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from .waiting import HANGS

BUCKET: Final = "bucket"
Failing = Literal["refused", "unknown", "cut"]
ANSWERS: Final = {
    "refused": ("403 Forbidden", "AccessDenied", "Access Denied"),
    "unknown": ("501 Not Implemented", "NotImplemented", "A header has no meaning here"),
}
SECRET_KEY: Final = "sk-CANARY-of-the-store-0123456789"
"""What signs the calls to the store: it must be shown nowhere."""


@cache
def application() -> DomainDispatcherApplication:
    """What answers the calls: made once, since it takes half a second; its data is elsewhere."""
    return DomainDispatcherApplication(create_backend_app)


@define(eq=False)
class S3Server:
    """A real S3 server, as far as its clients can tell."""

    url: str = ""
    fails: dict[str, list[Failing]] = Factory(dict)
    """What becomes of the next calls with a method, in turn."""
    calls: list[tuple[str, str]] = Factory(list)
    """Method and path of each call."""
    before: Callable[[str, str], None] | None = None
    """Called with method and path before each call is answered."""
    is_conditional: bool = True
    """Whether it can put an object only where there is none."""
    _app: Any = Factory(application)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a call, as WSGI has it."""
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.calls.append((method, path))
        if self.before is not None:
            self.before(method, path)
        fails = self.fails.get(method)
        failing = fails.pop(0) if fails else None
        if "HTTP_AUTHORIZATION" not in environ:  # s3fs goes without a key where it finds none
            failing = "refused"
        if "HTTP_IF_NONE_MATCH" in environ and not self.is_conditional:
            failing = "unknown"
        if failing in ANSWERS:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            status, code, message = ANSWERS[failing]
            start(status, [("content-type", "application/xml")])
            return [f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()]
        if failing == "cut":
            environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]) // 2)
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError
        answered: Iterable[bytes] = self._app(environ, start)
        return answered

    def objects(self, prefix: str = "") -> dict[str, bytes]:
        """The objects of the bucket, by their keys."""
        system = fsspec.filesystem("s3")
        system.invalidate_cache()
        names = system.find(f"{BUCKET}/{prefix}".rstrip("/"))
        return {name.removeprefix(f"{BUCKET}/"): system.cat_file(name) for name in names}


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def running(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server with an empty bucket, which this process's environment, and so fsspec, leads to."""
    made = S3Server()
    server = make_server("127.0.0.1", 0, made, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "AWS_ENDPOINT_URL": made.url,
        "AWS_ACCESS_KEY_ID": "access",
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    from s3fs import S3FileSystem  # noqa: PLC0415

    S3FileSystem.clear_instance_cache()
    system = S3FileSystem()
    if system.exists(BUCKET):  # moto's backends are those of the process
        system.rm(BUCKET, recursive=True)
    system.mkdir(BUCKET)
    made.calls.clear()
    try:
        yield made
    finally:
        S3FileSystem.clear_instance_cache()
        server.shutdown()
        thread.join(HANGS)
        server.server_close()


# -- in memory -------------------------------------------------------------------------------------


class HalfStore(MemoryFileSystem):  # type: ignore[misc]
    """A store at `half://` that keeps half of the first files."""

    protocol = "half"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    halves: ClassVar[int] = 0
    """How many of the next files are kept by half."""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.replace("half://", "memory://")))

    def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
        """Put a file there, or half of it."""
        MemoryFileSystem.put_file(self, lpath, rpath, **options)
        if HalfStore.halves and not rpath.endswith("polyreel-can-save-here"):
            HalfStore.halves -= 1
            content = self.cat_file(rpath)
            self.pipe_file(rpath, content[: len(content) // 2])


fsspec.register_implementation("half", HalfStore, clobber=True)


def in_memory() -> dict[str, bytes]:
    """All that is at `memory://`, by its path there."""
    system = fsspec.filesystem("memory")
    return {name: system.cat_file(name) for name in system.find("/")}


def forget() -> None:
    """Empty the stores in memory."""
    for system in (MemoryFileSystem, HalfStore):
        system.store.clear()
        system.pseudo_dirs[:] = [""]
    HalfStore.halves = 0
