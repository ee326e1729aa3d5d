"""Asks a vendor for what costs nothing: the read-only calls of its spec, as flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..errors import RequestError, VendorError
from ..flows import Flow, Reply, Send, send
from ..providers.base.answers import is_task_id
from ..providers.base.provider import Provider
from .exchanges import RecordedExchange

ROLES: Final = ("credits", "list-running", "list")
"""The calls that name nothing and change nothing, cheapest first."""
KEY_STATUSES: Final = frozenset({401, 403})
NAME: Final = "live"
"""The recording that the exchanges belong to."""


def questions(provider: Provider, task: str | None, base_url: str | None = None) -> list[Send]:
    """The calls to make: all documented ones that only read; with a task, its status query too. None of them is paid.

    Raises RequestError where the vendor documents none that needs no task, and none is given.
    """
    found = [
        operation for role in ROLES if (operation := provider.contract.operation(role)) is not None
    ]
    steps = [
        provider.call({"method": one.method, "url": one.path}, base_url)
        for one in found
        if one.method == "GET" and "{" not in one.path and one.server == provider.base_url
    ]
    if task is not None:
        if not is_task_id(task):
            raise RequestError(["--task: not a task id"])
        steps.append(provider.call(provider.get_request(task), base_url))
    if not steps:
        raise RequestError(
            [
                f"{provider.id} documents no call that only reads and needs no task: name one with --task"
            ]
        )
    assert not any(step.paid for step in steps)
    return steps


def ask_all(provider: Provider, steps: Sequence[Send]) -> Flow[list[RecordedExchange]]:
    """Make the calls once each, and write down what was said; VendorError where the key is not accepted."""
    found = []
    for number, step in enumerate(steps, 1):
        reply = yield from send(step)
        if reply.status in KEY_STATUSES:
            text = f"{provider.id} did not accept the key: HTTP {reply.status}"
            raise VendorError(text, vendor=provider.id, status=reply.status)
        found.append(_written_down(number, step, reply))
    return found


def _written_down(number: int, step: Send, reply: Reply) -> RecordedExchange:
    headers = {name.lower(): value for name, value in reply.headers.items()}
    return RecordedExchange(
        number, step.method, step.url, {}, b"", reply.status, headers, reply.content, recording=NAME
    )
