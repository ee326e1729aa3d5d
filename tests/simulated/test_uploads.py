"""One content is uploaded once per account while its vendor keeps it, under a name of its own."""

import asyncio
import hashlib
import json
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from polyreel import AsyncClient, Client, Ledger
from polyreel.errors import NeverSentError, RejectedError
from polyreel.flows import Part
from polyreel.ledger.records import Submission
from polyreel.ledger.uploads import RememberedUploads, TakeUpload, UploadKey
from polyreel.mapping import media
from polyreel.mapping.inputs import data_url
from polyreel.providers.base.registry import get_provider
from polyreel.simulator import Simulator, VirtualClock
from polyreel_generated.contracts.vendors import VendorId
from support.faults import FILES, VENDORS, Clients, Kind, every_kind, save
from support.pictures import FORMS, UPLOADS

UPLOADERS = [vendor for vendor in VENDORS if get_provider(vendor).files == "upload"]
every_uploader = pytest.mark.parametrize("vendor", UPLOADERS)
every_keeper = pytest.mark.parametrize(
    "vendor", [vendor for vendor in UPLOADERS if get_provider(vendor).upload_seconds is not None]
)
"""Vendors that say how long they keep a file."""


def uploads(simulator: Simulator | None) -> int:
    """How many files the simulated vendors were sent."""
    assert simulator is not None
    return sum(method == "POST" and "upload" in path for _, method, path in simulator.journal)


def request(path: object, number: int = 0) -> dict[str, Any]:
    """A request with a picture."""
    return {"prompt": f"scene {number}", "first_frame": path}


@every_keeper
@pytest.mark.parametrize("ledger", [False, True])
def test_one_picture_of_many_jobs_goes_up_once(
    vendor: VendorId, ledger: bool, tmp_path: Path
) -> None:
    """However it is given, and whatever its file is called."""
    path = save(tmp_path, "image/png")
    other = save(tmp_path, "image/png", "another name")
    content = FILES["image/png"]
    kept = tmp_path / "jobs.sqlite3" if ledger else None
    with Client(ledger=kept) as client:
        for number, one in enumerate([path, str(other), content, data_url(content), path]):
            client.submit(client.plan(request(one, number), vendor))
        assert uploads(client.simulator) == 1
        client.submit(client.plan(request(save(tmp_path, "image/jpeg")), vendor))
        assert uploads(client.simulator) == 2


@every_uploader
def test_a_picture_twice_in_one_request_goes_up_once(vendor: VendorId, tmp_path: Path) -> None:
    """Its link is at both places."""
    path = str(save(tmp_path, "image/png"))
    with Client() as client:
        client.submit(client.plan({**request(path), "last_frame": path}, vendor))
        assert uploads(client.simulator) == 1


@every_uploader
def test_who_does_not_say_how_long_it_keeps_a_file_is_sent_it_for_each_job(
    vendor: VendorId, tmp_path: Path
) -> None:
    """One of an earlier job may be gone; an upload costs nothing."""
    path, kept = save(tmp_path, "image/png"), get_provider(vendor).upload_seconds
    with Client() as client:
        for number in range(3):
            client.submit(client.plan(request(path, number), vendor))
        assert uploads(client.simulator) == (3 if kept is None else 1)


@every_uploader
def test_the_name_at_the_vendor_is_that_of_the_content(vendor: VendorId, tmp_path: Path) -> None:
    """So the vendor keeps one file of one content, and never learns its name."""
    path = save(tmp_path, "image/png", "private name")
    with Client() as client:
        plan = client.plan(request(path), vendor)
        job = client.submit(plan)
        assert client.simulator is not None
        (task,) = client.simulator.tasks.values()
        assert task.id == job.id
        body = json.dumps(task.body)
        assert hashlib.sha256(path.read_bytes()).hexdigest()[:32] in body
        assert "private" not in body


