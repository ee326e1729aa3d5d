"""`polyreel doctor --live` as it is typed, against vendors that are served on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attrs import evolve
from polyreel.flows import Answer
from polyreel.providers.base import registry
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import Simulator, http, server
from polyreel.simulator.http import HttpRequest
from polyreel.testing.registration import registered
from polyreel.verification.readiness import free_calls
from support.cli import CANARY, FIRST, VENDORS, Command, failing
from support.odd_queue import QueueVendor

LIVE = ("doctor", "--live")


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines with a key for every vendor; what they ask is for each test to serve."""
    monkeypatch.chdir(tmp_path)
    for provider in all_providers().values():
        monkeypatch.setenv(provider.key_variable, CANARY)
        monkeypatch.setenv(provider.base_url_variable, "http://127.0.0.1:1")
    return Command(capsys, monkeypatch)


@contextmanager
def serving(
    cli: Command,
    simulator: Simulator,
    change: Callable[[HttpRequest, Answer], Answer] | None = None,
) -> Iterator[list[str]]:
    """The simulator for every vendor, whose answers may be changed. The block gets the methods and
    targets of what is asked.
    """
    asked: list[str] = []
    answer = server.answering(simulator)

    def handler(request: HttpRequest) -> Answer:
        asked.append(f"{request.method} {request.target}")
        found = answer(request)
        return change(request, found) if change else found

    with http.running(handler) as url:
        for vendor, path in server.mounts().items():
            cli.monkeypatch.setenv(get_provider(vendor).base_url_variable, f"{url}{path}")
        yield asked


def of(vendor: str, change: Callable[[Answer], Answer]) -> Callable[[HttpRequest, Answer], Answer]:
    """A change of one vendor's answers."""

    def changed(request: HttpRequest, answer: Answer) -> Answer:
        return change(answer) if request.target.startswith(f"/{vendor}/") else answer

    return changed


def novel(answer: Answer) -> Answer:
    """A member that no spec has, where the answer is a good one."""
    body = {**json.loads(answer.content), "novel": CANARY}
    return evolve(answer, content=json.dumps(body).encode())


def page(answer: Answer) -> Answer:
    """A sign-in page in the place of the answer."""
    return Answer(200, {"content-type": "text/html"}, b"<html>sign in</html>")


def test_all_is_well(cli: Command) -> None:
    """Every vendor is ready, by free calls only; the key goes nowhere but to its address."""
    simulator = Simulator(seed=1)
    with serving(cli, simulator) as asked:
        plain, found = cli(*LIVE), cli(*LIVE, "--json")
        assert (plain.code, found.code) == (0, 0), plain.err
    assert found.document["status"] == "ready"
    rows = {one["vendor"]: one for one in found.document["vendors"]}
    assert list(rows) == VENDORS
    for vendor, row in rows.items():
        calls = [(one["role"], one["outcome"]) for one in row["calls"]]
        assert [role for role, _ in calls] == [
            one.role for one, _ in free_calls(get_provider(vendor))
        ]
        assert {outcome for _, outcome in calls} <= {"answered", "no such task"}
        assert (row["state"], row["key"], row["differences"]) == ("ready", "accepted", [])
        assert row["address"].startswith("http://127.0.0.1:")
        assert vendor in plain.out
    assert {one.partition(" ")[0] for one in asked} == {"GET"}
    assert len(asked) == 2 * sum(len(free_calls(one)) for one in all_providers().values())
    assert simulator.bill.count() == 0
    assert "only free calls" in plain.last_line


def test_a_refused_key_exits_4(cli: Command) -> None:
    """The vendor's words, and what to do; it is worse than all else that is found."""
    with serving(cli, Simulator(seed=1, keys=frozenset({CANARY}))):
        cli.monkeypatch.setenv(get_provider(FIRST).key_variable, "sk-another-0123456789")
        cli.monkeypatch.setenv(get_provider(VENDORS[1]).base_url_variable, "http://127.0.0.1:1")
        plain, found = cli(*LIVE), cli(*LIVE, "--json")
    assert (plain.code, found.code) == (4, 4)
    rows = {one["vendor"]: one for one in found.document["vendors"]}
    assert (rows[FIRST]["state"], rows[FIRST]["key"]) == ("key refused", "refused")
    assert [one["status"] for one in rows[FIRST]["calls"]] == [401]
    assert f"error: {FIRST} did not accept the key: HTTP 401: " in plain.err
    assert f"polyreel keys set {FIRST}" in plain.err
    states = {vendor: row["state"] for vendor, row in rows.items()}
    assert states == {**dict.fromkeys(VENDORS, "ready"), FIRST: "key refused"} | {
        VENDORS[1]: "not reached"
    }
    assert "another-0123" not in "".join(cli.seen)


def test_a_member_that_no_spec_has_exits_5(cli: Command) -> None:
    """Its place and the spec's are shown as `verify` shows them, and its value where it is no
    secret.
    """
    with serving(cli, Simulator(seed=1), of(FIRST, novel)):
        plain, found = cli(*LIVE), cli(*LIVE, "--json")
    assert (plain.code, found.code) == (5, 5)
    row = found.document["vendors"][0]
    assert (row["vendor"], row["state"], row["key"]) == (FIRST, "differs", "accepted")
    differences = row["differences"]
    assert {one["traffic"] for one in differences} == {"/response/body/novel"}
    assert all(one["spec"].endswith("/properties") and one["patch"] for one in differences)
    assert "/response/body/novel" in plain.out
    assert f"polyreel verify --live {FIRST}" in plain.err
    assert [one["state"] for one in found.document["vendors"][1:]] == ["ready"] * (len(VENDORS) - 1)


