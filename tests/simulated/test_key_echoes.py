"""A key that a vendor repeats, in any of nine ways, is in nothing that polyreel shows or keeps."""

from __future__ import annotations

import json
import logging
import pickle
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from polyreel import errors
from polyreel.client import Client
from polyreel.drivers import RealClock, Wire
from polyreel.environment import without_keys
from polyreel.errors import PolyreelError
from polyreel.plans.planning import PlanRefusedError
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import RunningClock, Simulator
from polyreel.simulator.transport import SimulatedTransport
from polyreel_generated.contracts.vendors import VendorId
from polyreel_generated.shared import Job, Output
from support.cli import LEDGER, VENDORS, Command, stranger
from support.echoes import KEY, MODES, WRITTEN, EchoingTransport, holds_key

CLIP = ("generate", "a cat", "--duration", "3", "--resolution", "720p", "--no-audio", "--yes")
REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p"}
every_form = pytest.mark.parametrize("form", WRITTEN)
every_mode = pytest.mark.parametrize("mode", MODES)
SEEN: set[type] = set()
"""The classes of the errors that came."""
SILENT = {
    errors.RequestError,
    errors.UnknownNameError,
    errors.BudgetError,
    errors.KeyMissingError,
    errors.MissingExtraError,
    errors.WebhookError,
    errors.ClaimedError,
    errors.LedgerError,
    errors.UnusableFileError,
    errors.UnwritableFileError,
    errors.SubmitError,
    errors.StillRunningError,
    errors.JobFailedError,
    errors.UnknownStatusError,
    PlanRefusedError,
}
"""Errors without a word of a vendor's in them, those that a job's state makes (its words are
redacted like all others), and the root of those of a submit."""


@pytest.fixture
def vendor(form: str, mode: str) -> str:
    """Every vendor meets every form, and every mode."""
    return VENDORS[(list(WRITTEN).index(form) + MODES.index(mode)) % len(VENDORS)]


@pytest.fixture
def echoing(form: str, monkeypatch: pytest.MonkeyPatch) -> EchoingTransport:
    """Every call of a live client is answered by simulated vendors that repeat the key."""
    simulator = Simulator(clock=RunningClock(1000), keys=frozenset({KEY}))
    made = EchoingTransport(SimulatedTransport(simulator), form)
    for kind, method in (
        (httpx.HTTPTransport, "handle_request"),
        (httpx.AsyncHTTPTransport, "handle_async_request"),
    ):
        answer: Callable[[httpx.Request], Any] = getattr(made, method)
        monkeypatch.setattr(kind, method, lambda _, request, answer=answer: answer(request))

    async def at_once(*_: object) -> None:
        return None

    monkeypatch.setattr(Wire, "private_downloads", property(lambda _: True, lambda *_: None))
    monkeypatch.setattr(RealClock, "sleep", lambda *_: None)
    monkeypatch.setattr(RealClock, "asleep", at_once)
    return made


