"""SOCKS proxies, client certificates and moved uploads, on real sockets."""

import logging
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from polyreel import Network
from polyreel.drivers.watch import Watch
from polyreel.errors import AmbiguousError, NeverSentError, RequestError
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import Simulator
from polyreel.simulator.clock import VirtualClock
from support.faults import VENDORS, every_vendor
from support.live import every_way, make
from support.proxies import (
    NAME,
    PASSWORD,
    Authority,
    ForwardingProxy,
    SocksProxy,
    TlsVendors,
)

UPLOADING = next(one for one in VENDORS if get_provider(one).files == "upload")
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda one: one.name)


GARBAGE = (b"", b"\x05", b"HTTP/1.1 400 Bad\r\n\r\n", b"\x05\x07", b"\x05\xff")


def simulator() -> Simulator:
    """Vendors whose time passes when it is slept away."""
    return Simulator(seed=1, clock=VirtualClock(1_800_000_000.0))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A company's own authority."""
    return Authority(tmp_path_factory.mktemp("authority")).make()


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger")).make()


@pytest.fixture
def socks(authority: Authority) -> Iterator[SocksProxy]:
    """The only way out, and the vendors behind it."""
    with TlsVendors(authority, simulator()) as vendors, SocksProxy(vendors) as made:
        yield made


def through(way: str, socks: SocksProxy, **more: Any) -> Network:
    """The network of a company that has a SOCKS proxy."""
    more = {"ca": socks.server.authority.ca, **more}
    return Network(proxy=socks.url, fast=way == "fast", **more)


# -- SOCKS -----------------------------------------------------------------------------------------


