"""Conventions of a spec, its file and its schemas, each with texts that break it."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import yaml
from openapi_python_client.strings import snake_case
from openapi_spec_validator import OpenAPIV31SpecValidator
from polyreel.places import JsonObject, PlaceError
from polyreel.providers.base.contract import Contract

from support.specs import nodes, operations, parse, schemas

Complaints = Iterator[str]
FAST: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where there is C."""


class Law(NamedTuple):
    """A check of a spec's text, and texts that must break it."""

    check: Callable[[str], Complaints]
    broken: tuple[str, ...]


LAWS: Final[dict[str, Law]] = {}


def law(*broken: str) -> Callable[[Callable[[str], Complaints]], None]:
    """Register a check of a whole spec."""

    def register(check: Callable[[str], Complaints]) -> None:
        LAWS[check.__name__] = Law(check, broken)

    return register


def schema_law(*broken: str) -> Callable[[Callable[[JsonObject], Complaints]], None]:
    """Register a check of every single schema of a spec."""

    def register(check: Callable[[JsonObject], Complaints]) -> None:
        def everywhere(source: str) -> Complaints:
            return (
                f"{at}: {complaint}"
                for at, schema in schemas(parse(source))
                for complaint in check(schema)
            )

        LAWS[check.__name__] = Law(
            everywhere, tuple(f"components: {{schemas: {{Bad: {one}}}}}" for one in broken)
        )

    return register


def operation_law(*broken: str) -> Callable[[Callable[[Contract, JsonObject], Complaints]], None]:
    """Register a check of every operation of a spec."""

    def register(check: Callable[[Contract, JsonObject], Complaints]) -> None:
        def everywhere(source: str) -> Complaints:
            reader = Contract(parse(source))
            for at, operation in operations(reader.document):
                yield from (f"{at}: {complaint}" for complaint in check(reader, operation))

        LAWS[check.__name__] = Law(
            everywhere, tuple(f"paths: {{/x: {{post: {one}}}}}" for one in broken)
        )

    return register


@law("openapi: 3.2.0", "openapi: 3.0.3", "openapi: 3.1")
def other_version(source: str) -> Complaints:
    version = parse(source)["openapi"]
    if not isinstance(version, str) or not re.fullmatch(r"3\.1\.\d+", version):
        yield f"OpenAPI {version}"


@law(
    "{openapi: 3.1.0, paths: {}}",
    "{openapi: 3.1.0, info: {title: t, version: '1'}, paths: {'/{id}': {get: {responses: {'200':"
    " {description: d}}}}}}",
)
def invalid_document(source: str) -> Complaints:
    return (error.message for error in OpenAPIV31SpecValidator(parse(source)).iter_errors())


@law(
    "ratio: 16:9",
    "switch: off",
    "switch: [yes]",
    "date: 2026-11-20",
    "'200': {200: {}}",
    "number: .nan",
)
def unquoted(source: str) -> Complaints:
    """YAML 1.1 and 1.2 agree, and on JSON's types only."""
    data = parse(source)
    if yaml.load(source, Loader=FAST) != data:
        yield "YAML 1.1 reads it differently"
    yield from _not_json(data)


def _not_json(value: object) -> Complaints:
    if isinstance(value, dict):
        yield from (f"{key!r} is no string" for key in value if not isinstance(key, str))
        yield from (complaint for child in value.values() for complaint in _not_json(child))
    elif isinstance(value, list):
        yield from (complaint for child in value for complaint in _not_json(child))
    elif not isinstance(value, str | int | float | None) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        yield f"{value!r} is not JSON"


@law("{a: &x {b: 1}}", "[&x 1, *x]", "{a: {<<: {b: 1}}}")
def anchor(source: str) -> Complaints:
    for event in yaml.parse(source, Loader=FAST):
        if getattr(event, "anchor", None) or (
            isinstance(event, yaml.ScalarEvent) and event.value == "<<"
        ):
            yield f"anchor, alias or merge key {event.start_mark}"


@law(
    "components: {schemas: {A: {$ref: common.yaml#/A}}}",
    "components: {schemas: {A: {items: {$ref: '#/components/schemas/B'}}}}",
    "paths: {/x: {get: {responses: {'200': {$ref: '#/components/responses/None'}}}}}",
    "paths: {/x: {post: {requestBody: {content: {a/b: {schema: {discriminator: {mapping: {x:"
    " A}}}}}}}}}",
    "paths: {/x: {post: {requestBody: {content: {a/b: {schema: {x-polyreel-event:"
    " '#/components/schemas/E'}}}}}}}",
)
def reference_out_of_the_file(source: str) -> Complaints:
    document = parse(source)
    places = [*nodes(document), *schemas(document)]
    targets = [(at, node["$ref"]) for at, node in places if isinstance(node.get("$ref"), str)]
    targets += [(at, node["x-polyreel-event"]) for at, node in places if "x-polyreel-event" in node]
    for at, node in schemas(document):
        targets += [
            (at, target) for target in node.get("discriminator", {}).get("mapping", {}).values()
        ]
    for at, target in targets:
        if not target.startswith("#/"):
            yield f"{at}: {target} is outside"
            continue
        try:
            Contract(document).resolve({"$ref": target})
        except PlaceError:
            yield f"{at}: {target} does not exist"


