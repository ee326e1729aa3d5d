"""What an application needs of a client: poll loops, events, a worker, settings of a deployment."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polyreel
import pytest
from polyreel import AsyncClient, Client, Job, Simulator
from polyreel.errors import KeyMissingError, LedgerError, RequestError, StillRunningError
from polyreel.ledger.events import Claim
from polyreel.ledger.sqlite import Ledger
from polyreel.providers.base.facts import FINAL
from polyreel.providers.base.registry import all_providers, get_provider
from polyreel.simulator import VirtualClock
from polyreel.simulator.webhooks import deliveries
from polyreel_generated.contracts.vendors import VendorId
from support.vendors import vendor_id
from support.webhooks import HOOKED, SECRET, SIGNED

VENDORS = sorted(all_providers())
REQUEST = {"prompt": "a cat", "duration": 5, "resolution": "720p", "audio": False}
KEY = "sk-a-key-of-an-application"


def run(client: Client | AsyncClient, call: Callable[[Any], Any]) -> Any:
    """What a call of either client gives."""
    result = call(client)
    return asyncio.run(result) if isinstance(client, AsyncClient) else result


# --- the loop of every README ---------------------------------------------------------------------


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_poll_loop_ends(vendor: VendorId) -> None:
    """Without any pause, it ends after some queries: the simulator's time goes on."""
    with Client() as client:
        job, queries = client.submit(client.plan(REQUEST, vendor)), 0
        while job.status not in FINAL:
            job, queries = client.get(job), queries + 1
            assert queries < 200
    assert job.status == "succeeded"
    assert job.outputs


def test_an_awaiting_poll_loop_ends() -> None:
    async def poll() -> Job:
        async with AsyncClient() as client:
            job = await client.submit(client.plan(REQUEST, get_provider(VENDORS[0])))
            while job.status not in FINAL:
                job = await client.get(job)
            return job

    assert asyncio.run(poll()).status == "succeeded"


def test_a_poll_loop_by_the_name_of_an_entry_ends(tmp_path: Path) -> None:
    with Client(ledger=tmp_path / "ledger.sqlite3") as client:
        job = client.submit(client.plan(REQUEST, get_provider(VENDORS[0])))
        assert job.ledger_id
        while client.look(job.ledger_id).status not in FINAL:
            pass
        assert client.jobs()[0].state == "succeeded"


def test_time_goes_on_while_a_caller_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two queries an hour apart: the job ended meanwhile."""
    with Client() as client:
        job = client.submit(client.plan(REQUEST, get_provider(VENDORS[0])))
        real = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: real() + 3600)
        assert client.get(job).status == "succeeded"


def test_the_time_of_a_simulator_of_the_caller_is_the_callers() -> None:
    with Client(simulator=Simulator(clock=VirtualClock(1_800_000_000.0))) as client:
        job = client.submit(client.plan(REQUEST, get_provider(VENDORS[0])))
        assert client.simulator
        before = client.simulator.clock.now()
        client.get(job)
        assert client.simulator.clock.now() == before


# --- listeners of one call ------------------------------------------------------------------------


def test_a_listener_of_a_call_hears_that_call(tmp_path: Path) -> None:
    """And the client's own hears it too."""
    of_client: list[Job] = []
    of_call: list[Job] = []
    with Client(listener=of_client.append) as client:
        plan = client.plan(REQUEST, get_provider(VENDORS[0]))
        client.generate(plan, output=tmp_path, listener=of_call.append)
        assert of_call
        assert of_call == of_client
        client.wait(client.submit(plan))
    assert len(of_client) > len(of_call)


def test_a_listener_of_an_awaited_call(tmp_path: Path) -> None:
    received: list[Job] = []

    async def make() -> None:
        async with AsyncClient(ledger=tmp_path / "ledger.sqlite3") as client:
            job = await client.submit(client.plan(REQUEST, get_provider(VENDORS[0])))
            with pytest.raises(StillRunningError):
                await client.wait(job, 0, listener=received.append)
            assert received == []
            assert job.ledger_id
            await client.resume(job.ledger_id, output=tmp_path, listener=received.append)

    asyncio.run(make())
    assert received[-1].status == "succeeded"


