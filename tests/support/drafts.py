"""Small documents in the forms that vendors publish, and the packages drafted from them."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from polyreel.places import JsonObject
from polyreel.scaffold import Package

STATES = ["pending", "completed", "failed"]


def text(**more: Any) -> JsonObject:
    return {"type": "string", **more}


def shape(**members: Any) -> JsonObject:
    """An object schema; a member is a schema, or the example of a text."""
    return {"type": "object", "properties": members}


JOB = shape(id=text(), status=text(enum=STATES), url=text())


def answer(schema: JsonObject) -> JsonObject:
    return {"200": {"description": "ok", "content": {"application/json": {"schema": schema}}}}


def post(body: JsonObject, reply: JsonObject = JOB, **more: Any) -> JsonObject:
    content = {"application/json": {"schema": body}}
    return {"post": {"requestBody": {"content": content}, "responses": answer(reply), **more}}


def get(reply: JsonObject = JOB, *parameters: JsonObject, **more: Any) -> JsonObject:
    return {"get": {"parameters": [*parameters], "responses": answer(reply), **more}}


def parameter(name: str, place: str = "query", **more: Any) -> JsonObject:
    return {"name": name, "in": place, "required": True, "schema": text(), **more}


def document(paths: JsonObject, schemas: JsonObject | None = None, **more: Any) -> JsonObject:
    components = {"schemas": schemas or {}, **more.pop("components", {})}
    servers = [{"url": "https://api.vendor.example/"}]
    head = {"openapi": "3.1.0", "info": {"title": "x", "version": "1"}, "servers": servers}
    return {**head, "paths": paths, "components": components, **more}


CLIP = shape(prompt=text(), model=text(enum=["one-1"]))
PLAIN: JsonObject = {"/videos": post(CLIP), "/videos/{id}": get()}


def contract_of(made: Package) -> JsonObject:
    found: JsonObject = json.loads(made.files["fresh/openapi.json"])
    return found


def provider_of(made: Package, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The provider that a package has."""
    for place, content in made.files.items():
        path = folder / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    module = importlib.import_module("fresh")
    del sys.modules["fresh"]
    return module.Fresh()


def without_ours(node: Any) -> Any:
    """A contract as a vendor would publish it: none of polyreel's keys."""
    if isinstance(node, dict):
        return {
            key: without_ours(value)
            for key, value in node.items()
            if not key.startswith("x-polyreel")
        }
    return [without_ours(item) for item in node] if isinstance(node, list) else node


def as_published(contract: JsonObject) -> JsonObject:
    """A contract as a vendor would publish it, with other names for schemas, and without ids."""
    plain: JsonObject = without_ours(contract)
    schemas = plain["components"]["schemas"]
    for name in [*schemas]:
        schemas[f"{name}Published"] = schemas.pop(name)
    renamed = json.dumps(plain)
    for name in schemas:
        old = name.removesuffix("Published")
        renamed = renamed.replace(f'#/components/schemas/{old}"', f'#/components/schemas/{name}"')
    plain = json.loads(renamed)
    for item in plain["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict):
                operation.pop("operationId", None)
    return plain
