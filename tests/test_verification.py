"""Recorded traffic against the specs: clean where it fits, and every planted deviation found, shown and healed."""

import base64
import copy
import gzip
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import frozen
from polyreel.errors import MissingExtraError, PolyreelError, RequestError
from polyreel.places import JsonObject, PlaceError, find_value, pointer_parts, pointer_text
from polyreel.providers.base.provider import Provider
from polyreel.simulator import Simulator
from polyreel.verification.patches import patched
from polyreel.verification.recordings import read_recording
from polyreel.verification.redaction import Redactor, redactor_of
from polyreel.verification.reports import VerificationReport, verify, with_document
from support.recordings import FORMS, KEY, as_cassette, as_har, as_json_lines, recorded, vendors

PROVIDERS = vendors()
TRAFFIC = {provider.id: recorded(provider) for provider in PROVIDERS}
STREAMING = [
    provider
    for provider in PROVIDERS
    if any(o.role == "stream" for o in provider.contract.operations.values())
]
each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)


def checked(
    lines: Sequence[JsonObject], *providers: Provider, **options: Any
) -> VerificationReport:
    """What verify says of lines of our own form."""
    return verify(
        read_recording(as_json_lines(lines), "traffic"), providers or PROVIDERS, **options
    )


# -- what fits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
@each_vendor
def test_traffic_from_the_simulator_fits(provider: Provider, form: str) -> None:
    """In every form of recording, each call is matched, and nothing differs."""
    exchanges = read_recording(FORMS[form](TRAFFIC[provider.id]), form)
    report = verify(exchanges, PROVIDERS)
    assert report.differences == ()
    assert report.unmatched == ()
    assert report.matched == len(exchanges) > 30
    assert report.fits


@each_vendor
def test_every_form_reads_the_same(provider: Provider) -> None:
    """Method, URL, bodies and status do not depend on the recorder."""
    lines = [
        one
        for one in TRAFFIC[provider.id]
        if "encoding" not in {**one["request"], **one["response"]}
    ]
    facts = []
    for form, write in FORMS.items():
        found = read_recording(write(lines), form)
        facts.append(
            [(x.number, x.method, x.url, x.request_body, x.status, x.response_body) for x in found]
        )
    assert facts == [facts[0]] * len(FORMS)


@each_vendor
def test_documented_errors_are_agreement(provider: Provider) -> None:
    """A body that the spec forbids and the vendor refuses is no difference; one that it accepts is a note."""
    simulator = Simulator(seed=1)
    lines = recorded(provider, simulator)[:1]
    refused = copy.deepcopy(lines[0])
    name, (status, example) = next(
        (name, (status, body))
        for status, _, name, body in provider.contract.replies(submit(provider))
        if status == 400
    )
    assert name
    refused["response"] = {"status": status, "headers": JSON, "body": json.dumps(example)}
    accepted = checked([refused])
    assert [one.kind for one in accepted.differences] == ["refused"]
    assert accepted.fits
    refused["request"]["body"] = "{}"
    assert checked([refused]).differences == ()


def submit(provider: Provider) -> Any:
    return next(o for o in provider.contract.operations.values() if o.role == "create")


# -- what does not -------------------------------------------------------------------------------

JSON = {"content-type": "application/json"}
Expected = tuple[str, str, str]
"""Kind, pointer in the traffic, end of the pointer in the spec."""


@frozen
class Case:
    """A submit, and a query of its end, to plant something in."""

    provider: Provider
    lines: list[JsonObject]

    def side(self, name: str) -> JsonObject:
        """The request of the submit, or the response of the query."""
        found: JsonObject = self.lines[0 if name == "request" else 1][name]
        return found

    def change(self, name: str, change: Callable[[JsonObject], Any]) -> None:
        """Change a JSON body."""
        side = self.side(name)
        body = json.loads(side["body"])
        change(body)
        side["body"] = json.dumps(body)


