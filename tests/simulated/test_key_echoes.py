"""A key that a vendor repeats, in any of nine ways, is in nothing that polyreel shows or keeps."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest
from attrs import evolve
from polyreel import errors
from polyreel.agents.service import AgentService
from polyreel.agents.tools import AgentTools
from polyreel.cli import failures
from polyreel.cli.commands import COMMANDS
from polyreel.client import AsyncClient, Client
from polyreel.drivers import Wire
from polyreel.engines import Save, Submit, Tend, perform
from polyreel.environment import without_keys
from polyreel.errors import PolyreelError, WebhookError
from polyreel.flows import Reply
from polyreel.ledger.database import DeadlockError
from polyreel.ledger.limits import NotYetError
from polyreel.ledger.sqlite import Ledger
from polyreel.places import put
from polyreel.plans.planning import PlanRefusedError
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.providers.base.webhooks import parse_webhook
from polyreel.simulator import Simulator, VirtualClock, ready_made
from polyreel.simulator.transport import SimulatedTransport
from polyreel_generated.contracts.vendors import VendorId
from polyreel_generated.shared import Job, Output
from support.cli import LEDGER, VENDORS, Command, stranger
from support.echoes import KEY, MODES, WRITTEN, EchoingTransport, holds_key
from support.errors import errors as every_error
from support.errors import made
from support.prices import SELLER
from support.webhooks import HOOKED, SECRET, SIGNED, deliveries, signed, webhook

OFFLINE = {
    "plan": ("plan", "a cat", "--vendor", "all"),
    "price": ("price", "a cat"),
    "models": ("models",),
    "matrix": ("matrix",),
    "diff": ("diff", VENDORS[0], VENDORS[1]),
    "advise": ("advise", "request.json"),
    "translate": ("translate", "body.json", "--from", VENDORS[0], "--to", VENDORS[1]),
    "drift": ("drift", "old.json", "old.json", "--vendor", VENDORS[0]),
    "keys": ("keys", "list"),
    "limits": ("limits", "web", "--max-cost", "5"),
}
"""Commands that ask no vendor anything: what they read is not a vendor's answer."""
ELSEWHERE = {
    "gateway": "test_gateway_keys is about it",
    "listen": "test_no_webhook_keeps_it",
    "mcp": "test_no_tool_for_agents_shows_it",
    "worker": "test_no_worker_shows_it",
    "studio": "test_studio_live is about it",
    "simulate": "it has no keys, and answers no call of polyreel's own",
    "torture": "it runs somebody else's program against simulated vendors",
    "new-vendor": "it reads a document, and knows no key",
}
"""Commands that are covered by another test, or see neither a key nor an answer."""
ERRORS = every_error()  # before any test: a library starts a process when it is imported
CLIP = ("generate", "a cat", "--duration", "3", "--resolution", "720p", "--no-audio", "--yes")
REQUEST = {"prompt": "a cat", "duration": 3, "resolution": "720p"}
GENERATE: Any = {"request": {**REQUEST, "audio": False}, "wait_seconds": 0}
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
    NotYetError,
    DeadlockError,
}
"""Errors without a word of a vendor's in them, those that a job's state makes (its words are
redacted like all others), and the root of those of a submit."""


@pytest.fixture
def vendor(form: str, mode: str) -> str:
    """Every vendor meets every form, and every mode."""
    return VENDORS[(list(WRITTEN).index(form) + MODES.index(mode)) % len(VENDORS)]


