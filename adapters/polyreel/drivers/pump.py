"""The pumps: `run` blocks, `arun` awaits. Both perform the same steps."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from attrs import evolve

from ..errors import LedgerError, PolyreelError
from ..flows import (
    Fetch,
    Flow,
    NextEvent,
    Notify,
    Now,
    ReadClocks,
    Record,
    Reply,
    Send,
    Sleep,
    Step,
)
from ..ledger.events import OWNING, sealed
from .calls import aexchange, exchange
from .streams import AsyncStream, Stream, aopen_stream, open_stream
from .wire import Wire

T = TypeVar("T")
LOG: Final = logging.getLogger("polyreel")


def run(flow: Flow[T], wire: Wire) -> T:
    """Perform the steps of a flow, blocking; the result is the flow's."""
    outcome: object = None
    with _Run(wire) as this:
        try:
            while True:
                try:
                    step = _resume(flow, outcome)
                except StopIteration as stop:
                    return stop.value  # type: ignore[no-any-return]
                step = this.begin(step)
                try:
                    outcome = _perform(step, this)
                except PolyreelError as error:
                    outcome = _bare(error)
                this.end(step)
        finally:
            this.close_stream()


async def arun(flow: Flow[T], wire: Wire) -> T:
    """Perform the steps of a flow, awaiting; the result is the flow's."""
    outcome: object = None
    with _Run(wire) as this:
        try:
            while True:
                try:
                    step = _resume(flow, outcome)
                except StopIteration as stop:
                    return stop.value  # type: ignore[no-any-return]
                step = this.begin(step)
                try:
                    outcome = await _aperform(step, this)
                except PolyreelError as error:
                    outcome = _bare(error)
                this.end(step)
        finally:
            await this.aclose_stream()


def _resume(flow: Flow[T], outcome: object) -> Step:
    return flow.throw(outcome) if isinstance(outcome, PolyreelError) else flow.send(outcome)


def _bare(error: PolyreelError) -> PolyreelError:
    error.__context__ = None  # the transport's exception holds headers, and those hold the key
    return error


class _Run:
    """One flow while its steps are performed.

    It knows what the flow owns in the ledger, whether a paid call may have left, and which event
    stream is open.
    """

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._stream: Stream | None = None
        self._astream: AsyncStream | None = None
        self._owner: str | None = None
        self._sent = False

    def begin(self, step: Step) -> Step:
        """Note that a step is about to be performed; the result is the step as it is performed."""
        if isinstance(step, Send):
            self._sent = self._sent or step.paid
            if not step.parts and step.deadline > self.wire.call_seconds:
                step = evolve(step, deadline=self.wire.call_seconds)
        if self.wire.observer is not None:
            self.wire.observer("before", step)
        return step

    def end(self, step: Step) -> None:
        """Note that a step was performed."""
        if self.wire.observer is not None:
            self.wire.observer("after", step)

    def record(self, step: Record) -> Any:
        """Write to the ledger.

        This is quick, and is done here also where others wait. In a thread of its own, a write of
        a cancelled task could come after what it has to come before.
        """
        ledger = self.wire.ledger
        if ledger is None:
            return None
        if self._owner is None and isinstance(step.event, OWNING):
            self._owner = ledger.new_owner()
        event = sealed(step.event, self.wire.secrets())
        result = ledger.write(event, self._owner or "", self.wire.clock.now())
        self._sent = False  # everything sent so far is written down
        return result

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
        if self._owner is not None and self.wire.ledger is not None:
            try:
                self.wire.ledger.release(self._owner, sent=self._sent)
            except LedgerError as trouble:
                LOG.warning("%s", trouble)  # the outcome of the flow matters more


def _perform(step: Step, this: _Run) -> object:
    if isinstance(step, Sleep):
        this.wire.clock.sleep(this.wire.pause(step))
        return None
    if isinstance(step, NextEvent):
        return this.next_event(step)
    if isinstance(step, Send) and step.stream:
        return this.start_stream(step)
    if isinstance(step, Send | Fetch):
        return exchange(step, this.wire)
    return _perform_at_once(step, this)


async def _aperform(step: Step, this: _Run) -> object:
    if isinstance(step, Sleep):
        await this.wire.clock.asleep(this.wire.pause(step))
        return None
    if isinstance(step, NextEvent):
        return await this.anext_event(step)
    if isinstance(step, Send) and step.stream:
        return await this.astart_stream(step)
    if isinstance(step, Send | Fetch):
        return await aexchange(step, this.wire)
    return _perform_at_once(step, this)


def _perform_at_once(step: Now | ReadClocks | Notify | Record, this: _Run) -> object:
    if isinstance(step, Record):
        return this.record(step)
    if isinstance(step, ReadClocks):
        read = getattr(this.wire.clock, "moment", None)  # a clock of a caller's may have one face
        return None if read is None else read()
    if isinstance(step, Notify) and this.wire.listener:
        this.wire.listener(step.event)
    return this.wire.clock.now()
