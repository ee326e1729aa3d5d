"""The network settings: which proxy a URL takes, what is refused, what comes before what."""

import gzip
import random
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from polyreel import Network, environment, plan
from polyreel.drivers.decoding import decoder_for
from polyreel.drivers.network_file import read_network
from polyreel.errors import RequestError
from polyreel.providers.base.registry import all_providers
from polyreel_generated.contracts.vendors import VendorId
from support.faults import PACKED

VENDORS = list(all_providers())
every_vendor = pytest.mark.parametrize("vendor", VENDORS)
SECRET = "sk-canary-0123456789"
HIDDEN = "hidden-0123456789"
"""The same, for files: no file may hold the other one."""

BYPASSED = [
    *(("*", "https://api.example.com"), ("example.com", "https://example.com/v1")),
    *(("example.com", "https://api.example.com"), (".example.com", "https://api.example.com")),
    *(("*.example.com", "http://api.example.com"), ("EXAMPLE.com", "https://api.EXAMPLE.com")),
    *(("a.b, example.com", "https://example.com"), ("a.b example.com", "https://example.com")),
    *(("example.com:8443", "https://example.com:8443"), ("example.com:443", "https://example.com")),
    *(("10.0.0.0/8", "http://10.1.2.3:80"), ("127.0.0.1", "http://127.0.0.1:8000")),
    *(("::1", "http://[::1]:8000"), ("[::1]", "http://[::1]"), ("fd00::/8", "http://[fd12::1]")),
    *(("localhost", "http://localhost:1"), ("https://example.com", "https://example.com")),
    ("example.com", "https://example.com."),
]
PROXIED = [
    *(("", "https://example.com"), ("example.com", "https://myexample.com")),
    *(("example.com:8443", "https://example.com"), ("10.0.0.0/8", "http://11.0.0.1")),
    *(("http://example.com", "https://example.com"), ("api.example.com", "https://example.com")),
    *(("127.0.0.1", "http://127.0.0.2"), (",", "https://example.com")),
]


@pytest.mark.parametrize(("entries", "url"), BYPASSED)
def test_hosts_of_no_proxy_are_called_directly(entries: str, url: str) -> None:
    """Names with all below them, addresses, networks, ports, all."""
    assert Network(proxy="http://proxy.example", no_proxy=entries).proxy_for(url) is None


@pytest.mark.parametrize(("entries", "url"), PROXIED)
def test_other_hosts_are_called_through_the_proxy(entries: str, url: str) -> None:
    """Not every name that ends alike is below a name."""
    assert Network(proxy="http://proxy.example", no_proxy=entries).proxy_for(url) is not None


def test_each_kind_of_url_can_have_its_own_proxy() -> None:
    """What is for all is for the rest."""
    made = Network(proxy={"https": "p1.example:3128", "all": "socks5h://me:pw@p2.example"})
    for url, wanted in {
        "https://x.example": "http://p1.example:3128",
        "http://x.example": "socks5://p2.example",
    }.items():
        proxy = made.proxy_for(url)
        assert proxy is not None
        assert proxy.url == wanted
    assert Network(proxy={"http": "p.example"}).proxy_for("https://x.example") is None


def test_names_and_passwords_are_read_and_not_shown() -> None:
    """Quoted ones too; they are what no text may hold."""
    made = Network(proxy="http://me%40home:sk-canary%3A1@proxy.example:8080")
    proxy = made.proxy_for("http://x.example")
    assert proxy is not None
    assert (proxy.name, proxy.password) == ("me@home", "sk-canary:1")
    assert "canary" not in f"{made!r} {proxy!r} {proxy.url}"
    text = "it was sk-canary:1, or me@home:sk-canary:1"
    for secret in made.secrets:
        text = secret.redact_text(text)
    assert "canary" not in text


