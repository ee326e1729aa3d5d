"""Whether an answer to a paid call proves that nothing was accepted. Knows no vendor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from ...errors import BadReplyError
from ...flows import Reply
from ...places import Json, JsonObject
from .answers import first, is_number, printable
from .contract import Contract, Operation

NOT_ACCEPTED: Final = frozenset({400, 401, 402, 403, 404, 409, 413, 422, 429})
"""HTTP statuses that prove a refusal, where a contract does not list its own."""
ERROR_CODES: Final = ("error.code", "code")
"""Where the usual forms of an error have its code."""
ERROR_MESSAGES: Final = ("error.message", "message", "msg", "error", "detail")
"""Where the usual forms of an error have its text."""
TASK_NAMES: Final = frozenset({"id", "taskid", "jobid", "generationid", "videoid", "predictionid"})
"""Names, in small letters and without dashes, below which an error can have the id of a task."""


@frozen
class Refusal:
    """What an answer with an error says about acceptance."""

    is_proof: bool
    """Whether it proves that nothing was accepted, and so that nothing was billed."""
    reason: str = ""
    """Why an answer with the status of a refusal proves nothing, to follow its own text."""
    task: str | None = None
    """The id of the task that it names."""


def read_refusal(
    contract: Contract, operation: Operation, reply: Reply, code: str | None, ids: tuple[str, ...]
) -> Refusal:
    """Whether an error, whose code is `code`, proves that nothing was accepted.

    `ids` are the dotted places where answers of this vendor have the id of a task. An error proves
    it where the contract says so of its status, or of its status and code, where it has the
    form that the contract gives to errors, and where it names no task. A gateway's page does not:
    the vendor behind the gateway may have accepted the job before.
    """
    try:
        body = reply.json() if reply.content.strip() else None
    except BadReplyError:
        body = reply.content.decode("utf-8", "replace")
    task = next(_tasks(body, _task_names(ids)), None)
    if not is_refusal(operation, reply.status, code):
        return Refusal(False, task=task)
    if task is not None:
        return Refusal(False, f", and names the task {printable(task[:80])}", task)
    if not has_own_form(contract, operation, reply.status, body):
        return Refusal(False, ", which is not in the form of the vendor's own errors")
    return Refusal(True)


def says_error(contract: Contract, reply: Reply) -> bool:
    """Whether a reply with a 2xx status is an error: `x-polyreel-ok` says which values are none."""
    rule = contract.document.get("x-polyreel-ok")
    if not rule:
        return False
    try:
        body = reply.json()
    except BadReplyError:
        return False
    said = first(body, (rule["place"],)) if isinstance(body, dict) else None
    return said is not None and said not in rule["values"]


def is_refusal(operation: Operation, status: int, code: str | None) -> bool:
    """Whether the contract says that errors of this status, or with this code, are refusals."""
    if status in operation.spec.get("x-polyreel-not-accepted", NOT_ACCEPTED):
        return True
    pairs = operation.spec.get("x-polyreel-not-accepted-codes", {})
    codes = {str(one).casefold() for one in pairs.get(str(status), ())}
    return code is not None and code.casefold() in codes


def has_own_form(contract: Contract, operation: Operation, status: int, body: Json) -> bool:
    """Whether a body has the form that the contract gives to errors of a status.

    Where the contract describes none of this status, any of the call's other errors will do.
    """
    documented = contract.resolve(operation.spec["responses"].get(str(status)))
    if documented is not None and not documented.get("content"):
        return body is None
    if not isinstance(body, dict):
        return False
    others = sorted(int(one) for one in operation.spec["responses"] if int(one) >= 400)
    described = [one for one in (status, *others) if contract.reply_schema(operation, one)]
    return any(
        contract.is_reply(operation, one, body)
        and (_says_something(body) or not contract.is_reply(operation, one, {}))
        for one in (described[:1] if status in described else described)
    )


def _says_something(body: JsonObject) -> bool:
    """Whether a body has a code or a text at one of the usual places.

    A schema that demands nothing takes any object, also that of a gateway.
    """
    return first(body, (*ERROR_CODES, *ERROR_MESSAGES)) is not None


def _task_names(ids: tuple[str, ...]) -> frozenset[str]:
    """The names below which this vendor's answers have the id of a task."""
    return TASK_NAMES | {_plain(place.rpartition(".")[2]) for place in ids}


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _tasks(value: Json, names: frozenset[str]) -> Iterator[str]:
    """Every id of a task in a value, also in JSON that stands in a text of it."""
    for name, item in _members(value):
        if _plain(name) in names and (item or is_number(item)):
            yield str(item)
        yield from _tasks(item, names)


def _members(value: Json) -> Iterator[tuple[str, Json]]:
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            value = Reply(200, {}, value.encode("utf-8", "replace")).json()
        except BadReplyError:
            return
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from (("", item) for item in value)
