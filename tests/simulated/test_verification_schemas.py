"""Every rule of a schema is checked in recorded traffic, told and healed."""

import json
from typing import Any

import pytest
from polyreel.places import JsonObject
from polyreel.providers.base.calling import key_scheme_of
from polyreel.providers.base.provider import Provider
from polyreel.verification.patches import patched
from polyreel.verification.recordings import read_recording
from polyreel.verification.reports import VerificationReport, verify, with_document
from support.deviations import JSON, PROVIDERS, case_of, checked, each_flat
from support.recordings import har

OPEN: JsonObject = {"type": "object", "properties": {"a": {}, "b": {}}}
SCHEMAS: dict[str, tuple[JsonObject, Any, str]] = {
    "const": ({"const": "x"}, "y", "/const"),
    "typed-const": ({"type": "string", "const": "x"}, 5, "/type"),
    "integer": ({"type": "integer"}, 1.5, "/type"),
    "types": ({"type": ["string", "null"]}, 1, "/type"),
    "max-length": ({"type": "string", "maxLength": 2}, "xyz", "/maxLength"),
    "max-items": ({"type": "array", "items": {}, "maxItems": 1}, [1, 2, 3], "/maxItems"),
    "min-items": ({"type": "array", "items": {}, "minItems": 1}, [], "/minItems"),
    "pattern": ({"type": "string", "pattern": "^a"}, "b", "/pattern"),
    "unique": ({"type": "array", "items": {}, "uniqueItems": True}, [1, 1], "/uniqueItems"),
    "multiple": ({"type": "integer", "multipleOf": 5}, 7, "/multipleOf"),
    "exclusive": ({"type": "number", "exclusiveMinimum": 0}, 0, "/exclusiveMinimum"),
    "closed": ({**OPEN, "additionalProperties": False}, {"z": 1}, "/properties"),
    "closed-and-empty": (
        {"type": "object", "additionalProperties": False},
        {"z": 1},
        "/additionalProperties",
    ),
    "not": ({**OPEN, "not": {"required": ["a"]}}, {"a": 1}, "/not"),
    "then": (
        {**OPEN, "if": {"required": ["a"]}, "then": {"required": ["b"]}},
        {"a": 1},
        "/then/required",
    ),
    "dependent": ({**OPEN, "dependentRequired": {"a": ["b"]}}, {"a": 1}, "/dependentRequired"),
    "nullable": (
        {"anyOf": [{"type": "integer", "maximum": 3}, {"type": "null"}]},
        4,
        "/anyOf/0/maximum",
    ),
    "no-option": ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "x", "/anyOf"),
    "no-one-option": ({"oneOf": [{"type": "integer"}, {"type": "null"}]}, "x", "/oneOf"),
    "two-options": ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 1, "/oneOf"),
    "everything-forbidden": ({"items": False, "type": "array"}, [1], "/items"),
    "at-most": (
        {**OPEN, "x-polyreel-rules": [{"at_most": 1, "of": ["/a", "/b"]}]},
        {"a": [1, 2], "b": [3]},
        "/x-polyreel-rules/0",
    ),
    "total": (
        {**OPEN, "x-polyreel-rules": [{"total": "/a/*/s", "equals": "/b"}]},
        {"a": [{"s": "2"}], "b": 5},
        "/x-polyreel-rules/0",
    ),
    "public": (
        {**OPEN, "x-polyreel-rules": [{"public_https": "/a"}]},
        {"a": "http://localhost/x"},
        "/x-polyreel-rules/0",
    ),
    "listed-objects": (
        {"type": "array", "items": OPEN},
        [{"c": 1}, {"c": "x"}, {"c": {"d": []}}],
        "/items/properties",
    ),
    "all-of": (
        {"allOf": [OPEN, {"properties": {"c": {"type": "string"}}}]},
        {"c": 1},
        "/allOf/1/properties/c/type",
    ),
}


def custom(schema: JsonObject) -> Provider:
    """A vendor whose credits have this schema."""
    provider = PROVIDERS[0]
    media = {"application/json": {"schema": {"$ref": "#/components/schemas/S"}}}
    call = {"operationId": "read", "responses": {"200": {"description": "", "content": media}}}
    document = {
        "servers": [{"url": "https://api.example.com"}],
        "paths": {"/s": {"get": call}},
        "components": {"schemas": {"S": schema}},
    }
    return with_document(provider, document)


def reading(value: Any) -> JsonObject:
    """An exchange with that answer."""
    answer = {"status": 200, "headers": JSON, "body": json.dumps(value)}
    return {"method": "GET", "url": "https://api.example.com/s", "request": {}, "response": answer}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_rule_of_a_schema_is_reported_and_healed(name: str) -> None:
    """The pointer is that of the rule itself, through references and choices."""
    schema, value, pointer = SCHEMAS[name]
    provider = custom(schema)
    report = checked([reading(value)], provider)
    assert {one.spec for one in report.differences} == {f"/components/schemas/S{pointer}"}
    assert report.unhealed == ()
    document = patched(provider.contract.document, report.patches[provider.id])
    assert checked([reading(value)], with_document(provider, document)).differences == ()


