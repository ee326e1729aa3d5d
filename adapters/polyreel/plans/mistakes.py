"""What is wrong with a shared request, in the caller's words: one line for each place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from ..errors import RequestError, did_you_mean, near
from ..mapping.workflows import REQUESTS
from ..places import JsonObject
from ..providers.base.contract import Contract

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_RATIOS: Final = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21", "auto")
"""Ratios of width to height that are asked for often, for messages."""
_WHOSE: Final = {
    "VideoRequest": " in a request for a clip",
    "ImageRequest": " in a request for images",
    "ElementRequest": " in a request for a subject",
}
"""What to add to an unknown field, by the request that it stands in."""
_TEXTS: Final = {
    "extra_forbidden": "no such field",
    "missing": "is needed",
    "too_short": "must not be empty",
    "model_type": "must be an object with the documented fields",
}


_OTHER_WORDS: Final = {
    "text": "prompt",
    "seconds": "duration",
    "length": "duration",
    "ratio": "aspect_ratio",
    "sound": "audio",
    "image": "first_frame",
}
"""What people call fields."""


def other_word(name: str) -> str | None:
    """The field that people mean by a name that no field has, also by a mistyped one."""
    found = near(name, _OTHER_WORDS, cutoff=0.8)
    return _OTHER_WORDS[found[0]] if found else None


def problems(request: JsonObject, error: ValidationError, schema: str) -> list[str]:
    """What is wrong with a request, or with a part of one, by the name of its schema.

    It is one line for each place, with every form that the value there can have.
    """
    found: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    hints: dict[str, str] = {}
    for item in error.errors(include_url=False):
        reason = item.get("ctx", {}).get("error")
        if isinstance(reason, RequestError):  # such as a file that cannot be read
            found |= {problem: [] for problem in reason.problems}
            continue
        if item["type"] == "string_type" and isinstance(item["input"], dict):
            continue  # an object, where text is another form: what is wrong in it follows
        place, text = _place(request, item), _TEXTS.get(item["type"])
        if text is None and item["type"] != "string_pattern_mismatch":
            shown = repr(item["input"])
            values[place] = f", not {shown}" if len(shown) <= 60 else ""
        hints[place] = hints.get(place) or _near(item, place, schema)
        found.setdefault(place, []).append(_pydantic_problem(item, place, schema))
    return [
        ", or ".join([f"{at}: {texts[0]}{values.get(at, '')}", *texts[1:]]) + hints[at]
        if texts
        else at
        for at, texts in found.items()
    ]


def _place(request: JsonObject, item: ErrorDetails) -> str:
    """The place of a problem, without the names that pydantic gives to the forms of a value."""
    node: Any = request
    names = list[str]()
    for at, part in enumerate(item["loc"], 1):
        is_member = isinstance(node, dict) and part in node
        is_item = isinstance(node, list | tuple) and isinstance(part, int)
        if is_member or is_item or (item["type"] == "missing" and at == len(item["loc"])):
            names.append(str(part))
            node = node[part] if is_member or is_item else None
    return ".".join(names)


def _near(item: ErrorDetails, place: str, schema: str) -> str:
    """The known fields, or values of a field, that are near the one that is refused."""
    *parents, name = place.split(".")
    match item["type"]:
        case "extra_forbidden":
            schemas = _schemas_at(parents, schema)
            known = [one for node in schemas for one in node.get("properties", ())]
            other = other_word(name)
            return f"; did you mean {other}?" if other in known else did_you_mean(name, known)
        case "literal_error":
            schemas = _schemas_at([*parents, name], schema)
            return did_you_mean(
                item["input"], [one for node in schemas for one in node.get("enum", ())]
            )
        case "string_pattern_mismatch" if name == "aspect_ratio":
            return did_you_mean(item["input"], _RATIOS)
    return ""


def _schemas_at(place: Sequence[str], schema: str) -> list[JsonObject]:
    """The forms that the spec of requests has for what is at a place."""
    contract = Contract.load("polyreel")
    nodes: list[JsonObject] = [contract.schema(schema)]
    for part in place:
        below = [
            contract.resolve(
                node.get("items") if part.isdecimal() else node["properties"].get(part)
            )
            for node in nodes
            if part.isdecimal() or "properties" in node
        ]
        nodes = [contract.resolve(form) for one in below if one for form in one.get("anyOf", [one])]
    return nodes


def _whose(place: str, schema: str) -> str:
    """In which request there is no such field: for a clip, said where another request has one."""
    contract = Contract.load("polyreel")
    others = {name for one in REQUESTS.values() for name in contract.schema(one)["properties"]}
    return _WHOSE.get(schema, "") if schema != REQUESTS["video"] or place in others else ""


def _pydantic_problem(item: ErrorDetails, place: str, schema: str) -> str:
    if item["type"] in _TEXTS:
        hint = _whose(place, schema) if item["type"] == "extra_forbidden" else ""
        return f"{_TEXTS[item['type']]}{hint}"
    if item["type"] == "string_pattern_mismatch":
        ratio = place.endswith("aspect_ratio")
        return "must be width:height, such as 16:9" if ratio else "must not be blank"
    return f"{item['msg'][0].lower()}{item['msg'][1:]}"
