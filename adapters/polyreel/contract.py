"""A vendor's contract: its OpenAPI document, as operations, schemas, examples and a validator.

One document serves three readers. Plans are checked as polyreel *sends* (closed: no unknown fields, formats
asserted, aliases gone); the simulator checks as the vendor *accepts* (open, as documented); the lens and the
documentation read limits and defaults.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from attrs import frozen

if TYPE_CHECKING:
    import jsonschema_rs

Json = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS: Final = "#/components/schemas/"
PRIVATE_SUFFIXES: Final = frozenset({"localhost", "local", "internal", "lan", "home", "corp", "test", "invalid"})
NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""Where IPv4 hosts appear on networks without IPv4: as public as the IPv4 address in its last 32 bits."""
TUNNELS: Final = (ipaddress.IPv6Network("2001::/32"), ipaddress.IPv6Network("2002::/16"))
"""Teredo and 6to4: public on paper, and a way to any IPv4 address."""
UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All that is assigned of IPv6; beyond it are local NAT64 prefixes, old site-local and IPv4-compatible addresses."""
NOT_FOR_HOSTS: Final[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]] = (
    *(ipaddress.IPv4Network(network) for network in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")),
    ipaddress.IPv6Network("3fff::/20"),
)
"""Global by Python's tables, and no public host: protocol assignments, 6to4 relays, a cloud's own, documentation."""


@frozen
class Breach:
    """One way in which a body does not fit its schema."""

    path: tuple[str | int, ...]
    kind: str
    message: str
    limit: Any = None


@frozen(eq=False)
class Operation:
    """One call a vendor offers."""

    id: str
    method: str
    path: str
    role: str
    server: str
    spec: Mapping[str, Any]

    @cached_property
    def request_schemas(self) -> tuple[str, ...]:
        """The names of the JSON body's schemas, one per workflow."""
        schema = self._body("application/json").get("schema", {})
        options = schema.get("oneOf", [schema])
        return tuple(option["$ref"].removeprefix(SCHEMAS) for option in options if "$ref" in option)

    @cached_property
    def request_examples(self) -> Mapping[str, Any]:
        """The example bodies, by name."""
        examples = self._body("application/json").get("examples", {})
        return {name: example["value"] for name, example in examples.items()}

    @cached_property
    def full_path(self) -> str:
        """The path below the host."""
        return urlsplit(self.server).path.rstrip("/") + self.path

    @cached_property
    def takes_files(self) -> bool:
        """Whether the call accepts multipart/form-data."""
        return bool(self._body("multipart/form-data"))

    def _body(self, content_type: str) -> Mapping[str, Any]:
        found = self.spec.get("requestBody", {}).get("content", {}).get(content_type, {})
        assert isinstance(found, Mapping)
        return found