WRONG: Mapping[str, Mapping[str, Any]] = {
    "proxy (all)": {"proxy": f"ftp://me:{SECRET}@x"},
    "proxy (https)": {"proxy": {"https": f"http://me:{SECRET}@"}},
    "proxy (http)": {"proxy": {"http": f"http://{SECRET}:x:y"}},
    "not for 'ftp'": {"proxy": {"ftp": "http://x"}},
    "no header's name": {"headers": {"*": {"a b": SECRET}}},
    "follows from each call": {"headers": {"*": {"Content-Length": SECRET}}},
    "one line": {"headers": {"*": {"x-y": f"{SECRET}\r\nX: y"}}},
    "user_agent": {"user_agent": "a\nb"},
    "client_key": {"client_key": "key.pem"},
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_settings_are_refused_without_their_value(words: str) -> None:
    """They may hold a password."""
    with pytest.raises(RequestError) as caught:
        Network(**WRONG[words])
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_what_is_given_comes_before_variables_and_these_before_the_file(tmp_path: Path) -> None:
    """The variables of polyreel; those of all programs come last."""
    vendor, other = VENDORS[:2]
    provider = all_providers()[vendor]
    file = tmp_path / "network.toml"
    file.write_text(
        f'user_agent = "file"\nca = "ca.pem"\nproxy = "http://file.example"\n'
        f'[base_urls]\n{vendor} = "https://file.example"\n{other} = "https://file.example"\n'
        f'[headers.{vendor}]\n"X-One" = "file"\n"X-Two" = "file"\n',
        encoding="utf-8",
    )
    variables = {
        "POLYREEL_NETWORK": str(file),
        provider.base_url_variable: "https://variable.example/x/",
        provider.headers_variable: "X-One: variable\n\nX-Three: a: b",
        "HTTPS_PROXY": "http://variable.example",
        "SSL_CERT_FILE": "/variable.pem",
        "NO_PROXY": "local.example",
    }
    found = environment.network(Network(user_agent="given"), environment=variables)
    assert found.user_agent == "given"
    assert found.ca == tmp_path / "ca.pem"
    assert found.base_urls == {
        vendor: "https://variable.example/x",
        other: "https://file.example",
    }
    assert found.headers_for(vendor) == {"X-One": "variable", "X-Two": "file", "X-Three": "a: b"}
    assert (dict(found.proxy), found.no_proxy) == (
        {"all": "http://file.example"},
        ("local.example",),
    )
    alone = environment.network(Network(trust_environment=False), environment=variables)
    assert alone == Network(trust_environment=False)
    simulated = environment.network(environment={"HTTPS_PROXY": "ftp://x"}, live=False)
    assert not simulated.proxy


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"HTTPS_PROXY": "http://a", "https_proxy": "http://b"}, {"https": "http://b"}),
        ({"HTTPS_PROXY": "http://a", "https_proxy": ""}, {}),
        ({"HTTP_PROXY": "http://a"}, {"http": "http://a"}),
        ({"HTTP_PROXY": "http://a", "REQUEST_METHOD": "GET"}, {}),
        ({"ALL_PROXY": "socks5://a"}, {"all": "socks5://a"}),
    ],
)
def test_the_variables_of_proxies(variables: dict[str, str], wanted: dict[str, str]) -> None:
    """As other programs read them."""
    assert dict(environment.network(environment=variables).proxy) == wanted


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "unknown setting 'colour'; there are base_urls, ca,"),
        ("fast = 1", "fast: true or false"),
        (f'headers = "{HIDDEN}"', "headers: a table"),
        ('proxy = "ftp://x"', "proxy (all)"),
        ("= ", "not TOML"),
        ("a" + ".a" * 5000 + " = 1", "nested too deeply"),
    ],
)
def test_a_wrong_file_is_refused_in_our_words(tmp_path: Path, text: str, words: str) -> None:
    """With its name, without its values."""
    file = tmp_path / "network.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(RequestError) as caught:
        read_network(file)
    assert words in str(caught.value)
    assert str(file) in str(caught.value)
    assert HIDDEN not in str(caught.value)
    with pytest.raises(RequestError, match="No such file"):
        read_network(tmp_path / "missing.toml")


