"""Moving a file, blocking or awaiting: both pumps do the same actions."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from ..errors import PolyreelError
from ..flows import Fetch, Reply, Saved, Transfer, TryFolder
from .addresses import aresolve, resolve
from .downloads import Action, Download, Get, Pause
from .links import Resolve
from .puts import FilePut
from .storing import BlockingCall, FolderTrial, StoredDownload
from .urls import abody_of, body_of, transport_errors
from .watch import Trace
from .wire import Wire

if TYPE_CHECKING:
    import httpx

    Outcome = httpx.Response | Sequence[str] | Exception | object


Moving = Download | FilePut | StoredDownload | FolderTrial


def transfer(step: Transfer | TryFolder, wire: Wire) -> Saved | Reply | None:
    """Download one file, send one to a link, or try a folder, blocking."""
    moving = _begun(step, wire)
    outcome: Outcome = None
    errors = transport_errors()
    with closing(moving.actions()) as actions:
        while True:
            try:
                action = _next(actions, outcome)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                outcome = _do(action, moving)
            except PolyreelError:
                raise
            except errors as error:
                outcome = error


async def atransfer(step: Transfer | TryFolder, wire: Wire) -> Saved | Reply | None:
    """The same, awaiting."""
    moving = _begun(step, wire)
    outcome: Outcome = None
    errors = transport_errors()
    with closing(moving.actions()) as actions:
        while True:
            try:
                action = _next(actions, outcome)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                async with asyncio.timeout(moving.watch.left):
                    outcome = await _ado(action, moving)
            except PolyreelError:
                raise
            except errors as error:
                outcome = error


def _begun(step: Transfer | TryFolder, wire: Wire) -> Moving:
    if isinstance(step, TryFolder):
        return FolderTrial(step, wire)
    if isinstance(step, Fetch):
        return StoredDownload(step, wire) if step.folder_url else Download(step, wire)
    return FilePut(step, wire)


def _next(
    actions: Generator[Action | BlockingCall, Any, Any], outcome: Outcome
) -> Action | BlockingCall:
    return actions.throw(outcome) if isinstance(outcome, Exception) else actions.send(outcome)


def _do(action: Action | BlockingCall, moving: Moving) -> Outcome:
    wire, watch = moving.wire, moving.watch
    if isinstance(action, BlockingCall):
        return _called(action)
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


async def _ado(action: Action | BlockingCall, moving: Moving) -> Outcome:
    wire, watch = moving.wire, moving.watch
    if isinstance(action, BlockingCall):
        return await asyncio.to_thread(_called, action)
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


def _called(call: BlockingCall) -> object:
    try:
        return call.do()
    except Exception as error:  # it is thrown into the actions, whatever its class is
        return error


def _traced(action: Get, trace: Trace) -> httpx.Request:
    action.request.extensions["trace"] = trace
    return action.request
