"""Deviations from a spec, planted into traffic that fits it."""

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import frozen
from polyreel.places import JsonObject
from polyreel.providers.base.provider import Provider
from polyreel.verification.recordings import read_recording
from polyreel.verification.reports import VerificationReport, verify

from support.recordings import as_json_lines, recorded, vendors

PROVIDERS = vendors()
STREAMING = [
    provider
    for provider in PROVIDERS
    if any(o.role == "stream" for o in provider.contract.operations.values())
]
FLAT = [
    provider
    for provider in PROVIDERS
    if any("duration" in route.by_place and "id" in provider.reads.id for route in provider.routes)
]
"""Vendors whose bodies and answers have their values at the top, where deviations are planted."""
each_flat = pytest.mark.parametrize("provider", FLAT, ids=lambda provider: provider.id)
each_vendor = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.id)


def checked(
    lines: Sequence[JsonObject], *providers: Provider, **options: Any
) -> VerificationReport:
    """What verify says of lines of our own form."""
    return verify(
        read_recording(as_json_lines(lines), "traffic"), providers or PROVIDERS, **options
    )


JSON = {"content-type": "application/json"}
Expected = tuple[str, str, str]
"""Kind, pointer in the traffic, end of the pointer in the spec."""
NAMES = {
    "prompt": {"prompt", "promptText"},
    "duration": {"duration"},
    "aspect_ratio": {"aspect_ratio", "ratio"},
}
"""What vendors call the fields in which something is planted."""


@frozen
class Case:
    """A submit, and a query of its end, to plant something in."""

    provider: Provider
    lines: list[JsonObject]

    def side(self, name: str) -> JsonObject:
        """The request of the submit, or the response of the query."""
        found: JsonObject = self.lines[0 if name == "request" else 1][name]
        return found

    def native(self, field: str) -> str:
        """What the submit calls a shared field."""
        body: JsonObject = json.loads(self.side("request")["body"])
        (found,) = NAMES[field] & body.keys()
        return found

    def change(self, name: str, change: Callable[[JsonObject], Any]) -> None:
        """Change a JSON body."""
        side = self.side(name)
        body = json.loads(side["body"])
        change(body)
        side["body"] = json.dumps(body)


def case_of(provider: Provider) -> Case:
    lines = recorded(provider)
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
    try:
        body = json.loads(one["request"]["body"])
    except ValueError:  # a form
        return False
    inputs = ("image", "video", "references")
    return all(words & body.keys() for words in NAMES.values()) and not any(
        one in name.lower() for name in body for one in inputs
    )


Plant = Callable[[Case], list[Expected] | None]
PLANTS: dict[str, Plant] = {}


def plant(function: Plant) -> Plant:
    """Register a deviation.

    It gives what must be found, or None where the vendor cannot deviate so.
    """
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
    text = case.native("prompt")
    case.change("request", lambda body: body.update({text: 5}))
    return [("type", f"/request/body/{text}", f"/{text}/type")]


def has_number(case: Case) -> bool:
    """Whether the submit has its duration as a number."""
    return isinstance(json.loads(case.side("request")["body"])["duration"], int)


@plant
def number_as_text_sent(case: Case) -> list[Expected] | None:
    if not has_number(case):
        return None
    case.change("request", lambda body: body.update(duration="5"))
    return [("type", "/request/body/duration", "/duration/type")]


@plant
def null_sent(case: Case) -> list[Expected]:
    text = case.native("prompt")
    case.change("request", lambda body: body.update({text: None}))
    return [("type", f"/request/body/{text}", f"/{text}/type")]


@plant
def null_enum_sent(case: Case) -> list[Expected]:
    ratio = case.native("aspect_ratio")
    case.change("request", lambda body: body.update({ratio: None}))
    return [("type", f"/request/body/{ratio}", "/type")]


def of_body(case: Case) -> JsonObject:
    """The schema of the submit's body."""
    contract, body = case.provider.contract, json.loads(case.side("request")["body"])
    route = next(case.provider.routes_of_body(body))
    return contract.schema(route.schema)


def needs(case: Case, name: str) -> bool:
    """Whether the submit's body, as it is, cannot be without a field."""
    contract, body = case.provider.contract, json.loads(case.side("request")["body"])
    route = next(case.provider.routes_of_body(body))
    found = contract.accepts(route.schema, {key: body[key] for key in body if key != name})
    return any((one.kind, one.limit) == ("required", name) for one in found)