@pytest.fixture
def cli(
    echoing: EchoingTransport,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Command:
    made = stranger(capsys, monkeypatch, tmp_path)
    for provider in all_providers().values():
        monkeypatch.setenv(provider.key_variable, KEY)
    transport: Any = echoing
    monkeypatch.setattr(
        httpx.HTTPTransport, "handle_request", lambda _, one: transport.handle_request(one)
    )
    monkeypatch.setattr(
        httpx.AsyncHTTPTransport,
        "handle_async_request",
        lambda _, one: transport.handle_async_request(one),
    )
    return made


def kept(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file that was written, and the values of the ledger's rows."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.name, path.read_bytes()
    for path in folder.rglob("ledger.sqlite3"):
        connection = sqlite3.connect(path)
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"):
            for row in connection.execute(f"SELECT * FROM {table}"):
                yield f"{path.name}: {table}", repr(row).encode()
        connection.close()


def commands(vendor: str, entry: str, folder: Path) -> Iterator[tuple[str, ...]]:
    """Every command, as far as it can say anything of a vendor's answers."""
    (folder / "rows.jsonl").write_text(json.dumps({**REQUEST, "vendor": vendor}) + "\n")
    live = ("--live",)
    again = ("--accept-double-billing", "--yes", "--timeout", "1")
    for more in ((), ("--json",)):
        yield ("jobs", *more)
        yield ("resume", *live, "--timeout", "1", *more)
        yield (*CLIP, *live, "--vendor", vendor, "--timeout", "1", *more)
    yield ("batch", "rows.jsonl", *live, "--yes", "--timeout", "1")
    yield ("reconcile", *live, "--json")
    yield ("adopt", entry, "task-1", *live)
    yield ("resubmit", entry, *live, *again)
    yield ("verify", *live, vendor, "--task", "task-1")
    yield ("doctor",)
    yield ("abandon", entry)


@pytest.mark.matrix("form", "mode", "paid")
@every_form
@every_mode
@pytest.mark.parametrize("paid", [True, False], ids=["paid", "free"])
def test_no_command_shows_or_keeps_it(
    cli: Command,
    echoing: EchoingTransport,
    vendor: str,
    mode: str,
    paid: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither on a stream, nor in a log, nor in any file."""
    caplog.set_level(logging.DEBUG, logger="polyreel")
    echoing.mode, echoing.paid = "cut", True
    cli(*CLIP, "--live", "--vendor", vendor)
    (entry,) = (one["id"] for one in cli("jobs", "--json").document)
    echoing.mode, echoing.paid = mode, paid
    for command in commands(vendor, entry, tmp_path):
        found = cli(*command)
        assert "internal error" not in found.err, (command, found.err)
        assert not holds_key(found.out + found.err), command
    assert echoing.texts > 5  # it has seen the key, and not once
    logged = [f"{one.getMessage()} {one.args}" for one in caplog.records if one.name == "polyreel"]
    assert not holds_key("\n".join(logged))
    assert [name for name, content in kept(tmp_path) if holds_key(content)] == []
    assert (tmp_path / LEDGER).exists()


def shown(error: BaseException) -> Iterator[str]:
    """All that can be shown or kept of an error."""
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
    yield "".join(traceback.format_exception(error))
    yield pickle.dumps(error).decode("latin-1")


def attempts(client: Client, vendor: VendorId, folder: Path) -> Iterator[Callable[[], Any]]:
    """The calls of a client, one after the other, whatever becomes of them."""
    plan = client.plan(REQUEST, vendor)
    yield partial(client.submit, plan)
    yield partial(client.generate, plan, output=folder / "clips", timeout=1)
    yield client.reconcile
    for entry in client.jobs():
        yield partial(client.resume, entry.id, timeout=1)
        yield partial(client.adopt, entry.id, "task-1")
        if entry.job is not None:
            yield partial(client.get, entry.job)
            yield partial(client.wait, entry.job, timeout=1)
            yield partial(client.download, entry.job, folder / "clips")


@pytest.mark.matrix("form", "mode", "paid")
@every_form
@every_mode
@pytest.mark.parametrize("paid", [True, False], ids=["paid", "free"])
def test_no_error_and_no_job_holds_it(
    echoing: EchoingTransport, vendor: VendorId, mode: str, paid: bool, tmp_path: Path
) -> None:
    """Not its text, its repr, its pickle; not the job in it."""
    ledger = tmp_path / "ledger.sqlite3"
    with Client(keys={vendor: KEY}, ledger=ledger, retries=0) as client:
        client.submit(client.plan(REQUEST, vendor))
        echoing.mode, echoing.paid = mode, paid
        for attempt in attempts(client, vendor, tmp_path):
            try:
                found: Any = attempt()
            except PolyreelError as error:
                SEEN.add(type(error))
                texts = [*shown(error)]
            else:
                texts = [repr(found)]
            assert not any(map(holds_key, texts))
    assert [name for name, content in kept(tmp_path) if holds_key(content)] == []


@pytest.mark.parametrize("form", ["plain"])
def test_every_class_of_error_came(echoing: EchoingTransport, tmp_path: Path) -> None:
    """What the test above has not raised is raised here: no class is left out."""

    def collect(attempt: Callable[[], Any]) -> None:
        with pytest.raises(PolyreelError) as caught:
            attempt()
        SEEN.add(type(caught.value))
        assert not any(holds_key(text) for text in shown(caught.value))

    for vendor in VENDORS:
        with Client(keys={vendor: KEY}, retries=0) as client:
            echoing.mode = "beside"
            plan = client.plan(REQUEST, get_provider(vendor))
            job = client.submit(plan)
            ended = _ended(job)
            for mode in (*MODES[1:], "unreached", "nonsense"):
                echoing.mode, echoing.paid = mode, True
                collect(partial(client.submit, plan))
                echoing.paid = False
                collect(partial(client.get, job))
                collect(partial(client.download, ended, tmp_path))
    assert {one for one in _all_errors() if one not in SEEN} <= SILENT


def _ended(job: Job) -> Job:
    """The job, with a file that is somewhere at its vendor."""
    base = all_providers()[job.vendor].servers[0]
    outputs = [Output(url=f"{base}/outputs/1.mp4")]
    return job.model_copy(update={"status": "succeeded", "outputs": outputs})


def _all_errors() -> set[type]:
    found, waiting = set(), [PolyreelError]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            found.add(kind)
            waiting.append(kind)
    return found


@every_form
def test_the_last_check_of_the_output_knows_every_way(form: str) -> None:
    """Whatever another part has missed."""
    variable = next(iter(all_providers().values())).key_variable
    text = WRITTEN[form]()
    if form == "utf-16":
        text = text.encode("utf-16-le").decode("latin-1")
    shown_text = without_keys(f"what about {text}, 60% done?", {variable: KEY})
    assert not holds_key(shown_text)
    assert shown_text.startswith("what about ")
    assert "60% done?" in shown_text.replace("\0", "")
