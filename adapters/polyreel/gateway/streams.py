"""A job's life as an event stream, in the words of a face."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from attrs import frozen

from ..providers.base.facts import FINAL, Status
from ..serving.answers import dumps, status_of_example
from ..serving.task_answers import event_samples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..ledger.gateway_rows import GatewayJob
    from ..places import JsonObject
    from ..serving.calls import Call
    from .jobs import FacedJobs

PAUSE: Final = 1.0
"""Seconds between two looks at a job; vendors are asked at their own pace."""
SIMULATED_PAUSE: Final = 0.05
QUIET: Final = 15.0
"""After so many seconds without an event a comment is sent, so that nobody takes it for dead."""
LONGEST: Final = 3600.0
"""For how many seconds a stream is kept open."""


@frozen
class StreamAnswer:
    """An event stream as the answer to a call."""

    events: AsyncIterator[bytes]
    headers: Mapping[str, str]


async def events_of(jobs: FacedJobs, call: Call, row: GatewayJob) -> AsyncIterator[bytes]:
    """The events of a job until it ends: one for each state that it is seen in."""
    pause = SIMULATED_PAUSE if jobs.client.simulated else PAUSE
    before: Status | None = None
    begin = spoken = time.monotonic()
    while time.monotonic() - begin < LONGEST:
        tasks = await jobs.tasks(call, [row])
        status = tasks[0].status(jobs.now()) if tasks else "queued"
        states: list[Status] = [status] if before is not None else ["queued", status]
        for state in dict.fromkeys(states):
            if tasks and state != before:
                event = tasks[0].shown(call, state, jobs.now(), _sample(call, state), None)
                yield b"data: " + dumps(event) + b"\n\n"
                before, spoken = state, time.monotonic()
        if status in FINAL:
            return
        if time.monotonic() - spoken > QUIET:
            yield b": waiting\n\n"
            spoken = time.monotonic()
        await asyncio.sleep(pause)


def _sample(call: Call, state: Status) -> JsonObject:
    """The documented event of a state."""
    samples = event_samples(call, state if state in FINAL else "succeeded")
    same = (one for one in samples if status_of_example(call.provider, one) == state)
    return next(same, samples[0])
