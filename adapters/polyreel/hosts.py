"""Which hosts and addresses are public, so that a vendor or a download may be sent there."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

PRIVATE_SUFFIXES: Final = frozenset(
    {"localhost", "local", "internal", "lan", "home", "corp", "test", "invalid"}
)
SIMULATED_HOST: Final = "simulator.invalid"
"""Where the links of the simulator lead that is a part of a client."""
NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 hosts on networks without IPv4: as public as the IPv4 address in the last 32 bits."""
TUNNELS: Final = (ipaddress.IPv6Network("2001::/32"), ipaddress.IPv6Network("2002::/16"))
"""Teredo and 6to4: public by their numbers, and a way to any IPv4 address."""
SIGNATURE: Final = re.compile(r"[=~;]|[^/]{33,}")
"""What a part of a path looks like that could be the signature of a link to a file."""
UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""The assigned part of IPv6.

Outside it are local NAT64 prefixes, old site-local addresses and IPv4-compatible ones.
"""
NOT_FOR_HOSTS: Final[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]] = (
    *(
        ipaddress.IPv4Network(network)
        for network in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")
    ),
    ipaddress.IPv6Network("3fff::/20"),
)
"""Global by Python's tables, but no public hosts.

Protocol assignments, 6to4 relays, a cloud's own address, and documentation.
"""


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a text is; None for a name, or for anything else."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def not_public_https(url: str) -> str | None:
    """Why a callback address is refused: not https, or a host that cannot be a public one."""
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "not a valid URL"
    if parts.scheme != "https" or not host or any(character.isspace() for character in url):
        return "only https addresses are called back"
    if parts.username or parts.password:
        return "no name or password in the address"
    return None if may_be_public(host) else f"{host} is not reachable from outside"


def may_be_public(host: str) -> bool:
    """Whether a host can be a public one, as far as that is seen without looking it up."""
    address = address_of(host.strip("[]"))
    if address is None:
        # Many resolvers take 127.1 or 0x7f000001 for an address. No public name has just one label.
        last = host.lower().rpartition(".")[2]
        return "." in host and last not in PRIVATE_SUFFIXES and not last[:1].isdigit()
    return is_public(address)


def not_reachable(url: str) -> str | None:
    """Why no vendor can read a media URL, or None: its host cannot be a public one.

    The simulator's own host counts as public, so that a simulated clip can be an input.
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    public = host == SIMULATED_HOST or may_be_public(host)
    return None if public else f"{host} is not reachable from outside"


def domain_of(url: str) -> str | None:
    """The name under which a URL's host was probably registered; None for an address, or one label.

    It is a guess, which is no proof of whose a host is: no key may go there for it.

    >>> domain_of("https://api-eu.example.com/v1"), domain_of("https://a.example.co.uk")
    ('example.com', 'example.co.uk')
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    labels = host.split(".")
    if len(labels) < 2 or address_of(host) is not None:
        return None
    is_shared = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3
    return ".".join(labels[-3 if is_shared else -2 :])


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is on the public internet. An IPv6 address can hold an IPv4 one."""
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = (
            ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
            if address in NAT64
            else address.ipv4_mapped
        )
        if wrapped is not None:
            return is_public(wrapped)
        if address not in UNICAST or any(address in network for network in TUNNELS):
            return False
    return (
        address.is_global
        and not address.is_multicast
        and not any(address in network for network in NOT_FOR_HOSTS)
    )


def bare_url(url: str, *, file: bool) -> str:
    """A URL without user, query and fragment; of a file's, also without what may be a signature."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that makes no sense"
    path = parts.path
    if file:
        path = "/".join("..." if SIGNATURE.search(one) else one for one in path.split("/"))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"
