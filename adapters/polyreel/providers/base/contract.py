"""A vendor's contract: its OpenAPI document, as operations, schemas, examples and a validator.

One document serves three readers:

- plans are checked as polyreel *sends* (closed: no unknown fields, formats asserted, no aliases),
- the simulator checks as the vendor *accepts* (open, as documented),
- the mapping and the documentation read limits and defaults.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pkgutil import get_data
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from attrs import frozen

from ...places import Json, JsonObject, follow_references, pointer_parts, value_at
from .rules import field_of_place, places_counted, violations_of_rule
from .schemas import SCHEMAS, NamedSchemas, SchemaViolation, compiled_schema, violation_of

if TYPE_CHECKING:
    import jsonschema_rs


@frozen(eq=False)
class Operation:
    """One call a vendor offers."""

    id: str
    method: str
    path: str
    role: str
    """Its `x-polyreel-role`, such as `create` or `get`; empty without one."""
    server: str
    """The base URL, which can have a path of its own."""
    spec: Mapping[str, Any]
    """The operation as it stands in the document."""

    @property
    def is_read_only(self) -> bool:
        """Whether it is never made: its stored bodies are read (`x-polyreel-read-only`)."""
        return self.spec.get("x-polyreel-read-only", False) is True

    @cached_property
    def request_schemas(self) -> tuple[str, ...]:
        """The names of the schemas of the JSON body, one for each form."""
        schema = self._body("application/json").get("schema", {})
        options = schema.get("oneOf") or schema.get("anyOf") or [schema]
        return tuple(option["$ref"].removeprefix(SCHEMAS) for option in options if "$ref" in option)

    @cached_property
    def request_examples(self) -> Mapping[str, Any]:
        """The example bodies, by name."""
        return {name: example["value"] for name, example in self._examples.items()}

    @cached_property
    def example_paths(self) -> Mapping[str, str]:
        """The path that each example body is for, by the example's name.

        Where the path says the model, an example has its `x-polyreel-endpoint`.
        """
        place = f"{{{self.slashed}}}"
        return {
            name: self.path.replace(place, example.get("x-polyreel-endpoint", place))
            for name, example in self._examples.items()
        }

    @property
    def _examples(self) -> Mapping[str, Any]:
        found = self._body("application/json").get("examples", {})
        assert isinstance(found, Mapping)
        return found

    @cached_property
    def full_path(self) -> str:
        """The path below the host."""
        return urlsplit(self.server).path.rstrip("/") + self.path

    @cached_property
    def slashed(self) -> str | None:
        """The parameter of the path whose value can have slashes, if there is one."""
        found = self.spec.get("parameters", ())
        return next((one["name"] for one in found if one.get("x-polyreel-slashes")), None)

    @cached_property
    def _template(self) -> list[str]:
        return self.full_path.split("/")

    def fit(self, path: str) -> Mapping[str, str] | None:
        """The parameters in a (still quoted) path that is one of this call; None for others."""
        return self.fit_parts(_parts(path))

    def fit_parts(self, parts: Sequence[str]) -> Mapping[str, str] | None:
        """The same for the parts of a path, which are not quoted any more."""
        template = self._template
        if self.slashed is not None and len(parts) > len(template):
            place = f"{{{self.slashed}}}"
            if place in template:
                start, more = template.index(place), len(parts) - len(template) + 1
                whole = "/".join(parts[start : start + more])
                parts = [*parts[:start], whole, *parts[start + more :]]
        return _fit(template, parts)

    @cached_property
    def takes_files(self) -> bool:
        """Whether the call accepts multipart/form-data."""
        return bool(self._body("multipart/form-data"))

    def _body(self, content_type: str) -> Mapping[str, Any]:
        found = self.spec.get("requestBody", {}).get("content", {}).get(content_type, {})
        assert isinstance(found, Mapping)
        return found


class Contract:
    """One OpenAPI document, each part of which is read when it is first asked for."""

    def __init__(self, document: JsonObject) -> None:
        self.document = document
        self._rules_of: dict[str, list[tuple[frozenset[str], JsonObject]]] = {}
        self._examples: dict[str, list[tuple[int, str, str, Any]]] = {}

    @classmethod
    def load(cls, name: str) -> Contract:
        """A contract that ships with polyreel. It is read once."""
        return _shipped(name)

    # -- what the document says ------------------------------------------------------------------

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """Every call that may be made, by its operation id."""
        return {name: one for name, one in self._described.items() if not one.is_read_only}

    @cached_property
    def read_only_operations(self) -> Mapping[str, Operation]:
        """The calls that are never made, and whose stored bodies are read, by operation id."""
        return {name: one for name, one in self._described.items() if one.is_read_only}

    @cached_property
    def _described(self) -> Mapping[str, Operation]:
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
        return self._first_by_role.get(role)

    @cached_property
    def _first_by_role(self) -> Mapping[str, Operation]:
        return {one.role: one for one in reversed([*self.operations.values()])}

    @cached_property
    def streams(self) -> Mapping[str, Operation]:
        """The calls that answer with an event stream, by the id of the plain call of each."""
        named = ((one.spec.get("x-polyreel-streams"), one) for one in self.operations.values())
        return {plain: one for plain, one in named if plain and one.role == "stream"}

    @property
    def no_money(self) -> tuple[str | int, ...]:
        """Codes, and statuses beside 402, of refusals that say that the account cannot pay."""
        return tuple(self.document.get("x-polyreel-no-money", ()))

    @cached_property
    def upload_facts(self) -> JsonObject:
        """What the upload of a file takes of media, `x-polyreel-media`; nothing where none says."""
        upload = self.operation("upload")
        content = upload.spec["requestBody"]["content"] if upload else {}
        form = self.resolve(content.get("multipart/form-data", {}).get("schema", {}))
        found = (one.get("x-polyreel-media") for one in form.get("properties", {}).values())
        return next((facts for facts in found if facts), {})

    def match(
        self, method: str, path: str, *, read_only: bool = False
    ) -> tuple[Operation, Mapping[str, str]] | None:
        """The call for a method and a (still quoted) path, with its path parameters.

        With `read_only` it is one of those that are never made. Where several fit, the one with the
        fewest parameters is meant, and one with slashes in a parameter last. None where none fits.
        """
        among = self.read_only_operations if read_only else self.operations
        found = self._fitting(path, (one for one in among.values() if one.method == method))
        return min(found, key=_vagueness, default=None)

    def _fitting(
        self, path: str, among: Iterable[Operation]
    ) -> Iterator[tuple[Operation, Mapping[str, str]]]:
        parts = _parts(path)
        for operation in among:
            if (values := operation.fit_parts(parts)) is not None:
                yield operation, values

    def methods(self, path: str) -> list[str]:
        """The methods of a (still quoted) path: none where it is not in the spec.

        Where several paths of the spec fit, those with the fewest parameters are meant.
        """
        found = self._fitting(path, self.operations.values())
        fitting = [(_vagueness(one), one[0].method) for one in found]
        least = min((count for count, _ in fitting), default=(False, 0))
        return sorted({method for count, method in fitting if count == least})

    def resolve(self, node: Any) -> Any:
        """A node with its local reference followed; PlaceError where that leads nowhere."""
        if not isinstance(node, dict) or "$ref" not in node:
            return node
        start = pointer_parts(node["$ref"].removeprefix("#"))
        return value_at(self.document, follow_references(self.document, start))

    def schema(self, name: str) -> JsonObject:
        """A named schema; KeyError where there is none."""
        found = self.document["components"]["schemas"][name]
        assert isinstance(found, dict)
        return found

    def schemas_at(self, operation: Operation, path: str) -> tuple[str, ...]:
        """The schemas of the bodies that a call takes at a (still quoted) path.

        Where the path says the model, a schema lists its `x-polyreel-endpoints`.
        """
        values = operation.fit(path) or {}
        endpoint = values.get(operation.slashed or "")
        listed = {
            name: self.schema(name).get("x-polyreel-endpoints", ())
            for name in operation.request_schemas
        }
        if not any(listed.values()):
            return operation.request_schemas
        return tuple(name for name, endpoints in listed.items() if endpoint in endpoints)

    def property(self, name: str, place: str) -> JsonObject | None:
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

    def _places(self, node: JsonObject, prefix: str) -> Iterator[str]:
        for part, child in node.get("properties", {}).items():
            schema = self.resolve(child)
            if schema.get("properties"):
                yield from self._places(schema, f"{prefix}{part}.")
            else:
                yield prefix + part

    def required(self, name: str) -> Iterator[str]:
        """Every dotted place of a named schema that its object demands."""
        yield from self._required(self.schema(name), "")

    def _required(self, node: JsonObject, prefix: str) -> Iterator[str]:
        yield from (prefix + part for part in node.get("required", ()))
        for part, child in node.get("properties", {}).items():
            yield from self._required(self.resolve(child), f"{prefix}{part}.")

    def replies(self, operation: Operation) -> Iterator[tuple[int, str, str, Any]]:
        """Every example reply: HTTP status, content type, example name, body."""
        if operation.id not in self._examples:
            self._examples[operation.id] = [
                (int(status), content_type, name, self.resolve(example).get("value"))
                for status, reply in operation.spec["responses"].items()
                for content_type, media in self.resolve(reply).get("content", {}).items()
                for name, example in media.get("examples", {}).items()
            ]
        return iter(self._examples[operation.id])

    def reply_schema(self, operation: Operation, status: int) -> JsonObject | None:
        """The JSON schema of a reply, or None where the spec has none."""
        place = (operation.id, status)
        if place not in self._reply_schemas:
            self._reply_schemas[place] = self._reply_schema(operation, status)
        return self._reply_schemas[place]

    @cached_property
    def _reply_schemas(self) -> dict[tuple[str, int], JsonObject | None]:
        return {}

    def _reply_schema(self, operation: Operation, status: int) -> JsonObject | None:
        reply = self.resolve(operation.spec["responses"].get(str(status)))
        if reply is None:
            return None
        media = reply.get("content", {}).get("application/json")
        return None if media is None else media.get("schema")

    def is_reply(self, operation: Operation, status: int, value: Json) -> bool:
        """Whether a value is a reply of this HTTP status, as the spec describes it."""
        place = (operation.id, status)
        if place not in self._replies:
            schema = self.reply_schema(operation, status)
            self._replies[place] = compiled_schema(self.document, schema)
        try:
            return self._replies[place].is_valid(value)
        except (ValueError, RecursionError):  # half a character, or a number that is too long
            return False

    @cached_property
    def _replies(self) -> dict[tuple[str, int], jsonschema_rs.Validator]:
        return {}

    # -- checking --------------------------------------------------------------------------------

    def accepts(self, schema: str, body: Json) -> list[SchemaViolation]:
        """What keeps the vendor from accepting a body, by its documents."""
        return self._check(self._open[schema], schema, body)

    def sends(self, schema: str, body: Json) -> list[SchemaViolation]:
        """What keeps polyreel from sending a body: also unknown fields, aliases, wrong formats."""
        return self._check(self._closed[schema], schema, body)

    def broken_rules(self, schema: JsonObject, body: Json) -> list[tuple[int, SchemaViolation]]:
        """What a body breaks of a schema's `x-polyreel-rules`, each with the number of the rule."""
        return [
            (at, one)
            for at, rule in enumerate(schema.get("x-polyreel-rules", ()))
            for one in violations_of_rule(rule, body)
        ]

    def fits(self, schema: JsonObject, value: Json) -> list[SchemaViolation]:
        """What is wrong with a value under any schema of this document, such as a reply's."""
        text = json.dumps(schema, sort_keys=True)
        if text not in self._compiled:
            self._compiled[text] = compiled_schema(self.document, schema)
        return [violation_of(error) for error in self._compiled[text].iter_errors(value)]

    @cached_property
    def _compiled(self) -> dict[str, jsonschema_rs.Validator]:
        return {}

    def _check(
        self, validator: jsonschema_rs.Validator, schema: str, body: Json
    ) -> list[SchemaViolation]:
        try:
            # `is_valid` is much faster, and most bodies are.
            found = [] if validator.is_valid(body) else [*validator.iter_errors(body)]
        except UnicodeEncodeError:
            reason = "holds half a character (a lone surrogate), which no JSON text can carry"
            return [SchemaViolation((), "text", reason)]
        except (ValueError, RecursionError) as error:
            reason = f"is not JSON that can be checked: {str(error)[:120]}"
            return [SchemaViolation((), "json", reason)]
        violations = [violation_of(error, self.document) for error in found] if found else []
        rules = self._rules_of.get(schema)
        for fields, rule in self._rules(schema) if rules is None else rules:
            if not (isinstance(body, dict) and fields.isdisjoint(body)):
                violations += violations_of_rule(rule, body)
        return violations

    def _rules(self, schema: str) -> list[tuple[frozenset[str], JsonObject]]:
        """The rules of a schema, each with the fields that can break it.

        A body without any of these fields cannot break the rule, so the rule is not tried.
        """
        self._rules_of[schema] = [
            (frozenset(map(field_of_place, places_counted(rule))), rule)
            for rule in self.schema(schema).get("x-polyreel-rules", ())
        ]
        return self._rules_of[schema]

    @cached_property
    def _open(self) -> NamedSchemas:
        return NamedSchemas(self.document, formats=False)

    @cached_property
    def _closed(self) -> NamedSchemas:
        return NamedSchemas(self.closed_document, formats=True)

    @cached_property
    def closed_document(self) -> JsonObject:
        """The document as polyreel sends: no unknown fields, no aliases, more required fields."""
        document: JsonObject = json.loads(json.dumps(self.document))
        copy = Contract(document)
        seen: set[int] = set()
        for operation in copy._described.values():
            for name in operation.request_schemas:
                copy._close(copy.schema(name), seen)
        return document

    def _close(self, node: JsonObject, seen: set[int]) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        if "properties" in node:
            node["additionalProperties"] = False
            node["properties"] = {
                name: child
                for name, child in node["properties"].items()
                if "x-polyreel-accept-only" not in child
            }
            required = node.get("required", []) + node.get("x-polyreel-send-required", [])
            if required:
                node["required"] = sorted(set(required))
        inner = [*node.get("properties", {}).values(), node.get("items"), *node.get("oneOf", ())]
        for child in inner:
            if isinstance(child, dict):
                self._close(self.resolve(child), seen)


@cache
def _shipped(name: str) -> Contract:
    return Contract(json.loads(data_file("polyreel_generated.contracts", f"{name}.json")))


def data_file(package: str, name: str) -> bytes:
    """A file that lies in a package; FileNotFoundError where there is none."""
    # Not by importlib.resources, which takes longer to import than the file to read.
    content = get_data(package, name)
    if content is None:
        raise FileNotFoundError(f"{package} has no file {name}")
    return content


def _vagueness(found: tuple[Operation, Mapping[str, str]]) -> tuple[bool, int]:
    """How little a path says that fits: with slashes in a parameter least of all."""
    operation, values = found
    return operation.slashed is not None, len(values)


def _parts(path: str) -> list[str]:
    return [unquote(part) for part in path.split("/")]


def _fit(template: Sequence[str], parts: Sequence[str]) -> Mapping[str, str] | None:
    """The parameters of a path that fits a template, by their names; None where it does not."""
    if len(template) != len(parts):
        return None
    pairs = list(zip(template, parts, strict=True))
    if any(part != own and not (own.startswith("{") and part) for own, part in pairs):
        return None
    return {own.strip("{}"): part for own, part in pairs if own.startswith("{")}