@every_keeper
def test_a_file_that_the_vendor_no_longer_keeps_goes_up_again(
    vendor: VendorId, tmp_path: Path
) -> None:
    """Shortly before its documented end already: the vendor fetches it after the submit."""
    path = save(tmp_path, "image/png")
    seconds = get_provider(vendor).upload_seconds
    assert seconds is not None
    with Client(ledger=tmp_path / "jobs.sqlite3") as client:
        assert client.simulator is not None
        clock = client.simulator.clock
        assert isinstance(clock, VirtualClock)
        for at, count in ((0.0, 1), (seconds - 7200, 1), (4000.0, 2), (1.0, 2)):
            clock.advance(at)
            client.submit(client.plan(request(path), vendor))
            assert uploads(client.simulator) == count


@every_keeper
def test_other_clients_of_the_account_know_it_by_the_ledger(
    vendor: VendorId, tmp_path: Path
) -> None:
    """One after the other, and with another key it is another account."""
    path = save(tmp_path, "image/png")
    for count in (1, 0):
        with Client(ledger=tmp_path / "jobs.sqlite3") as client:
            client.submit(client.plan(request(path), vendor))
            assert uploads(client.simulator) == count
    live = Client(keys={vendor: "sk-canary-0123456789abcdef"}, ledger=tmp_path / "jobs.sqlite3")
    with live, Ledger(tmp_path / "jobs.sqlite3") as ledger:
        key = UploadKey(vendor, hashlib.sha256(path.read_bytes()).hexdigest(), simulated=False)
        event = live.wire.of_account(TakeUpload(key))
        assert ledger.write(event, ledger.new_owner(), 0.0) is True
        assert event.key.account != Client().wire.of_account(TakeUpload(key)).key.account
    for file in tmp_path.glob("jobs*"):
        if file.is_file():
            assert b"sk-canary" not in file.read_bytes()


@every_keeper
@pytest.mark.parametrize("ledger", [False, True])
def test_jobs_at_the_same_time_share_an_upload(
    vendor: VendorId, ledger: bool, tmp_path: Path
) -> None:
    """Those that come while it is on its way wait for it."""
    path = save(tmp_path, "image/png")

    async def submit_all() -> int:
        kept = tmp_path / "jobs.sqlite3" if ledger else None
        async with AsyncClient(ledger=kept) as client:
            plans = [client.plan(request(path, number), vendor) for number in range(12)]
            await asyncio.gather(*(client.submit(plan) for plan in plans))
            assert client.simulator is not None
            assert client.simulator.bill.count() == 12
            return uploads(client.simulator)

    assert asyncio.run(submit_all()) == 1


@every_keeper
def test_threads_share_an_upload(vendor: VendorId, tmp_path: Path) -> None:
    """Each with a client of its own on one ledger."""
    path, simulator = save(tmp_path, "image/png"), Simulator()

    def submit(number: int) -> None:
        with Client(simulator=simulator, ledger=tmp_path / "jobs.sqlite3") as client:
            client.submit(client.plan(request(path, number), vendor))

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert uploads(simulator) == 1
    assert simulator.bill.count() == 6


def submit_in_a_process(folder: Path, vendor: VendorId, results: Any) -> None:
    """Submit a job, and tell how many uploads that took."""
    with Client(ledger=folder / "jobs.sqlite3") as client:
        client.submit(client.plan(request(folder / "input.png"), vendor))
        results.put(uploads(client.simulator))


