"""The bodies of requests to an application with Starlette."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request


async def content_of(request: Request, limit: int) -> bytes | None:
    """The body of a request; None where it is longer than the limit.

    ConnectionError is raised where the client has gone.
    """
    from starlette.requests import ClientDisconnect  # noqa: PLC0415

    if not request.headers.get("content-length", "0").isdecimal():
        return None
    if int(request.headers.get("content-length", "0")) > limit:
        return None
    found = bytearray()
    try:
        async for piece in request.stream():
            found += piece
            if len(found) > limit:
                return None
    except ClientDisconnect:
        raise ConnectionResetError("the client has gone") from None
    return bytes(found)
