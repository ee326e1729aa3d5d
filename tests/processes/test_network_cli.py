"""The command line behind a company's proxy, as a process."""

from pathlib import Path

import pytest
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import RunningClock, Simulator
from support.cli import CANARY, VENDORS, process
from support.proxies import PASSWORD, Authority, ForwardingProxy

CLIP = ("generate", "a cat", "--duration", "3", "--resolution", "720p", "--no-audio", "--live")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority")).make()


@pytest.mark.parametrize("by", ["variables", "options", "file"])
def test_a_live_job_is_made_and_saved_behind_a_proxy(
    by: str, tmp_path: Path, authority: Authority
) -> None:
    """Whichever way the settings are given, and neither key nor password is shown anywhere."""
    with ForwardingProxy(authority, Simulator(clock=RunningClock(1000))) as proxy:
        env, options = {}, list[str]()
        if by == "variables":
            env = {"HTTPS_PROXY": proxy.url, "SSL_CERT_FILE": str(authority.ca)}
        elif by == "options":
            options = ["--proxy", proxy.url, "--ca", str(authority.ca), "--user-agent", "Company/1"]
        else:
            settings = f'proxy = "http://127.0.0.1:1"\nca = "{authority.ca}"\n'
            (tmp_path / "network.toml").write_text(settings, encoding="utf-8")
            options = ["--network", "network.toml", "--proxy", proxy.url]
        vendor = VENDORS[0]
        live = (*CLIP, "--yes", "--vendor", vendor, "--timeout", "0", "--json", *options)
        waiting = process(*live, cwd=tmp_path, env=env)
        assert waiting.code == 8, waiting.err
        done = process("resume", "--live", *options, cwd=tmp_path, env=env)
        assert done.code == 0, done.err
        assert {host for host, *_ in proxy.calls} >= {"files.example.com"}
        assert proxy.simulator.bill.count() == 1
        if by == "options":
            assert {headers["user-agent"] for *_, headers in proxy.calls} == {"Company/1"}
    shown = [text.encode() for one in (waiting, done) for text in (one.out, one.err)]
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(secret.encode() in text for secret in (PASSWORD, CANARY) for text in shown)
    assert not any(secret.encode() in text for secret in (PASSWORD, CANARY) for text in written)


def test_without_the_authority_nothing_was_sent(tmp_path: Path, authority: Authority) -> None:
    """The exit code and the document say so; the message names the option."""
    with ForwardingProxy(authority, Simulator()) as proxy:
        env = {"HTTPS_PROXY": proxy.url}
        live = (*CLIP, "--yes", "--vendor", VENDORS[0], "--json")
        found = process(*live, cwd=tmp_path, env=env)
        assert found.document["error"]["billed"] == "no"
        assert "--ca" in found.err
        assert PASSWORD not in found.err + found.out
        assert proxy.simulator.bill.count() == 0


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_base_url_and_header_is_a_setting(vendor: str, tmp_path: Path) -> None:
    """A variable or an option; the version at its end is understood."""
    provider = all_providers()[vendor]
    path = provider.routes[0].operation.PATH.split("/")[1]
    path = "" if path.startswith("{") else f"/{path}"  # the model is no part of a base URL
    url = f"https://gateway.example.com/x{path}"
    plan = ("plan", "a cat", "--vendor", vendor, "--json")
    by_variable = process(*plan, cwd=tmp_path, env={provider.base_url_variable: url})
    option = ("--base-url", f"{vendor}={url}", "--header", f"{vendor}:X-Token: abc")
    for found in (by_variable, process(*plan, *option, cwd=tmp_path)):
        assert f"{found.document['url']}/".startswith(f"{url}/")
        assert not path or f"{path}{path}/" not in found.document["url"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--header", "X-Token: sk-canary-0123456789"), "VENDOR:NAME:VALUE"),
        (("--header", f"{VENDORS[0]}:sk-canary-0123456789"), "Name: value"),
        (("--base-url", "https://sk-canary-0123456789"), "VENDOR=URL"),
        (("--base-url", "nobody=https://x.example"), "nobody"),
        (("--upload-url", "https://sk-canary-0123456789"), "--upload-url: write VENDOR=URL"),
        (("--upload-url", "nobody=https://x.example"), "nobody"),
        (("--proxy", "ftp://me:sk-canary-0123456789@x"), "proxy"),
        (("--network", "missing.toml"), "missing.toml"),
    ],
)
def test_wrong_options_are_refused_without_their_values(
    option: tuple[str, str], words: str, tmp_path: Path
) -> None:
    """In a sentence, with exit code 2."""
    found = process("plan", "a cat", "--vendor", VENDORS[0], *option, cwd=tmp_path)
    assert (found.code, words in found.err) == (2, True), found.err
    assert "canary" not in found.err
