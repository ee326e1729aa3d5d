"""Links from answers of vendors: the addresses they may lead to, and the requests to those."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from .addresses import check_addresses, check_form, check_name, check_port
from .urls import origin
from .wire import Wire

if TYPE_CHECKING:
    import httpx


@frozen
class Resolve:
    """Look up a host. The result is its addresses."""

    host: str
    port: int


def checked_addresses(
    url: httpx.URL, vendor: str, wire: Wire
) -> Generator[Resolve, Any, Sequence[str | None]]:
    """The addresses to connect to; None stands for any address of the host.

    Refused is raised where a link leads into a private network, OSError or ValueError where the
    host is not known.
    """
    if wire.transport is not None:
        return (None,)
    host = url.raw_host.decode("ascii")
    check_form(url.scheme, host, url.userinfo)
    if wire.private_downloads or origin(url) in wire.hosts.get(vendor, ()):
        return (None,)
    port = url.port if url.port is not None else {"http": 80, "https": 443}[url.scheme]
    check_port(port)
    if wire.network.proxy_for(str(url)) is not None:
        check_name(host)  # the proxy looks it up
        return (None,)
    return check_addresses((yield Resolve(host, port)))


def request_at(
    address: str | None,
    method: str,
    url: httpx.URL,
    headers: Mapping[str, str],
    timeout: Mapping[str, float | None],
    content: bytes | None = None,
) -> httpx.Request:
    """A request to a checked address; the host's name and TLS follow from the link."""
    import httpx  # noqa: PLC0415

    extensions: dict[str, Any] = {"timeout": timeout}
    if address is not None:
        headers = {**headers, "Host": url.netloc.decode("ascii")}
        extensions["sni_hostname"] = url.raw_host.decode("ascii").rstrip(".")
        url = url.copy_with(host=address)
    return httpx.Request(method, url, headers=headers, content=content, extensions=extensions)
