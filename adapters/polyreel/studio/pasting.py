"""What somebody pastes: a vendor's body, a shared request, a curl command, a HAR file or Python.

Nothing is sent and nothing is kept. Keys in headers and addresses are neither shown nor handed on.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from ..depth import json_is_deep
from ..errors import RequestError
from ..mapping.workflows import REQUESTS
from ..places import Json, JsonObject
from ..plans.requests import check_request
from ..providers.base.contract import Contract
from ..providers.base.registry import all_providers
from ..verification.bodies import FORM, form_fields, form_value
from ..verification.documents import UnreadableDocumentError, from_json
from ..verification.exchanges import RecordedExchange, content_type
from ..verification.recordings import read_recording
from ..verification.redaction import HIDDEN, NAMES, Redactor, redactor_of
from .candidates import NO_HOST, PastedCandidate, candidates, owner_of, stranger_of
from .curlcommands import CurlCommand, UnreadableCommandError, curl_commands, is_curl
from .pythontexts import NotPythonError, PythonRequest, python_calls, python_value

MOST_BYTES: Final = 1_000_000
MOST_DEPTH: Final = 32
MOST_VALUES: Final = 1000
MOST_MEMBERS: Final = 200
LONGEST_NAME: Final = 200
"""The largest bodies that vendors document have some dozens of members with short names."""
MOST_CALLS: Final = 20
LONG_SECRET: Final = 12
"""Characters of a key that is looked for within texts; a shorter one can be an everyday word."""
KNOWN: Final = (
    "paste a vendor's JSON body, a shared request, a curl command, a HAR file, "
    "or a call with requests in Python"
)

PastedKind = Literal["request", "body", "curl", "recording", "python", "nothing"]


@frozen
class PastedCall:
    """One call, or one body, of what was pasted."""

    title: str
    """Which it is, such as `POST https://host/path`; keys in the address are hidden."""
    body: JsonObject = field(factory=dict, repr=False)
    candidates: tuple[PastedCandidate, ...] = ()
    """The vendors and models that it can be for, the likeliest first."""
    problems: tuple[str, ...] = ()
    """Why it cannot be read, or why it is for no vendor."""


@frozen
class Pasted:
    """What was recognised."""

    kind: PastedKind
    message: str
    """What it is, or why it is not recognised, in one sentence."""
    calls: tuple[PastedCall, ...] = ()
    request: JsonObject | None = None
    """The shared request, where it is one; also where it has problems."""
    problems: tuple[str, ...] = ()
    """What is wrong with the shared request."""


class _UnreadableError(Exception):
    """What was pasted cannot be read. The text says why."""


def recognised(text: str) -> Pasted:
    """Find out what was pasted, and whose it is. It raises nothing: `message` says what is wrong.

    >>> body = '{"model": "kling-v3-text-to-video", "prompt": "a cat", "duratoin": 5}'
    >>> best = recognised(body).calls[0].candidates[0]
    >>> best.vendor, best.model, best.request["prompt"]
    ('evolink', 'kling-v3', 'a cat')
    >>> best.left[0].place, best.left[0].near
    ('/duratoin', ('duration',))
    """
    try:
        content = text.encode("utf-8", "replace")
        if len(content) > MOST_BYTES:
            raise _UnreadableError(f"{len(content)} bytes are too many; {MOST_BYTES} are taken")
        return _recognised(content.decode().strip().removeprefix("\ufeff"))
    except (_UnreadableError, UnreadableCommandError, NotPythonError) as error:
        return Pasted("nothing", f"{error}")
    except RequestError as error:  # of a recording
        return Pasted("nothing", error.problems[0])


def _recognised(text: str) -> Pasted:
    if not text:
        raise _UnreadableError(f"nothing was pasted: {KNOWN}")
    if text[0] in "{[":
        return _value(_json_or_python(text))
    if is_curl(text):
        return _curl(text)
    found = python_calls(text)
    if found:
        calls = [_python_call(number, one) for number, one in enumerate(found[:MOST_CALLS], 1)]
        return _calls_found("python", "Python", calls)
    raise _UnreadableError(f"this is not recognised: {KNOWN}")


def _json_or_python(text: str) -> Any:
    """A JSON value, or a literal of Python that stands for one."""
    try:
        return from_json(text)
    except UnreadableDocumentError as error:
        try:
            return from_json(json.dumps(python_value(text)))
        except (NotPythonError, UnreadableDocumentError):
            raise _UnreadableError(str(error)) from None


# -- JSON ------------------------------------------------------------------------------------------


def _value(value: Json) -> Pasted:
    if isinstance(value, dict) and value.keys() & {"log", "interactions"}:
        return _recording(value)
    items = value if isinstance(value, list) else [value]
    bodies = [one for one in items if isinstance(one, dict)]
    if not bodies or len(bodies) < len(items):
        raise _UnreadableError(f"this JSON is no object: {KNOWN}")
    if len(bodies) > 1:
        calls = [
            _of_body(f"body {number}", one) for number, one in enumerate(bodies[:MOST_CALLS], 1)
        ]
        return Pasted("body", _counted(len(bodies), "bodies", len(calls)), tuple(calls))
    body = bodies[0]
    if isinstance(inner := body.get("request"), dict) and body.keys() <= GATEWAY_MEMBERS:
        body = inner
    call = _of_body("the body", body)
    return _best_meaning(call) if call.body else _calls_found("body", "a body", [call])


GATEWAY_MEMBERS: Final = frozenset({"request", "vendors", "allow"})
"""What a call for a job to a gateway has."""


def _best_meaning(call: PastedCall) -> Pasted:
    """A body as the shared request, or as a vendor's, or as both."""
    body = call.body  # without keys
    request: JsonObject | None = None
    problems: tuple[str, ...] = ()
    try:
        request = check_request(body).fields
    except RequestError as error:
        problems = tuple(error.problems)
    fitting = [one for one in call.candidates if one.fits]
    if request is not None and (not fitting or request.get("model") in {None, *_families()}):
        also = f"; it can be a body of {_names(fitting)}, too" if fitting else ""
        return Pasted("request", f"a shared request{also}", (call,), request)
    if request is not None:
        return _calls_found("body", "a body", [call])  # its model is a vendor's own word
    shared = len(body.keys() & _shared_fields())
    best = max((_native_members(one) for one in call.candidates), default=0)
    if shared > best and shared * 2 >= len(body):
        text = f"a shared request with {len(problems)} mistake(s)"
        return Pasted("request", text, (call,), body, problems)
    return _calls_found("body", "a body", [call])