def test_a_page_exits_3(cli: Command) -> None:
    """It is no answer of the vendor's; the address is asked about, and the page is not quoted."""
    with serving(cli, Simulator(seed=1), of(FIRST, page)):
        plain, found = cli(*LIVE, "--vendor", FIRST), cli(*LIVE, "--vendor", FIRST, "--json")
    assert (plain.code, found.code) == (3, 3)
    (row,) = found.document["vendors"]
    assert (row["state"], row["key"]) == ("failing", "not proved")
    assert {one["outcome"] for one in row["calls"]} == {"foreign"}
    assert "text/html" in plain.err
    assert get_provider(FIRST).base_url_variable in plain.err
    assert "sign in" not in "".join(cli.seen)


def test_an_error_of_the_vendor_exits_3(cli: Command) -> None:
    """It is told in the vendor's words, and the vendor is asked again later."""
    provider = get_provider(FIRST)
    query = provider.contract.operation("get")
    assert query is not None
    body = next(one for status, *_, one in provider.contract.replies(query) if status == 500)
    reply = Answer(500, {"content-type": "application/json"}, json.dumps(body).encode())
    with serving(cli, Simulator(seed=1), of(FIRST, lambda _: reply)):
        found = cli(*LIVE, "--vendor", FIRST)
    assert found.code == 3
    assert "HTTP 500" in found.err
    assert provider.read_error(reply)[1] in found.err
    assert f"ask it again later: polyreel doctor --live --vendor {FIRST}" in found.err


def test_a_dead_address_exits_3(cli: Command) -> None:
    """What happened, that nothing was billed, and what to look at; no traceback."""
    plain, found = cli(*LIVE), cli(*LIVE, "--json")
    assert (plain.code, found.code) == (3, 3)
    for row in found.document["vendors"]:
        assert (row["state"], row["key"], row["calls"]) == ("not reached", "not proved", [])
        assert "connection failed" in row["problem"]
        assert f"error: {row['vendor']}: connection failed" in plain.err
    assert "--proxy" in plain.err
    assert "Nothing was billed" in plain.last_line


def test_a_vendor_without_a_key_is_one_line(cli: Command) -> None:
    """It is no error, unless it was named; a key that cannot be one is."""
    for provider in all_providers().values():
        cli.monkeypatch.delenv(provider.key_variable)
    found = cli(*LIVE)
    assert found.code == 0
    for provider in all_providers().values():
        (line,) = (one for one in found.out.splitlines() if one.strip().startswith(provider.id))
        assert f"{provider.key_variable} is not set" in line
    named = cli(*LIVE, "--vendor", FIRST, "--json")
    assert (named.code, named.document["vendors"][0]["state"]) == (4, "no key")
    cli.monkeypatch.setenv(get_provider(FIRST).key_variable, "not a key\x07")
    odd = cli(*LIVE, "--json")
    assert (odd.code, odd.document["vendors"][0]["state"]) == (4, "key unusable")
    assert get_provider(FIRST).key_variable in odd.err


def test_wrong_usage_exits_2(cli: Command) -> None:
    """Before anything is asked."""
    cli.fails(2, ("doctor", "--vendor", FIRST), "only with --live")
    cli.fails(2, (*LIVE, "--vendor", "nonesuch"), "nonesuch")
    cli.fails(2, (*LIVE, "--base-url", f"{FIRST}=ftp://x"), "not an http(s) URL")


def test_an_address_that_is_typed_counts(cli: Command) -> None:
    """For `doctor` as for the calls of `doctor --live`: before that of the environment."""
    option = ("--base-url", f"{FIRST}=http://127.0.0.1:2")
    assert cli("doctor", *option, "--json").document["base_urls"][FIRST] == "http://127.0.0.1:2"
    (row,) = cli(*LIVE, "--vendor", FIRST, *option, "--json").document["vendors"]
    assert row["address"] == "http://127.0.0.1:2"


def test_a_vendor_of_another_package_is_asked_too(cli: Command) -> None:
    """By its own contract; where its code is at fault, the others are asked all the same."""
    before = registry.entry_points
    try:
        provider = registered(QueueVendor)
        cli.monkeypatch.setenv(provider.key_variable, CANARY)
        names = ("--vendor", provider.id, "--vendor", FIRST, "--json")
        with serving(cli, Simulator(seed=1)):
            found = cli(*LIVE, *names)
            assert (found.code, found.document["status"]) == (0, "ready"), found.err
            assert [one["status"] for one in found.document["vendors"][0]["calls"]] == [404]
            cli.monkeypatch.setattr(QueueVendor, "read_error", failing(KeyError("nothing")))
            broken = cli(*LIVE, *names)
        states = [one["state"] for one in broken.document["vendors"]]
        assert (broken.code, states) == (1, ["failing", "ready"])
        assert "internal error (KeyError" in broken.err
    finally:
        registry.entry_points = before
        registry.all_providers.cache_clear()
