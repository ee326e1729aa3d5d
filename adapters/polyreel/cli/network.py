"""The options of commands that call vendors: proxies, certificates, own headers, base URLs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ..errors import RequestError

if TYPE_CHECKING:
    from ..network import Network

_GIVEN: ContextVar[Network | None] = ContextVar("network", default=None)
_REPEATED: ContextVar[tuple[str, ...]] = ContextVar("repeated", default=())


def given() -> Network | None:
    """The settings of the command line; None where there are none."""
    return _GIVEN.get()


def repeated() -> tuple[str, ...]:
    """The options that another command needs to call the same hosts, as they were typed.

    Proxies and headers are left out: they may have a password.
    """
    return _REPEATED.get()


def _options(
    *,
    network: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="TOML file with network settings; else POLYREEL_NETWORK."
        ),
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Proxy for every call; else HTTPS_PROXY, HTTP_PROXY, ALL_PROXY."
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Certificates (PEM) to trust; else SSL_CERT_FILE or SSL_CERT_DIR.",
        ),
    ] = None,
    client_certificate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Certificate (PEM) of this side.")
    ] = None,
    client_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its key (PEM), where the certificate's file has none."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VENDOR:NAME:VALUE",
            help="One more header of the calls to a vendor. May be given several times.",
        ),
    ] = None,
    user_agent: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The User-Agent of every call and download.")
    ] = None,
    base_url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VENDOR=URL",
            help="Another base URL of a vendor, such as a gateway's; else VENDOR_BASE_URL. "
            "May be given several times.",
        ),
    ] = None,
    upload_url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VENDOR=URL",
            help="Where a vendor's uploads go, if not to its base URL; else VENDOR_UPLOAD_URL. "
            "May be given several times.",
        ),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Make free calls with aiohttp: polyreel[fast].")
    ] = False,
) -> None:
    """The options; a command gets those of them whose names it does not have itself."""


URLS: Final = ("base_url", "upload_url")
HOSTS: Final = ("network", "ca", "client_certificate", "client_key", *URLS)
"""The options that say which hosts are called, and how they are trusted."""
PARAMETERS: Final = inspect.signature(_options, eval_str=True).parameters


def with_network_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options; what they say is `given()` while it runs."""
    own = inspect.signature(command, eval_str=True).parameters
    added = {name: one for name, one in PARAMETERS.items() if name not in own}

    def wrapper(**values: Any) -> None:
        settings = {name: values.pop(name) for name in added}
        typed = _typed(settings)
        token = _GIVEN.set(_network(settings) if any(settings.values()) else None)
        before = _REPEATED.set(typed)
        try:
            command(**values)
        finally:
            _GIVEN.reset(token)
            _REPEATED.reset(before)

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [one.replace(kind=keyword) for one in (*own.values(), *added.values())]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {one.name: one.annotation for one in parameters}
    wrapper.__doc__, wrapper.__name__ = command.__doc__, command.__name__
    return wrapper


def _typed(values: dict[str, Any]) -> tuple[str, ...]:
    """The options that `repeated` tells of."""
    words: list[str] = []
    for name in HOSTS:
        given = values.get(name)
        for value in given if isinstance(given, list) else filter(None, [given]):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return tuple(words)


def _network(values: dict[str, Any]) -> Network:
    """The settings of a command line, over those of the file that it names."""
    from ..environment import over
    from ..network import Network

    file, header = (values.pop(name, None) for name in ("network", "header"))
    base, upload = (_urls(values.pop(name, None) or (), name) for name in URLS)
    settings = Network(**values, headers=_headers(header or ()), base_urls=base, upload_urls=upload)
    if file is None:
        return settings
    from ..drivers.network_file import read_network

    return over(settings, read_network(file))


def _headers(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    from ..environment import read_headers
    from ..providers.base.registry import all_providers

    found: dict[str, dict[str, str]] = {}
    for text in texts:
        vendor, _, line = text.partition(":")
        if vendor.strip() not in all_providers():
            known = ", ".join(all_providers())
            raise RequestError([f"--header: write VENDOR:NAME:VALUE; the vendors are {known}"])
        found.setdefault(vendor.strip(), {}).update(read_headers([line], "--header"))
    return found


def _urls(texts: Iterable[str], name: str) -> dict[str, str]:
    found = {}
    for text in texts:
        vendor, sign, url = text.partition("=")
        if not sign:
            raise RequestError([f"--{name.replace('_', '-')}: write VENDOR=URL"])
        found[vendor.strip()] = url.strip()
    return found
