"""The bodies of requests to an application with Starlette."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request


class RequestBody:
    """The body of a request, as it arrives."""

    def __init__(self, request: Request, limit: int) -> None:
        """Take so many bytes at most."""
        self._request, self._limit = request, limit
        self._found, self._goes_on = bytearray(), True

    async def content(self) -> bytes | None:
        """The body; None where it is longer than the limit.

        Who is canceled here can read on later. ConnectionError is raised where the client has gone.
        """
        length = self._request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limit:
            return None
        while self._goes_on:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the client has gone")
            self._found += message.get("body", b"")
            self._goes_on = message.get("more_body", False)
            if len(self._found) > self._limit:
                return None
        return bytes(self._found)