def test_a_listener_of_a_job_that_is_submitted_anew(
    tmp_path: Path, kind: type[Client | AsyncClient]
) -> None:
    simulator = Simulator(seed=1)
    simulator.script(VENDORS[0], "lost-reset")
    heard: list[Job] = []
    client = kind(simulator=simulator, ledger=tmp_path / "ledger.sqlite3")
    with pytest.raises(polyreel.AmbiguousError) as caught:
        run(client, lambda one: one.submit(one.plan(REQUEST, VENDORS[0])))
    name = caught.value.ledger_id or ""
    again = {"accept_double_billing": True, "listener": heard.append, "output": tmp_path}
    done = run(client, lambda one: one.resubmit(name, **again))
    assert done.status == "succeeded"
    assert [job.status for job in heard][-1] == "succeeded"
    if isinstance(client, Client):
        client.close()


# --- events ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("vendor", HOOKED)
def test_an_event_is_delivered(tmp_path: Path, vendor: VendorId) -> None:
    """Signed: the job has ended. Unsigned: a hint, and a look tells."""
    simulator = Simulator(clock=VirtualClock(time.time() - 3600), seed=1)
    with Client(simulator=simulator, ledger=tmp_path / "ledger.sqlite3") as client:
        job = client.submit(client.plan(REQUEST, vendor))
        secret = SECRET if vendor in SIGNED else None
        posted = deliveries(simulator, vendor, job.id, secret, time.time())[-1]
        simulator.clock.sleep(3600)
        event = polyreel.parse_webhook(vendor, posted.headers, posted.body, secret)
        delivered = client.deliver(event)
        assert delivered.effect == ("applied" if secret else "hint")
        assert delivered.entry is not None
        if delivered.effect == "hint":
            client.look(delivered.entry.id)
        assert client.jobs()[0].state == "succeeded"

        async def again() -> str:
            async with AsyncClient(simulator=simulator, ledger=client.ledger) as other:
                return (await other.deliver(event)).effect

        assert asyncio.run(again()) in {"duplicate", "hint"}


def test_an_event_needs_a_ledger() -> None:
    with Client() as client, pytest.raises(LedgerError, match="ledger="):
        client.work(until_done=True)


# --- work -----------------------------------------------------------------------------------------


@pytest.fixture(params=[Client, AsyncClient], ids=["blocking", "awaiting"])
def kind(request: pytest.FixtureRequest) -> type[Client | AsyncClient]:
    made: type[Client | AsyncClient] = request.param
    return made


def submit(path: Path, simulator: Simulator, vendor: VendorId, folder: Path | None = None) -> Job:
    """A job that another process submitted, and left."""
    with Client(simulator=simulator, ledger=path) as client:
        return client.submit(client.plan(REQUEST, vendor), output=folder)


def test_what_is_open_is_finished(tmp_path: Path, kind: type[Client | AsyncClient]) -> None:
    """Each job is billed once, and its file is saved; then nothing is left to do."""
    simulator, path = Simulator(seed=1), tmp_path / "ledger.sqlite3"
    for vendor in VENDORS:
        submit(path, simulator, vendor_id(vendor), tmp_path / "clips")
    ended: list[Job] = []
    client = kind(simulator=simulator, ledger=path)
    assert run(client, lambda one: one.work(until_done=True, listener=ended.append)) == len(VENDORS)
    assert run(client, lambda one: one.work(until_done=True)) == 0
    assert {entry.state for entry in client.jobs()} == {"saved"}
    assert len(list((tmp_path / "clips").iterdir())) == len(VENDORS)
    assert sorted(job.vendor for job in ended) == VENDORS
    assert simulator.bill.count() == len(VENDORS)
    if isinstance(client, Client):
        client.close()


@pytest.mark.parametrize("named", [False, True])
def test_a_job_without_a_folder_is_followed(tmp_path: Path, named: bool) -> None:
    """Its file is saved only where the worker was told in which folder."""
    simulator, path = Simulator(seed=1), tmp_path / "ledger.sqlite3"
    submit(path, simulator, vendor_id(VENDORS[0]))
    with Client(simulator=simulator, ledger=path) as client:
        output = tmp_path / "clips" if named else None
        assert client.work(until_done=True, output=output) == 1
        assert client.jobs()[0].state == ("saved" if named else "succeeded")
        assert client.work(until_done=True, output=output) == 0


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_failed_job_is_ended_once(tmp_path: Path, vendor: VendorId) -> None:
    simulator, path = Simulator(seed=1), tmp_path / "ledger.sqlite3"
    simulator.script(vendor, "failed")
    submit(path, simulator, vendor, tmp_path)
    ended: list[Job] = []
    with Client(simulator=simulator, ledger=path) as client:
        assert client.work(until_done=True, listener=ended.append) == 1
        assert client.work(until_done=True, listener=ended.append) == 0
    assert [job.status for job in ended] == ["failed"]


