"""Takes requests in: which call of the contract they are, and what they ask for, or why they are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from ..mapping.rows import Constant
from ..places import JsonObject, get, is_missing
from ..plans.reading import Reading, read
from ..providers.base.contract import Operation
from ..providers.base.provider import Provider
from ..providers.base.schemas import SchemaViolation
from . import forms
from .links import Links

LONGEST_MESSAGE: Final = 300
MAX_JSON_BYTES: Final = 4_000_000
MAX_JSON_DEPTH: Final = 64
MAX_UPLOAD_BYTES: Final = 150_000_000

# Names of documented errors, the most telling first; the last one is what every vendor has.
INVALID: Final = ("invalid_request",)
MALFORMED: Final = ("invalid_request_body", "invalid_json", *INVALID)
NO_MODEL: Final = ("invalid_request_no_model", "missing_model", *INVALID)
UNKNOWN_MODEL: Final = ("model_not_found", "unsupported_model", *INVALID)


class CallRefusedError(Exception):
    """A call is answered with an error: the first of `names` that is documented, with its own text or `message`."""

    def __init__(self, *names: str, message: str | None = None) -> None:
        super().__init__(*names)
        self.names = names
        self.message = message if message is None else _shortened(message)


def _shortened(text: str) -> str:
    """A text without its middle where that is long: what was sent stands in front, what is wrong with it behind."""
    half = LONGEST_MESSAGE // 2
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:half]} ... {text[-half:]}"


@frozen
class IncomingRequest:
    """One request as it arrived, with its path and query apart."""

    vendor: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case names."""
    content: bytes
    links: Links
    connected: bool
    """Whether its connection was asked for, and accepted, before."""


@frozen
class Call:
    """One request, as the call of the contract that it is."""

    vendor: str
    provider: Provider
    operation: Operation
    parameters: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case names."""
    content: bytes
    links: Links
    number: int
    """Of all requests."""

    @property
    def task_id(self) -> str:
        """The one path parameter of calls about a task."""
        return next(iter(self.parameters.values()), "")


# -- which call --------------------------------------------------------------------------------------


def full_path(operation: Operation) -> str:
    """The path of a call below its host."""
    return operation.full_path


def match(provider: Provider, method: str, path: str) -> tuple[Operation, Mapping[str, str]] | None:
    """The call for a method and a (still quoted) path, and its path parameters."""
    return provider.contract.match(method, path)


def call_of(
    request: IncomingRequest,
    provider: Provider,
    operation: Operation,
    parameters: Mapping[str, str],
    number: int,
) -> Call:
    """A request as the call that it is."""
    query, headers, content, links = request.query, request.headers, request.content, request.links
    return Call(
        request.vendor, provider, operation, parameters, query, headers, content, links, number
    )


def documented(call: Call, place: str) -> JsonObject:
    """The documented parameters of a call in its `query` or `header`, typed, with defaults; wrong ones are refused."""
    contract, found = call.provider.contract, {}
    given = call.query if place == "query" else call.headers
    for parameter in map(contract.resolve, call.operation.spec.get("parameters", ())):
        if parameter["in"] != place:
            continue
        name, schema = parameter["name"], contract.resolve(parameter["schema"])
        text = given.get(name if place == "query" else name.lower())
        if text is not None:
            found[name] = value = forms.typed(text, schema)
            if breaches := contract.fits(schema, value):
                raise CallRefusedError(*INVALID, message=f"{name}: {breaches[0].message}")
        elif "default" in schema:
            found[name] = schema["default"]
    return found


# -- what it asks for --------------------------------------------------------------------------------


def form(call: Call) -> list[forms.FormPart] | None:
    """The parts of a form; None where the body is no form."""
    if _content_type(call) != "multipart/form-data":
        return None
    if not call.operation.takes_files:
        raise CallRefusedError(*INVALID, message="this call takes application/json only")
    try:
        return forms.parse(call.content, call.headers["content-type"])
    except ValueError as error:
        raise CallRefusedError(*INVALID, message=str(error)) from None


def body(call: Call) -> JsonObject:
    """The body as a JSON object, also where it came as a form: that must be one that the contract documents."""
    parts = form(call)
    if parts is None:
        return _json_body(call)
    value = forms.as_json(parts, call.provider.contract, call.operation)
    if schema := forms.form_schema(call.operation):
        # Of the fields that the workflow asked for does not know, too: a form has one schema for all workflows.
        check(call, schema, value)
    return value


def _content_type(call: Call) -> str:
    return call.headers.get("content-type", "").partition(";")[0].strip().lower()


def _json_body(call: Call) -> JsonObject:
    kind = _content_type(call)
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise CallRefusedError(*MALFORMED, message=f"{kind} is not taken, application/json is")
    if len(call.content) > (
        MAX_UPLOAD_BYTES if call.operation.role.startswith("upload") else MAX_JSON_BYTES
    ):
        raise CallRefusedError("too_large", *INVALID, message="the body is too large")
    try:
        value = json.loads(call.content.decode())
        # NaN, numbers that no float can hold and lone surrogates pass the parser.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise CallRefusedError(*MALFORMED, message="the body is not JSON") from None
    if not _is_shallow(value, MAX_JSON_DEPTH):
        raise CallRefusedError(*MALFORMED, message="the body is nested too deeply")
    if not isinstance(value, dict):
        raise CallRefusedError(*MALFORMED, message="the body is not a JSON object")
    return value


def _is_shallow(value: Any, depth: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    return depth > 0 and all(
        _is_shallow(item, depth - 1)
        for item in (value.values() if isinstance(value, dict) else value)
    )


def understand(call: Call, body: JsonObject) -> Reading:
    """A submit's body in the shared words, checked as the vendor checks it."""
    provider, path = call.provider, creating(call.provider, call.operation).path
    routes = list(provider.routes_of_body(body, path))
    if not routes:
        raise _stranger(provider, path, body)
    try:
        check(call, routes[0].schema, body)
        return read(body, provider, path)
    except ValueError as error:  # two spellings that disagree, numbers beyond all limits
        raise CallRefusedError(*INVALID, message=str(error)) from None


