"""Collects all texts that a live client writes about a job, to look for a key in them."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Final

from attrs import evolve

from ..client import Client
from ..errors import PolyreelError
from ..plans.planning import Plan
from ..simulator import RunningClock, Simulator, server

KEY: Final = "sk-conformance-" + "0123456789abcdef"
SPEED: Final = 1000.0


def texts_shown(plan: Plan) -> Iterator[str]:
    """All texts about a live client, a job and an error, from a simulated vendor on loopback."""
    for keys in (None, frozenset({"another key"})):
        simulator = Simulator(clock=RunningClock(SPEED), seed=1, keys=keys)
        with server.running(simulator) as url:
            address = url + server.mounts()[plan.vendor]
            with Client(keys={plan.vendor: KEY}, base_urls={plan.vendor: address}) as client:
                yield from _texts(client, evolve(plan, base_url=address))


def _texts(client: Client, plan: Plan) -> Iterator[str]:
    yield from (repr(client), repr(vars(client)), repr(client.wire), repr(plan))
    try:
        job = client.get(client.submit(plan))
    except PolyreelError as error:
        yield from ("".join(traceback.format_exception(error)), repr(vars(error)))
    else:
        yield from (repr(job), job.model_dump_json())
