"""Requests as handlers get them, and answers as they are sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import h11
from attrs import evolve, frozen

from ...errors import Portable
from ...flows import Answer, Ending, Pace, Piece
from ...hosts import address_of

REASONS: Final = {int(status): status.phrase.encode() for status in HTTPStatus}
_NAME: Final = r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?"
_OWN_HOST: Final = re.compile(_NAME, re.IGNORECASE)
_OWN_ORIGIN: Final = re.compile(f"https?://{_NAME}", re.IGNORECASE)
_HOST: Final = re.compile(r"\[([0-9a-f:.]+)\](?::[0-9]{1,5})?|([^\s:\[\]]+)(?::[0-9]{1,5})?", re.I)
_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"


@frozen
class HttpRequest:
    """A request that has arrived whole."""

    method: str
    target: str
    """Path and query, quoted as they arrived."""
    headers: Mapping[str, str]
    """By lower-case names; the values of a repeated header are joined by commas."""
    content: bytes
    base: str
    """The server's URL, as the client calls it."""


Handler = Callable[[HttpRequest], Answer]
"""Answers a request. It may block: several threads call it."""


def plain(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """A short answer in JSON."""
    all_headers = {"content-type": "application/json", **(headers or {})}
    return Answer(status, all_headers, json.dumps({"message": message}).encode())


class BadRequestError(Portable, Exception):
    """A request that is refused before a handler gets it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@frozen
class PreparedAnswer:
    """An answer as it is sent."""

    head: h11.Response
    content: bytes
    ending: Ending
    pieces: tuple[Piece, ...] = ()
    pace: Pace | None = None


@frozen
class Access:
    """By which names clients reach the server beside those of loopback, and which pages may."""

    hosts: frozenset[str] = frozenset()
    """Host names in lower case, without a port."""
    addresses: bool = False
    """Whether the Host header may be any IP address. No page of a stranger can have one there."""
    origins: frozenset[str] = frozenset()
    """Origins of web pages, such as http://localhost:3000, whose scripts may read the answers."""

    def knows_host(self, header: str) -> bool:
        """Whether a Host header names this server.

        Web pages can reach loopback too, through names of theirs that resolve to it.
        """
        if _OWN_HOST.fullmatch(header):
            return True
        found = _HOST.fullmatch(header)
        if found is None:
            return False
        name = (found[1] or found[2]).lower()
        return name in self.hosts or (self.addresses and address_of(name) is not None)

    def knows_origin(self, origin: str, host: str) -> bool:
        """Whether a page may send a request here: one of loopback, of this server, or listed."""
        own = origin.removeprefix("http://").removeprefix("https://") == host
        return own or origin in self.origins or _OWN_ORIGIN.fullmatch(origin) is not None


LOOPBACK: Final = Access()


def check_head(
    head: h11.Request, headers: Mapping[str, str], max_body: int, access: Access
) -> None:
    """Refuse a request by its head; BadRequestError."""
    if not access.knows_host(headers.get("host", "")):
        names = ", ".join(sorted(access.hosts)) + ", " if access.hosts else ""
        message = f"the Host header must name {names}127.0.0.1, localhost or [::1]"
        raise BadRequestError(400, message)
    if "origin" in headers and not access.knows_origin(headers["origin"], headers["host"]):
        raise BadRequestError(403, "web pages from elsewhere get nothing here")
    if head.method == b"CONNECT":
        raise BadRequestError(405, "this is no proxy")
    if int(headers.get("content-length", 0)) > max_body:
        raise BadRequestError(413, "the body is too large")


def headers_by_name(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; the values of a repeated one are joined by commas."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, text = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


def preflight(request: HttpRequest, access: Access) -> Answer | None:
    """The answer to a browser that asks whether a page may send a request; None for another."""
    wanted = request.headers.get("access-control-request-method")
    if request.method != "OPTIONS" or wanted is None:
        return None
    if request.headers.get("origin") not in access.origins:
        return None
    headers = {
        "access-control-allow-methods": _METHODS,
        "access-control-allow-headers": request.headers.get("access-control-request-headers", "*"),
        "access-control-max-age": "600",
    }
    if "access-control-request-private-network" in request.headers:
        headers["access-control-allow-private-network"] = "true"
    return Answer(204, headers, b"")


def readable(answer: Answer, request: HttpRequest, access: Access) -> Answer:
    """The answer, which the scripts of a page that is listed may read."""
    origin = request.headers.get("origin")
    if origin is None or origin not in access.origins:
        return answer
    shared = {
        "access-control-allow-origin": origin,
        "access-control-expose-headers": "*",
        "vary": ", ".join([*filter(None, [answer.headers.get("vary")]), "origin"]),
    }
    return evolve(answer, headers={**answer.headers, **shared})


def prepare(method: str, answer: Answer) -> PreparedAnswer:
    """An answer ready to be sent.

    Raises LocalProtocolError or another ValueError where it cannot be written as HTTP.
    """
    has_body = method != "HEAD" and answer.status not in {204, 304}
    pieces = answer.pieces if has_body else ()
    ending, length = answer.ending, len(answer.content)
    if ending in {"cut", "drip"} and not pieces:
        length = max(length, 1)  # or an answer without a byte would arrive whole
        if not has_body:  # and one without a body has no middle
            ending = "close" if ending == "cut" else "silence"
    head = h11.Response(
        status_code=answer.status,
        headers=_encoded(_headers(method, answer, length, has_body=has_body)),
        reason=REASONS.get(answer.status, b""),
    )
    content = answer.content if has_body else b""
    return PreparedAnswer(head, content, ending, pieces, answer.pace)


def _headers(method: str, answer: Answer, length: int, *, has_body: bool) -> dict[str, str]:
    """The answer's headers, with its date and the length of its body."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    headers.pop("transfer-encoding", None)
    headers.setdefault("date", formatdate(usegmt=True))
    if has_body and answer.pieces:
        headers.pop("content-length", None)  # h11 sends the body in chunks
    elif has_body or (method == "HEAD" and "content-length" not in headers):
        headers["content-length"] = str(length)
    return headers


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
