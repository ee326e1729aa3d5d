"""How a vendor is called: its key, constant headers, the place of a job's id."""

from __future__ import annotations

import re
from typing import Final

from ..places import JsonObject
from ..providers.base.contract import Contract, Operation
from .choosing import id_parameter

TODO: Final = "TODO: "
SCHEME_WORD: Final = re.compile(
    r"(?<!API )\b(Bearer|Token|ApiKey|Key)\b(?=\s*[<{\[$\"'*]|\s+\w*(?i:key)\b|\s*$)"
)
"""The word before a key, as texts about the header show it."""
NO_CONSTANTS: Final = frozenset({"authorization", "content-type", "accept", "user-agent"})
"""Headers that polyreel sets itself."""
PREFERRED: Final = ("http", "apiKey", "oauth2", "openIdConnect")


def complete_keys(document: JsonObject, create: Operation) -> None:
    """Leave one way for the key to travel, in the form that polyreel reads."""
    schemes = document["components"].get("securitySchemes", {})
    wanted = create.spec.get("security", document.get("security")) or []
    names = [name for one in wanted for name in one if name in schemes] or list(schemes)
    kinds = [(_preference(schemes[name]), name) for name in names]
    found = min(kinds, default=(0, ""), key=lambda pair: pair[0])[1]
    name = found or "key"
    scheme = _readable(schemes[found]) if found else _of_parameter(document, create)
    document["components"]["securitySchemes"] = {name: scheme}
    document["security"] = [{name: []}]
    for item in document["paths"].values():
        for spec in item.values():
            spec.pop("security", None)


def _preference(scheme: JsonObject) -> int:
    kind = scheme.get("type")
    usable = kind != "apiKey" or scheme.get("in") == "header"
    return PREFERRED.index(kind) if usable and kind in PREFERRED else len(PREFERRED)


def _readable(scheme: JsonObject) -> JsonObject:
    """A scheme as bearer or as a header of the vendor's own."""
    kind, word = scheme.get("type"), str(scheme.get("scheme", "")).lower()
    about = str(scheme.get("description", ""))
    if kind == "http" and word == "bearer":
        return scheme
    if kind == "http" and word not in {"basic", "digest"}:
        own = str(scheme.get("scheme"))
        return {"type": "apiKey", "in": "header", "name": "Authorization"} | _prefixed(own)
    if kind == "apiKey" and scheme.get("in") == "header":
        if scheme["name"].lower() != "authorization" or "x-polyreel-prefix" in scheme:
            return scheme
        return {**scheme, **_guessed_prefix(about)}
    question = f"{TODO}the document has the scheme {kind} {word or scheme.get('in', '')}"
    return {"type": "http", "scheme": "bearer", "description": f"{question}; how does a key go?"}


def _prefixed(word: str) -> JsonObject:
    return {"x-polyreel-prefix": f"{word} "}


def _guessed_prefix(about: str) -> JsonObject:
    """The word before the key in `Authorization`, as far as a text tells it."""
    if found := SCHEME_WORD.search(about):
        return _prefixed(found[1])
    question = f"{TODO}which word stands before the key in Authorization?"
    return {"description": f"{question} {about}".strip()}


def _of_parameter(document: JsonObject, create: Operation) -> JsonObject:
    """The scheme of a header that stands among the parameters of a call."""
    for one in create.spec.get("parameters", ()):
        name = one["name"]
        if one.get("in") != "header" or not re.search(r"authorization|api-?key|^key$", name, re.I):
            continue
        about = f"{one.get('description', '')} {one.get('schema', {}).get('example', '')}"
        if name.lower() == "authorization" and re.search(r"\bbearer\b", about, re.IGNORECASE):
            return {"type": "http", "scheme": "bearer"}
        return _readable({"type": "apiKey", "in": "header", "name": name, "description": about})
    return {
        "type": "http",
        "scheme": "bearer",
        "description": f"{TODO}the document does not say how a key goes to the vendor",
    }


def complete_headers(document: JsonObject) -> None:
    """Give required headers that have one value that value, and leave out those of the key."""
    scheme = next(iter(document["components"]["securitySchemes"].values()))
    own = {scheme.get("name", "").lower(), *NO_CONSTANTS}
    for operation in Contract(document).operations.values():
        spec = document["paths"][operation.path][operation.method.lower()]
        kept = [
            one
            for one in spec["parameters"]
            if one.get("in") != "header" or one["name"].lower() not in own
        ]
        spec["parameters"] = kept
        repeats = spec.get("x-polyreel-idempotency", {}).get("header")
        for one in kept:
            if one.get("in") == "header" and one.get("required") and one["name"] != repeats:
                _fix_value(Contract(document), one)


def _fix_value(contract: Contract, header: JsonObject) -> None:
    schema = dict(contract.resolve(header.get("schema", {})))
    values = schema.get("enum", [])
    if "const" not in schema and len(values) == 1:
        schema = {**schema, "const": values[0]}
        del schema["enum"]
    elif "const" not in schema:
        given = [schema[key] for key in ("default", "example") if key in schema] or values[-1:]
        asked = f"{TODO}which value has this header?"
        header["description"] = f"{asked} {header.get('description', '')}".strip()
        schema |= {"const": given[0]} if given else {}
    header["schema"] = schema


def mark_id(document: JsonObject, query: Operation) -> None:
    """Mark the parameter of the query that takes a job's id, where it is not in the path."""
    place = id_parameter(query)
    for one in document["paths"][query.path][query.method.lower()]["parameters"]:
        if place is not None and one["name"] == place["name"] and one.get("in") == "query":
            several = one["name"].lower().endswith("ids")
            one["x-polyreel-task-id"] = {"separator": ","} if several else True
            one["required"] = True