def case_of(provider: Provider) -> Case:
    lines = copy.deepcopy(TRAFFIC[provider.id])
    query = provider.contract.operation("get")
    assert query is not None
    head = query.path.partition("{")[0]
    start = next(i for i, one in enumerate(lines) if plain_submit(one))
    gets = [one for one in lines[start + 1 : start + 4] if head in one["url"]]
    assert len(gets) == 3
    return Case(provider, [lines[start], gets[-1]])


def plain_submit(one: JsonObject) -> bool:
    """Text alone, with a length and a shape."""
    if one["method"] != "POST":
        return False
    body = json.loads(one["request"]["body"])
    return {"prompt", "duration", "aspect_ratio"} <= body.keys() and not any(
        "image" in name or "video" in name for name in body
    )


Plant = Callable[[Case], list[Expected] | None]
PLANTS: dict[str, Plant] = {}


def plant(function: Plant) -> Plant:
    """Register a deviation. It gives what must be found, or None where the vendor cannot deviate so."""
    PLANTS[function.__name__] = function
    return function


@plant
def unknown_member_sent(case: Case) -> list[Expected]:
    case.change("request", lambda body: body.update(novel=1))
    return [("member", "/request/body/novel", "/properties")]


@plant
def unknown_object_sent(case: Case) -> list[Expected]:
    case.change("request", lambda body: body.update(novel={"deep": [{"a": 1}, {"b": None}]}))
    return [("member", "/request/body/novel", "/properties")]


@plant
def wrong_type_sent(case: Case) -> list[Expected]:
    case.change("request", lambda body: body.update(prompt=5))
    return [("type", "/request/body/prompt", "/prompt/type")]


@plant
def number_as_text_sent(case: Case) -> list[Expected]:
    case.change("request", lambda body: body.update(duration="5"))
    return [("type", "/request/body/duration", "/duration/type")]


@plant
def null_sent(case: Case) -> list[Expected]:
    case.change("request", lambda body: body.update(prompt=None))
    return [("type", "/request/body/prompt", "/prompt/type")]


@plant
def null_enum_sent(case: Case) -> list[Expected]:
    case.change("request", lambda body: body.update(aspect_ratio=None))
    return [("type", "/request/body/aspect_ratio", "/type")]


@plant
def required_not_sent(case: Case) -> list[Expected]:
    case.change("request", lambda body: body.pop("prompt"))
    return [("required", "/request/body/prompt", "/required")]


@plant
def renamed_sent(case: Case) -> list[Expected]:
    case.change("request", lambda body: body.update(text=body.pop("prompt")))
    return [
        ("required", "/request/body/prompt", "/required"),
        ("member", "/request/body/text", "/properties"),
    ]


@plant
def too_long_sent(case: Case) -> list[Expected]:
    case.change("request", lambda body: body.update(duration=99))
    return [("maximum", "/request/body/duration", "/duration/maximum")]


@plant
def too_short_sent(case: Case) -> list[Expected]:
    case.change("request", lambda body: body.update(duration=1))
    return [("minimum", "/request/body/duration", "/duration/minimum")]


@plant
def new_choice_sent(case: Case) -> list[Expected]:
    case.change("request", lambda body: body.update(aspect_ratio="5:7"))
    return [("enum", "/request/body/aspect_ratio", "/enum")]


@plant
def extra_header_sent(case: Case) -> list[Expected]:
    case.side("request")["headers"]["x-novel"] = "yes"
    return [("header parameter", "/request/headers/x-novel", "/parameters")]


@plant
def extra_query_sent(case: Case) -> list[Expected]:
    case.lines[0]["url"] += "?novel=1"
    return [("query parameter", "/request/query/novel", "/parameters")]


@plant
def two_extra_queries_sent(case: Case) -> list[Expected]:
    case.lines[0]["url"] += "?novel=1&other=x"
    names = ("novel", "other")
    return [("query parameter", f"/request/query/{name}", "/parameters") for name in names]


@plant
def other_content_type_sent(case: Case) -> list[Expected]:
    case.side("request")["headers"]["content-type"] = "application/x-www-form-urlencoded"
    return [("content type", "/request/headers/content-type", "/content")]


