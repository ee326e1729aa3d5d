"""Guesses the tables of a vendor from its contract, as Python source: routes and their rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, Final

from attrs import Factory, define, frozen

from ..mapping.workflows import WORKFLOWS
from ..places import JsonObject
from ..providers.base.calling import PLACEHOLDER
from ..providers.base.contract import Contract, Operation
from . import matching
from .document import TODO, Draft
from .further import item_kinds
from .plain import choices_of, schema_of
from .typed import typed_items

SHARED: Final = Contract.load("polyreel")
MODEL_NAMES: Final = ("model", "model_name", "model_id", "engine", "modelName")
NEVER_GUESSED: Final = frozenset({"model", "extra", "shots", "elements"})
MOST_MODELS: Final = 6
MOST_ASKED: Final = 4
"""How many words of an unknown meaning a draft names."""
MODEL_PATH: Final = re.compile(r"model|endpoint|engine", re.IGNORECASE)
"""The names of parameters of a path that hold the name of a model."""


@frozen
class RouteSource:
    """One route: a model, a workflow, and its rows as Python source."""

    model: str
    workflow: str
    operation: str
    schema: str
    model_row: str
    """The row of the model's name; empty where the body has none."""
    rows: tuple[str, ...]
    ignored: Mapping[str, str]
    path_values: Mapping[str, str] = Factory(dict)
    """What stands for the parameters of the paid call's path."""


@define
class _Body:
    """The guesses about one request schema."""

    contract: Contract
    schema: str
    shared: str
    models: tuple[str, ...] = ()
    """The names of models in the examples of the document."""
    constants: dict[str, list[str]] = Factory(dict)
    """Native place to the words that the route decides."""
    fields: dict[str, tuple[str, str]] = Factory(dict)
    """Shared field to native place and source of the row."""
    typed: set[str] = Factory(set)
    """Native places of lists of typed items."""
    ignored: dict[str, str] = Factory(dict)
    """Native place to the reason why it has no row."""

    def guess(self) -> None:
        """Find a row for every native place."""
        for place in self.contract.properties(self.schema):
            node = schema_of(self.contract, self.contract.property(self.schema, place) or {})
            if (values := _constant_words(place, node, self.models)) is not None:
                self.constants[place] = values
            elif not self._has_typed_items(place) and not self._matched(place, node):
                about = str(node.get("description", "")).strip().partition("\n")[0][:60]
                subject = f" for: {about}" if about else ""
                kinds = ", ".join(item_kinds(self.contract, node))
                found = f"items of the kinds {kinds}" if kinds else "no shared field was found"
                self.ignored[place] = f"{TODO}{found}{subject}"

    def _matched(self, place: str, node: JsonObject) -> bool:
        choices = list(choices_of(self.contract, node))
        for field in matching.candidates(place):
            if field in self.fields or field in NEVER_GUESSED:
                continue
            target = SHARED.property(self.shared, field)
            if target is None:
                continue
            for choice in choices:
                items = self.contract.resolve(choice.get("items", {}))
                plain = {**choice, "items": items} if items else choice
                if (row := row_of(field, place, plain, target)) is not None:
                    self.fields[field] = (place, row)
                    return True
        return False

    def _has_typed_items(self, place: str) -> bool:
        offered = SHARED.schema(self.shared)["properties"]
        found = typed_items(self.contract, self.schema, place, offered, self.fields)
        if found is not None:
            self.fields |= dict.fromkeys(found.fields, (place, found.row))
            self.typed.add(place)
        return found is not None

    def needs(self, field: str) -> bool:
        """Whether the vendor demands a shared field; of typed items it is not known."""
        place = self.fields[field][0]
        return place not in self.typed and self.is_required(place)

    def is_required(self, place: str) -> bool:
        """Whether the vendor demands a native place, or the object that it is in."""
        return place.partition(".")[0] in self.contract.schema(self.schema).get("required", ())