@every_vendor
def test_a_base_url_that_repeats_the_paths_is_understood(vendor: VendorId) -> None:
    """Gateways print theirs with the version, and others copy the address of a call."""
    provider = all_providers()[vendor]
    route = provider.routes[0]
    path = route.operation.PATH.strip("/").split("/")
    wanted = f"https://gw.example/x/{'/'.join(path)}"
    for length in range(len(path) + 1):
        for end in ("", "/"):
            base = "/".join(["https://gw.example/x", *path[:length]]) + end
            assert provider.without_repetition(base) == "https://gw.example/x"
            made = plan({"prompt": "a cat", "model": route.model}, vendor, base_url=base)
            assert made.url.startswith("https://gw.example/x/")
    assert wanted.startswith(provider.without_repetition(wanted))
    for base in (
        provider.base_url,
        "https://gw.example",
        "https://gw.example/api",
        "http://[::1]:9",
    ):
        assert provider.without_repetition(base) == base
    own_host = "/".join(provider.base_url.split("/")[:3])  # it needs the vendor's own path
    assert provider.without_repetition(f"{own_host}/") == provider.base_url


def test_an_upload_url_is_said_like_a_base_url(tmp_path: Path) -> None:
    """The setting comes before the variable, that before the file; repeated paths are cut off."""
    provider = next(one for one in all_providers().values() if one.servers[1:])
    file = tmp_path / "network.toml"
    file.write_text(f'[upload_urls]\n{provider.id} = "https://file.example/"\n', encoding="utf-8")
    variables = {"POLYREEL_NETWORK": str(file)}
    path = next(
        one.path for one in provider.contract.operations.values() if one.server != provider.base_url
    )

    def found(given: Network | None = None) -> Any:
        return environment.network(given, environment=variables).upload_urls

    assert found() == {provider.id: "https://file.example"}
    variables[provider.upload_url_variable] = f"https://variable.example/x{path}"
    assert found() == {provider.id: "https://variable.example/x"}
    given = Network(upload_urls={provider.id: "https://given.example"})
    assert found(given) == {provider.id: "https://given.example"}
    with pytest.raises(RequestError, match="the upload URL of"):
        found(Network(upload_urls={provider.id: "https://u:p@given.example"}))
    variables[provider.upload_url_variable] = "ftp://x"
    with pytest.raises(RequestError, match=provider.upload_url_variable):
        found()


# -- compressed bodies -----------------------------------------------------------------------------

TEXT = random.Random(1).randbytes(50_000) + bytes(200_000)


def raw_deflate(content: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return made.compress(content) + made.flush()


ENCODINGS = {**PACKED, "X-GZip": PACKED["gzip"]}


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
@pytest.mark.parametrize(
    ("encoding", "content"),
    [*((name, one(TEXT)) for name, one in ENCODINGS.items()), ("deflate", raw_deflate(TEXT))],
)
def test_compressed_bodies_are_decoded_in_any_pieces(
    encoding: str, content: bytes, size: int
) -> None:
    """And it is known whether the end was there."""
    decoder = decoder_for(encoding, len(TEXT))
    assert decoder is not None
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    found = b""
    for piece in pieces[:-1]:
        found += b"".join(decoder.decode(piece))
    assert not decoder.is_whole or len(pieces) == 1
    found += b"".join(decoder.decode(pieces[-1]))
    assert (found, decoder.is_whole) == (TEXT, True)


def test_a_bomb_is_stopped() -> None:
    """A few bytes never become gigabytes, neither in memory nor on the disk."""
    decoder = decoder_for("gzip", 1_000_000)
    assert decoder is not None
    given: list[int] = []
    with pytest.raises(ValueError, match="too large"):
        given.extend(map(len, decoder.decode(gzip.compress(bytes(50_000_000)))))
    assert max(given) <= 65_536
    assert sum(given) <= 1_000_000


def test_what_cannot_be_decoded_is_reported() -> None:
    """Other encodings, and what is not encoded."""
    for encoding in ("br", "zstd", "gzip, gzip", "compress"):
        with pytest.raises(ValueError, match="not asked for"):
            decoder_for(encoding, 1)
    for nothing in (None, "", "identity", "Identity, "):
        assert decoder_for(nothing, 1) is None
    decoder = decoder_for("deflate", 100)
    assert decoder is not None
    with pytest.raises(ValueError, match="cannot be read"):
        list(decoder.decode(b"\xff\xff no deflate"))
