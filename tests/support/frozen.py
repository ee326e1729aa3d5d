"""A way to a Postgres server that can freeze: it stays open, and nothing comes through."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo

PIECE: Final = 65_536


class FreezingProxy:
    """Carries bytes between a socket of its own and a server, as long as `flowing` is set.

    What arrives meanwhile is not lost: it is delivered late, as in a network that hangs.
    """

    def __init__(self, address: str, folder: Path) -> None:
        parts: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(make_conninfo(address))
        self._host, port = str(parts.get("host", "localhost")), int(parts.get("port") or 5432)
        self._port = port
        user, password = parts.get("user", "postgres"), parts.get("password")
        own = f"{user}:{password}" if password else user
        self.address = f"postgresql://{own}@/{parts['dbname']}?host={folder}&port={port}"
        """The address of the database, by this way."""
        self.flowing = threading.Event()
        self.flowing.set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / f".s.PGSQL.{port}"))
        self._listener.listen(128)
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take nobody in any more, and end all connections."""
        self.flowing.set()
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        self.flowing.wait()
        try:
            far = self._connected()
        except OSError:
            near.close()
            return
        self._sockets += [near, far]
        back = threading.Thread(target=self._carry, args=(far, near), daemon=True)
        back.start()
        self._carry(near, far)
        back.join()
        for one in (near, far):
            one.close()
            with suppress(ValueError):
                self._sockets.remove(one)

    def _connected(self) -> socket.socket:
        if not self._host.startswith("/"):
            return socket.create_connection((self._host, self._port))
        made = socket.socket(socket.AF_UNIX)
        made.connect(f"{self._host}/.s.PGSQL.{self._port}")
        return made

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                self.flowing.wait()
                target.sendall(piece)
        self.flowing.wait()
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def freezing(address: str) -> Iterator[FreezingProxy]:
    """A way to a database, as long as the block runs."""
    # A path of a socket has about a hundred letters at most, and folders of tests have more.
    with tempfile.TemporaryDirectory(prefix="polyreel-") as name:
        proxy = FreezingProxy(address, Path(name))
        try:
            yield proxy
        finally:
            proxy.close()