def _constant_words(place: str, node: JsonObject, models: tuple[str, ...] = ()) -> list[str] | None:
    """The words of a place that the route decides: names of models, or one word; else None."""
    if isinstance(node.get("const"), str):
        return [node["const"]]
    if matching.is_beside(place):
        return None
    words = [word for word in node.get("enum", ()) if isinstance(word, str)]
    if place in MODEL_NAMES:
        single = [node[key] for key in ("default", "example") if isinstance(node.get(key), str)]
        return words[:MOST_MODELS] or single[:1] or [*models] or ["TODO"]
    return words if len(words) == 1 and "." not in place else None


def row_of(field: str, place: str, node: JsonObject, target: JsonObject) -> str | None:
    """The source of a row; None where the native type cannot hold the field."""
    if "enum" in node:
        return _choice_row(field, place, node["enum"], tuple(target.get("enum", ())))
    # A field without one type takes a number, or `auto`.
    kind, wanted = node.get("type"), target.get("type", "integer")
    items = node.get("items", {})
    if kind == "array" and wanted == "string" and items.get("type") == "string":
        return _row(field, place, "Only()")
    if kind == wanted == "array" and items.get("type") != "string":
        return _items_row(field, place, items)
    if kind != wanted and not (kind == "number" and wanted == "integer"):
        return None
    note = ""
    if field == "resolution":
        note = "which words does the vendor take?"
    elif field == "guidance_scale" and node.get("maximum") != 1:
        note = "the shared scale goes from 0 to 1: a codec is needed"
    return _row(field, place, note=note)


def _items_row(field: str, place: str, items: JsonObject) -> str | None:
    """A row whose native items are objects that hold nothing but a link; else None."""
    members = items.get("properties", {})
    links = [name for name in members if name.lower() in matching.LINK_NAMES]
    if len(links) != 1 or set(items.get("required", ())) - set(links):
        return None
    return _row(field, place, f"Items({literal(links[0])})")


def _row(field: str, place: str, codec: str = "", note: str = "") -> str:
    note = f"note={literal(TODO + note)}" if note else ""
    arguments = [literal(field), literal(place), codec, note]
    return f"Field({', '.join(filter(None, arguments))})"


def _choice_row(field: str, place: str, words: list[Any], offered: tuple[Any, ...]) -> str | None:
    """A row whose native words are the shared ones, or stand for them."""
    pairs = {
        word: matching.meaning_of(field, word, offered)
        for word in words
        if isinstance(word, str | int)
    }
    known = {native: shared for native, shared in pairs.items() if shared is not None}
    if all(type(native) is type(shared) and native == shared for native, shared in pairs.items()):
        return _row(field, place)
    if not known or not all(isinstance(native, str) for native in known):
        return None
    unknown = [native for native in pairs if native not in known]
    shared_words = list(known.values())
    ambiguous = [native for native, shared in known.items() if shared_words.count(shared) > 1]
    asked = [str(one) for one in unknown + ambiguous]
    more = f", and {len(asked) - MOST_ASKED} more," if len(asked) > MOST_ASKED else ""
    note = f"what do [{', '.join(asked[:MOST_ASKED])}]{more} mean?" if asked else ""
    once = {shared: native for native, shared in reversed(known.items())}  # the first of equals
    table = ", ".join(f"{literal(one)}: {literal(once[one])}" for one in reversed(once))
    return _row(field, place, f"Choice({{{table}}})", note)


# -- routes --------------------------------------------------------------------------------------


def tables(draft: Draft, family: str) -> Iterator[RouteSource]:
    """The routes: one for every model and workflow that the request bodies may be for."""
    contract = draft.contract
    for call in (contract.operations[one] for one in draft.creates):
        for schema in call.request_schemas:
            shared = "ImageRequest" if _is_about_images(call) else "VideoRequest"
            body = _Body(contract, schema, shared, tuple(_models(contract, call, schema)))
            body.guess()
            if ["TODO"] in body.constants.values():
                text = f"{call.method} {call.path}: the document has no names of models"
                draft.not_done.append(text)
            yield from _routes(call, body, family)