@plant
def nothing_sent(case: Case) -> list[Expected]:
    case.side("request")["body"] = ""
    return [("required", "/request/body", "/requestBody/required")]


@plant
def unknown_member(case: Case) -> list[Expected]:
    case.change("response", lambda body: body.update(novel=[]))
    return [("member", "/response/body/novel", "/properties")]


@plant
def unknown_member_of_an_odd_name(case: Case) -> list[Expected]:
    case.change("response", lambda body: body.update({"a/b~c": "x"}))
    return [("member", "/response/body/a~1b~0c", "/properties")]


@plant
def wrong_type(case: Case) -> list[Expected]:
    case.change("response", lambda body: body.update(id=5))
    return [("type", "/response/body/id", "/id/type")]


@plant
def null(case: Case) -> list[Expected]:
    case.change("response", lambda body: body.update(id=None))
    return [("type", "/response/body/id", "/id/type")]


@plant
def status_is_a_list(case: Case) -> list[Expected]:
    case.change("response", lambda body: body.update(status=["done"]))
    return [("type", "/response/body/status", "/status/type")]


@plant
def missing_required(case: Case) -> list[Expected] | None:
    query = case.provider.contract.operation("get")
    assert query is not None
    schema = case.provider.contract.resolve(case.provider.contract.reply_schema(query, 200))
    if "id" not in schema.get("required", ()):
        return None
    case.change("response", lambda body: body.pop("id"))
    return [("required", "/response/body/id", "/required")]


@plant
def renamed(case: Case) -> list[Expected]:
    case.change("response", lambda body: body.update(state=body.pop("status")))
    found = [("member", "/response/body/state", "/properties")]
    return (
        found
        if not required(case, "status")
        else [("required", "/response/body/status", "/required"), *found]
    )


def required(case: Case, name: str) -> bool:
    query = case.provider.contract.operation("get")
    assert query is not None
    return name in case.provider.contract.resolve(
        case.provider.contract.reply_schema(query, 200)
    ).get("required", ())


@plant
def new_status_word(case: Case) -> list[Expected]:
    case.change("response", lambda body: body.update(status="hibernating"))
    query = case.provider.contract.operation("get")
    assert query is not None
    schema = case.provider.contract.resolve(case.provider.contract.reply_schema(query, 200))
    if "enum" in case.provider.contract.resolve(schema["properties"]["status"]):
        return [("enum", "/response/body/status", "/enum")]
    return [("status word", "/response/body/status", "/status/examples")]


@plant
def undocumented_status(case: Case) -> list[Expected]:
    case.side("response")["status"] = 418
    return [("status", "/response/status", "/responses")]


@plant
def page_in_the_place_of_an_error(case: Case) -> list[Expected]:
    case.side("response").update(
        status=500, headers={"content-type": "text/html; charset=utf-8"}, body="<html>"
    )
    return [("content type", "/response/headers/content-type", "/content")]


@plant
def page_in_the_place_of_a_job(case: Case) -> list[Expected]:
    case.side("response").update(headers={"content-type": "text/html"}, body="<html>busy</html>")
    return [("content type", "/response/headers/content-type", "/content")]


@plant
def new_error_code(case: Case) -> list[Expected]:
    query = case.provider.contract.operation("get")
    assert query is not None
    bodies = [body for status, _, _, body in case.provider.contract.replies(query) if status == 500]
    body = copy.deepcopy(bodies[0])
    inner = body["error"] if isinstance(body.get("error"), dict) else body
    inner["code"] = "flux_capacitor_empty"
    case.side("response").update(status=500, headers=JSON, body=json.dumps(body))
    place = "/error/code" if inner is not body else "/code"
    return [("error code", f"/response/body{place}", "/examples")]


@plant
def error_without_its_envelope(case: Case) -> list[Expected]:
    case.side("response").update(status=500, headers=JSON, body='["no"]')
    return [("type", "/response/body", "/type")]


