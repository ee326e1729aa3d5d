"""Makes the calls of a vendor's spec that only read and cost nothing, as flows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode

from ..errors import RequestError, VendorError
from ..flows import Flow, Reply, Send, send
from ..providers.base.answers import is_task_id
from ..providers.base.calling import key_scheme_of, parameters, task_place
from ..providers.base.contract import Contract, Operation
from ..providers.base.provider import Provider
from .exchanges import RecordedExchange

NEVER: Final = ("create", "stream", "cancel", "upload")
"""What the roles begin with of calls that pay or change something, whatever their method is."""
KEY_STATUSES: Final = frozenset({401, 403})
RECORDING: Final = "live"
"""The name of the recording that the exchanges belong to."""


def reading_operations(contract: Contract) -> list[Operation]:
    """The calls of a contract that only read, and need neither a task nor anything else: credits,
    which are the shortest answer, then lists, and whatever else it has of this kind.
    """
    found = [one for one in contract.operations.values() if _only_reads(contract, one)]
    return sorted(found, key=lambda one: one.role != "credits")


def _only_reads(contract: Contract, operation: Operation) -> bool:
    if operation.method != "GET" or not operation.role or operation.role.startswith(NEVER):
        return False
    needed = (one for one in parameters(contract, operation, "query") if one.get("required"))
    return task_place(contract, operation) is None and not any(needed)


def questions(provider: Provider, task: str | None, base_url: str | None = None) -> list[Send]:
    """The calls to make: all documented ones that only read. None of them is paid.

    With `task`, a task's id, its status query is among them. RequestError where the vendor
    documents no call that needs no task, and no task is given.
    """
    steps = [
        provider.call({"method": one.method, "url": one.path}, base_url)
        for one in reading_operations(provider.contract)
        if one.server == provider.base_url
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
        found.append(recorded(number, step, reply, key_scheme_of(provider.contract).constants))
    return found


def recorded(
    number: int, step: Send, reply: Reply, headers: Mapping[str, str] = MappingProxyType({})
) -> RecordedExchange:
    """A call that was made now, as one of a recording, with the headers that each call has."""
    return RecordedExchange(
        number=number,
        method=step.method,
        url=_url(step),
        request_headers={name.lower(): value for name, value in headers.items()},
        request_body=b"",
        status=reply.status,
        response_headers={name.lower(): value for name, value in reply.headers.items()},
        response_body=reply.content,
        recording=RECORDING,
    )


def _url(step: Send) -> str:
    return f"{step.url}?{urlencode(step.params)}" if step.params else step.url