class Contract:
    """One OpenAPI document, read lazily."""

    def __init__(self, document: Json) -> None:
        self.document = document

    @classmethod
    def load(cls, name: str) -> Contract:
        """Load a contract that ships with polyreel."""
        resource = files("polyreel_generated.contracts") / f"{name}.json"
        return cls(json.loads(resource.read_bytes()))

    # -- what the document says ------------------------------------------------------------------

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """Every call, by its operation id."""
        found = {}
        root = self.document.get("servers", [{"url": ""}])[0]["url"]
        for path, item in self.document["paths"].items():
            for method, spec in item.items():
                if method in {"get", "post", "delete", "put", "patch"}:
                    server = spec.get("servers", [{"url": root}])[0]["url"]
                    role = spec.get("x-polyreel-role", "")
                    found[spec["operationId"]] = Operation(
                        spec["operationId"], method.upper(), path, role, server, spec
                    )
        return found

    def operation(self, role: str) -> Operation | None:
        """The first call with a role, such as `get` or `credits`."""
        return next((operation for operation in self.operations.values() if operation.role == role), None)

    @cached_property
    def streams(self) -> Mapping[str, Operation]:
        """The calls that answer with an event stream, each by the operation id of the call that it stands for."""
        named = ((one.spec.get("x-polyreel-streams"), one) for one in self.operations.values())
        return {plain: one for plain, one in named if plain and one.role == "stream"}

    def match(self, method: str, path: str) -> tuple[Operation, Mapping[str, str]] | None:
        """The call for a method and a (still quoted) path, and its path parameters; fixed paths win over templates."""
        parts = [unquote(part) for part in path.split("/")]
        found: Iterator[tuple[Operation, Mapping[str, str]]] = (
            (operation, parameters)
            for operation in self.operations.values()
            if operation.method == method and (parameters := _fit(operation.full_path.split("/"), parts)) is not None
        )
        return min(found, key=lambda one: len(one[1]), default=None)

    def resolve(self, node: Any) -> Any:
        """A node with its local reference followed."""
        while isinstance(node, dict) and "$ref" in node:
            target: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            node = target
        return node

    def schema(self, name: str) -> Json:
        """A named schema."""
        found = self.document["components"]["schemas"][name]
        assert isinstance(found, dict)
        return found

    def property(self, name: str, place: str) -> Json | None:
        """The schema of a dotted place in a named schema, or None."""
        node: Any = self.schema(name)
        for part in place.split("."):
            node = self.resolve(self.resolve(node).get("properties", {}).get(part))
            if node is None:
                return None
        assert isinstance(node, dict)
        return node

    def properties(self, name: str) -> Iterator[str]:
        """Every dotted place of a named schema; objects are listed by their members."""
        yield from self._places(self.schema(name), "")

    def _places(self, node: Json, prefix: str) -> Iterator[str]:
        for part, child in node.get("properties", {}).items():
            schema = self.resolve(child)
            if schema.get("properties"):
                yield from self._places(schema, f"{prefix}{part}.")
            else:
                yield prefix + part

    def replies(self, operation: Operation) -> Iterator[tuple[int, str, str, Any]]:
        """Every example reply: HTTP status, content type, example name, body."""
        for status, reply in operation.spec["responses"].items():
            for content_type, media in self.resolve(reply).get("content", {}).items():
                for name, example in media.get("examples", {}).items():
                    yield int(status), content_type, name, self.resolve(example).get("value")

    def reply_schema(self, operation: Operation, status: int) -> Json | None:
        """The JSON schema of a reply, or None where the spec has none."""
        reply = self.resolve(operation.spec["responses"].get(str(status)))
        if reply is None:
            return None
        media = reply.get("content", {}).get("application/json")
        return None if media is None else media.get("schema")

    # -- checking --------------------------------------------------------------------------------

    def accepts(self, schema: str, body: Any) -> list[Breach]:
        """What keeps the vendor from accepting a body, by its documents."""
        return self._check(self._open[SCHEMAS + schema], schema, body)

    def sends(self, schema: str, body: Any) -> list[Breach]:
        """What keeps polyreel from sending a body: the documents read strictly, without unknown fields and aliases."""
        return self._check(self._closed[SCHEMAS + schema], schema, body)

    def broken_rules(self, schema: Json, body: Any) -> list[tuple[int, Breach]]:
        """What a body breaks of a schema's `x-polyreel-rules`, each with the number of the rule."""
        return [(at, one) for at, rule in enumerate(schema.get("x-polyreel-rules", ())) for one in _rule(rule, body)]

    def fits(self, schema: Json, value: Any) -> list[Breach]:
        """What is wrong with a value under any schema of this document, such as a reply's."""
        import jsonschema_rs  # noqa: PLC0415

        whole = {"$schema": DIALECT, **schema, "components": self.document.get("components", {})}
        return [_breach(error) for error in jsonschema_rs.validator_for(whole).iter_errors(value)]

    def _check(self, validator: jsonschema_rs.Validator, schema: str, body: Any) -> list[Breach]:
        try:
            breaches = [] if validator.is_valid(body) else [_breach(error) for error in validator.iter_errors(body)]
        except UnicodeEncodeError:
            return [Breach((), "text", "holds half a character (a lone surrogate), which no JSON text can carry")]
        except (ValueError, RecursionError) as error:
            return [Breach((), "json", f"is not JSON that can be checked: {str(error)[:120]}")]
        for fields, rule in self._rules(schema):
            if not (isinstance(body, dict) and fields.isdisjoint(body)):
                breaches += _rule(rule, body)
        return breaches

    def _rules(self, schema: str) -> list[tuple[frozenset[str], Json]]:
        """The rules of a schema, each with the fields that can break it: without them it has nothing to say."""
        if schema not in self._rules_of:
            rules = self.schema(schema).get("x-polyreel-rules", ())
            self._rules_of[schema] = [(frozenset(map(_field, _counted(rule))), rule) for rule in rules]
        return self._rules_of[schema]

    @cached_property
    def _rules_of(self) -> dict[str, list[tuple[frozenset[str], Json]]]:
        return {}

    @cached_property
    def _open(self) -> jsonschema_rs.ValidatorMap:
        return _validators(self.document, formats=False)

    @cached_property
    def _closed(self) -> jsonschema_rs.ValidatorMap:
        return _validators(self.closed_document, formats=True)

    @cached_property
    def closed_document(self) -> Json:
        """The document as polyreel sends: request objects closed, aliases removed, send-required fields required."""
        document: Json = json.loads(json.dumps(self.document))
        copy = Contract(document)
        seen: set[int] = set()
        for operation in copy.operations.values():
            for name in operation.request_schemas:
                copy._close(copy.schema(name), seen)
        return document

    def _close(self, node: Json, seen: set[int]) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        if "properties" in node:
            node["additionalProperties"] = False
            for name in [name for name, child in node["properties"].items() if "x-polyreel-accept-only" in child]:
                del node["properties"][name]
            required = node.get("required", []) + node.get("x-polyreel-send-required", [])
            if required:
                node["required"] = sorted(set(required))
        for child in [*node.get("properties", {}).values(), node.get("items")]:
            if isinstance(child, dict):
                self._close(self.resolve(child), seen)


