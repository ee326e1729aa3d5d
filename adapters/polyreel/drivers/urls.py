"""Origins of URLs, the headers of every call, and the bodies of answers."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import httpx


USER_AGENT: Final = "polyreel/0.1"


USUAL: Final = {"Accept": "*/*", "User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
"""The headers of every call. identity: a few compressed bytes could become gigabytes."""


def origin(url: str | httpx.URL) -> str:
    """Scheme, host and port of a URL."""
    import httpx  # noqa: PLC0415

    parsed = httpx.URL(url) if isinstance(url, str) else url
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii', 'replace')}"


def beginning(url: str) -> str:
    """The text of a URL up to its path, unchanged."""
    return "/".join(url.split("/", 3)[:3])


def transport_errors() -> tuple[type[Exception], ...]:
    """The exceptions that a call can raise while it is on its way."""
    import httpx  # noqa: PLC0415

    socks = sys.modules.get("socksio")  # its errors come through as they are
    more = (socks.SOCKSError,) if socks is not None else ()
    # OSError: files, and asyncio's timeout. ValueError: odd host names.
    return (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError, *more)


def lowered(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of an answer with their names in small letters.

    To look a header up there is quicker than in httpx's, which go through all of them.
    """
    return {name.lower(): value for name, value in headers.items()}


def body_of(response: httpx.Response) -> Iterator[bytes]:
    """The bytes of an answer as they arrive. They are not decompressed."""
    stream: Any = response.stream
    return iter(stream)


def abody_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """The same for an awaited answer."""
    stream: Any = response.stream
    return aiter(stream)