def check(call: Call, schema: str, body: JsonObject) -> None:
    """Refuse a body that the vendor would not accept under a named schema."""
    if breaches := call.provider.contract.accepts(schema, body):
        raise _refused(breaches[0], body)


def creating(provider: Provider, operation: Operation) -> Operation:
    """The plain create of a submit; a streaming one is the twin with the same bodies."""
    twins = provider.contract.operations.values()
    schemas = operation.request_schemas
    return next(
        (one for one in twins if one.role == "create" and one.request_schemas == schemas), operation
    )


def _refused(breach: SchemaViolation, body: JsonObject) -> CallRefusedError:
    place = ".".join(map(str, breach.path))
    names: tuple[str, ...] = INVALID
    if place == "model":
        names = _model_names(body["model"])
    elif not place and breach.kind == "required" and breach.limit == "model":
        names = NO_MODEL
    return CallRefusedError(
        *names, message=f"{place}: {breach.message}" if place else breach.message
    )


def _stranger(provider: Provider, path: str, body: JsonObject) -> CallRefusedError:
    """Why a body belongs to none of the routes behind a path."""
    rows = [
        row for route in provider.routes if path == route.operation.PATH for row in route.constants
    ]
    row = next((row for row in rows if not row.matches(body)), Constant("model", "", field="model"))
    value = get(body, row.native)
    if is_missing(value):
        return CallRefusedError(
            *(NO_MODEL if row.field == "model" else INVALID), message=f"{row.native} is missing"
        )
    names = _model_names(value) if row.field == "model" else INVALID
    return CallRefusedError(*names, message=f"{row.native}: {json.dumps(value)} is not known")


def _model_names(value: Any) -> tuple[str, ...]:
    return UNKNOWN_MODEL if isinstance(value, str) else MALFORMED