def test_limits_are_widened_once_to_the_widest() -> None:
    """However many values there are, and in whatever order."""
    provider = custom({"type": "integer", "maximum": 3, "minimum": 2})
    report = checked([reading(value) for value in range(-60, 60)], provider)
    assert [step["value"] for step in report.patches[provider.id]] == [59, -60] or [
        step["value"] for step in report.patches[provider.id]
    ] == [-60, 59]
    assert report.unhealed == ()


def test_halves_of_characters_are_no_accident() -> None:
    """What JSON can escape and no text can hold is replaced."""
    provider = custom({"type": "object", "properties": {"a": {"type": "string"}}})
    line = reading({})
    line["response"]["body"] = '{"a": "\\ud800", "\\udfff": 1}'
    report = checked([line], provider)
    assert [(one.kind, one.traffic) for one in report.differences] == [
        ("member", "/response/body/?")
    ]


@each_flat
def test_requests_that_cannot_be_read_are_reported(provider: Provider) -> None:
    """Cut off JSON, and forms without a boundary or a name."""
    case = case_of(provider)
    case.side("request")["body"] = '{"prompt": '
    found = checked(case.lines).differences
    assert [(one.kind, one.direction, one.patch) for one in found] == [
        ("unreadable", "request", ())
    ]
    upload = next((o for o in provider.contract.operations.values() if o.takes_files), None)
    bodies = {
        "multipart/form-data": "x",
        "multipart/form-data; boundary=b": "--b\r\n\r\nx\r\n--b--\r\n",
    }
    for kind, body in bodies.items() if upload else ():
        constant = key_scheme_of(provider.contract).constants
        asked = {"headers": {"content-type": kind, **constant}, "body": body}
        assert upload
        line = {"method": "POST", "url": upload.server + upload.path, "request": asked}
        assert [one.kind for one in checked([line]).differences] == ["unreadable"]


def test_documented_parameters_are_checked() -> None:
    """Required ones, their types and limits, wherever they stand; and the headers of answers."""
    provider = custom({"type": "object"})
    limit = {
        "name": "limit",
        "in": "query",
        "required": True,
        "schema": {"type": "integer", "maximum": 9},
    }
    trace = {"name": "X-Trace", "in": "header", "required": True, "schema": {"type": "string"}}
    document = json.loads(json.dumps(provider.contract.document))
    document["paths"]["/s"]["parameters"] = [limit]
    document["paths"]["/s"]["get"]["parameters"] = [trace]
    header = {"X-Left": {"schema": {"type": "integer"}}}
    document["paths"]["/s"]["get"]["responses"]["200"]["headers"] = header
    strict = with_document(provider, document)
    bare, wrong = reading({}), reading({})
    wrong["url"] += "?limit=10"
    wrong["request"] = {"headers": {"X-Trace": "1"}}
    wrong["response"]["headers"] = {**JSON, "X-Left": "many"}
    report = checked([bare, wrong], strict)
    assert [(one.entry, one.kind, one.traffic) for one in report.differences] == [
        (1, "required", "/request/query/limit"),
        (1, "required", "/request/headers/x-trace"),
        (2, "maximum", "/request/query/limit"),
        (2, "type", "/response/headers/x-left"),
    ]
    healed = with_document(provider, patched(document, report.patches[provider.id]))
    assert checked([bare, wrong], healed).differences == ()


def test_ranges_of_statuses_and_answers_without_a_body() -> None:
    """`4XX` and `default` document too; a HEAD, a 204 and a body that was not recorded are not
    looked at.
    """
    provider = custom({"type": "object"})
    document = json.loads(json.dumps(provider.contract.document))
    call = document["paths"]["/s"]["get"]
    call["responses"] |= {
        "4XX": {"description": ""},
        "204": {"description": ""},
        "503": call["responses"]["200"],
    }
    call["responses"]["201"] = {"description": ""}
    document["paths"]["/s"]["head"] = {**call, "operationId": "head"}
    loose = with_document(provider, document)

    def lines(status: int, body: str, **more: Any) -> VerificationReport:
        answer = {"status": status, "headers": {}, "body": body}
        return checked([{**reading({}), "response": answer, **more}], loose)

    assert lines(404, "").differences == lines(204, "").differences == ()
    assert lines(200, '{"a": 1}').differences == ()
    assert [(one.kind, one.severity) for one in lines(503, "").differences] == [("empty", "note")]
    assert [one.kind for one in lines(201, "plain").differences] == ["content type"]
    assert lines(201, "plain").unhealed == ()
    unread = har(
        {
            "request": {"method": "GET", "url": reading({})["url"]},
            "response": {"status": 200, "content": {"size": 5}},
        }
    )
    assert verify(read_recording(unread, "x"), [loose]).differences == ()