def test_work_is_stopped(tmp_path: Path, kind: type[Client | AsyncClient]) -> None:
    """From a listener, with jobs left; and before it begins."""
    simulator, path = Simulator(seed=1), tmp_path / "ledger.sqlite3"
    for _ in range(3):
        submit(path, simulator, vendor_id(VENDORS[0]), tmp_path)
    stop = threading.Event()
    client = kind(simulator=simulator, ledger=path)
    assert run(client, lambda one: one.work(stop=stop, listener=lambda _: stop.set())) >= 1
    assert run(client, lambda one: one.work(stop=stop)) == 0
    if isinstance(client, Client):
        client.close()


def test_a_job_submitted_meanwhile_is_taken_up(tmp_path: Path) -> None:
    """By another client, on the same ledger."""
    simulator, path = Simulator(seed=1), tmp_path / "ledger.sqlite3"
    submit(path, simulator, vendor_id(VENDORS[0]), tmp_path)
    stop = threading.Event()
    ended: list[Job] = []

    def received(job: Job) -> None:
        ended.append(job)
        if len(ended) == 1:
            submit(path, simulator, vendor_id(VENDORS[1]), tmp_path)
        else:
            stop.set()

    with Client(simulator=simulator, ledger=path) as client:
        assert client.work(stop=stop, listener=received) == 2
    assert [job.vendor for job in ended] == VENDORS[:2]


def test_an_entry_of_another_process_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else has claimed it: it is not finished twice, and work does not break."""
    simulator, path = Simulator(seed=1), tmp_path / "ledger.sqlite3"
    job = submit(path, simulator, vendor_id(VENDORS[0]), tmp_path)
    assert job.ledger_id
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with Ledger(path) as ledger, Client(simulator=simulator, ledger=ledger) as client:
        owner = ledger.new_owner()
        ledger.write(Claim(job.ledger_id), owner, time.time())

        class Patient:
            left = 40

            def is_set(self) -> bool:
                self.left -= 1
                return self.left < 0

        assert client.work(stop=Patient()) == 0
        ledger.release(owner, sent=False)
        assert client.work(until_done=True) == 1


# --- the environment ------------------------------------------------------------------------------


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The current folder, with a ledger named in the environment, and no key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYREEL_LEDGER", str(tmp_path / "ledger.sqlite3"))
    for provider in all_providers().values():
        monkeypatch.delenv(provider.key_variable, raising=False)
    return tmp_path


def test_without_a_key_it_is_simulated(folder: Path) -> None:
    with Client.from_env() as client:
        assert client.simulated
        job = client.submit(client.plan(REQUEST, get_provider(VENDORS[0])))
        assert job.ledger_id
    assert (folder / "ledger.sqlite3").exists()


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_key_of_a_file_makes_it_live(
    folder: Path, vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For its vendor only. The process's variables go before, and stay as they are."""
    provider = all_providers()[vendor]
    lines = [f'export {provider.key_variable}="{KEY}"  # of the team', "POLYREEL_LEDGER=other"]
    lines.append(f"{provider.base_url_variable}=https://gateway.example")
    (folder / ".env").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    with Client.from_env() as client:
        assert not client.simulated
        assert client.vendors == [vendor]
        assert client.base_urls[vendor] == "https://gateway.example"
        assert client.wire.keys[vendor].reveal() == KEY
        assert KEY not in repr(vars(client))
    assert not (folder / "other").exists()
    with Client.from_env(live=False) as client:
        assert client.simulated
    monkeypatch.setenv(provider.key_variable, "")
    with Client.from_env() as client:
        assert client.simulated


def test_what_is_given_goes_before(folder: Path) -> None:
    async def make() -> None:
        async with AsyncClient.from_env(ledger=None, retries=0) as client:
            assert client.ledger is None
            assert client.retries == 0

    asyncio.run(make())
    assert not (folder / "ledger.sqlite3").exists()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Client.from_env(live=True), KeyMissingError, "needs an API key"),
        (lambda: Client.from_env("nonesuch.env"), RequestError, "nonesuch.env: No such file"),
        (lambda: Client.from_env("latin.env"), RequestError, "not UTF-8"),
        (lambda: Client.from_env("odd.env"), KeyMissingError, "no key can have"),
    ],
)
def test_what_cannot_be_used_is_said(
    folder: Path, make: Callable[[], Client], error: type[Exception], text: str
) -> None:
    (folder / "latin.env").write_bytes(b"A=\xfc\n")
    variable = all_providers()[VENDORS[0]].key_variable
    (folder / "odd.env").write_text(f'{variable}="{KEY} {KEY}"\n')
    with pytest.raises(error, match=text) as raised:
        make()
    assert KEY not in str(raised.value)
