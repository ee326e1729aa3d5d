"""Performing a download, blocking or awaiting: both pumps do the same actions."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from ..errors import PolyreelError
from ..flows import Fetch, Saved
from .addresses import aresolve, resolve
from .downloads import Action, Download, Get, Pause, Resolve
from .urls import abody_of, body_of, transport_errors
from .watch import Trace
from .wire import Wire

if TYPE_CHECKING:
    import httpx

    Outcome = httpx.Response | Sequence[str] | Exception | None


def fetch(step: Fetch, wire: Wire) -> Saved:
    """Download one file, blocking."""
    download = Download(step, wire)
    outcome: Outcome = None
    errors = transport_errors()
    with closing(download.actions()) as actions:
        while True:
            try:
                action = _next(actions, outcome)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                outcome = _do(action, download)
            except PolyreelError:
                raise
            except errors as error:
                outcome = error


async def afetch(step: Fetch, wire: Wire) -> Saved:
    """Download one file, awaiting."""
    download = Download(step, wire)
    outcome: Outcome = None
    errors = transport_errors()
    with closing(download.actions()) as actions:
        while True:
            try:
                action = _next(actions, outcome)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                async with asyncio.timeout(download.watch.left):
                    outcome = await _ado(action, download)
            except PolyreelError:
                raise
            except errors as error:
                outcome = error


def _next(actions: Generator[Action, Any, Saved], outcome: Outcome) -> Action:
    return actions.throw(outcome) if isinstance(outcome, Exception) else actions.send(outcome)


def _do(action: Action, download: Download) -> Outcome:
    wire, watch = download.wire, download.watch
    if isinstance(action, Pause):
        wire.clock.sleep(action.seconds)
        return None
    if isinstance(action, Resolve):
        return resolve(wire.resolver, action.host, action.port, watch.left)
    connections = wire.connections("download", action.route)
    try:
        with closing(connections.handle_request(_traced(action, watch.see))) as response:
            if action.begin(response):
                for chunk in body_of(response):
                    if action.write(chunk):
                        break
            return response
    finally:
        watch.stop()


async def _ado(action: Action, download: Download) -> Outcome:
    wire, watch = download.wire, download.watch
    if isinstance(action, Pause):
        await wire.clock.asleep(action.seconds)
        return None
    if isinstance(action, Resolve):
        return await aresolve(wire.resolver, action.host, action.port)
    connections = wire.async_connections("download", action.route)
    answering = connections.handle_async_request(_traced(action, watch.asee))
    async with aclosing(await answering) as response:
        if action.begin(response):
            async for chunk in abody_of(response):
                if action.write(chunk):
                    break
        return response


def _traced(action: Get, trace: Trace) -> httpx.Request:
    action.request.extensions["trace"] = trace
    return action.request
