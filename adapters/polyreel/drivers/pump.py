"""The pumps: `run` blocks, `arun` awaits. Both perform the same steps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from attrs import evolve

from ..errors import LedgerError, PolyreelError
from ..flows import (
    Fetch,
    Flow,
    Moment,
    NextEvent,
    Notify,
    Now,
    Observe,
    Put,
    ReadClocks,
    Record,
    Reply,
    Send,
    Sleep,
    Step,
    Transfer,
    TryFolder,
)
from ..jobs.observed import JobEnded, SubmitBegan, SubmitEnded
from ..ledger.events import OWNING, LedgerEvent, Queue, Released, sealed
from ..ledger.store import LedgerStore, Write
from ..ledger.uploads import UploadEvent
from .calls import aexchange, exchange
from .hooks import FlowEnded, accepted, call_ended, notify
from .streams import AsyncStream, Stream, aopen_stream, open_stream
from .wire import Wire

if TYPE_CHECKING:
    from polyreel_generated.shared import Job

T = TypeVar("T")
LOG: Final = logging.getLogger("polyreel")
# Tuples: a union in the place of one of them would be made anew for each step.
_MOVING: Final = (Fetch, Put, TryFolder)
_OBSERVED: Final = (SubmitBegan, SubmitEnded, JobEnded)


def run(flow: Flow[T], wire: Wire) -> T:
    """Perform the steps of a flow, blocking; the result is the flow's."""
    outcome: object = None
    failure: PolyreelError | None = None
    with _Run(wire) as this:
        try:
            while True:
                try:
                    step = flow.send(outcome) if failure is None else flow.throw(failure)
                except StopIteration as stop:
                    return stop.value  # type: ignore[no-any-return]
                # Most steps are so quick that what is done around the others takes longer.
                quick = _QUICK.get(type(step)) if wire.observer is None else None
                if quick is None:
                    step = this.begin(step)
                failure = None
                try:
                    outcome = _perform(step, this) if quick is None else quick(this, step)
                except PolyreelError as error:
                    outcome = failure = _bare(error)
                if quick is None:
                    this.end(step, outcome)
        finally:
            this.close_stream()


async def arun(flow: Flow[T], wire: Wire) -> T:
    """Perform the steps of a flow, awaiting; the result is the flow's."""
    outcome: object = None
    failure: PolyreelError | None = None
    with _Run(wire, awaited=True) as this:
        try:
            while True:
                try:
                    step = flow.send(outcome) if failure is None else flow.throw(failure)
                except StopIteration as stop:
                    await this.arelease()
                    return stop.value  # type: ignore[no-any-return]
                quick = _AWAITED_QUICK.get(type(step)) if wire.observer is None else None
                if quick is None:
                    step = this.begin(step)
                failure = None
                try:
                    outcome = await _aperform(step, this) if quick is None else quick(this, step)
                except PolyreelError as error:
                    outcome = failure = _bare(error)
                if quick is None:
                    this.end(step, outcome)
        finally:
            if this.has_stream:
                await this.aclose_stream()


def _bare(error: PolyreelError) -> PolyreelError:
    error.__context__ = None  # the transport's exception holds headers, and those hold the key
    return error


