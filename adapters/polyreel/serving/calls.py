"""Reads the calls of a vendor's clients: which call of the contract one is, and what it asks for.

A call that the vendor would not accept is refused with a CallRefusedError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import Factory, frozen

from ..depth import json_is_deep
from ..errors import did_you_mean
from ..mapping import media
from ..mapping.rows import Constant
from ..places import Json, JsonObject, find_value, get, is_missing, leaves
from ..plans.reading import Reading, read
from ..providers.base.answers import is_number
from ..providers.base.calling import filled, task_place
from ..providers.base.contract import Contract, Operation
from ..providers.base.provider import Provider
from ..providers.base.schemas import SchemaViolation
from . import forms
from .links import Links

MAX_MESSAGE: Final = 300
SHOWN: Final = 10
"""How many known words a refusal names where none is near."""
MAX_JSON_BYTES: Final = 4_000_000
MAX_JSON_DEPTH: Final = 64
MAX_UPLOAD_BYTES: Final = 150_000_000

# Names of documented errors, the most specific first; the last one is what every vendor has.
INVALID: Final = ("invalid_request",)
MALFORMED: Final = ("invalid_request_body", "invalid_json", *INVALID)
NO_MODEL: Final = ("invalid_request_no_model", "missing_model", *INVALID)
UNKNOWN_MODEL: Final = ("model_not_found", "unsupported_model", *INVALID)


class CallRefusedError(Exception):
    """A call is to be answered with an error.

    It is the first of `names` that the contract documents, with `message` in the place of its text.
    """

    def __init__(self, *names: str, message: str | None = None) -> None:
        super().__init__(*names)
        self.names = names
        self.message = message if message is None else _shortened(message)


def _shortened(text: str) -> str:
    """A long text without its middle: it begins with what was sent and ends with what is wrong."""
    half = MAX_MESSAGE // 2
    return text if len(text) <= MAX_MESSAGE else f"{text[:half]} ... {text[-half:]}"


@frozen
class IncomingRequest:
    """One HTTP request as it arrived."""

    vendor: str
    method: str
    path: str
    """Below the vendor's host, without the query, still quoted."""
    links: Links
    """Makes the links to output files in the answer."""
    number: int
    """Of all requests to this server."""
    request_id: str
    """What the answer's request-id header says, where the vendor documents one."""
    query: Mapping[str, str] = Factory(dict)
    headers: Mapping[str, str] = Factory(dict)
    """By lower-case names."""
    content: bytes = b""


@frozen
class Call:
    """One request, and the call of the contract that it is."""

    request: IncomingRequest
    provider: Provider
    operation: Operation
    parameters: Mapping[str, str] = Factory(dict)
    """Those in the path, unquoted."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers, by lower-case names."""
        return self.request.headers

    @property
    def content(self) -> bytes:
        """The request's body."""
        return self.request.content

    @property
    def task_id(self) -> str:
        """The id of the task that a call is about; empty for other calls."""
        return next(iter(self.task_ids), "")

    @property
    def task_ids(self) -> list[str]:
        """The ids of the tasks that a call is about, without repetitions."""
        where = task_place(self.provider.contract, self.operation)
        if where is None:
            return []
        given = self.parameters if where.place == "path" else self.request.query
        text = given.get(where.name, "")
        return list(dict.fromkeys(text.split(where.separator) if where.separator else [text]))


def full_path(operation: Operation) -> str:
    """The path of a call below its host."""
    return operation.full_path


# -- parameters ------------------------------------------------------------------------------------


def query_parameters(call: Call) -> JsonObject:
    """The documented query parameters of a call, typed, with defaults; wrong ones are refused."""
    return _parameters(call, "query", call.request.query)


def header_parameters(call: Call) -> JsonObject:
    """The documented header parameters of a call, typed, with defaults; wrong ones are refused."""
    return _parameters(call, "header", call.headers)


def _parameters(call: Call, place: str, given: Mapping[str, str]) -> JsonObject:
    contract, found = call.provider.contract, {}
    for parameter in map(contract.resolve, call.operation.spec.get("parameters", ())):
        if parameter["in"] != place:
            continue
        name, schema = parameter["name"], contract.resolve(parameter["schema"])
        text = given.get(name if place == "query" else name.lower())
        if text is not None:
            found[name] = value = forms.typed(text, schema)
            if violations := contract.fits(schema, value):
                raise CallRefusedError(*INVALID, message=f"{name}: {violations[0].message}")
        elif "default" in schema:
            found[name] = schema["default"]
        elif parameter.get("required"):
            raise CallRefusedError(*INVALID, message=f"{name} is missing in the {place}")
    return found


def idempotency_key(call: Call) -> str | None:
    """The idempotency key of a submit, where the vendor honours such keys."""
    policy = call.operation.spec.get("x-polyreel-idempotency", {})
    return call.headers.get(policy["header"].lower()) if policy.get("mode") == "replay" else None


# -- bodies ----------------------------------------------------------------------------------------


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
    """The body as a JSON object, also where it came as a form."""
    parts = form(call)
    return _json_body(call) if parts is None else form_body(call, parts)


