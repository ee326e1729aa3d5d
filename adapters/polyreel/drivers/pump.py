"""The pumps: `run` blocks, `arun` awaits; both perform the same steps."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from attrs import evolve

from ..errors import LedgerError, PolyreelError
from ..flows import Fetch, Flow, NextEvent, Notify, Now, Record, Reply, Send, Sleep, Step
from ..ledger.events import OWNING
from .calls import aexchange, exchange
from .streams import aopen_stream, open_stream
from .wire import Wire

T = TypeVar("T")
LOG: Final = logging.getLogger("polyreel")


def run(flow: Flow[T], wire: Wire) -> T:
    """Drive a flow, blocking."""
    outcome: Any = None
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
            this.let_go()


async def arun(flow: Flow[T], wire: Wire) -> T:
    """Drive a flow, awaiting."""
    outcome: Any = None
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
            await this.alet_go()


def _resume(flow: Flow[T], outcome: Any) -> Step:
    return flow.throw(outcome) if isinstance(outcome, PolyreelError) else flow.send(outcome)


def _bare(error: PolyreelError) -> PolyreelError:
    error.__context__ = None  # what the transport raised holds headers, and those hold the key
    return error


class _Run:
    """One flow being driven: what it owns in the ledger, whether a paid call may have left, and its stream."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self._stream: Any = None
        self._owner: str | None = None
        self._sent = False

    def begin(self, step: Step) -> Step:
        """A step is about to be performed; the step as it is to be."""
        if isinstance(step, Send):
            self._sent = self._sent or step.paid
            if not step.parts and step.deadline > self.wire.call_seconds:
                step = evolve(step, deadline=self.wire.call_seconds)
        if self.wire.observer is not None:
            self.wire.observer("before", step)
        return step

    def end(self, step: Step) -> None:
        """A step was performed."""
        if self.wire.observer is not None:
            self.wire.observer("after", step)

    def record(self, step: Record) -> Any:
        """Write to the ledger. It is quick, and done right here also where others wait: a write that a cancelled task
        leaves running could come after what it must come before.
        """
        ledger = self.wire.ledger
        if ledger is None:
            return None
        if self._owner is None and isinstance(step.event, OWNING):
            self._owner = ledger.new_owner()
        result = ledger.write(step.event, self._owner or "", self.wire.clock.now())
        self._sent = False  # everything sent so far is written down
        return result

    def open(self, step: Send) -> Reply:
        """Make a call that answers with an event stream, in the place of the one before it."""
        self.let_go()
        reply, self._stream = open_stream(step, self.wire)
        return reply

    async def aopen(self, step: Send) -> Reply:
        """The same, awaiting."""
        await self.alet_go()
        reply, self._stream = await aopen_stream(step, self.wire)
        return reply

    def hear(self, step: NextEvent) -> Reply | None:
        """The next event of the stream that is open; where there is none, it is let go."""
        reply: Reply | None = self._stream and self._stream.hear(step)
        if reply is None:
            self.let_go()
        return reply

    async def ahear(self, step: NextEvent) -> Reply | None:
        """The same, awaiting."""
        reply: Reply | None = self._stream and await self._stream.hear(step)
        if reply is None:
            await self.alet_go()
        return reply

    def let_go(self) -> None:
        """Close the stream, if one is open."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    async def alet_go(self) -> None:
        """The same, awaiting."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

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
                LOG.warning("%s", trouble)  # what the flow found out matters more


def _perform(step: Step, this: _Run) -> Any:
    if isinstance(step, Sleep):
        return this.wire.clock.sleep(this.wire.pause(step))
    if isinstance(step, NextEvent):
        return this.hear(step)
    if isinstance(step, Send) and step.stream:
        return this.open(step)
    return exchange(step, this.wire) if isinstance(step, Send | Fetch) else _simple(step, this)


async def _aperform(step: Step, this: _Run) -> Any:
    if isinstance(step, Sleep):
        return await this.wire.clock.asleep(this.wire.pause(step))
    if isinstance(step, NextEvent):
        return await this.ahear(step)
    if isinstance(step, Send) and step.stream:
        return await this.aopen(step)
    return (
        await aexchange(step, this.wire) if isinstance(step, Send | Fetch) else _simple(step, this)
    )


def _simple(step: Now | Notify | Record, this: _Run) -> Any:
    if isinstance(step, Record):
        return this.record(step)
    if isinstance(step, Notify) and this.wire.listener:
        this.wire.listener(step.event)
    return this.wire.clock.now()