@plant
def undocumented_call(case: Case) -> list[Expected]:
    url = case.provider.base_url + "/novel-voices"
    answer = {
        "status": 200,
        "headers": JSON,
        "body": '{"voices": [{"id": 1}, {"id": "x", "name": "y"}]}',
    }
    case.lines.append(
        {"method": "GET", "url": url, "request": {"headers": {}, "body": None}, "response": answer}
    )
    return [("call", "/request", "/paths")]


@plant
def wrong_event(case: Case) -> list[Expected] | None:
    return in_stream(case, lambda event: event.update(id=7), ("type", "/id", "/id/type"))


@plant
def novel_event(case: Case) -> list[Expected] | None:
    return in_stream(case, lambda event: event.update(novel=7), ("member", "/novel", "/properties"))


@plant
def event_with_a_new_word(case: Case) -> list[Expected] | None:
    return in_stream(
        case,
        lambda event: event.update(status="napping"),
        ("status word", "/status", "/status/examples"),
    )


def in_stream(
    case: Case, change: Callable[[JsonObject], Any], found: Expected
) -> list[Expected] | None:
    if case.provider not in STREAMING:
        return None
    line = copy.deepcopy(next(one for one in TRAFFIC[case.provider.id] if "/sse/" in one["url"]))
    events = [
        json.loads(text.removeprefix("data: "))
        for text in line["response"]["body"].split("\n\n")
        if text
    ]
    change(events[1])
    line["response"]["body"] = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    case.lines.append(line)
    kind, place, spec = found
    return [(kind, f"/response/body/1{place}", spec)]


@pytest.mark.parametrize("name", PLANTS)
@each_vendor
def test_a_planted_deviation_is_found_and_healed(provider: Provider, name: str) -> None:
    """It is found exactly, with its place in the traffic and in the spec, and its patch makes the traffic fit."""
    case = case_of(provider)
    expected = PLANTS[name](case)
    if expected is None:
        pytest.skip("this vendor cannot deviate so")
    report = checked(case.lines)
    assert sorted((one.kind, one.traffic) for one in report.differences) == sorted(
        one[:2] for one in expected
    )
    ends = {place: spec for _, place, spec in expected}
    for one in report.differences:
        assert one.spec.endswith(ends[one.traffic])
        assert find_value(provider.contract.document, pointer_parts(one.spec)[:-1]) is not None
        assert one.patch
        assert one.vendor == provider.id
    assert report.unhealed == ()
    assert_healed(provider, case.lines, report)


def assert_healed(
    provider: Provider, lines: Sequence[JsonObject], report: VerificationReport
) -> None:
    document = patched(provider.contract.document, report.patches[provider.id])
    again = checked(lines, with_document(provider, document))
    assert again.differences == ()
    # A patch only widens: what fitted before still does.
    assert checked(TRAFFIC[provider.id], with_document(provider, document)).differences == ()


@each_vendor
def test_all_deviations_at_once_are_healed_by_one_patch(provider: Provider) -> None:
    """Where one hides or contradicts another, the patch still makes all of the traffic fit."""
    lines: list[JsonObject] = []
    for planted in PLANTS.values():
        case = case_of(provider)
        planted(case)
        lines += case.lines
    report = checked(lines)
    assert not report.fits
    assert report.unhealed == ()
    assert_healed(provider, lines, report)


@pytest.mark.parametrize(
    ("body", "kind"),
    [("", "empty"), ('{"id": "x', "unreadable"), ("[" * 2000, "unreadable"), ("NaN", "unreadable")],
)
@each_vendor
def test_what_no_spec_can_say_has_no_patch(provider: Provider, body: str, kind: str) -> None:
    """A broken answer is told, and stays where all patches are applied."""
    case = case_of(provider)
    case.side("response")["body"] = body
    report = checked(case.lines)
    assert [(one.kind, one.severity, one.patch) for one in report.differences] == [
        (kind, "breaks", ())
    ]
    assert report.patches == {}
    assert report.unhealed == report.differences