def _native_members(one: PastedCandidate) -> int:
    """How many members of a body its vendor knows."""
    unknown = {left.place.split("/")[1] for left in one.left if not left.is_known}
    return len(one.body.keys() - unknown)


@cache
def _families() -> frozenset[str]:
    """The model families that somebody sells."""
    return frozenset(route.model for one in all_providers().values() for route in one.routes)


@cache
def _shared_fields() -> frozenset[str]:
    contract = Contract.load("polyreel")
    return frozenset(
        name for model in REQUESTS.values() for name in contract.schema(model)["properties"]
    )


def _of_body(title: str, body: JsonObject) -> PastedCall:
    """A body without an address."""
    if problem := _body_problem(body):
        return PastedCall(title, problems=(problem,))
    body = _without_secrets(body, frozenset())
    exchange = RecordedExchange(1, "POST", "", {"content-type": "application/json"}, b"")
    found, problems = candidates(exchange, body, Redactor())
    return PastedCall(title, body, found, problems)


# -- calls -----------------------------------------------------------------------------------------


def _curl(text: str) -> Pasted:
    commands = curl_commands(text)
    calls = [
        _curl_call(number, one)
        for number, one in enumerate(commands, 1)
        if one.data or one.form or one.absent
    ]
    if not calls:
        raise _UnreadableError("this curl command sends no body, so it asks for no job")
    return _calls_found("curl", "curl", calls)


def _curl_call(number: int, one: CurlCommand) -> PastedCall:
    if one.absent:
        problem = "the body is in a file, which was not pasted: paste its content, too"
        return PastedCall(f"{one.method} {_shown_address(one.url)}", problems=(problem,))
    exchange = RecordedExchange(
        number,
        one.method,
        _address(one.url),
        one.headers,
        one.body.encode("utf-8", "replace"),
        form=tuple(one.form) or None,
        recording="curl",
    )
    return _of_exchange(exchange)


def _python_call(number: int, one: PythonRequest) -> PastedCall:
    headers = {"content-type": "application/json", **one.headers}
    content = json.dumps(one.body).encode()
    return _of_exchange(RecordedExchange(number, one.method, _address(one.url), headers, content))


def _address(text: str) -> str:
    """An address that can be looked at: one without a host, or with a variable, has none."""
    bare = text.strip()
    if "://" not in bare:
        path = "/" + bare.partition("/")[2]
        host = re.match(r"[a-z0-9.-]+\.[a-z]+(?=[/:]|$)", bare)
        bare = f"https://{host[0] if host else NO_HOST}{path}"
    try:
        parts = urlsplit(bare)
        if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
            return bare
    except ValueError:
        pass
    return f"https://{NO_HOST}/" + bare.partition("://")[2].partition("/")[2]


def _shown_address(url: str) -> str:
    return Redactor().text(_address(url))[:200]


def _recording(document: Mapping[str, Any]) -> Pasted:
    exchanges = read_recording(json.dumps(document).encode(), "the recording")
    submits = [one for one in exchanges if one.method == "POST" and owner_of(one)[1]]
    calls = [_of_exchange(one) for one in submits[:MOST_CALLS]]
    # Of strangers' calls, those are meant that some vendor's path or body speaks for.
    calls = [one for one in calls if one.candidates or one.problems]
    if not any(one.candidates for one in calls):
        found = f"{len(exchanges)} calls, none of which makes a job at a vendor that is known"
        return Pasted("recording", found, tuple(calls))
    text = _counted(len(submits), f"of {len(exchanges)} calls can make a job", len(calls))
    return Pasted("recording", text, tuple(calls))


