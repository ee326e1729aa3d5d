"""Runs: jobs are submitted once, and followed until their files are here.

A thread follows the simulated jobs, as rendering clips takes its time. Live ones are followed in
the loop of the application. Both take up what is in the ledger, so that nothing is lost when the
studio ends, however it ends.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import define, field

from ..errors import ClaimedError, PolyreelError
from .notes import LABEL, RunNote, RunNotes, reference_of

if TYPE_CHECKING:
    from ..client import AsyncClient
    from ..plans.planning import Plan

LOG: Final = logging.getLogger("polyreel")
PAUSE: Final = 5.0
"""Seconds until the work is begun again after an error of the ledger."""


class RunClashError(ValueError):
    """The id of a run belongs to another request already."""


@define(eq=False)
class Runner:
    """Submits the jobs of runs, and follows all that are in the ledger."""

    client: AsyncClient
    folder: Path
    live: AsyncClient | None = None
    stop: threading.Event = field(factory=threading.Event, init=False)
    """Set when the application ends: the work, and streams of events, end then."""
    _thread: threading.Thread | None = field(default=None, init=False)
    _following: asyncio.Task[None] | None = field(default=None, init=False)
    _tasks: dict[tuple[str, str], asyncio.Task[None]] = field(factory=dict, init=False)
    """The submits that are on their way, by run and vendor."""

    @property
    def clips(self) -> Path:
        """Where files of jobs are saved."""
        return self.folder / "clips"

    @property
    def notes(self) -> RunNotes:
        """What was asked for in each run."""
        return RunNotes(self.folder / "runs")

    # -- submitting --------------------------------------------------------------------------------

    def begin(
        self, note: RunNote, plans: Sequence[Plan], faults: Mapping[str, int] | None = None
    ) -> bool:
        """Submit the plans of a run in the background; False where the run has begun before.

        `faults` are injected before, each so many times at each of the vendors. RunClashError is
        raised where the id belongs to a run that asks for something else.
        """
        kept = self.notes.begin(note)
        if kept is not note:
            if not kept.is_same(note):
                raise RunClashError(note.id)
            return False
        client = self.live if note.live else self.client
        assert client is not None
        for name, times in (faults or {}).items():
            for vendor in note.vendors if client.simulator is not None else ():
                assert client.simulator is not None
                client.simulator.inject(name, vendor, times=times)
        for plan in plans:
            self._spawn(note, plan, client)
        return True

    def submit_now(self, note: RunNote, plan: Plan) -> None:
        """Submit what has no job in a simulated run, as the studio ended before, or it went wrong.

        Nothing is submitted where the ledger has the job already.
        """
        if not self.is_submitting(note.id, plan.vendor):
            self.notes.set_problem(note, plan.vendor, None)
            self._spawn(note, plan, self.client)

    def _spawn(self, note: RunNote, plan: Plan, client: AsyncClient) -> None:
        task = asyncio.get_running_loop().create_task(self._submit(note, plan, client))
        self._tasks[note.id, plan.vendor] = task

    async def _submit(self, note: RunNote, plan: Plan, client: AsyncClient) -> None:
        try:
            await client.submit(
                plan,
                reference=reference_of(note.id, plan.vendor),
                output=self.clips,
                labels={LABEL: note.id},
            )
        except ClaimedError:
            return  # it is in the ledger already
        except PolyreelError as error:
            if error.ledger_id is None:
                self.notes.set_problem(note, plan.vendor, str(error))
        except Exception as error:
            LOG.exception("the submit of a run failed")
            text = f"{type(error).__name__}; look into the ledger before you run it again"
            self.notes.set_problem(note, plan.vendor, text)
        finally:
            del self._tasks[note.id, plan.vendor]

    def is_submitting(self, run: str, vendor: str) -> bool:
        """Whether the submit of a run at a vendor is on its way, and may be in no ledger yet."""
        return (run, vendor) in self._tasks

    # -- following ---------------------------------------------------------------------------------

    def work(self) -> None:
        """Begin to follow the jobs in the ledger, unless that has begun.

        It is begun by the first request: nobody runs the lifespan of a mounted application.
        """
        if self.stop.is_set() or self.client.ledger is None:
            return
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._follow_simulated, name="polyreel-studio", daemon=True
            )
            self._thread.start()
        if self.live is not None and (self._following is None or self._following.done()):
            task = self._follow_live(self.live)
            self._following = asyncio.get_running_loop().create_task(task)

    def _follow_simulated(self) -> None:
        from ..client import Client  # noqa: PLC0415

        own = self.client
        with Client(simulator=own.simulator, ledger=own.ledger, network=own.network) as client:
            while not self.stop.is_set():
                try:
                    client.work(stop=self.stop)
                except PolyreelError as error:
                    LOG.warning("jobs are not followed for %g s: %s", PAUSE, error)
                    self.stop.wait(PAUSE)

    async def _follow_live(self, client: AsyncClient) -> None:
        while not self.stop.is_set():
            try:
                await client.work(stop=self.stop)
            except PolyreelError as error:
                LOG.warning("jobs are not followed for %g s: %s", PAUSE, error)
                await asyncio.sleep(PAUSE)

    async def close(self) -> None:
        """End the work. What is on its way to a vendor is waited for."""
        self.stop.set()
        await asyncio.gather(*self._tasks.values())
        if self._following is not None:
            await self._following
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
