"""Requests as handlers see them, and answers as they go out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import h11
from attrs import frozen

from ...flows import Answer, Ending, Pace, Piece

REASONS: Final = {int(status): status.phrase.encode() for status in HTTPStatus}
_NAME: Final = r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?"
_OWN_HOST: Final = re.compile(_NAME, re.IGNORECASE)
_OWN_ORIGIN: Final = re.compile(f"https?://{_NAME}", re.IGNORECASE)


@frozen
class HttpRequest:
    """A request that has come in whole."""

    method: str
    target: str
    """Path and query, quoted as they came."""
    headers: Mapping[str, str]
    """By lower-case names; those that came several times are joined by commas."""
    content: bytes
    base: str
    """The server's URL, as the guest calls it."""


Handler = Callable[[HttpRequest], Answer]
"""Answers a request. It may block: it is called in one of a few threads."""


def plain(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """A short answer in JSON."""
    told = {"content-type": "application/json", **(headers or {})}
    return Answer(status, told, json.dumps({"message": message}).encode())


class BadRequestError(Exception):
    """A request that no handler gets to see."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@frozen
class Written:
    """An answer as it goes out."""

    head: h11.Response
    content: bytes
    ending: Ending
    pieces: tuple[Piece, ...] = ()
    pace: Pace | None = None


def check(head: h11.Request, headers: Mapping[str, str], limit: int) -> None:
    """Refuse what is not for us: web pages reach loopback too, by names of their own that resolve to it."""
    if not _OWN_HOST.fullmatch(headers.get("host", "")):
        raise BadRequestError(400, "the Host header must name 127.0.0.1, localhost or [::1]")
    if "origin" in headers and not _OWN_ORIGIN.fullmatch(headers["origin"]):
        raise BadRequestError(403, "web pages from elsewhere get nothing here")
    if head.method == b"CONNECT":
        raise BadRequestError(405, "this is no proxy")
    if int(headers.get("content-length", 0)) > limit:
        raise BadRequestError(413, "the body is too large")


def joined(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name."""
    headers: dict[str, str] = {}
    for raw, value in pairs:
        name, text = raw.decode("ascii"), value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


def written(method: str, answer: Answer) -> Written:
    """An answer ready to be sent; LocalProtocolError or another ValueError where it cannot be said in HTTP."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    headers.pop("transfer-encoding", None)
    headers.setdefault("date", formatdate(usegmt=True))
    bodiless, ending = method == "HEAD" or answer.status in {204, 304}, answer.ending
    told = bool(answer.pieces) and not bodiless
    length = len(answer.content)
    if ending in {"cut", "drip"} and not told:
        # An answer without a byte would arrive whole; one that has no body has no middle.
        length = max(length, 1)
        ending = ending if not bodiless else "close" if ending == "cut" else "silence"
    if told:
        headers.pop("content-length", None)  # h11 cuts it into chunks
    elif not bodiless or (method == "HEAD" and "content-length" not in headers):
        headers["content-length"] = str(length)
    encoded = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
    head = h11.Response(
        status_code=answer.status, headers=encoded, reason=REASONS.get(answer.status, b"")
    )
    pieces = answer.pieces if told else ()
    return Written(head, b"" if bodiless else answer.content, ending, pieces, answer.pace)