class _Run:
    """One flow while its steps are performed.

    It knows what the flow owns in the ledger, whether a paid call may have left, and which event
    stream is open.
    """

    # Here, and not in __init__: there is a flow for each status query, which needs none of them.
    _stream: Stream | None = None
    _astream: AsyncStream | None = None
    _owner: str | None = None
    _sent = False
    _call: tuple[Send | Transfer, float] | None = None
    """The call under way and when it began, where calls are watched."""
    _paying: Send | None = None
    """The paid call under way."""
    _job: Job | None = None
    """The job that this flow has submitted."""

    def __init__(self, wire: Wire, *, awaited: bool = False) -> None:
        self.wire = wire
        self._awaited = awaited
        self._watched = bool(wire.hooks) or LOG.isEnabledFor(logging.DEBUG)

    def begin(self, step: Step) -> Step:
        """Note that a step is about to be performed; the result is the step as it is performed."""
        if isinstance(step, Send):
            step = self.wire.moved(step)
            if step.paid and self._owner is not None and self.wire.ledger is not None:
                self.wire.ledger.check_owner(self._owner)
            if step.paid:
                self._sent, self._paying = True, step
            if not step.parts and step.deadline > self.wire.call_seconds:
                step = evolve(step, deadline=self.wire.call_seconds)
        if self._watched and isinstance(step, Send | Transfer):
            self._call = step, self.wire.clock.now()
        if self.wire.observer is not None:
            self.wire.observer("before", step)
        return step

    def end(self, step: Step, outcome: object) -> None:
        """Note that a step was performed, and what came of it."""
        if self._call is not None:
            self._notify_of_call(outcome)
        if self.wire.observer is not None:
            self.wire.observer("after", step)

    def _notify_of_call(self, outcome: object) -> None:
        if self._call is not None:
            (step, began), self._call = self._call, None
            wire = self.wire
            seconds = max(0.0, wire.clock.now() - began)
            event = call_ended(step, outcome, seconds, wire.keys.values())
            notify(wire.hooks, event)

    def observe(self, step: Observe) -> None:
        """Tell hooks what happened, and remember the job that is paid for."""
        event = step.event
        if isinstance(event, SubmitEnded):
            self._paying, self._job = None, event.job
        assert isinstance(event, _OBSERVED)
        if self.wire.hooks or LOG.isEnabledFor(logging.INFO):
            notify(self.wire.hooks, event)

    def record(self, step: Record) -> Any:
        """Write to the ledger."""
        ledger = self.wire.ledger
        if ledger is None:
            return self._remember(step.event)
        result = ledger.write(*self._write(ledger, step.event))
        self._sent = False  # everything sent so far is written down
        return result

    async def arecord(self, step: Record) -> Any:
        """The same, awaiting where others should share the commit.

        Elsewhere it is quick, and is done here also where others wait. In a thread of its own, a
        write of a cancelled task could come after what it has to come before.
        """
        ledger, grouped = self.wire.ledger, self.wire.grouped
        # Who waits for a transaction of a caller's, and the caller for it, would wait for ever.
        is_callers = isinstance(step.event, Queue) and step.event.connection is not None
        if ledger is None or grouped is None or is_callers:
            return self.record(step)
        result = await grouped.write(self._write(ledger, step.event))
        self._sent = False
        return result

    async def arelease(self) -> None:
        """Free what the flow owns where others should share the commit, once it has come through.

        Elsewhere that is done as the block ends, where others wait; so it is after an error, which
        a cancellation meanwhile must not hide.
        """
        ledger, grouped, owner = self.wire.ledger, self.wire.grouped, self._owner
        if owner is None or ledger is None or grouped is None:
            return
        try:
            await grouped.write((Released(owner, self._sent), owner, self.wire.clock.now()))
        except LedgerError as trouble:
            LOG.warning("%s", trouble)  # the outcome of the flow matters more
        ledger.end_owner(owner)
        self._owner = None

    def _remember(self, event: LedgerEvent) -> Any:
        """What becomes of an event where no ledger is kept: uploads are remembered in memory."""
        if not isinstance(event, UploadEvent):
            return None
        own = self.wire.of_account(event)
        return self.wire.uploads.write(own, self, self.wire.clock.now())

    def _write(self, ledger: LedgerStore, event: LedgerEvent) -> Write:
        """An event as it is written, under the owner of this flow."""
        if isinstance(event, UploadEvent):
            event = self.wire.of_account(event)
        if self._owner is None and isinstance(event, OWNING):
            self._owner = ledger.new_owner()
        return sealed(event, self.wire.secrets()), self._owner or "", self.wire.clock.now()

    # -- the event stream --------------------------------------------------------------------------

    def start_stream(self, step: Send) -> Reply:
        """Make a call that answers with an event stream; the stream before it is closed."""
        self.close_stream()
        reply, self._stream = open_stream(step, self.wire)
        return reply

    async def astart_stream(self, step: Send) -> Reply:
        """The same, awaiting."""
        await self.aclose_stream()
        reply, self._astream = await aopen_stream(step, self.wire)
        return reply

    def next_event(self, step: NextEvent) -> Reply | None:
        """Wait for the next event of the open stream; where there is none, the stream is closed."""
        reply = None if self._stream is None else self._stream.next_event(step)
        if reply is None:
            self.close_stream()
        return reply

    async def anext_event(self, step: NextEvent) -> Reply | None:
        """The same, awaiting."""
        reply = None if self._astream is None else await self._astream.next_event(step)
        if reply is None:
            await self.aclose_stream()
        return reply

    @property
    def has_stream(self) -> bool:
        """Whether an awaited stream is open."""
        return self._astream is not None

    def close_stream(self) -> None:
        """Close the stream, if one is open."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    async def aclose_stream(self) -> None:
        """The same, awaiting."""
        stream, self._astream = self._astream, None
        if stream is not None:
            await stream.aclose()

    # -- the block ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wire.uploads.release(self)
        if self._owner is not None and self.wire.ledger is not None:
            try:
                self.wire.ledger.release(self._owner, sent=self._sent)
            except LedgerError as trouble:
                LOG.warning("%s", trouble)  # the outcome of the flow matters more
        if self._call is not None:
            self._notify_of_call(error)
        if error is not None and not isinstance(error, PolyreelError):
            self._keep_handle(error)
        if self.wire.hooks:
            notify(self.wire.hooks, FlowEnded(type(error).__name__ if error else None))

    def _keep_handle(self, error: BaseException) -> None:
        """Note on an interruption what was paid for: nobody else may know the task's id."""
        if self._job is not None:
            text = accepted(self._job, self.wire.ledger)
        elif self._paying is not None:
            vendor = self._paying.vendor
            text = (
                f"a submit to {vendor} was interrupted: it may have been accepted and billed, "
                f"so look at its dashboard before you submit it again"
            )
        else:
            return
        error.add_note(text)
        if self._awaited:  # who waits with a deadline may never look at this exception
            LOG.warning("interrupted (%s): %s", type(error).__name__, text)


