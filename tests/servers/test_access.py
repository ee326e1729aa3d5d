"""Who may use a simulator: other machines, and pages of a browser, only where they were named."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from polyreel.simulator import server
from polyreel.simulator.http import Access
from support.cli import Command
from support.running import Running
from support.server import KEY, PROVIDERS, example, new_simulator

PAGE = "http://localhost:3000"
ACCESS = Access(frozenset({"simulator"}), addresses=True, origins=frozenset({PAGE}))
ASKED = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type",
}


@pytest.fixture(scope="module")
def opened() -> Iterator[Running]:
    """A server that a container and a page may use."""
    simulator = new_simulator()
    with server.running(simulator, options=server.Options(access=ACCESS)) as url:
        yield Running(simulator, url)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("simulator", 200),
        ("SIMULATOR:8765", 200),
        ("localhost", 200),
        ("192.168.1.7:8765", 200),
        ("[fe80::1]:8765", 200),
        ("simulator.evil.example", 400),
        ("evil.example:8765", 400),
        ("simulator:8765:1", 400),
        ("simulator@evil", 400),
        ("", 400),
    ],
)
def test_only_named_hosts_are_answered(opened: Running, host: str, status: int) -> None:
    """A page whose name leads to this machine has another name in its Host header."""
    assert httpx.get(opened.url, headers={"Host": host}).status_code == status


def test_links_lead_to_the_name_that_was_called(opened: Running) -> None:
    """So a client in another container can fetch what it was told."""
    index = httpx.get(f"{opened.url}/_polyreel", headers={"Host": "simulator:8765"}).json()
    assert all("http://simulator:8765/" in call for call in index["calls"])


def test_a_named_page_may_ask_and_read(opened: Running) -> None:
    """The question before a call gets a yes, and the answer can be read by scripts."""
    one = example(PROVIDERS[0])
    url = opened.base(PROVIDERS[0]) + one.path
    question = httpx.options(url, headers=ASKED)
    assert question.status_code == 204
    assert question.headers["access-control-allow-origin"] == PAGE
    assert "POST" in question.headers["access-control-allow-methods"]
    assert question.headers["access-control-allow-headers"] == "authorization, content-type"
    answer = httpx.post(url, json=one.body, headers={**KEY, "Origin": PAGE})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "origin" in answer.headers["vary"]


@pytest.mark.parametrize("origin", ["http://localhost:3001", "https://localhost:3000", "null"])
def test_another_page_is_reported_nothing(opened: Running, origin: str) -> None:
    """Neither with a question nor without one."""
    one = example(PROVIDERS[0])
    url = opened.base(PROVIDERS[0]) + one.path
    billed = opened.simulator.bill.count()
    asked = httpx.options(url, headers={**ASKED, "Origin": origin})
    answer = httpx.get(opened.url, headers={"Origin": origin})
    for reply in (asked, answer):
        assert not [name for name in reply.headers if name.startswith("access-control")]
    assert asked.status_code in {403, 405}
    assert opened.simulator.bill.count() == billed


@pytest.mark.parametrize("host", ["203.0.113.1", "no such host", "a" * 70 + ".example"])
def test_a_host_that_is_not_ours_is_a_wrong_option(
    host: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is served."""
    command = Command(capsys, monkeypatch)
    command.fails(2, ("simulate", "--port", "0", "--host", host), "--host")
