"""Refusals in the shape of a face: with our reason, and nothing else that its examples say."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from ..errors import (
    AmbiguousError,
    BudgetError,
    NeverSentError,
    PolyreelError,
    RejectedError,
    RequestError,
)
from ..flows import Reply
from ..ledger.limits import NotYetError
from ..places import Json, JsonObject, Place, get, is_missing, put
from ..providers.base.provider import Provider
from ..providers.base.refusals import ERROR_CODES, ERROR_MESSAGES
from ..serving.answers import (
    JSON_TYPE,
    MESSAGE_PLACES,
    dumps,
    find_error,
    submits,
    unknown_route,
)
from ..serving.calls import INVALID, Call, CallRefusedError, IncomingRequest
from .neutral import Cleaning

UNREACHED: Final = ("unavailable", "bad_gateway", "server_error")
"""Names of documented errors of a vendor that cannot serve just now."""
UNKNOWN: Final = ("paid_outcome_unknown", "timeout", "bad_gateway", "server_error")
"""Names of documented errors after which nobody knows whether there is a job."""
BUSY: Final = ("rate_limited", *UNREACHED)
UNPAYABLE: Final = ("insufficient_credits", "forbidden", *INVALID)
NOT_SERVED: Final = ("not_implemented", "not_found", *INVALID, *UNREACHED)
WORDS: Final = frozenset({*MESSAGE_PLACES, *ERROR_CODES, *ERROR_MESSAGES})
"""Where errors have their code and their text."""
RETRY_SECONDS: Final = 2.0


def refused(call: Call, error: CallRefusedError) -> Reply:
    """The answer to a call that is not accepted."""
    return with_reason(call, error.names, error.message)


def unknown(provider: Provider, request: IncomingRequest) -> Reply:
    """The answer to what is no call of a face: 405 with its methods, or its own 404."""
    if provider.contract.methods(request.path):
        return unknown_route(provider, request.method, request.path)
    call = Call(request, provider, next(iter(submits(provider))))
    text = f"there is no {request.method[:20]} {request.path[:200]}"
    return with_reason(call, ("unknown_route", "not_found"), text)


def refusing(reasons: str) -> CallRefusedError:
    """The error for a call that no vendor behind can serve, with every reason of each."""
    error = CallRefusedError(*INVALID)
    error.message = reasons
    return error


def failed(call: Call, error: PolyreelError) -> Reply:
    """The answer to a call that polyreel could not serve, with its reason.

    What the ledger or the settings of this machine say is not repeated to clients.
    """
    names, text, later = failure_of(error)
    if isinstance(error, NotYetError):
        text += f": wait {later:.0f} s"
    return with_reason(call, names, text, later)


def failure_of(error: PolyreelError) -> tuple[tuple[str, ...], str, float | None]:
    """The names of documented errors for one of polyreel's, the best first; its text for clients;
    and after how many seconds to come again, where that helps.
    """
    text = str(error)
    match error:
        case RejectedError() if error.is_busy:
            return BUSY, text, error.retry_after or RETRY_SECONDS
        case RejectedError():
            return UNPAYABLE if error.unpayable else INVALID, text, None
        case NeverSentError():
            return UNREACHED, text, RETRY_SECONDS
        case AmbiguousError():
            return UNKNOWN, text, None
        case BudgetError():
            return UNPAYABLE, text.partition(": raise the limit")[0], None
        case NotYetError():
            later = error.later.seconds if error.later is not None else RETRY_SECONDS
            return BUSY, "the token begins too many jobs; nothing was sent", later
        case RequestError():
            return INVALID, text, None
        case _:
            return UNREACHED, f"the gateway cannot serve it: {type(error).__name__}", None


def with_reason(
    call: Call, names: Iterable[str], message: str | None, retry_after: float | None = None
) -> Reply:
    """The first documented error with one of these names, with `message` as its text.

    Of its example stay the code, and the text where there is no message: both are the vendor's own
    words for errors of this name.
    """
    contract = call.provider.contract
    operation, shown = find_error(call.provider, call.operation, tuple(names))
    headers = {"content-type": JSON_TYPE}
    if retry_after is not None:
        headers["retry-after"] = str(max(1, round(retry_after)))
    body: JsonObject = json.loads(json.dumps(shown.body)) if isinstance(shown.body, dict) else {}
    cleaning = Cleaning(contract, _is_word)
    found = cleaning.of(body, contract.reply_schema(operation, shown.status))
    if message is not None:
        places = (place for place in MESSAGE_PLACES if not is_missing(get(found, place)))
        put(found, next(places, "message"), message)
    return Reply(shown.status, headers, dumps(found))


def _is_word(at: Place, value: Json) -> bool:
    """Whether a value of an error's example is a code, a kind of error, or its text."""
    named = ".".join(map(str, at))
    is_text = isinstance(value, str | int) and not isinstance(value, bool)
    return is_text and (named in WORDS or (bool(at) and at[-1] in {"type", "code"}))