@each_vendor
def test_equal_differences_are_counted_together(provider: Provider) -> None:
    """One row, with the number of times and the first entries."""
    case = case_of(provider)
    unknown_member(case)
    report = checked(case.lines * 8)
    assert [one.count for one in report.differences] == [8]
    assert report.differences[0].entries == (2, 4, 6, 8, 10)


@each_vendor
def test_notes_are_no_differences(provider: Provider) -> None:
    """A header nobody reads does not fail a recording."""
    case = case_of(provider)
    extra_header_sent(case)
    assert checked(case.lines).fits


# -- every rule of a schema ----------------------------------------------------------------------

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
def test_every_rule_of_a_schema_is_told_and_healed(name: str) -> None:
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


@each_vendor
def test_requests_that_cannot_be_read_are_told(provider: Provider) -> None:
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
        asked = {"headers": {"content-type": kind}, "body": body}
        line = {"method": "POST", "url": upload.server + upload.path, "request": asked}  # type: ignore[union-attr]
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
    """`4XX` and `default` document too; a HEAD, a 204 and a body that was not recorded are not looked at."""
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


# -- whose traffic -------------------------------------------------------------------------------


@each_vendor
def test_another_host_needs_the_vendors_name(provider: Provider) -> None:
    """A proxy's host is nobody's, any host by `any_host`, or one with a base URL."""
    lines = copy.deepcopy(case_of(provider).lines)
    for one in lines:
        one["url"] = one["url"].replace(provider.base_url, "http://127.0.0.1:9/mount/api")
    assert checked(lines).matched == 0
    assert len(checked(lines).unmatched) == 2
    named = checked(lines, provider, base_urls={provider.id: "http://127.0.0.1:9/mount/api"})
    assert (named.matched, named.differences) == (2, ())


@each_vendor
def test_a_mount_is_found_by_its_end(provider: Provider) -> None:
    """With `any_host`, what a proxy puts in front of the path does not matter."""
    lines = copy.deepcopy(case_of(provider).lines)
    for one in lines:
        one["url"] = (
            "http://localhost:1/a/b"
            + one["url"][len("https://") :].partition("/")[1]
            + one["url"][len("https://") :].partition("/")[2]
        )
    report = checked(lines, provider, any_host=True)
    assert (report.matched, report.differences) == (2, ())


@each_vendor
def test_what_both_sides_do_not_know_is_only_listed(provider: Provider) -> None:
    """A 404 for a path that the spec does not have, and hosts that are nobody's."""
    answer = {"status": 404, "headers": JSON, "body": "{}"}
    urls = [
        provider.base_url + "/nonesuch/x/y/z",
        "https://cdn.example.com/a.mp4?X-Amz-Signature=abc",
    ]
    lines = [{"method": "GET", "url": url, "request": {}, "response": answer} for url in urls]
    report = checked(lines)
    assert [one.reason for one in report.unmatched] == [
        "no such call in the spec",
        "no vendor's host",
    ]
    assert "abc" not in report.unmatched[1].url
    assert report.differences == ()


# -- secrets -------------------------------------------------------------------------------------

CANARIES = {
    "header": "sk-canary-header-000001",
    "cookie": "sid=canary0000000002",
    "query": "canary0000000003",
    "member": "canary0000000004",
    "bearer": "Bearer sk-canary-echoed-05",
    "signed": "https://cdn.example.com/a.mp4?Expires=1&Signature=canary0000000006",
    "name": "sk-canary-member-name-07",
}