@pytest.mark.matrix("vendor", "way")
@every_way
@every_vendor
def test_all_of_a_job_goes_through_a_socks_proxy(
    vendor: str, way: str, socks: SocksProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Uploads, the paid call, queries and the download; name and password are shown nowhere."""
    caplog.set_level(logging.DEBUG)
    network = through(way, socks)
    job = make(way, vendor, socks.server, tmp_path, network)
    assert [Path(one.path or "").stat().st_size > 1000 for one in job.outputs or ()] == [True]
    assert socks.server.simulator.bill.count(vendor) == 1
    hosts = {host for host, *_ in socks.server.calls}
    assert {*socks.asked} == hosts >= {"files.example.com"}
    for text in (caplog.text, repr(network), repr(job)):
        assert PASSWORD not in text
        assert NAME not in text


@pytest.mark.matrix("refusal", "way")
@every_way
@pytest.mark.parametrize("refusal", [1, 2, 4, 5, 255])
def test_a_refused_connection_proves_never_sent(
    refusal: int, way: str, socks: SocksProxy, tmp_path: Path
) -> None:
    """With the reason."""
    socks.refusal = refusal
    with pytest.raises(NeverSentError, match="the proxy did not") as caught:
        make(way, VENDORS[-1], socks.server, tmp_path, through(way, socks))
    assert (socks.server.simulator.bill.count(), caught.value.billed) == (0, "no")
    assert PASSWORD not in str(caught.value)


@every_way
def test_a_wrong_password_proves_never_sent(way: str, socks: SocksProxy, tmp_path: Path) -> None:
    """It is not shown, in no log either."""
    socks.password = "another"
    with pytest.raises(NeverSentError, match="the proxy did not connect") as caught:
        make(way, VENDORS[-1], socks.server, tmp_path, through(way, socks))
    assert PASSWORD not in str(caught.value)


@pytest.mark.matrix("garbage", "way")
@every_way
@pytest.mark.parametrize(
    "garbage", [b"", b"\x05", b"HTTP/1.1 400 Bad\r\n\r\n", b"\x05\x07", b"\x05\xff"]
)
def test_what_is_no_socks_proxy_proves_never_sent(
    garbage: bytes, way: str, socks: SocksProxy, tmp_path: Path
) -> None:
    """Whatever it answers, it is told as the proxy's fault."""
    socks.garbage = garbage
    with pytest.raises(NeverSentError, match="proxy") as caught:
        make(way, VENDORS[-1], socks.server, tmp_path, through(way, socks))
    assert socks.server.simulator.bill.count() == 0
    assert PASSWORD not in str(caught.value)


@every_way
@pytest.mark.parametrize("silence", ["greeting", "request"])
def test_a_silent_proxy_is_not_waited_for_without_end(
    silence: Any, way: str, socks: SocksProxy, tmp_path: Path
) -> None:
    """The deadline of the call holds before its first byte too."""
    socks.silence = silence
    began = time.monotonic()
    with pytest.raises(NeverSentError):
        make(way, VENDORS[-1], socks.server, tmp_path, through(way, socks), call_timeout=0.5)
    assert time.monotonic() - began < 60


def test_names_and_passwords_that_socks_cannot_carry_are_refused_at_once() -> None:
    """Each has a length of one byte there."""
    for user in ("n" * 256 + ":p", "n:" + "p" * 256):
        with pytest.raises(RequestError, match="255 bytes"):
            Network(proxy=f"socks5://{user}@127.0.0.1:1080")
        Network(proxy=f"http://{user}@127.0.0.1:3128")


# -- client certificates ---------------------------------------------------------------------------


def direct(way: str, vendors: TlsVendors, **more: Any) -> tuple[Network, dict[str, str]]:
    """A network without a proxy, and the vendors' base URLs."""
    network = Network(ca=vendors.authority.ca, fast=way == "fast", **more)
    return network, {
        one: f"{vendors.base}/{one}{urlsplit(get_provider(one).base_url).path}" for one in VENDORS
    }


@pytest.mark.matrix("vendor", "way+version")
@every_version
@every_way
@every_vendor
def test_all_of_a_job_shows_the_certificate(
    vendor: str, way: str, version: ssl.TLSVersion, authority: Authority, tmp_path: Path
) -> None:
    """Uploads, the paid call, queries and the download."""
    versions = (version, version)
    with TlsVendors(authority, simulator(), wants_certificate=True, versions=versions) as vendors:
        network, urls = direct(way, vendors, client_certificate=authority.leaf)
        job = make(way, vendor, vendors, tmp_path, network, base_urls=urls)
        assert [Path(one.path or "").stat().st_size > 1000 for one in job.outputs or ()] == [True]
        assert {host for host, *_ in vendors.calls} == {"localhost"}
        assert vendors.simulator.bill.count(vendor) == 1


@every_version
@every_way
@pytest.mark.parametrize("shown", ["none", "a stranger's"])
def test_a_refused_certificate_proves_never_sent(
    shown: str,
    way: str,
    version: ssl.TLSVersion,
    authority: Authority,
    stranger: Authority,
    tmp_path: Path,
) -> None:
    """TLS 1.3 refuses it only after the client's side is done; nobody has read the request.

    Where the request is on its way already, asyncio may close the connection before the refusal is
    read: then nothing is proved, and nothing is claimed.
    """
    more = {} if shown == "none" else {"client_certificate": stranger.leaf}
    vendor, versions = VENDORS[-1], (version, version)
    lost = way != "blocking" and version is ssl.TLSVersion.TLSv1_3
    expected = (NeverSentError, AmbiguousError) if lost else NeverSentError
    with TlsVendors(authority, simulator(), wants_certificate=True, versions=versions) as vendors:
        network, urls = direct(way, vendors, **more)
        with pytest.raises(expected) as caught:
            make(way, vendor, vendors, tmp_path, network, base_urls=urls)
        never = isinstance(caught.value, NeverSentError)
        assert caught.value.billed == ("no" if never else "maybe")
        assert ("--client-certificate" in str(caught.value)) is never
        assert vendors.calls == []


# -- uploads ---------------------------------------------------------------------------------------


@every_way
def test_a_base_url_moves_uploads_too(way: str, authority: Authority, tmp_path: Path) -> None:
    """No call goes to the vendor's own hosts, and the file is there."""
    with ForwardingProxy(authority, simulator()) as proxy:
        network = Network(proxy=proxy.url, ca=authority.ca, fast=way == "fast")
        urls = {UPLOADING: f"https://gateway.example.com/{UPLOADING}"}
        make(way, UPLOADING, proxy, tmp_path, network, base_urls=urls)
        calls = [(host, path) for host, method, path, _ in proxy.calls if method == "POST"]
        assert {host for host, _ in calls} == {"gateway.example.com"}
        assert any("upload" in path for _, path in calls)


@every_way
def test_uploads_have_a_url_of_their_own(way: str, authority: Authority, tmp_path: Path) -> None:
    """Own headers go there too, and the vendor's own URL is one that can be named."""
    own = next(one for one in get_provider(UPLOADING).servers[1:])
    with ForwardingProxy(authority, simulator()) as proxy:
        for url in (f"https://uploads.example.com/{UPLOADING}/", own):
            network = Network(
                proxy=proxy.url,
                ca=authority.ca,
                fast=way == "fast",
                base_urls={UPLOADING: f"https://gateway.example.com/{UPLOADING}"},
                upload_urls={UPLOADING: url},
                headers={UPLOADING: {"x-gateway": "sk-canary-0123456789"}},
            )
            proxy.calls.clear()
            make(way, UPLOADING, proxy, tmp_path, network)
            posts = {
                host: "x-gateway" in headers
                for host, method, path, headers in proxy.calls
                if method == "POST"
            }
            host = url.partition("://")[2].partition("/")[0]
            assert posts == {"gateway.example.com": True, host: url != own}


def test_the_variable_moves_uploads_alone(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other calls stay where they are."""
    provider = get_provider(UPLOADING)
    url = f"https://uploads.example.com/{UPLOADING}"
    monkeypatch.setenv(provider.upload_url_variable, url)
    with ForwardingProxy(authority, simulator()) as proxy:
        network = Network(proxy=proxy.url, ca=authority.ca)
        make("blocking", UPLOADING, proxy, tmp_path, network)
        posts = {host for host, method, *_ in proxy.calls if method == "POST"}
        assert posts == {"uploads.example.com", provider.base_url.partition("://")[2]}


def test_what_came_after_an_answer_proves_nothing() -> None:
    """An alert that ends an answer early says nothing about the request."""
    refusal = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert")
    watch = Watch(5, blind=False)
    watch.see("http11.send_request_headers.started", {})
    assert watch.may_have_left
    watch.judge(refusal)
    assert not watch.may_have_left
    watch.answer_began()
    watch.judge(refusal)
    assert watch.may_have_left