@pytest.fixture(scope="session")
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first certificate that is trusted: reading all of them for each client takes long."""
    bundle, _, _ = Path(certifi.where()).read_text(encoding="utf-8").partition("-----END")
    path = tmp_path_factory.mktemp("trusted") / "one.pem"
    path.write_text(f"{bundle}-----END CERTIFICATE-----\n", encoding="utf-8")
    return path


@pytest.fixture
def echoing(form: str, monkeypatch: pytest.MonkeyPatch, one_certificate: Path) -> EchoingTransport:
    """Every call of a live client is answered by simulated vendors that repeat the key."""
    monkeypatch.setenv("SSL_CERT_FILE", str(one_certificate))
    monkeypatch.setattr(ready_made, "is_used", lambda _: True)
    clock = VirtualClock()
    simulator = Simulator(clock=clock, keys=frozenset({KEY}))
    made = EchoingTransport(SimulatedTransport(simulator), form)
    for kind, method in (
        (httpx.HTTPTransport, "handle_request"),
        (httpx.AsyncHTTPTransport, "handle_async_request"),
    ):
        answer: Callable[[httpx.Request], Any] = getattr(made, method)
        monkeypatch.setattr(kind, method, lambda _, request, answer=answer: answer(request))

    monkeypatch.setattr(Wire, "private_downloads", property(lambda _: True, lambda *_: None))
    monkeypatch.setattr("polyreel.drivers.RealClock", lambda: clock)
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
    """Every command that hears a vendor's answers, or shows what was kept of them."""
    (folder / "rows.jsonl").write_text(json.dumps({**REQUEST, "vendor": vendor}) + "\n")
    live = ("--live",)
    again = ("--accept-double-billing", "--yes", "--timeout", "200")
    for more in ((), ("--json",)):
        yield ("jobs", *more)
        yield ("resume", *live, "--timeout", "200", *more)
        yield (*CLIP, *live, "--vendor", vendor, "--timeout", "200", *more)
    yield ("batch", "rows.jsonl", *live, "--yes", "--timeout", "200")
    yield ("reconcile", *live, "--json")
    for command in ("get", "download", "cancel"):
        yield (command, vendor, "task-1", *live)
        yield (command, entry, *live)
    yield ("adopt", entry, "task-1", *live)
    yield ("resubmit", entry, *live, *again)
    yield ("verify", *live, vendor, "--task", "task-1")
    yield ("doctor",)
    for more in ((), ("--json",)):
        yield ("doctor", *live, "--vendor", vendor, *more)
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


@pytest.mark.parametrize("form", ["plain"])
def test_every_command_is_tried(cli: Command, echoing: EchoingTransport, tmp_path: Path) -> None:
    """By the test above, here, or by the one that is named: a new command is none of them."""
    first = get_provider(VENDORS[0])
    (tmp_path / "request.json").write_text(json.dumps(REQUEST))
    (tmp_path / "body.json").write_text(json.dumps(client_body(first)))
    (tmp_path / "old.json").write_text(json.dumps(first.contract.document))
    for name, command in OFFLINE.items():
        before = echoing.texts
        found = cli(*command)
        assert found.code == 0, (name, found.err)
        assert not holds_key(found.out + found.err), name
        assert echoing.texts == before
    tried = {words[0] for words in commands(VENDORS[0], "entry", tmp_path)}
    assert tried.isdisjoint(OFFLINE)
    assert tried | {*OFFLINE} | {*ELSEWHERE} == {*COMMANDS}
    assert all(text in globals() for text in ELSEWHERE.values() if " " not in text)


def client_body(provider: Provider) -> Any:
    """A body of the vendor's own."""
    with Client() as client:
        return client.plan(REQUEST, provider).body


@pytest.mark.matrix("form", "name")
@every_form
@pytest.mark.parametrize("name", HOOKED)
def test_no_webhook_keeps_it(
    form: str, name: str, echoing: EchoingTransport, tmp_path: Path
) -> None:
    """Neither what is read of one, nor what the ledger writes down of it."""
    provider = get_provider(name)
    with Client(keys={name: KEY}, ledger=tmp_path / "ledger.sqlite3") as client:
        task = client.submit(client.plan(REQUEST, provider)).id
        read: list[Any] = []
        for kind, body in deliveries(provider).items():
            put(body := json.loads(json.dumps(body)), webhook(name).reads.id[0], task)
            content = echoing.beside(body)
            headers = signed(content, vendor=name, identity=kind) if name in SIGNED else {}
            secret = SECRET if name in SIGNED else None
            try:
                event = parse_webhook(name, headers, content, secret)
            except WebhookError as error:  # UTF-16 is refused
                read += shown(error)
                continue
            read += [event, client.deliver(event)]
            early = evolve(event, facts=provider.read(Reply(200, {}, content), webhook(name)))
            read.append(client.deliver(evolve(early, id=f"{kind}-early")))
        read += client.jobs()
        effects = {one.effect for one in read if hasattr(one, "effect")}
        assert effects & {"applied", "hint"} or form == "utf-16"
    assert not holds_key("".join(map(repr, read)))
    assert [where for where, content in kept(tmp_path) if holds_key(content)] == []


