"""Results that are fetched by a call of their own, after the status query has said that it is done.

The contract gives that call the role `result`. What it answers may still be an error: the job has
failed then.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol
from urllib.parse import urlsplit

from attrs import evolve

from ...errors import BadReplyError, TaskNotFoundError, VendorError
from ...flows import Flow, Reply, send_patiently
from ...hosts import SIMULATED_HOST
from .answers import first
from .calling import QueryPaths, job_request, own_path

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
    def query_paths(self) -> QueryPaths:
        """The paths of its status query."""

    @property
    def contract(self) -> Contract:
        """Its contract."""

    @property
    def servers(self) -> tuple[str, ...]:
        """Its own base URLs."""

    def call(self, request: Mapping[str, Any], base_url: str | None = None) -> Send:
        """The step for a call that costs nothing."""

    def get_request(self, task_id: str) -> Mapping[str, Any]:
        """The request of a status query for a task, where that needs its id only."""

    def ask(
        self,
        request: Mapping[str, Any],
        base_url: str | None,
        what: str,
        unknown: type[VendorError],
    ) -> Flow[Reply]:
        """Make a call that costs nothing."""

    def read(self, reply: Reply) -> Facts:
        """What a reply says about a job."""

    def facts(self, raw: JsonObject) -> Facts:
        """What an object says about a job."""

    def read_error(self, reply: Reply) -> tuple[str | None, str]:
        """The code and the text of an error."""


FAILED: Final = frozenset({400, 409, 410, 413, 415, 422})
"""HTTP statuses of a result that are about the job, and not about the key or the moment."""


def facts_of_job(
    provider: Asked, task: str, base_url: str | None, locator: str | None
) -> Flow[Facts]:
    """The answer to a status query, with the result of a job that is done.

    Where the path needs more than the id, and nobody has kept the one that the vendor gave, those
    that its routes make are asked one after the other: the queries cost nothing.
    """
    found = [locator] if locator is not None else provider.query_paths.of(task)
    *others, last = found or [None]
    for path in others:
        with suppress(TaskNotFoundError):
            return (yield from _facts_at(provider, path, task, base_url))
    return (yield from _facts_at(provider, last, task, base_url))


def _facts_at(provider: Asked, path: str | None, task: str, base_url: str | None) -> Flow[Facts]:
    request = {"method": "get", "url": path} if path else provider.get_request(task)
    what, unknown = "a status query", TaskNotFoundError
    reply = yield from provider.ask(request, base_url, what, unknown)
    return (yield from with_result(provider, provider.read(reply), task, base_url, path))


def with_result(
    provider: Asked, facts: Facts, task: str, base_url: str | None, locator: str | None = None
) -> Flow[Facts]:
    """The facts of a job that is done with those of its result.

    The result of a job that failed after all is its error. TaskNotFoundError is raised where the
    vendor answers with a list of tasks that is empty, VendorError is raised where the result
    cannot be had now.
    """
    query, operation = provider.contract.operation("get"), provider.contract.operation("result")
    place = query.spec.get("x-polyreel-tasks") if query else None
    if place and first(facts.raw, (place,)) == []:
        raise TaskNotFoundError(f"{provider.id} knows no task {task}", vendor=provider.id)
    if operation is None or facts.status != "succeeded" or facts.urls or facts.element:
        return facts
    path = own_path(_bases(provider, base_url), first(facts.raw, provider.reads.result))
    if path is None:
        request = job_request(provider.contract, operation, facts.id or task, locator)
    else:
        request = {"method": operation.method.lower(), "url": path}
    reply = yield from send_patiently(provider.call(request, base_url))
    raw = {**facts.raw, "result": _object(reply)}
    if reply.ok:
        found = provider.facts(raw["result"])
        usage = found.usage or facts.usage
        return evolve(facts, urls=found.urls, element=found.element, usage=usage, raw=raw)
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