def _perform(step: Step, this: _Run) -> object:
    if isinstance(step, Send):
        return this.start_stream(step) if step.stream else exchange(step, this.wire)
    if isinstance(step, Sleep):
        this.wire.clock.sleep(this.wire.pause(step))
        return None
    if isinstance(step, NextEvent):
        return this.next_event(step)
    if isinstance(step, _MOVING):
        return exchange(step, this.wire)
    return _perform_at_once(step, this)


async def _aperform(step: Step, this: _Run) -> object:
    if isinstance(step, Send):  # the first, since there are the most of them
        return await (this.astart_stream(step) if step.stream else aexchange(step, this.wire))
    if isinstance(step, Sleep):
        await this.wire.clock.asleep(this.wire.pause(step))
        return None
    if isinstance(step, NextEvent):
        return await this.anext_event(step)
    if isinstance(step, _MOVING):
        return await aexchange(step, this.wire)
    if isinstance(step, Record):
        return await this.arecord(step)
    return _perform_at_once(step, this)


def _perform_at_once(step: Now | ReadClocks | Notify | Observe | Record, this: _Run) -> object:
    return _QUICK[type(step)](this, step)


def _now(this: _Run, _: Now) -> float:
    return this.wire.clock.now()


def _read_clocks(this: _Run, _: ReadClocks) -> Moment | None:
    if this.wire.ledger is None:
        return None  # it is for the ledger
    read = getattr(this.wire.clock, "moment", None)  # a clock of a caller's may have one face
    return None if read is None else read()


def _notify(this: _Run, step: Notify) -> None:
    if this.wire.listener:
        this.wire.listener(step.event)


_AWAITED_QUICK: Final[Mapping[type[Step], Callable[[_Run, Any], object]]] = {
    Now: _now,
    ReadClocks: _read_clocks,
    Notify: _notify,
    Observe: _Run.observe,
}
"""How steps are performed that nobody has to wait for, and of which no hook is told."""
_QUICK: Final[Mapping[type[Step], Callable[[_Run, Any], object]]] = {
    **_AWAITED_QUICK,
    Record: _Run.record,
}
