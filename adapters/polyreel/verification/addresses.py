"""Whose traffic it is, and which call: by URL, or by word of whoever recorded it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from attrs import frozen

from ..providers.base.contract import Operation
from ..providers.base.provider import Provider
from .exchanges import RecordedExchange


@frozen
class Addressed:
    """An exchange as a call of a vendor's."""

    exchange: RecordedExchange
    provider: Provider
    operation: Operation
    path_parameters: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def pointer(self) -> tuple[str, ...]:
        """Where the spec has the call."""
        return ("paths", self.operation.path, self.operation.method.lower())


@frozen
class Stranger:
    """An exchange that is none of a vendor's documented calls."""

    exchange: RecordedExchange
    provider: Provider | None
    """The vendor whose host it went to; None where nobody knows the host."""
    path: str
    """Below the host, or below the base URL that was given."""


def addressed(
    exchange: RecordedExchange,
    providers: Sequence[Provider],
    base_urls: Mapping[str, str],
    *,
    any_host: bool,
) -> Addressed | Stranger:
    """The call that an exchange is. `base_urls` stand for documented ones; with `any_host`, every host is the vendor's,
    and proxies may have put something in front of the path.
    """
    parts = urlsplit(exchange.url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    owner: Provider | None = None
    path = parts.path
    for provider in providers:
        for candidate, certain in _paths(
            exchange.url, provider, base_urls.get(provider.id), any_host=any_host
        ):
            if found := provider.contract.match(exchange.method, candidate):
                return Addressed(exchange, provider, *found, query)
            if certain and owner is None:
                owner, path = provider, candidate
    return Stranger(exchange, owner, path)


def _paths(
    url: str, provider: Provider, base: str | None, *, any_host: bool
) -> list[tuple[str, bool]]:
    """The paths that a URL may mean at a vendor, likeliest first, and whether they are the vendor's for sure."""
    path = urlsplit(url).path
    if base is not None and _host(base) == _host(url):
        prefix = urlsplit(base).path.rstrip("/")
        if path == prefix or path.startswith(f"{prefix}/"):
            documented = urlsplit(provider.base_url).path.rstrip("/")
            return [(documented + path.removeprefix(prefix), True)]
    own = any(_host(server) == _host(url) for server in provider.servers)
    found = [(path, True)] if own else []
    if any_host:
        rest = path.split("/")
        found += [("/" + "/".join(rest[cut:]), False) for cut in range(1, len(rest))]
    return found


def _host(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