@each_vendor
def test_no_secret_is_shown(provider: Provider) -> None:
    """Not in values, places, patches, or unmatched URLs: by name, by shape, and where a known one is repeated."""
    case = case_of(provider)
    first, second = case.lines
    headers = {
        "authorization": f"Bearer {CANARIES['header']}",
        "cookie": CANARIES["cookie"],
        "x-echo": "canary0000000003",
    }
    first["request"]["headers"].update(headers)
    first["url"] += f"?api_key={CANARIES['query']}&novel={CANARIES['header']}"
    case.change(
        "request",
        lambda body: body.update(client_secret=CANARIES["member"], aspect_ratio=CANARIES["query"]),
    )
    told: dict[str, Any] = {
        "id": {"echo": CANARIES["bearer"]},
        "status": CANARIES["header"],
        "link": CANARIES["signed"],
    }
    case.change(
        "response", lambda body: body.update({**told, CANARIES["name"]: CANARIES["member"]})
    )
    second["response"]["headers"]["set-cookie"] = CANARIES["cookie"]
    elsewhere = {
        "method": "GET",
        "url": f"https://u:{CANARIES['query']}@nobody.example/x?sig=canary0000000008",
    }
    report = checked([first, second, {**elsewhere, "request": {}, "response": {}}])
    shown = repr(report)
    assert "canary" not in shown.replace("canary_", "")
    assert len(report.differences) >= 6
    assert "****" in shown


def test_redaction_keeps_what_is_no_secret() -> None:
    """Words stay words."""
    plain = Redactor()
    texts = [
        "skills are needed",
        "Invalid token (request id: 1)",
        "https://example.com/a.png",
        "task-unified-1-abc",
    ]
    assert [plain.text(text) for text in texts] == texts
    assert plain.shown({"total_tokens": 5, "key": "x", "nested": [{"password": "y"}]}) == (
        '{"total_tokens": 5, "key": "****", "nested": [{"password": "****"}]}'
    )
    assert plain.text("eyJhbGciOi.abc.def") == "****"
    assert len(plain.shown("x" * 500)) == 80


def test_a_form_field_is_a_secret_by_its_name() -> None:
    """Also where a form was recorded as fields."""
    post = {
        "mimeType": "multipart/form-data",
        "params": [{"name": "api_key", "value": "canary-form-1"}],
    }
    request = {"method": "POST", "url": "https://example.com/", "headers": [], "postData": post}
    har = json.dumps({"log": {"entries": [{"request": request}]}}).encode()
    assert "canary-form-1" in redactor_of(read_recording(har, "x")).known


# -- recordings ----------------------------------------------------------------------------------


def har(*entries: Any) -> bytes:
    return json.dumps({"log": {"entries": list(entries)}}).encode()


def tape(*interactions: Any) -> bytes:
    return json.dumps({"interactions": list(interactions)}).encode()