@every_keeper
def test_processes_share_an_upload(vendor: str, tmp_path: Path) -> None:
    """They meet in the ledger."""
    save(tmp_path, "image/png").rename(tmp_path / "input.png")
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    arguments = (tmp_path, vendor, results)
    processes = [context.Process(target=submit_in_a_process, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    counts = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sum(counts) == 1


@every_uploader
@pytest.mark.parametrize("ledger", [False, True])
def test_a_failed_upload_is_not_remembered(vendor: VendorId, ledger: bool, tmp_path: Path) -> None:
    """The next job uploads it."""
    path = save(tmp_path, "image/png")
    with Client(ledger=tmp_path / "jobs.sqlite3" if ledger else None, retries=0) as client:
        assert client.simulator is not None
        plan = client.plan(request(path), vendor)
        kept = path.read_bytes()
        path.unlink()
        with pytest.raises(NeverSentError, match="not submitted"):
            client.submit(plan)
        path.write_bytes(kept)
        client.submit(plan)
        assert uploads(client.simulator) == 1


@every_uploader
@pytest.mark.parametrize("ledger", [False, True])
def test_a_refused_job_makes_the_next_one_upload_again(
    vendor: VendorId, ledger: bool, tmp_path: Path
) -> None:
    """A file that is gone at the vendor may be the reason."""
    path = save(tmp_path, "image/png")
    with Client(ledger=tmp_path / "jobs.sqlite3" if ledger else None, retries=0) as client:
        assert client.simulator is not None
        client.simulator.balance = 0
        with pytest.raises(RejectedError):
            client.submit(client.plan(request(path), vendor))
        client.simulator.balance = float("inf")
        client.submit(client.plan(request(path), vendor))
        assert uploads(client.simulator) == 2


@every_kind
@pytest.mark.parametrize("status", [200, 400, 401, 413, 500])
@every_uploader
def test_a_failed_upload_costs_nothing(
    vendor: VendorId, status: int, kind: Kind, tmp_path: Path
) -> None:
    """The job was not submitted, and the error says so in its type."""
    with Clients() as pair:
        client = pair.by_kind[kind]
        client.wire.transport = httpx.MockTransport(
            lambda request: httpx.Response(status, content=b"oops")
        )
        made = client.plan(
            {"prompt": "it moves", "first_frame": str(save(tmp_path, "image/png"))}, vendor
        ).check()
        with pytest.raises(NeverSentError, match="not submitted") as caught:
            pair.do(kind, "submit", made)
        assert (caught.value.billed, caught.value.vendor) == ("no", vendor)


def test_an_upload_that_was_interrupted_is_free_again(tmp_path: Path) -> None:
    """Whoever was to upload has gone: another flow does it."""
    key = UploadKey(UPLOADS, "content", simulated=True)
    memory = RememberedUploads()
    first, second = object(), object()
    assert memory.write(TakeUpload(key), first, 0.0) is True
    assert memory.write(TakeUpload(key), second, 0.0) is False
    memory.release(first)
    assert memory.write(TakeUpload(key), second, 0.0) is True
    with Ledger(tmp_path / "jobs.sqlite3") as ledger:
        one, other = ledger.new_owner(), ledger.new_owner()
        assert ledger.write(TakeUpload(key), one, 0.0) is True
        assert ledger.write(TakeUpload(key), other, 0.0) is False
        ledger.release(one, sent=False)
        assert ledger.write(TakeUpload(key), other, 0.0) is True


def test_a_file_in_a_form_survives_the_ledger() -> None:
    """Its bytes are in the entry, so that the job can be submitted again."""
    with Client() as client:
        plan = client.plan(request(FILES["image/png"]), get_provider(FORMS))
    (file,) = [part for part in plan.parts if part.is_file]
    assert (file.path, file.content) == (None, FILES["image/png"])
    made = Submission.of(plan, idempotency_key="key", simulated=True)
    read = Submission.load(
        made.dump(),
        vendor=made.vendor,
        model=made.model,
        workflow=made.workflow,
        idempotency_key="key",
        simulated=True,
        folder=None,
        reference=None,
    )
    assert read.send.parts == plan.parts
    assert read.fingerprint == made.fingerprint
    assert (
        read.fingerprint
        != Submission.of(
            client.plan(request(FILES["image/jpeg"]), get_provider(FORMS)),
            idempotency_key="key",
            simulated=True,
        ).fingerprint
    )
    assert Part("image", content_type="image/png", content=b"x").digest() != file.digest()


def test_media_types_have_suffixes() -> None:
    """Names of contents end as their types do."""
    assert set(media.SUFFIXES) == {*FILES, "audio/mpeg", "audio/wav"}
