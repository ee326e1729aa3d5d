"""The user's network on real sockets: behind a forwarding proxy with a private authority."""

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest
from polyreel import Client, Network
from polyreel.errors import (
    AmbiguousError,
    MissingExtraError,
    NeverSentError,
    PolyreelError,
    RequestError,
)
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import Simulator
from polyreel.simulator.clock import VirtualClock
from support.faults import CANARIES, VENDORS, every_vendor
from support.live import KINDS, every_way, make
from support.proxies import PASSWORD, Authority, ForwardingProxy


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A company's own authority."""
    return Authority(tmp_path_factory.mktemp("authority")).make()


@pytest.fixture
def proxy(authority: Authority) -> Any:
    """The only way out."""
    with ForwardingProxy(authority, Simulator(seed=1, clock=VirtualClock(1_800_000_000.0))) as made:
        yield made


def settings(way: str, proxy: ForwardingProxy, **more: Any) -> Network:
    """The network of a company."""
    return Network(proxy=proxy.url, fast=way == "fast", **more)


@pytest.mark.matrix("vendor", "way")
@every_way
@every_vendor
def test_all_of_a_job_goes_through_the_proxy(
    vendor: str,
    way: str,
    proxy: ForwardingProxy,
    authority: Authority,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Uploads, the paid call, queries and the download; the password is shown nowhere."""
    caplog.set_level(logging.DEBUG)
    network = settings(way, proxy, ca=authority.ca, user_agent="Company/1")
    job = make(way, vendor, proxy, tmp_path, network)
    assert [Path(one.path or "").stat().st_size > 1000 for one in job.outputs or ()] == [True]
    assert proxy.simulator.bill.count(vendor) == 1
    assert {headers["user-agent"] for *_, headers in proxy.calls} == {"Company/1"}
    hosts = {target.partition(":")[0] for target in proxy.asked}
    assert hosts == {host for host, *_ in proxy.calls} >= {"files.example.com"}
    assert PASSWORD not in caplog.text
    assert PASSWORD not in repr(network)


@every_way
def test_what_the_environment_says_is_enough(
    way: str,
    proxy: ForwardingProxy,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HTTPS_PROXY and SSL_CERT_FILE, or SSL_CERT_DIR, as other programs read them."""
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    network = Network(fast=True) if way == "fast" else None
    make(way, VENDORS[0], proxy, tmp_path, network)
    monkeypatch.delenv("SSL_CERT_FILE")
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "company.pem").write_bytes(authority.ca.read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    make(way, VENDORS[0], proxy, tmp_path, network)
    assert proxy.simulator.bill.count() == 2


@every_way
def test_an_authority_that_is_not_trusted_proves_never_sent(
    way: str, proxy: ForwardingProxy, tmp_path: Path
) -> None:
    """And the error names the setting."""
    with pytest.raises(NeverSentError, match=r"CERTIFICATE_VERIFY_FAILED.*--ca") as caught:
        make(way, VENDORS[-1], proxy, tmp_path, settings(way, proxy))
    assert (proxy.simulator.bill.count(), caught.value.billed) == (0, "no")


@pytest.mark.matrix("status", "way")
@every_way
@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses_proves_never_sent(
    status: int, way: str, proxy: ForwardingProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With its status, and without its words, which quote the password."""
    proxy.refusal = status
    with pytest.raises(NeverSentError, match=f"the proxy refused: HTTP {status}") as caught:
        make(way, VENDORS[-1], proxy, tmp_path, settings(way, proxy))
    assert PASSWORD not in str(caught.value)
    assert PASSWORD not in "".join(
        one.getMessage() for one in caplog.records if one.name == "polyreel"
    )


@every_way
def test_a_proxy_that_is_not_there_proves_never_sent(
    way: str, proxy: ForwardingProxy, tmp_path: Path
) -> None:
    """As a vendor that is not there does."""
    network = Network(proxy=f"http://a:{PASSWORD}@127.0.0.1:9", fast=way == "fast")
    with pytest.raises(NeverSentError, match="connection failed") as caught:
        make(way, VENDORS[-1], proxy, tmp_path, network)
    assert PASSWORD not in str(caught.value)


def test_plain_http_goes_through_the_proxy_too(
    proxy: ForwardingProxy, tmp_path: Path, authority: Authority
) -> None:
    """With the whole URL, as proxies want it."""
    vendor = VENDORS[-1]
    network = settings("blocking", proxy, ca=authority.ca)
    base = {vendor: f"http://gateway.example.com/{vendor}"}
    for way in KINDS:
        make(way, vendor, proxy, tmp_path, network, base_urls=base)
    assert "http://gateway.example.com" in proxy.asked
    assert proxy.simulator.bill.count() == len(KINDS)


def test_hosts_in_no_proxy_are_called_without_it(
    proxy: ForwardingProxy, tmp_path: Path, authority: Authority
) -> None:
    """The proxy hears nothing of them."""
    network = settings("blocking", proxy, ca=authority.ca, no_proxy="gateway.invalid")
    base = {VENDORS[-1]: "https://gateway.invalid"}
    with pytest.raises(NeverSentError, match="connection failed"):
        make("blocking", VENDORS[-1], proxy, tmp_path, network, base_urls=base)
    assert proxy.asked == []


def test_own_headers_go_to_the_base_url_only(
    proxy: ForwardingProxy, tmp_path: Path, authority: Authority
) -> None:
    """A gateway's token is nothing for the host of the files."""
    vendor = VENDORS[-1]
    network = settings(
        "blocking", proxy, ca=authority.ca, headers={vendor: {"x-gateway": "sk-canary-0123456789"}}
    )
    make("blocking", vendor, proxy, tmp_path, network)
    reported = {(host, headers.get("x-gateway")) for host, *_, headers in proxy.calls}
    assert ("files.example.com", None) in reported
    assert all(value for host, value in reported if host != "files.example.com")
    assert "sk-canary" not in repr(network)


def test_files_that_are_no_certificates_are_refused_at_once(tmp_path: Path) -> None:
    """Before anything is written down or sent."""
    (tmp_path / "x.pem").write_text("no certificate")
    keys = {VENDORS[0]: CANARIES[VENDORS[0]]}
    for network in (
        Network(ca=tmp_path / "x.pem"),
        Network(ca=tmp_path / "missing.pem"),
        Network(client_certificate=tmp_path / "x.pem"),
    ):
        with (
            pytest.raises(RequestError, match="certificate"),
            Client(keys=keys, network=network) as client,
        ):
            client.submit(client.plan({"prompt": "a cat"}))


def test_a_socks_proxy_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what to install."""
    monkeypatch.setattr("polyreel.drivers.wire.find_spec", lambda name: None)
    keys = {VENDORS[0]: CANARIES[VENDORS[0]]}
    network = Network(proxy="socks5h://127.0.0.1:9")
    with (
        pytest.raises(MissingExtraError, match=r"polyreel\[socks\]"),
        Client(keys=keys, network=network, retries=0) as client,
    ):
        client.submit(client.plan({"prompt": "a cat"}))
    assert issubclass(MissingExtraError, PolyreelError)


@pytest.mark.matrix("kind", "failure", "way")
@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ReadTimeout("x"), AmbiguousError),
        (httpx.ReadError("x"), AmbiguousError),
        (httpx.RemoteProtocolError("x"), AmbiguousError),
        (httpx.ConnectError("x"), NeverSentError),
        (httpx.ConnectTimeout("x"), NeverSentError),
        (httpx.ProxyError("502 Bad Gateway"), NeverSentError),
    ],
)
@every_way
def test_mocks_of_httpx_catch_every_call(
    way: str,
    failure: Exception,
    kind: type[Exception],
    proxy: ForwardingProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The common ones replace these methods; without events, the exception says what was proved."""
    calls: list[str] = []

    def blocking(own: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        calls.append(request.method)
        raise failure

    async def awaiting(own: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        return blocking(own, request)  # type: ignore[arg-type]

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", blocking)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", awaiting)
    vendor = next(one for one in VENDORS if get_provider(one).files != "upload")
    with pytest.raises(kind):
        make(way, vendor, proxy, tmp_path, settings(way, proxy))
    assert calls == ["POST"]
