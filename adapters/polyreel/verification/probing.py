"""Makes the calls of a vendor's spec that only read and cost nothing, as flows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..errors import RequestError, VendorError
from ..flows import Flow, Reply, Send, send
from ..providers.base.answers import is_task_id
from ..providers.base.provider import Provider
from .exchanges import RecordedExchange

ROLES: Final = ("credits", "list-running", "list")
"""The calls that need no task and change nothing, cheapest first."""
KEY_STATUSES: Final = frozenset({401, 403})
RECORDING: Final = "live"
"""The name of the recording that the exchanges belong to."""


def questions(provider: Provider, task: str | None, base_url: str | None = None) -> list[Send]:
    """The calls to make: all documented ones that only read. None of them is paid.

    With `task`, a task's id, its status query is among them. RequestError where the vendor
    documents no call that needs no task, and no task is given.
    """
    roles = [provider.contract.operation(role) for role in ROLES]
    steps = [
        provider.call({"method": one.method, "url": one.path}, base_url)
        for one in roles
        if one is not None
        and one.method == "GET"
        and "{" not in one.path
        and one.server == provider.base_url
    ]
    if task is not None:
        if not is_task_id(task):
            raise RequestError(["--task: not a task id"])
        steps.append(provider.call(provider.get_request(task), base_url))
    if not steps:
        reason = "documents no call that only reads and needs no task: name one with --task"
        raise RequestError([f"{provider.id} {reason}"])
    assert not any(step.paid for step in steps)
    return steps


def ask_all(provider: Provider, steps: Sequence[Send]) -> Flow[list[RecordedExchange]]:
    """Make each call once, and record it; VendorError where the key is not accepted."""
    found = []
    for number, step in enumerate(steps, 1):
        reply = yield from send(step)
        if reply.status in KEY_STATUSES:
            text = f"{provider.id} did not accept the key: HTTP {reply.status}"
            raise VendorError(text, vendor=provider.id, status=reply.status)
        found.append(_recorded(number, step, reply))
    return found


def _recorded(number: int, step: Send, reply: Reply) -> RecordedExchange:
    return RecordedExchange(
        number=number,
        method=step.method,
        url=step.url,
        request_headers={},
        request_body=b"",
        status=reply.status,
        response_headers={name.lower(): value for name, value in reply.headers.items()},
        response_body=reply.content,
        recording=RECORDING,
    )
