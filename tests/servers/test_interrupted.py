"""An awaited call that is interrupted after its paid submit tells which task is paid for."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polyreel import AsyncClient, Client, Job
from polyreel.providers.base.registry import get_provider
from support.faults import CANARIES, SILENCE, VENDORS, FaultServer, accepted, every_vendor, http
from support.faults import plans as plans_of
from support.waiting import until


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as running:
        yield running


@pytest.mark.matrix("vendor", "how+ledger")
@every_vendor
@pytest.mark.parametrize("how", ["cancel", "timeout"])
@pytest.mark.parametrize("ledger", [False, True], ids=["no-ledger", "ledger"])
def test_the_job_is_reported(
    server: FaultServer,
    vendor: str,
    how: str,
    ledger: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """On the exception and in the log, with what to do next, with and without a ledger."""
    made = next(iter(plans_of(vendor).values()))
    server.play(http(200, accepted(vendor, made)), SILENCE)
    reported: list[Job] = []

    async def go() -> BaseException:
        accepted_it = asyncio.Event()

        def listener(job: Job) -> None:
            reported.append(job)
            accepted_it.set()

        settings: dict[str, Any] = {"ledger": tmp_path / "jobs.sqlite3"} if ledger else {}
        async with AsyncClient(
            keys=CANARIES, base_urls={vendor: server.url}, listener=listener, **settings
        ) as client:
            making = client.generate(made, output=tmp_path)
            if how == "cancel":
                task = asyncio.create_task(making)
                await accepted_it.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError) as cancelled:
                    await task
                return cancelled.value

            async def in_time() -> None:
                async with asyncio.timeout(None) as deadline:
                    waiting = asyncio.create_task(accepted_it.wait())
                    waiting.add_done_callback(lambda _: deadline.reschedule(0))
                    await making

            with pytest.raises(TimeoutError) as late:
                await in_time()
            return late.value.__cause__ or late.value

    error = asyncio.run(go())
    assert isinstance(error, asyncio.CancelledError)
    (note,) = error.__notes__
    (job,) = reported
    assert vendor in note
    assert job.id in note
    step = f"polyreel resume {job.ledger_id}" if ledger else f"polyreel download {vendor} {job.id}"
    assert f"{step} --live" in note
    assert note in caplog.text


def test_a_submit_under_way_is_reported(
    server: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have been accepted: the vendor's dashboard tells."""
    vendor = VENDORS[0]
    server.play(SILENCE)

    async def go() -> BaseException:
        async with AsyncClient(keys=CANARIES, base_urls={vendor: server.url}) as client:
            task = asyncio.create_task(
                client.submit(client.plan({"prompt": "a cat"}, get_provider(vendor)))
            )
            await asyncio.to_thread(until, lambda: server.posts == 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await task
            return cancelled.value

    error = asyncio.run(go())
    (note,) = error.__notes__
    assert "may have been accepted and billed" in note
    assert note in caplog.text


def test_an_interruption_of_blocking_code_has_the_note(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it is: Ctrl-C, or a listener that fails."""
    for failure in (KeyboardInterrupt, ValueError):

        def listener(job: Job, failure: type[BaseException] = failure) -> None:
            raise failure

        with pytest.raises(failure) as caught:
            Client(listener=listener).generate({"prompt": "a cat"}, get_provider(VENDORS[0]))
        assert VENDORS[0] in caught.value.__notes__[0]
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
