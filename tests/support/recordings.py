"""Traffic recorded from the simulator, and written down in every form that polyreel reads."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml
from polyreel.errors import PolyreelError
from polyreel.flows import Reply
from polyreel.places import JsonObject
from polyreel.plans.choosing import plan
from polyreel.plans.planning import Plan
from polyreel.providers.base.calling import PLACEHOLDER, filled, key_scheme_of, locator_of
from polyreel.providers.base.contract import Operation
from polyreel.providers.base.provider import Provider
from polyreel.providers.base.registry import all_providers
from polyreel.simulator import Simulator
from polyreel.simulator.transport import SimulatedTransport

from support.forms import shortest_form
from support.requests import EXAMPLES

KEY = "sk-canary-verify-0123456789"
PLANTED = b"sk-planted"
START = "2026-11-21T09:00:00.000Z"


class Recorder(httpx.BaseTransport):
    """Writes down what goes through another transport, as lines of polyreel's own form."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner
        self.lines: list[JsonObject] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        sent = request.read()
        response = self.inner.handle_request(request)
        answered = response.read()
        self.lines.append(line(request, sent, response, answered))
        return response


def line(
    request: httpx.Request, sent: bytes, response: httpx.Response, answered: bytes
) -> JsonObject:
    """One exchange in polyreel's own form."""
    asked = {"headers": dict(request.headers), **_body(sent)}
    answer = {"status": response.status_code, "headers": dict(response.headers), **_body(answered)}
    return {"method": request.method, "url": str(request.url), "request": asked, "response": answer}


def _body(content: bytes) -> JsonObject:
    try:
        return {"body": content.decode()}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(content).decode(), "encoding": "base64"}


# -- the three forms -----------------------------------------------------------------------------


def as_json_lines(lines: Sequence[JsonObject]) -> bytes:
    """Our own form."""
    return "".join(json.dumps(one) + "\n" for one in lines).encode()


def as_har(lines: Sequence[JsonObject]) -> bytes:
    """What browsers and proxies write."""
    entries = [
        {"startedDateTime": START, "time": 1, "cache": {}, "timings": {}, **_har_entry(one)}
        for one in lines
    ]
    creator = {"name": "test", "version": "1"}
    return json.dumps({"log": {"version": "1.2", "creator": creator, "entries": entries}}).encode()


def _har_entry(one: JsonObject) -> JsonObject:
    asked, answer = one["request"], one["response"]
    request = {
        "method": one["method"],
        "url": one["url"],
        "httpVersion": "HTTP/1.1",
        "headers": _pairs(asked),
    }
    if asked["body"]:
        request["postData"] = {
            "mimeType": asked["headers"].get("content-type", ""),
            **_har_text(asked),
        }
    content = {
        "size": len(answer["body"]),
        "mimeType": answer["headers"].get("content-type", ""),
        **_har_text(answer),
    }
    response = {
        "status": answer["status"],
        "statusText": "",
        "headers": _pairs(answer),
        "content": content,
    }
    return {"request": request, "response": response}


def _pairs(side: JsonObject) -> list[JsonObject]:
    return [{"name": name.title(), "value": value} for name, value in side["headers"].items()]


def _har_text(side: JsonObject) -> JsonObject:
    found = {"text": side["body"]}
    return {**found, "encoding": side["encoding"]} if "encoding" in side else found


def as_cassette(lines: Sequence[JsonObject]) -> bytes:
    """What vcrpy writes, in YAML."""
    return yaml.safe_dump(
        {"interactions": [_interaction(one) for one in lines], "version": 1}
    ).encode()


def as_json_cassette(lines: Sequence[JsonObject]) -> bytes:
    """What vcrpy writes with its JSON serializer."""
    texts = [one for one in lines if not {"encoding"} & {*one["request"], *one["response"]}]
    return json.dumps(
        {"interactions": [_interaction(one) for one in texts], "version": 1}, indent=4
    ).encode()


def _interaction(one: JsonObject) -> JsonObject:
    asked, answer = one["request"], one["response"]
    headers = [
        {name: [value] for name, value in side["headers"].items()} for side in (asked, answer)
    ]
    request = {
        "method": one["method"],
        "uri": one["url"],
        "headers": headers[0],
        "body": _raw(asked) or None,
    }
    status = {"code": answer["status"], "message": ""}
    return {
        "request": request,
        "response": {"status": status, "headers": headers[1], "body": {"string": _raw(answer)}},
    }