def _of_exchange(exchange: RecordedExchange) -> PastedCall:
    """A call with an address."""
    bare = evolve(exchange, request_body=None, response_body=None, form=None)
    redactor = redactor_of([bare])
    title = f"{exchange.method} {redactor.text(exchange.url)[:200]}"
    try:
        body = _json_body(exchange)
    except UnreadableDocumentError as error:
        return PastedCall(title, problems=(f"its body: {error}",))
    if problem := _body_problem(body):
        return PastedCall(title, problems=(problem,))
    body = _without_secrets(body, redactor.known)
    found, problems = candidates(exchange, body, redactor)
    owner, is_submit = owner_of(exchange)
    if owner is not None and not is_submit:
        text = f"no call that makes a job at {owner.id}, by its address"
        problems = (text, *problems)
    elif (host := stranger_of(exchange.url)) is not None:
        whose = ": the path and the body alone say whose call it can be" if found else ""
        problems = (
            f"{redactor.text(host)} is the host of no vendor that is known{whose}",
            *problems,
        )
    return PastedCall(title, body, found, problems)


def _json_body(exchange: RecordedExchange) -> JsonObject:
    """The body as a JSON object, also where it is a form."""
    if exchange.form is not None or content_type(exchange.request_headers) == FORM:
        return form_value({}, (), form_fields(exchange))
    if not exchange.request_body:
        raise UnreadableDocumentError("there is none")
    if json_is_deep(exchange.request_body, MOST_DEPTH):
        raise UnreadableDocumentError("nested too deeply")
    value = from_json(exchange.request_body)
    if not isinstance(value, dict):
        raise UnreadableDocumentError("not a JSON object")
    return value


# -- checks ----------------------------------------------------------------------------------------


def _body_problem(body: JsonObject) -> str | None:
    """Why a body is not looked at, or None."""
    if not body:
        return "the body is empty"
    level: list[Any] = [body]
    depth = values = names = 0
    while level := [one for one in level if isinstance(one, dict | list)]:
        objects = [one for one in level if isinstance(one, dict)]
        depth, names = depth + 1, names + sum(map(len, objects))
        if any(len(name) > LONGEST_NAME for one in objects for name in one):
            return f"a member's name has more than {LONGEST_NAME} characters"
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
        values += len(level)
        if any(isinstance(one, float) and not math.isfinite(one) for one in level):
            return "a number is too large"
        if depth > MOST_DEPTH:
            return "the body is nested too deeply"
        if values > MOST_VALUES or names > MOST_MEMBERS:
            return f"the body has more than {MOST_MEMBERS} members, or {MOST_VALUES} values"
    return None


def _without_secrets(body: JsonObject, known: Iterable[str]) -> JsonObject:
    """A body without the keys of its call, and without members that are keys by their names."""
    secrets = sorted((one for one in known if len(one) >= LONG_SECRET), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, secrets)) or r"(?!)")

    def clean(value: Json, name: str) -> Json:
        if isinstance(value, dict):
            return {pattern.sub(HIDDEN, key): clean(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [clean(item, name) for item in value]
        if not isinstance(value, str):
            return value
        is_secret = NAMES.search(name) and name not in _documented_names()
        return HIDDEN if is_secret else pattern.sub(HIDDEN, value)

    return {pattern.sub(HIDDEN, name): clean(item, name) for name, item in body.items()}


@cache
def _documented_names() -> frozenset[str]:
    """What the members of bodies are called, by the specs: none of them is a key."""
    return frozenset(
        place.rpartition(".")[2]
        for provider in all_providers().values()
        for schema in {route.schema for route in provider.readable_routes}
        for place in provider.contract.properties(schema)
    )


# -- words -----------------------------------------------------------------------------------------


def _calls_found(kind: PastedKind, what: str, calls: Sequence[PastedCall]) -> Pasted:
    """What to say of one call, or of several."""
    if len(calls) > 1:
        return Pasted(kind, f"{what}: {len(calls)} calls", tuple(calls))
    [call] = calls
    if not call.candidates:
        reason = "; ".join(call.problems) or "no vendor has such a body"
        return Pasted(kind, f"{what}: {reason}", (call,))
    best = call.candidates[0]
    fitting = [one for one in call.candidates if one.fits]
    others = f"; it also fits {_names(fitting[1:])}" if len(fitting) > 1 else ""
    mark = "" if best.fits else ", with differences"
    text = f"{what} for {best.vendor} {best.model} {best.workflow}{mark}{others}"
    return Pasted(kind, text, (call,))


def _names(found: Sequence[PastedCandidate]) -> str:
    names = dict.fromkeys(f"{one.vendor} {one.model}" for one in found)
    return ", ".join([*names][:3]) + (" and others" if len(names) > 3 else "")


def _counted(count: int, what: str, shown: int) -> str:
    more = f"; the first {shown} are shown" if shown < count else ""
    return f"{count} {what}{more}"