@pytest.mark.matrix("form", "mode", "paid")
@every_form
@every_mode
@pytest.mark.parametrize("paid", [True, False], ids=["paid", "free"])
def test_no_tool_for_agents_shows_it(
    form: str, mode: str, paid: bool, echoing: EchoingTransport, tmp_path: Path
) -> None:
    """No answer, whatever the vendor says meanwhile."""
    vendor = SELLER.id  # whose prices are known: agents have a budget

    async def run() -> list[Any]:
        with Ledger(tmp_path / "ledger.sqlite3") as ledger:
            made = AsyncClient(keys={vendor: KEY}, ledger=ledger, retries=0)
            service = AgentService(made, tmp_path / "clips", max_cost=Decimal(100))
            async with made, service:
                tools = AgentTools(service)
                first = await tools.answer("generate", GENERATE | {"vendors": [vendor]})
                echoing.mode, echoing.paid = mode, paid
                named = {"job": first[0]["job"]["id"], "wait_seconds": 0}
                calls = [
                    ("generate", GENERATE | {"vendors": [vendor], "job_name": "another"}),
                    ("resume", named),
                    ("reconcile", {}),
                    ("jobs", {}),
                    ("job", {"job": named["job"]}),
                ]
                return [first, *[await tools.answer(*each) for each in calls]]

    assert not holds_key(json.dumps(asyncio.run(run())))
    assert [name for name, content in kept(tmp_path) if holds_key(content)] == []


@pytest.mark.matrix("form", "mode")
@every_form
@every_mode
def test_no_worker_shows_it(
    mode: str, echoing: EchoingTransport, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither in a log nor in the ledger, whatever the vendor says."""
    caplog.set_level(logging.DEBUG, logger="polyreel")

    async def run() -> None:
        async with AsyncClient(keys={SELLER.id: KEY}, ledger=tmp_path / "ledger.sqlite3") as made:
            first = await made.enqueue(REQUEST, SELLER, output=tmp_path / "clips")
            await perform(Submit((first.id,)), made)
            await perform(Tend(SELLER.id), made, put=lambda _: None)
            for echoing.paid in (False, True):
                echoing.mode, second = mode, await made.enqueue(REQUEST, SELLER)
                with suppress(PolyreelError):
                    await perform(Submit((second.id,)) if echoing.paid else Save(first.id), made)

    asyncio.run(run())
    assert not holds_key("\n".join(one.getMessage() for one in caplog.records))
    assert [name for name, content in kept(tmp_path) if holds_key(content)] == []


def shown(error: BaseException) -> Iterator[str]:
    """All that can be shown or kept of an error."""
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
    yield "".join(traceback.format_exception(error))
    yield pickle.dumps(error).decode("latin-1")


def attempts(client: Client, vendor: VendorId, folder: Path) -> Iterator[Callable[[], Any]]:
    """The calls of a client, one after the other, whatever becomes of them."""
    plan = client.plan(REQUEST, vendor)
    yield partial(client.submit, plan)
    yield partial(client.generate, plan, output=folder / "clips", timeout=200)
    yield client.reconcile
    for entry in client.jobs():
        yield partial(client.resume, entry.id, timeout=200)
        yield partial(client.adopt, entry.id, "task-1")
        if entry.job is not None:
            yield partial(client.get, entry.job)
            yield partial(client.wait, entry.job, timeout=200)
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
    kinds = {one for one in ERRORS if issubclass(one, PolyreelError)} - {PolyreelError}
    assert kinds - SEEN <= SILENT


@every_form
def test_no_class_of_error_is_told_with_it(
    form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is in an error, and whatever its class: the command line shows no key."""
    for provider in all_providers().values():
        monkeypatch.setenv(provider.key_variable, KEY)
    for kind in ERRORS:
        with pytest.raises(kind) as caught:
            raise made(kind, f"what about {WRITTEN[form]()}, 60% done?")
        failures.report(caught.value, as_json=True)
        assert not holds_key("".join(capsys.readouterr())), kind


def _ended(job: Job) -> Job:
    """The job, with a file that is somewhere at its vendor."""
    base = all_providers()[job.vendor].servers[0]
    outputs = [Output(url=f"{base}/outputs/1.mp4")]
    return job.model_copy(update={"status": "succeeded", "outputs": outputs})


@every_form
def test_the_last_check_of_the_output_knows_every_way(form: str) -> None:
    """Whatever another part has missed."""
    text = WRITTEN[form]()
    if form == "utf-16":
        text = text.encode("utf-16-le").decode("latin-1")
    webhooks = [provider.webhook for provider in all_providers().values()]
    for variable in (
        next(iter(all_providers().values())).key_variable,
        next(one.secret_variable for one in webhooks if one and one.secret_variable),
    ):
        shown_text = without_keys(f"what about {text}, 60% done?", {variable: KEY})
        assert not holds_key(shown_text), variable
        assert shown_text.startswith("what about ")
        assert "60% done?" in shown_text.replace("\0", "")
