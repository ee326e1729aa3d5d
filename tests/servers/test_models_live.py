"""`polyreel models --live` as it is typed, against vendors that are served on this machine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from polyreel import Client
from polyreel.providers.base.limits import has_limits, reading_of
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import Simulator, http, server
from polyreel.testing.laws import demanded
from support.cli import CANARY, Command

LISTING: Final = [name for name, one in all_providers().items() if has_limits(one.contract)]
every_listing = pytest.mark.parametrize("vendor", LISTING)


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Command:
    """Command lines with a key for every vendor that lists its models, and a folder for answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYREEL_LIMITS", str(tmp_path / "limits"))
    for provider in all_providers().values():
        monkeypatch.delenv(provider.key_variable, raising=False)
        monkeypatch.setenv(provider.base_url_variable, "http://127.0.0.1:1")
    for vendor in LISTING:
        monkeypatch.setenv(get_provider(vendor).key_variable, CANARY)
    return Command(capsys, monkeypatch)


@contextmanager
def serving(cli: Command, simulator: Simulator) -> Iterator[None]:
    """The simulator for every vendor, in the place of its own host."""
    with http.running(server.answering(simulator)) as url:
        for vendor, path in server.mounts().items():
            cli.monkeypatch.setenv(get_provider(vendor).base_url_variable, f"{url}{path}")
        yield


def request(vendor: str, folder: Path, **fields: object) -> str:
    """A file with a request for the model that the simulated vendor lists."""
    provider = get_provider(vendor)
    route = next(one for one in provider.routes if demanded(provider, one))
    extra = {vendor: demanded(provider, route)}
    file = folder / "request.json"
    facts = {"model": route.model, "prompt": "a cat", **fields, "extra": extra}
    file.write_text(json.dumps(facts), encoding="utf-8")
    return str(file)


@every_listing
def test_models_are_asked_for_printed_and_kept(cli: Command, vendor: str, tmp_path: Path) -> None:
    """By one free call each; then plans are held to them, live ones and those that are asked to."""
    provider, simulator = get_provider(vendor), Simulator()
    how = reading_of(provider.contract)
    with serving(cli, simulator):
        wrong = request(vendor, tmp_path, duration=5)
        plain = ("plan", "--vendor", vendor, "--request", wrong)
        assert cli(*plain, "--live").code == 0  # nothing is at hand yet
        found = cli("models", "--live", "--vendor", vendor)
        assert (found.code, "Nothing was billed" in found.err) == (0, True)
        for member in [*how["fields"].values(), *how["shown"]]:
            assert member in found.out
        assert [method for _, method, _ in simulator.journal] == ["GET"]
        (kept,) = (tmp_path / "limits").iterdir()
        assert str(kept) in found.err.replace("\n", "").replace(" ", "") or kept.name in found.err
        assert cli(*plain).code == 0  # a plan that nobody holds to it
        held = cli(*plain, "--live")
        date = json.loads(kept.read_bytes())["date"]
        words = " ".join(held.err.split())
        assert (held.code, "duration" in words, date in words) == (2, True, True)
        right = request(vendor, tmp_path, duration=4)
        assert cli("plan", "--vendor", vendor, "--request", right, "--live").code == 0
        with Client.from_env(live=True, vendors=[vendor], ledger=None) as client:
            asked = json.loads(Path(request(vendor, tmp_path, duration=5)).read_text())
            assert client.plan(asked).refused
        assert not Client.from_env(live=False, ledger=None).plan(asked, provider).refused
    assert CANARY not in found.out + found.err + held.out + held.err


@every_listing
def test_it_is_one_document(cli: Command, vendor: str) -> None:
    """For programs, with the entries as they came."""
    with serving(cli, Simulator()):
        found = cli("models", "--live", "--json")
    (one,) = [one for one in json.loads(found.out)["vendors"] if one["vendor"] == vendor]
    assert set(one) == {"vendor", "date", "file", "models"}
    assert one["models"] == json.loads(Path(one["file"]).read_bytes())["models"]


@every_listing
def test_a_key_that_is_refused_keeps_nothing(cli: Command, vendor: str, tmp_path: Path) -> None:
    """The error is the vendor's."""
    with serving(cli, Simulator(keys=frozenset({"another"}))):
        found = cli("models", "--live", "--vendor", vendor)
    assert (found.code, "HTTP 401" in found.err) == (4, True)
    assert f"polyreel keys set {vendor}" in " ".join(found.err.split())
    assert not (tmp_path / "limits").exists()


@every_listing
def test_who_is_not_reached_has_a_next_step(cli: Command, vendor: str) -> None:
    """Another address can be given to the command itself."""
    found = cli("models", "--live", "--vendor", vendor)
    assert (found.code, f"--base-url {vendor}=URL" in " ".join(found.err.split())) == (3, True)
    with serving(cli, Simulator()):
        variable = get_provider(vendor).base_url_variable
        there = os.environ[variable]
        cli.monkeypatch.setenv(variable, "http://127.0.0.1:1")
        found = cli("models", "--live", "--vendor", vendor, "--base-url", f"{vendor}={there}")
    assert found.code == 0


def test_what_cannot_be_asked_is_said(cli: Command) -> None:
    """A vendor without such a call, no key at all, and a vendor without --live."""
    silent = next(name for name, one in all_providers().items() if not has_limits(one.contract))
    found = cli("models", "--live", "--vendor", silent)
    assert (found.code != 0, silent in found.err) == (True, True)
    assert "only with --live" in cli("models", "--vendor", LISTING[0]).err
    for vendor in LISTING:
        cli.monkeypatch.delenv(get_provider(vendor).key_variable)
    found = cli("models", "--live")
    assert found.code == 4
    assert all(get_provider(vendor).key_variable in found.err for vendor in LISTING)
