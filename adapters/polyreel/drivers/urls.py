"""Origins of URLs, and the bodies of answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
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
    """A URL up to its path, as it stands there."""
    return "/".join(url.split("/", 3)[:3])


def transport_errors() -> tuple[type[Exception], ...]:
    """What a call can raise while it is on its way."""
    import httpx  # noqa: PLC0415

    # OSError: files, and asyncio's timeout. ValueError: odd host names.
    return (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError)


def body_of(response: httpx.Response) -> Iterator[bytes]:
    """The bytes of an answer as they come; nothing of it is compressed."""
    stream: Any = response.stream
    return iter(stream)


def abody_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """The same, awaiting."""
    stream: Any = response.stream
    return aiter(stream)
