"""The pumps: `run` blocks, `arun` awaits; both perform the same steps."""

from __future__ import annotations

from typing import Any, TypeVar

from ..errors import PolyreelError
from ..flows import Fetch, Flow, Now, Send, Sleep, Step, Tell
from .calls import aexchange, exchange
from .wire import Wire

T = TypeVar("T")


def run(flow: Flow[T], wire: Wire) -> T:
    """Drive a flow, blocking."""
    outcome: Any = None
    while True:
        try:
            step = _resume(flow, outcome)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            outcome = _perform(step, wire)
        except PolyreelError as error:
            outcome = _bare(error)


async def arun(flow: Flow[T], wire: Wire) -> T:
    """Drive a flow, awaiting."""
    outcome: Any = None
    while True:
        try:
            step = _resume(flow, outcome)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            outcome = await _aperform(step, wire)
        except PolyreelError as error:
            outcome = _bare(error)


def _resume(flow: Flow[T], outcome: Any) -> Step:
    return flow.throw(outcome) if isinstance(outcome, PolyreelError) else flow.send(outcome)


def _bare(error: PolyreelError) -> PolyreelError:
    error.__context__ = None  # what the transport raised holds headers, and those hold the key
    return error


def _perform(step: Step, wire: Wire) -> Any:
    if isinstance(step, Sleep):
        return wire.clock.sleep(wire.pause(step))
    return exchange(step, wire) if isinstance(step, Send | Fetch) else _simple(step, wire)


async def _aperform(step: Step, wire: Wire) -> Any:
    if isinstance(step, Sleep):
        return await wire.clock.asleep(wire.pause(step))
    return await aexchange(step, wire) if isinstance(step, Send | Fetch) else _simple(step, wire)


def _simple(step: Now | Tell, wire: Wire) -> float:
    if isinstance(step, Tell) and wire.listener:
        wire.listener(step.event)
    return wire.clock.now()
