"""Finds the vendor and the documented call of an exchange, by its URL or by a given vendor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from attrs import frozen

from ..places import Pointer
from ..providers.base.contract import Operation
from ..providers.base.provider import Provider
from .exchanges import RecordedExchange


@frozen
class DocumentedCall:
    """An exchange, and the documented call of a vendor that it is."""

    exchange: RecordedExchange
    provider: Provider
    operation: Operation
    path_parameters: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def pointer(self) -> Pointer:
        """The place of the call in the spec."""
        return ("paths", self.operation.path, self.operation.method.lower())


@frozen
class UndocumentedCall:
    """An exchange that is no documented call of any vendor."""

    exchange: RecordedExchange
    provider: Provider | None
    """The vendor whose host was called; None where no vendor has the host."""
    path: str
    """Below the host, or below the base URL that was given."""


def find_call(
    exchange: RecordedExchange,
    providers: Sequence[Provider],
    base_urls: Mapping[str, str],
    *,
    any_host: bool,
) -> DocumentedCall | UndocumentedCall:
    """Find the call that an exchange is.

    `base_urls` replace the documented base URLs, by vendor. With `any_host`, every host may be the
    vendor's, and a proxy may have put something in front of the path.
    """
    parts = urlsplit(exchange.url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    owner: Provider | None = None
    path = parts.path
    for provider in providers:
        base = base_urls.get(provider.id)
        for candidate, certain in _candidates(exchange.url, provider, base, any_host=any_host):
            contract, method = provider.contract, exchange.method
            stored = contract.match(method, candidate, read_only=True)
            if found := contract.match(method, candidate) or stored:
                operation, parameters = found
                return DocumentedCall(exchange, provider, operation, parameters, query)
            if certain and owner is None:
                owner, path = provider, candidate
    return UndocumentedCall(exchange, owner, path)


def _candidates(
    url: str, provider: Provider, base: str | None, *, any_host: bool
) -> Iterator[tuple[str, bool]]:
    """The paths that a URL may mean at a vendor, likeliest first; whether the host is certain."""
    path = urlsplit(url).path
    if base is not None and _host(base) == _host(url):
        prefix = urlsplit(base).path.rstrip("/")
        if path == prefix or path.startswith(f"{prefix}/"):
            documented = urlsplit(provider.base_url).path.rstrip("/")
            yield documented + path.removeprefix(prefix), True
            return
    if any(_host(server) == _host(url) for server in provider.servers):
        yield path, True
    if any_host:
        rest = path.split("/")
        for cut in range(1, len(rest)):
            yield "/" + "/".join(rest[cut:]), False


def _host(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