@plant
def required_not_sent(case: Case) -> list[Expected] | None:
    name = case.native("prompt")
    if not needs(case, name):
        return None
    case.change("request", lambda body: body.pop(name))
    return [("required", f"/request/body/{name}", "/required")]


@plant
def renamed_sent(case: Case) -> list[Expected]:
    name = case.native("prompt")
    is_needed = needs(case, name)
    case.change("request", lambda body: body.update(text=body.pop(name)))
    return [
        *([("required", f"/request/body/{name}", "/required")] if is_needed else []),
        ("member", "/request/body/text", "/properties"),
    ]


@plant
def too_long_sent(case: Case) -> list[Expected] | None:
    if not has_number(case) or "maximum" not in of_body(case)["properties"]["duration"]:
        return None
    case.change("request", lambda body: body.update(duration=99))
    return [("maximum", "/request/body/duration", "/duration/maximum")]


@plant
def too_short_sent(case: Case) -> list[Expected] | None:
    if not has_number(case) or of_body(case)["properties"]["duration"].get("minimum", 1) <= 1:
        return None
    case.change("request", lambda body: body.update(duration=1))
    return [("minimum", "/request/body/duration", "/duration/minimum")]


@plant
def new_choice_sent(case: Case) -> list[Expected]:
    ratio = case.native("aspect_ratio")
    case.change("request", lambda body: body.update({ratio: "5:7"}))
    return [("enum", f"/request/body/{ratio}", "/enum")]


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


def id_of(case: Case) -> str:
    """What the query calls the id of its task."""
    return case.provider.reads.id[0]


@plant
def wrong_type(case: Case) -> list[Expected]:
    name = id_of(case)
    case.change("response", lambda body: body.update({name: 5}))
    return [("type", f"/response/body/{name}", f"/{name}/type")]


@plant
def null(case: Case) -> list[Expected]:
    name = id_of(case)
    case.change("response", lambda body: body.update({name: None}))
    return [("type", f"/response/body/{name}", f"/{name}/type")]


@plant
def status_is_a_list(case: Case) -> list[Expected]:
    case.change("response", lambda body: body.update(status=["done"]))
    return [("type", "/response/body/status", "/status/type")]


@plant
def missing_required(case: Case) -> list[Expected] | None:
    query = case.provider.contract.operation("get")
    assert query is not None
    schema = case.provider.contract.resolve(case.provider.contract.reply_schema(query, 200))
    name = id_of(case)
    if name not in schema.get("required", ()):
        return None
    case.change("response", lambda body: body.pop(name))
    return [("required", f"/response/body/{name}", "/required")]


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
        status=error_of(case), headers={"content-type": "text/html; charset=utf-8"}, body="<html>"
    )
    return [("content type", "/response/headers/content-type", "/content")]


@plant
def page_in_the_place_of_a_job(case: Case) -> list[Expected]:
    case.side("response").update(headers={"content-type": "text/html"}, body="<html>busy</html>")
    return [("content type", "/response/headers/content-type", "/content")]


def error_of(case: Case) -> int:
    """The status of a documented error of the query, above all 500."""
    query = case.provider.contract.operation("get")
    assert query is not None
    known = [status for status, *_ in case.provider.contract.replies(query) if status >= 400]
    return 500 if 500 in known else known[0]


@plant
def new_error_code(case: Case) -> list[Expected] | None:
    query, wanted = case.provider.contract.operation("get"), error_of(case)
    assert query is not None
    replies = case.provider.contract.replies(query)
    body = copy.deepcopy(next(body for status, *_, body in replies if status == wanted))
    inner = body["error"] if isinstance(body.get("error"), dict) else body
    if "code" not in inner:
        return None
    inner["code"] = 499 if isinstance(inner["code"], int) else "flux_capacitor_empty"
    case.side("response").update(status=wanted, headers=JSON, body=json.dumps(body))
    place = "/error/code" if inner is not body else "/code"
    return [("error code", f"/response/body{place}", "/examples")]


@plant
def error_without_its_envelope(case: Case) -> list[Expected]:
    case.side("response").update(status=error_of(case), headers=JSON, body='["no"]')
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
    line = copy.deepcopy(next(one for one in recorded(case.provider) if "/sse/" in one["url"]))
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