@law("components: {schemas: {ClipO3: {}, Clip_O3: {}}}", "components: {schemas: {AB: {}, Ab: {}}}")
def clashing_names(source: str) -> Complaints:
    """Each schema becomes a module of its snake-cased name."""
    modules = Counter(
        snake_case(name) for name in parse(source).get("components", {}).get("schemas", {})
    )
    yield from (module for module, count in modules.items() if count > 1)


@law(
    "components: {schemas: {Error: {}}}",
    "components: {schemas: {lower_case: {}}}",
    "components: {schemas: {A-B: {}}}",
)
def clumsy_class_name(source: str) -> Complaints:
    for name in parse(source).get("components", {}).get("schemas", {}):
        if name == "Error" or not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
            yield f"a class called {name}"


SHADOWED: Final = {"d", "cls", "field_dict", "additional_properties", "to_dict", "from_dict"}


@schema_law(
    *(f"{{properties: {{{name}: {{type: string}}}}}}" for name in sorted(SHADOWED)),
    "{items: {allOf: [{properties: {toDict: {}}}]}}",
)
def shadowed_property(schema: JsonObject) -> Complaints:
    """The generated model has a variable or method of that name."""
    yield from (name for name in schema.get("properties", {}) if snake_case(name) in SHADOWED)


@schema_law(
    "{const: true}", "{if: {properties: {a: {const: 1}}}}", "{properties: {a: {const: word}}}"
)
def untyped_const(schema: JsonObject) -> Complaints:
    if "const" in schema and "type" not in schema:
        yield f"const {schema['const']!r} without a type"


@schema_law("{enum: [1, a]}", "{properties: {a: {enum: [true, 1]}}}", "{enum: [a, null]}")
def mixed_enum(schema: JsonObject) -> Complaints:
    """The whole schema, and every body that uses it, would be dropped."""
    if len({type(value) for value in schema.get("enum", ())}) > 1:
        yield f"enum {schema['enum']}"


@schema_law("{type: [string, 'null'], enum: [a, null]}", "{type: [string, 'null'], enum: [a]}")
def nullable_enum(schema: JsonObject) -> Complaints:
    if isinstance(schema.get("type"), list) and "enum" in schema:
        yield "a type list beside an enum: write anyOf with null"


@schema_law("{properties: {a: {$ref: '#/components/schemas/Bad', default: x}}}")
def default_beside_reference(schema: JsonObject) -> Complaints:
    if "$ref" in schema and "default" in schema:
        yield "the default would be lost"


@schema_law("{type: number, multipleOf: 0.1}", "{items: {multipleOf: 2}}")
def multiple_of(schema: JsonObject) -> Complaints:
    if "multipleOf" in schema:
        yield "validators disagree on multipleOf"


@schema_law("{properties: {a: true}}", "{then: {properties: {a: false}}}")
def boolean_property(schema: JsonObject) -> Complaints:
    yield from (
        name for name, child in schema.get("properties", {}).items() if isinstance(child, bool)
    )


@schema_law("{additionalProperties: false}", "{properties: {a: {unevaluatedProperties: false}}}")
def closed_object(schema: JsonObject) -> Complaints:
    """Vendors add fields without notice; polyreel closes request schemas itself before it sends."""
    if schema.get("additionalProperties") is False or schema.get("unevaluatedProperties") is False:
        yield "an object closed for good"


@schema_law(
    "{properties: {a: {}}, x-polyreel-send-required: [b]}",
    "{properties: {a: {x-polyreel-accept-only: why}}, x-polyreel-send-required: [a]}",
    "{properties: {a: {x-polyreel-accept-only: why}}, required: [a]}",
    "{x-polyreel-send-required: a}",
)
def unsendable_requirement(schema: JsonObject) -> Complaints:
    """What must be sent is declared, and is not something that is only accepted."""
    declared = schema.get("properties", {})
    names = schema.get("x-polyreel-send-required", [])
    if not isinstance(names, list):
        yield "x-polyreel-send-required is a list of names"
        return
    yield from (f"{name} is not declared" for name in names if name not in declared)
    for name in [*names, *schema.get("required", ())]:
        if "x-polyreel-accept-only" in declared.get(name, {}):
            yield f"{name} is required and never sent"
