"""Resolvers that tests answer for, and names and addresses of every kind."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import Factory, define
from polyreel import drivers
from polyreel.drivers import addresses
from polyreel.flows import Fetch, Flow, Saved

from support.faults import FILES, Hasty, Kind

from .waiting import HANGS

FILM: Final = FILES["video/mp4"]
KEY: Final = "sk-CANARY-0001-0123456789abcdef"
PUBLIC: Final = (
    "8.8.8.8",
    "1.1.1.1",
    "151.101.1.69",
    "2606:4700::6810:84e5",
    "2a00:1450:4001:81b::200e",
)


@define
class Names:
    """A resolver that knows these names, and reads numbers as the system's does."""

    known: Mapping[str, Sequence[Any]] = Factory(dict)
    asked: list[str] = Factory(list)

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        found = self.known.get(host.rstrip(".").lower())
        if found is not None:
            return [str(address) for address in found]
        places = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )
        return [str(place[0]) for *_, place in places]


@define
class Rebinding:
    """A resolver that says something else each time."""

    answers: list[list[str]]
    asked: int = 0

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


def fetch(
    kind: Kind, url: str, folder: Path, resolver: addresses.Resolver, **options: Any
) -> Saved:
    wire = drivers.Wire(clock=Hasty(), resolver=resolver, **options)

    def step() -> Flow[Saved]:
        saved = yield Fetch("vendor", url, folder / "clip-1", "video", deadline=HANGS)
        assert isinstance(saved, Saved)
        return saved

    return (
        drivers.run(step(), wire) if kind == "blocking" else asyncio.run(drivers.arun(step(), wire))
    )


PRIVATE_4: Final = (
    *(
        "127.0.0.1",
        "127.0.0.2",
        "127.255.255.254",
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "172.16.0.1",
    ),
    *(
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "169.254.169.254",
        "169.254.0.1",
        "100.64.0.1",
    ),
    *(
        "100.100.100.200",
        "100.127.255.255",
        "168.63.129.16",
        "192.0.0.1",
        "192.0.0.9",
        "192.0.0.192",
        "192.0.2.1",
    ),
    *(
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
        "224.0.0.1",
        "239.255.255.255",
    ),
    *("240.0.0.1", "255.255.255.255"),
)
PRIVATE_6: Final = (
    *(
        "::1",
        "::",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "ff0e::1",
        "100::1",
    ),
    *(
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:2::1",
        "2001:10::1",
    ),
    *(
        "2001:20::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2002:808:808::1",
        "64:ff9b:1::1",
        "64:ff9b:1::808:808",
    ),
    *("::7f00:1", "::808:808", "::ffff:0:7f00:1", "0200::1", "4000::1", "e000::1"),
)


def wrapped(address: str) -> Iterator[str]:
    """The IPv6 addresses that lead to an IPv4 address."""
    number = int(ipaddress.IPv4Address(address))
    high, low = number >> 16, number & 0xFFFF
    yield from (
        f"::ffff:{address}",
        f"::ffff:{high:x}:{low:x}",
        f"64:ff9b::{high:x}:{low:x}",
        f"64:ff9b::{address}",
    )
    yield from (f"2002:{high:x}:{low:x}::1", f"64:ff9b:1::{high:x}:{low:x}", f"::{address}")


def spelled(address: str) -> Iterator[str]:
    """An IPv4 address as resolvers read it."""
    number = int(ipaddress.IPv4Address(address))
    parts = [int(part) for part in address.split(".")]
    yield from (address, str(number), hex(number), f"0{number:o}")
    yield ".".join(f"0{part:o}" for part in parts)
    yield ".".join(hex(part) for part in parts)
    yield f"{parts[0]}.{number & 0xFFFFFF}"
    yield address.translate({ord("0") + digit: 0xFF10 + digit for digit in range(10)})
    yield address.replace(".", "\u3002")