def form_body(call: Call, parts: list[forms.FormPart]) -> JsonObject:
    """The JSON object that a form stands for; a form that the contract does not allow is refused.

    A form has one schema for all workflows, so fields of other workflows are checked too.
    """
    value = forms.as_json(parts, call.provider.contract, call.operation)
    if schema := forms.form_schema(call.operation):
        check_body(call, schema, value)
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
    if json_is_deep(call.content, MAX_JSON_DEPTH):
        raise CallRefusedError(*MALFORMED, message="the body is nested too deeply")
    try:
        value = json.loads(call.content.decode())
        # NaN, numbers that no float can hold and lone surrogates pass the parser.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        raise CallRefusedError(*MALFORMED, message="the body is not JSON") from None
    if not isinstance(value, dict):
        raise CallRefusedError(*MALFORMED, message="the body is not a JSON object")
    return value


LIMITS: Final = frozenset({"enum", "minimum", "maximum", "minItems", "maxItems", "at_most"})
"""The kinds of violations that are about how much, or which."""


def read_submit(call: Call, body: JsonObject) -> Reading:
    """A submit's body in the shared words, checked as the vendor checks it."""
    provider = call.provider
    path = filled(creating(provider, call.operation).path, call.parameters, slashes=True)
    routes = [
        route
        for route in provider.routes_of_body(body, path)
        if all(row.matches(body) for row in route.constants)
    ]
    if not routes:
        raise _no_route(provider, path, body)
    try:
        check_body(call, routes[0].schema, body)
        reading = read(body, provider, path)
    except ValueError as error:  # two spellings that disagree, numbers beyond all limits
        raise CallRefusedError(*INVALID, message=str(error)) from None
    _refuse_empty_links(reading, body)
    return reading


def _refuse_empty_links(reading: Reading, body: JsonObject) -> None:
    """Refuse a URL without a character, whatever else a vendor checks of one.

    Also one that is documented beside the one that is read, such as by an alias.
    """
    contract = reading.provider.contract
    schema = contract.schema(reading.route.schema)
    for at, value in leaves(body):
        parts = at.split("/")[1:]
        if value == "" and _is_link(contract, schema, parts):
            raise CallRefusedError(*INVALID, message=f"the URL of the {parts[0]} is empty")
    subjects = [one for one in reading.request.get("elements", ()) if isinstance(one, dict)]
    for field in (*media.FIELDS, "callback_url"):
        for holder in (reading.request, *subjects):
            value = holder.get(field)
            if "" in (value if isinstance(value, list) else [value]):
                raise CallRefusedError(*INVALID, message=f"the URL of the {field} is empty")


def _is_link(contract: Contract, schema: JsonObject, parts: Sequence[str]) -> bool:
    """Whether a schema has a URL at a place, in one of its forms."""
    node = contract.resolve(schema)
    forms = [one for key in ("anyOf", "oneOf", "allOf") for one in node.get(key, ())]
    if any(_is_link(contract, one, parts) for one in forms):
        return True
    if not parts:
        return bool(node.get("format") == "uri")
    first, *rest = parts
    inner = node.get("items") if first.isdigit() else node.get("properties", {}).get(first)
    return isinstance(inner, dict) and _is_link(contract, inner, rest)


def check_body(call: Call, schema: str, body: JsonObject) -> None:
    """Refuse a body that the vendor would not accept under a named schema.

    A limit that is only inferred refuses nothing, as the vendor may take more. But no vendor makes
    a clip of less than no seconds.
    """
    violations = call.provider.contract.accepts(schema, body)
    sure = [
        one
        for one in violations
        if not (one.inferred and one.kind in LIMITS) or _is_negative(one, body)
    ]
    if sure:
        raise _refused(sure[0], body)


def _is_negative(violation: SchemaViolation, body: JsonObject) -> bool:
    """Whether a number is not above 0 where all that the contract names are."""
    value, limit = find_value(body, violation.path), violation.limit
    named = limit if isinstance(limit, list) else [limit]
    numbers = [one for one in [value, *named] if is_number(one)]
    return len(numbers) == len(named) + 1 and value <= 0 < min(numbers[1:])


def creating(provider: Provider, operation: Operation) -> Operation:
    """The plain create call of a submit: that with the same bodies, where the submit streams."""
    schemas = operation.request_schemas
    for other in provider.contract.operations.values():
        if other.role == "create" and other.request_schemas == schemas:
            return other
    return operation


def _refused(violation: SchemaViolation, body: JsonObject) -> CallRefusedError:
    place = ".".join(map(str, violation.path))
    names: tuple[str, ...] = INVALID
    if place == "model":
        names = _model_errors(body["model"])
    elif not place and violation.kind == "required" and violation.limit == "model":
        names = NO_MODEL
    message = f"{place}: {violation.message}" if place else violation.message
    return CallRefusedError(*names, message=message)


def _no_route(provider: Provider, path: str, body: JsonObject) -> CallRefusedError:
    """Why a body belongs to none of the routes behind a path."""
    rows = [row for route in provider.routes if path == route.path for row in route.constants]
    row = next((row for row in rows if not row.matches(body)), Constant("model", "", field="model"))
    value, is_model = get(body, row.native), row.field == "model"
    if is_missing(value):
        missing = NO_MODEL if is_model else INVALID
        return CallRefusedError(*missing, message=f"{row.native} is missing")
    names = _model_errors(value) if is_model else INVALID
    known = sorted({str(one.value) for one in rows if one.native == row.native})
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    hint = did_you_mean(value, known) or f"; there are {', '.join(known[:SHOWN])}{more}"
    text = f"{row.native}: {json.dumps(value)} is not known{hint if known else ''}"
    return CallRefusedError(*names, message=text)


def _model_errors(model: Json) -> tuple[str, ...]:
    return UNKNOWN_MODEL if isinstance(model, str) else MALFORMED
