"""How calls reach vendors: proxies, certificates, own headers, base URLs."""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from attrs import field, frozen

from .errors import RequestError, did_you_mean
from .hosts import address_of
from .keys import Secret

PROXY_SCHEMES: Final = ("http", "https", "socks5", "socks5h")
ROUTES: Final = ("http", "https", "all")
"""What a proxy can be for: calls to http:// URLs, to https:// URLs, or both."""
EVERY_VENDOR: Final = "*"
PORTS: Final = {"http": 80, "https": 443}
SHORTEST_PASSWORD: Final = 6
"""Shorter passwords of proxies are not looked for in texts: hiding them would damage words."""
SOCKS_BYTES: Final = 255
_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS: Final = frozenset(
    {
        *("accept-encoding", "connection", "content-length", "content-type", "expect", "host"),
        *("keep-alive", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade"),
    }
)
"""Headers that follow from the call itself."""


@frozen
class Proxy:
    """A proxy, in the parts that HTTP libraries take."""

    url: str
    """Scheme, host and port, without name and password."""
    name: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, not HTTP."""
        return self.url.startswith("socks")

    @property
    def headers(self) -> dict[str, str]:
        """The headers that an HTTP proxy wants."""
        if not self.name and not self.password:
            return {}
        known = b64encode(f"{self.name}:{self.password}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {known}"}


def _proxies(given: str | Mapping[str, str] | None) -> Mapping[str, str]:
    if given is None:
        return {}
    found = {"all": given} if isinstance(given, str) else dict(given)
    return {name: url.strip() for name, url in found.items() if url.strip()}


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given).expanduser()


def _hosts(given: str | Sequence[str]) -> tuple[str, ...]:
    """The entries of a NO_PROXY, which can be one text with commas or blanks between them."""
    found = re.split(r"[,\s]+", given) if isinstance(given, str) else given
    return tuple(one.strip().lower() for one in found if one.strip())


@frozen(kw_only=True)
class Network:
    """How calls, uploads and downloads reach vendors; the same for both clients.

    What is left out is what the environment says: see `docs/network.md`. RequestError is raised
    for settings that cannot be used. Its text shows no value, since one can hold a password.

    >>> from polyreel import Network
    >>> company = Network(proxy="http://me:secret@proxy.example:3128", no_proxy=".example")
    >>> company.proxy_for("https://api.example.com/v1").url
    'http://proxy.example:3128'
    >>> company.proxy_for("https://files.example") is None, "secret" in repr(company)
    (True, False)
    """

    proxy: Mapping[str, str] = field(default=None, converter=_proxies, repr=False)
    """A proxy's URL for all calls, or one each for `http`, `https` and `all`.

    Its scheme is http, https, socks5 or socks5h. The last two need `polyreel[socks]`.
    """
    no_proxy: tuple[str, ...] = field(default=(), converter=_hosts)
    """Hosts that are called without the proxy, with everything below them.

    Names, addresses, networks such as `10.0.0.0/8`, each with or without a port, or `*`.
    """
    ca: Path | None = field(default=None, converter=_path)
    """A file or folder with the certificates (PEM) to trust instead of the usual ones."""
    client_certificate: Path | None = field(default=None, converter=_path)
    """A file (PEM) with the certificate that this side shows, and its key unless it has a file."""
    client_key: Path | None = field(default=None, converter=_path)
    """A file (PEM) with the key of that certificate."""
    client_key_password: str | None = field(default=None, repr=False)
    headers: Mapping[str, Mapping[str, str]] = field(factory=dict, repr=False)
    """More headers, by vendor id, or `*` for every vendor.

    They go where the vendor's base URL is, and to no other host. Their values are secrets.
    """
    user_agent: str | None = None
    """The User-Agent of every call, downloads included."""
    base_urls: Mapping[str, str] = field(factory=dict)
    """Other base URLs, by vendor id. They also stand for the vendor's other hosts, such as the one
    that takes uploads.
    """
    upload_urls: Mapping[str, str] = field(factory=dict)
    """Base URLs of these other hosts, by vendor id, where they are not those of `base_urls`."""
    fast: bool = False
    """Whether awaited calls that cost nothing are made with aiohttp: needs `polyreel[fast]`."""
    trust_environment: bool = True
    """Whether the environment says what is left out here."""

    def __attrs_post_init__(self) -> None:
        problems = [*self._proxy_problems(), *self._header_problems()]
        if self.user_agent is not None and not _is_value(self.user_agent):
            problems.append("user_agent: it is one line of ASCII text")
        if self.client_certificate is None and self.client_key is not None:
            problems.append("client_key: it belongs to a client_certificate, which is missing")
        if problems:
            raise RequestError(problems)

    def _proxy_problems(self) -> list[str]:
        problems = [
            f"proxy: there is one for each of {', '.join(ROUTES)}, not for {name[:20]!r}"
            f"{did_you_mean(name, ROUTES)}"
            for name in self.proxy
            if name not in ROUTES
        ]
        found = {name: proxy_problem(url) for name, url in self.proxy.items()}
        return problems + [f"proxy ({name}): {text}" for name, text in found.items() if text]

    def _header_problems(self) -> list[str]:
        problems = []
        for vendor, headers in self.headers.items():
            for name, value in headers.items():
                if not _NAME.fullmatch(name):
                    problems.append(f"headers of {vendor}: {name[:40]!r} is no header's name")
                elif name.lower() in _OURS:
                    problems.append(f"headers of {vendor}: {name} follows from each call itself")
                elif not _is_value(value):
                    problems.append(f"headers of {vendor}: {name}: it is one line of ASCII text")
        return problems

    def proxy_for(self, url: str) -> Proxy | None:
        """The proxy for calls to a URL; None where they go straight to the host."""
        if not self.proxy:
            return None
        parts = urlsplit(url)
        given = self.proxy.get(parts.scheme) or self.proxy.get("all")
        if given is None or _is_among(self.no_proxy, parts):
            return None
        return read_proxy(given)

    def headers_for(self, vendor: str) -> Mapping[str, str]:
        """The user's own headers of calls to a vendor."""
        return {**self.headers.get(EVERY_VENDOR, {}), **self.headers.get(vendor, {})}

    @cached_property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not show anywhere: own headers, and passwords of proxies."""
        found = [
            Secret(value.strip()) for headers in self.headers.values() for value in headers.values()
        ]
        for url in self.proxy.values():
            proxy = read_proxy(url)
            if proxy.password:
                texts = (f"{proxy.name}:{proxy.password}", proxy.password)
                found += [Secret(text, SHORTEST_PASSWORD) for text in texts]
        return tuple(found)


def _is_value(text: str) -> bool:
    return bool(text.strip()) and text.isascii() and text.isprintable()


def _with_scheme(url: str) -> str:
    return url if "://" in url else f"http://{url}"


def read_proxy(url: str) -> Proxy:
    """The parts of a proxy's URL that `proxy_problem` has no objection to."""
    parts = urlsplit(_with_scheme(url))
    # Names are looked up by the proxy with either of the SOCKS schemes.
    scheme = "socks5" if parts.scheme.startswith("socks") else parts.scheme
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    name, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Proxy(f"{scheme}://{host}{port}", name, password)


def proxy_problem(url: str) -> str | None:
    """What is wrong with a proxy's URL, without the URL: it may hold a password."""
    try:
        parts = urlsplit(_with_scheme(url))
        host, _ = parts.hostname, parts.port
        user = (unquote(parts.username or ""), unquote(parts.password or ""))
    except ValueError:
        return "not a URL; write http://HOST:PORT"
    if parts.scheme not in PROXY_SCHEMES:
        return f"a proxy's URL begins with {', '.join(f'{one}://' for one in PROXY_SCHEMES)}"
    if not host or not url.isprintable() or " " in url:
        return "not a URL; write http://HOST:PORT"
    if parts.scheme.startswith("socks") and max(len(one.encode()) for one in user) > SOCKS_BYTES:
        return f"with SOCKS, a name and a password have at most {SOCKS_BYTES} bytes"
    return None


def _is_among(entries: Sequence[str], parts: SplitResult) -> bool:
    """Whether a host is one that NO_PROXY names."""
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or PORTS.get(parts.scheme)
    return any(_names(entry, parts.scheme, host, port) for entry in entries)


def _names(entry: str, scheme: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    if "://" in entry:
        wanted, _, entry = entry.partition("://")
        if wanted not in {scheme, "all"}:
            return False
    if (address := address_of(host)) is not None and (network := _network(entry)) is not None:
        return address.version == network.version and address in network
    name, colon, digits = entry.rpartition(":")
    if colon and digits.isdigit() and (":" not in name or name.endswith("]")):
        if int(digits) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").strip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None
