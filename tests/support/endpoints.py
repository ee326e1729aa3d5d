"""The generated clients, as tests find and call them."""

from __future__ import annotations

import inspect
import json
import re
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from polyreel.places import JsonObject
from polyreel.providers.base.contract import Contract, Operation
from polyreel.providers.base.schemas import SCHEMAS

from support.paths import ROOT
from support.specs import chosen

if TYPE_CHECKING:
    from collections.abc import Iterator


PACKAGE: Final = "polyreel_generated"
GENERATED: Final = ROOT / "generated" / PACKAGE
CLIENTS: Final = sorted(path.parent.name for path in GENERATED.glob("*/client.py"))
HEADERS: Final = {"x-request-id": "r-1", "retry-after": "3"}

each_client = pytest.mark.parametrize("client", CLIENTS)


@cache
def shipped(client: str) -> Contract:
    """The contract that is generated beside a client."""
    return Contract.load(client)


class Endpoint(NamedTuple):
    """One generated endpoint module."""

    client: str
    name: str

    @property
    def module(self) -> Any:
        """The module itself."""
        return import_module(self.name)

    @property
    def operation(self) -> Operation:
        """What the contract says about it."""
        place = (self.module.METHOD, self.module.PATH)
        found = [
            one
            for one in shipped(self.client).operations.values()
            if (one.method, one.path) == place
        ]
        assert len(found) == 1, f"{place} is in the contract {len(found)} times"
        return found[0]

    @property
    def replies(self) -> list[tuple[int, str, str, Any]]:
        """Its documented example replies: status, content type, name, body."""
        return list(shipped(self.client).replies(self.operation))

    def reply(self, name: str) -> tuple[int, JsonObject]:
        """One successful JSON example by its name."""
        return next(
            (status, body)
            for status, _, other, body in self.replies
            if other == name and status < 300
        )

    def documented_type(self, status: int) -> str | None:
        """The JSON type that a status is documented with: object, array or none."""
        reader = shipped(self.client)
        schema = reader.resolve(reader.reply_schema(self.operation, status))
        return schema.get("type") if schema else None

    def model(self, schema: str) -> Any:
        """The generated class of a named schema."""
        return getattr(import_module(f"{PACKAGE}.{self.client}.models"), schema)

    def path_of(self, value: str) -> str:
        """The path with one value for all its parameters, quoted."""
        path = self.operation.path.replace(f"{{{self.operation.slashed}}}", quote(value))
        return re.sub(r"\{\w+\}", quote(value, safe=""), path)

    def arguments(self) -> dict[str, Any]:
        """Values for what the call needs beside its body."""
        needed = inspect.signature(self.module.build_request).parameters.values()
        return {
            one.name: "an id/1" for one in needed if one.default is one.empty and one.name != "body"
        }


ENDPOINTS: Final = [
    Endpoint(client, ".".join(path.relative_to(GENERATED.parent).with_suffix("").parts))
    for client in CLIENTS
    for path in sorted((GENERATED / client / "api").glob("*/*.py"))
    if path.name != "__init__.py"
]
each_endpoint = pytest.mark.parametrize(
    "endpoint",
    [pytest.param(one, id=f"{one.client}-{one.name.rpartition('.')[2]}") for one in ENDPOINTS],
)


def endpoint_for(client: str, role: str) -> Endpoint:
    """The first endpoint of a client with a role."""
    return next(one for one in ENDPOINTS if one.client == client and one.operation.role == role)


def bodies(endpoint: Endpoint) -> Iterator[tuple[str, str, JsonObject]]:
    """The JSON request examples of an endpoint: name, schema, body."""
    for name, body in endpoint.operation.request_examples.items():
        for schema in chosen(shipped(endpoint.client), endpoint.operation, body):
            yield name, schema, body


def parsed(endpoint: Endpoint, status: int, content: bytes) -> Any:
    """A reply as the endpoint reads it, its raw facts checked."""
    result = endpoint.module.parse_response(status, content, HEADERS)
    assert (result.status_code, result.content, result.headers) == (status, content, HEADERS)
    assert result.parsed is None or result.parse_error is None
    return result


def plain(typed: Any) -> Any:
    """A typed reply as JSON data again."""
    return [plain(item) for item in typed] if isinstance(typed, list) else typed.to_dict()


class Exchange(NamedTuple):
    """One documented call: the arguments of its functions, the request that must arrive, the reply
    given.
    """

    endpoint: Endpoint
    arguments: dict[str, Any]
    url: str
    sent: JsonObject | None
    status: int
    answer: JsonObject

    def client(self) -> Any:
        """The generated client over a transport that knows only this call."""

        def answer(request: httpx.Request) -> httpx.Response:
            assert (request.method, str(request.url)) == (self.endpoint.operation.method, self.url)
            assert request.headers["authorization"] == "Bearer a key"
            assert (json.loads(request.content) if request.content else None) == self.sent
            return httpx.Response(self.status, json=self.answer, headers=HEADERS)

        made = import_module(f"{PACKAGE}.{self.endpoint.client}").AuthenticatedClient
        transport = httpx.MockTransport(answer)
        return made(
            base_url=self.endpoint.operation.server,
            token="a key",
            httpx_args={"transport": transport},
        )

    def check(self, typed: Any) -> None:
        """The reply is the model that the contract names, whole."""
        schema = shipped(self.endpoint.client).reply_schema(self.endpoint.operation, self.status)
        assert schema
        names = {one["$ref"].removeprefix(SCHEMAS) for one in schema.get("anyOf", [schema])}
        assert type(typed).__name__ in names
        assert typed.to_dict() == self.answer

    def check_detailed(self, result: Any) -> None:
        """The raw reply is there as well."""
        self.check(result.parsed)
        assert (result.status_code, json.loads(result.content)) == (self.status, self.answer)
        assert HEADERS.items() <= dict(result.headers).items()


def exchange(client: str, role: str) -> Exchange:
    """The first documented call of a role."""
    endpoint = endpoint_for(client, role)
    arguments = endpoint.arguments()
    sent = None
    for _, schema, body in bodies(endpoint):
        arguments["body"], sent = endpoint.model(schema).from_dict(body), body
        break
    url = endpoint.operation.server + endpoint.path_of("an id/1")
    return Exchange(endpoint, arguments, url, sent, *endpoint.reply("queued"))
