"""Results that are fetched by a call of their own, after the status query has said that it is done.

The contract gives that call the role `result`. What it answers may still be an error: the job has
failed then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol
from urllib.parse import urlsplit

from attrs import evolve

from ...errors import BadReplyError, TaskNotFoundError, VendorError
from ...flows import Flow, Reply, send_patiently
from ...hosts import SIMULATED_HOST
from .answers import first
from .calling import own_path, task_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...flows import Send
    from ...places import JsonObject
    from .contract import Contract
    from .facts import Facts, Reads


class Asked(Protocol):
    """What a vendor needs to have for its results to be fetched: see `Provider`."""

    id: ClassVar[str]
    reads: ClassVar[Reads]

    @property
    def contract(self) -> Contract:
        """Its contract."""

    @property
    def servers(self) -> tuple[str, ...]:
        """Its own base URLs."""

    def call(self, request: Mapping[str, Any], base_url: str | None = None) -> Send:
        """The step for a call that costs nothing."""

    def facts(self, raw: JsonObject) -> Facts:
        """What an object says about a job."""

    def read_error(self, reply: Reply) -> tuple[str | None, str]:
        """The code and the text of an error."""


FAILED: Final = frozenset({400, 409, 410, 413, 415, 422})
"""HTTP statuses of a result that are about the job, and not about the key or the moment."""


def with_result(provider: Asked, facts: Facts, task: str, base_url: str | None) -> Flow[Facts]:
    """The facts of a job that is done with those of its result.

    The result of a job that failed after all is its error. TaskNotFoundError is raised where the
    vendor answers with a list of tasks that is empty, VendorError is raised where the result
    cannot be had now.
    """
    query, operation = provider.contract.operation("get"), provider.contract.operation("result")
    place = query.spec.get("x-polyreel-tasks") if query else None
    if place and not first(facts.raw, (place,)):
        raise TaskNotFoundError(f"{provider.id} knows no task {task}", vendor=provider.id)
    if operation is None or facts.status != "succeeded" or facts.urls:
        return facts
    path = own_path(_bases(provider, base_url), first(facts.raw, provider.reads.result))
    if path is None:
        request = task_request(provider.contract, operation, [facts.id or task])
    else:
        request = {"method": operation.method.lower(), "url": path}
    reply = yield from send_patiently(provider.call(request, base_url))
    raw = {**facts.raw, "result": _object(reply)}
    if reply.ok:
        found = provider.facts(raw["result"])
        usage = found.usage or facts.usage
        return evolve(facts, urls=found.urls, usage=usage, raw=raw)
    code, message = provider.read_error(reply)
    if reply.status in FAILED:
        return evolve(facts, status="failed", error_code=code, error_message=message, raw=raw)
    text = f"{provider.id} answered HTTP {reply.status} to a query for the result: {message}"
    raise VendorError(text, vendor=provider.id, status=reply.status, code=code)


def located(provider: Asked, facts: Facts, base_url: str) -> Facts:
    """The facts with the path to ask at, which may also stand below another base URL."""
    if facts.locator is not None or not provider.reads.locator:
        return facts
    link = first(facts.raw, provider.reads.locator)
    return evolve(facts, locator=own_path(_bases(provider, base_url), link))


def _bases(provider: Asked, base_url: str | None) -> tuple[str, ...]:
    """The base URLs that a vendor's links begin with: a gateway's, its own, the simulator's."""
    simulated = f"https://{SIMULATED_HOST}/{provider.id}{urlsplit(provider.servers[0]).path}"
    return (*([base_url] if base_url else []), *provider.servers, simulated)


def _object(reply: Reply) -> dict[str, object]:
    try:
        found = reply.json()
    except BadReplyError:
        return {}
    return found if isinstance(found, dict) else {}