def _raw(side: JsonObject) -> str | bytes:
    return base64.b64decode(side["body"]) if "encoding" in side else side["body"]


FORMS: Mapping[str, Callable[[Sequence[JsonObject]], bytes]] = {
    "json-lines": as_json_lines,
    "har": as_har,
    "cassette": as_cassette,
    "json-cassette": as_json_cassette,
}


# -- traffic -------------------------------------------------------------------------------------


def recorded(provider: Provider) -> list[JsonObject]:
    """Everything that a vendor's simulator can be asked: every example request, queried to its end,
    and all reads. The lines may be changed.
    """
    return copy.deepcopy(_recorded_once(provider))


@cache
def _recorded_once(provider: Provider) -> list[JsonObject]:
    simulator = Simulator(seed=1)
    recorder = Recorder(SimulatedTransport(simulator))
    with httpx.Client(
        transport=recorder, headers=key_scheme_of(provider.contract).headers(KEY), timeout=None
    ) as http:
        for made in plans(provider):
            identity = _submitted(http, provider, made)
            for seconds in (0, 30, 1000):
                simulator.clock.advance(seconds)  # type: ignore[attr-defined]
                http.get(_url(provider, provider.get_request(identity)["url"]))
        _reads(http, provider, identity)
    return recorder.lines


def plans(provider: Provider) -> Iterator[Plan]:
    """The example requests that a vendor can serve."""
    for request in EXAMPLES.values():
        try:
            made = plan(request, provider)
        except PolyreelError:
            continue
        if not made.refused:
            yield made


def _submitted(http: httpx.Client, provider: Provider, made: Plan) -> str:
    reply = http.post(made.url, content=made.content, headers={"Content-Type": "application/json"})
    assert reply.status_code < 300, reply.text
    identity = provider.read(_as_reply(reply)).id
    assert identity is not None
    return identity


def _as_reply(reply: httpx.Response) -> Reply:
    """A response as providers read it."""
    return Reply(reply.status_code, reply.headers, reply.content)


def _url(provider: Provider, path: str) -> str:
    return provider.base_url + path


def _reads(http: httpx.Client, provider: Provider, identity: str) -> None:
    """Every call that needs no more than a task id, a stream of each kind, and an unknown task."""
    for operation in provider.contract.operations.values():
        places = dict.fromkeys(PLACEHOLDER.findall(operation.path), identity)
        values = {**places, **provider.routes[0].path_values}
        url = operation.server + filled(operation.path, values, slashes=True)
        if operation.method == "GET":
            http.get(url)
        elif operation.role in {"stream", "batch-get", "upload-url", "upload-base64"}:
            http.post(url, json=_example(provider, operation, identity))
        elif operation.takes_files and operation.role == "upload":
            http.post(url, files={"file": ("cat.png", b"\x89PNG\r\n\x1a\n\x00\xff", "image/png")})
        elif operation.takes_files:
            body = next(iter(operation.request_examples.values()))
            plain = {name: value for name, value in body.items() if isinstance(value, str | int)}
            fields = {
                name: (None, str(value).lower())
                for name, value in plain.items()
                if "url" not in name
            }
            http.post(url, files={**shortest_form(provider, operation), **fields})
    http.get(_url(provider, status_path(provider, "nonesuch")))


def status_path(provider: Provider, identity: str) -> str:
    """The path of a status query."""
    values = provider.routes[0].path_values
    found = locator_of(provider.contract, values, identity)
    return found or str(provider.get_request(identity)["url"])


def _example(provider: Provider, operation: Operation, identity: str) -> Any:
    if operation.role == "batch-get":
        schema = provider.contract.schema(operation.request_schemas[0])
        name = next(
            name for name, member in schema["properties"].items() if member.get("type") == "array"
        )
        return {name: [identity]}
    return next(iter(operation.request_examples.values()))


def save(folder: Path, lines: Sequence[JsonObject], form: str = "json-lines") -> str:
    """A recording in a file.

    It holds keys, as recordings do: under another name than the one no file may hold.
    """
    path = folder / f"{form}.recording"
    path.write_bytes(FORMS[form](lines).replace(b"sk-" + b"canary", PLANTED))
    return str(path)


def vendors() -> list[Provider]:
    """All vendors."""
    return list(all_providers().values())


def har(*entries: Any) -> bytes:
    return json.dumps({"log": {"entries": list(entries)}}).encode()


def tape(*interactions: Any) -> bytes:
    return json.dumps({"interactions": list(interactions)}).encode()