def _models(contract: Contract, call: Operation, schema: str) -> Iterator[str]:
    """The names of models in the examples of a body."""
    own = [contract.schema(schema).get("example"), *call.request_examples.values()]
    for example in own:
        for place in MODEL_NAMES if isinstance(example, dict) else ():
            if isinstance(name := example.get(place), str):
                yield name
                return


def _is_about_images(call: Operation) -> bool:
    words = f"{call.path} {call.id}".lower()
    return "image" in words and "video" not in words and "clip" not in words


def _routes(call: Operation, body: _Body, family: str) -> Iterator[RouteSource]:
    place = next((one for one in MODEL_NAMES if one in body.constants), None)
    constants = tuple(
        _constant(body, other, values[0])
        for other, values in body.constants.items()
        if other != place
    )
    rows = (*constants, *dict.fromkeys(row for _, row in body.fields.values()))
    paths = list(_path_values(body.contract, call))
    named = body.constants[place] if place else [""]
    for workflow, values, model in product(_workflows(body), paths, named):
        of_path = next((word for name, word in values.items() if MODEL_PATH.search(name)), "")
        yield RouteSource(
            model=slug(model or of_path) or family,
            workflow=workflow,
            operation=call.id,
            schema=body.schema,
            model_row=_constant(body, place, model, field="model") if place else "",
            rows=rows,
            ignored=body.ignored,
            path_values=values,
        )


def _path_values(contract: Contract, call: Operation) -> Iterator[dict[str, str]]:
    """What can stand for the parameters of a path: closed lists, or an example of the document.

    The contract is changed: a parameter whose values have slashes is marked.
    """
    names = PLACEHOLDER.findall(call.path)
    parameters = {one["name"]: one for one in call.spec["parameters"] if one.get("in") == "path"}
    choices = []
    for name in names:
        parameter = parameters.get(name, {})
        schema = contract.resolve(parameter.get("schema", {}))
        shown = [one.get("value") for one in parameter.get("examples", {}).values()]
        single = [schema[key] for key in ("const", "default", "example") if key in schema]
        words = schema.get("enum", [*single, *shown][:1])
        choices.append([word for word in words if isinstance(word, str)][:MOST_MODELS] or ["TODO"])
        if any("/" in word for word in choices[-1]):
            parameter["x-polyreel-slashes"] = True
    yield from (dict(zip(names, words, strict=True)) for words in product(*choices))


def _constant(body: _Body, place: str, value: str, field: str = "") -> str:
    """The row of a word that the route decides; optional where the vendor does not demand it."""
    arguments = [literal(place), literal(value)]
    if field:
        arguments.append(f"field={literal(field)}")
    if not body.is_required(place) and len(body.constants[place]) == 1:
        arguments.append("optional=True")
    return f"Constant({', '.join(arguments)})"


def _workflows(body: _Body) -> list[str]:
    if body.shared == "ImageRequest":
        return ["generate-image"]
    found = [
        name for name, inputs in WORKFLOWS.items() if any(one in body.fields for one in inputs)
    ]
    demanded = any(
        body.needs(one) for inputs in WORKFLOWS.values() for one in inputs if one in body.fields
    )
    return [*([] if demanded else ["text-to-video"]), *reversed(found)]


def literal(value: object) -> str:
    """A value as Python source, so that no text of a document becomes code."""
    if not isinstance(value, str):
        return repr(value)
    return json.dumps(value, ensure_ascii=False) if value.isprintable() else ascii(value)


def slug(model: str) -> str:
    """A model's name as a shared family name."""
    return "".join(
        letter if letter.isalnum() or letter in ".-" else "-" for letter in model.lower()
    ).strip("-")


__all__ = ["RouteSource", "literal", "row_of", "slug", "tables"]