def _fit(template: list[str], parts: list[str]) -> Mapping[str, str] | None:
    if len(template) != len(parts):
        return None
    pairs = list(zip(template, parts, strict=True))
    if any(part != own and not (own.startswith("{") and part) for own, part in pairs):
        return None
    return {own.strip("{}"): part for own, part in pairs if own.startswith("{")}


def _validators(document: Json, *, formats: bool) -> jsonschema_rs.ValidatorMap:
    import jsonschema_rs  # noqa: PLC0415

    # Only the schemas are compiled: example bodies could look like references.
    whole = {"$schema": DIALECT, "components": {"schemas": document["components"]["schemas"]}}
    return jsonschema_rs.validator_map_for(whole, validate_formats=formats)


_LIMITS: Final = ("limit", "options", "property", "unexpected", "format", "expected_value", "pattern", "types")


def _breach(error: jsonschema_rs.ValidationError) -> Breach:
    facts = error.kind.as_dict()
    limit = next((facts[name] for name in _LIMITS if name in facts), None)
    return Breach(tuple(error.instance_path), error.kind.name, error.message, limit)


# -- rules that JSON Schema cannot say (x-polyreel-rules) -----------------------------------------


def _rule(rule: Mapping[str, Any], body: Any) -> Iterator[Breach]:
    if any(not _find(body, at) for at in rule.get("when", [])):
        return
    if "at_most" in rule:
        counted = [(at, _count(body, at)) for at in rule["of"]]
        total = sum(count for _, count in counted)
        if total > rule["at_most"]:
            names = " + ".join(at.rpartition("/")[2] for at, _ in counted)
            first = next(at for at, count in counted if count)
            yield Breach(
                _path(first), "at_most", f"{names} come to {total}, at most {rule['at_most']} together", rule["at_most"]
            )
    elif "total" in rule:
        texts = [str(part) for part in _find(body, rule["total"])]
        # Longer numbers are no durations, and int() refuses the longest.
        parts = [int(text[:10]) for text in texts if text.isascii() and text.isdigit()]
        wanted = next(iter(_find(body, rule["equals"])), rule.get("default"))
        if parts and (total := sum(parts)) != wanted:
            at = _path(rule["total"].partition("/*")[0])
            yield Breach(at, "total", f"the parts come to {total}, they must make {wanted}", wanted)
    elif "public_https" in rule:
        for url in _find(body, rule["public_https"]):
            if isinstance(url, str) and (reason := not_public_https(url)):
                yield Breach(_path(rule["public_https"]), "public_https", reason, "a public https address")


def _counted(rule: Mapping[str, Any]) -> list[str]:
    """The places whose values can break a rule."""
    return [*rule.get("of", ()), *(rule[kind] for kind in ("total", "public_https") if kind in rule)]


def _field(at: str) -> str:
    """The field of the body that a place is in."""
    return at.strip("/").partition("/")[0]


def _count(body: Any, at: str) -> int:
    """How many items a place holds; a scalar counts one."""
    return sum(len(value) if isinstance(value, list) else 1 for value in _find(body, at))


def _path(at: str) -> tuple[str | int, ...]:
    return tuple(at.strip("/").split("/"))


def _find(body: Any, at: str) -> list[Any]:
    """The values at a pointer whose `*` stands for every item."""
    values = [body]
    for part in at.strip("/").split("/"):
        found: list[Any] = []
        for value in values:
            if part == "*" and isinstance(value, list):
                found += value
            elif isinstance(value, dict) and part in value:
                found.append(value[part])
        values = found
    return values


def not_public_https(url: str) -> str | None:
    """Why a callback address is refused: not https, or a host that cannot be a public one."""
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "not a valid URL"
    if parts.scheme != "https" or not host or any(character.isspace() for character in url):
        return "only https addresses are called back"
    if parts.username or parts.password:
        return "no name or password in the address"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # Numbers such as 127.1 or 0x7f000001 are addresses to many resolvers; one label is nobody's public name.
        last = host.rpartition(".")[2]
        private = "." not in host or last in PRIVATE_SUFFIXES or last[:1].isdigit()
        return f"{host} is not reachable from outside" if private else None
    return None if is_public(address) else f"{host} is not reachable from outside"


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is on the public internet, also where an IPv6 address wraps an IPv4 one."""
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else address.ipv4_mapped
        if wrapped is not None:
            return is_public(wrapped)
        if address not in UNICAST or any(address in network for network in TUNNELS):
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in NOT_FOR_HOSTS)