NAMES: Final[dict[str, list[str]]] = {
    "localhost": ["127.0.0.1"],
    "loop.example": ["127.0.0.1"],
    "loop6.example": ["::1"],
    "metadata.example": ["169.254.169.254"],
    "xn--bcher-kva.example": ["10.0.0.1"],
    "first.example": ["127.0.0.1", "8.8.8.8"],
    "last.example": ["8.8.8.8", "2606:4700::1", "127.0.0.1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "nat.example": ["64:ff9b::7f00:1"],
    "scoped.example": ["fe80::1%1"],
    "scoped-public.example": ["2606:4700::1%1"],
    "nowhere.example": [],
    "nonsense.example": ["not an address"],
    "octal.example": ["0177.0.0.1"],
    "public.example": ["8.8.8.8"],
}
HOSTS: Final = (
    *dict.fromkeys(
        each for address in (*PRIVATE_4[:8], *PRIVATE_4[11:17:2]) for each in spelled(address)
    ),
    *PRIVATE_4[8:],
    *(f"[{address}]" for address in PRIVATE_6),
    *(
        f"[{each}]"
        for address in ("127.0.0.1", "169.254.169.254", "10.0.0.1")
        for each in wrapped(address)
    ),
    *(
        "[0:0:0:0:0:0:0:1]",
        "[0000:0000:0000:0000:0000:0000:0000:0001]",
        "[fe80::1%25lo]",
        "[::1%25lo]",
        "127.0.0.1.",
    ),
    *(
        "127.000.000.001",
        "0",
        "127.0.1",
        "0x7f.1",
        "0177.1",
        "2130706433.",
        "127.1.",
        "%31%32%37.0.0.1",
        "127%2e0.0.1",
    ),
    *(name for name in NAMES if name != "public.example"),
    *(
        "LOCALHOST",
        "localhost.",
        "LoCaLhOsT.",
        "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54",
        "b\u00fccher.example",
    ),
    *(
        "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
        "loop\u3002example",
        "loop.example.",
        "unknown.example",
    ),
    *(
        "a" * 64 + ".example",
        "a..example",
        ".example",
        "-",
        "_",
        "*",
        "%",
        "%00",
        "[",
        "[::1",
        "::1",
        "[::1]]",
        "[v1.x]",
    ),
    *(
        "user@public.example",
        "user:password@public.example",
        ":@public.example",
        "public.example@127.0.0.1",
    ),
    *(
        "public.example%40127.0.0.1",
        "127.0.0.1\\@public.example",
        "public.example\\@127.0.0.1",
        "public.example\t@::1",
    ),
    *(
        "loop.exa\nmple",
        "loop.\texample",
        " loop.example",
        "loop.example\r\nX-Evil: 1",
        "127.0.0.1\x00.public.example",
    ),
)
_LINKS: Final = (
    *(f"http://{host}:PORT/x.mp4" for host in HOSTS),
    *(
        f"https://{host}:PORT/x.mp4"
        for host in ("127.0.0.1", "[::1]", "localhost", "2130706433", "metadata.example")
    ),
    *(
        f"http://{host}/x.mp4"
        for host in ("127.0.0.1", "[::1]", "localhost", "metadata.example", "last.example")
    ),
    *(
        f"http://public.example:{port}/x"
        for port in ("0", "1", "22", "25", "53", "445", "1023", "65536", "99999", "-1")
    ),
    *(
        f"http://public.example:{port}/x"
        for port in ("x", "0x50", "\uff18\uff10x", "80:80", "80@127.0.0.1:PORT")
    ),
    *(
        f"{scheme}://127.0.0.1:PORT/x"
        for scheme in ("ftp", "file", "gopher", "ws", "wss", "dict", "http+unix", "unix")
    ),
    *(
        "//127.0.0.1:PORT/x",
        "http:/127.0.0.1:PORT/x",
        "http:127.0.0.1:PORT/x",
        "http:///127.0.0.1:PORT/x",
        "http://",
    ),
    *(
        "https://",
        "http:",
        "http://?x",
        "http://#x",
        "127.0.0.1:PORT/x",
        "data:video/mp4,x",
        "file:///etc/passwd",
        "",
    ),
    *(
        "http://127.0.0.1:PORT#@public.example",
        "http://127.0.0.1:PORT?@public.example",
        "javascript:alert(1)",
        "\x00",
    ),
)
LINKS: Final = tuple(dict.fromkeys(_LINKS))

TARGETS: Final = (
    *(
        f"http://{host}:PORT/y"
        for host in ("127.0.0.2", "2130706434", "0x7f000002", "0177.0.0.2", "127.2", "[::1]", "0")
    ),
    *(
        f"http://{host}:PORT/y"
        for host in ("10.0.0.1", "169.254.169.254", "100.64.0.1", "168.63.129.16", "224.0.0.1")
    ),
    *(f"http://[{each}]:PORT/y" for each in wrapped("169.254.169.254")),
    *(
        f"http://{host}:PORT/y"
        for host in ("localhost", "metadata.example", "first.example", "last.example")
    ),
    *(
        f"http://{host}:PORT/y"
        for host in (
            "unknown.example",
            "nowhere.example",
            "user@cdn.example",
            "b\u00fccher.example",
        )
    ),
    *(
        "//169.254.169.254/y",
        "https://metadata.example/y",
        "http://public.example:22/y",
        "http://public.example:0/y",
    ),
    *(
        "ftp://cdn.example:PORT/y",
        "file:///etc/passwd",
        "data:video/mp4,x",
        "gopher://cdn.example:PORT/",
        "http://[",
    ),
    *(
        "http://",
        "http:///y",
        "https://cdn.example:99999/y",
        "javascript:x",
        "\\\\169.254.169.254\\y",
    ),
)
ELSEWHERE: Final = {
    **NAMES,
    "localhost": ["127.0.0.2"],
    "first.example": ["127.0.0.3", "8.8.8.8"],
} | {
    "last.example": ["8.8.8.8", "127.0.0.3"],
    "cdn.example": ["127.0.0.1"],
    "other.example": ["127.0.0.1"],
}
