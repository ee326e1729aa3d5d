"""Whether a vendor can be used now: its free calls are made once, as a flow, and judged.

The contract says which calls there are: those that only read and need nothing, and a status query
for a task that does not exist. None of them is paid or changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal

from attrs import frozen

from ..errors import BadReplyError, TransportError
from ..flows import Flow, Reply, Send, send
from ..providers.base.answers import is_task_id
from ..providers.base.calling import key_scheme_of
from ..providers.base.contract import Operation
from ..providers.base.provider import Provider
from ..providers.base.refusals import has_own_form
from .differences import Difference
from .exchanges import content_type
from .probing import KEY_STATUSES, reading_operations, recorded
from .reports import verify

CallOutcome = Literal["answered", "no such task", "id refused", "key refused", "failed", "foreign"]
"""`id refused`: the id of no task, with an error that does not say that there is no such task.
`failed`: any other error of the vendor's own. `foreign`: not in the form of its answers.
"""
KeyState = Literal["accepted", "refused", "not proved"]
State = Literal["ready", "differs", "key refused", "not reached", "failing"]
OF_ACCOUNTS: Final = frozenset({"credits", "list", "list-running", "get"})
"""The roles of calls about the caller's own account. Others may be answered whatever the key is."""
BUSY: Final = frozenset({402, 429})
"""Refusals of a status query that say nothing about the task."""
UNKNOWN_ROUTE: Final = "unknown_route"
"""The name that contracts give to examples of errors for a path that the host does not have."""
LETTERS: Final = "nosuchtask0000000000000000000000"
"""The letters of the id of no task, which a vendor puts into the form of its ids."""


@frozen
class AskedCall:
    """One free call that was made, and what its answer means."""

    role: str
    method: str
    path: str
    status: int
    outcome: CallOutcome
    words: str = ""
    """The code and text of an error, or what the answer is instead of the vendor's own."""


@frozen
class Readiness:
    """What a vendor's free calls say."""

    vendor: str
    address: str
    """The base URL that was asked."""
    key: KeyState
    calls: tuple[AskedCall, ...]
    differences: tuple[Difference, ...]
    """How the answers differ from the spec; notes are among them."""
    failure: TransportError | None = None
    """Why the vendor was not reached."""

    @property
    def state(self) -> State:
        """All of it in a word; the first that is true."""
        outcomes = {one.outcome for one in self.calls}
        if self.key == "refused":
            return "key refused"
        if self.failure is not None:
            return "not reached"
        if outcomes & {"failed", "foreign"}:
            return "failing"
        if any(one.severity != "note" for one in self.differences):
            return "differs"
        return "ready"


def free_calls(provider: Provider, base_url: str | None = None) -> list[tuple[Operation, Send]]:
    """The calls that `check_readiness` makes, each with its operation in the contract."""
    contract = provider.contract
    steps = [
        (one, _step(provider, one, base_url if one.server == provider.base_url else one.server))
        for one in reading_operations(contract)
    ]
    query, task = contract.operation("get"), provider.new_task_id(0, 0, LETTERS)
    if query is not None and query.method == "GET" and is_task_id(task):
        steps.append((query, provider.call(provider.get_request(task), base_url)))
    assert not any(step.paid or step.content or step.method != "GET" for _, step in steps)
    return steps


def _step(provider: Provider, operation: Operation, base_url: str | None) -> Send:
    return provider.call({"method": operation.method, "url": operation.path}, base_url)


def check_readiness(provider: Provider, base_url: str | None = None) -> Flow[Readiness]:
    """Make each free call of a vendor once, until one is not answered or does not take the key.

    The driver adds the key. A vendor that is not reached is a result too: nothing is raised.
    """
    calls, exchanges, failure = [], [], None
    for number, (operation, step) in enumerate(free_calls(provider, base_url), 1):
        try:
            reply = yield from send(step)
        except TransportError as error:
            failure = error
            break
        constants = key_scheme_of(provider.contract).constants
        exchanges.append(recorded(number, step, reply, constants))
        calls.append(_judged(provider, operation, reply))
        if calls[-1].outcome == "key refused":
            break
    bases: Mapping[str, str] = {provider.id: base_url} if base_url else {}
    report = verify(exchanges, [provider], base_urls=bases)
    address = base_url or provider.base_url
    return Readiness(
        provider.id, address, _key_state(calls), tuple(calls), report.differences, failure
    )


def _key_state(calls: Sequence[AskedCall]) -> KeyState:
    if any(one.outcome == "key refused" for one in calls):
        return "refused"
    proofs = (one for one in calls if one.role in OF_ACCOUNTS)
    proved = any(one.outcome in {"answered", "no such task"} for one in proofs)
    return "accepted" if proved else "not proved"


def _judged(provider: Provider, operation: Operation, reply: Reply) -> AskedCall:
    outcome, words = next(_meanings(provider, operation, reply))
    path = operation.full_path
    return AskedCall(operation.role, operation.method, path, reply.status, outcome, words)


def _meanings(
    provider: Provider, operation: Operation, reply: Reply
) -> Iterator[tuple[CallOutcome, str]]:
    """What an answer means, with the vendor's words; the first counts."""
    try:
        body = reply.json() if reply.content.strip() else None
    except BadReplyError:
        yield "foreign", f"an answer of the type {_type(reply)}, which no JSON can be read from"
        return
    code, message = provider.read_error(reply)
    words = f"{code}: {message}" if code else message
    if not provider.is_error(reply):
        if isinstance(body, dict | list):
            yield "answered", ""
        yield "foreign", "an answer that is neither an object nor a list"
    if not reply.ok and not has_own_form(provider.contract, operation, reply.status, body):
        yield "foreign", f"an error that is not in the form of the vendor's own: {words}"
    if reply.status in KEY_STATUSES:
        yield "key refused", words
    if operation.role == "get" and provider.is_not_found(reply.status, code):
        if _names(provider, operation, reply.status) == {UNKNOWN_ROUTE}:
            yield "foreign", f"there is no such call at this address: {words}"
        yield "no such task", words
    if operation.role == "get" and reply.status < 500 and reply.status not in BUSY:
        yield "id refused", words
    yield "failed", words


def _names(provider: Provider, operation: Operation, status: int) -> set[str]:
    """The names of the contract's examples of a call's answers with an HTTP status."""
    found = provider.contract.replies(operation)
    return {name for documented, _, name, _ in found if documented == status}


def _type(reply: Reply) -> str:
    headers = {name.lower(): value for name, value in reply.headers.items()}
    return content_type(headers) or "unknown"
