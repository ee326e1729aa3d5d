"""A host of one large film, plain and in TLS, that keeps its client waiting as little as can be."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import tempfile
import threading
from mmap import PROT_READ, mmap
from pathlib import Path
from typing import Final, NoReturn

SIZE: Final = 200_000_000
PIECE: Final = 1 << 20


def serve(certificate: str = "") -> NoReturn:
    """Serve the film until killed; print its two URLs, the second one for TLS.

    The certificate's file has its key too. Without one, there is no second URL.
    """
    head = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp41\x00\x00\x00\x08moov"
    with tempfile.TemporaryFile() as file:
        file.write(head + struct.pack(">I4s", SIZE - len(head), b"mdat"))
        file.truncate(SIZE)
        tls = None
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(certificate)
        urls = []
        for context in (None, tls) if tls else (None,):
            listener = socket.create_server(("127.0.0.1", 0))
            scheme = "https" if context else "http"
            urls.append(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/film")
            threading.Thread(target=_accept, args=(listener, context, file.fileno())).start()
        print(*urls, flush=True)
        while True:
            threading.Event().wait()


def _accept(listener: socket.socket, tls: ssl.SSLContext | None, file: int) -> NoReturn:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection, tls, file), daemon=True).start()


def _answer(connection: socket.socket, tls: ssl.SSLContext | None, file: int) -> None:
    try:
        if tls is not None:
            connection = tls.wrap_socket(connection, server_side=True)
        with connection:
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n"
                b'ETag: "film"\r\nContent-Length: %d\r\n\r\n' % SIZE
            )
            if tls is None and hasattr(os, "sendfile"):
                sent = 0
                while sent < SIZE:
                    sent += os.sendfile(connection.fileno(), file, sent, SIZE - sent)
                return
            with mmap(file, SIZE, prot=PROT_READ) as content, memoryview(content) as view:
                for start in range(0, SIZE, PIECE):
                    connection.sendall(view[start : start + PIECE])
    except OSError:
        return  # the client has gone


def authority(folder: Path) -> tuple[Path, Path] | None:
    """A certificate for this machine: what a client trusts, and what the server has with its key.

    None where there is no openssl to make it with.
    """
    from shutil import which  # noqa: PLC0415

    from support.proxies import Authority  # noqa: PLC0415

    if which("openssl") is None:
        return None
    made = Authority(folder).make()
    return made.ca, made.leaf