GOOD = {"method": "GET", "url": "https://example.com/"}
GOOD_LINE = json.dumps(GOOD).encode()
BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n".encode()
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "nothing in it"),
    "blank": (b" \n\n", "nothing in it"),
    "not-text": (b"\x00\xff\xfe\x80", "not YAML"),
    "an-image": (b"\x89PNG\r\n\x1a\n", "not YAML"),
    "prose": (b"hello there", "not a recording"),
    "a-list": (b"[1, 2]", "not a recording"),
    "another-object": (b'{"log": 5, "x": 1', "not JSON"),
    "log-is-a-number": (b'{"log": 5}', "log is not an object"),
    "no-entries": (b'{"log": {}}', "log has no entries"),
    "entries-is-text": (b'{"log": {"entries": "x"}}', "entries is not a list"),
    "empty-har": (har(), "no call is recorded"),
    "empty-cassette": (tape(), "no call is recorded"),
    "entry-is-text": (har("x"), "entry 1: the entry is not an object"),
    "second-entry-without-request": (
        har({"request": {**GOOD}}, {}),
        "entry 2: the entry has no request",
    ),
    "no-method": (har({"request": {"url": "https://x.example/"}}), "entry 1: it has no method"),
    "no-url": (tape({"request": {"method": "GET"}}), "entry 1: it has no URL"),
    "url-of-a-file": (
        har({"request": {**GOOD, "url": "file:///etc/passwd"}}),
        "entry 1: its URL is not",
    ),
    "url-broken": (har({"request": {**GOOD, "url": "https://[::1/a"}}), "entry 1: its URL is not"),
    "url-is-a-number": (har({"request": {**GOOD, "url": 5}}), "entry 1: url is not text"),
    "base64": (
        har(
            {
                "request": GOOD,
                "response": {"status": 200, "content": {"text": "!!", "encoding": "base64"}},
            }
        ),
        "entry 1: content is not base64",
    ),
    "encoding": (
        har(
            {
                "request": GOOD,
                "response": {"status": 200, "content": {"text": "x", "encoding": "rot13"}},
            }
        ),
        "entry 1: content has an encoding",
    ),
    "status-word": (har({"request": GOOD, "response": {"status": "OK"}}), "entry 1: the status"),
    "status-999": (
        tape({"request": {"method": "GET", "uri": GOOD["url"]}, "response": {"status": 999}}),
        "entry 1: the status",
    ),
    "headers-text": (
        har({"request": {**GOOD, "headers": "x"}}),
        "entry 1: headers is not an object",
    ),
    "header-object": (
        har({"request": {**GOOD, "headers": [{"name": "a", "value": {}}]}}),
        "entry 1: a header is not",
    ),
    "params": (
        har({"request": {**GOOD, "postData": {"params": "x"}}}),
        "entry 1: params is not a list",
    ),
    "line-broken": (GOOD_LINE + b"\n{oops\n", "entry 2: not JSON"),
    "line-a-list": (
        GOOD_LINE + b"\n" + GOOD_LINE + b"\n[]\n",
        "entry 3: the line is not an object",
    ),
    "line-without-url": (b'{"method": "GET"}', "entry 1: it has no URL"),
    "not-a-number": (
        b'{"method": "GET", "url": "https://x.example/", "response": NaN}',
        "not JSON",
    ),
    "huge-number": (GOOD_LINE + b'\n{"status": ' + b"9" * 5000 + b"}", "entry 2: not JSON"),
    "deep-json": (b'{"log": ' + b"[" * 100_000, "nested too deeply"),
    "rather-deep-json": (b'{"log": ' + b"[" * 200 + b"]" * 200 + b"}", "nested too deeply"),
    "deep-yaml": (b"interactions: " + b"[" * 100_000, "nested too deeply"),
    "alias-bomb": (BOMB + b"interactions: [*i]", "too much in it"),
    "endless": (b"interactions: &a [*a]", "nested too deeply"),
    "merge-bomb": (b"a: &a {x: 1}\ninteractions:\n- {<<: [*a, *a]}\n", "not YAML that can be read"),
    "python-object": (
        b"interactions: !!python/object/apply:os.system ['true']\n",
        "not YAML that can be read",
    ),
    "undefined-alias": (b"interactions: *secret\n", "not YAML that can be read at line 1"),
    "date": (b"interactions: 2026-99-99\n", "not YAML that can be read"),
    "interactions-text": (b"interactions: x\n", "interactions is not a list"),
    "body-number": (
        tape({"request": {"method": "GET", "uri": GOOD["url"], "body": 5}}),
        "entry 1: the text of body",
    ),
    "too-long": (b" " * 50_000_001, "too many"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_recording_gives_one_clear_message(name: str) -> None:
    """It names the file and the entry, and repeats nothing of what is in it."""
    content, message = BROKEN[name]
    with pytest.raises(RequestError) as failure:
        read_recording(content, "some.har")
    text = str(failure.value)
    assert text.startswith("some.har: ")
    assert message in text
    assert len(text) < 200
    assert "\n" not in text
    assert "secret" not in text


@each_vendor
def test_changed_recordings_end_in_a_report_or_one_error(provider: Provider) -> None:
    """Cut anywhere, or with a byte changed, no recording ends in anything else."""
    for write in (as_json_lines, as_har, as_cassette):
        whole = write(case_of(provider).lines)
        for at in range(0, len(whole), max(1, len(whole) // 60)):
            for content in (
                whole[:at],
                whole[:at] + b"\x07" + whole[at + 1 :],
                whole[:at] + b'"' + whole[at:],
            ):
                try:
                    verify(read_recording(content, "x"), PROVIDERS)
                except PolyreelError as error:
                    assert str(error).startswith("x: ")  # noqa: PT017


def test_compressed_bodies_are_unpacked() -> None:
    """As vcrpy keeps them; a bomb, an unknown coding and a broken one are bodies that were not recorded."""
    packed = {
        "gzip": gzip.compress(b'{"a": 1}'),
        "br": b"\x0b\x02\x80",
        "gzip ": gzip.compress(b" " * 60_000_000),
        "deflate": b"junk",
    }
    for encoding, content in packed.items():
        headers = {"content-encoding": encoding, "content-type": "application/json"}
        side = {
            "status": 200,
            "headers": headers,
            "body": base64.b64encode(content).decode(),
            "encoding": "base64",
        }
        found = read_recording(as_json_lines([{**GOOD, "response": side}]), "x")[0]
        assert found.response_body == (b'{"a": 1}' if encoding == "gzip" else None)


def test_har_forms_and_old_cassettes_are_read() -> None:
    """Fields of forms, bodies in base64 below `base64_string`, responses that never came."""
    post = {
        "mimeType": "multipart/form-data",
        "params": [{"name": "a", "value": "1"}, {"name": "f", "fileName": "x"}],
    }
    found = read_recording(
        har({"request": {**GOOD, "postData": post}, "response": {"status": 0}}), "x"
    )[0]
    assert found.status is None
    assert [(field.name, field.text) for field in found.form or ()] == [("a", "1"), ("f", None)]
    old = {"body": {"base64_string": "aGk="}, "headers": None, "status": {"code": 200}}
    request = {"method": "post", "uri": GOOD["url"]}
    assert (
        read_recording(tape({"request": request, "response": old}), "x")[0].response_body == b"hi"
    )


def test_yaml_without_pyyaml_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON needs nothing more."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=r"polyreel\[verify\]"):
        read_recording(b"interactions: []", "x")
    assert read_recording(GOOD_LINE, "x")


# -- patches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ([{"op": "add", "path": "/a/-", "value": 3}], {"a": [1, 2, 3]}),
        ([{"op": "add", "path": "/a/0", "value": 0}], {"a": [0, 1, 2]}),
        ([{"op": "add", "path": "/b~1c~0d", "value": {}}], {"a": [1, 2], "b/c~d": {}}),
        ([{"op": "replace", "path": "/a/1", "value": 9}], {"a": [1, 9]}),
        (
            [{"op": "test", "path": "/a/0", "value": 1}, {"op": "remove", "path": "/a/0"}],
            {"a": [2]},
        ),
        ([{"op": "move", "from": "/a", "path": "/b"}], {"b": [1, 2]}),
    ],
)
def test_patches_are_applied_as_rfc_6902_has_it(
    patch: list[JsonObject], result: JsonObject
) -> None:
    document = {"a": [1, 2]}
    assert patched(document, patch) == result
    assert document == {"a": [1, 2]}


@pytest.mark.parametrize(
    "patch",
    [
        {"op": "test", "path": "/a/0", "value": 2},
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/a/7", "value": 1},
        {"op": "add", "path": "/b/c", "value": 1},
        {"op": "add", "path": "/a/7", "value": 1},
        {"op": "add", "path": "", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "copy", "from": "/a", "path": "/b"},
    ],
)
def test_a_patch_that_does_not_fit_is_refused(patch: JsonObject) -> None:
    with pytest.raises(PlaceError):
        patched({"a": [1, 2]}, [patch])


def test_pointers_come_back() -> None:
    parts = ("a/b", "~", "", "0", "~1")
    assert pointer_parts(pointer_text(parts)) == parts


def test_the_key_of_the_tests_is_a_key() -> None:
    """So that the recordings hold one to hide."""
    assert all(
        KEY in json.dumps(one["request"]["headers"]) for lines in TRAFFIC.values() for one in lines
    )
