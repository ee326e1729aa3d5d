"""Downloads of finished jobs: the key goes to the vendor's own host only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from polyreel.drivers import downloads
from polyreel.errors import DownloadError
from polyreel.providers.base.registry import get_provider
from polyreel_generated.shared import Job
from support.faults import CANARIES, FILES, VENDORS, Clients, Kind, every_kind

MP4 = FILES["video/mp4"]
KEYED = VENDORS[0]
"""The vendor whose own host serves files here."""


def finished(url: str, vendor: str = KEYED, **own: Any) -> Job:
    """A finished job with one file."""
    facts = {
        "vendor": vendor,
        "model": "m",
        "workflow": "text-to-video",
        "id": "task-1",
        "simulated": False,
    }
    return Job.model_validate({**facts, "status": "succeeded", "outputs": [{"url": url}], **own})


# Redirects, over a transport that plays hosts: https needs no certificate there.
HOME = get_provider(KEYED).base_url


def journey(
    kind: Kind, start: str, hops: Mapping[str, str], folder: Path
) -> tuple[list[tuple[str, bool]], Any]:
    """Every URL that was asked for and whether it got a key, and the job or what the download
    failed with.
    """
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append((str(request.url), CANARIES[KEYED] in str(request.headers.raw)))
        target = hops.get(str(request.url))
        return (
            httpx.Response(302, headers={"Location": target})
            if target
            else httpx.Response(200, content=MP4)
        )

    with Clients(keys=CANARIES) as pair:
        pair.by_kind[kind].wire.transport = httpx.MockTransport(handler)
        try:
            return asked, pair.do(kind, "download", finished(start), folder)
        except DownloadError as error:
            return asked, error


@pytest.mark.matrix("start", "kind")
@every_kind
@pytest.mark.parametrize(
    ("start", "keyed"),
    [
        (f"{HOME}/x", True),
        (f"{HOME}:443/x", True),
        (HOME.upper().replace("HTTPS", "https") + "/x", True),
        (HOME.replace("https", "http") + "/x", False),
        (f"{HOME}:8443/x", False),
        (f"{HOME}.evil.example/x", False),
        (f"https://user@evil.example/{HOME}", False),
        (HOME.replace("://", "://cdn.") + "/x", False),
        ("https://evil.example/x", False),
        (f"{get_provider(VENDORS[-1]).base_url}/x", False),
    ],
)
def test_a_key_goes_to_its_own_host_only(
    kind: Kind, start: str, keyed: bool, tmp_path: Path
) -> None:
    """The same scheme, host and port, or no key; another vendor's host is as foreign as any."""
    asked, job = journey(kind, start, {}, tmp_path)
    assert isinstance(job, Job)
    assert [has_key for _, has_key in asked] == [keyed]


@every_kind
def test_a_redirect_is_followed_without_the_key(kind: Kind, tmp_path: Path) -> None:
    """To any host, with the key only where it belongs, and up to TLS."""
    hops = {
        f"{HOME}/x": "https://cdn.example/y",
        "https://cdn.example/y": "//other.example/z",
        "https://other.example/z": "w?sig=1",
        "https://other.example/w?sig=1": f"{HOME}/v",
    }
    asked, job = journey(kind, f"{HOME}/x", hops, tmp_path)
    assert isinstance(job, Job)
    assert [has_key for _, has_key in asked] == [True, False, False, False, True]
    asked, job = journey(
        kind, "http://cdn.example/x", {"http://cdn.example/x": "https://cdn.example/x"}, tmp_path
    )
    assert isinstance(job, Job)
    assert [url for url, _ in asked] == ["http://cdn.example/x", "https://cdn.example/x"]


@every_kind
@pytest.mark.parametrize(
    "target",
    ["http://cdn.example/x", "http://127.0.0.1/x", "ftp://cdn.example/x", "file:///x", "data:,x"],
)
def test_a_redirect_never_leaves_tls(kind: Kind, target: str, tmp_path: Path) -> None:
    """A file that was to come over TLS does not come in the open."""
    asked, error = journey(kind, f"{HOME}/x", {f"{HOME}/x": target}, tmp_path)
    assert isinstance(error, DownloadError)
    assert len(asked) == 1
    assert list(tmp_path.iterdir()) == []


@every_kind
def test_a_length_that_no_transport_checked_is_checked(kind: Kind, tmp_path: Path) -> None:
    """A file is whole by its own count."""
    with Clients(keys=CANARIES).hurry() as pair:
        headers = {"Content-Length": "99999"}
        transport = httpx.MockTransport(
            lambda request: httpx.Response(200, headers=headers, content=MP4)
        )
        pair.by_kind[kind].wire.transport = transport
        with pytest.raises(DownloadError, match="of 99999 bytes"):
            pair.do(kind, "download", finished(f"{HOME}/x"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@every_kind
@pytest.mark.parametrize("length", [downloads.MAX_REDIRECTS, downloads.MAX_REDIRECTS + 1])
def test_redirects_end(kind: Kind, length: int, tmp_path: Path) -> None:
    """A few hops are common, many are a trap."""
    hops = {f"https://cdn.example/{number}": f"/{number + 1}" for number in range(length)}
    asked, job = journey(kind, "https://cdn.example/0", hops, tmp_path)
    assert isinstance(job, Job) == (length == downloads.MAX_REDIRECTS)
    assert len(asked) == downloads.MAX_REDIRECTS + 1
