"""Files that are sent to a link that a vendor gave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from polyreel import drivers
from polyreel.errors import TransportError, VendorError
from polyreel.flows import Answer, Flow, Part, Put, Reply
from polyreel.keys import Secret
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import http
from polyreel.simulator.http import HttpRequest
from support.addresses import PRIVATE_4
from support.faults import Kind, every_kind
from support.waiting import HANGS

PICTURE = b"\x89PNG\r\n" + b"\x00" * 200_000
T = TypeVar("T")
VENDOR = next(iter(all_providers()))
KEY = Secret.check("sk-canary-0123456789abcdef", "the key")


class FileHost:
    """A server that takes files, and remembers what it was sent."""

    def __init__(self, status: int = 200, **headers: str) -> None:
        self.status, self.headers = status, headers
        self.seen: list[HttpRequest] = []

    def __call__(self, request: HttpRequest) -> Answer:
        self.seen.append(request)
        return Answer(self.status, self.headers, b"whatever")


@contextmanager
def file_host(status: int = 200, **headers: str) -> Iterator[tuple[FileHost, str]]:
    host = FileHost(status, **headers)
    with http.running(host) as url:
        yield host, f"{url}/put?signature=sk-canary-signature"


def put(kind: Kind, url: str, file: Part, **options: Any) -> Reply:
    wire = drivers.Wire(keys={VENDOR: KEY}, **options)

    def flow() -> Flow[Reply]:
        reply = yield Put(VENDOR, url, file, deadline=HANGS)
        assert isinstance(reply, Reply)
        return reply

    return done(kind, flow(), wire)


def done(kind: Kind, flow: Flow[T], wire: drivers.Wire) -> T:
    async def awaited() -> T:
        try:
            return await drivers.arun(flow, wire)
        finally:
            await wire.aclose()

    if kind == "awaiting":
        return asyncio.run(awaited())
    with closing(wire):
        return drivers.run(flow, wire)


@every_kind
def test_a_file_goes_as_it_is_and_without_a_key(kind: Kind, tmp_path: Path) -> None:
    """At a path or as bytes, with its type."""
    path = tmp_path / "private name.png"
    path.write_bytes(PICTURE)
    for file in (
        Part("file", path=path, content_type="image/png"),
        Part("file", content=PICTURE, content_type="image/png"),
    ):
        with file_host() as (host, url):
            assert put(kind, url, file, private_downloads=True).status == 200
        (seen,) = host.seen
        assert (seen.method, seen.content) == ("PUT", PICTURE)
        headers = {name.lower(): value for name, value in seen.headers.items()}
        assert headers["content-type"] == "image/png"
        assert "authorization" not in headers
        assert "private" not in json.dumps(headers)


@every_kind
@pytest.mark.parametrize("status", [302, 403, 503])
def test_an_answer_is_not_followed_or_repeated(kind: Kind, status: int) -> None:
    """A redirect could lead anywhere."""
    with file_host(status, location="http://127.0.0.1:9/elsewhere") as (host, url):
        file = Part("file", content=PICTURE)
        assert put(kind, url, file, private_downloads=True).status == status
    assert len(host.seen) == 1


@every_kind
def test_no_file_goes_into_the_network_at_home(kind: Kind) -> None:
    """Whatever the vendor's answer says."""
    links = [f"https://{address}/put" for address in PRIVATE_4[:3]]
    links += ["ftp://example.com/put", "https://user@example.com/put", "https://example.com:25/"]
    for link in [*links, "https://cdn.example/put", "https://[", ""]:
        with pytest.raises(TransportError, match="the file was not sent") as caught:
            put(kind, link, Part("file", content=PICTURE), resolver=lambda *_: ["10.0.0.1"])
        assert caught.value.sent is False


@every_kind
def test_what_cannot_be_read_or_reached_is_told(kind: Kind, tmp_path: Path) -> None:
    """Without the signature in the link."""
    file = Part("file", path=tmp_path / "gone.png")
    with pytest.raises(TransportError, match=r"gone\.png cannot be read"):
        put(kind, "http://127.0.0.1:9/put", file, private_downloads=True)
    with file_host() as (_, url):
        pass
    with pytest.raises(TransportError, match="connection failed") as caught:
        put(kind, url, Part("file", content=PICTURE), private_downloads=True)
    assert "signature" not in str(caught.value)


@every_kind
@pytest.mark.parametrize(
    "vendor",
    [
        name
        for name, one in all_providers().items()
        if (call := one.contract.operation("upload"))
        and "to" in call.spec.get("x-polyreel-upload", {})
    ],
)
def test_a_file_that_is_not_taken_ends_the_upload(kind: Kind, vendor: str) -> None:
    """The link was given, and refused the file."""
    provider = all_providers()[vendor]
    operation = provider.contract.operation("upload")
    assert operation
    facts = operation.spec["x-polyreel-upload"]
    with file_host(403) as (host, url):

        def answers(request: HttpRequest) -> Answer:
            told = {facts["to"]: url, facts["link"]: "https://cdn.example/cat.png"}
            return Answer(200, {"content-type": "application/json"}, json.dumps(told).encode())

        with http.running(answers) as base:
            wire = drivers.Wire(
                keys={vendor: KEY},
                hosts={vendor: frozenset({base})},
                moves={vendor: {operation.server: base}},
                private_downloads=True,
            )
            flow = provider.upload(Part("file", content=PICTURE), "cat.png")
            with pytest.raises(VendorError, match="did not take a file: HTTP 403"):
                done(kind, flow, wire)
    assert len(host.seen) == 1
